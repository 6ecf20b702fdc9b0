"""Supervised fine-tuning before RL, so that a model knows two modes: to think, and to answer at once."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from effwb import models
from effwb._internal.checked import NotNegative, Positive, check_fields, checked_arguments
from effwb._internal.interrupts import brief_interrupts, resumable
from effwb.errors import DataError
from effwb.profiles import Profile
from effwb.prompts import template
from effwb.recipes.offline_training import OfflineTraining
from effwb.rollouts import problems_of, sample, solved
from effwb.runs import RunDir, digest
from effwb.samplers import open_sampler
from effwb.training.checkpoints import check_model
from effwb.training.fine_tuning import FineTuning
from effwb.verifiers import grading

if TYPE_CHECKING:
    from datasets import Dataset

TABLE = "warm_start"
# Where all designs share one setting (profiles with the recipe "pocket"); elsewhere it is HGPO's.
SMALL_MODEL: dict[str, Any] = {"learning_rate": 1e-3, "batch_size": 16}


@checked_arguments(profile=Profile)
@brief_interrupts(resumable)
def sft_warm_start(
    profile: Profile,
    problems: Dataset,
    *,
    run_dir: str | Path,
    model: str | None = None,
    n: int | None = None,
    epochs: int = 3,
    learning_rate: float = 1e-4,
    batch_size: int = 128,
    seed: int = 0,
    engine: str | None = None,
    watch: str = "auto",
) -> str:
    """Fine-tune a model on its own correct answers in both modes.

    The model answers `problems` with thinking and, as often, with empty thinking. It then learns the answers
    that are correct and finished, equally many of each mode, after the same prompt. So it closes its
    thinking at once about every second time. This is the first stage of HGPO (2505.14631, section 3.1) and
    Thinkless (2505.13379, section 3.1), which learn from other models' answers; epochs, learning rate and
    batch size are HGPO's.

    Rollouts and model are kept in `run_dir`. A finished run is read back; a killed one continues with its
    shards of rollouts or its last epoch.

    Args:
        profile: The profile: sampling, and the precision of the training settings.
        problems: The training problems.
        run_dir: Directory of the run.
        model: The starting model; None is the profile's.
        n: Samples per problem and mode; None is the profile's.
        epochs: Passes over the examples.
        learning_rate: Learning rate.
        batch_size: Examples per update.
        seed: Seed of rollouts, examples and their order.
        engine: The sampling engine; None is the profile's.
        watch: What is shown: "auto" or "lines" (a line of text), or "none".

    Returns:
        The directory of the fine-tuned model, which `train` and `open_sampler` take.

    Raises:
        ConfigError: If a number is below 1, or the chat template does not open the thinking.
        DataError: If a mode has no correct rollout.
        IdentityError: If `run_dir` holds another warm start.
    """
    directory, name = RunDir(run_dir), model or profile.model
    source = models.locate(name, profile.trust_remote_code)
    tokenizer = models.load_tokenizer(source)
    profile = profile.as_in_training().override(n_samples=n, engine=engine)
    rates: dict[str, Any] = dict(epochs=epochs, learning_rate=learning_rate, batch_size=batch_size)
    identity = {**_identity(profile, problems, source, tokenizer), **rates, "seed": seed}
    with directory.lock():
        directory.begin(TABLE, identity)
        marker = directory.path / TABLE / "DONE"
        if marker.exists():
            check_model(directory.path / "model", marker)
            shutil.rmtree(marker.parent / "checkpoints", ignore_errors=True)
            return str(directory.path / "model")
        examples = _examples(profile, problems, name, directory.path, seed, progress=watch != "none")
    run = FineTuning(
        loss="sft",
        rows=examples,
        model=name,
        run_dir=directory.path,
        profile=profile,
        settings=OfflineTraining(**rates, schedule="linear"),
        machine=profile.training.override(lora_rank=0, save_every=-(-len(examples) // batch_size)),
        seed=seed,
        design={"name": TABLE},
        examples={"rows": len(examples), "summary": f"{len(examples)} examples, as many of each mode"},
        table=TABLE,
        known_identity=identity,
    )
    return run.train(watch).model


def _identity(profile: Profile, problems, source, tokenizer) -> dict:
    """Everything that decides the examples and the arithmetic, but for the parameters of the fine-tuning."""
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


def _examples(profile: Profile, problems, model: str, folder: Path, seed: int, progress: bool) -> list[dict]:
    """`prompt_ids` and `completion_ids` of both modes, equally many, in an order that the seed decides."""
    parts = []
    with open_sampler(model, profile.engine, **profile.sampler_options) as sampler:
        for mode in ("think", "empty"):
            table = sample(
                problems,
                sampler,
                profile.n_samples,
                run_dir=folder / mode,
                seed=seed,
                sampling=profile.sampling(),
                prompting=profile.prompting(opening=mode),
                progress=progress,
            )
            prompt_ids = problems_of(folder / mode).set_index("problem_id")["prompt_ids"]
            correct = table[solved(table)]
            if correct.empty:
                raise DataError(f"nothing to learn: no rollout of {len(table)} in mode {mode!r} is correct")
            examples = []
            for pid, ids in zip(correct["problem_id"], correct["completion_ids"], strict=True):
                prompt, completion = (list(map(int, part)) for part in (prompt_ids[pid], ids))
                examples.append({"prompt_ids": prompt, "completion_ids": completion})
            parts.append(examples)
    rng = np.random.default_rng(seed)
    count = min(map(len, parts))
    chosen = [part[i] for part in parts for i in rng.choice(len(part), count, replace=False)]
    return [chosen[i] for i in rng.permutation(len(chosen))]


@dataclass(frozen=True)
class WarmStart:
    """Fine-tuning on answers with and without thinking (`sft_warm_start`), as what a point comes after.

    None leaves a field to the profile: HGPO's value (2505.14631, section 3.1) on the real ones; on the pocket
    model a learning rate of 1e-3 and batches of 16.

    Attributes:
        n: Samples per problem and mode; None: those of an evaluation.
        epochs: Passes over the examples; None: 3.
        learning_rate: Learning rate; None: the profile's.
        batch_size: Examples per update; None: the profile's.

    Example:
        >>> from effwb.training import Point
        >>> Point("hgpo", after=WarmStart()).name
        'hgpo after warm_start'
    """

    n: Positive | None = None
    epochs: Positive | None = None
    learning_rate: NotNegative | None = None
    batch_size: Positive | None = None

    def __post_init__(self):
        check_fields(self)

    @property
    def name(self) -> str:
        """Its word and the fields that are set, so that two warm starts have two directories."""
        return " ".join([TABLE, *(f"{name}={value}" for name, value in self._set_fields().items())])

    def _set_fields(self) -> dict[str, Any]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def train(
        self,
        profile: Profile,
        problems: Dataset,
        *,
        run_dir: Path,
        model: str | None,
        seed: int,
        engine: str | None = None,
        watch: str = "auto",
    ) -> str:
        """Fine-tune a model, or read it back.

        Args:
            profile: The profile: its sampling, and the precision of its training.
            problems: The training problems.
            run_dir: Directory of the run.
            model: The starting model; None: the profile's.
            seed: Seed of rollouts, examples and their order.
            engine: The sampling engine; None: the profile's.
            watch: What is shown, as in `train`.

        Returns:
            The directory of the fine-tuned model.
        """
        settings = dict(SMALL_MODEL) if profile.recipe == "pocket" else {}
        settings |= {**self._set_fields(), "engine": engine, "watch": watch}
        return sft_warm_start(profile, problems, run_dir=run_dir, model=model, seed=seed, **settings)
