"""Find finished evaluations below a directory, read one back, and tell whether several were measured alike."""

import json
from collections.abc import Mapping
from pathlib import Path

from effwb.curves import BudgetCurve, budget_curve
from effwb.errors import ConfigError, DataError
from effwb.evaluation import Evaluation
from effwb.runs import RunDir, digest, read_parquet

ROLLOUTS_READ = ["problem_id", "sample", "length", "finish_reason", "verdict"]  # what a curve needs
PROBES_READ = ["problem_id", "sample", "budget", "verdict"]
CATEGORIES = ("problem_id", "finish_reason", "verdict")


def finished_below(root: str | Path, *, largest: bool = False) -> dict[str, BudgetCurve]:
    """The curve of every finished evaluation below `root`, by the name of its run: what makes a frontier.

    Finished is a directory with all its rollouts and probes. It goes by its path below `root`, a directory
    `eval` by that of the run it lies in. Curves are recomputed from the tables, without the tokens.

    One frontier needs one measure: the same problems, budgets, forced answer and verifier. `DataError` names
    what differs and where, unless `largest` asks for the largest set of evaluations that are measured alike.
    Which model and prompt were measured, the temperature, cap and number of samples may differ.
    """
    runs = finished_runs(root)
    sets = _alike({name: measure_of(run) for name, run in runs.items()})
    if len(sets) > 1 and not largest:
        most = max(map(len, sets.values()))
        raise DataError(
            f"the evaluations below {root} {_unlike(sets)}; give the directory of one kind, or largest=True "
            f"for the {most} that agree"
        )
    found = max(sets.values(), key=len, default=[])
    return {name: read_evaluation(runs[name].path, name).curve for name in found}


def finished_runs(root: str | Path) -> dict[str, RunDir]:
    """The directory of every finished evaluation below `root`, by the name of its run, sorted; no table is
    read.

    `ConfigError` where there is no such directory.
    """
    root, found = Path(root), {}
    if not root.is_dir():
        raise ConfigError(f"no directory {root}")
    for folder in (done.parents[1] for done in root.rglob("probes/DONE")):
        run = RunDir(folder)
        if run.is_done("rollouts") and run.is_done("probes"):
            name = str((folder.parent if folder.name == "eval" else folder).relative_to(root))
            found[root.name if name == "." else name] = run
    return dict(sorted(found.items()))


def check_alike(measures: Mapping[str, str]) -> None:
    """Raise `DataError` where evaluations may not be compared, with what differs between them and where.

    `measures` are the `measure_of` of each, by name.
    """
    sets = _alike(measures)
    if len(sets) > 1:
        raise DataError(f"these evaluations {_unlike(sets)}")


def read_evaluation(run_dir: str | Path, name: str = "") -> Evaluation:
    """A finished evaluation as it lies on disk, whatever model made it; its tables lack texts and tokens, and
    their ids and verdicts are categories.

    `DataError` where it is not finished.
    """
    run = RunDir(run_dir)
    name = name or run.path.name
    table, probed = (
        run.read(of, columns=columns, categories=[c for c in CATEGORIES if c in columns])
        for of, columns in (("rollouts", ROLLOUTS_READ), ("probes", PROBES_READ))
    )
    made = run.config["probes"]["identity"]
    curve = budget_curve(table, probed, made["budgets"], name=name, snap=made.get("snap"))
    return Evaluation(name, run.path, table, probed, curve)


def measure_of(run: RunDir) -> str:
    """What two curves must share to be compared, in words and digests: a JSON object."""
    made, probed = (run.config[table]["identity"] for table in ("rollouts", "probes"))
    asked = read_parquet(run.path / "problems.parquet", ["problem_id", "answer"]).sort_values("problem_id")
    budgets, verifiers = probed["budgets"], [made["verifier"], probed["verifier"]]
    forced = [probed["suffix"], probed["answer_tokens"]]
    snap = f", cut down to blocks of {probed['snap']}" if "snap" in probed else ""
    shared = {
        "problems": f"{len(asked)} ({digest(asked.to_numpy().tolist())})",
        "budgets": f"{len(budgets)} from {budgets[0]} to {budgets[-1]} ({digest(budgets)}){snap}",
        "forced answer": f"{forced[0]!r} and {forced[1]} tokens",
        "verifier": f"{verifiers[0]['verifier']['name']} {verifiers[0]['verifier']['version']} "
        f"({digest(verifiers)})",
    }
    return json.dumps(shared)


def _alike(measures: Mapping[str, str]) -> dict[str, list[str]]:
    """Names by what they share as a measure."""
    sets: dict[str, list] = {}
    for name, measure in measures.items():
        sets.setdefault(measure, []).append(name)
    return sets


def _unlike(sets: dict[str, list[str]]) -> str:
    """In what the evaluations differ, with an example of each value."""
    parts = [(json.loads(measure), names) for measure, names in sets.items()]
    lines = []
    for what in parts[0][0]:
        runs: dict[str, list] = {}
        for measure, names in parts:
            runs.setdefault(measure[what], []).extend(names)
        if len(runs) > 1:
            shown = [
                f"{value} in {n[0]}{f' and {len(n) - 1} more' if n[1:] else ''}" for value, n in runs.items()
            ]
            lines.append(f"{what}: {', '.join(shown)}")
    return f"are not measured alike ({'; '.join(lines)})"
