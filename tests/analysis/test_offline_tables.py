"""The generation cut-off on rollouts worked out by hand; what offline runs learned from."""

import pandas as pd
import pytest

from effwb.analysis import RunSet
from effwb.analysis.offline_tables import generation_cutoff
from effwb.errors import ConfigError, DataError
from tests.made_up import write_evaluation

# problem a: right after 10, right after 30; b: wrong after 20, cut off at the cap of 40 with the right answer
ROLLOUTS = pd.DataFrame(
    {
        "problem_id": ["a", "a", "b", "b"],
        "length": [10, 30, 20, 40],
        "verdict": ["correct", "correct", "wrong", "correct"],
        "finish_reason": ["stop", "stop", "stop", "length"],
    }
)


def test_the_cut_off_worked_by_hand():
    table = generation_cutoff(ROLLOUTS, [9, 10, 20, 40]).set_index("cap")
    assert table["accuracy"].tolist() == [0.0, 0.25, 0.25, 0.5]
    assert table["mean length"].tolist() == [9.0, 10.0, 17.5, 25.0]
    assert table["truncated"].tolist() == [1.0, 0.75, 0.5, 0.25]


def test_each_problem_counts_equally():
    more = pd.concat([ROLLOUTS, *[ROLLOUTS[ROLLOUTS["problem_id"] == "b"]] * 3])
    assert generation_cutoff(more, [20])["accuracy"].tolist() == [0.25]


def test_what_has_no_cut_off():
    with pytest.raises(DataError, match="no rollouts"):
        generation_cutoff(ROLLOUTS.iloc[:0], [10])
    with pytest.raises(ConfigError, match="caps"):
        generation_cutoff(ROLLOUTS, [0])


def test_runs_of_designs_have_no_examples(tmp_path):
    write_evaluation(tmp_path / "vanilla-seed0")
    table = RunSet.find(tmp_path).examples()
    assert table.empty
    assert list(table) == ["name", "seed", "run", "rows", "problems", "of problems", "dropped", "why"]
