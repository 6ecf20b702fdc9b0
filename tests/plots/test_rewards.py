"""What a reward pays, and how much it varies within groups."""

import numpy as np
import pandas as pd
import pytest

from effwb import plots
from effwb.errors import DataError
from effwb.plots.rewards import group_spread
from tests.plots.examples import axis_titles, reward_rows


def test_spread_counts_groups_whose_rewards_are_all_equal():
    table = reward_rows()
    spread = group_spread(table).set_index("problem_id")["std"]
    assert (spread[["a", "b", "c"]] == 0).all()
    assert spread["d"] == pytest.approx(np.std([1, 0.8, 0, 0]))
    assert (group_spread(table.assign(total=0.1 + 0.2)).set_index("problem_id")["std"] == 0).all()
    assert len(group_spread(table.assign(step=np.arange(16) % 2))) == 8  # a group is of one step


def test_a_truncated_rollout_counts_as_wrong_in_the_accuracy_of_a_group():
    table = reward_rows().assign(finished=[False, *[True] * 15], total=1.0)
    assert group_spread(table)["accuracy"].tolist() == [0.75, 0.0, 0.5, 0.5]
    assert "all right: 0" in plots.reward_figure(table).data[-1].hovertemplate


def test_reward_figure_shows_the_share_of_groups_without_spread():
    fig = plots.reward_figure(reward_rows())
    assert fig.layout.annotations[0].text == "75 % of groups: no spread, no gradient"
    dead = fig.data[-1]
    assert dead.y[0] == 0.75
    assert dead.x[0] + dead.width / 2 < 0
    for message in ("3 of 4", "all right: 1", "all wrong: 1", "mixed, equally paid: 1"):
        assert message in dead.hovertemplate
    assert sum(fig.data[-2].y) == 0.25
    assert axis_titles(fig, "xaxis") == ["response length (tokens)", "std of total reward within a group"]
    assert axis_titles(fig, "yaxis") == ["total reward", "share of groups"]
    assert fig.layout.xaxis.type == "log"


def test_reward_figure_draws_right_wrong_and_truncated_apart():
    fig = plots.reward_figure(reward_rows())
    right, wrong, truncated = fig.data[:3]
    assert [t.name for t in fig.data[:3]] == ["right (50%)", "wrong (44%)", "truncated (6%)"]
    assert truncated.x.tolist() == [160]
    assert "its answer: wrong" in truncated.customdata[0]
    assert "length +0.2500" in right.customdata[0]
    assert len({t.marker.symbol for t in (right, wrong, truncated)}) == 3


def test_reward_figure_draws_the_same_two_thousand_but_counts_all():
    table = pd.concat([reward_rows()] * 200, ignore_index=True)
    table["problem_id"] += (np.arange(len(table)) // 16).astype(str)
    one, two = plots.reward_figure(table), plots.reward_figure(table)
    assert sum(len(t.x) for t in one.data[:3]) == 2000
    assert one.to_json() == two.to_json()
    assert "2,000 of 3,200 rollouts" in one.layout.xaxis.title.text
    assert one.layout.annotations[0].text.startswith("75 %")


def test_shape_figure_has_a_panel_per_rule_and_a_line_per_answer():
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
