"""Which mode a rollout is in, how good each is, and whether the choice was right."""

import numpy as np
import pandas as pd
import pytest

from effwb.analysis.thinking_modes import mode_accuracy, mode_table, not_thinking
from effwb.errors import DataError

CLOSING = 7


def rollouts(rows):
    """(problem, first token, length, right) per rollout."""
    return pd.DataFrame(
        {
            "problem_id": [r[0] for r in rows],
            "length": [r[2] for r in rows],
            "verdict": ["correct" if r[3] else "wrong" for r in rows],
            "finish_reason": "stop",
            "completion_ids": [[r[1], 1, 2] for r in rows],
        }
    )


FREE = rollouts([("a", 7, 5, 1), ("a", 3, 50, 1), ("b", 3, 90, 0), ("b", 3, 110, 1)])


def test_the_first_token_tells():
    assert not_thinking(FREE, CLOSING).tolist() == [True, False, False, False]
    assert not_thinking(rollouts([]), CLOSING).tolist() == []


def test_shares_accuracy_and_length_are_over_problems():
    table = mode_table(FREE, CLOSING).set_index("mode")
    assert table.loc["think", "share"] == pytest.approx(0.75)
    assert table.loc["think", "accuracy"] == pytest.approx((1.0 + 0.5) / 2)  # not 2 of 3
    assert table.loc["think", "length"] == pytest.approx((50 + 100) / 2)
    assert table.loc["empty", ["share", "accuracy", "length", "rollouts"]].tolist() == [0.25, 1.0, 5.0, 1]
    assert table.loc["think", "share low"] <= 0.75 <= table.loc["think", "share high"]


def test_a_mode_that_is_not_there_is_nan():
    empty = mode_table(FREE[FREE["problem_id"] == "b"], CLOSING).set_index("mode").loc["empty"]
    assert empty["share"] == 0
    assert np.isnan(empty[["accuracy", "length", "length p95"]].astype(float)).all()


def test_by_group():
    table = mode_table(FREE, CLOSING, by={"a": 2, "b": 8}).set_index(["group", "mode"])
    assert table["share"].to_dict() == {
        (2, "think"): 0.5, (2, "empty"): 0.5, (8, "think"): 1.0, (8, "empty"): 0.0,
    }  # fmt: skip


def test_a_truncated_rollout_is_wrong():
    cut = FREE.assign(finish_reason="length")
    assert mode_table(cut, CLOSING).set_index("mode").loc["think", "accuracy"] == 0


def test_hacc_by_hand():
    think = rollouts([("a", 3, 50, 1), ("a", 3, 50, 0), ("b", 3, 90, 1), ("b", 3, 90, 1)])
    empty = rollouts([("a", 1, 5, 1), ("a", 1, 5, 1), ("b", 1, 5, 0), ("b", 1, 5, 1)])
    found = mode_accuracy(FREE, think, empty, CLOSING)
    assert found["chosen"].mean == pytest.approx(
        (0.5 + 1.0) / 2
    )  # a: not thinking is better, done half the time
    assert found["always think"].mean == found["never think"].mean == 0.5
    assert found["decided"].mean == 1
    assert mode_accuracy(FREE, think, empty, CLOSING, delta=0.6)["never think"].mean == 1


def test_hacc_where_both_modes_are_equal():
    same = rollouts([("a", 3, 5, 1), ("b", 3, 5, 1)])
    found = mode_accuracy(FREE, same, same, CLOSING)
    assert found["decided"].mean == 0
    assert np.isnan(found["chosen"].mean)


def test_bad_input():
    with pytest.raises(DataError, match="no rollouts"):
        mode_table(rollouts([]), CLOSING)
    with pytest.raises(DataError, match="same problems"):
        mode_accuracy(FREE, FREE, FREE[FREE["problem_id"] == "a"], CLOSING)
    with pytest.raises(DataError, match=r"misses 1 problems, e\.g\. b"):
        mode_table(FREE, CLOSING, by={"a": 1})
