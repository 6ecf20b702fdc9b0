"""The switch between log and linear token axes, and the inset."""

import numpy as np
import plotly.graph_objects as go
import pytest

from effwb import plots
from effwb.curves import BudgetCurve
from effwb.plots.token_axes import STUB

BUDGETS = np.array([0, 8, 16, 32, 64, 128, 256, 512])


def curve(scale):
    accuracy = 0.9 * (1 - np.exp(-(BUDGETS + 1) / scale))
    return BudgetCurve(BUDGETS, accuracy, np.stack([accuracy * 1.02, accuracy * 0.98]))


def pressed(fig, label):
    """What a browser shows after a click on a button: its changes, applied to a copy of the figure."""
    menu = next(menu for menu in fig.layout.updatemenus if menu.name == "token axis")
    changes, layout = next(button.args for button in menu.buttons if button.label == label)
    copy = go.Figure(fig)
    for key, values in changes.items():
        for trace, value in zip(copy.data, values, strict=True):
            trace.update({key.replace(".", "_"): value})
    for key, value in layout.items():
        name, _, rest = key.partition(".")
        if name.startswith("annotations"):
            copy.layout.annotations[int(name[12:-1])].update({rest: value})
        else:
            copy.update_layout({f"{name}_{rest}": value})
    return copy


def drawn(fig):
    """Positions, dashes and the axis: what must be the same however a figure came to its axis."""
    lines = [t for t in fig.data if (t.xaxis or "x") == "x"]
    positions = [[v for v in t.x if v is not None] for t in lines]
    dashes = [t.line.dash or "solid" for t in lines]
    breaks = [a.visible for a in fig.layout.annotations if a.text == "//"]
    return positions, dashes, breaks, fig.layout.xaxis.type, fig.layout.xaxis.range, fig.layout.xaxis.tickvals


@pytest.mark.parametrize("other", plots.AXES)
@pytest.mark.parametrize("axis", plots.AXES)
def test_a_button_makes_the_figure_that_the_argument_makes(axis, other):
    curves = {"base": curve(200), "kimi weight=0.5": curve(300)}
    after = drawn(pressed(plots.curve_figure(curves, curve(100), shade="base", axis=axis), other))
    want = drawn(plots.curve_figure(curves, curve(100), shade="base", axis=other))
    assert after[1:4] == want[1:4]
    assert after[4] == pytest.approx(want[4])
    assert other == "linear" or after[5] == want[5]
    for a, b in zip(after[0], want[0], strict=True):
        assert a == pytest.approx(b)


def test_budget_zero_moves_to_zero_and_its_line_is_no_longer_dotted():
    fig = plots.curve_figure({"base": curve(200)}, bands=[])
    stub = next(i for i, trace in enumerate(fig.data) if trace.meta and trace.meta[0] == STUB)
    assert (fig.data[stub].x[0], fig.data[stub].line.dash) == (4, "dot")  # half of the first budget, 8
    linear = pressed(fig, "linear")
    assert (linear.data[stub].x[0], linear.data[stub].line.dash) == (0, "solid")
    assert linear.layout.xaxis.type == "linear"


def test_every_figure_over_budgets_has_the_switch_and_panels_switch_together():
    curves = {"base": curve(200)}
    for fig in (
        plots.curve_figure(curves),
        plots.frontier_figure(curves),
        plots.benchmark_figure({"a": curves, "b": curves}),
    ):
        assert [menu.name for menu in fig.layout.updatemenus] == ["token axis"]
    linear = pressed(plots.benchmark_figure({"a": curves, "b": curves}), "linear")
    assert {linear.layout.xaxis.type, linear.layout.xaxis2.type} == {"linear"}


class TestInset:
    """On a linear axis the first fifth is enlarged, where the action is there and where there is room."""

    def test_an_early_rise_has_an_inset_of_the_first_fifth(self):
        fig = plots.curve_figure({"base": curve(20)}, axis="linear")
        assert fig.layout.xaxis2.range == pytest.approx((0, 102.4))  # a fifth of 512
        assert "the first 102 tokens" in [note.text for note in fig.layout.annotations]
        inset = [t for t in fig.data if t.xaxis == "x2"]
        assert any(t.customdata is not None for t in inset)  # hover works there, too
        assert not any(t.showlegend for t in inset)

    def test_the_inset_is_shown_on_the_linear_axis_only(self):
        log = pressed(plots.curve_figure({"base": curve(20)}, axis="linear"), "log")
        assert not any(t.visible for t in log.data if t.xaxis == "x2")
        assert (log.layout.xaxis2.visible, log.layout.yaxis2.visible) == (False, False)
        notes = {note.text: note.visible for note in log.layout.annotations}
        assert notes == {"//": True, "the first 102 tokens": False}
        back = pressed(log, "linear")
        assert all(t.visible for t in back.data if t.xaxis == "x2")

    @pytest.mark.parametrize("scale", [100, 400])
    def test_a_late_rise_has_none(self, scale):
        assert "xaxis2" not in plots.curve_figure({"base": curve(scale)}, axis="linear").layout

    def test_a_line_in_its_place_has_none(self):
        low = BudgetCurve(BUDGETS, 0.3 * curve(20).accuracy)
        assert "xaxis2" not in plots.curve_figure({"base": curve(20), "low": low}, axis="linear").layout

    def test_a_log_axis_has_none(self):
        assert "xaxis2" not in plots.curve_figure({"base": curve(20)}).layout
