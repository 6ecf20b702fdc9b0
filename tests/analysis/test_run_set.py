"""Sets of finished runs: find, filter, compare, and refuse what may not be mixed."""

import json

import numpy as np
import pandas as pd
import pytest

from effwb import evaluation, runs
from effwb._internal import files
from effwb.analysis import RunAnalysis, RunSet, aes_table, effects, finished, level_table, over_seeds
from effwb.analysis.comparison import compare
from effwb.analysis.effect_tables import with_holm
from effwb.analysis.finished import describe_run, read_evaluation, run_info
from effwb.errors import ConfigError, DataError
from effwb.frontier import Frontier
from effwb.metrics import aes
from effwb.runs import RunDir
from tests.made_up import write_evaluation


@pytest.fixture
def read_columns(monkeypatch):
    """The columns of every table that is read from now on."""
    columns, read = [], runs.read_arrow

    def listen(path, names=None, *args, **options):
        columns.append(names)
        return read(path, names, *args, **options)

    for module in (runs, files):
        monkeypatch.setattr(module, "read_arrow", listen)
    return columns


class TestReadBack:
    def test_an_evaluation_is_read_without_its_model(self, tmp_path):
        result = read_evaluation(write_evaluation(tmp_path / "one"), "mine")
        assert result.summary()["accuracy"] == 1
        assert result.summary()["mean length"] == 15
        assert (result.name, result.curve.name) == ("mine", "mine")
        assert result.curve.accuracy.tolist() == [0, 1, 1]

    def test_an_unfinished_evaluation_is_refused(self, tmp_path):
        (write_evaluation(tmp_path / "one") / "probes" / "DONE").unlink()
        with pytest.raises(DataError, match="not finished"):
            read_evaluation(tmp_path / "one")


class TestFind:
    def test_runs_are_named_by_their_path_and_read_as_curves(self, tmp_path):
        write_evaluation(tmp_path / "late-seed0" / "eval", 0)
        write_evaluation(tmp_path / "stages-seed0" / "cap-64" / "eval")
        write_evaluation(tmp_path / "free")
        curves = RunSet.find(tmp_path).curves()
        assert list(curves) == ["free", "late-seed0", "stages-seed0/cap-64"]
        assert curves["late-seed0"].accuracy.tolist() == [0, 0, 1]
        assert curves["free"].accuracy.tolist() == [0, 1, 1]
        assert curves["free"].mean_tokens == 15
        assert RunSet.find(tmp_path).frontier("cross_fit").owner == ("free",) * 3

    def test_the_directory_itself_may_be_a_run(self, tmp_path):
        assert RunSet.find(write_evaluation(tmp_path / "one")).names == ["one"]
        assert RunSet.find(write_evaluation(tmp_path / "run-seed1" / "eval").parent).names == ["run-seed1"]

    def test_unfinished_runs_are_left_out(self, tmp_path):
        write_evaluation(tmp_path / "done")
        (write_evaluation(tmp_path / "probing") / "probes" / "DONE").unlink()
        (write_evaluation(tmp_path / "lost") / "rollouts" / "00000.parquet").unlink()
        (tmp_path / "reference" / "rollouts").mkdir(parents=True)
        (tmp_path / "reference" / "rollouts" / "DONE").write_text(json.dumps({"shards": 0}))
        assert RunSet.find(tmp_path).names == ["done"]

    def test_nothing_finished_and_no_directory_are_errors(self, tmp_path):
        with pytest.raises(DataError, match="effwb eval"):
            RunSet.find(tmp_path)
        with pytest.raises(ConfigError, match=r"no directory .*absent"):
            RunSet.find(tmp_path / "absent")

    def test_several_directories(self, finished, tmp_path):
        write_evaluation(tmp_path / "mine")
        names = [f"{finished.name}/free", f"{finished.name}/low", "mine"]
        assert RunSet.find(finished, tmp_path / "mine").names == names
        with pytest.raises(DataError, match="two runs are called 'mine'"):
            RunSet.find(tmp_path / "mine", tmp_path / "mine")


