"""The table of a sweep: one frontier for all rows, base runs once; and grids that do not mix."""

import json

import pytest

from effwb import sweep
from effwb.cli.sweeps import in_columns, shared_parameters
from effwb.errors import DataError, IdentityError
from effwb.frontier import Frontier
from effwb.runs import RunDir
from effwb.sweep.parameters import grid_points
from effwb.sweep.point import SweepPoint, check_same_grid
from effwb.sweep.shared_frontier import OWN, caption
from tests.made_up import write_evaluation

SHARED = {"notebook": "n.ipynb", "code": "0123456789ab", "effwb": "0"}


def write_point(out, parameters, results, runs=None):
    """A finished point with what its notebook handed over, and the evaluations it wrote."""
    name = ",".join(f"{key}={value}" for key, value in sorted(parameters.items()) if key != "steps")
    point = SweepPoint(out / name)
    point.write_config({**SHARED, "parameters": parameters}, {"snapshot": "s"})
    for run, (change, info) in (runs or {}).items():
        folder = write_evaluation(point.folder / "runs/pocket" / run, **change)
        config = json.loads((folder / "config.json").read_text())
        RunDir(folder).write_config({**{k: config[k] for k in ("rollouts", "probes")}, "run": info})
    point.results_file.write_text(json.dumps(results))
    point.finish(12.3)
    return point


def result(name, run, reg):
    return {"name": name, "run": run, "REG": reg, "REG low": reg, "REG high": reg, "REG, cross-fitted": 0.0}


def base(change=None):
    return {"base-seed0": ({"correct_at_10": 0, **(change or {})}, {"method": "base", "seed": 0})}


def trained(design, right_at_10):
    info = {"method": design, "seed": 0, "design": design, "params": {}}
    return {f"{design}-seed0": ({"correct_at_10": right_at_10}, info)}


@pytest.fixture
def out(tmp_path):
    """Two points. J is (0, 0, 1) for the base and kimi, and (0, 1, 1) for lead: areas 5, 5 and 15.

    Each notebook measured REG against its own two curves: 0 for kimi, which is no better than the base.
    """
    for design, right, reg in (("kimi", 0, 0.0), ("lead", 1, 0.0)):
        rows = [
            result("base", "base-seed0", 10.0 if right else 0.0),
            result(design, f"{design}-seed0", reg),
        ]
        runs = {**base(), **trained(design, right)}
        write_point(tmp_path / "out", {"design": design, "steps": 20}, rows, runs)
    return tmp_path / "out"


def test_reg_is_against_the_best_of_all_points(out):
    table = sweep.table(out)
    assert table["name"].tolist() == ["base", "kimi", "lead"]
    assert table["REG"].tolist() == [10, 10, 0]
    assert table["J(20)"].tolist() == [1, 1, 1]
    assert set(table["frontier"]) == {"the frontier of 3 curves of this table"}
    assert caption(table).startswith("REG against the frontier of 3 curves of this table; accuracy x tokens")


def test_a_base_run_stands_once_and_belongs_to_no_point(out):
    row = sweep.table(out).iloc[0]
    assert (row["point"], row["design"], row["steps"], row["status"]) == ("2 points", None, 20, "done")


def test_runs_of_one_name_in_two_points_are_two_runs(tmp_path):
    """An axis that is no part of a run's name: kimi at two learning rates, one of which taught it."""
    for rate, right in ((0.1, 0), (0.2, 1)):
        runs = {**base(), **trained("kimi", right)}
        rows = [result("base", "base-seed0", 0.0), result("kimi", "kimi-seed0", 0.0)]
        write_point(tmp_path, {"rate": rate}, rows, runs)
    table = sweep.table(tmp_path)
    assert table["name"].tolist() == ["base", "kimi", "kimi"]
    assert table["REG"].tolist() == [10, 10, 0]


def test_each_benchmark_keeps_its_row(tmp_path):
    rows = [{**result("kimi", "kimi-seed0", 4.0), "benchmark": b} for b in ("aime24", "amc23", "average")]
    change = {"ids": ("aime24-1", "aime24-2", "amc23-1", "amc23-2")}
    runs = {"kimi-seed0": (change, trained("kimi", 1)["kimi-seed0"][1])}
    write_point(tmp_path, {"design": "kimi"}, rows, runs)
    table = sweep.table(tmp_path).set_index("benchmark")
    assert table["REG"].to_dict() == {"aime24": 4.0, "amc23": 4.0, "average": 0.0}
    assert table.loc["aime24", "frontier"] == OWN


