"""The verdict at the cap in training, in every way of running; probe points that repeat within problems."""

import json

import numpy as np
import pytest

from effwb import problems, profiles
from effwb.designs import make_design
from effwb.probes import ProbeTarget
from effwb.training import rounds as rounds_module
from effwb.training import train
from effwb.training.rounds import Collector, Outcome, PromptBatch, Round
from effwb.verifiers import verify

CAP = 40  # where the pocket model is mostly truncated
SMALL = dict(steps=2, problems_per_round=2, group_size=4, micro_batch=8, max_tokens=CAP, watch="none")
POCKET = profiles.profile("pocket")
designs = pytest.mark.parametrize("design", ["reo_rl", "brpo", "mrt"])


@pytest.fixture(scope="module")
def easy():
    return problems.load("pocket", 16, split="train")


def small(design, easy, run_dir, at_cap="forced", **options):
    params = {"at_cap": at_cap, **options.pop("design_params", {})}
    return train(design, easy, run_dir=run_dir, profile=POCKET, design_params=params, **{**SMALL, **options})


def without_times(result):
    return result.metrics.drop(columns=[c for c in result.metrics if c.startswith("time/")])


@pytest.fixture
def rounds(monkeypatch):
    """Rounds as they are collected, each with its design's group and the forced answers at the cap."""
    seen, sample_and_collect = [], Collector.collect

    def spy(self, trainer, number):
        rollouts = sample_and_collect(self, trainer, number)
        forced = {}
        with self.engine.sampler(trainer) as sampler:
            for row, completion in rollouts.completions.items():
                if completion.finish_reason == "length":
                    p, ids = row // rollouts.group_size, completion.token_ids
                    prompt = rollouts.prompts.prompt_ids_P[p]
                    target = ProbeTarget(prompt, ids, rollouts.prompts.opened_P[p], [len(ids)])
                    ((answer,),) = self.prober.answers(sampler, [target])
                    (verdict,) = verify([answer.text], [rollouts.prompts.answers_P[p]])
                    forced[row] = verdict.status == "correct"
        seen.append((rollouts, self.group(rollouts), forced))
        return rollouts

    monkeypatch.setattr(Collector, "collect", spy)
    return seen


@designs
def test_a_truncated_rollout_has_the_verdict_of_its_answer_at_the_cap(easy, tmp_path, rounds, design):
    metrics = small(design, easy, tmp_path / "r", steps=1, save_every=1, problems_per_round=4).metrics
    ((rollouts, group, forced),) = rounds
    assert forced
    assert len(set(forced.values())) == 2, "some forced answers are right and some are wrong"
    for row, right in forced.items():
        assert group.correct_PG.ravel()[row] == right
        assert rollouts.outcomes[row].unparsed[-1] in (True, False)
    finished = group.correct_PG & group.finished_PG
    assert metrics["accuracy"].iloc[0] == finished.mean(), "a truncated rollout is not accurate"
    assert metrics["truncated"].iloc[0] == len(forced) / 16
    answers = [flag for outcome in rollouts.outcomes.values() for flag in outcome.unparsed]
    assert metrics["probe_unparsed"].iloc[0] == np.mean(answers)


@designs
def test_with_own_verdicts_no_answer_is_forced_at_the_cap(easy, tmp_path, monkeypatch, design):
    original, cuts = rounds_module.with_probes, []

    def spy(design, outcomes, budgets, answers, *rest):
        probed = original(design, outcomes, budgets, answers, *rest)
        for before, after, points, row in zip(outcomes, probed, budgets, answers, strict=True):
            inside = [b for b in points if b < min(before.length + (not before.finished), CAP)]
            cuts.append(len(row) - len(inside))
            assert after.correct == before.correct
        return probed

    monkeypatch.setattr(rounds_module, "with_probes", spy)
    small(design, easy, tmp_path / "own", at_cap="own", steps=1, save_every=1)
    assert cuts == [0] * 8


