"""Lengths by correctness and by level, and losses."""

import numpy as np
import pandas as pd
import pytest

from effwb import plots
from effwb.errors import ConfigError, DataError


def test_length_figure_shares_add_up():
    rng = np.random.default_rng(0)
    rollouts = pd.DataFrame(
        {"length": rng.integers(1, 500, 300), "verdict": rng.choice(["correct", "unparsed"], 300)}
    ).assign(finish_reason="stop")
    fig = plots.length_figure(rollouts, bins=10)
    assert sum(np.sum(t.y[1:-1:2]) for t in fig.data) == pytest.approx(1)
    share = (rollouts.verdict == "correct").mean()
    assert fig.data[0].name == f"correct ({share:.0%})"
    assert plots.length_figure(rollouts[rollouts.verdict == "correct"]).data[1].name == "not correct (0%)"


def test_level_figure_has_a_mean_per_level_over_problems():
    rows = [("a", 10), ("a", 30), ("b", 40), ("c", 7), ("c", 9)]
    table = pd.DataFrame(rows, columns=["problem_id", "length"])
    fig = plots.level_figure({"before": table, "after": table.iloc[3:]}, {"a": 2, "b": 2, "c": 10})
    before, after = fig.data
    assert (list(before.x), list(before.y)) == ([2, 10], [30.0, 8.0])  # of 20 and 40, and of 8
    assert before.error_y.array[0] == pytest.approx(before.error_y.arrayminus[0])
    assert before.error_y.array[0] > 10
    assert np.isnan(before.error_y.array[1]), "one problem has no interval"
    assert (after.name, list(after.x)) == ("after", [10])


def test_a_truncated_rollout_is_not_correct():
    rollouts = pd.DataFrame(
        {
            "length": [100, 200, 512, 512],
            "verdict": ["correct", "wrong", "correct", "unparsed"],
            "finish_reason": ["stop", "stop", "length", "length"],
        }
    )
    fig = plots.length_figure(rollouts)
    assert [t.name for t in fig.data] == ["correct (25%)", "not correct (75%)"]
    assert "mean 100" in [a.text for a in fig.layout.annotations]  # the mean of the correct ones


def test_loss_figure_is_a_moving_mean():
    line = plots.loss_figure([4.0, 2.0, 1.0, 3.0], window=2).data[0]
    assert (line.x.tolist(), line.y.tolist()) == ([1, 2, 3, 4], [4.0, 3.0, 1.5, 2.0])


TABLE = pd.DataFrame({"problem_id": ["a", "a"], "length": [1, 2], "verdict": "correct"})


def test_levels_are_in_order_whatever_the_order_of_the_problems():
    ids = pd.Categorical(["x", "y", "z"], categories=["x", "y", "z"])  # as in the tables of a RunSet
    table = pd.DataFrame({"problem_id": ids, "length": [300, 100, 200]})
    line = plots.level_figure({"base": table}, {"x": 3, "y": 1, "z": 2}).data[0]
    assert (list(line.x), line.y.tolist()) == ([1, 2, 3], [100, 200, 300])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: plots.length_figure(pd.DataFrame({"length": [], "verdict": []})), DataError, "empty"),
        (lambda: plots.length_figure(TABLE), DataError, r"rollouts lacks the columns \['finish_reason'\]"),
        (lambda: plots.level_figure({}, {}), DataError, "empty"),
        (lambda: plots.level_figure({"a": TABLE[:0]}, {}), DataError, r"rollouts\['a'\] is empty"),
        (
            lambda: plots.level_figure({"a": TABLE}, {"b": 1}),
            DataError,
            r"rollouts\['a'\] has an entry in level",
        ),
        (lambda: plots.loss_figure([1.0], window=0), ConfigError, "window=0"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
