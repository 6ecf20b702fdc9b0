"""What the runs of offline methods learned from, and what was left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from effwb.runs import read_json

if TYPE_CHECKING:
    import pandas as pd

    from effwb.analysis.run_set import RunSet


def examples_table(runs: RunSet) -> pd.DataFrame:
    """Say what each run of an offline method learned from, and how many problems were left out and why.

    Args:
        runs: The runs; those of designs are passed over.

    Returns:
        Columns `name` (the method), `seed`, `run`, `rows` (examples or pairs), `problems` (in them), `of
        problems` (in the pool), `dropped` (problems with no row), `why` (the count of each reason).
    """
    import pandas as pd

    columns = ["name", "seed", "run", "rows", "problems", "of problems", "dropped", "why"]
    table = []
    for name in runs.names:
        info = runs.info(name)
        file = info.training_dir and info.training_dir / "train" / "examples.json"
        if not file or not file.exists():
            continue
        stored = read_json(file, "restore it from a copy")
        reasons = ", ".join(f"{row['problems']} {row['reason']}" for row in stored["dropped"])
        row = {"name": info.method, "seed": info.seed, "run": name, "rows": stored["rows"]}
        row |= {"problems": stored["problems"], "of problems": stored["of_problems"]}
        table.append({**row, "dropped": stored["of_problems"] - stored["problems"], "why": reasons})
    return pd.DataFrame(table, columns=columns)
