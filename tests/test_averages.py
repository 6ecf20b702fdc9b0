"""Averages over benchmarks: the paper's tables, unequal sizes, intervals that cover, and what is refused."""

import json

import numpy as np
import pytest

from effwb import frontier as F
from effwb import metrics as M
from effwb._internal.benchmarks import benchmark_of
from effwb._internal.paths import data_dir
from effwb.analysis.published import CELLS, published_reg_table
from effwb.averages import run_curve, split_by_benchmark
from effwb.curves import BudgetCurve, Curve, budget_curve
from effwb.errors import ConfigError, DataError
from tests.test_curves import tables

GRID = [0, 10, 20]
SMALL, LARGE = "aime24", "minerva_math"


def curve_on(benchmark, values, tokens=None, name="run"):
    """A curve of one benchmark with `values` (P, K) of its problems."""
    values = np.asarray(values, dtype=float)
    ids = [f"{benchmark}-{i}" for i in range(len(values))]
    halves = np.stack([values, values])
    return BudgetCurve(
        GRID, values.mean(axis=0), values, problem_ids=ids, halves=halves, mean_tokens=tokens, name=name
    )


def two(small=((0, 1, 1), (0, 0, 1)), large=((0, 0, 0), (0, 0, 1), (0, 0, 0), (0, 0, 1))):
    """Two problems of a small benchmark and four of a large one."""
    return {SMALL: curve_on(SMALL, small, 100.0), LARGE: curve_on(LARGE, large, 400.0)}


def pooled(parts):
    values = np.concatenate([c.per_problem for c in parts.values()])
    ids = np.concatenate([c.problem_ids for c in parts.values()])
    return BudgetCurve(GRID, values.mean(axis=0), values, problem_ids=ids, name="pooled")


class TestPublished:
    def test_the_printed_average_reg_is_the_mean_of_the_four_cells(self):
        table = published_reg_table().set_index(["model", "method", "benchmark"])["reg"].unstack()
        printed = published_reg_table().query("benchmark == 'average'").set_index(["model", "method"])
        error = table[CELLS].mean(axis=1) - table["average"]
        # cells and average of a reference row carry one decimal; of others, percent of the reference with one
        reference = printed["reg"] / (1 + printed["change_pct"].fillna(0) / 100)
        tolerance = (0.1 + 0.001 * reference).reindex(error.index)
        exceptions = error.index[error.abs() > tolerance].tolist()
        assert len(error) == 44
        assert exceptions == [("r1-distill-qwen-7b", "HGPO")]  # cells -2.46 %, printed -0.4 %
        assert error[exceptions[0]] / 1424.9 == pytest.approx(-0.0206, abs=2e-4)

    @pytest.mark.parametrize("model", F.MODELS)
    def test_the_average_frontier_is_the_macro_average(self, model):
        parts = {b: F.Frontier.published(model, b) for b in F.BENCHMARKS[:-1]}
        average = F.Frontier.published(model)
        assert np.array_equal(F.macro_average(parts).accuracy, average.accuracy)
        record = json.loads(data_dir("frontiers", f"{model}.json").read_text())["accuracy"]
        mean = np.mean([record[b] for b in F.BENCHMARKS[:-1]], axis=0)
        assert np.array_equal(average.accuracy, mean)
        assert (average.benchmark, average.benchmarks) == ("average", tuple(sorted(F.BENCHMARKS[:-1])))

    def test_macro_reg_is_the_reg_of_the_averages(self):
        frontiers = {b: F.Frontier.published("qwen3-8b", b) for b in F.BENCHMARKS[:-1]}
        curves = {b: BudgetCurve(f.budgets, f.accuracy**2) for b, f in frontiers.items()}
        each = [F.reg(frontiers[b], curves[b]) for b in frontiers]
        assert F.macro_reg(frontiers, curves, 16384) == pytest.approx(np.mean(each))
        average = F.macro_average(curves)
        assert F.reg(F.Frontier.published("qwen3-8b"), average) == pytest.approx(np.mean(each))

    def test_some_of_the_four(self):
        some = F.Frontier.published("qwen3-4b", ["aime24", "amc23"])
        parts = [F.Frontier.published("qwen3-4b", b).accuracy for b in ("aime24", "amc23")]
        assert some.accuracy == pytest.approx(np.mean(parts, axis=0))
        assert np.array_equal(F.Frontier.published("qwen3-4b").on("aime24", "amc23").accuracy, some.accuracy)
        assert F.Frontier.published("qwen3-4b").on("amc23").benchmark == "amc23"
        assert F.Frontier.published("qwen3-4b", ["amc23"]).benchmark == "amc23"
        assert F.Frontier.published("qwen3-4b", ["average"]).benchmark == "average"
        with pytest.raises(ConfigError, match="unknown benchmark 'average'"):
            F.Frontier.published("qwen3-4b", ["aime24", "average"])
        with pytest.raises(ConfigError, match="unknown benchmark 'amc24'"):
            F.Frontier.published("qwen3-4b", ["aime24", "amc24"])


