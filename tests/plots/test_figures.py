"""Figures hold the numbers they were given, refuse what they cannot draw, and become files."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from effwb import plots
from effwb.analysis.published import published_reg_table
from effwb.budgets import scaled_grid
from effwb.curves import BudgetCurve, Curve
from effwb.errors import ConfigError, DataError
from effwb.export import save
from effwb.frontier import Frontier, reg
from effwb.plots.style import ALWAYS, looks_of

GRID = scaled_grid(512)


def a_curve(seed=0, problems=12):
    skill = np.random.default_rng(seed).uniform(0.2, 0.9, (problems, 1)) * (1 - np.exp(-(GRID + 4) / 60))
    return BudgetCurve(
        GRID, skill.mean(axis=0), skill, n_samples=np.full(problems, 4), mean_tokens=123.4, name="toy"
    )


def test_curve_figure_keeps_budget_zero_behind_the_break():
    curve = a_curve()
    fig = plots.curve_figure({"toy": curve}, Curve(GRID, np.minimum(curve.accuracy + 0.1, 1)), shade="toy")
    line = next(t for t in fig.data if t.name == "toy" and t.showlegend is None)
    assert line.x.tolist() == GRID[1:].tolist()
    assert line.y.tolist() == curve.accuracy[1:].tolist()
    stub = next(t for t in fig.data if t.name is None and t.line.dash == "dot" and t.legendgroup == "toy")
    assert (stub.x[0], stub.y[0]) == (1.0, curve.accuracy[0])  # half the first budget, labelled 0
    assert fig.layout.xaxis.ticktext[:4] == ("0", "2", "4", "8")
    assert fig.layout.xaxis.ticktext[-1] == "512"
    assert any(a.text == "//" for a in fig.layout.annotations)


def test_nine_curves_look_different():
    lines = [
        t for t in plots.curve_figure({f"run {i}": a_curve(i) for i in range(9)}, bands=[]).data if t.name
    ]
    assert len({(t.line.color, t.marker.symbol) for t in lines}) == 9


def test_shaded_gap_says_the_reg_it_shades_and_hover_is_complete():
    curve = a_curve()
    frontier = Curve(GRID, np.minimum(curve.accuracy + 0.1, 1))
    fig = plots.curve_figure({"toy": curve}, frontier, shade="toy", axis="linear")
    assert any(t.name == f"gap to the frontier: REG {reg(frontier, curve, 512):,.1f}" for t in fig.data)
    assert fig.layout.xaxis.type != "log"
    hover = next(t for t in fig.data if t.name == "toy").customdata[-1][1]
    low, high = (end[-1] for end in curve.interval())
    assert f"[{low:.3f}, {high:.3f}] (95%)" in hover
    assert "123.4 tokens" in hover
    assert "n = 12 problems x 4 samples" in hover


def test_length_figure_shares_add_up():
    rng = np.random.default_rng(0)
    rollouts = pd.DataFrame(
        {"length": rng.integers(1, 500, 300), "verdict": rng.choice(["correct", "unparsed"], 300)}
    )
    fig = plots.length_figure(rollouts, bins=10)
    assert sum(np.sum(t.y[1:-1:2]) for t in fig.data) == pytest.approx(1)
    share = (rollouts.verdict == "correct").mean()
    assert fig.data[0].name == f"correct ({share:.0%})"
    assert plots.length_figure(rollouts[rollouts.verdict == "correct"]).data[1].name == "not correct (0%)"


def test_the_other_figures_draw_every_row():
    frontiers = {m: Frontier.published(m) for m in ("qwen3-4b", "qwen3-8b")}
    drawn = {t.name for t in plots.frontier_figure(frontiers, l_max=16384).data}
    assert drawn >= set(frontiers)
    fig = plots.oracle_figure({"a": np.array([8, 2, 4])}, {"rule": np.array([1, 2, 4])})
    assert fig.data[1].y.tolist() == [2, 4, 8]
    assert fig.data[1].customdata.tolist() == [2, 3, 1]  # the step at which each was chosen
    errors = pd.DataFrame(
        {"model": list("aab"), "scheme": "exp", "n": [1, 2, 1], "error_pct": [-3.0, 0.5, 1.0]}
    )
    assert [t.y.tolist() for t in plots.quadrature_figure(errors).data] == [[3.0, 0.5], [1.0]]
    average = published_reg_table().query("benchmark == 'average'")
    assert sum(len(t.x) for t in plots.reg_figure(average).data) == 44


def test_question_budgets_are_all_drawn_and_levels_are_ordered_as_numbers():
    table = pd.DataFrame({"budget": [512, 512, 30, 7, 7, 200], "level": ["2", "10", "2", "2", "10", "8"]})
    fig = plots.question_budget_figure(table, 512, bins=6)
    assert [bar.name for bar in fig.data] == ["2", "8", "10"]
    assert [int(np.sum(bar.y)) for bar in fig.data] == [3, 1, 2]
    assert fig.layout.barmode == "stack"
    assert len({bar.marker.color for bar in fig.data}) == 3
    alone = plots.question_budget_figure(table.assign(budget=512, level="easy"), 512)
    assert int(np.sum(alone.data[0].y)) == 6


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


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: plots.question_budget_figure(pd.DataFrame(columns=["budget"]), 9), DataError, "no budgets"),
        (lambda: plots.frontier_figure({}), DataError, "no curves"),
        (lambda: plots.curve_figure({"a": a_curve()}, shade="a"), DataError, "needs a frontier"),
        (
            lambda: plots.curve_figure({"a": a_curve()}, a_curve(), shade="b"),
            ConfigError,
            "unknown shade 'b'",
        ),
        (lambda: plots.curve_figure({"a": a_curve()}, axis="sqrt"), ConfigError, "sqrt"),
        (lambda: plots.length_figure(pd.DataFrame({"length": [], "verdict": []})), DataError, "empty"),
        (lambda: plots.level_figure({}, {}), DataError, "empty"),
        (lambda: save("no figure", "x"), ConfigError, "got str"),
        (lambda: save(go.Figure(), "x", table=[1]), ConfigError, "got list"),
        (lambda: save(go.Figure(), "x.html"), ConfigError, "suffix"),
        (lambda: save(go.Figure(), "x", plotlyjs="local"), ConfigError, "local"),
    ],
)
def test_bad_input_is_named(call, error, said):
    with pytest.raises(error, match=said):
        call()


def test_save_writes_both_files_and_keeps_dots_in_names(tmp_path):
    table = pd.DataFrame({"a": [1, 2]})
    paths = save(go.Figure(), tmp_path / "new" / "qwen-1.5b", table)
    assert [p.name for p in paths] == ["qwen-1.5b.html", "qwen-1.5b.csv"]
    assert pd.read_csv(paths[1]).equals(table)
    assert "cdn.plot.ly" in paths[0].read_text()
    assert save(go.Figure(), tmp_path / "plain") == [tmp_path / "plain.html"]


class TestOwnerFigure:
    OWNED = Frontier([0, 4, 8, 16, 32], [0.1, 0.2, 0.3, 0.4, 0.5], owner=("a", "b", "b", "c", "b"))

    def test_each_run_has_its_stretch_and_the_rest_is_one(self):
        fig = plots.owner_figure(self.OWNED, most=1)
        named = {t.name: t for t in fig.data if t.name}
        assert list(named) == ["b (3)", "2 others (2)"]
        assert np.isnan(named["b (3)"].y).tolist() == [True, False, False, True, False]
        assert named["b (3)"].customdata[1].tolist() == [4, "b"]

    def test_a_published_frontier_has_no_owners(self):
        with pytest.raises(DataError, match="qwen3-8b"):
            plots.owner_figure(Frontier.published("qwen3-8b"))


class TestLooks:
    """A method looks the same in every figure, and no two things in one figure look alike."""

    def test_the_methods_compared_most_are_always_the_same(self):
        alone = {name: looks_of([name])[name] for name in ALWAYS}
        assert len({colour for colour, _ in alone.values()}) == len(ALWAYS)
        assert looks_of([*reversed(ALWAYS)]) == {name: alone[name] for name in reversed(ALWAYS)}
        assert looks_of(["other", "lead static=0.5", "vanilla-seed2"]) | {"other": None} == {
            "other": None, "lead static=0.5": alone["lead"], "vanilla-seed2": alone["vanilla"],
        }  # fmt: skip
        assert looks_of(["LAPO-I", "free"]) == {
            "LAPO-I": alone["lapo_internalization"],
            "free": alone["base"],
        }

    def test_nothing_looks_alike(self):
        from effwb.designs import DESIGNS

        names = ["base", *DESIGNS, *(f"reo_rl n={n}" for n in range(12)), "somebody's"]
        assert len(set(looks_of(names).values())) == len(names)
        first = list(looks_of(["gdpo", "gfpo", "alp", "hapo", "gr3", "brpo", "mrt"]).values())
        assert len({colour for colour, _ in first}) == 7  # colours before symbols

    def test_the_order_decides_only_what_is_not_known(self):
        names = ["reo_rl", "reo_rl n=10", "base", "what"]
        for method in ("reo_rl", "base"):
            assert looks_of(names)[method] == looks_of([method])[method]
