"""Which pools of rollouts an offline training refuses, before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from effwb.errors import DataError
from effwb.prompts import Template
from effwb.runs import flat
from effwb.training.selections import pool_of

if TYPE_CHECKING:
    import pandas as pd

SAMPLED_BY = ("weights", "tokenizer")  # what decides which rollouts a model would write
PLAIN = {"hint": None, "opening": None, "thinking": True}  # prompts that a model is trained after
SHOWN = 60  # characters of a value in a message
ALIKE = ("problems", "max_tokens", "verifier")  # what the parts of one pool share


def check_rollouts(rollouts: pd.DataFrame, name: str = "the pool") -> None:
    """Raise `DataError` for a pool in which there is nothing to choose.

    Args:
        rollouts: The pool, with the column effort where it has several prompts.
        name: What the pool is called in the message.

    Raises:
        DataError: No rollout is correct, or there is one rollout of each problem; the message has the counts.
            Or the table cannot be used, see `selections.pool_of`.
    """
    pool = pool_of(rollouts)
    n_problems, n_rollouts = pool["problem_id"].nunique(), len(pool)
    counts = f"{n_rollouts} rollouts of {n_problems} problems"
    if not pool["correct"].any():
        cut = int((rollouts["finish_reason"] == "length").sum())
        others = rollouts.loc[rollouts["finish_reason"] != "length", "verdict"].value_counts()
        verdicts = ", ".join(
            [*(f"{n} {verdict}" for verdict, n in others.items()), f"{cut} cut off at the cap"]
        )
        raise DataError(
            f"{name} has no correct rollout among {counts} ({verdicts}); sample easier problems, more "
            "rollouts of each, or with a larger cap"
        )
    if pool.groupby("problem_id").size().max() < 2:
        raise DataError(
            f"{name} has one rollout of each problem ({counts}), so there is nothing to choose; sample at "
            "least 2 (n_samples)"
        )


def check_origin(
    parts: Mapping[str, Mapping[str, Any]], *, weights: str, tokenizer: str, template: Template
) -> None:
    """Raise `DataError` for a pool from another model or template than those of the training.

    Args:
        parts: {effort prompt, "" for the plain one: identity of the rollouts in the config.json of its run}.
        weights: Fingerprint of the model that is trained (`models.fingerprint`).
        tokenizer: Fingerprint of its tokenizer (`models.tokenizer_fingerprint`).
        template: The template that the training's prompts are made with.

    Raises:
        DataError: As above; or a part was sampled under another effort prompt than it is given for, or under
            prompts that state a length, open the completion or ask not to think; or the parts have different
            problems, caps or verifiers. The message has both values.
    """
    trained = {"weights": weights, "tokenizer": tokenizer}
    first = next(iter(parts.values()))
    for effort, identity in parts.items():
        part = f"the pool's rollouts under effort={effort!r}" if effort else "the pool"
        _refuse(part, "a model", {n: identity.get(n) for n in SAMPLED_BY}, trained, identity.get("model"))
        plain = {**PLAIN, "effort": effort or None}
        _refuse(part, "prompts", {n: identity.get(n, plain[n]) for n in plain}, plain)
        _refuse(part, "a template", identity.get("template"), template.identity(effort or None))
        _refuse(part, "settings", {n: identity.get(n) for n in ALIKE}, {n: first.get(n) for n in ALIKE})


def _refuse(part: str, noun: str, sampled: Any, trained: Any, name: str | None = None) -> None:
    """Raise `DataError` if what a part of the pool was sampled with is not what the training has."""
    old, new = flat({noun: sampled}), flat({noun: trained})
    differing = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    if differing:
        key = differing[0]
        label = f" ({name})" if name else ""
        raise DataError(
            f"{part} was sampled with {noun}{label} that the training does not have: {key.partition('.')[2]} "
            f"is {_brief(old.get(key))} in the pool, {_brief(new.get(key))} in the training; sample one with "
            "the model and the settings that are trained"
        )


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} ..."
