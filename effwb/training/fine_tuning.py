"""`FineTuning`: one training on stored rollouts, which continues after a kill."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effwb import models, prompts
from effwb._internal.interrupts import brief_interrupts
from effwb._internal.progress import has_label, labelled, notebook_line
from effwb.errors import ConfigError, DataError
from effwb.profiles import Profile, Training
from effwb.recipes.offline_training import LOSS_FIELDS, OfflineTraining
from effwb.runs import (
    RunDir,
    digest,
    read_json,
    read_parquet,
    write_atomic,
    write_json,
    write_parquet,
)
from effwb.training.checkpoints import STATE, check_model, newest_whole, remove_unfit
from effwb.training.checks import check_machine, check_report_to
from effwb.training.launch import launch_job
from effwb.training.record import Record, done_marker, interruption, mark_done, read_metrics
from effwb.training.trl_config import (
    free_memory,
    is_main,
    processes,
    quiet,
    save_model,
    world_size,
)

if TYPE_CHECKING:
    import pandas as pd

# rows of a loss: token ids by the columns that end with them
SIDES = {"sft": ("completion",), "simpo": ("chosen", "rejected"), "o1_pruner": ("completion",)}
SIDES["dpo"] = SIDES["simpo"]
REFERENCE = {"dpo": {"chosen": "ref_chosen_logps", "rejected": "ref_rejected_logps"}}
REFERENCE["o1_pruner"] = {"completion": "ref_logps"}
# Fields of Training that say where, how fast and how precisely a fine-tuning computes; it has no others.
MACHINE = (
    *("micro_batch", "tokens_per_forward", "weights", "precision", "gradient_checkpointing"),
    *("lora_rank", "lora_alpha", "save_every", "keep_checkpoints", "processes", "accelerate_config"),
)
IDENTIFYING = ("weights", "precision", "lora_rank", "lora_alpha")  # of MACHINE: they decide the weights
EXAMPLES = "examples.json"  # what a finished or running training learns from, and what was left out


@dataclass(frozen=True, eq=False)
class OfflineResult:
    """A finished training on stored rollouts.

    Attributes:
        run_dir: Its directory.
    """

    run_dir: Path

    @property
    def model(self) -> str:
        """The directory of the trained model, which `open_sampler` and `train` take."""
        return str(self.run_dir / "model")

    @property
    def metrics(self) -> pd.DataFrame:
        """metrics.jsonl as a DataFrame, a row per step."""
        return read_metrics(self.run_dir / "train" / "metrics.jsonl")

    @property
    def examples(self) -> dict[str, Any]:
        """What it learned from: `rows`, `problems`, `summary`, and in `dropped` what was left out and why."""
        return read_json(self.run_dir / "train" / EXAMPLES, "restore it from a copy")

    @property
    def state(self) -> dict:
        """What a design had learned; empty, as these methods have no state."""
        return {}


@dataclass(eq=False)
class FineTuning:
    """One training on stored rollouts whose settings have been checked.

    Attributes:
        loss: "sft", "simpo", "dpo" or "o1_pruner".
        rows: What it learns from: `prompt_ids`, `<side>_ids` for the `SIDES` of the loss, and `weight`.
        model: Name or path of the starting model.
        run_dir: Directory of the run.
        profile: The profile; its template and `trust_remote_code` are used.
        settings: Epochs, learning rate, batch and the parameters of the loss.
        machine: The training settings; those in `MACHINE` are used.
        seed: Seed of the order of the rows and of adapters.
        design: Name and parameters of the method, as config.json holds them.
        loss_options: Further options of the loss.
        examples: What is stored about the rows and what was left out.
        recipe: The recipe, and what the run has not of the paper's experiment; recorded beside the identity.
        table: Name of the table in config.json, and of its directory.
        known_identity: What identifies the run; None: everything below.
    """

    loss: str
    rows: Sequence[dict]
    model: str
    run_dir: Path
    profile: Profile
    settings: OfflineTraining
    machine: Training
    seed: int
    design: Mapping[str, Any]
    loss_options: Mapping[str, Any] = field(default_factory=dict)
    examples: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    table: str = "train"
    known_identity: Mapping[str, Any] | None = None

    def __post_init__(self):
        self.source = models.locate(self.model, self.profile.trust_remote_code)
        self.tokenizer = models.load_tokenizer(self.source)
        if not len(self.rows):
            raise DataError(f"{self.design['name']}: there is nothing to learn from")
        context = models.context_of(models.load_config(self.source))
        if context is not None and self.longest > context:
            raise ConfigError(
                f"{self.design['name']}: prompt and completion have up to {self.longest} tokens, the context "
                f"of {self.model} has {context}; set max_length to leave longer ones out"
            )
        self.accumulation = split_batch(self.settings.batch_size, self.machine)

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest prompt with its completion."""
        sides = SIDES[self.loss]
        return max(len(r["prompt_ids"]) + len(r[f"{side}_ids"]) for r in self.rows for side in sides)

    @property
    def steps(self) -> int:
        """Updates of the whole run; the last one of an epoch may have fewer rows."""
        return self.settings.epochs * -(-len(self.rows) // self.settings.batch_size)

    @property
    def pad(self) -> int:
        """The token that fills up batches; it is masked everywhere."""
        ids = (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id, 0)
        return next(token for token in ids if token is not None)

    def identity(self) -> dict:
        """Everything that decides the trained weights."""
        from importlib.metadata import version

        if self.known_identity is not None:
            return dict(self.known_identity)
        foreign = {name for loss, own in LOSS_FIELDS.items() for name in own} - {*LOSS_FIELDS[self.loss]}
        settings = {k: v for k, v in self.settings.as_dict().items() if k not in foreign}
        return {
            "model": self.source.name,
            "weights": models.fingerprint(self.source),
            "tokenizer": models.tokenizer_fingerprint(self.tokenizer),
            "design": dict(self.design),
            "loss": {"name": self.loss, **self.loss_options},
            "settings": settings | {name: getattr(self.machine, name) for name in IDENTIFYING},
            "template": prompts.template(self.profile.template).identity(None),
            "examples": digest([_lists(row) for row in self.rows]),
            "seed": self.seed,
            "trl": version("trl"),
        }

    def recorded(self) -> dict:
        """What identifies nothing: how sums are rounded, and what was left out."""
        rounding = ("micro_batch", "tokens_per_forward", "gradient_checkpointing", "save_every")
        names = {name: getattr(self.machine, name) for name in rounding}
        stored = {"examples": self.examples.get("summary", ""), "recipe": dict(self.recipe)}
        return {"processes": world_size(), **names, **stored}

    @property
    def folder(self) -> Path:
        """Directory of the training in the run's."""
        return self.run_dir / self.table

    @property
    def is_done(self) -> bool:
        """Whether it has finished; raises `DataError` if its model is damaged."""
        marker = self.folder / "DONE"
        if not marker.exists():
            return False
        if self.known_identity is None:  # the warm starts of older versions have another marker
            done_marker(self.folder)
        check_model(self.run_dir / "model", marker)
        return True

    def train(self, watch: str, report_to: Sequence[str] = ()) -> OfflineResult:
        """Train unless it is done, here or in processes of its own; then delete the checkpoints.

        Args:
            watch: "auto", "lines" or "none", see `train`.
            report_to: Names of Transformers' reporting integrations.
        """
        label = nullcontext() if has_label() else labelled(f"{self.design['name']}, seed {self.seed}")
        with notebook_line(), label, brief_interrupts(lambda: interruption(self.folder, self.machine)):
            return self._finish(watch, report_to)

    def _finish(self, watch: str, report_to: Sequence[str]) -> OfflineResult:
        from effwb.training.fine_tuning_progress import listeners, recipe_lines

        if not self.is_done:
            check_report_to(report_to)
            check_machine(self.machine)
        directory, record = RunDir(self.run_dir), Record(self.folder / "metrics.jsonl")
        notes = [f"{self.design['name']}: {self.examples['summary']}"] if self.examples else []
        notes += recipe_lines(self.recipe)
        watchers = listeners(watch, self.steps, [] if self.is_done else notes)
        has_own = processes(self.machine) > world_size() == 1
        with directory.lock() if is_main() else nullcontext():
            if is_main():
                directory.begin(self.table, self.identity(), **self.recorded())
                if not self.is_done:
                    write_json(self.folder / EXAMPLES, dict(self.examples))
                    self._store_reference()
            if not self.is_done and not has_own:
                self.execute(record, watchers, report_to)
            if is_main() and not has_own:
                shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        if has_own and not self.is_done:  # the first of the processes takes the lock
            launch_job(self.write_job(report_to), self.machine, record, watchers)
        return OfflineResult(self.run_dir)

    def execute(self, record: Record, watchers: Sequence[Callable], report_to: Sequence[str]) -> None:
        """Train in this process, from the last complete checkpoint or the beginning, and save the model."""
        from accelerate import PartialState

        from effwb.training.fine_tuning_progress import Rows
        from effwb.training.offline_trainers import make_trainer

        if world_size() > 1:  # the first process declares the run and computes the reference
            PartialState().wait_for_everyone()
        checkpoints = self.folder / "checkpoints"
        checkpoints.mkdir(parents=True, exist_ok=True)
        start = newest_whole(checkpoints, record.steps())
        if is_main():
            record.cut(0 if start is None else read_json(start / STATE, f"delete {start}")["step"])
            remove_unfit(checkpoints, start)
        with quiet(self.folder):
            model = models.load_model(self.source, self.machine.weights, "cpu").train()
            trainer = make_trainer(self, model, self._rows_with_reference(), checkpoints, report_to)
            trainer.add_callback(Rows(record, watchers))
            trainer.train(resume_from_checkpoint=None if start is None else str(start))
            save_model(trainer, self.tokenizer, self.run_dir)
            if is_main():
                mark_done(self.folder, steps=self.steps, design={})
            trainer.accelerator.wait_for_everyone()
            del trainer, model
        free_memory()

    def write_job(self, report_to: Sequence[str]) -> Path:
        """Write the run as config.json for `training.job`, with its rows in a file beside it."""
        import pandas as pd

        folder = self.folder / "job"
        folder.mkdir(parents=True, exist_ok=True)
        write_parquet(folder / "rows.parquet", pd.DataFrame(list(self.rows)))
        same = ("loss", "model", "seed", "table")
        config = {
            "fine_tuning": {
                **{name: getattr(self, name) for name in same},
                **{
                    name: dict(getattr(self, name))
                    for name in ("design", "loss_options", "examples", "recipe")
                },
                "known_identity": None if self.known_identity is None else dict(self.known_identity),
                "run_dir": str(self.run_dir.resolve()),
                "profile": self.profile.as_dict(),
                "settings": self.settings.as_dict(),
                "machine": self.machine.as_dict(),
                "report_to": list(report_to),
            }
        }
        write_atomic(folder / "config.json", json.dumps(config, indent=1).encode())
        return folder / "config.json"

    # ------------------------------------------------------------------- the frozen model
    @property
    def _reference_file(self) -> Path:
        return self.folder / "reference.parquet"

    def _store_reference(self) -> None:
        """Compute log-probabilities under the frozen starting model once, for the losses that need them."""
        if self.loss not in REFERENCE or self._reference_file.exists():
            return
        import pandas as pd

        from effwb.training.completion_logps import reference_logps

        model = models.load_model(self.source, self.machine.weights, "cpu")
        tokens, bf16 = self.machine.tokens_per_forward, self.machine.precision == "bfloat16"
        columns = {}
        for side, name in REFERENCE[self.loss].items():
            rows = [{"prompt_ids": r["prompt_ids"], "completion_ids": r[f"{side}_ids"]} for r in self.rows]
            columns[name] = reference_logps(model, rows, self.pad, tokens=tokens, bf16=bf16)
        write_parquet(self._reference_file, pd.DataFrame(columns))
        del model
        free_memory()

    def _rows_with_reference(self) -> list[dict]:
        if self.loss not in REFERENCE:
            return list(self.rows)
        table = read_parquet(self._reference_file).to_dict("records")
        if len(table) != len(self.rows):
            raise DataError(f"{self._reference_file} has {len(table)} rows, not {len(self.rows)}; delete it")
        return [{**row, **reference} for row, reference in zip(self.rows, table, strict=True)]


def split_batch(batch_size: int, machine: Training) -> tuple[int, int]:
    """How an update is split: rows per forward and backward pass, and such passes per process.

    Args:
        batch_size: Rows per update.
        machine: The training settings; `processes` and `micro_batch` are used.

    Raises:
        ConfigError: The rows of an update do not divide by the processes.
    """
    world = processes(machine)
    if batch_size % world:
        raise ConfigError(f"batch_size={batch_size} does not divide by processes={world}")
    share = batch_size // world
    micro = max(n for n in range(1, min(machine.micro_batch, share) + 1) if share % n == 0)
    return micro, share // micro


def run_written(folder: Path, written: Mapping[str, Any]) -> OfflineResult:
    """Train as one of the processes that `FineTuning.train` started.

    Args:
        folder: Directory of rows.parquet.
        written: The table `fine_tuning` of config.json.
    """
    values = dict(written)
    report_to, profile = values.pop("report_to"), dict(values.pop("profile"))
    values["profile"] = Profile(**{**profile, "training": Training(**profile["training"])})
    values["settings"], values["machine"] = (
        OfflineTraining(**values["settings"]),
        Training(**values["machine"]),
    )
    rows = read_parquet(folder / "rows.parquet").to_dict("records")
    run = FineTuning(rows=[_lists(row) for row in rows], **{**values, "run_dir": Path(values["run_dir"])})
    return run.train("none", report_to)


def _lists(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: v if isinstance(v, float) else list(map(int, v)) for name, v in row.items()}
