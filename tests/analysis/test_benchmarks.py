"""Runs on two benchmarks: every table, figure, page and command gives each benchmark and the average."""

import numpy as np
import pytest

from effwb import cli
from effwb._internal.benchmarks import averages_only
from effwb.analysis import RunSet, aes_table, effects
from effwb.analysis.benchmark_tables import published_frontier
from effwb.analysis.comparison import compare
from effwb.analysis.finished import describe_run
from effwb.analysis.html_report import write_report
from effwb.errors import ConfigError, DataError
from effwb.frontier import Frontier
from effwb.metrics import aes
from tests.made_up import TWO_BENCHMARKS, write_evaluation

BENCHMARKS = ["aime24", "amc23", "average"]


@pytest.fixture
def root(tmp_path):
    """`early` and `late`, two seeds each, on two problems of aime24 and four of amc23.

    Both solve half of aime24; `late` only at budget 20, and it solves three of four in amc23.
    """
    lengths = {"aime24-1": 18, "aime24-2": 18}
    for seed in (0, 1):
        for method, right_at_10, wrong in (("early", 1, ["aime24-2"]), ("late", 0, ["aime24-2", "amc23-4"])):
            options = {
                "ids": TWO_BENCHMARKS,
                "wrong": wrong,
                "lengths": lengths if method == "late" else None,
            }
            folder = write_evaluation(tmp_path / "runs" / f"{method}-{seed}", right_at_10, **options)
            describe_run(folder, {"method": method, "seed": seed})
    return tmp_path / "runs"


@pytest.fixture
def runs(root):
    return RunSet.find(root)


class TestOneRun:
    def test_its_curve_and_summary_are_averages(self, runs):
        run = runs["late-0"]
        assert run.curve.benchmark == "average"
        assert run.curve.accuracy.tolist() == [0, 0, (0.5 + 0.75) / 2]
        assert run.curve.mean_tokens == (18 + 15) / 2
        assert run.summary()["accuracy"] == 0.625
        assert run.summary()["mean length"] == 16.5
        assert "benchmark" not in run.summary()

    def test_its_summaries(self, runs):
        table = runs["late-0"].summaries()
        assert table.columns[:3].tolist() == ["name", "benchmark", "accuracy"]
        assert table["benchmark"].tolist() == BENCHMARKS
        assert table["accuracy"].tolist() == [0.5, 0.75, 0.625]
        assert table["mean length"].tolist() == [18, 15, 16.5]
        assert (table["low"] < table["accuracy"]).all()
        assert set(table["name"]) == {"late"}

    def test_its_caption_says_what_is_averaged(self, runs):
        assert (
            runs["late-0"]
            .caption()
            .startswith("6 problems (aime24 2, amc23 4; average over benchmarks) x 2 samples")
        )
        assert "benchmarks pooled" in runs.on("pooled")["late-0"].caption()
        assert runs.on("amc23")["late-0"].caption().startswith("4 problems x 2")

    def test_it_can_be_pooled_and_reduced(self, runs):
        pooled = runs.on("pooled")["late-0"]
        assert pooled.curve.benchmark == "pooled"
        assert pooled.summary()["accuracy"] == pytest.approx(4 / 6)
        assert pooled.curve.mean_tokens == 16
        assert len(pooled.summaries()) == 1
        assert runs["late-0"].on("amc23").curve.at(20) == 0.75
        assert runs["late-0"].on("average").benchmark == "all"
        with pytest.raises(DataError, match="no problem of 'amc24'"):
            runs["late-0"].on("amc24")

    def test_blocks_are_kept_on_one_benchmark(self, runs, monkeypatch):
        object.__setattr__(runs["late-0"].curve, "snap", 8)
        assert runs["late-0"].on("amc23").curve.snap == 8


