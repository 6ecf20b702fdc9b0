"""Compares the calculators with plain pandas: a budget curve and the interval of REG.

    python -m benchmarks.calculators [--rollouts 1000000]

The input is a synthetic run with 33 budgets. Both ways must give the same results before anything is timed.
The pandas code runs on fewer resamples and rollouts, and its time is scaled up. Results:
benchmarks/results/calculators.json.
"""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import pandas as pd

from benchmarks.report import machine, parser_of, save
from effwb.budgets import check_budgets, paper_grid
from effwb.curves import Curve, budget_curve
from effwb.frontier import reg_interval
from effwb.verifiers import STATUSES

CAP = 16384
GRID = check_budgets(np.union1d(paper_grid(CAP), [1536]))  # 33 budgets
T = TypeVar("T")


def make_tables(rollouts: int, samples: int, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make a synthetic run: rollouts with log-normal lengths, and every probe that `budget_curve` needs.

    Args:
        rollouts: Number of rollouts.
        samples: Rollouts per problem.
        seed: Seed of the random numbers.

    Returns:
        The tables of the rollouts and of the probes.
    """
    rng = np.random.default_rng(seed)
    problems = rollouts // samples
    problem, sample = np.repeat(np.arange(problems), samples), np.tile(np.arange(samples), problems)
    length = np.minimum(rng.lognormal(8, 0.8, rollouts).astype(int) + 1, CAP)
    ids = np.array([f"toy-{p:012x}" for p in range(problems)])
    skill = np.repeat(rng.beta(1, 1, problems), samples)
    verdict = np.where(rng.random(rollouts) < skill, 0, rng.integers(1, 5, rollouts))
    table = pd.DataFrame(
        {
            "problem_id": pd.Categorical.from_codes(problem, ids),
            "sample": sample,
            "length": length,
            "finish_reason": pd.Categorical.from_codes((length == CAP).astype(int), ["stop", "length"]),
            "verdict": pd.Categorical.from_codes(verdict, STATUSES),
        }
    )
    row, k = np.nonzero((length[:, None] > GRID) | ((length == CAP)[:, None] & (GRID == CAP)))
    right = rng.random(len(row)) < skill[row] * (1 - np.exp(-GRID[k] / 3000))
    probes = pd.DataFrame(
        {
            "problem_id": pd.Categorical.from_codes(problem[row], ids),
            "sample": sample[row],
            "budget": GRID[k],
            "forced": True,
            "verdict": pd.Categorical.from_codes(np.where(right, 0, 1), STATUSES),
        }
    )
    return table, probes


def pandas_scores(rollouts: pd.DataFrame, probes: pd.DataFrame) -> pd.DataFrame:
    """Score every rollout at every budget by the rule of `budget_curve`, with a cross join and a merge."""
    keys = ["problem_id", "sample", "budget"]
    table = rollouts.merge(pd.DataFrame({"budget": GRID}), how="cross")
    table = table.merge(probes[[*keys, "verdict"]], on=keys, how="left", suffixes=("", "_probe"))
    own = (table.finish_reason == "stop") & (table.length <= table.budget)
    verdict = table.verdict.astype(object).where(own, table.verdict_probe.astype(object))
    return table[keys].assign(correct=(verdict == "correct").astype(float))


def pandas_curve(rollouts: pd.DataFrame, probes: pd.DataFrame) -> pd.DataFrame:
    """Return the mean score per problem (rows) and budget (columns)."""
    scores = pandas_scores(rollouts, probes)
    return scores.groupby(["problem_id", "budget"], observed=True).correct.mean().unstack("budget")


def pandas_bootstrap(per_problem: pd.DataFrame, frontier: Curve, resamples: int, seed: int = 0) -> np.ndarray:
    """Return REG of `resamples` draws of whole problems, one draw at a time."""
    draws = []
    for i in range(resamples):
        mean = per_problem.sample(frac=1, replace=True, random_state=seed + i).mean()
        draws.append(np.trapezoid(frontier.accuracy - mean.to_numpy(), GRID))
    return np.array(draws)


def timed(call: Callable[[], T], repeats: int = 3) -> tuple[T, float]:
    """Return the result of a call and the fewest seconds that it took in `repeats` calls."""
    best = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        best = min(best, time.perf_counter() - start)
    return result, best


def check_agreement() -> None:
    """Check that both ways give the same curve, and the same interval up to the noise of the bootstrap."""
    rollouts, probes = make_tables(6400, 8, seed=1)
    curve, plain = budget_curve(rollouts, probes, GRID), pandas_curve(rollouts, probes)
    assert np.allclose(curve.per_problem, plain.to_numpy(), atol=1e-12)
    frontier = Curve(GRID, curve.accuracy + 0.01)
    draws = pandas_bootstrap(plain, frontier, 1000)
    ours = reg_interval(frontier, curve, CAP)
    low, high = np.quantile(draws, [0.025, 0.975])
    assert abs((high - low) / (ours.high - ours.low) - 1) < 0.1, (low, high, ours)
    assert abs(ours.mean - 0.01 * CAP) < 1e-6 * CAP


def measure(rollouts: int, samples: int, resamples: int, plain_resamples: int, plain_share: int) -> dict:
    """Time both ways on one synthetic run.

    Args:
        rollouts: Number of rollouts.
        samples: Rollouts per problem.
        resamples: Resamples of the bootstrap.
        plain_resamples: Resamples that pandas makes; its time is scaled up to `resamples`.
        plain_share: pandas computes the curve of one problem in so many; its time is scaled up too.

    Returns:
        What was measured, with the seconds of both ways and their ratios.
    """
    table, probes = make_tables(rollouts, samples)
    curve, seconds_curve = timed(lambda: budget_curve(table, probes, GRID))
    frontier = Curve(GRID, np.minimum(curve.accuracy + 0.05, 1))
    _, seconds_boot = timed(lambda: reg_interval(frontier, curve, CAP, resamples=resamples))
    plain = pd.DataFrame(curve.per_problem, columns=GRID)
    _, plain_boot = timed(lambda: pandas_bootstrap(plain, frontier, plain_resamples), 1)
    part = table[table.problem_id.cat.codes < len(curve.per_problem) // plain_share]
    few = probes[probes.problem_id.cat.codes < len(curve.per_problem) // plain_share]
    _, plain_curve = timed(lambda: pandas_curve(part, few), 1)
    plain_boot *= resamples / plain_resamples
    plain_curve *= len(table) / len(part)
    return {
        "rollouts": len(table),
        "problems": len(curve.per_problem),
        "budgets": len(GRID),
        "probe_rows": len(probes),
        "resamples": resamples,
        "bootstrap_seconds": round(seconds_boot, 3),
        "pandas_bootstrap_seconds_scaled": round(plain_boot, 1),
        "pandas_bootstrap_resamples_run": plain_resamples,
        "bootstrap_ratio": round(plain_boot / seconds_boot, 1),
        "curve_seconds": round(seconds_curve, 2),
        "pandas_curve_seconds_scaled": round(plain_curve, 1),
        "pandas_curve_rollouts_run": len(part),
        "curve_ratio": round(plain_curve / seconds_curve, 1),
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of("calculators", __doc__)
    parser.add_argument("--rollouts", type=int, default=1_000_000)
    args = parser.parse_args(argv)
    check_agreement()
    print("both ways agree; measuring")
    shapes = [measure(args.rollouts, samples, 10_000, 20, 20) for samples in (32, 1000)]
    for shape in shapes:
        print(
            f"{shape['rollouts']:,} rollouts, {shape['problems']:,} problems, {shape['budgets']} budgets: "
            f"bootstrap with {shape['resamples']:,} resamples in {shape['bootstrap_seconds']} s, pandas "
            f"{shape['bootstrap_ratio']} times as long (scaled from "
            f"{shape['pandas_bootstrap_resamples_run']} resamples); curve from {shape['probe_rows']:,} probe "
            f"rows in {shape['curve_seconds']} s, pandas {shape['curve_ratio']} times as long (scaled from a "
            f"twentieth of the rows)"
        )
    save(args.output, {"machine": machine("numpy", "pandas"), "shapes": shapes})


if __name__ == "__main__":
    main()
