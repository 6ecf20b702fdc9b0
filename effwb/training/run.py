"""`train`: one stage of GRPO, from a model to a model, which continues after a kill."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effwb import models, prompts
from effwb._internal.checked import Positive, checked_arguments
from effwb._internal.identities import problems_in_words
from effwb._internal.interrupts import brief_interrupts
from effwb._internal.progress import has_label, labelled, notebook_line
from effwb.designs import Design
from effwb.designs.identity import design_identity, same_source, without_added
from effwb.errors import ConfigError, DataError
from effwb.probes import Prober
from effwb.profiles import Profile, Training
from effwb.rollouts import FORCED_ROOM, check_problems, check_texts
from effwb.runs import RunDir, digest, read_json
from effwb.samplers import SamplingParams, check_context
from effwb.training.checkpoints import STATE, check_model, newest_whole, remove_unfit
from effwb.training.checks import check, check_machine, check_report_to
from effwb.training.engines import ModelEngine, open_engine
from effwb.training.launch import launch
from effwb.training.record import Record, done_marker, interruption, mark_done, read_metrics
from effwb.training.rounds import Collector, PromptSchedule
from effwb.training.settings import RecipeChoice, recipe_lines, recipe_record, run_settings
from effwb.training.trl_config import (
    free_memory,
    grpo_config,
    is_main,
    lora_config,
    processes,
    quiet,
    remove_printers,
    save_model,
    world_size,
)
from effwb.verifiers import grading

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

    from effwb.training.progress import Listener, Metrics
    from effwb.training.trainer import GroupTrainer

# Fields of Training that decide where a run computes, and how its sums are rounded: no part of its identity.
PLACEMENT = ("processes", "accelerate_config")
ROUNDING = ("micro_batch", "tokens_per_forward", "gradient_checkpointing", "keep_checkpoints", "save_every")
# Fields that Training did not always have, and what a run did before it had them. A run with that value has
# the identity of the older run, which is read back.
ADDED_SETTINGS: dict[str, Any] = {
    "kl_estimator": "k3",
    "kl_place": "loss",
    "kl_bias_correction": True,
    "schedule": "constant",
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_eps": 1e-8,
}


@dataclass(frozen=True, eq=False)
class TrainResult:
    """A finished training run.

    Attributes:
        run_dir: Its directory.
        design: The design as it was before training; `state` holds what it learned.
    """

    run_dir: Path
    design: Design

    @property
    def model(self) -> str:
        """The directory of the trained model, which `open_sampler` and `train` take."""
        return str(self.run_dir / "model")

    @property
    def metrics(self) -> pd.DataFrame:
        """metrics.jsonl as a DataFrame, a row per step."""
        return read_metrics(self.run_dir / "train" / "metrics.jsonl")

    @property
    def state(self) -> dict:
        """The state of the design after the last step."""
        return done_marker(self.run_dir / "train")["design"]


@checked_arguments(
    profile=Profile,
    max_tokens=Positive,
    state=Mapping[str, Any],
    reference=Mapping[str, Any],
)
def train(
    design: str | Design | type[Design],
    problems: Dataset,
    model: str | None = None,
    *,
    run_dir: str | Path,
    profile: Profile,
    recipe: RecipeChoice = None,
    design_params: Mapping | None = None,
    max_tokens: int | None = None,
    seed: int = 0,
    effort: str | None = None,
    reference: Mapping | None = None,
    monitor: Dataset | None = None,
    state: Mapping | None = None,
    watch: str = "auto",
    report_to: Sequence[str] = (),
    verify_timeout: float = 5.0,
    **training,
) -> TrainResult:
    """Train a model with GRPO and the advantages of a design.

    Writes `run_dir/train/metrics.jsonl` (a row per step) and checkpoints. A killed run continues from its
    last complete checkpoint and, on a CPU, ends with the same weights. A finished run is read back. With
    `processes` above 1 it trains on as many GPUs of this machine, with the same advantages as on one.

    Args:
        design: A name in `DESIGNS`, which gets its defaults scaled to the cap (`fit_design`), or a
            `Design` object that belongs to this cap already. A class of your own counts as its name.
        problems: The training problems.
        model: The starting model; None is the profile's.
        run_dir: Directory of the run.
        profile: The profile, with the training settings in `profile.training`.
        recipe: "paper": the settings of the design's paper go over the profile's (`effwb.recipes`). The name
            of a design: those of that design's paper. "pocket": the profile's, the same for all designs. Or a
            `Recipe`, or fields of `profiles.Training` by name. None: what `profile.recipe` says.
        design_params: Parameters of a design given by name, in tokens of this run.
        max_tokens: The cap: most tokens of a completion; None is the recipe's, or else the profile's.
        seed: Seed of the problem order, the rollouts and TRL.
        effort: An effort prompt for all problems; None for none.
        reference: {problem id: {"length", "accuracy"}} of a frozen model, for designs that compare with it
            (`reference_statistics` makes it).
        monitor: Problems for laser_d with monitor="held_out".
        state: What the design begins with, as an earlier run left it in `TrainResult.state`.
        watch: What is shown: "auto" (a line, with a live figure in a notebook), "lines" or "none".
        report_to: Transformers' reporting integrations, such as "tensorboard", "trackio", "wandb".
        verify_timeout: Seconds per verdict.
        **training: Fields of `profiles.Training`, such as `steps=100`, that win over recipe and profile.

    Returns:
        The finished run.

    Raises:
        ConfigError: If parameters, the recipe, the cap or the engine do not fit, before the first step.
        DataError: If problems or the reference lack something, before the first step.
        IdentityError: If `run_dir` belongs to another run.
        TrainingError: If a loss or a gradient is not finite.

    Example:
        result = train("kimi", problems, run_dir="runs/kimi", profile=profile, steps=100)
        result.metrics.plot("step", "length/mean")
    """
    chosen = run_settings(
        design,
        profile,
        recipe,
        design_params=design_params,
        max_tokens=max_tokens,
        model=model,
        training=training,
    )
    learning = copy.deepcopy(chosen.design)  # it changes while it trains; the caller's does not
    if state is not None:
        learning.load_state(dict(state))
    check_problems(problems)
    is_done = (Path(run_dir) / "train" / "DONE").exists()  # a finished run is read back anywhere
    if not is_done:
        check_texts(problems)
        check_report_to(report_to)
    try:
        check(chosen.training, learning, chosen.max_tokens, problems, reference, monitor)
    except ConfigError as error:
        raise chosen.explain(error) from None
    chosen.check_context()
    if not is_done:
        check_machine(chosen.training)
    differences = chosen.differences(problems, profile.template)
    run = TrainingRun(
        design=learning,
        problems=problems,
        model=chosen.model,
        run_dir=Path(run_dir),
        profile=profile,
        settings=chosen.training,
        max_tokens=chosen.max_tokens,
        seed=seed,
        effort=effort,
        reference=reference if learning.needs_reference else None,  # an unread one does not identify the run
        monitor=monitor,
        verify_timeout=verify_timeout,
        recipe=recipe_record(chosen, differences),
        notes=tuple(recipe_lines(chosen, differences)),
    )
    result = TrainResult(run.run_dir, copy.deepcopy(learning))
    run.finish(watch, list(report_to))
    return result


@dataclass(eq=False)
class TrainingRun:
    """One training run whose parameters have been checked.

    Attributes:
        design: The design, which learns during the run.
        problems: The training problems.
        model: Name or path of the starting model.
        run_dir: Directory of the run.
        profile: The profile; its template and answer tokens are used.
        settings: The training settings.
        max_tokens: The cap: most tokens of a completion.
        seed: Seed of the run.
        effort: Effort prompt, or None.
        reference: {problem id: {"length", "accuracy"}} of a frozen model, or None.
        monitor: The monitoring problems of laser_d, or None.
        verify_timeout: Seconds per verdict.
        recipe: The recipe, and what the run has not of the paper's experiment; recorded beside the identity.
        notes: The same in lines for the user.
        schedule: The prompts of each round.
    """

    design: Design
    problems: Dataset
    model: str
    run_dir: Path
    profile: Profile
    settings: Training
    max_tokens: int
    seed: int
    effort: str | None
    reference: Mapping | None
    monitor: Dataset | None
    verify_timeout: float
    recipe: Mapping = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    schedule: PromptSchedule = field(init=False)

    def __post_init__(self):
        self.source = models.locate(self.model, self.profile.trust_remote_code)
        self.tokenizer = models.load_tokenizer(self.source)
        self.template = prompts.template(self.profile.template)
        self.schedule = self._schedule(self.problems, self.settings.problems_per_round)
        self.longest_prompt = self.schedule.longest_prompt()
        context = models.context_of(models.load_config(self.source))
        room = self.max_tokens + FORCED_ROOM
        check_context(self.longest_prompt, room, context, "prompt (with a forced answer)")

    def _schedule(self, problems: Dataset, per_round: int) -> PromptSchedule:
        return PromptSchedule(
            problems,
            self.tokenizer,
            self.template,
            self.design,
            per_round=per_round,
            seed=self.seed,
            effort=self.effort,
        )

    def identity(self) -> dict:
        """Everything that decides the trained weights."""
        from importlib.metadata import version

        ignored = ("n_problems", *PLACEMENT, *ROUNDING)
        settings = without_added(self.settings.as_dict(), ADDED_SETTINGS)
        return {
            "model": self.source.name,
            "weights": models.fingerprint(self.source),
            "tokenizer": models.tokenizer_fingerprint(self.tokenizer),
            **design_identity(self.design),
            "settings": {k: v for k, v in settings.items() if k not in ignored},
            "max_tokens": self.max_tokens,
            "answer_tokens": self.profile.answer_tokens if self.design.probes else None,
            "template": self.template.identity(self.effort),
            "effort": self.effort,
            "problems": digest([self.schedule.ids, self.problems["question"][:], self.schedule.answers]),
            "monitor": None if self.monitor is None else digest(list(self.monitor["problem_id"])),
            "reference": None if self.reference is None else digest(dict(self.reference)),
            "seed": self.seed,
            "verifier": grading.identity(self.verify_timeout),
            "trl": version("trl"),
        }

    def recorded(self) -> dict:
        """The recipe, and what only decides how sums are rounded or how long the run takes; no identity."""
        rounding = {name: getattr(self.settings, name) for name in ROUNDING}
        words = {"problems": problems_in_words(self.problems["question"][:])}
        return {"processes": world_size(), **rounding, "recipe": dict(self.recipe), "in_words": words}

    @property
    def is_done(self) -> bool:
        """Whether the run has finished; raises `DataError` if its marker or its model is damaged."""
        marker = self.run_dir / "train" / "DONE"
        if not marker.exists():
            return False
        done_marker(marker.parent)
        check_model(self.run_dir / "model", marker)
        return True

    def finish(self, watch: str, report_to: list[str]) -> None:
        """Train unless it is done, here or in processes of its own; then delete the checkpoints.

        Args:
            watch: "auto", "lines" or "none", see `train`.
            report_to: Names of Transformers' reporting integrations.
        """
        label = nullcontext() if has_label() else labelled(f"{self.design.NAME}, seed {self.seed}")
        folder, settings = self.run_dir / "train", self.settings
        with notebook_line(), label, brief_interrupts(lambda: interruption(folder, settings)):
            self._finish(watch, report_to)

    def _finish(self, watch: str, report_to: list[str]) -> None:
        directory = RunDir(self.run_dir)
        if processes(self.settings) > world_size() == 1:
            with directory.lock():  # refuse here what is refused; then the first process takes the lock
                self._begin(directory)
            if not self.is_done:
                record = Record(self.run_dir / "train" / "metrics.jsonl")
                launch(self, record, self._listeners(watch, record), report_to)
            return
        with directory.lock() if is_main() else nullcontext():
            if is_main():
                self._begin(directory)
            if not self.is_done:
                self.execute(watch, report_to)
            if is_main():
                shutil.rmtree(self.run_dir / "train" / "checkpoints", ignore_errors=True)

    def _begin(self, directory: RunDir) -> None:
        stored = directory.identity("train") if directory.has_data("train") else {}
        identity = same_source(stored, self.identity(), self.design.NAME, self.run_dir)
        directory.begin("train", identity, **self.recorded())

    def _listeners(self, watch: str, record: Record) -> list[Listener]:
        from effwb.training.progress import listeners

        return listeners(watch, record, self.settings.steps, self.notes)

    def execute(self, watch: str, report_to: list[str]) -> None:
        """Train in this process, from the last complete checkpoint or the beginning, and save the model."""
        from effwb.training.progress import Metrics

        folder = self.run_dir / "train"
        checkpoints, record = folder / "checkpoints", Record(folder / "metrics.jsonl")
        start = newest_whole(checkpoints, record.steps())
        step = 0 if start is None else self._restore(start / STATE)
        if is_main():
            record.cut(step)
            remove_unfit(checkpoints, start)
        metrics = Metrics(record, self._listeners(watch, record))
        params = SamplingParams(self.max_tokens, self.settings.temperature, self.settings.top_p)
        engine = open_engine(self.settings.engine, self.model, params, self.profile.trust_remote_code)
        with quiet(folder), closing(engine):
            trainer = metrics.trainer = self._trainer(checkpoints, engine, metrics, report_to)
            with trainer.interrupts.handled():
                trainer.train(resume_from_checkpoint=str(start) if start else None)
            self._save(trainer)
            metrics.trainer = None
            del trainer
        free_memory()

    def _restore(self, file: Path) -> int:
        """Load the design's state from a checkpoint; returns the step of the checkpoint."""
        saved = read_json(file, f"delete {file.parent}")
        try:
            self.design.load_state(saved.get("design", {}))
        except DataError as error:
            raise DataError(
                f"{file} does not restore {self.design.NAME}: {error}; without its state the design would "
                f"start afresh in the middle of the run; delete {file.parent.name} to continue from an "
                "earlier checkpoint"
            ) from error
        return saved["step"]

    def _trainer(
        self, checkpoints: Path, engine: ModelEngine, metrics: Metrics, report_to: list[str]
    ) -> GroupTrainer:
        from effwb.training.trainer import GroupTrainer

        settings, design, prober, monitor = self.settings, self.design, None, None
        if design.probes:
            prober = Prober(self.tokenizer, prompts.forced_suffix(self.template), self.profile.answer_tokens)
        options: dict[str, Any] = {"cap": self.max_tokens, "timeout": self.verify_timeout}
        collector = Collector(
            self.schedule,
            engine,
            settings,
            seed=self.seed,
            prober=prober,
            reference=self.reference,
            **options,
        )
        if self.monitor is not None:
            schedule, seed = self._schedule(self.monitor, 1), f"{self.seed}-monitor"
            monitor = Collector(schedule, engine, settings, seed=seed, **options)
        trainer = GroupTrainer(
            models.load_model(self.source, settings.weights, "cpu").train(),  # the trainer moves it
            grpo_config(
                settings,
                self.max_tokens,
                checkpoints,
                self.seed,
                report_to,
                self.longest_prompt,
                design.ratio,
                self.profile.trust_remote_code,
            ),
            self.tokenizer,
            collector,
            monitor,
            callbacks=[metrics],
            peft_config=lora_config(settings),
        )
        remove_printers(trainer)
        return trainer

    def _save(self, trainer: GroupTrainer) -> None:
        """Save the model under its final name, then the done marker; then the checkpoints may go."""
        save_model(trainer, self.tokenizer, self.run_dir)
        if is_main():
            mark_done(self.run_dir / "train", steps=self.settings.steps, design=self.design.state())
        trainer.accelerator.wait_for_everyone()


def _without_added(values: dict[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """The values without those that say what a run did before it had a setting for it."""
    return {name: v for name, v in values.items() if name not in added or v != added[name]}