class TestReadingIsLazy:
    def test_no_table_is_read_before_it_is_needed(self, finished, monkeypatch):
        monkeypatch.setattr("effwb.analysis.run_analysis.read_evaluation", None)
        assert RunSet.find(finished).names == ["free", "low"]

    def test_only_the_columns_of_a_curve_are_read(self, tmp_path, read_columns):
        RunSet.find(write_evaluation(tmp_path / "one")).curves()
        assert read_columns[-2:] == [finished.ROLLOUT_COLUMNS, finished.PROBE_COLUMNS]

    def test_tokens_and_texts_are_never_read_for_numbers(self, finished, read_columns):
        run_set = RunSet.find(finished)
        compare(run_set, run_set.frontier(), 64, "free")
        run_set.table()
        run_set.reg()
        names = {name for columns in read_columns for name in columns or ["text"]}
        assert not {"completion_ids", "text", "prompt_ids"} & names

    def test_few_runs_keep_their_tables_and_all_keep_their_curves(self, finished, monkeypatch):
        monkeypatch.setattr("effwb.analysis.run_analysis.KEPT", 1)
        run_set = RunSet.find(finished)
        first, curve = run_set["free"], run_set.curve("free")
        assert run_set["free"] is first
        assert run_set.filter(names=["free"])["free"] is first  # sets made from it share what was read
        run_set["low"]
        assert run_set["free"] is not first
        assert run_set.curve("low") is run_set.curve("low")
        assert curve.accuracy.tolist() == run_set.curve("free").accuracy.tolist()

    def test_texts_are_there_when_asked_for(self, finished):
        assert {"text", "completion_ids"} <= set(RunSet.find(finished)["free"].texts().columns)


class TestWhatARunIs:
    def write(self, folder, **train):
        """A finished evaluation below a finished training."""
        write_evaluation(folder / "eval")
        identity = {"model": "pocket", "seed": 1, "max_tokens": 512, **train}
        (folder / "train").mkdir()
        RunDir(folder).begin("train", identity)

    def test_it_stands_in_its_config(self, tmp_path):
        folder = write_evaluation(tmp_path / "any-name" / "eval")
        describe_run(folder, {"method": "mine", "seed": 3, "design": "kimi", "params": {"weight": 0.5}})
        info = run_info(folder)
        assert (info.method, info.seed, info.design, info.params) == ("mine", 3, "kimi", {"weight": 0.5})
        assert RunSet.find(tmp_path)["mine"].name == "any-name"

    def test_old_runs_are_named_by_their_design_and_what_differs_from_its_defaults(self, tmp_path):
        from effwb.designs import fit_design

        plain = json.loads(json.dumps(fit_design("kimi", 512, weight=0.3).parameters()))
        self.write(tmp_path / "x-seed1", design={"name": "kimi", **plain})
        info = RunSet.find(tmp_path).info("x-seed1")
        assert (info.method, info.seed, info.design) == ("kimi weight=0.3", 1, "kimi")

    @pytest.mark.parametrize(
        ("design", "added", "method"),
        [
            ("reo_rl", {"at_cap": "own"}, "reo_rl at_cap=own"),
            ("cosine", {"reading": "open_r1"}, "cosine reading=open_r1"),
            ("kimi", {}, "kimi"),
        ],
    )
    def test_old_runs_name_what_has_another_default_now(self, tmp_path, design, added, method):
        from effwb.designs import fit_design

        plain = json.loads(json.dumps(fit_design(design, 512, **added).parameters()))
        then = {key: value for key, value in plain.items() if key not in ("at_cap", "reading", "whiten")}
        self.write(tmp_path / "old-seed1", design={"name": design, **then})
        self.write(tmp_path / "now-seed1", design={"name": design, **plain})
        run_set = RunSet.find(tmp_path)
        assert run_set.info("old-seed1").method == run_set.info("now-seed1").method == method

    def test_old_runs_name_the_run_that_they_continue(self, tmp_path):
        self.write(tmp_path / "vanilla-seed1", design={"name": "vanilla"})
        self.write(tmp_path / "vanilla_after-seed1", design={"name": "vanilla"}, model="vanilla-seed1")
        run_set = RunSet.find(tmp_path)
        assert list(run_set.methods) == ["vanilla", "vanilla after vanilla"]
        assert run_set.info("vanilla_after-seed1").after == "vanilla"

    def test_what_the_design_had_learned(self, tmp_path):
        self.write(tmp_path / "lead-seed1", design={"name": "lead"})
        (tmp_path / "lead-seed1" / "train" / "DONE").write_text(
            '{"steps": 2, "design": {"weights": [0.4, 0.6]}}'
        )
        write_evaluation(tmp_path / "base-seed1" / "eval")
        run_set = RunSet.find(tmp_path)
        assert run_set["lead-seed1"].state == {"weights": [0.4, 0.6]}
        assert run_set["base-seed1"].state is None

    def test_an_old_evaluation_of_the_start_is_the_base(self, tmp_path):
        write_evaluation(tmp_path / "base-seed2" / "eval")
        write_evaluation(tmp_path / "free")
        assert list(RunSet.find(tmp_path).methods) == ["base", "free"]


