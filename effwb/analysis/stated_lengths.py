"""Lengths that a model states by itself: does it say how long it will think, and is that true?

LAPO (2507.15758) trains with "I will answer the question with n tokens." in the prompt and hopes that the
model then writes this sentence itself where the prompt has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from effwb import prompts
from effwb.errors import DataError
from effwb.metrics import Interval, bootstrap_mean, interval_columns, rank_correlation

NO_INTERVAL = Interval(float("nan"), float("nan"), float("nan"))


def stated_lengths(texts: Iterable[str], template: str | prompts.Template) -> np.ndarray:
    r"""Find the length that each completion states, by the template's own sentence (`hints["think"]`).

    Args:
        texts: R completions.
        template: The prompt template of the run, or its name.

    Returns:
        Lengths in tokens, float (R,); the first one in each text, NaN where a text states none.

    Example:
        >>> text = "I will answer the question with 120 tokens.\n2+3=5."
        >>> stated_lengths([text, "2+3=5."], "boxed").tolist()
        [120.0, nan]
    """
    words = prompts.template(template).hints["think"].split("{n}")
    before, after = (r"\s+".join(map(re.escape, part.split())) for part in words)
    sentence = re.compile(rf"{before}\s*(\d+)\s*{after}")
    matches = (sentence.search(text) for text in texts)
    return np.array([float(match[1]) if match else np.nan for match in matches])


def stated_summary(
    rollouts: pd.DataFrame, template: str | prompts.Template, level: Mapping[str, Any] | None = None
) -> dict[str, float]:
    """How many rollouts state a length, and how well it agrees with the length they have.

    Args:
        rollouts: A rollout table with `problem_id`, `length` and `text`.
        template: The prompt template of the run, or its name.
        level: Difficulty of each problem, a number by problem id.

    Returns:
        `rollouts`, `problems` and `problems stating`: counts. `stating`: share of rollouts that state a
        length. Of those alone: `stated` and `used`, means in tokens (used is the whole completion, with the
        sentence); `off`, the mean of |used - stated| / stated; `rank to level` and `rank to used`, rank
        correlations of a problem's mean stated length with its level and with its mean length. All but the
        counts and `off` have ` low` and ` high` (95 % bootstrap over problems). NaN where no rollout states
        a length.

    Raises:
        DataError: There are no rollouts.
    """
    if len(rollouts) == 0:
        raise DataError("there are no rollouts to look for stated lengths in")
    table = rollouts[["problem_id", "length"]].assign(stated=stated_lengths(rollouts["text"], template))
    share = table["stated"].notna().groupby(table["problem_id"]).mean()
    stating = table.dropna(subset="stated")
    off = (stating["length"] - stating["stated"]).abs() / stating["stated"].clip(lower=1)
    means = stating.groupby("problem_id")[["stated", "length"]].mean()
    intervals = {
        "stating": bootstrap_mean(share.to_numpy()),
        "stated": bootstrap_mean(means["stated"].to_numpy()) if len(means) else NO_INTERVAL,
        "used": bootstrap_mean(means["length"].to_numpy()) if len(means) else NO_INTERVAL,
    }
    if level is not None:
        levels = [level[pid] for pid in means.index]
        intervals["rank to level"] = Interval(*rank_correlation(means["stated"], levels))
    intervals["rank to used"] = Interval(*rank_correlation(means["stated"], means["length"]))
    row = {"rollouts": len(table), "problems": len(share), "problems stating": len(means)}
    return row | interval_columns(intervals) | {"off": float(off.mean()) if len(off) else float("nan")}