def test_other_bases_stay(out, tmp_path):
    """Another seed of the rollouts, or other problems, are another run."""
    runs = {**base({"version": 2}), **trained("lapo", 0)}
    rows = [result("base", "base-seed0", 3.0), result("lapo", "lapo-seed0", 4.0)]
    write_point(out, {"design": "lapo", "steps": 20}, rows, runs)
    table = sweep.table(out)
    assert table["name"].tolist() == ["base", "kimi", "base", "lapo", "lead"]
    own = table[table["point"] == "design=lapo"].set_index("name")
    assert own.loc["base", "frontier"] == "the frontier of 1 curves of this table"
    assert "cannot be compared" in caption(table)


def test_a_frontier_of_ones_own(out):
    best = Frontier([0, 10, 20], [1.0, 1.0, 1.0], name="perfect")
    table = sweep.table(out, best)
    assert table["REG"].tolist() == [15, 15, 5]
    assert "REG, cross-fitted" not in table
    assert caption(table).startswith("REG against perfect;")
    assert sweep.table(out, lambda runs: best)["REG"].tolist() == [15, 15, 5]


def test_results_without_runs_stay_readable(tmp_path):
    """Of older sweeps, of notebooks without `run`, and of runs that were deleted."""
    write_point(tmp_path, {"design": "old"}, [{"name": "a", "REG": 7.0}])
    write_point(tmp_path, {"design": "gone"}, [result("gone", "gone-seed0", 8.0)])
    write_point(tmp_path, {"design": "plain"}, [{"square": 4}])
    table = sweep.table(tmp_path).set_index("design")
    assert table["REG"].dropna().to_dict() == {"gone": 8.0, "old": 7.0}
    assert table["frontier"].dropna().to_dict() == {"gone": OWN}
    assert table.loc["plain", "square"] == 4


def test_a_damaged_run_is_not_judged_silently(out):
    shard = out / "design=lead/runs/pocket/lead-seed0/probes/00000.parquet"
    shard.write_bytes(b"PAR1")
    with pytest.raises(DataError, match="lead-seed0"):
        sweep.table(out)


def test_the_printed_table_has_sensible_digits(out):
    table = sweep.table(out)
    shown = in_columns(table)
    assert shown["REG"].tolist() == ["10.00 [10.00, 10.00]", "10.00 [10.00, 10.00]", "0.00 [0.00, 0.00]"]
    assert shown["design"].tolist() == ["", "kimi", "lead"]
    assert not {"run", "frontier", "error", "REG low", "steps"} & set(shown)
    assert shared_parameters(table) == {"steps": "20"}
    assert shown["seconds"].tolist() == ["12", "12", "12"]


class TestGrids:
    def check(self, out, axes, fixed=None, **changed):
        declared = {"design": "kimi", "steps": 20, "seed": 0}
        points = [SweepPoint(folder.parent) for folder in sorted(out.glob("*/config.json"))]
        check_same_grid(points, grid_points(declared, axes, fixed), {**SHARED, **changed}, list(axes))

    def test_a_grid_may_grow(self, out):
        self.check(out, {"design": ["kimi", "lead", "alp"]}, {"steps": 20})
        self.check(out, {"design": ["alp"]}, {"steps": 20})

    @pytest.mark.parametrize(
        ("axes", "fixed", "message"),
        [
            (
                {"design": ["alp"], "seed": [0, 1]},
                {"steps": 20},
                "of another grid: the axes here are design, seed",
            ),
            ({"seed": [0, 1]}, {"steps": 20}, "of another grid: the axes here are seed"),
            ({"design": ["alp"], "steps": [20]}, {}, "of another grid"),
            ({"design": ["alp"]}, {"steps": 30}, "fixed.steps: 20 on disk, 30 asked for"),
            ({"design": ["alp"]}, {"steps": 20, "seed": 1}, "fixed.seed: None on disk, 1 asked for"),
            ({"design": ["alp"]}, {}, "fixed.steps: 20 on disk, None asked for"),
        ],
    )
    def test_another_grid_is_refused(self, out, axes, fixed, message):
        with pytest.raises(IdentityError) as caught:
            self.check(out, axes, fixed)
        assert message in str(caught.value)

    def test_so_is_another_notebook(self, out):
        with pytest.raises(IdentityError, match=r"notebook: 'n\.ipynb' on disk, 'm\.ipynb' asked for"):
            self.check(out, {"design": ["alp"]}, {"steps": 20}, notebook="m.ipynb")