class TestFilter:
    @pytest.fixture
    def run_set(self, tmp_path):
        for method, design, params in (("a", "kimi", {"weight": 0.2}), ("b", "lead", {}), ("base", None, {})):
            for seed in (1, 0):
                folder = write_evaluation(tmp_path / f"{method}-{seed}", int(method != "base"))
                info = {"method": method, "seed": seed, "design": design, "params": params}
                describe_run(folder, info)
        return RunSet.find(tmp_path)

    def test_conditions(self, run_set):
        assert len(run_set) == 6
        assert run_set.filter(method="a", seed=1).names == ["a-1"]
        assert run_set.filter(design=["kimi", "lead"], seed=[0]).names == ["a-0", "b-0"]
        assert run_set.filter(where=lambda info: info.params.get("weight", 1) < 0.5).names == ["a-0", "a-1"]
        assert run_set.filter(names=["b-1", "a-0"]).names == ["b-1", "a-0"]
        with pytest.raises(ConfigError, match="unknown run 'c'"):
            run_set.filter(names=["c"])

    def test_one_run_by_name_or_by_method(self, run_set):
        assert run_set["a-1"].seed == 1
        assert run_set.filter(seed=0)["b"].name == "b-0"
        with pytest.raises(ConfigError, match="2 runs have the method 'b': b-0, b-1"):
            run_set["b"]
        with pytest.raises(ConfigError, match=r"unknown run 'a-7'.*Did you mean"):
            run_set["a-7"]

    def test_methods_have_their_runs_in_order_of_the_seeds(self, run_set):
        assert run_set.filter(names=["a-1", "base-0", "a-0"]).methods == {
            "a": ["a-0", "a-1"],
            "base": ["base-0"],
        }

    def test_methods_can_have_other_names(self, run_set):
        renamed = run_set.rename({"a": "Kimi"})
        assert list(renamed.methods) == ["Kimi", "b", "base"]
        assert renamed["a-0"].method == "Kimi"
        assert set(renamed.table()["name"]) == {"Kimi", "b", "base"}
        assert renamed.filter(method="Kimi").names == ["a-0", "a-1"]

    def test_tables(self, run_set):
        table = run_set.table()
        assert table.columns[:3].tolist() == ["name", "seed", "run"]
        assert table["name"].tolist() == ["a", "a", "b", "b", "base", "base"]
        assert set(run_set.effects("base")["name"]) == {"a", "b", "base"}
        assert list(run_set.pooled()) == ["a", "b", "base"]
        changes = run_set.reg_changes(baseline="base").set_index("name")
        assert changes.loc["a", "REG %"] == -100
        assert changes["seeds"].tolist() == [2, 2, 2]
        assert run_set.metrics() == {}


class TestComparable:
    @pytest.mark.parametrize(
        ("other", "message"),
        [
            ({"ids": ("a", "c")}, "problems: 2 in a and 1 more, other 2 in other"),
            (
                {"budgets": [0, 10, 15]},
                "budgets: 3 from 0 to 20 in a and 1 more, 3 from 0 to 15 in other",
            ),
            ({"version": 2}, "verifier: effwb 1 in a and 1 more, effwb 2 in other"),
            (
                {"suffix": "final{"},
                r"forced answer: 'box\{' and 8 tokens in a .*'final\{' and 8 tokens in other",
            ),
        ],
    )
    def test_runs_measured_differently_are_refused_and_the_largest_set_is_offered(
        self, tmp_path, other, message
    ):
        for name in ("a", "b"):
            write_evaluation(tmp_path / name)
        write_evaluation(tmp_path / "other", **other)
        run_set = RunSet.find(tmp_path)
        for ask in (run_set.check_alike, run_set.frontier, run_set.reg):
            with pytest.raises(DataError, match=message + r".*largest\(\) takes the 2 that agree"):
                ask()
        assert run_set.largest().names == ["a", "b"]
        assert run_set.like("other").names == ["other"]

    def test_the_order_of_the_problems_is_no_difference(self, tmp_path):
        write_evaluation(tmp_path / "a")
        write_evaluation(tmp_path / "b", ids=("b", "a"))
        assert len(RunSet.find(tmp_path).check_alike()) == 2

    def test_one_benchmark_of_several(self, tmp_path):
        write_evaluation(tmp_path / "a", ids=("x-1", "x-2", "y-1"))
        write_evaluation(tmp_path / "b", ids=("z-1",))
        run_set = RunSet.find(tmp_path).filter(names=["a"])
        assert run_set.benchmarks() == ["average", "x", "y"]
        assert len(run_set.on("x")["a"].curve.per_problem) == 2
        with pytest.raises(ConfigError, match="unknown benchmark 'z'"):
            run_set.on("z")
        with pytest.raises(DataError, match="b has no problem of 'y'"):
            RunSet.find(tmp_path).on("y").curve("b")


