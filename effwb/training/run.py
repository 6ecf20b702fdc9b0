"""`train`: one stage of GRPO from a model to a model, resumable."""

import copy
import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from effwb import models, prompts
from effwb.designs import Design, fit_design
from effwb.errors import ConfigError, DataError, one_of
from effwb.probes import Prober
from effwb.profiles import Profile, Training
from effwb.rollouts import FORCED_ROOM
from effwb.runs import RunDir, digest, write_atomic
from effwb.samplers import SamplingParams, check_context
from effwb.training.checks import check
from effwb.training.engines import open_engine
from effwb.training.launch import launch
from effwb.training.record import Record, read_metrics
from effwb.training.rounds import Rounds
from effwb.training.trl_config import (
    grpo_config,
    is_main,
    lora_config,
    processes,
    put_in_place,
    quiet,
    release,
    silence,
    world_size,
)
from effwb.verifiers import grading

WATCH = ("auto", "lines", "none")
PLACEMENT = ("processes", "accelerate_config")
ROUNDING = ("micro_batch", "tokens_per_forward", "gradient_checkpointing", "keep_checkpoints", "save_every")


@dataclass(frozen=True, eq=False)
class TrainResult:
    """What a finished run left: `model` is a directory that `open_sampler` and `train` take."""

    run_dir: Path
    design: Design  # as it was asked for; `state` is what it learned

    @property
    def model(self) -> str:
        return str(self.run_dir / "model")

    @property
    def metrics(self):
        """metrics.jsonl as a DataFrame, a row per step."""
        return read_metrics(self.run_dir / "train" / "metrics.jsonl")

    @property
    def state(self) -> dict:
        """The state of the design after the last step."""
        return json.loads((self.run_dir / "train" / "DONE").read_text())["design"]


def train(
    design: str | Design,
    problems,
    model: str | None = None,
    *,
    run_dir: str | Path,
    profile: Profile,
    design_params: Mapping | None = None,
    max_tokens: int | None = None,
    seed: int = 0,
    effort: str | None = None,
    reference: Mapping | None = None,
    monitor=None,
    state: Mapping | None = None,
    watch: str = "auto",
    report_to: Sequence[str] = (),
    verify_timeout: float = 5.0,
    **settings,
) -> TrainResult:
    """Train `model` (default: the profile's) on `problems` with GRPO and the advantages of `design`.

    A design given by name gets the paper's defaults scaled to the cap, with `design_params` over them
    (`designs.fit_design`); a `Design` object must belong to the cap already. `settings` are fields of
    `profiles.Training` and replace the profile's. `max_tokens` is the cap of a completion. `reference` maps
    problem ids to {"length", "accuracy"} of a frozen model, for designs that need it; `monitor` is a problem
    set for laser_d with monitor="held_out"; `state` what the design begins with, as an earlier run left it in
    `TrainResult.state`. `watch` is "auto" (lines, and a live figure in a notebook), "lines" or "none";
    `report_to` goes to Transformers ("tensorboard", "trackio", "wandb"). With `processes` above 1 it trains
    on as many GPUs of this machine (`training.launch`), with the same advantages as on one.

    Writes `run_dir/train/metrics.jsonl` (a row per step) and checkpoints; a run that was killed continues
    from the last whole checkpoint and, on a CPU, ends in the same weights. A finished run is read back.
    Raises before the first step: `ConfigError` for parameters, caps and engines that do not fit, `DataError`
    for problems or references that miss something, `IdentityError` for a directory of another run;
    `TrainingError` where a loss or gradient is not finite.
    """
    one_of("watch", watch, WATCH)
    chosen = profile.training.override(**settings)
    cap = profile.max_tokens if max_tokens is None else max_tokens
    model = model or profile.model
    if isinstance(design, str):
        made = fit_design(design, cap, **(design_params or {}))
    elif design_params:
        raise ConfigError("design_params belong to a design given by name")
    else:
        made = copy.deepcopy(design)  # it will learn; the caller's does not
    if state is not None:
        made.load_state(dict(state))
    check(chosen, made, cap, problems, reference, monitor)
    asked = copy.deepcopy(made)
    reference = reference if made.needs_reference else None  # what is not read decides nothing
    plan = TrainingRun(
        made, problems, model, Path(run_dir), profile, chosen, cap, seed, effort, reference, monitor,
        verify_timeout,
    )  # fmt: skip
    run, report_to = RunDir(run_dir), list(report_to)
    if processes(chosen) > world_size() == 1:
        plan.execute_apart(run, watch, report_to)
        return TrainResult(run.path, asked)
    with run.lock() if is_main() else nullcontext():
        if is_main():
            run.begin("train", plan.identity(), **plan.recorded())
        if not plan.is_done():
            plan.execute(watch, report_to)
        if is_main():
            shutil.rmtree(run.path / "train" / "checkpoints", ignore_errors=True)
    return TrainResult(run.path, asked)