class TestTables:
    def test_the_average_alone(self, runs):
        table = runs.on("average").table()
        assert table["benchmark"].tolist() == ["average"] * 4
        assert runs.on("average").solved_by_all()["benchmark"].tolist() == ["average"] * 2
        assert runs.on("average").curve("late-0") is runs.curve("late-0")

    def test_which_sets_there_are(self, runs):
        assert runs.benchmarks() == ["average", "aime24", "amc23"]
        assert list(runs.by_benchmark()) == BENCHMARKS
        assert list(runs.on("amc23").by_benchmark()) == ["amc23"]
        assert list(runs.on("pooled").by_benchmark()) == ["pooled"]
        with pytest.raises(ConfigError, match="unknown benchmark 'amc24'"):
            runs.on("amc24")

    def test_table(self, runs):
        table = runs.table()
        assert table.columns[:4].tolist() == ["name", "seed", "run", "benchmark"]
        assert table["run"].tolist() == [n for n in runs.names for _ in BENCHMARKS]
        assert table["benchmark"].tolist() == BENCHMARKS * 4
        late = table[table["run"] == "late-0"]
        assert late["accuracy"].tolist() == [0.5, 0.75, 0.625]
        assert late["area"].tolist() == [2.5, 3.75, 3.125]
        assert "benchmark" not in runs.on("amc23").table()

    def test_effects_and_aes_compare_benchmark_by_benchmark(self, runs):
        table = runs.effects("early").set_index(["name", "benchmark"])
        assert table.loc[("late", "aime24"), "Δ accuracy"] == 0
        assert table.loc[("late", "average"), "Δ accuracy"] == pytest.approx(-0.125)
        assert table.loc[("late", "average"), "length ratio"] == pytest.approx(16.5 / 15)
        assert table["seeds"].tolist() == [2] * 6
        scores = runs.aes("early").set_index("benchmark")
        assert list(scores.index) == BENCHMARKS
        assert scores.loc["average", "AES"] == pytest.approx(aes(0.75, 15, 0.625, 16.5))
        for make in (effects, aes_table):
            assert make(runs.table(), "early")["benchmark"].tolist()[-3:] == BENCHMARKS

    def test_reg_against_the_own_frontier(self, runs):
        table = runs.reg().set_index(["run", "benchmark"])
        # areas up to 20: early 1.5 x (1/2, 1) x 5 x 2 = 7.5 and 15; late half of (1/2, 3/4) x 10
        assert table.loc["late-0", "REG"].tolist() == pytest.approx([5, 11.25, 8.125])
        assert table.loc["early-0", "REG"].tolist() == pytest.approx([0, 0, 0])
        assert (table["REG low"] <= table["REG"]).all()
        assert table.loc["late-0", "REG, cross-fitted"].tolist() == pytest.approx([5, 11.25, 8.125])
        frontier = runs.frontier()
        assert frontier.benchmark == "average"
        assert frontier.owner is None
        again = runs.reg(frontier).set_index(["run", "benchmark"])
        assert again["REG"].tolist() == pytest.approx(table["REG"].tolist())

    def test_reg_changes(self, runs):
        table = runs.reg_changes(baseline="late").set_index(["name", "benchmark"])
        assert table.loc["early", "REG %"].tolist() == [-100] * 3
        assert table.loc["early", "Δ REG"].tolist() == pytest.approx([-5, -11.25, -8.125])
        assert table.loc["late", "seeds"].tolist() == [2] * 3

    def test_a_frontier_without_parts_has_the_average_only(self, runs):
        table = runs.reg(Frontier([0, 10, 20], [1.0, 1.0, 1.0]))
        assert table["benchmark"].tolist() == ["average"] * 4

    def test_a_pooled_set_is_not_compared_with_an_average(self, runs):
        with pytest.raises(DataError, match="pooled"):
            runs.on("pooled").reg(runs.frontier())
        assert runs.on("pooled").frontier().benchmark == "pooled"
        assert len(runs.on("pooled").reg()) == 4

    def test_separate_runs_of_one_benchmark_each_are_as_before(self, tmp_path):
        write_evaluation(tmp_path / "a", ids=("x-1", "x-2"))
        write_evaluation(tmp_path / "b", ids=("y-1", "y-2"))
        run_set = RunSet.find(tmp_path)
        assert "benchmark" not in run_set.table()
        assert run_set.benchmarks() == ["average", "x", "y"]

    def test_compare(self, runs):
        chosen = runs.filter(seed=0)
        table = compare(chosen, chosen.frontier(), 20, "early-0", resamples=200)
        assert table["benchmark"].tolist() == BENCHMARKS * 2
        late = table.iloc[3:].reset_index(drop=True)
        assert late["problems"].tolist() == [2, 4, 6]
        assert late["REG"].tolist() == pytest.approx([5, 11.25, 8.125])
        assert late["mean tokens"].tolist() == [18, 15, 16.5]
        assert averages_only(table)["accuracy"].tolist() == [0.75, 0.625]
        fixed = compare(chosen, Frontier([0, 10, 20], [1.0] * 3), 20, "early-0", resamples=200)
        assert np.isnan(fixed["REG"]).tolist() == [True, True, False] * 2

    def test_the_released_frontier_of_the_same_benchmarks(self, runs, tmp_path):
        assert published_frontier("qwen3-8b", runs).benchmarks == ("aime24", "amc23")
        assert published_frontier("qwen3-8b", runs.on("amc23")).benchmark == "amc23"
        assert len(published_frontier("qwen3-8b", runs.on("pooled")).benchmarks) == 4
        pocket = RunSet.find(write_evaluation(tmp_path / "p", ids=("pocket-1", "pocket-2")))
        assert published_frontier("qwen3-8b", pocket).benchmark == "average"


