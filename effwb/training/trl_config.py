"""The training settings as TRL's config, and what one or several processes need around a trainer."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from effwb._internal import checksums
from effwb.errors import ConfigError, EngineError
from effwb.models import without_progress_bars
from effwb.profiles import Training

if TYPE_CHECKING:
    from peft import LoraConfig
    from trl import GRPOConfig


def is_main() -> bool:
    """Whether this is the process of a launch that writes files."""
    return int(os.environ.get("RANK", "0")) == 0


def world_size() -> int:
    """The number of processes in this launch."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def processes(settings: Training) -> int:
    """How many processes train together: those of this launch, or those that `settings` ask for."""
    return max(world_size(), settings.processes)


def accumulation(settings: Training) -> tuple[int, int]:
    """How an update is split.

    Returns:
        Rollouts per forward and backward pass, and such passes per update and process.

    Raises:
        ConfigError: If the rollouts of an update do not divide into such passes.
    """
    per_update = settings.problems_per_round * settings.group_size // settings.updates_per_round
    world = processes(settings)
    micro = max(1, min(settings.micro_batch, per_update // world))
    if per_update % (micro * world):
        raise ConfigError(
            f"{per_update} rollouts per update do not divide into micro_batch={micro} on {world} processes"
        )
    return micro, per_update // (micro * world)


def grpo_config(
    settings: Training,
    cap: int,
    folder: Path,
    seed: int,
    report_to: list[str],
    longest_prompt: int,
    ratio: str,
    trust_remote_code: bool = False,
) -> GRPOConfig:
    """The training settings as TRL's config.

    Args:
        settings: The training settings.
        cap: Tokens a completion may have.
        folder: Where checkpoints go.
        seed: Seed of the run.
        report_to: Names of Transformers' reporting integrations.
        longest_prompt: Tokens of the longest prompt.
        trust_remote_code: Whether code that comes with the model may run.
        ratio: Whether the loss has a probability ratio per "token" or per "sequence" (`Design.ratio`).
    """
    import torch
    from trl import GRPOConfig

    micro, accumulate = accumulation(settings)
    cuda = torch.cuda.is_available()
    return GRPOConfig(
        output_dir=str(folder),
        max_steps=settings.steps,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=_scheduler(settings),
        warmup_steps=settings.warmup_steps,
        weight_decay=settings.weight_decay,
        adam_beta1=settings.adam_beta1,
        adam_beta2=settings.adam_beta2,
        adam_epsilon=settings.adam_eps,
        max_grad_norm=settings.max_grad_norm,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=accumulate,
        steps_per_generation=accumulate * settings.updates_per_round,
        num_iterations=settings.iterations,
        num_generations=settings.group_size,
        max_completion_length=cap,
        temperature=settings.temperature,
        top_p=settings.top_p,
        beta=settings.kl,
        use_bias_correction_kl=settings.kl_bias_correction,
        epsilon=settings.clip_low,
        epsilon_high=settings.clip_high,
        loss_type=settings.loss,
        importance_sampling_level=ratio,
        scale_rewards="none",
        use_cpu=not cuda,
        bf16=settings.precision == "bfloat16",
        gradient_checkpointing=settings.gradient_checkpointing,
        save_strategy="steps",
        save_steps=settings.save_every,
        save_total_limit=max(2, settings.keep_checkpoints),
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to=report_to or "none",
        disable_tqdm=True,
        remove_unused_columns=False,
        shuffle_dataset=False,
        seed=seed,
        dataloader_pin_memory=cuda,
        trust_remote_code=trust_remote_code,
        **_vllm_options(settings.engine, longest_prompt + cap),
    )


def _scheduler(settings: Training) -> str:
    if settings.schedule == "constant":
        return "constant_with_warmup" if settings.warmup_steps else "constant"
    return settings.schedule


def _vllm_options(engine: str, context: int) -> dict:
    """What TRL's config says about its vLLM; `context` is the most tokens of prompt and completion."""
    if not engine.startswith("trl-vllm"):
        return {}
    import torch

    if not torch.cuda.is_available():
        raise EngineError(f"engine {engine!r} needs CUDA; on a CPU use 'transformers' or 'vllm'")
    return {
        "use_vllm": True,
        "vllm_mode": engine.removeprefix("trl-vllm-"),
        "vllm_max_model_length": context,
        # the default multiplies the ratios of all tokens of a rollout: its noise grows with the length
        "vllm_importance_sampling_mode": "token_truncate",
    }


def lora_config(settings: Training) -> LoraConfig | None:
    """The adapters to train; None where all weights are trained.

    Raises:
        ConfigError: If peft is not installed.
    """
    if not settings.lora_rank:
        return None
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise ConfigError(
            f"lora_rank={settings.lora_rank} needs peft: pip install 'effwb[lora]' ({error})"
        ) from error
    return LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


@contextmanager
def quiet(folder: Path) -> Iterator[None]:
    """Train without progress bars for every shard of a checkpoint and without TRL's experimental warning.

    TensorBoard's files go to `folder`, where they outlive the checkpoints.
    """
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(folder)
    with without_progress_bars():
        yield


def remove_printers(trainer) -> None:
    """Stop Transformers from printing; effwb reports the progress of a run itself."""
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    for printer in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(printer)


def save_model(trainer, tokenizer, run_dir: Path) -> None:
    """Save the trained model as `run_dir/model`, with adapters merged into the weights; for all processes.

    Raises:
        TrainingError: The disk is full or broken.
    """
    from effwb.training.checkpoints import writing

    temporary, final = run_dir / ".model", run_dir / "model"
    trained = trainer.accelerator.unwrap_model(trainer.model)
    with writing(final):
        if not hasattr(trained, "merge_and_unload"):
            trainer.save_model(str(temporary))  # on all processes: the weights may be sharded
        elif is_main():
            trained.merge_and_unload().save_pretrained(temporary)
    trainer.accelerator.wait_for_everyone()
    if is_main():
        with writing(final):
            finish_model(tokenizer, temporary, final)


def finish_model(tokenizer, temporary: Path, final: Path) -> None:
    """Add the tokenizer and checksums to a saved model and move it from its temporary to its final name."""
    tokenizer.save_pretrained(temporary)
    (temporary / "training_args.bin").unlink(missing_ok=True)
    for file in sorted(file for file in temporary.iterdir() if file.name != checksums.FILE):
        checksums.record_file(file)
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)


def free_memory() -> None:
    """Free the accelerator's memory: a trainer holds reference cycles, so run gc."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