@dataclass(eq=False)
class TrainingRun:
    """Everything `train` was asked for, checked; `execute` does it."""

    design: Design
    problems: object
    model: str
    run_dir: Path
    profile: Profile
    settings: Training
    cap: int
    seed: int
    effort: str | None
    reference: Mapping | None
    monitor: object
    timeout: float
    rounds: Rounds = field(init=False)

    def __post_init__(self):
        self.source = models.locate(self.model)
        self.tokenizer = models.load_tokenizer(self.source)
        self.rounds = self._rounds(self.problems, self.settings.problems_per_round, self.seed)
        self.longest = self.rounds.longest()
        context = models.context_of(models.load_config(self.source))
        check_context(self.longest, self.cap + FORCED_ROOM, context, "prompt (with a forced answer)")

    def _rounds(self, problems, per_round: int, seed: int) -> Rounds:
        form = prompts.template(self.profile.template)
        return Rounds(
            problems, self.tokenizer, form, self.design, per_round=per_round, seed=seed, effort=self.effort
        )

    def identity(self) -> dict:
        """What decides the weights that come out."""
        from importlib.metadata import version

        settings = {
            k: v for k, v in self.settings.as_dict().items() if k not in ("n_problems", *PLACEMENT, *ROUNDING)
        }
        return {
            "model": self.source.name,
            "weights": models.fingerprint(self.source),
            "tokenizer": models.tokenizer_fingerprint(self.tokenizer),
            "design": {"name": self.design.NAME, **_plain(self.design.parameters())},
            "design_state": digest(self.design.state()),
            "settings": settings,
            "max_tokens": self.cap,
            "answer_tokens": self.profile.answer_tokens if self.design.probes else None,
            "template": prompts.template(self.profile.template).identity(),
            "effort": self.effort,
            "problems": digest([self.rounds.ids, self.problems["question"][:], self.rounds.answers]),
            "monitor": None if self.monitor is None else digest(list(self.monitor["problem_id"])),
            "reference": None if self.reference is None else digest(dict(self.reference)),
            "seed": self.seed,
            "verifier": grading.identity(self.timeout),
            "trl": version("trl"),
        }

    def recorded(self) -> dict:
        """What only decides how sums are rounded, or how long it takes."""
        return {"processes": world_size(), **{name: getattr(self.settings, name) for name in ROUNDING}}

    def is_done(self) -> bool:
        return (self.run_dir / "train" / "DONE").exists()

    def execute_apart(self, run: RunDir, watch: str, report_to: list[str]) -> None:
        """Train in processes of their own (`training.launch`), unless it is done."""
        with run.lock():  # what is refused is refused here; then the first of those processes holds it
            run.begin("train", self.identity(), **self.recorded())
        if self.is_done():
            return
        record = Record(self.run_dir / "train" / "metrics.jsonl")
        launch(self, record, self._listeners(watch, record), report_to)

    def _listeners(self, watch: str, record: Record) -> list:
        from effwb.training.progress import listeners

        return listeners(watch, record, self.settings.steps, f"{self.design.NAME}, {self.source.name}")

    def execute(self, watch: str, report_to: list[str]) -> None:
        """Train from the last whole checkpoint, or the beginning, and leave the model behind."""
        from effwb.training.progress import Metrics
        from effwb.training.trainer import STATE, last_checkpoint

        folder = self.run_dir / "train"
        checkpoints, record = folder / "checkpoints", Record(folder / "metrics.jsonl")
        start = last_checkpoint(checkpoints)
        done = 0
        if start is not None:
            done = self._restore(start / STATE)
        if is_main():
            record.cut(done)
            for path in checkpoints.glob("checkpoint-*"):
                if not (path / STATE).exists():
                    shutil.rmtree(path)  # half written when the run was killed
        metrics = Metrics(record, self._listeners(watch, record))
        params = SamplingParams(self.cap, self.settings.temperature, self.settings.top_p)
        engine = open_engine(self.settings.engine, self.model, params)
        with quiet(folder), closing(engine):
            trainer = metrics.trainer = self._trainer(checkpoints, engine, metrics, report_to)
            trainer.train(resume_from_checkpoint=str(start) if start else None)
            self._finish(trainer)
            metrics.trainer = None
            del trainer
        release()

    def _restore(self, file: Path) -> int:
        """The design's state out of a checkpoint; returns the step it was saved at."""
        saved = json.loads(file.read_text())
        try:
            self.design.load_state(saved.get("design", {}))
        except DataError as error:
            raise DataError(
                f"{file} does not restore {self.design.NAME}: {error}; without its state it would begin anew "
                f"in the middle of the run; delete {file.parent.name} to continue from an earlier one"
            ) from error
        return saved["step"]

    def _trainer(self, checkpoints: Path, engine, metrics, report_to):
        from effwb.training.collect import Collector
        from effwb.training.trainer import GroupTrainer

        s = self.settings
        collector = Collector(
            self.rounds, engine, group_size=s.group_size, timeout=self.timeout, seed=self.seed
        )
        watched = self.monitor and self._rounds(self.monitor, 1, self.seed)
        trainer = GroupTrainer(
            models.load_model(self.source, s.weights, "cpu").train(),  # the trainer knows its device
            grpo_config(s, self.cap, checkpoints, self.seed, report_to, self.longest, self.design.ratio),
            self.tokenizer,
            self.design,
            collector,
            s,
            cap=self.cap,
            reference=self.reference,
            monitor=watched,
            forcer=self._forcer(),
            callbacks=[metrics],
            peft_config=lora_config(s),
        )
        silence(trainer)
        return trainer

    def _forcer(self) -> Prober | None:
        """What asks for forced answers, where the design rewards any."""
        if not self.design.probes:
            return None
        suffix = prompts.forced_suffix(prompts.template(self.profile.template))
        return Prober(self.tokenizer, suffix, self.profile.answer_tokens)

    def _finish(self, trainer) -> None:
        """The model under its final name, then the done marker, then the checkpoints may go."""
        wait = trainer.accelerator.wait_for_everyone
        temporary, final = self.run_dir / ".model", self.run_dir / "model"
        trained = trainer.accelerator.unwrap_model(trainer.model)
        if not hasattr(trained, "merge_and_unload"):
            trainer.save_model(str(temporary))  # all processes: the weights may be sharded
        elif is_main():
            trained.merge_and_unload().save_pretrained(temporary)
        wait()
        if is_main():
            put_in_place(self.tokenizer, temporary, final)
            done = {"steps": self.settings.steps, "design": self.design.state()}
            write_atomic(self.run_dir / "train" / "DONE", json.dumps(done).encode())
        wait()


def _plain(parameters: dict) -> dict:
    """Parameters as JSON has them; tables and frontiers by a hash of what they hold."""
    found = {}
    for name, value in parameters.items():
        if hasattr(value, "budgets") and hasattr(value, "accuracy"):
            value = digest([np.asarray(value.budgets).tolist(), np.asarray(value.accuracy).tolist()])
        found[name] = digest(dict(value)) if isinstance(value, Mapping) else value
    return found
