"""`train`: one stage of GRPO from a model to a model, resumable; `train_stages`: a plan of several."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from effwb import grading, models, prompts
from effwb.designs import Design, fit_design
from effwb.errors import ConfigError, DataError, one_of
from effwb.profiles import Profile, Training
from effwb.rollouts import FORCED_ROOM
from effwb.runs import RunDir, write_atomic
from effwb.samplers import SamplingParams, check_context
from effwb.training.engines import open_engine, trl_options
from effwb.training.record import Record, read_metrics
from effwb.training.rounds import Rounds

WATCH = ("auto", "lines", "none")


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
    set for laser_d with monitor="held_out"; `state` a design's state to begin with. `watch` is "auto" (lines,
    and a live figure in a notebook), "lines" or "none"; `report_to` goes to Transformers ("tensorboard",
    "trackio", "wandb").

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
    made = fit_design(design, cap, **(design_params or {})) if isinstance(design, str) else design
    if not isinstance(design, str) and design_params:
        raise ConfigError("design_params belong to a design given by name")
    if state is not None:
        made.load_state(dict(state))
    check(chosen, made, cap, problems, reference, monitor)
    plan = Plan(
        made, problems, model, Path(run_dir), profile, chosen, cap, seed, effort, reference, monitor,
        verify_timeout,
    )  # fmt: skip
    run = RunDir(run_dir)
    with run.lock() if is_main() else nullcontext():
        if is_main():
            run.begin("train", plan.identity())
        if not (run.path / "train" / "DONE").exists():
            plan.execute(watch, list(report_to))
    return TrainResult(run.path, made)


def is_main() -> bool:
    """Whether this is the one process of a launch that writes."""
    return int(os.environ.get("RANK", "0")) == 0


def check(settings: Training, design: Design, cap: int, problems, reference, monitor) -> None:
    """Raise for what can be known to be wrong before anything is loaded."""
    rows = settings.problems_per_round * settings.group_size
    if settings.group_size < 2:
        raise ConfigError(
            f"group_size={settings.group_size}: rule {design.rule!r} compares rollouts of one problem and "
            "needs at least 2"
        )
    for name in (
        "steps",
        "problems_per_round",
        "updates_per_round",
        "iterations",
        "micro_batch",
        "save_every",
    ):
        if getattr(settings, name) < 1:
            raise ConfigError(f"{name}={getattr(settings, name)} must be at least 1")
    if rows % settings.updates_per_round:
        raise ConfigError(
            f"{rows} rollouts of a round do not divide into updates_per_round={settings.updates_per_round}"
        )
    updates = settings.updates_per_round * settings.iterations
    for name in ("steps", "save_every"):
        if getattr(settings, name) % updates:
            raise ConfigError(
                f"{name}={getattr(settings, name)} must be a multiple of updates_per_round x iterations = "
                f"{updates}: a run can only be saved and ended where a round ends"
            )
    one_of("precision", settings.precision, ("float32", "bfloat16"))
    design.check_cap(cap)
    if design.needs_reference:
        _check_reference(design, problems, reference)
    held_out = getattr(design, "monitor", None) == "held_out"
    if held_out != (monitor is not None):
        raise ConfigError(
            f"{design.NAME}: monitor='held_out' needs train(monitor=<problems>), and only that uses one"
        )


def _check_reference(design: Design, problems, reference) -> None:
    if reference is None:
        raise DataError(
            f"{design.NAME} compares with a frozen model: give train(reference=...), made by "
            "training.reference_of(rollouts)"
        )
    missing = [p for p in problems["problem_id"] if p not in reference]
    if missing:
        raise DataError(
            f"the reference misses {len(missing)} of {len(problems)} problems, e.g. {missing[:3]}"
        )


@dataclass(eq=False)
class Plan:
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
        limit = models.load_config(self.source).get_text_config(decoder=True)
        context = getattr(limit, "max_position_embeddings", None)
        check_context(self.rounds.longest(), self.cap + FORCED_ROOM, context, "prompt (with a forced answer)")

    def _rounds(self, problems, per_round: int, seed: int) -> Rounds:
        form = prompts.template(self.profile.template)
        return Rounds(
            problems, self.tokenizer, form, self.design, per_round=per_round, seed=seed, effort=self.effort
        )

    def identity(self) -> dict:
        """What decides the weights that come out."""
        from importlib.metadata import version

        settings = self.settings.as_dict()
        for name in ("keep_checkpoints", "save_every"):
            settings.pop(name)
        return {
            "model": self.source.name,
            "weights": models.fingerprint(self.source),
            "tokenizer": models.tokenizer_fingerprint(self.tokenizer),
            "design": {"name": self.design.NAME, **self.design.parameters()},
            "design_state": _short(self.design.state()),
            "settings": settings,
            "max_tokens": self.cap,
            "temperature": self.profile.temperature,
            "top_p": self.profile.top_p,
            "template": prompts.template(self.profile.template).identity(),
            "effort": self.effort,
            "problems": _short([self.rounds.ids, self.rounds.answers]),
            "monitor": None if self.monitor is None else _short(list(self.monitor["problem_id"])),
            "reference": None if self.reference is None else _short(dict(self.reference)),
            "seed": self.seed,
            "verifier": grading.identity(self.timeout),
            "trl": version("trl"),
        }

    def execute(self, watch: str, report_to: list[str]) -> None:
        """Train from the last whole checkpoint, or the beginning, and leave the model behind."""
        from effwb.training.trainer import STATE, last_checkpoint
        from effwb.training.watch import Metrics, listeners

        folder = self.run_dir / "train"
        checkpoints, record = folder / "checkpoints", Record(folder / "metrics.jsonl")
        start = last_checkpoint(checkpoints)
        done = 0
        if start is not None:
            saved = json.loads((start / STATE).read_text())
            done = saved["step"]
            self.design.load_state(saved["design"])
        if is_main():
            record.cut(done)
            for path in checkpoints.glob("checkpoint-*"):
                if not (path / STATE).exists():
                    shutil.rmtree(path)  # half written when the run was killed
        title = f"{self.design.NAME}, {self.source.name}"
        metrics = Metrics(record, listeners(watch, record, self.settings.steps, title))
        params = SamplingParams(self.cap, self.profile.temperature, self.profile.top_p)
        engine = open_engine(self.settings.engine, self.model, params)
        with quiet(), closing(engine):
            trainer = metrics.trainer = self._trainer(checkpoints, engine, metrics, report_to)
            trainer.train(resume_from_checkpoint=str(start) if start else None)
            self._finish(trainer)

    def _trainer(self, checkpoints: Path, engine, metrics, report_to):
        from transformers.trainer_callback import PrinterCallback, ProgressCallback

        from effwb.training.collect import Collector
        from effwb.training.trainer import GroupTrainer

        s = self.settings
        collector = Collector(
            self.rounds, engine, group_size=s.group_size, timeout=self.timeout, seed=self.seed
        )
        watched = self.monitor and self._rounds(self.monitor, 1, self.seed)
        trainer = GroupTrainer(
            models.load_model(self.source, s.weights).train(),
            grpo_config(s, self.profile, self.cap, checkpoints, self.seed, report_to),
            self.tokenizer,
            self.design,
            collector,
            s,
            cap=self.cap,
            reference=self.reference,
            monitor=watched,
            callbacks=[metrics],
            peft_config=_lora(s),
        )
        for printer in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(printer)
        return trainer

    def _finish(self, trainer) -> None:
        """The model under its final name, then the done marker, then the checkpoints may go."""
        trainer.accelerator.wait_for_everyone()
        temporary, final = self.run_dir / ".model", self.run_dir / "model"
        trained = trainer.accelerator.unwrap_model(trainer.model)
        if hasattr(trained, "merge_and_unload"):
            trained = trained.merge_and_unload()
            trained.save_pretrained(temporary)
        else:
            trainer.save_model(str(temporary))
        if trainer.accelerator.is_main_process:
            self.tokenizer.save_pretrained(temporary)
            (temporary / "training_args.bin").unlink(missing_ok=True)
            shutil.rmtree(final, ignore_errors=True)
            temporary.rename(final)
            done = {"steps": self.settings.steps, "design": self.design.state()}
            write_atomic(self.run_dir / "train" / "DONE", json.dumps(done).encode())
            shutil.rmtree(self.run_dir / "train" / "checkpoints", ignore_errors=True)
        trainer.accelerator.wait_for_everyone()


def grpo_config(s: Training, profile: Profile, cap: int, folder: Path, seed: int, report_to: list[str]):
    """TRL's settings for ours."""
    import torch
    from trl import GRPOConfig

    world = int(os.environ.get("WORLD_SIZE", "1"))
    per_update = s.problems_per_round * s.group_size // s.updates_per_round
    micro = min(s.micro_batch, per_update // world)
    if per_update % (micro * world):
        raise ConfigError(
            f"{per_update} rollouts per update do not divide into micro_batch={micro} on {world} processes"
        )
    accumulate = per_update // (micro * world)
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
        temperature=profile.temperature,
        top_p=profile.top_p,
        beta=s.kl,
        epsilon=s.clip_low,
        epsilon_high=s.clip_high,
        loss_type=s.loss,
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
        **trl_options(s.engine),
    )


@contextmanager
def quiet():
    """No progress bars for every shard of a checkpoint, no warning that rollouts are handed over."""
    from transformers.utils import logging

    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _lora(s: Training):
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


def _short(value) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]
