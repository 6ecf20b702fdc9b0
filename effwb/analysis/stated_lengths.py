"""Lengths that a model states for itself: does it say how long it will think, and does it know?

What LAPO (arXiv 2507.15758) hopes for after its second stage: trained with "I will answer the question with n
tokens." in the prompt, the model writes the sentence itself where the prompt has none.
"""

import re
from collections.abc import Mapping

import numpy as np

from effwb import prompts
from effwb.errors import DataError
from effwb.metrics import bootstrap_mean, interval_columns, rank_correlation

NOBODY = (float("nan"),) * 3


def stated_lengths(texts, template: str | prompts.Template) -> np.ndarray:
    """The length in tokens that each completion states, float (R,); NaN where it states none.

    Found by the template's own sentence (`hints["think"]`), at its first place, with any white space.

    >>> said = "I will answer the question with 120 tokens.\\n2+3=5."
    >>> stated_lengths([said, "2+3=5."], "boxed").tolist()
    [120.0, nan]
    """
    words = prompts.template(template).hints["think"].split("{n}")
    before, behind = (r"\s+".join(map(re.escape, part.split())) for part in words)
    sentence = re.compile(rf"{before}\s*(\d+)\s*{behind}")
    found = (sentence.search(text) for text in texts)
    return np.array([float(match[1]) if match else np.nan for match in found])


def stated_summary(rollouts, template: str | prompts.Template, level: Mapping | None = None) -> dict:
    """How many rollouts of a table (`rollouts.COLUMNS`) state a length, and what it goes with.

    `stating`: their share. Of those alone: `stated` and `used`, means in tokens (used: the whole completion,
    the sentence included), `off`: mean of |used - stated| / stated. Rank correlations of a problem's mean
    stated length with `level` (problem id -> number) and with its mean length used: `rank to level`, `rank to
    used`. All but `off` over problems, with 95 % bootstrap limits ` low` and ` high`. What nobody stated is
    NaN.
    """
    if len(rollouts) == 0:
        raise DataError("there are no rollouts to look for stated lengths in")
    table = rollouts[["problem_id", "length"]].assign(stated=stated_lengths(rollouts["text"], template))
    share = table["stated"].notna().groupby(table["problem_id"]).mean()
    said = table.dropna(subset="stated")
    off = (said["length"] - said["stated"]).abs() / said["stated"].clip(lower=1)
    means = said.groupby("problem_id")[["stated", "length"]].mean()
    found = {
        "stating": bootstrap_mean(share),
        "stated": bootstrap_mean(means["stated"]) if len(means) else NOBODY,
        "used": bootstrap_mean(means["length"]) if len(means) else NOBODY,
    }
    if level is not None:
        found["rank to level"] = rank_correlation(means["stated"], [level[pid] for pid in means.index])
    found["rank to used"] = rank_correlation(means["stated"], means["length"])
    row = {"rollouts": len(table), "problems": len(share), "problems stating": len(means)}
    return row | interval_columns(found) | {"off": float(off.mean()) if len(off) else float("nan")}
