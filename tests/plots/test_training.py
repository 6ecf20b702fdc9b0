"""What a training run did at each step, and what its design reports."""

import numpy as np
import pandas as pd
import pytest

from effwb import plots
from effwb.errors import DataError
from effwb.plots.style import line_styles
from tests.plots.examples import PHASES, axis_titles, line_named, run_metrics


def test_training_panels_carry_units_and_share_the_step():
    fig = plots.training_figure(run_metrics(), title="toy")
    assert axis_titles(fig, "yaxis") == [
        "accuracy",
        "length (tokens)",
        "reward",
        "share",
        "entropy (nats per token)",
        "KL (nats per token)",
        "gradient norm",
        "loss",
        "seconds per step",
    ]
    assert set(axis_titles(fig, "xaxis")) == {"optimizer step"}
    assert {fig.layout[f"xaxis{i}"].matches for i in range(2, 10)} == {"x"}
    assert fig.layout.template == plots.training_figure([]).layout.template


def test_moving_mean_ends_at_its_step_and_stays_in_its_stage():
    run = run_metrics()
    line = line_named(plots.training_figure(run, window=3), "right")
    length = run["length/correct"].to_numpy()
    assert line.x.tolist() == run["step"].tolist()
    assert line.customdata.tolist() == length.tolist()  # the hover box has what the step measured
    assert line.y[4] == pytest.approx(length[2:5].mean())
    assert line.y[10] == pytest.approx(length[10])  # the first step of stage 2
    assert line.y[11] == pytest.approx(length[10:12].mean())


def test_stages_are_dotted_lines_in_every_panel():
    fig = plots.training_figure(run_metrics())
    assert {s.x0 for s in fig.layout.shapes} == {10.5}
    assert len(fig.layout.shapes) == 9
    assert {s.line.dash for s in fig.layout.shapes} == {"dot"}
    assert any(a.text == "stage 2" for a in fig.layout.annotations)


def test_missing_values_are_left_out():
    run = run_metrics()[["step", "accuracy", "length/mean", "length/wrong"]].assign(loss=np.nan)
    run.loc[3:5, "length/wrong"] = np.nan
    fig = plots.training_figure(run)
    assert axis_titles(fig, "yaxis") == ["accuracy", "length (tokens)"]
    assert {t.name for t in fig.data if t.name and t.showlegend} == {"all", "wrong"}
    assert len(line_named(fig, "wrong").x) == 17
    assert not fig.layout.shapes


def test_probes_are_drawn_where_they_were_measured_and_never_too_many():
    fig = plots.training_figure(run_metrics())
    probe = line_named(fig, "stopped at 64 tokens")
    assert probe.x.tolist() == [5, 10, 15, 20]
    assert probe.text[-1] == "64"
    many = run_metrics().assign(**{f"probe/{2**i}": 0.1 * i for i in range(10)})
    ends = [t.text[-1] for t in plots.training_figure(many).data if t.text is not None]
    assert len(ends) == 6
    assert (ends[0], ends[-1]) == ("1", "512")


def at_budgets(names=("mean@8",)):
    """Metrics of a run with six budgets, such as mean@8/16, for each name."""
    return run_metrics().assign(**{f"{name}/{16 * 2**i}": 0.1 * i for name in names for i in range(6)})


def test_mean_and_pass_at_budgets_have_panels_behind_all_others():
    names = ["mean@8", "pass@8", "probe_pass"]
    fig = plots.training_figure(at_budgets(names=names))
    titles = axis_titles(fig, "yaxis")
    assert titles[:9] == axis_titles(plots.training_figure(run_metrics()), "yaxis")
    assert titles[9:] == [
        "mean@8 by budget (tokens)",
        "pass@8 by budget (tokens)",
        "pass if stopped by budget (tokens)",
    ]
    lines = [t.name for t in fig.data if t.yaxis == "y10"]
    assert lines == ["≤ 16", "≤ 64", "≤ 128", "≤ 512"]  # the smallest, the largest, and two between
    assert [t.name for t in fig.data if t.yaxis == "y12"] == ["16", "64", "128", "512"]


def test_a_comparison_shows_a_budget_that_all_runs_have():
    short = at_budgets().drop(columns=["mean@8/64", "mean@8/128", "mean@8/256", "mean@8/512"])
    fig = plots.training_figure({"a": at_budgets(), "b": short})
    assert axis_titles(fig, "yaxis")[-1] == "mean@8 within 16 tokens"
    assert {t.legendgroup for t in fig.data if t.yaxis == "y10"} == {"a", "b"}