class TestMacroAverage:
    def test_unequal_sizes(self):
        parts = two()
        average = F.macro_average(parts)
        # aime24 (0, 1/2, 1), minerva_math (0, 0, 1/2)
        assert average.accuracy.tolist() == [0, 0.25, 0.75]
        assert average.mean_tokens == 250
        assert pooled(parts).accuracy == pytest.approx([0, 1 / 6, 4 / 6])
        assert (average.benchmark, pooled(parts).benchmark) == ("average", "pooled")
        assert average.benchmarks == pooled(parts).benchmarks == (SMALL, LARGE)
        assert average.benchmark_P.tolist() == [SMALL] * 2 + [LARGE] * 4
        assert (parts[SMALL].benchmark, average.name) == (SMALL, "run")

    def test_the_order_of_the_names_does_not_matter(self):
        turned = dict(reversed(two().items()))
        average = F.macro_average(turned)
        assert average.problem_ids.tolist() == F.macro_average(two()).problem_ids.tolist()
        frontier = F.Frontier.from_curves([average])
        assert F.reg_interval(frontier, average, 20, resample_frontier=True) == (0, 0, 0)

    def test_one_benchmark_is_itself(self):
        part = two()[LARGE]
        average = F.macro_average({LARGE: part})
        assert average.accuracy.tolist() == part.accuracy.tolist()
        assert average.benchmark == LARGE
        assert np.array_equal(average.interval(), part.interval())

    def test_splitting_gives_the_parts_back(self):
        parts = two()
        for benchmark, part in split_by_benchmark(F.macro_average(parts)).items():
            assert np.array_equal(part.per_problem, parts[benchmark].per_problem)
            assert np.array_equal(part.halves, parts[benchmark].halves)
            assert part.benchmark == benchmark

    def test_without_problems_there_is_only_the_mean(self):
        average = F.macro_average({"a": Curve(GRID, [0, 1, 1]), "b": Curve(GRID, [0, 0, 1])})
        assert average.accuracy.tolist() == [0, 0.5, 1]
        assert (average.per_problem, average.benchmark) == (None, "")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda p: {}, "at least one benchmark"),
            (lambda p: p | {"x": Curve([0, 20], [0, 1])}, "different budgets"),
            (lambda p: p | {"x": F.macro_average(p)}, r"curves\['x'\] is of several benchmarks: aime24, min"),
            (lambda p: p | {"x": p[SMALL]}, "problem 'aime24-0' is in two benchmarks"),
            (lambda p: p | {"x": BudgetCurve(GRID, [0, 1, 1], snap=4)}, "different snap"),
        ],
    )
    def test_bad_input_is_named(self, change, message):
        with pytest.raises(DataError, match=message):
            F.macro_average(change(two()))

    def test_macro_reg_needs_the_same_keys(self):
        with pytest.raises(DataError, match=r"frontiers has \['aime24'\], curves has \['aime24', 'minerva"):
            F.macro_reg({SMALL: Curve(GRID, [0, 1, 1])}, two(), 20)
        with pytest.raises(DataError, match="the same benchmarks"):
            F.macro_reg({}, {}, 20)

    def test_a_curve_must_be_the_mean_it_says(self):
        average = F.macro_average(two())
        with pytest.raises(DataError, match="and that over benchmarks"):
            BudgetCurve(
                GRID, average.per_problem.mean(axis=0), average.per_problem, benchmark_P=average.benchmark_P
            )
        with pytest.raises(DataError, match=r"benchmark_P has shape \(5,\), expected \(6,\)"):
            BudgetCurve(GRID, average.accuracy, average.per_problem, benchmark_P=average.benchmark_P[:5])

    def test_the_curve_of_a_run(self):
        rollouts, probes = tables()
        ids = {f"toy-{i}": f"{'aime24' if i < 2 else 'amc23'}-{i}" for i in range(6)}
        renamed = [t.assign(problem_id=t["problem_id"].map(ids)) for t in (rollouts, probes)]
        grid = [0, 4, 8, 16]
        whole, average = budget_curve(*renamed, grid), run_curve(*renamed, grid, "r", 4)
        assert average.accuracy == pytest.approx(
            (whole.per_problem[:2].mean(axis=0) + whole.per_problem[2:].mean(axis=0)) / 2
        )
        assert (average.name, average.snap, average.benchmark, whole.benchmark) == (
            "r",
            4,
            "average",
            "pooled",
        )
        single = run_curve(rollouts, probes, grid)
        assert single.benchmark_P is None
        assert np.array_equal(single.accuracy, budget_curve(rollouts, probes, grid).accuracy)


