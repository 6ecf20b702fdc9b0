"""Tables about offline methods: what each run learned from, and the generation cut-off beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from effwb._internal.checked import Positive, checked_arguments
from effwb.errors import DataError
from effwb.rollouts import solved
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


@checked_arguments(caps=Sequence[Positive])
def generation_cutoff(rollouts: pd.DataFrame, caps: Sequence[int]) -> pd.DataFrame:
    """Score stored rollouts as if generation had been cut off earlier, and no answer were forced.

    A rollout that is longer than the cap is wrong and costs the cap. Nothing is trained: it is the simplest
    comparison of 2502.04463 (section 5.2, "Generation Cutoff").

    Args:
        rollouts: A rollout table, such as that of the model before training.
        caps: Caps in tokens.

    Returns:
        A row per cap: `cap`, `accuracy`, `mean length` (tokens), `truncated` (share of the rollouts), each
        problem counted equally.

    Raises:
        DataError: There are no rollouts.
    """
    import pandas as pd

    if rollouts.empty:
        raise DataError("there are no rollouts to cut off")
    length, correct = rollouts["length"].to_numpy(), solved(rollouts).to_numpy()
    is_cut_off = (rollouts["finish_reason"] == "length").to_numpy()
    rows = []
    for cap in caps:
        cut = (length > cap) | (is_cut_off & (length >= cap))
        part = {"accuracy": correct & ~cut, "mean length": np.minimum(length, cap), "truncated": cut}
        means = pd.DataFrame(part).groupby(rollouts["problem_id"].to_numpy()).mean().mean()
        rows.append({"cap": int(cap), **means.to_dict()})
    return pd.DataFrame(rows)