class TestSolvedByAll:
    def test_problems_that_every_method_solves(self, runs):
        table = runs.solved_by_all().set_index(["name", "benchmark"])
        assert table.loc["late"].index.tolist() == [*BENCHMARKS, "pooled"]
        assert table.loc["late", "problems"].tolist() == [1, 3, 4, 4]  # without aime24-2 and amc23-4
        assert table.loc["late", "mean length"].tolist() == [18, 15, 16.5, (18 + 3 * 15) / 4]
        assert table.loc["early", "length, correct"].tolist() == [15] * 4
        assert table.loc[("late", "pooled"), "mean length low"] < 15.75
        assert np.isnan(table.loc[("late", "average"), "mean length low"])  # one problem of aime24
        assert (table["accuracy"] == 1).all()
        assert (table["seeds"] == 2).all()

    def test_the_share_is_over_all_seeds_and_must_be_exceeded(self, tmp_path):
        for seed, wrong in ((0, ["b"]), (1, [])):
            folder = write_evaluation(tmp_path / f"x-{seed}", wrong=wrong)
            describe_run(folder, {"method": "x", "seed": seed})
        run_set = RunSet.find(tmp_path)
        assert run_set.solved_by_all(0.4)["problems"].tolist() == [2]
        half = run_set.solved_by_all()
        assert half["problems"].tolist() == [1]  # 50 % is not more than 50 %
        assert "benchmark" not in half
        with pytest.raises(ConfigError, match=r"share=1 must be in \[0, 1\)"):
            run_set.solved_by_all(1)

    def test_no_problem_is_left(self, runs, tmp_path):
        write_evaluation(tmp_path / "runs" / "none-0", ids=TWO_BENCHMARKS, wrong=TWO_BENCHMARKS)
        table = RunSet.find(tmp_path / "runs").solved_by_all()
        assert (table["problems"] == 0).all()
        assert table["mean length"].isna().all()

    def test_runs_measured_differently_are_refused(self, runs, tmp_path):
        write_evaluation(tmp_path / "runs" / "other")
        with pytest.raises(DataError, match="not measured alike"):
            RunSet.find(tmp_path / "runs").solved_by_all()


