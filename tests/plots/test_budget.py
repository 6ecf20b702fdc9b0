"""Accuracy against token budget."""

import numpy as np
import pandas as pd
import pytest

from effwb import plots
from effwb.budgets import scaled_grid
from effwb.curves import BudgetCurve, Curve
from effwb.errors import ConfigError, DataError
from effwb.frontier import Frontier, reg, reg_interval
from effwb.plots.style import line_styles

GRID = scaled_grid(512)


def toy_curve(seed=0, problems=12):
    skill = np.random.default_rng(seed).uniform(0.2, 0.9, (problems, 1)) * (1 - np.exp(-(GRID + 4) / 60))
    return BudgetCurve(
        GRID, skill.mean(axis=0), skill, n_samples=np.full(problems, 4), mean_tokens=123.4, name="toy"
    )


def test_curve_figure_keeps_budget_zero_behind_the_break():
    curve = toy_curve()
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
        t for t in plots.curve_figure({f"run {i}": toy_curve(i) for i in range(9)}, bands=[]).data if t.name
    ]
    assert len({(t.line.color, t.marker.symbol) for t in lines}) == 9


def test_legend_has_the_reg_of_the_shaded_gap_and_hover_is_complete():
    curve = toy_curve()
    frontier = Curve(GRID, np.minimum(curve.accuracy + 0.1, 1))
    fig = plots.curve_figure({"toy": curve}, frontier, shade="toy", axis="linear")
    value, low, high = reg_interval(frontier, curve, 512)
    assert value == pytest.approx(reg(frontier, curve, 512))
    text = f"gap to the frontier: REG {value:,.1f} [{low:,.1f}, {high:,.1f}] (95% over problems)"
    assert text in [t.name for t in fig.data]
    assert "band: 95% interval over problems" in [t.name for t in fig.data]
    assert fig.layout.xaxis.type != "log"
    hover = next(t for t in fig.data if t.name == "toy").customdata[-1][1]
    low, high = (end[-1] for end in curve.interval())
    assert f"[{low:.3f}, {high:.3f}] (95%)" in hover
    assert "123.4 tokens" in hover
    assert "n = 12 problems x 4 samples" in hover


def test_question_budgets_are_all_drawn_and_levels_are_ordered_as_numbers():
    table = pd.DataFrame({"budget": [512, 512, 30, 7, 7, 200], "level": ["2", "10", "2", "2", "10", "8"]})
    fig = plots.question_budget_figure(table, 512, bins=6)
    assert [bar.name for bar in fig.data] == ["2", "8", "10"]
    assert [int(np.sum(bar.y)) for bar in fig.data] == [3, 1, 2]
    assert fig.layout.barmode == "stack"
    assert len({bar.marker.color for bar in fig.data}) == 3
    alone = plots.question_budget_figure(table.assign(budget=512, level="easy"), 512)
    assert int(np.sum(alone.data[0].y)) == 6


class TestOwnerFigure:
    OWNED = Frontier([0, 4, 8, 16, 32], [0.1, 0.2, 0.3, 0.4, 0.5], owner=("a", "b", "b", "c", "b"))

    def test_each_run_has_its_budgets_and_the_others_share_a_line(self):
        fig = plots.owner_figure(self.OWNED, most=1)
        named = {t.name: t for t in fig.data if t.name}
        assert list(named) == ["b (3)", "2 others (2)"]
        assert np.isnan(named["b (3)"].y).tolist() == [True, False, False, True, False]
        assert named["b (3)"].customdata[1].tolist() == [4, "b"]

    def test_published_frontier_has_no_owners(self):
        with pytest.raises(DataError, match="qwen3-8b"):
            plots.owner_figure(Frontier.published("qwen3-8b"))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: plots.question_budget_figure(pd.DataFrame(columns=["budget"]), 9), DataError, "no budgets"),
        (lambda: plots.frontier_figure({}), DataError, "no curves"),
        (lambda: plots.curve_figure({"a": toy_curve()}, shade="a"), DataError, "needs a frontier"),
        (
            lambda: plots.curve_figure({"a": toy_curve()}, toy_curve(), shade="b"),
            ConfigError,
            "unknown shade 'b'",
        ),
        (lambda: plots.curve_figure({"a": toy_curve()}, axis="sqrt"), ConfigError, "sqrt"),
        (
            lambda: plots.question_budget_figure(pd.DataFrame({"budget": [9]}), 9),
            DataError,
            r"lacks the columns \['level'\]",
        ),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_given_method_decides_the_colour_of_a_curve():
    curves = {"first": toy_curve(0), "kimi, second try": toy_curve(1)}
    methods = {"first": "lead", "kimi, second try": "vanilla"}
    lines = {
        t.name: t.line.color for t in plots.curve_figure(curves, methods=methods, bands=[]).data if t.name
    }
    assert lines == {"first": line_styles(["lead"])["lead"].colour, "kimi, second try": plots.COLOURS[1]}
