"""What offline runs learned from; `tests/training/test_offline.py` has runs of theirs."""

from effwb.analysis import RunSet
from tests.made_up import write_evaluation


def test_runs_of_designs_have_no_examples(tmp_path):
    write_evaluation(tmp_path / "vanilla-seed0")
    table = RunSet.find(tmp_path).examples()
    assert table.empty
    assert list(table) == ["name", "seed", "run", "rows", "problems", "of problems", "dropped", "why"]
