"""Our settings as TRL's, and what a launch of one or several processes has to know."""

import gc
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

from effwb.errors import ConfigError, EngineError
from effwb.models import without_progress_bars
from effwb.profiles import Training


def is_main() -> bool:
    """Whether this is the one process of a launch that writes."""
    return int(os.environ.get("RANK", "0")) == 0


def world_size() -> int:
    """Processes of this launch."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def processes(s: Training) -> int:
    """Processes that train together: those of this launch, or those that are asked for."""
    return max(world_size(), s.processes)


def accumulation(s: Training) -> tuple[int, int]:
    """(rollouts per forward and backward pass, such passes per update and process)."""
    per_update, world = s.problems_per_round * s.group_size // s.updates_per_round, processes(s)
    micro = max(1, min(s.micro_batch, per_update // world))
    if per_update % (micro * world):
        raise ConfigError(
            f"{per_update} rollouts per update do not divide into micro_batch={micro} on {world} processes"
        )
    return micro, per_update // (micro * world)


def grpo_config(
    s: Training, cap: int, folder: Path, seed: int, report_to: list[str], longest_prompt: int, ratio: str
):
    """TRL's settings for ours; `ratio` is the design's."""
    import torch
    from trl import GRPOConfig

    micro, accumulate = accumulation(s)
    cuda = torch.cuda.is_available()
    return GRPOConfig(
        output_dir=str(folder),
        max_steps=s.steps,
        learning_rate=s.learning_rate,
        lr_scheduler_type="constant_with_warmup" if s.warmup_steps else "constant",
        warmup_steps=s.warmup_steps,
        weight_decay=s.weight_decay,
        max_grad_norm=s.max_grad_norm,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=accumulate,
        steps_per_generation=accumulate * s.updates_per_round,
        num_iterations=s.iterations,
        num_generations=s.group_size,
        max_completion_length=cap,
        temperature=s.temperature,
        top_p=s.top_p,
        beta=s.kl,
        epsilon=s.clip_low,
        epsilon_high=s.clip_high,
        loss_type=s.loss,
        importance_sampling_level=ratio,
        scale_rewards="none",
        use_cpu=not cuda,
        bf16=s.precision == "bfloat16",
        gradient_checkpointing=s.gradient_checkpointing,
        save_strategy="steps",
        save_steps=s.save_every,
        save_total_limit=max(2, s.keep_checkpoints),
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to=report_to or "none",
        disable_tqdm=True,
        remove_unused_columns=False,
        shuffle_dataset=False,
        seed=seed,
        dataloader_pin_memory=cuda,
        **trl_options(s.engine, longest_prompt + cap),
    )


def trl_options(engine: str, context: int) -> dict:
    """What GRPOConfig has to know about the engine; `context`: tokens of prompt and completion, at most."""
    if not engine.startswith("trl-vllm"):
        return {}
    import torch

    if not torch.cuda.is_available():
        raise EngineError(f"engine {engine!r} needs CUDA; on a CPU use 'transformers' or 'vllm'")
    return {
        "use_vllm": True,
        "vllm_mode": engine.removeprefix("trl-vllm-"),
        "vllm_max_model_length": context,
        # the default multiplies the ratios of all tokens of a rollout: noise there grows with its length
        "vllm_importance_sampling_mode": "token_truncate",
    }


@contextmanager
def quiet(folder: Path):
    """No progress bars for every shard of a checkpoint, no warning that rollouts are handed over.

    TensorBoard's files go to `folder`, where they outlive the checkpoints.
    """
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(folder)
    with without_progress_bars():
        yield


def silence(trainer) -> None:
    """No printing by Transformers: what is said of a run is said by us."""
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    for printer in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(printer)


def put_in_place(tokenizer, temporary: Path, final: Path) -> None:
    """Give a model that was saved under a temporary name its tokenizer and its final name."""
    tokenizer.save_pretrained(temporary)
    (temporary / "training_args.bin").unlink(missing_ok=True)
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)


def release() -> None:
    """Give the accelerator's memory back: a trainer is a knot of references that only the collector opens."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def lora_config(s: Training):
    if not s.lora_rank:
        return None
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise ConfigError(
            f"lora_rank={s.lora_rank} needs peft: pip install -e '.[lora]' ({error})"
        ) from error
    return LoraConfig(
        r=s.lora_rank, lora_alpha=s.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM"
    )
