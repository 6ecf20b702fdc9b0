"""Figures of training: what a run did, what a reward pays, what a method costs, what a hint is worth."""

import json

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from effwb import plots
from effwb.errors import ConfigError, DataError
from effwb.export import save
from effwb.metrics import aes
from effwb.plots.rewards import group_spread
from effwb.plots.style import log_tokens, round_ticks
from effwb.plots.tradeoff import iso_accuracy

PHASES = ("sample", "grade", "probe", "train", "other")


def a_run(steps=20, seed=0):
    rng = np.random.default_rng(seed)
    step = np.arange(1, steps + 1)
    table = pd.DataFrame({"step": step, "stage": np.where(step <= steps // 2, 1, 2)})
    for name in ("accuracy", "truncated", "zero_variance", "entropy", "kl", "reward/total", "reward/length"):
        table[name] = rng.random(steps)
    for name, scale in (("mean", 200), ("correct", 150), ("wrong", 300)):
        table[f"length/{name}"] = scale * rng.uniform(0.8, 1.2, steps)
    for phase in PHASES:
        table[f"time/{phase}"] = rng.random(steps)
    table["probe/64"] = np.where(step % 5 == 0, 0.3, np.nan)
    return table.assign(grad_norm=rng.random(steps), loss=rng.normal(size=steps))


def some_rollouts():
    """Four groups of four: all right, all wrong, mixed but equally paid, mixed and paid by length."""
    total = [[1, 1, 1, 1], [0, 0, 0, 0], [0.5] * 4, [1, 0.8, 0, 0]]
    correct = [[1, 1, 1, 1], [0, 0, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0]]
    table = pd.DataFrame({"problem_id": np.repeat(["a", "b", "c", "d"], 4), "length": np.arange(10, 170, 10)})
    table["correct"], table["total"] = np.ravel(correct).astype(bool), np.ravel(total)
    table["finished"] = table["length"] < 160
    return table.assign(**{"reward/length": 0.25})


def methods():
    table = pd.DataFrame(
        [("base", 0.6, 400), ("kimi a", 0.6, 200), ("kimi b", 0.5, 100), ("alp", 0.66, 300)],
        columns=["name", "accuracy", "mean length"],
    )
    return table.assign(family=[None, "kimi", "kimi", None], parameter=[None, "w = 1", "w = 2", None])


def hints():
    asked = np.repeat([64, 128, 256], 20)
    length = asked + np.tile(np.arange(-10, 10), 3)
    people = {"asked": asked, "length": length, "correct": np.tile([1, 0, 1, 1], 15)}
    return pd.DataFrame(people | {"problem_id": np.tile(np.arange(10), 6)})


def thick(fig, legend):
    return next(t for t in fig.data if t.name == legend and t.hovertemplate)


def titles(fig, axis):
    """Axis titles by their position in the layout."""
    return [
        a["title"]["text"] for k, a in fig.to_dict()["layout"].items() if k.startswith(axis) and "title" in a
    ]


# ------------------------------------------------------------------------------------------- training
def test_training_panels_carry_units_and_share_the_step():
    fig = plots.training_figure(a_run(), title="toy")
    assert titles(fig, "yaxis") == [
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
    assert set(titles(fig, "xaxis")) == {"optimizer step"}
    assert {fig.layout[f"xaxis{i}"].matches for i in range(2, 10)} == {"x"}
    assert fig.layout.template == plots.training_figure([]).layout.template


def test_moving_mean_ends_at_its_step_and_stays_in_its_stage():
    run = a_run()
    line = thick(plots.training_figure(run, window=3), "right")
    length = run["length/correct"].to_numpy()
    assert line.x.tolist() == run["step"].tolist()
    assert line.customdata.tolist() == length.tolist()  # the hover box has what the step measured
    assert line.y[4] == pytest.approx(length[2:5].mean())
    assert line.y[10] == pytest.approx(length[10])  # the first step of stage 2
    assert line.y[11] == pytest.approx(length[10:12].mean())


def test_stages_are_dotted_lines_in_every_panel():
    fig = plots.training_figure(a_run())
    assert {s.x0 for s in fig.layout.shapes} == {10.5}
    assert len(fig.layout.shapes) == 9
    assert {s.line.dash for s in fig.layout.shapes} == {"dot"}
    assert any(a.text == "stage 2" for a in fig.layout.annotations)


def test_what_was_not_measured_is_left_out():
    run = a_run()[["step", "accuracy", "length/mean", "length/wrong"]].assign(loss=np.nan)
    run.loc[3:5, "length/wrong"] = np.nan
    fig = plots.training_figure(run)
    assert titles(fig, "yaxis") == ["accuracy", "length (tokens)"]
    assert {t.name for t in fig.data if t.name and t.showlegend} == {"all", "wrong"}
    assert len(thick(fig, "wrong").x) == 17
    assert not fig.layout.shapes


def test_probes_are_drawn_where_they_were_measured_and_never_too_many():
    fig = plots.training_figure(a_run())
    probe = thick(fig, "stopped at 64 tokens")
    assert probe.x.tolist() == [5, 10, 15, 20]
    assert probe.text[-1] == "64"
    many = a_run().assign(**{f"probe/{2**i}": 0.1 * i for i in range(10)})
    ends = [t.text[-1] for t in plots.training_figure(many).data if t.text is not None]
    assert len(ends) == 6
    assert (ends[0], ends[-1]) == ("1", "512")


def test_of_many_reward_components_some_are_drawn_and_in_a_comparison_the_total():
    many = a_run().assign(**{f"reward/at_{2**i}": 0.1 for i in range(9)})
    drawn = {t.name for t in plots.training_figure(many).data if t.showlegend and "at_" in t.name}
    assert len(drawn) <= 4
    assert "at_256" in drawn
    both = plots.training_figure({"a": many, "b": many})
    assert not [t.name for t in both.data if t.name and "at_" in t.name]


def test_phases_stack_up_to_the_total():
    run = a_run()
    fig = plots.training_figure(run, window=1)
    areas = [t for t in fig.data if t.stackgroup]
    assert [t.name for t in areas] == list(PHASES)
    assert len({t.fillpattern.shape for t in areas}) == len(PHASES)  # told apart in grey
    total = run[[f"time/{p}" for p in PHASES]].sum(axis=1)
    assert np.sum([t.y for t in areas], axis=0) == pytest.approx(total.to_numpy())
    assert fig.data[-1].y == pytest.approx(total.to_numpy())


def test_runs_are_told_apart_by_colour_and_symbol():
    fig = plots.training_figure({"a": a_run(), "waiting": pd.DataFrame(), "b": a_run(12, seed=1)})
    legend = [t for t in fig.data if t.legend is None]
    assert [t.name for t in legend] == ["a", "waiting", "b"]
    drawn = {
        t.legendgroup: (t.line.color, t.marker.symbol) for t in fig.data if t.marker.symbol and t.line.color
    }
    assert drawn == {n: (plots.COLOURS[i], plots.SYMBOLS[i]) for i, n in enumerate(("a", "waiting", "b"))}
    assert not any(t.stackgroup for t in fig.data)  # totals: areas of two runs would hide each other
    assert {s.line.color for s in fig.layout.shapes} == {plots.COLOURS[0], plots.COLOURS[2]}


def test_long_runs_are_thinned_without_losing_a_spike_or_the_last_step():
    run = a_run(5000)
    run.loc[3217, "grad_norm"] = 99.0
    fig = plots.training_figure(run)
    assert max(len(t.x) for t in fig.data) <= 500
    assert any(99.0 in t.y for t in fig.data)
    assert thick(fig, "all").x[-1] == 5000


def test_a_step_written_twice_counts_as_last_written():
    run = pd.DataFrame({"step": [1, 2, 3, 2, 3], "accuracy": [0.1, 0.2, 0.3, 0.4, 0.5]})
    line = next(t for t in plots.training_figure(run, window=1).data if t.customdata is not None)
    assert line.y.tolist() == [0.1, 0.4, 0.5]


@pytest.mark.parametrize("nothing", [pd.DataFrame(), a_run()[:0], {}, {"a": pd.DataFrame()}])
def test_before_the_first_step_the_figure_says_so(nothing):
    fig = plots.training_figure(nothing)
    assert [a.text for a in fig.layout.annotations] == ["no step finished yet"]
    assert not fig.data


def test_one_step_is_visible():
    fig = plots.training_figure(a_run(1))
    assert "markers" in thick(fig, "all").mode
    assert fig.layout.xaxis.dtick == 1


# ------------------------------------------------------------------------------------------- rewards
def test_spread_counts_groups_whose_rewards_are_all_equal():
    table = some_rollouts()
    spread = group_spread(table).set_index("problem_id")["std"]
    assert (spread[["a", "b", "c"]] == 0).all()
    assert spread["d"] == pytest.approx(np.std([1, 0.8, 0, 0]))
    assert (group_spread(table.assign(total=0.1 + 0.2)).set_index("problem_id")["std"] == 0).all()
    assert len(group_spread(table.assign(step=np.arange(16) % 2))) == 8  # a group is of one step


def test_reward_figure_says_how_much_is_dead():
    fig = plots.reward_figure(some_rollouts())
    assert fig.layout.annotations[0].text == "75 % of groups: no spread, no gradient"
    dead = fig.data[-1]
    assert dead.y[0] == 0.75
    assert dead.x[0] + dead.width / 2 < 0
    for said in ("3 of 4", "all right: 1", "all wrong: 1", "mixed, equally paid: 1"):
        assert said in dead.hovertemplate
    assert sum(fig.data[-2].y) == 0.25
    assert titles(fig, "xaxis") == ["response length (tokens)", "std of total reward within a group"]
    assert titles(fig, "yaxis") == ["total reward", "share of groups"]
    assert fig.layout.xaxis.type == "log"


def test_reward_figure_draws_right_wrong_and_truncated_apart():
    fig = plots.reward_figure(some_rollouts())
    right, wrong, truncated = fig.data[:3]
    assert [t.name for t in fig.data[:3]] == ["right (50%)", "wrong (44%)", "truncated (6%)"]
    assert truncated.x.tolist() == [160]
    assert "its answer: wrong" in truncated.customdata[0]
    assert "length +0.2500" in right.customdata[0]
    assert len({t.marker.symbol for t in (right, wrong, truncated)}) == 3


def test_reward_figure_draws_the_same_two_thousand_but_counts_all():
    table = pd.concat([some_rollouts()] * 200, ignore_index=True)
    table["problem_id"] += (np.arange(len(table)) // 16).astype(str)
    one, two = plots.reward_figure(table), plots.reward_figure(table)
    assert sum(len(t.x) for t in one.data[:3]) == 2000
    assert one.to_json() == two.to_json()
    assert "2,000 of 3,200 rollouts" in one.layout.xaxis.title.text
    assert one.layout.annotations[0].text.startswith("75 %")


# ------------------------------------------------------------------------------------------- trade-off
def test_tradeoff_joins_families_and_labels_parameters():
    fig = plots.tradeoff_figure(methods(), title="toy")
    kimi = next(t for t in fig.data if t.name == "kimi")
    assert kimi.mode == "lines+markers+text"
    assert kimi.x == (200.0, 100.0)
    assert kimi.text == ("w = 1", "w = 2")
    assert {t.name: t.text for t in fig.data if t.name != "kimi"} == {"base": ("base",), "alp": ("alp",)}
    assert len({t.marker.symbol for t in fig.data}) == 3
    assert (titles(fig, "xaxis"), titles(fig, "yaxis")) == (["mean length (tokens)"], ["accuracy"])
    assert fig.layout.xaxis.type == "log"
    by_length = plots.tradeoff_figure(methods(), order="mean length")
    assert next(t for t in by_length.data if t.name == "kimi").x == (100.0, 200.0)


def test_tradeoff_draws_both_intervals_and_says_everything_in_the_hover_box():
    table = methods().assign(low=0.4, high=0.7, problems=210)
    table = table.assign(**{"length low": 90.0, "length high": 450.0})
    base = plots.tradeoff_figure(table).data[0]
    assert (base.error_x.arrayminus[0], base.error_x.array[0]) == pytest.approx((310, 50))
    assert (base.error_y.arrayminus[0], base.error_y.array[0]) == pytest.approx((0.2, 0.1))
    assert "accuracy 0.600 [0.400, 0.700]" in base.customdata[0]
    assert "mean length 400.0 [90.0, 450.0] tokens<br>problems: 210" in base.customdata[0]


def test_tradeoff_of_seeds_is_their_mean_with_the_seeds_faint():
    table = pd.concat([methods(), methods().assign(accuracy=0.7)], ignore_index=True).assign(
        low=0.1, high=0.9
    )
    fig = plots.tradeoff_figure(table)
    faint, strong = (t for t in fig.data if t.legendgroup == "alp")
    assert faint.y == (0.66, 0.7)
    assert faint.opacity < 1
    assert strong.y[0] == pytest.approx(0.68)
    assert np.isnan(strong.error_y.array[0])  # an interval over problems does not come from seeds
    assert "mean of 2 seeds" in strong.customdata[0]


def test_iso_lines_have_the_aes_they_say():
    for level in (-0.5, 0.0, 0.3, 0.9):
        accuracy = iso_accuracy(level, 0.6, 400, [100.0, 400.0, 500.0])
        assert [aes(0.6, 400, a, n) for a, n in zip(accuracy, (100, 400, 500), strict=True)] == pytest.approx(
            [level] * 3
        )
    fig = plots.tradeoff_figure(methods(), iso_aes=(0, 0.5, 40))
    assert [a.text for a in fig.layout.annotations] == ["AES 0", "AES 0.5"]  # 40 is outside of the picture
    lines = [t for t in fig.data if t.line.dash == "dot" and t.name is None]
    low, high = fig.layout.yaxis.range
    assert all(low <= y <= high for t in lines for y in t.y)


def test_labels_of_close_points_take_different_sides():
    table = pd.DataFrame({"name": ["one", "two"], "accuracy": [0.5, 0.501], "mean length": [100, 101]})
    table.loc[2] = ["far", 0.6, 200]
    sides = [t.textposition for t in plots.tradeoff_figure(table).data]
    assert sides[0] != sides[1]


# ------------------------------------------------------------------------------------------- hints
def test_hint_figure_has_quantiles_identity_and_accuracy():
    fig = plots.hint_figure(hints())
    band, identity, median, accuracy = fig.data
    assert median.x.tolist() == [64, 128, 256]
    assert median.y.tolist() == [63.5, 127.5, 255.5]
    assert band.y[0] == pytest.approx(np.quantile(np.arange(54, 74), 0.1))
    assert band.y[-1] == pytest.approx(np.quantile(np.arange(54, 74), 0.9))
    assert (identity.x, identity.line.dash) == (identity.y, "dash")
    assert accuracy.y == pytest.approx([0.75] * 3)
    assert (accuracy.error_y.array > 0).all()  # over the problems
    assert "n = 20 rollouts, 10 problems" in accuracy.customdata[0]
    assert titles(fig, "yaxis") == ["length used (tokens)", "accuracy"]
    assert titles(fig, "xaxis") == ["length asked for (tokens)"]
    assert fig.layout.yaxis.type == fig.layout.xaxis.type == fig.layout.xaxis2.type == "log"


def test_many_lengths_asked_for_are_pooled():
    asked = np.arange(100, 4000)
    fig = plots.hint_figure(pd.DataFrame({"asked": asked, "length": asked, "correct": True}))
    assert len(fig.data[2].x) == 12
    assert "asked for 100 to " in fig.data[2].customdata[0]
    assert fig.data[2].y.tolist() == fig.data[2].x.tolist()


# ------------------------------------------------------------------------------------------- all of them
FIGURES = {
    "training": (plots.training_figure, a_run),
    "reward": (plots.reward_figure, some_rollouts),
    "tradeoff": (plots.tradeoff_figure, methods),
    "hint": (plots.hint_figure, hints),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figure_and_its_data_become_files(name, tmp_path):
    draw, table = FIGURES[name][0], FIGURES[name][1]()
    before = table.copy()
    fig = draw(table, title="a title")
    assert isinstance(fig, go.Figure)
    assert fig.layout.title.text == "a title"
    html, csv = save(fig, tmp_path / name, table)
    pd.testing.assert_frame_equal(table, before)
    assert pd.read_csv(csv).columns.tolist() == table.columns.tolist()
    assert len(pd.read_csv(csv)) == len(table)
    assert "a title" in html.read_text()
    assert json.loads(fig.to_json())["layout"]["xaxis"]


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: plots.training_figure(a_run().drop(columns="step")), DataError, "lacks the column 'step'"),
        (lambda: plots.training_figure(a_run()[["step"]]), DataError, "nothing to draw"),
        (lambda: plots.training_figure(a_run().assign(step=[*range(10)] * 2)), DataError, "in two stages"),
        (lambda: plots.training_figure(a_run(), window=0), ConfigError, "window=0"),
        (lambda: plots.reward_figure(some_rollouts()[:0]), DataError, "empty"),
        (lambda: plots.reward_figure(some_rollouts().drop(columns="total")), DataError, "'total'"),
        (lambda: plots.reward_figure(some_rollouts().assign(total=np.nan)), DataError, "'total' holds NaN"),
        (lambda: plots.reward_figure(some_rollouts()[::4]), DataError, "two rollouts"),
        (lambda: plots.tradeoff_figure(methods()[:0]), DataError, "empty"),
        (lambda: plots.tradeoff_figure(methods(), y="score"), DataError, "'score'"),
        (lambda: plots.tradeoff_figure(methods().assign(accuracy="high")), DataError, "'accuracy' holds NaN"),
        (lambda: plots.tradeoff_figure(methods(), iso_aes=(0,), base="bass"), ConfigError, "'base'"),
        (lambda: plots.hint_figure(hints()[:0]), DataError, "empty"),
        (lambda: plots.hint_figure(hints().assign(length=0)), DataError, "positive"),
    ],
)
def test_bad_input_is_named(call, error, said):
    with pytest.raises(error, match=said):
        call()


def test_token_ticks_are_powers_of_two_or_round_numbers():
    assert log_tokens(100, 4000)["ticktext"] == ["128", "256", "512", "1k", "2k", "4k"]
    assert log_tokens(190, 230)["ticktext"] == ["180", "200", "220", "240"]
    assert round_ticks(180.0, 260.0) == [180.0, 200.0, 220.0, 240.0, 260.0]


# --------------------------------------------------------------------------- what designs report, shapes
def reported(steps=4):
    step = np.arange(1, steps + 1)
    lines = {"weight/target": 0.1 * step, "weight/used": 0.5, "unsolved_share": np.nan, "target_easy": 64.0}
    return a_run(steps).assign(**{f"state/{name}": values for name, values in lines.items()})


def test_what_a_design_reports_has_a_panel_per_first_name():
    fig = plots.state_figure(reported(), title="toy")
    assert titles(fig, "yaxis") == ["weight", "target easy"]  # what is NaN at every step is left out
    assert thick(fig, "target").y.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert titles(plots.training_figure(reported()), "yaxis") == titles(
        plots.training_figure(a_run(4)), "yaxis"
    )
    both = plots.state_figure({"a": reported(), "b": reported(), "plain": a_run(4)})
    assert {t.name for t in both.data if t.name} >= {"a", "b", "plain", "target", "used"}
    with pytest.raises(DataError, match="report nothing of themselves"):
        plots.state_figure(a_run())


def test_shapes_have_a_panel_per_rule_and_a_line_per_answer():
    rows = [(p, k, n, n / 64) for p in ("one", "two") for k in ("right", "wrong") for n in (16, 32, 64)]
    table = pd.DataFrame(rows, columns=["panel", "line", "length", "reward"])
    fig = plots.shape_figure(table, title="toy")
    assert [t.name for t in fig.data] == ["right", "wrong"] * 2
    assert [t.showlegend for t in fig.data] == [True, True, False, False]
    assert fig.data[3].y.tolist() == [0.25, 0.5, 1.0]
    assert [a.text for a in fig.layout.annotations] == ["one", "two"]
    with pytest.raises(DataError, match="'panel'"):
        plots.shape_figure(table.drop(columns="panel"))
    with pytest.raises(DataError, match="positive"):
        plots.shape_figure(table.assign(length=0))