class TestExplorer:
    @pytest.fixture
    def view(self, root):
        pytest.importorskip("anywidget")
        from effwb.analysis.explorer import explore

        return explore(root, runs=["early-0", "late-0"])

    def test_the_choice_and_its_numbers(self, view):
        assert list(view.benchmark.options) == ["average", "aime24", "amc23", "pooled"]
        assert view.note.value == ""
        assert view.table["benchmark"].tolist() == BENCHMARKS * 2
        assert "average over benchmarks" in view.numbers.value
        view.benchmark.value = "aime24"
        assert "benchmark" not in view.table
        assert view.table["accuracy"].tolist() == [0.5, 0.5]
        view.benchmark.value = "pooled"
        assert "benchmarks pooled" in view.numbers.value
        assert view.table["accuracy"].tolist() == pytest.approx([5 / 6, 4 / 6])

    def test_the_figures_draw_the_chosen_ones(self, view):
        plane = view.figure("accuracy and tokens")
        assert sorted(t.y[0] for t in plane.data if t.hovertemplate == "%{customdata}<extra></extra>") == [
            0.625,
            0.75,
        ]
        curves = view.figure()
        assert "average of aime24 and amc23" in curves.layout.yaxis.title.text
        view.benchmark.value = "pooled"
        assert "aime24 and amc23, pooled" in view.figure().layout.yaxis.title.text

    def test_released_frontiers(self, messy):
        from effwb.analysis.explorer import explore

        view = explore(messy, runs=["qwen/free", "qwen/low"], frontier="qwen3-8b")
        assert view.best.benchmarks == ("aime24", "amc23")
        assert "interpolations" not in view.numbers.value
        assert view.table["REG low"].notna().all()
        view.benchmark.value = "amc23"
        assert view.best.benchmark == "amc23"
        view.benchmark.value = "pooled"
        assert "not for their pool" in view.note.value

    def test_those_of_another_model_are_not_offered(self, view):
        assert "qwen3-8b" not in view.frontier.options
        assert "starts from none" in view.frontier_note.value


def test_the_figures_of_the_reg_paper(runs):
    from effwb.analysis.papers import figures_of, reo_rl_figures

    results = reo_rl_figures(runs, runs.frontier())
    assert list(results) == ["benchmarks", "reg-tradeoff", "solved-by-all"]
    figure, points = results["benchmarks"]
    assert [a.text for a in figure.layout.annotations if a.text != "//"] == BENCHMARKS
    assert set(points["benchmark"]) == set(BENCHMARKS)
    assert results["reg-tradeoff"][0].data[0].y.tolist() == [0]
    assert results["solved-by-all"][0] is None
    fixed = reo_rl_figures(runs, Frontier([0, 10, 20, 40], [1.0] * 4))["benchmarks"][1]
    assert set(fixed["benchmark"]) == {"average"}
    assert figures_of(runs, runs.frontier())["reg"][1]["benchmark"].tolist() == BENCHMARKS * 2


def test_an_average_has_no_single_owner(runs):
    from effwb import plots

    with pytest.raises(DataError, match="those of its `parts`"):
        plots.owner_figure(runs.frontier())
    assert plots.owner_figure(runs.frontier().parts["amc23"]).data


def test_the_page(root, tmp_path):
    page = write_report(RunSet.find(root).filter(seed=0), tmp_path / "page.html").read_text(encoding="utf-8")
    assert "6 problems (aime24 2, amc23 4; average over benchmarks)" in page
    assert all(f"<td>{benchmark}</td>" in page for benchmark in BENCHMARKS)
    assert "their problems are resampled within their benchmark" in page


def test_the_command_line(root, tmp_path, capsys):
    import pandas as pd

    assert cli.main(["reg", str(root), "--csv", str(tmp_path / "reg.csv")]) == 0
    printed = capsys.readouterr().out
    assert printed.count("average") == 4
    table = pd.read_csv(tmp_path / "reg.csv").set_index(["name", "benchmark"])
    assert table.loc[("late-1", "average"), "REG"] == pytest.approx(8.125)
    Frontier([0, 10, 20], [1, 1, 1], provenance={"benchmark": "amc23"}).save(tmp_path / "amc.json")
    assert cli.main(["reg", str(root), "--frontier", str(tmp_path / "amc.json")]) == 2
    assert "the frontier is of amc23" in capsys.readouterr().err