class TestOneRun:
    def test_all_its_tables_have_the_same_rows(self, finished):
        run = RunSet.find(finished)["free"]
        assert list(run.per_problem.index) == list(run.curve.problem_ids)
        assert run.outcomes.index.equals(run.scores.index)
        assert run.per_problem["correct"].mean() == pytest.approx(run.correct_PN().mean())
        assert (run.outcomes["wasted"].dropna() >= 0).all()
        assert (run.model, run.metrics) == (None, None)

    def test_verifiers_give_their_opinions(self, finished):
        table = RunSet.find(finished).opinions("free")
        assert table.index.names == ["problem_id", "sample"]
        assert "disagree" in table


class TestReg:
    @pytest.fixture
    def run_set(self, tmp_path):
        write_evaluation(tmp_path / "early", 1)
        write_evaluation(tmp_path / "late", 0)
        return RunSet.find(tmp_path)

    def test_the_frontier_names_the_run_that_owns_each_budget(self, run_set):
        frontier = run_set.frontier()
        assert frontier.accuracy.tolist() == [0, 1, 1]
        assert frontier.owner[1] == "early"

    def test_reg_is_the_missing_area(self, run_set):
        table = run_set.reg().set_index("name")
        # trapezoids: frontier and early 5 + 10, late 0 + 5
        assert table["REG"].tolist() == pytest.approx([0, 10])
        assert table["REG, cross-fitted"].tolist() == pytest.approx([0, 10])
        assert table["J(20)"].tolist() == [1, 1]
        assert (table["REG low"] <= table["REG"]).all()
        assert (table["REG"] <= table["REG high"]).all()
        assert run_set.reg(l_max=10).set_index("name").loc["late", "REG"] == pytest.approx(5)

    def test_a_frontier_from_elsewhere_is_a_fixed_yardstick(self, run_set):
        table = run_set.reg(Frontier([0, 10, 20], [1.0, 1.0, 1.0]))
        assert table["REG"].tolist() == pytest.approx([20 - 15, 20 - 5])
        assert "REG, cross-fitted" not in table


