"""`sft`, `simpo`, `dpo` and `o1_pruner`: train on rollouts that were sampled before, each with its own loss.

`offline` has the methods of the papers, which also choose the rollouts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effwb import models, prompts
from effwb._internal.checked import checked_arguments
from effwb.errors import ConfigError, DataError, one_of
from effwb.profiles import Profile, Training
from effwb.recipes.offline_training import LOSS_FIELDS, OfflineTraining
from effwb.training.fine_tuning import MACHINE, SIDES, FineTuning, OfflineResult
from effwb.training.offline_losses import READINGS
from effwb.training.selections import Examples, Pairs, dropped_table

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

DEFAULTS: dict[str, dict[str, Any]] = {"sft": {}, "simpo": {}, "dpo": {"beta": 0.1}, "o1_pruner": {}}


@checked_arguments(profile=Profile)
def sft(
    examples: pd.DataFrame,
    problems: Dataset,
    model: str | None = None,
    *,
    run_dir: str | Path,
    profile: Profile,
    seed: int = 0,
    watch: str = "auto",
    report_to: Sequence[str] = (),
    **settings: Any,
) -> OfflineResult:
    """Fine-tune a model on completions: TRL's `SFTTrainer`, loss on the completions alone.

    A killed run continues from its last complete checkpoint and, on a CPU, ends with the same weights. A
    finished run is read back.

    Args:
        examples: A row per example: `problem_id`, `completion_ids` (`Examples.with_tokens` makes it).
        problems: The problems; each example is learned after the plain prompt of its problem.
        model: The starting model; None is the profile's.
        run_dir: Directory of the run.
        profile: The profile: its template, and in `training` precision, LoRA, processes and the like.
        seed: Seed of the order of the examples.
        watch: "auto" or "lines": lines of text; "none".
        report_to: Transformers' reporting integrations, such as "tensorboard".
        **settings: Fields of `OfflineTraining`, such as `epochs=3`, and those of `profiles.Training` that say
            where and how fast it computes (`fine_tuning.MACHINE`).

    Returns:
        The finished run.

    Raises:
        ConfigError: A setting is unknown, not legal, or is that of another loss.
        DataError: There is no example, or one has no problem or no token.
        IdentityError: `run_dir` holds another run.

    Example:
        chosen = pairs.shortest_correct(pool)
        sft(chosen.with_tokens(pool), problems, run_dir="runs/sft", profile=profile, epochs=3).model
    """
    options: dict[str, Any] = dict(run_dir=run_dir, profile=profile, seed=seed, settings=settings)
    return prepare("sft", examples, problems, model, **options).train(watch, report_to)


@checked_arguments(profile=Profile)
def simpo(
    pairs: pd.DataFrame,
    problems: Dataset,
    model: str | None = None,
    *,
    run_dir: str | Path,
    profile: Profile,
    seed: int = 0,
    watch: str = "auto",
    report_to: Sequence[str] = (),
    **settings: Any,
) -> OfflineResult:
    """Train a model to prefer one completion of each pair: TRL's `CPOTrainer` with the SimPO loss.

        -log sigmoid(beta / |chosen| log pi(chosen) - beta / |rejected| log pi(rejected) - gamma)

    Source: 2405.14734, equation 6. It has no reference model.

    Args:
        pairs: A row per pair: `problem_id`, `chosen_completion_ids`, `rejected_completion_ids`
            (`Pairs.with_tokens` makes it).
        problems: As in `sft`.
        model: As in `sft`.
        run_dir: As in `sft`.
        profile: As in `sft`.
        seed: Seed of the order of the pairs.
        watch: As in `sft`.
        report_to: As in `sft`.
        **settings: As in `sft`; `beta` and `gamma` as above.

    Returns:
        The finished run.

    Raises:
        EffwbError: As `sft`.
    """
    options: dict[str, Any] = dict(run_dir=run_dir, profile=profile, seed=seed, settings=settings)
    return prepare("simpo", pairs, problems, model, **options).train(watch, report_to)


@checked_arguments(profile=Profile)
def dpo(
    pairs: pd.DataFrame,
    problems: Dataset,
    model: str | None = None,
    *,
    run_dir: str | Path,
    profile: Profile,
    seed: int = 0,
    watch: str = "auto",
    report_to: Sequence[str] = (),
    **settings: Any,
) -> OfflineResult:
    """Train a model to prefer one completion of each pair to the other: TRL's `DPOTrainer`.

        -log sigmoid(beta (log pi/pi_start (chosen) - log pi/pi_start (rejected)))

    Source: 2305.18290, equation 7. The log-probabilities of the starting model are computed once and stored.

    Args:
        pairs: As in `simpo`.
        problems: As in `sft`.
        model: As in `sft`.
        run_dir: As in `sft`.
        profile: As in `sft`.
        seed: Seed of the order of the pairs.
        watch: As in `sft`.
        report_to: As in `sft`.
        **settings: As in `sft`; `beta` as above (default 0.1).

    Returns:
        The finished run.

    Raises:
        EffwbError: As `sft`.
    """
    options: dict[str, Any] = dict(run_dir=run_dir, profile=profile, seed=seed, settings=settings)
    return prepare("dpo", pairs, problems, model, **options).train(watch, report_to)


@checked_arguments(profile=Profile)
def o1_pruner(
    examples: pd.DataFrame,
    problems: Dataset,
    model: str | None = None,
    *,
    run_dir: str | Path,
    profile: Profile,
    reading: str = "released",
    seed: int = 0,
    watch: str = "auto",
    report_to: Sequence[str] = (),
    **settings: Any,
) -> OfflineResult:
    """Train a model with O1-Pruner's loss: PPO's clip, with a weight in place of the advantage (2501.12570).

    `offline_losses.o1_pruner_loss` has the equation. The log-probabilities of the starting model are computed
    once and stored.

    Args:
        examples: A row per example: `problem_id`, `completion_ids`, `weight` (`pairs.o1_pruner` makes it).
        problems: As in `sft`.
        model: As in `sft`.
        run_dir: As in `sft`.
        profile: As in `sft`.
        reading: The ratio of "released" code, averaged over tokens, or of the "paper".
        seed: Seed of the order of the examples.
        watch: As in `sft`.
        report_to: As in `sft`.
        **settings: As in `sft`; `clip` is the range of the ratio.

    Returns:
        The finished run.

    Raises:
        EffwbError: As `sft`.
    """
    options: dict[str, Any] = dict(run_dir=run_dir, profile=profile, seed=seed, settings=settings)
    run = prepare("o1_pruner", examples, problems, model, reading=reading, **options)
    return run.train(watch, report_to)


def prepare(
    loss: str,
    table: pd.DataFrame,
    problems: Dataset,
    model: str | None,
    *,
    settings: Mapping[str, Any],
    selection: Examples | Pairs | None = None,
    base: OfflineTraining | None = None,
    design: Mapping[str, Any] | None = None,
    **run: Any,
) -> FineTuning:
    """Check everything about a training on stored rollouts, before any weights are loaded.

    Args:
        loss: "sft", "simpo", "dpo" or "o1_pruner".
        table: The examples or pairs with their tokens.
        problems: The problems.
        model: The starting model; None is the profile's.
        settings: Fields of `OfflineTraining` and of `MACHINE`.
        selection: What the table is made from; it knows what was left out.
        base: What `settings` go over; None: the defaults.
        design: Name and parameters of the method; None: the name of the loss.
        **run: `run_dir`, `profile` and `seed` of the run, and `reading` of O1-Pruner.

    Raises:
        EffwbError: As `sft`.
    """
    profile: Profile = run["profile"]
    training, machine = split_settings(
        loss, base or OfflineTraining(**DEFAULTS[loss]), profile.training, settings
    )
    options = {}
    if loss == "o1_pruner":
        options["reading"] = run.pop("reading", READINGS[0])
        one_of("reading", options["reading"], READINGS)
    if selection is not None:
        selection.check()
    name = model or profile.model
    tokenizer = models.load_tokenizer(models.locate(name, profile.trust_remote_code))
    rows = _rows(loss, table, problems, tokenizer, prompts.template(profile.template))
    rows, described = _within(loss, rows, table, training.max_length, selection)
    return FineTuning(
        loss=loss,
        rows=rows,
        model=name,
        run_dir=Path(run.pop("run_dir")),
        settings=training,
        machine=machine,
        design=design or {"name": loss},
        loss_options=options,
        examples=described,
        **run,
    )


def split_settings(
    loss: str, base: OfflineTraining, machine: Training, settings: Mapping[str, Any]
) -> tuple[OfflineTraining, Training]:
    """Put settings over those of a recipe and of a profile.

    Args:
        loss: "sft", "simpo", "dpo" or "o1_pruner".
        base: What the fields of `OfflineTraining` go over.
        machine: What the fields of `MACHINE` go over.
        settings: Fields of both.

    Raises:
        ConfigError: A field is unknown, not legal, or is that of another loss.
    """
    for name in settings:
        others = [other for other, fields in LOSS_FIELDS.items() if name in fields and other != loss]
        if others and name not in LOSS_FIELDS[loss]:
            raise ConfigError(f"{name} is a setting of {' and '.join(others)}; the loss {loss!r} has none")
        one_of("setting of a training on stored rollouts", name, [*OfflineTraining.model_fields, *MACHINE])
    own = {name: value for name, value in settings.items() if name in MACHINE}
    rest = {name: value for name, value in settings.items() if name not in MACHINE}
    return base.override(**rest), machine.override(engine="transformers", **own)  # no engine samples


def _rows(loss: str, table: pd.DataFrame, problems: Dataset, tokenizer, template) -> list[dict[str, Any]]:
    """The token ids of each example or pair after the plain prompt of its problem."""
    columns = [f"{side}_completion_ids" if side != "completion" else "completion_ids" for side in SIDES[loss]]
    wanted = ["problem_id", *columns, *(["weight"] if loss == "o1_pruner" else [])]
    if missing := [name for name in wanted if name not in table]:
        raise DataError(
            f"the loss {loss!r} learns from the columns {', '.join(wanted)}; the table lacks "
            f"{', '.join(missing)} (Examples.with_tokens and Pairs.with_tokens add the tokens)"
        )
    if table.empty:
        raise DataError(f"nothing to learn: the table for {loss!r} has no rows")
    questions = dict(zip(problems["problem_id"], problems["question"], strict=True))
    if unknown := sorted(set(table["problem_id"]) - set(questions)):
        raise DataError(f"{len(unknown)} problem_ids are not among the problems, such as {unknown[0]!r}")
    ids = {pid: prompts.render(tokenizer, questions[pid], template)[1] for pid in set(table["problem_id"])}
    rows = []
    for record in table[wanted].to_dict("records"):
        row: dict[str, Any] = {"prompt_ids": list(ids[record["problem_id"]])}
        for side, column in zip(SIDES[loss], columns, strict=True):
            row[f"{side}_ids"] = [int(token) for token in record[column]]
            if not row[f"{side}_ids"]:
                raise DataError(f"{column} of problem {record['problem_id']!r} has no tokens")
        rows.append(row | ({"weight": float(record["weight"])} if loss == "o1_pruner" else {}))
    return rows


def _within(
    loss: str,
    rows: list[dict[str, Any]],
    table: pd.DataFrame,
    max_length: int | None,
    selection: Examples | Pairs | None,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows that are not too long, and what is stored about them and about all that was left out."""
    lengths = [len(row["prompt_ids"]) + max(len(row[f"{side}_ids"]) for side in SIDES[loss]) for row in rows]
    fits = [max_length is None or length <= max_length for length in lengths]
    ids = table["problem_id"].tolist()
    too_long = [pid for pid, fit in zip(ids, fits, strict=True) if not fit]
    dropped = dropped_table({f"longer than max_length={max_length} tokens": too_long}).to_dict("records")
    summary = f"{len(rows)} rows from {len(set(ids))} problems" if selection is None else selection.summary()
    if too_long:
        summary += f"; then {len(too_long)} longer than max_length={max_length} tokens left out"
    if not any(fits):
        raise DataError(f"nothing to learn: {summary}")
    before = [] if selection is None else selection.dropped.to_dict("records")
    described = {
        "rows": sum(fits),
        "problems": len({pid for pid, fit in zip(ids, fits, strict=True) if fit}),
        "of_problems": len(set(ids)) if selection is None else selection.n_problems,
        "summary": summary,
        "dropped": [*before, *dropped],
    }
    return [row for row, fit in zip(rows, fits, strict=True) if fit], described