def test_few_reward_components_are_drawn_and_in_a_comparison_only_the_total():
    many = run_metrics().assign(**{f"reward/at_{2**i}": 0.1 for i in range(9)})
    drawn = {t.name for t in plots.training_figure(many).data if t.showlegend and "at_" in t.name}
    assert len(drawn) <= 4
    assert "at_256" in drawn
    both = plots.training_figure({"a": many, "b": many})
    assert not [t.name for t in both.data if t.name and "at_" in t.name]


def test_phases_stack_up_to_the_total():
    run = run_metrics()
    fig = plots.training_figure(run, window=1)
    areas = [t for t in fig.data if t.stackgroup]
    assert [t.name for t in areas] == list(PHASES)
    assert len({t.fillpattern.shape for t in areas}) == len(PHASES)  # told apart in grey
    total = run[[f"time/{p}" for p in PHASES]].sum(axis=1)
    assert np.sum([t.y for t in areas], axis=0) == pytest.approx(total.to_numpy())
    assert fig.data[-1].y == pytest.approx(total.to_numpy())


def test_the_figure_says_what_thin_thick_and_dotted_lines_are():
    two_stages = plots.training_figure(run_metrics()).layout.annotations[0].text
    assert two_stages == "thin: each step, thick: mean of up to 5; dotted: a stage begins"
    one_stage = plots.training_figure(run_metrics().assign(stage=1)).layout.annotations[0].text
    assert one_stage == "thin: each step, thick: mean of up to 5"


def test_runs_are_told_apart_by_colour_and_symbol():
    fig = plots.training_figure({"a": run_metrics(), "waiting": pd.DataFrame(), "b": run_metrics(12, seed=1)})
    legend = [t for t in fig.data if t.legend is None]
    assert [t.name for t in legend] == ["a", "waiting", "b"]
    drawn = {
        t.legendgroup: (t.line.color, t.marker.symbol) for t in fig.data if t.marker.symbol and t.line.color
    }
    styles = line_styles(("a", "waiting", "b"))
    assert drawn == {name: style[:2] for name, style in styles.items()}
    assert len({colour for colour, _ in drawn.values()}) == 3
    assert not any(t.stackgroup for t in fig.data)  # totals: areas of two runs would hide each other
    assert {s.line.color for s in fig.layout.shapes} == {styles[name].colour for name in "ab"}


def test_long_runs_are_thinned_without_losing_a_spike_or_the_last_step():
    run = run_metrics(5000)
    run.loc[3217, "grad_norm"] = 99.0
    fig = plots.training_figure(run)
    assert max(len(t.x) for t in fig.data) <= 500
    assert any(99.0 in t.y for t in fig.data)
    assert line_named(fig, "all").x[-1] == 5000


def test_last_row_of_a_repeated_step_counts():
    run = pd.DataFrame({"step": [1, 2, 3, 2, 3], "accuracy": [0.1, 0.2, 0.3, 0.4, 0.5]})
    line = next(t for t in plots.training_figure(run, window=1).data if t.customdata is not None)
    assert line.y.tolist() == [0.1, 0.4, 0.5]


@pytest.mark.parametrize("nothing", [pd.DataFrame(), run_metrics()[:0], {}, {"a": pd.DataFrame()}])
def test_figure_before_the_first_step_says_so(nothing):
    fig = plots.training_figure(nothing)
    assert [a.text for a in fig.layout.annotations] == ["no step finished yet"]
    assert not fig.data


def test_one_step_is_visible():
    fig = plots.training_figure(run_metrics(1))
    assert "markers" in line_named(fig, "all").mode
    assert fig.layout.xaxis.dtick == 1


def state_metrics(steps=4):
    step = np.arange(1, steps + 1)
    lines = {"weight/target": 0.1 * step, "weight/used": 0.5, "unsolved_share": np.nan, "target_easy": 64.0}
    return run_metrics(steps).assign(**{f"state/{name}": values for name, values in lines.items()})


def test_state_figure_has_a_panel_per_first_name():
    fig = plots.state_figure(state_metrics(), title="toy")
    assert axis_titles(fig, "yaxis") == ["weight", "target easy"]  # what is NaN at every step is left out
    assert line_named(fig, "target").y.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert axis_titles(plots.training_figure(state_metrics()), "yaxis") == axis_titles(
        plots.training_figure(run_metrics(4)), "yaxis"
    )
    both = plots.state_figure({"a": state_metrics(), "b": state_metrics(), "plain": run_metrics(4)})
    assert {t.name for t in both.data if t.name} >= {"a", "b", "plain", "target", "used"}
    with pytest.raises(DataError, match="report nothing of themselves"):
        plots.state_figure(run_metrics())