class TestEffects:
    def runs(self):
        rows = [("a", s, 0.5, 100.0 * (1 + s), 10.0) for s in range(3)]
        rows += [("b", s, 0.5 + 0.01 * (1 + s), 50.0 * (1 + s), 11.0 + s) for s in range(3)]
        return pd.DataFrame(rows, columns=["name", "seed", "accuracy", "mean length", "area"])

    def test_differences_are_paired_by_seed(self):
        row = effects(self.runs(), "a").set_index("name").loc["b"]
        assert row["length ratio"] == pytest.approx(0.5)  # the same ratio in each seed, whatever the lengths
        assert row[["length ratio low", "length ratio high"]].tolist() == pytest.approx([0.5, 0.5])
        assert row["Δ accuracy"] == pytest.approx(0.02)
        half = 4.302653 * 0.01 / 3**0.5
        assert row["Δ accuracy high"] == pytest.approx(0.02 + half)
        assert row["Δ area"] == pytest.approx(2.0)

    def test_each_difference_has_its_t_test_over_the_seeds(self):
        table = effects(self.runs(), "a").set_index("name")
        row = table.loc["b"]
        t = 0.02 / (0.01 / 3**0.5)  # differences 0.01, 0.02, 0.03
        assert row["df"] == 2
        assert row["Δ accuracy p"] == pytest.approx(1 - t / (t * t + 2) ** 0.5)  # Student's t with 2 df
        assert row["Δ area p"] == pytest.approx(1 - 12**0.5 / 14**0.5)  # differences 1, 2, 3: t^2 = 12
        assert row["length ratio p"] < 1e-6  # the same ratio in each seed
        assert table.loc["a", ["Δ accuracy p", "Δ area p Holm"]].isna().all()  # the baseline is no comparison

    def test_a_p_value_is_below_5_percent_where_the_interval_excludes_zero(self):
        draws = np.random.default_rng(0).normal(0.02, 0.01, (40, 3))
        names, seeds = np.repeat([f"m{i}" for i in range(40)], 3), np.tile(range(3), 40)
        runs = pd.DataFrame({"name": names, "seed": seeds, "accuracy": 0.5 + draws.ravel()})
        zero = pd.DataFrame({"name": "vanilla", "seed": range(3), "accuracy": 0.5})
        table = effects(pd.concat([runs, zero]).assign(area=1.0, **{"mean length": 10.0})).iloc[:-1]
        shown = table["Δ accuracy low"] > 0
        assert 0 < shown.sum() < 40
        assert (table["Δ accuracy p"] < 0.05).equals(shown)
        assert (table["Δ area p"] == 1).all()  # no difference at all

    def test_the_rows_of_the_table_are_the_family_of_holm(self):
        more = [self.runs()]
        more += [
            self.runs().query("name == 'b'").assign(name=f"c{i}", area=[10 + i, 10.5, 13.0]) for i in range(3)
        ]
        table = effects(pd.concat(more), "a")
        p = table["Δ area p"].dropna()
        assert len(p) == 4
        assert table["Δ area p Holm"].min() == pytest.approx(4 * p.min())
        alone = effects(self.runs(), "a").set_index("name").loc["b"]
        assert alone["Δ area p Holm"] == alone["Δ area p"]
        joined = with_holm(pd.concat([effects(self.runs(), "a"), table[table["name"] != "b"]]), "a")
        assert joined["Δ area p Holm"].min() == pytest.approx(table["Δ area p Holm"].min())

    def test_one_seed_has_no_interval(self):
        row = effects(self.runs().query("seed == 0"), "a").iloc[1]
        assert np.isnan(row[["Δ accuracy low", "length ratio high"]].astype(float)).all()
        assert np.isnan(row[["Δ accuracy p", "length ratio p Holm"]].astype(float)).all()

    def test_an_unknown_baseline_and_too_many_seeds(self):
        with pytest.raises(ConfigError, match="no run is called 'vanilla'"):
            effects(self.runs())
        with pytest.raises(ConfigError, match="needs 1 to 10"):
            over_seeds(range(11))

    def test_aes_is_computed_in_each_seed(self):
        table = aes_table(self.runs(), "a").set_index("name")
        scores = [aes(0.5, 100.0, 0.5 + 0.01 * (1 + s), 50.0) for s in range(3)]
        assert list(table.index) == ["b"]
        row = table.loc["b"]
        assert row[["AES", "AES low", "AES high"]].tolist() == pytest.approx(over_seeds(scores))
        assert row["AES p"] == row["AES p Holm"]
        assert (row["AES p"] < 0.05) == (row["AES low"] > 0)
        with pytest.raises(ConfigError, match="no run is called 'base'"):
            aes_table(self.runs())


def test_levels_have_intervals_over_their_problems():
    rollouts = pd.DataFrame(
        [(f"p{p}", s, 10 * (p + 1) + s, s % 2 == 0 or p < 2) for p in range(5) for s in range(2)],
        columns=["problem_id", "sample", "length", "right"],
    )
    rollouts["verdict"] = rollouts.pop("right").map({True: "correct", False: "wrong"})
    rollouts["finish_reason"] = "stop"
    levels = dict(zip([f"p{p}" for p in range(5)], ["10", "2", "2", "10", "extra"], strict=True))
    info = finished.RunInfo("lead", 3, "lead", {}, None, None)
    run = RunAnalysis("lead-seed3", None, rollouts, None, None, info)
    table = level_table([run], levels).set_index("level")
    assert list(table.index) == ["2", "10", "extra"]
    assert table["problems"].tolist() == [2, 2, 1]
    assert table["length"].tolist() == [25.5, 25.5, 50.5]
    assert table["accuracy"].tolist() == [0.75, 0.75, 0.5]
    assert table.loc["2", "length low"] < 25.5 < table.loc["2", "length high"]
    assert np.isnan(table.loc["extra", ["length low", "high"]].astype(float)).all()


def test_a_real_evaluation_is_found_again(pocket, few, tmp_path):
    from effwb import profiles

    scale = profiles.profile("pocket", n_problems=2, n_samples=2, max_tokens=24)
    result = evaluation.evaluate(
        few.select(range(2)), pocket, scale, run_dir=tmp_path / "x" / "eval", progress=False
    )
    run_set = RunSet.find(tmp_path)
    assert run_set.curve("x").name == "x"
    assert np.array_equal(run_set.curve("x").per_problem, result.curve.per_problem)