def test_ids_that_name_no_benchmark():
    assert benchmark_of(["aime24-1", "aime24-2", "hub-x-3"]).tolist() == ["aime24", "aime24", "hub-x"]
    assert benchmark_of(["a", "b-1"]).tolist() == ["", ""]
    assert benchmark_of(["550e8400-e29b-41d4", "67e55044-10b1-426f"]).tolist() == ["", ""]  # UUIDs
    assert BudgetCurve(GRID, [0, 0, 0], [[0, 0, 0]] * 2, problem_ids=["a", "b"]).benchmark == ""


class TestIntervals:
    def test_one_benchmark_changes_no_digit(self):
        rng = np.random.default_rng(0)
        values_PN, values_PK, names = rng.random((9, 4)), rng.random((9, 3)), ["x"] * 9
        for interval in (M.clustered_interval, lambda v, **k: M.paired_difference(v, v**2, **k)):
            assert interval(values_PN) == interval(values_PN, benchmark_P=names)
        for values in (values_PK, values_PK[:, 0]):
            plain, named = M.bootstrap_mean(values), M.bootstrap_mean(values, benchmark_P=names)
            assert all(np.array_equal(a, b) for a, b in zip(plain, named, strict=True))
        right = (values_PN > 0.5).astype(float)
        assert M.aes_interval(right, values_PN, right, values_PN / 2) == M.aes_interval(
            right, values_PN, right, values_PN / 2, benchmark_P=names
        )

    def test_the_t_interval_by_hand(self):
        # means 0.5 and 1; variances of the means 0.5 / 2 and 0; of the average 0.25 / 4; Welch: 1 df
        mean, low, high = M.clustered_interval([[0], [1], [1], [1], [1]], benchmark_P=list("aabbb"))
        half = 12.7062047 * 0.25
        assert (mean, low, high) == pytest.approx((0.75, 0.75 - half, 0.75 + half))
        # variances 1/4 and 1/12 of the means: df = (1/3)^2 / (1/16 + 1/288) = 32/19, t = 5.17623
        values = [[0], [1], [0], [0.5], [1]]
        mean, low, high = M.clustered_interval(values, benchmark_P=list("aabbb"))
        assert (mean, (high - low) / 2) == pytest.approx((0.5, 5.1762316 * (1 / 3) ** 0.5 / 2), abs=1e-6)

    def test_a_benchmark_with_one_problem_has_no_interval(self):
        names = list("aab")
        for mean, low, high in (
            M.clustered_interval([[0], [1], [1]], benchmark_P=names),
            M.bootstrap_mean([0, 1, 1], benchmark_P=names),
        ):
            assert mean == 0.75
            assert np.isnan([low, high]).all()

    def test_problems_are_resampled_within_their_benchmark(self):
        # a pooled bootstrap would mix 0 and 1; each benchmark is constant, so nothing is left to chance
        values, names = [0.0] * 3 + [1.0] * 9, ["a"] * 3 + ["b"] * 9
        assert M.bootstrap_mean(values, benchmark_P=names) == (0.5, 0.5, 0.5)
        assert M.bootstrap_mean(values).low < 0.75 < M.bootstrap_mean(values).high

    def test_they_cover_the_average(self):
        rng = np.random.default_rng(3)
        names, hits = ["a"] * 20 + ["b"] * 80, {"t": 0, "bootstrap": 0, "reg": 0}
        truth = (0.3 + 0.7) / 2
        frontier = Curve([0, 10], [1, 1])
        for seed in range(300):
            skill = np.concatenate([rng.beta(3, 7, 20), rng.beta(7, 3, 80)])
            values = rng.binomial(8, skill) / 8
            curve = BudgetCurve(
                [0, 10],
                [M.mean_over_problems(values, names)] * 2,
                np.stack([values] * 2, 1),
                benchmark_P=names,
            )
            intervals = {
                "t": M.clustered_interval(values[:, None], benchmark_P=names),
                "bootstrap": M.bootstrap_mean(values, 500, seed=seed, benchmark_P=names),
                "reg": F.reg_interval(frontier, curve, 10, resamples=500, seed=seed),
            }
            for kind, (_, low, high) in intervals.items():
                target = 10 * (1 - truth) if kind == "reg" else truth
                hits[kind] += low <= target <= high
        assert all(0.90 <= count / 300 <= 0.99 for count in hits.values()), hits


