"""The numbers of a round: Mean@G and Pass@G at budgets, without and with forced answers."""

import numpy as np
import pytest

from effwb.designs import make_design
from effwb.training.round_metrics import doubling_budgets, round_metrics
from effwb.training.rounds import Outcome, PromptBatch, Round


def round_of(correct, length, finished, probe_correct=None, budgets=(2, 8)):
    """A round of P problems x G rollouts."""
    P, G = np.shape(correct)
    rollouts = Round(0, PromptBatch([0] * P, ["p"] * P, ["1"] * P, [[1]] * P, [False] * P, None), G)
    for row in range(P * G):
        p, g = divmod(row, G)
        probes = {} if probe_correct is None else {"probe_correct": probe_correct[p][g], "unparsed": []}
        budget = {} if probe_correct is None else {"probe_budgets": list(budgets)}
        rollouts.outcomes[row] = Outcome(correct[p][g], finished[p][g], length[p][g], **budget, **probes)
    return rollouts


def metrics_of(rollouts, cap):
    design, group = make_design("vanilla"), rollouts.group(cap)
    return round_metrics(rollouts, group, design.reward(group), design.advantage(group), design.mask(group))


@pytest.mark.parametrize(
    ("cap", "budgets"),
    [
        (512, [16, 32, 64, 128, 256, 512]),
        (100, [3, 6, 12, 25, 50, 100]),
        (16384, [512, 1024, 2048, 4096, 8192, 16384]),
        (3, [1, 3]),
    ],
)
def test_budgets_double_up_to_the_cap(cap, budgets):
    assert doubling_budgets(cap) == budgets


def test_a_rollout_counts_at_a_budget_if_it_ended_within_it_and_is_correct():
    # right at 4 and at 5 tokens, right but cut off at the cap, wrong; right at 20 only
    metrics = metrics_of(
        round_of(
            correct=[[True, True, True, False], [True, False, False, False]],
            length=[[4, 5, 32, 1], [20, 2, 32, 32]],
            finished=[[True, True, False, True], [True, True, False, False]],
        ),
        cap=32,
    )
    mean = {1: 0, 2: 0, 4: 1 / 8, 8: 2 / 8, 16: 2 / 8, 32: 3 / 8}
    one_of_four = {1: 0, 2: 0, 4: 1 / 2, 8: 1 / 2, 16: 1 / 2, 32: 1}
    assert {b: metrics[f"mean@4/{b}"] for b in mean} == mean
    assert {b: metrics[f"pass@4/{b}"] for b in one_of_four} == one_of_four
    assert metrics["mean@4/32"] == metrics["accuracy"]
    assert not any(name.startswith("probe") for name in metrics)


def test_pass_of_forced_answers_stands_beside_their_mean():
    forced = [[[False, True], [True, True]], [[False, False], [False, True]]]
    true = [[True, True], [True, True]]
    metrics = metrics_of(round_of(true, [[9, 9], [9, 9]], true, probe_correct=forced), cap=16)
    assert (metrics["probe/2"], metrics["probe/8"]) == (1 / 4, 3 / 4)
    assert (metrics["probe_pass/2"], metrics["probe_pass/8"]) == (1 / 2, 1)


def test_budgets_of_each_rollout_have_no_column():
    rollouts = round_of([[True, True]], [[9, 9]], [[True, True]], probe_correct=[[[True, True]] * 2])
    rollouts.outcomes[1] = rollouts.outcomes[1]._replace(probe_budgets=[3, 8])
    metrics = metrics_of(rollouts, cap=16)
    assert metrics["probe_mean"] == 1
    assert not any(name.startswith(("probe/", "probe_pass/")) for name in metrics)
