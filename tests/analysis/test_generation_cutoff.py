"""A smaller cap without training: worked by hand, and compared with sampling at that cap."""

import pandas as pd
import pytest

from effwb.analysis.generation_cutoff import generation_cutoff
from effwb.errors import ConfigError, DataError
from effwb.rollouts import solved


def rollouts():
    return pd.DataFrame(
        {
            "problem_id": ["a", "a", "a", "a", "b", "b"],
            "sample": [0, 1, 2, 3, 0, 1],
            "length": [10, 20, 30, 40, 20, 100],
            "verdict": ["correct", "correct", "wrong", "correct", "correct", "correct"],
            "finish_reason": ["stop"] * 5 + ["length"],
        }
    )


def test_the_worked_cutoffs():
    table = generation_cutoff(rollouts(), [5, 20, 100]).set_index("cutoff")
    # at 20: a has 2 of 4, b 1 of 2; tokens 10 + 20 + 20 + 20 and 20 + 20
    assert table["accuracy"].tolist() == [0.0, 0.5, (3 / 4 + 1 / 2) / 2]
    assert table["length"].tolist() == [5.0, (70 / 4 + 20) / 2, (100 / 4 + 60) / 2]
    assert table["cut_off"].tolist() == [1.0, 0.5, 0.0]


def test_it_is_what_sampling_with_that_cap_gives():
    """The same rollouts, stopped while they were written."""
    cap = 25
    longer = rollouts()["length"] > cap
    sampled = rollouts().assign(length=rollouts()["length"].clip(upper=cap))
    sampled.loc[longer, "finish_reason"] = "length"
    row = generation_cutoff(rollouts(), [cap]).iloc[0]
    per_problem = sampled.assign(solved=solved(sampled)).groupby("problem_id")[["solved", "length"]].mean()
    assert row["accuracy"] == per_problem["solved"].mean()
    assert row["length"] == per_problem["length"].mean()


def test_a_cutoff_above_the_cap_is_unknown():
    with pytest.raises(DataError, match=r"1 rollouts were cut off after 100 tokens.*cutoff of 101"):
        generation_cutoff(rollouts(), [20, 101])


def test_cutoffs_that_do_not_increase():
    with pytest.raises((ConfigError, DataError)):
        generation_cutoff(rollouts(), [20, 10])
