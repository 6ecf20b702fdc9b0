"""The curve rule on hand-made tables, against a plain loop on random ones, and the intervals."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effwb import curves as C
from effwb._internal import scores
from effwb.errors import ConfigError, DataError, EffwbError
from effwb.verifiers import STATUSES

GRID = [0, 4, 8, 16]


def tables(seed=0, problems=6, samples=4, cap=16, probe_cap=True):
    """A random run: rollouts of 1 to `cap` tokens, probes wherever a rollout has not ended by itself."""
    rng = np.random.default_rng(seed)
    rows, probes = [], []
    for p in range(problems):
        for s in range(samples + p % 2):
            length = int(rng.integers(1, cap + 1))
            reason = "length" if length == cap and rng.random() < 0.8 else "stop"
            rows.append((f"toy-{p}", s, length, reason, rng.choice(STATUSES)))
            for b in GRID:
                if (b < length) or (b == cap and reason == "length" and probe_cap):
                    probes.append((f"toy-{p}", s, b, True, rng.choice(STATUSES)))
    rollouts = pd.DataFrame(rows, columns=["problem_id", "sample", "length", "finish_reason", "verdict"])
    return rollouts, pd.DataFrame(probes, columns=["problem_id", "sample", "budget", "forced", "verdict"])


def by_hand(rollouts, probes, budgets):
    """The rule of the docstring as a loop, (P, K)."""
    verdict_of = {(p.problem_id, p.sample, p.budget): p.verdict == "correct" for p in probes.itertuples()}
    per_problem = {}
    for r in rollouts.itertuples():
        row = []
        for b in budgets:
            probe = verdict_of.get((r.problem_id, r.sample, b))
            if r.finish_reason == "stop" and r.length <= b:
                probe = r.verdict == "correct"
            elif probe is None and r.length <= b:
                probe = verdict_of.get((r.problem_id, r.sample, r.length), r.verdict == "correct")
            row.append(float(probe))
        per_problem.setdefault(r.problem_id, []).append(row)
    return np.array([np.mean(per_problem[p], axis=0) for p in sorted(per_problem)])


def test_the_rule_row_by_row():
    rollouts = pd.DataFrame(
        [("a", 0, 6, "stop", "correct"), ("a", 1, 16, "length", "correct"), ("b", 0, 4, "stop", "wrong")],
        columns=["problem_id", "sample", "length", "finish_reason", "verdict"],
    )
    probes = pd.DataFrame(
        [
            ("a", 0, 0, "wrong"),
            ("a", 0, 4, "correct"),
            ("a", 0, 8, "wrong"),
        ]  # the last: own verdict counts instead
        + [("a", 1, b, "unparsed") for b in (0, 4, 8)]
        + [("a", 1, 16, "wrong"), ("b", 0, 0, "correct"), ("zz", 0, 4, "correct"), ("a", 0, 5, "correct")],
        columns=["problem_id", "sample", "budget", "verdict"],
    )
    curve = C.budget_curve(rollouts, probes, GRID)
    assert curve.per_problem.tolist() == [[0, 0.5, 0.5, 0.5], [1, 0, 0, 0]]
    assert curve.accuracy.tolist() == [0.5, 0.25, 0.25, 0.25]
    assert curve.mean_tokens == (11 + 4) / 2
    assert (curve.n_samples.tolist(), curve.problem_ids.tolist(), curve.halves) == ([2, 1], ["a", "b"], None)
    no_cap = probes[~(probes.budget == 16)]  # truncated, no forced answer at the cap: the text as graded
    assert C.budget_curve(rollouts, no_cap, GRID).per_problem[0].tolist() == [0, 0.5, 0.5, 1.0]
    beyond = C.budget_curve(
        rollouts, probes, [*GRID, 32]
    )  # nothing more to give: the probe at the cap counts on
    assert beyond.per_problem[0].tolist() == [0, 0.5, 0.5, 0.5, 0.5]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.booleans(), st.booleans())
def test_against_a_plain_loop_and_any_row_order(seed, probe_cap, categorical):
    rollouts, probes = tables(seed, probe_cap=probe_cap)
    expected = by_hand(rollouts, probes, [*GRID, 20])
    shuffled = [t.sample(frac=1, random_state=seed) for t in (rollouts, probes)]
    if categorical:
        shuffled = [t.astype({"problem_id": "category", "verdict": "category"}) for t in shuffled]
    curve = C.budget_curve(*shuffled, [*GRID, 20])
    assert curve.per_problem == pytest.approx(expected)
    assert curve.accuracy == pytest.approx(expected.mean(axis=0))
    again = C.budget_curve(rollouts, probes, [*GRID, 20])
    assert np.array_equal(again.halves, curve.halves)
    assert np.array_equal(again.interval(resamples=50), curve.interval(resamples=50))


def test_halves_are_the_even_and_odd_samples_by_rank():
    rollouts, probes = tables(3)
    rollouts["sample"], probes["sample"] = rollouts["sample"] * 10 + 7, probes["sample"] * 10 + 7
    curve = C.budget_curve(rollouts, probes, GRID)
    rank = rollouts.groupby("problem_id").cumcount()
    for half in (0, 1):
        expected = by_hand(rollouts[rank % 2 == half], probes, GRID)
        assert curve.halves[half] == pytest.approx(expected)


def test_small_chunks_give_the_same_curve(monkeypatch):
    rollouts, probes = tables(1)
    whole = C.budget_curve(rollouts, probes, GRID)
    monkeypatch.setattr(scores, "CHUNK_ROWS", 5)
    assert np.array_equal(C.budget_curve(rollouts, probes, GRID).per_problem, whole.per_problem)
    with pytest.raises(DataError, match="duplicate probes"):  # across two chunks
        C.budget_curve(rollouts, pd.concat([probes, probes.iloc[:1]]), GRID)


def _without(rows):
    return lambda r, p: (r, p.drop(p.index[rows]))


def _set(table_number, column, value):
    def change(r, p):
        table = (r, p)[table_number].astype({column: object})
        table.loc[table.index[0], column] = value
        return (table, p) if table_number == 0 else (r, table)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without([0]), r"no probe for .*\(toy-0, 0, 0\)"),
        (lambda r, p: (r, p.iloc[:0]), "and [0-9]+ more"),
        (lambda r, p: (pd.concat([r, r.iloc[:1]]), p), r"duplicate rollouts .*\(toy-0, 0\)"),
        (lambda r, p: (r, pd.concat([p, p.iloc[:1]])), r"duplicate probes .*\(toy-0, 0, 0\)"),
        (lambda r, p: (r.iloc[:0], p), "rollouts is empty"),
        (lambda r, p: (r.drop(columns="length"), p), "lacks the columns length"),
        (lambda r, p: (r, None), "probes lacks"),
        (_set(0, "verdict", "corect"), "corect.*Did you mean 'correct'"),
        (_set(1, "verdict", "maybe"), "maybe"),
        (_set(0, "finish_reason", "eos"), "eos"),
        (_set(0, "length", -3), "length -3"),
        (_set(1, "budget", 2.5), "budget 2.5"),
        (_set(0, "problem_id", None), "missing problem_id"),
    ],
)
def test_bad_tables_are_named(change, message):
    with pytest.raises(DataError, match=message):
        C.budget_curve(*change(*tables()), GRID)


def test_half_probed_truncated_rollouts_are_refused():
    rollouts, probes = tables(seed=4, problems=40)
    cut = probes[(probes.budget == 16)]
    assert len(cut) > 2
    with pytest.raises(DataError, match="only some truncated"):
        C.budget_curve(rollouts, probes.drop(cut.index[0]), GRID)
    short = rollouts.index[rollouts.finish_reason == "length"][
        0
    ]  # a long prompt left it 15 tokens: no such budget
    rollouts.loc[short, ["length", "verdict"]] = [15, "correct"]
    key = rollouts.loc[short, "problem_id"], rollouts.loc[short, "sample"]
    gone = cut[(cut.problem_id == key[0]) & (cut["sample"] == key[1])].index
    curve = C.budget_curve(rollouts, probes.drop(gone), GRID)
    assert curve.per_problem == pytest.approx(by_hand(rollouts, probes.drop(gone), GRID))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (([0, 8, 4], [0, 0, 0]), "4 comes after 8"),
        (([0, 4], [0.1]), "expected"),
        (([0, 4], [0.1, 1.2]), "1.2 at budget 4"),
        (([0, 4], [0.1, float("nan")]), "nan at budget 4"),
        (([0, 4], [0.5, 0.5], [[0.1, 0.2]]), "not the mean of per_problem"),
        (([0, 4], [0.5, 0.5], [[0.5]]), "per_problem"),
        (([], []), "non-empty"),
    ],
)
def test_bad_curves_are_named(args, message):
    with pytest.raises(EffwbError, match=message):
        C.BudgetCurve(*args)


def test_at_area_and_tokens_to_reach():
    curve = C.BudgetCurve([0, 10, 20], [0.0, 0.4, 0.8])
    assert (curve.at(5), curve.at([10, 15]).tolist()) == (0.2, [0.4, pytest.approx(0.6)])
    assert curve.area() == curve.area(20) == pytest.approx(8.0)
    assert curve.area(10) == pytest.approx(2.0)
    assert curve.area(15) == pytest.approx(2.0 + 2.5)  # cut between two budgets, linearly
    assert C.tokens_to_reach(curve) == pytest.approx(18)
    assert C.tokens_to_reach(curve, share=0.5) == pytest.approx(10)
    assert C.tokens_to_reach(C.BudgetCurve([0, 5], [0.9, 0.9])) == 0
    assert np.isnan(C.tokens_to_reach(C.BudgetCurve([0, 5], [0.0, 0.0])))
    for call, message in [
        (lambda: curve.at(21), "21 is outside"),
        (lambda: curve.area(21), "l_max=21"),
        (lambda: C.tokens_to_reach(curve, share=1.5), "share=1.5"),
    ]:
        with pytest.raises(ConfigError, match=message):
            call()
    with pytest.raises(DataError, match="starts at budget 4"):
        C.BudgetCurve([4, 8], [0.1, 0.2]).area()
    with pytest.raises(DataError, match="no per_problem"):
        curve.interval()


def test_interval_covers_the_truth_pointwise():
    rng = np.random.default_rng(11)
    truth, hits = np.array([0.2, 0.5, 0.7]), np.zeros(3)
    for seed in range(400):
        skill = truth + 0.2 * rng.uniform(-1, 1, (40, 1))  # inside [0, 1], so the mean is the truth
        per_problem = rng.binomial(8, skill) / 8
        low, high = C.BudgetCurve([0, 4, 8], per_problem.mean(axis=0), per_problem).interval(
            seed=seed, resamples=500
        )
        hits += (low <= truth) & (truth <= high)
    assert (hits / 400 >= 0.90).all()
    assert (hits / 400 <= 0.99).all()


def test_verdict_counts_keep_the_zeros():
    rollouts, probes = tables()
    counts = C.verdict_counts(rollouts)
    assert list(counts.index) == list(STATUSES)
    assert counts.sum() == len(rollouts)
    per_budget = C.verdict_counts(probes, by="budget")
    assert per_budget.loc[4].sum() == (probes.budget == 4).sum()
    assert C.verdict_counts(rollouts[rollouts.verdict == "wrong"])["timeout"] == 0


def test_unsorted_categories_give_the_same_curve():
    rollouts, probes = tables()
    turned = [
        t.assign(problem_id=pd.Categorical(t["problem_id"], [f"toy-{p}" for p in (3, 0, 5, 1, 4, 2)]))
        for t in (rollouts, probes)
    ]
    plain, curve = C.budget_curve(rollouts, probes, GRID), C.budget_curve(*turned, GRID)
    assert list(curve.problem_ids) == list(plain.problem_ids)
    assert np.array_equal(curve.per_problem, plain.per_problem)


class TestScoreTable:
    def test_its_means_are_the_curve(self):
        rollouts, probes = tables(seed=3)
        scores = C.score_table(rollouts.sample(frac=1, random_state=1), probes, GRID)
        assert list(scores.columns) == GRID
        means = scores.groupby("problem_id").mean()
        assert np.allclose(means, C.budget_curve(rollouts, probes, GRID).per_problem)

    def test_the_first_budget_that_is_right(self):
        scores = pd.DataFrame([[0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]], columns=GRID)
        assert C.first_right(scores).fillna(-1).tolist() == [4, -1, 0]


def test_an_interval_is_computed_once(monkeypatch):
    curve = C.budget_curve(*tables(), GRID)
    first = curve.interval()
    monkeypatch.setattr(C, "bootstrap_mean", None)
    assert curve.interval() is first
