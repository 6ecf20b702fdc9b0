"""Each benchmark runs at a small size and writes the results that its row in the table needs."""

import json
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks import report, table

SIZES = {
    "calculators": ["--rollouts", "20000"],
    "budget_sweep": ["--profile", "pocket", "--length", "32", "--rollouts", "2", "--repeats", "1"],
    "reo_step": ["--steps", "1", "--repeats", "1", "--problems", "1", "--max-tokens", "128"],
    "verify": ["--pairs", "4000", "--distinct", "500", "--sample", "20"],
    "grpo_step": ["--steps", "1", "--repeats", "1", "--problems", "1", "--plain-micro-batch", "8"],
    "plan_error": [
        *("--steps", "1", "--problems-per-round", "1", "--n-problems", "7", "--n-samples", "1"),
        *("--max-tokens", "64"),
    ],
    "explorer": ["--runs", "32"],
    "imports": ["--repeats", "1"],
}
LONG = {"budget_sweep", "explorer", "grpo_step", "imports", "plan_error", "reo_step", "verify"}


def run(name: str, output: Path, options: list[str]) -> dict:
    """Run a benchmark in this process and return its results."""
    import_module(f"benchmarks.{name}").main(["--output", str(output), *options])
    return json.loads(output.read_text())


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long if name in LONG else ()) for name in SIZES]
)
def test_a_small_run_gives_a_row_of_the_table(name, tmp_path):
    results = run(name, tmp_path / f"{name}.json", SIZES[name])
    measured, result = table.ROWS[name](results)
    assert measured
    assert result


@pytest.mark.long
def test_growth_measures_every_step_of_small_runs(tmp_path, monkeypatch):
    growth = import_module("benchmarks.growth")
    monkeypatch.setattr(growth, "REPEATS", 1)
    results = run("growth", tmp_path / "growth.json", ["--axes", "rollouts", "--most", "1000"])
    points = results["axes"]["rollouts"]["points"]
    assert [point["rollouts"] for point in points] == [16, 1000]
    assert all(set(step) == set(growth.COSTS) for p in points for step in p["costs"]["analysis"].values())


@pytest.mark.long
def test_pocket_effects_trains_and_compares(tmp_path):
    from benchmarks import pocket_effects

    root = ["--root", str(tmp_path / "runs"), "--only", "base,vanilla", "--seeds", "0"]
    size = ["--steps", "1", "--problems-per-round", "1", "--n-problems", "7", "--n-samples", "1"]
    pocket_effects.main(["run", *root, *size])
    output = tmp_path / "pocket_effects.json"
    pocket_effects.main(["table", *root, "--output", str(output)])
    results = json.loads(output.read_text())
    stored = json.loads((report.RESULTS / "pocket_effects.json").read_text())
    assert [(row["name"], row["steps"]) for row in results["effects"]] == [("base", 0), ("vanilla", 1)]
    assert list(results["effects"][0]) == list(stored["effects"][0])
    assert list(results) == list(stored)
    assert results["questions"] == {}  # none of the other designs was trained


@pytest.mark.long
def test_offline_baselines_trains_and_compares(tmp_path):
    from benchmarks import offline_baselines, results_page

    names = ["base", "sft_shortest", "reo_rl", "vanilla"]
    root = ["--root", str(tmp_path / "runs"), "--only", ",".join(names), "--seeds", "0,1"]
    size = ["--steps", "1", "--problems-per-round", "1", "--n-problems", "7", "--n-samples", "1"]
    for part in ("0/2", "1/2"):
        small = [*size, "--train-problems", "8", "--part", part]
        offline_baselines.main(["run", *root, *small])
    output = tmp_path / "offline_baselines.json"
    offline_baselines.main(["table", *root, "--output", str(output)])
    results = json.loads(output.read_text())
    assert len(results["runs"]) == 8
    assert [row["name"] for row in results["examples"]] == ["sft_shortest"] * 2
    assert {row["name"] for row in results["to base"]} == set(names)
    assert {row["name"] for row in results["to reo_rl"]} == {"reo_rl", "sft_shortest"}
    table = results_page.offline(results)
    assert all(f"`{name}`" in table for name in names)


@pytest.mark.long
def test_at_cap_trains_both_readings_and_compares(tmp_path):
    from benchmarks import at_cap

    root = ["--root", str(tmp_path / "runs"), "--only", "mrt", "--seeds", "0,1"]
    size = ["--steps", "1", "--problems-per-round", "1", "--n-problems", "7", "--n-samples", "1"]
    for part in ("0/2", "1/2"):
        at_cap.main(["run", *root, *size, "--part", part])
    output = tmp_path / "at_cap.json"
    at_cap.main(["table", *root, "--output", str(output)])
    results = json.loads(output.read_text())
    assert [(row["at_cap"], row["seed"]) for row in results["runs"]] == [
        ("forced", 0),
        ("forced", 1),
        ("own", 0),
        ("own", 1),
    ]
    assert [row["measure"] for row in results["differences"]] == list(at_cap.MEASURES)
    for row in results["differences"]:
        assert row["seeds"] == 2
        assert row["difference"] == pytest.approx(row["forced"] - row["own"])
        assert row["low"] <= row["difference"] <= row["high"]


@pytest.mark.slow
def test_a_checkout_gives_its_own_results_again(capfd):
    from benchmarks import same_results

    with pytest.raises(SystemExit) as end:
        same_results.main([str(same_results.HERE), "--designs", "lead", "--n-problems", "7"])
    out = capfd.readouterr().out
    assert end.value.code == 0, out
    assert "lead: weights" in out
    assert "read back" in out


@pytest.mark.parametrize("name", ["gpu_budget_sweep", "gpu_grpo"])
def test_a_benchmark_for_a_gpu_prints_its_help(name, capsys):
    module = import_module(f"benchmarks.{name}")
    with pytest.raises(SystemExit) as end:
        module.main(["--help"])
    assert end.value.code == 0
    assert module.__doc__.strip() in capsys.readouterr().out


def test_every_benchmark_is_tested_here():
    files = {path.stem for path in table.HERE.glob("*.py")}
    files -= {"__init__", "report", "table", "results_page"}  # they measure nothing
    elsewhere = {
        "at_cap",
        "growth",
        "pocket_effects",
        "same_results",
        "offline_baselines",
        "gpu_budget_sweep",
        "gpu_grpo",
    }
    elsewhere |= {"notebook_results"}  # tests/benchmarks/test_results_page.py
    elsewhere |= {"public_verifiers"}  # tests/verifiers/test_public_verifiers.py
    assert files == {*SIZES, *elsewhere}


def test_results_go_to_the_folder_that_the_table_reads():
    args = report.parser_of("verify", "Help.").parse_args([])
    assert args.output == table.HERE / "results" / "verify.json"
    assert "output" not in report.settings_of(args)
