"""Which point is seen where markers and the frontier lie upon one another; what an emptied figure shows."""

import pytest

from effwb import plots
from effwb.analysis.explorer import canvas
from effwb.analysis.explorer.canvas import Point, draw, empty, new_canvas, point_on_top
from effwb.curves import BudgetCurve
from effwb.frontier import Frontier

pytest.importorskip("anywidget")
BUDGETS = [0, 8, 16, 32]
CURVES = {
    "below": BudgetCurve(BUDGETS, [0.1, 0.3, 0.5, 0.7]),
    "above": BudgetCurve(BUDGETS, [0.1, 0.2, 0.503, 0.8]),
}


@pytest.fixture(params=["log", "linear"])
def figure(request):
    return plots.curve_figure(CURVES, Frontier.from_curves(CURVES), axis=request.param)


@pytest.mark.parametrize(
    ("name", "budget", "top"),
    [
        ("below", 8, Point("below", 8)),
        ("above", 8, Point("above", 8)),
        ("below", 16, Point("above", 16)),  # a pixel apart: the later marker hides the earlier one
        ("below", 32, Point("below", 32)),
        ("below", 0, Point("above", 0)),
    ],
)
def test_the_marker_drawn_last_is_seen(figure, name, budget, top):
    k = BUDGETS.index(budget)
    lines = [t for t in figure.data if t.legendgroup == name and t.customdata is not None]
    x = next(t.x[i] for t in lines for i, row in enumerate(t.customdata) if row[0] == budget)
    assert point_on_top(figure, x, CURVES[name].accuracy[k], CURVES) == top


def test_a_click_on_the_frontier_opens_its_owner(figure):
    frontier = next(t for t in figure.data if t.name == "frontier")
    points = [point_on_top(figure, x, y, CURVES) for x, y in zip(frontier.x, frontier.y, strict=True)]
    assert [p.run for p in points if p.budget] == ["below", "above", "above"]


def test_where_no_run_is(figure):
    assert point_on_top(figure, 8, 0.9, CURVES) is None
    assert point_on_top(figure, 8, 0.3, ["above"]) is None


def test_the_plane_has_no_budgets():
    import pandas as pd

    table = pd.DataFrame({"name": ["a", "b"], "accuracy": [0.5, 0.6], "mean length": [100, 200]})
    plane = plots.tradeoff_figure(table)
    point = next(t for t in plane.data if t.x is not None and len(t.x) == 1 and t.y[0] == 0.6)
    assert point_on_top(plane, point.x[0], 0.6, ["a", "b"]) == Point("b", None)


def test_a_page_that_is_loaded_later_shows_what_is_drawn_now(figure):
    """What a page begins with is the stored state; messages reach only pages that are open."""
    shown = new_canvas()
    draw(shown, figure, one_panel=True)
    assert [trace.get("name") for trace in shown._widget_data] == [t.name for t in figure.data]
    assert shown._widget_layout["height"] == shown.layout.height >= canvas.HEIGHT
    assert figure.layout.updatemenus == shown.layout.updatemenus == ()  # the page has a switch of its own
    empty(shown)
    assert shown._widget_data == []
    assert shown.layout.xaxis.visible is False
