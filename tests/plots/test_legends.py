"""Legends stand below the data in every kind of figure."""

import pytest

from effwb import plots
from effwb.plots.legends import legend_rows
from tests.plots.examples import (
    METHOD_FIGURES,
    curve_of,
    hint_rows,
    method_rows,
    parameter_rows,
    reg_rows,
    reward_rows,
    run_metrics,
)

MANY = ["base", "vanilla", *(f"reo_rl budgets={i}" for i in range(10))]
FIGURES = {f"{kind} of methods": lambda draw=draw: draw(MANY) for kind, draw in METHOD_FIGURES.items()} | {
    "gap": lambda: plots.curve_figure({"free": curve_of(1)}, curve_of(0), shade="free", axis="linear"),
    "one training": lambda: plots.training_figure(run_metrics()),
    "reward": lambda: plots.reward_figure(reward_rows()),
    "families": lambda: plots.tradeoff_figure(method_rows()),
    "hint": lambda: plots.hint_figure(hint_rows()),
    "reg": lambda: plots.reg_tradeoff_figure(reg_rows()),
    "parameters": lambda: plots.parameter_figure(parameter_rows(), "alpha"),
}


def drawing_areas(fig):
    """The domains of all panels as (left, right, bottom, top), and the margins in the same unit."""
    layout = fig.to_dict()["layout"]
    y_axes = [a for key, a in layout.items() if key.startswith("yaxis")]
    return [tuple(axis.get("domain", (0, 1))) for axis in y_axes]


@pytest.mark.parametrize("name", FIGURES)
def test_no_legend_is_inside_a_panel(name):
    fig = FIGURES[name]()
    layout = fig.to_dict()["layout"]
    legends = {key: legend for key, legend in layout.items() if key.startswith("legend")}
    shown = {t.legend or "legend" for t in fig.data if t.name and t.showlegend is not False}
    for key in shown & set(legends):
        legend = legends[key]
        if legend.get("yref") == "container":
            assert (legend["y"], legend["yanchor"], legend["orientation"]) == (0, "bottom", "h")
        else:  # above its panel: the bottom of the legend is at the top of a panel
            assert (legend["yanchor"], legend["orientation"]) == ("bottom", "h")
            assert any(legend["y"] == pytest.approx(top) for _, top in drawing_areas(fig))
    if len([t for t in fig.data if t.name and t.showlegend is not False and not t.legend]) > 1:
        assert legends["legend"]["yref"] == "container" or fig.layout.showlegend is False


def test_the_figure_grows_by_the_rows_of_its_legend():
    few = plots.curve_figure({"a": curve_of(0), "b": curve_of(1)}, bands=[])
    many = plots.curve_figure({name: curve_of(i) for i, name in enumerate(MANY)}, bands=[])
    inner = [fig.layout.height - fig.layout.margin.b for fig in (few, many)]
    assert inner[0] == inner[1]
    assert many.layout.height > few.layout.height


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_a_height_of_its_own(name):
    assert FIGURES[name]().layout.height >= 400  # JupyterLab would take 360 pixels


def test_a_legend_with_one_entry_is_below_too():
    rows = method_rows()[1:3].assign(parameter=["w = 1", "w = 2"])
    fig = plots.tradeoff_figure(rows)
    assert (fig.layout.showlegend, fig.layout.legend.yref) == (True, "container")


def test_rows_of_a_legend():
    # an entry takes 55 + 8 pixels a character: ten of 95 pixels, 760 pixels hold eight
    assert legend_rows(["abcde"] * 8, 860) == 1
    assert legend_rows(["abcde"] * 9, 860) == 2
    assert legend_rows(["x" * 200, "y"], 860) == 2