class TestReg:
    def test_differences_and_changes_are_of_the_average(self):
        short, vanilla = F.macro_average(two()), F.macro_average(two(small=((0, 0, 1), (0, 0, 0))))
        difference = F.reg_difference(short, vanilla, 20)
        # areas: short 0.25 * 10 + 0.75 * 5, vanilla 0 * 10 + 0.5 * 5
        assert difference.mean == pytest.approx(-(6.25 - 2.5))
        frontier = F.Frontier.from_curves({"short": short, "vanilla": vanilla})
        table = F.reg_changes(frontier, {"short": [short], "vanilla": [vanilla]}).set_index("name")
        assert table["REG"].tolist() == pytest.approx([0, 3.75])
        assert table.loc["short", "Δ REG"] == pytest.approx(-3.75)
        assert table.loc["short", "mean tokens"] == 250

    def test_the_frontier_of_averages_is_the_average_of_frontiers(self):
        # the best curve differs by benchmark: at 10 the frontiers are 1/2 and 1, not the better average
        good_small = F.macro_average(two(), "good small")
        good_large = F.macro_average(
            {SMALL: curve_on(SMALL, [[0, 0, 1]] * 2), LARGE: curve_on(LARGE, [[0, 1, 1]] * 4)}, "good large"
        )
        for method in F.METHODS:
            frontier = F.Frontier.from_curves([good_small, good_large], method)
            assert frontier.accuracy.tolist() == [0, 0.75, 1]
            assert {b: p.accuracy.tolist() for b, p in frontier.parts.items()} == {
                SMALL: [0, 0.5, 1],
                LARGE: [0, 1, 1],
            }
            assert frontier.parts[SMALL].owner[1].startswith("good small")
            gap = F.reg_interval(frontier, good_small, 20, resample_frontier=True)
            assert gap.mean == pytest.approx(F.reg(frontier, good_small, 20))
            assert gap.low <= gap.mean <= gap.high

    def test_an_average_frontier_is_saved_with_its_parts(self, tmp_path):
        frontier = F.Frontier.from_curves([F.macro_average(two(), "a")])
        back = F.Frontier.load(frontier.save(tmp_path / "f.json"))
        assert (back.benchmark, back.benchmarks, back.provenance) == (
            "average",
            (SMALL, LARGE),
            frontier.provenance,
        )
        assert back.on(LARGE).accuracy.tolist() == frontier.parts[LARGE].accuracy.tolist()
        with pytest.raises(DataError, match="not an average"):
            back.on(LARGE).on(LARGE)


