"""Finished evaluations written by hand, for tests that need no model."""

import pandas as pd

from effwb.runs import RunDir

BUDGETS = [0, 10, 20]
VERIFIER = {"verifier": {"name": "effwb", "version": 1, "math_verify": "0.9.0"}, "timeout": 5.0}
SAMPLING = {"model": "none", "n": 2, "temperature": 1.0, "top_p": 1.0, "max_tokens": 20}
SAMPLING |= {"engine_version": "made up", "dtype": "float32"}
TWO_BENCHMARKS = ("aime24-1", "aime24-2", "amc23-1", "amc23-2", "amc23-3", "amc23-4")


def write_evaluation(
    folder,
    correct_at_10=1,
    *,
    ids=("a", "b"),
    budgets=BUDGETS,
    version=1,
    suffix="box{",
    tokens=True,
    wrong=(),
    lengths=None,
):
    """Write a finished evaluation and return its directory.

    It has two samples per problem, all of 15 tokens and correct. At a budget of 0 all forced answers are
    wrong; at 10 they are correct or wrong, as `correct_at_10` says. All answers to the problems `wrong` are
    wrong; `lengths` has other lengths by problem.
    """
    run, verifier = RunDir(folder), {**VERIFIER, "verifier": {**VERIFIER["verifier"], "version": version}}
    run.path.mkdir(parents=True)
    run.begin("rollouts", {**SAMPLING, "verifier": verifier})
    run.begin("probes", {"verifier": verifier, "budgets": budgets, "suffix": suffix, "answer_tokens": 8})
    problems = pd.DataFrame({"problem_id": ids, "question": ids, "answer": ["1"] * len(ids)})
    problems.to_parquet(run.path / "problems.parquet")
    rows = pd.DataFrame([(i, s) for i in ids for s in (0, 1)], columns=["problem_id", "sample"])
    is_right = ~rows["problem_id"].isin(wrong)
    length = rows["problem_id"].map(lengths or {}).fillna(15).astype(int)
    verdict = is_right.map({True: "correct", False: "wrong"})
    rollouts = rows.assign(length=length, finish_reason="stop", verdict=verdict, text="so: 1", extracted="1")
    if tokens:
        rollouts["completion_ids"] = [[1, 2]] * len(rows)
    probes = [
        rows.assign(budget=b, extracted="1", verdict=verdict if b and correct_at_10 else "wrong")
        for b in budgets
        if b < 15
    ]
    run.fill("rollouts", [rollouts], lambda part: part, unit="", progress=False)
    run.fill("probes", [pd.concat(probes)], lambda part: part, unit="", progress=False)
    return folder
