"""Fine-tuning before RL, so that a model knows both modes: to think, and to answer at once."""

import json
import shutil
from pathlib import Path

import numpy as np

from effwb import models
from effwb.errors import ConfigError, DataError
from effwb.profiles import Profile
from effwb.prompts import template
from effwb.rollouts import problems_of, sample, solved
from effwb.runs import RunDir, digest, write_atomic
from effwb.samplers import open_sampler
from effwb.training.trl_config import put_in_place, quiet, release, silence
from effwb.verifiers import grading

TABLE = "warm_start"


def sft_warm_start(
    profile: Profile,
    problems,
    *,
    run_dir: str | Path,
    model: str | None = None,
    n: int | None = None,
    epochs: int = 3,
    learning_rate: float = 1e-4,
    batch_size: int = 128,
    seed: int = 0,
    engine: str | None = None,
) -> str:
    """A model, as the path of its directory, fine-tuned on its own correct answers in both modes.

    `model` (default: the profile's) answers `problems` `n` times (default: the profile's) with thinking and
    as often with an empty one. What was correct and finished is learnt, as many rollouts of one mode as of
    the other, behind the same prompt: the model then closes its thinking at once about every second time. The
    first stage of HGPO (2505.14631, section 3.1) and Thinkless (2505.13379, section 3.1), which learn from
    other models' answers; epochs, learning rate and batch size are HGPO's.

    Rollouts and model lie in `run_dir`; a finished run is read back, one that was killed continues with its
    shards of rollouts or its last epoch. `ConfigError` for a template that opens no thinking, `DataError`
    where a mode has no correct rollout, `IdentityError` where `run_dir` holds another warm start.
    """
    run, name = RunDir(run_dir), model or profile.model
    for key, value in (("epochs", epochs), ("batch_size", batch_size), ("n", 1 if n is None else n)):
        if value < 1:
            raise ConfigError(f"{key}={value} must be at least 1")
    source = models.locate(name)
    tokenizer = models.load_tokenizer(source)
    profile = profile.as_in_training().override(n_samples=n, engine=engine)
    settings = {"epochs": epochs, "learning_rate": learning_rate, "batch_size": batch_size, "seed": seed}
    with run.lock():
        run.begin(TABLE, {**_identity(profile, problems, source, tokenizer), **settings})
        if not (run.path / TABLE / "DONE").exists():
            examples = _examples(profile, problems, name, run.path, seed)
            _fine_tune(source, tokenizer, examples, run.path, profile.training, **settings)
        shutil.rmtree(run.path / TABLE / "checkpoints", ignore_errors=True)
    return str(run.path / "model")


def _identity(profile: Profile, problems, source, tokenizer) -> dict:
    """What decides the examples and the arithmetic; the settings come on top."""
    from importlib.metadata import version

    sampling = ("n_samples", "max_tokens", "temperature", "top_p", "dtype", "engine", "shard_problems")
    return {
        "model": source.name,
        "weights": models.fingerprint(source),
        "tokenizer": models.tokenizer_fingerprint(tokenizer),
        "template": template(profile.template).identity(),
        "problems": digest([list(problems[c]) for c in ("problem_id", "question", "answer")]),
        **{name: getattr(profile, name) for name in sampling},
        **{name: getattr(profile.training, name) for name in ("weights", "precision")},
        "verifier": grading.VERIFIER,
        "trl": version("trl"),
    }


def _examples(profile, problems, model: str, folder: Path, seed: int) -> list[dict]:
    """`input_ids` and `labels` of both modes, equally many, in an order that the seed decides."""
    parts = []
    with open_sampler(model, profile.engine, dtype=profile.dtype) as sampler:
        for mode in ("think", "empty"):
            table = sample(
                problems,
                sampler,
                profile.n_samples,
                run_dir=folder / mode,
                seed=seed,
                sampling=profile.sampling(),
                prompting=profile.prompting(opening=mode),
                progress=False,
            )
            asked = problems_of(folder / mode).set_index("problem_id")["prompt_ids"]
            right = table[solved(table)]
            if right.empty:
                raise DataError(f"nothing to learn: no rollout of {len(table)} in mode {mode!r} is correct")
            pairs = zip(right["problem_id"], right["completion_ids"], strict=True)
            parts.append([_example(list(asked[pid]), list(ids)) for pid, ids in pairs])
    rng = np.random.default_rng(seed)
    few = min(map(len, parts))
    chosen = [part[i] for part in parts for i in rng.choice(len(part), few, replace=False)]
    return [chosen[i] for i in rng.permutation(len(chosen))]


def _example(prompt: list[int], completion: list[int]) -> dict:
    return {"input_ids": prompt + completion, "labels": [-100] * len(prompt) + completion}


def _last_whole(checkpoints: Path) -> str | None:
    """The newest checkpoint that was written to its end; one that was not is deleted."""
    found = sorted(checkpoints.glob("checkpoint-*"), key=lambda p: int(p.name.partition("-")[2]))
    while found:
        state = found[-1] / "trainer_state.json"  # what Transformers writes last
        try:
            json.loads(state.read_text())
            return str(found[-1])
        except (OSError, ValueError):
            shutil.rmtree(found.pop())
    return None


def _fine_tune(source, tokenizer, examples, folder: Path, settings, epochs, learning_rate, batch_size, seed):
    import torch
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    cuda = torch.cuda.is_available()
    micro = max(d for d in range(1, min(settings.micro_batch, batch_size) + 1) if batch_size % d == 0)
    checkpoints, temporary, final = folder / TABLE / "checkpoints", folder / ".model", folder / "model"
    checkpoints.mkdir(parents=True, exist_ok=True)
    config = SFTConfig(
        output_dir=str(checkpoints),
        num_train_epochs=epochs,
        learning_rate=learning_rate,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=batch_size // micro,
        max_length=None,
        use_cpu=not cuda,
        bf16=settings.precision == "bfloat16",
        gradient_checkpointing=settings.gradient_checkpointing,
        save_strategy="epoch",
        save_total_limit=1,
        logging_strategy="epoch",
        report_to="none",
        disable_tqdm=True,
        seed=seed,
        dataloader_pin_memory=cuda,
    )
    with quiet(folder / TABLE):
        trainer = SFTTrainer(
            models.load_model(source, settings.weights, "cpu").train(),
            config,
            train_dataset=Dataset.from_list(examples),
            processing_class=tokenizer,
        )
        silence(trainer)
        trainer.train(resume_from_checkpoint=_last_whole(checkpoints))
        trainer.save_model(str(temporary))
    put_in_place(tokenizer, temporary, final)
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    write_atomic(folder / TABLE / "DONE", json.dumps({"examples": len(examples), "loss": losses}).encode())
    del trainer
    release()