def published_on_grid(benchmark):
    """A released frontier cut down to the grid of these curves."""
    frontier = F.Frontier.published("qwen3-8b", benchmark)
    if frontier.parts:
        return F.Frontier.average({b: cut(p) for b, p in frontier.parts.items()})
    return cut(frontier)


def cut(frontier):
    return F.Frontier(GRID, frontier.accuracy[:3], provenance=frontier.provenance)


class TestRefused:
    def test_a_pooled_curve_against_the_average(self):
        curve = pooled(two())
        for gap in (F.reg, F.reg_interval, F.wasted_tokens):
            with pytest.raises(DataError, match=r"equally \(pooled\).*macro_average\(\{benchmark: curve\}\)"):
                gap(published_on_grid("average"), curve, 20)

    def test_another_benchmark(self):
        with pytest.raises(DataError, match=r'is of aime24, the frontier is of amc23.*\(model, "aime24"\)'):
            F.reg(published_on_grid("amc23"), two()[SMALL], 20)
        with pytest.raises(DataError, match="the curve is of aime24, the frontier is of several"):
            F.reg(published_on_grid("average"), two()[SMALL], 20)
        with pytest.raises(DataError, match=r"\(model, \('aime24', 'minerva_math'\)\)"):
            F.reg(published_on_grid("average"), F.macro_average(two()), 20)
        with pytest.raises(DataError, match="all problems count equally"):
            F.reg(F.Frontier.from_curves([pooled(two())]), F.macro_average(two()), 20)
        with pytest.raises(DataError, match="the curve is of pocket, the frontier is of several"):
            F.reg(F.Frontier.from_curves([pooled(two())]), curve_on("pocket", [[0, 0, 1]] * 2), 20)

    def test_what_belongs_together_or_is_not_known(self):
        own = published_on_grid((SMALL, LARGE))
        assert F.reg(own, F.macro_average(two()), 20) == pytest.approx(
            F.macro_reg({b: own.on(b) for b in (SMALL, LARGE)}, two(), 20)
        )
        F.reg(published_on_grid("aime24"), two()[SMALL], 20)
        F.reg(published_on_grid("average"), BudgetCurve(GRID, [0, 0, 0]), 20)  # built by hand
        F.reg(F.Frontier.from_curves([pooled(two())]), pooled(two()), 20)
        F.reg(published_on_grid("average"), curve_on("pocket", [[0, 0, 1]] * 2), 20)  # in no published table

    def test_averages_are_not_mixed_with_pools(self):
        average, pool = F.macro_average(two()), pooled(two())
        for call in (
            lambda: F.reg_difference(average, pool, 20),
            lambda: F.pooled_seeds("x", [average, pool]),
            lambda: F.Frontier.from_curves({"a": average, "b": pool}),
        ):
            with pytest.raises(DataError, match="average over benchmarks, in the other all problems count"):
                call()
