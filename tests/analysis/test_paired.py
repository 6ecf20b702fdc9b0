"""Two runs problem by problem, with numbers worked out by hand."""

import pytest

from effwb.analysis.paired import paired_differences, two_runs
from effwb.analysis.run_set import RunSet
from effwb.errors import ConfigError, DataError
from effwb.frontier import Frontier
from tests.made_up import TWO_BENCHMARKS, write_evaluation

T_1 = 12.706205  # Student's t with 1 degree of freedom, 97.5 %
ENDS = ["difference", "difference low", "difference high"]


@pytest.fixture
def places(tmp_path):
    """J is (0, 1, 1) in `a` and (0, 0, 1) in `b`; lengths 15, 15 and 12, 16."""
    write_evaluation(tmp_path / "a")
    write_evaluation(tmp_path / "b", correct_at_10=0, lengths={"a": 12, "b": 16})
    return tmp_path / "a", tmp_path / "b"


def test_by_hand(places):
    table = paired_differences(two_runs(*places)).set_index("measure")
    assert table.index.tolist() == ["accuracy", "J(20)", "tokens", "REG"]
    assert table.loc["accuracy", ["a", "b", *ENDS]].tolist() == [1, 1, 0, 0, 0]
    # differences -3 and 1: mean -1, standard deviation sqrt(8), standard error 2
    assert table.loc["tokens", ["a", "b", *ENDS, "percent"]].tolist() == pytest.approx(
        [15, 14, -1, -1 - 2 * T_1, -1 + 2 * T_1, -100 / 15]
    )
    # areas 15 and 5 on both problems
    assert table.loc["REG", ["a", "b", *ENDS]].tolist() == pytest.approx([0, 10, 10, 10, 10])


def test_the_frontier_moves_both_and_the_last_budget_counts(places):
    best = Frontier([0, 10, 20], [1.0, 1.0, 1.0])
    table = paired_differences(two_runs(*places), best, 10).set_index("measure")
    assert table.loc["REG", ["a", "b", "difference"]].tolist() == pytest.approx([5, 10, 5])
    assert table.loc["REG", "percent"] == pytest.approx(100)
    assert table.loc["J(10)", ["a", "b", "difference"]].tolist() == [1, 0, -1]


def test_the_other_way_round(places):
    there, back = (
        paired_differences(two_runs(*pair)).set_index("measure") for pair in (places, places[::-1])
    )
    assert back["difference"].tolist() == pytest.approx((-there["difference"]).tolist())
    assert back["difference low"].tolist() == pytest.approx((-there["difference high"]).tolist())


def test_several_benchmarks_have_rows_each(tmp_path):
    write_evaluation(tmp_path / "a", ids=TWO_BENCHMARKS)
    write_evaluation(tmp_path / "b", ids=TWO_BENCHMARKS, wrong=TWO_BENCHMARKS[:1])
    table = paired_differences(two_runs(tmp_path / "a", tmp_path / "b"))
    accuracy = table[table["measure"] == "accuracy"].set_index("benchmark")["difference"]
    assert accuracy.to_dict() == {"aime24": -0.5, "amc23": 0.0, "average": -0.25}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ids": ("a", "b", "c")}, "problems: 2 in a, 3 in other"),
        ({"ids": ("a", "c")}, "problems: 2 in a, other 2 in other"),
        ({"budgets": [0, 10]}, "budgets: 3 from 0 to 20 in a, 2 from 0 to 10 in other"),
        ({"suffix": "so {"}, "forced answer: 'box{' and 8 tokens in a, 'so {' and 8 tokens in other"),
        ({"version": 2}, "verifier: effwb 1 in a, effwb 2 in other"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_reason(places, tmp_path, change, reason):
    write_evaluation(tmp_path / "other", **change)
    with pytest.raises(DataError, match="not measured alike") as caught:
        paired_differences(two_runs(places[0], tmp_path / "other"))
    assert reason in str(caught.value)


def test_what_is_no_pair_is_refused(places, tmp_path):
    with pytest.raises(ConfigError, match=r"holds 2 runs \(a, b\); name one of them"):
        two_runs(tmp_path, places[0])
    with pytest.raises(ConfigError, match="are the same run"):
        two_runs(places[0], places[0])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no finished evaluation in"):
        two_runs(tmp_path / "empty", places[0])
    with pytest.raises(ConfigError, match="two runs are compared, got 1"):
        paired_differences(RunSet.find(places[0]))