def test_a_budget_at_the_cap_has_the_verdict_at_the_cap(easy, tmp_path, rounds):
    """A problem without a budget of its own is stopped at the cap (q_spec)."""
    table = {pid: CAP // 2 for pid in easy["problem_id"][::2]}
    params = {"budgets": "q_spec", "table": table}
    small("reo_rl", easy, tmp_path / "r", steps=1, save_every=1, problems_per_round=4, design_params=params)
    ((_, group, forced),) = rounds
    at_cap = group.probe_budgets_PGK[..., 0] == CAP
    assert (at_cap & ~group.finished_PG).any()
    np.testing.assert_array_equal(group.probe_correct_PGK[..., 0][at_cap], group.correct_PG[at_cap])
    assert forced


@pytest.mark.long
@pytest.mark.parametrize("engine", ["trl"])
@designs
def test_trls_engine(easy, tmp_path, rounds, design, engine):
    small(design, easy, tmp_path / "r", engine=engine, steps=1, save_every=1)
    ((_, group, forced),) = rounds
    assert forced
    assert {row: group.correct_PG.ravel()[row] for row in forced} == forced


@pytest.mark.long
def test_two_processes_give_what_one_gives(easy, tmp_path):
    options = dict(problems_per_round=3, micro_batch=6, save_every=1)
    one = small("reo_rl", easy, tmp_path / "one", **options).metrics
    two = small("reo_rl", easy, tmp_path / "two", processes=2, **options).metrics
    for name in ("accuracy", "truncated", "reward/total", "reward/full", "probe_mean", "tokens"):
        assert one[name].iloc[0] == pytest.approx(two[name].iloc[0], rel=1e-9), name
    assert one["truncated"].iloc[0] > 0


SNIPPET = """
from effwb import problems, profiles
from effwb.training import train
easy = problems.load("pocket", 16, split="train")
train("reo_rl", easy, run_dir={run!r}, profile=profiles.profile("pocket"), steps=4,
      design_params={{"at_cap": "forced"}}, problems_per_round=2, group_size=4, micro_batch=8,
      max_tokens=40, save_every=1, watch="none")
"""


@pytest.mark.long
def test_a_killed_run_continues_with_the_same_verdicts(easy, tmp_path, run_until_killed):
    whole = small("reo_rl", easy, tmp_path / "whole", steps=4, save_every=1)
    run = tmp_path / "r"
    reached = (run / "train/checkpoints/checkpoint-2/effwb.json").exists
    assert run_until_killed(SNIPPET.format(run=str(run)), reached), "it ended before the kill"
    resumed = small("reo_rl", easy, run, steps=4, save_every=1)
    assert without_times(resumed).equals(without_times(whole))


@designs
def test_older_runs_have_the_identity_of_own(easy, tmp_path, design):
    """What a run before this switch wrote: the design's parameters without `at_cap` and `whiten`."""
    result = small(design, easy, tmp_path / "own", at_cap="own", steps=1, save_every=1)
    own = json.loads((tmp_path / "own" / "config.json").read_text())["train"]["identity"]["design"]
    assert not {"at_cap", "whiten"} & set(own)
    assert set(own) - {"name"} == set(result.design.parameters()) - {"at_cap", "whiten"}
    small(design, easy, tmp_path / "forced", steps=1, save_every=1)
    forced = json.loads((tmp_path / "forced" / "config.json").read_text())["train"]["identity"]["design"]
    assert forced == {**own, "at_cap": "forced"}


def _round(points_PG):
    """A round of finished wrong rollouts, of which each has these probe points."""
    outcomes = [
        Outcome(False, True, 30, None, points, [False] * len(points), [])
        for row in points_PG
        for points in row
    ]
    P = len(points_PG)
    prompts = PromptBatch(list(range(P)), [f"p{p}" for p in range(P)], ["1"] * P, [[1]] * P, [True] * P, None)
    return Round(0, prompts, len(points_PG[0]), outcomes=dict(enumerate(outcomes)))


@pytest.mark.parametrize(
    ("points_PG", "shape"),
    [
        ([[[0], [0]], [[0, 10], [0, 10]]], (2, 2, 2)),  # the same within each problem, and one repeats
        ([[[0, 4, 9], [0, 4, 9]], [[0], [0]]], (2, 2, 3)),
        ([[[0, 4], [0, 4]], [[0, 10], [0, 10]]], (2, 2)),
        ([[[5], [5]], [[9], [9]]], (2, 1)),
        ([[[0, 4], [0, 4]], [[0, 4], [0, 4]]], (2,)),
        ([[[0], [0]], [[0], [0]]], (1,)),
        ([[[0], [0, 7]], [[0], [0]]], (2, 2, 2)),
    ],
)
def test_budgets_that_repeat_within_each_problem_are_legal(points_PG, shape):
    group = _round(points_PG).group(40)
    assert group.probe_budgets_K.shape == shape
    for p, row in enumerate(points_PG):
        for g, points in enumerate(row):
            assert group.probe_budgets_PGK[p, g].tolist()[: len(points)] == points
    assert np.isfinite(make_design("mrt").advantage(group)).all()
