"""metrics.jsonl: one line per step, readable during the run, and cut back to the checkpoint on resume."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from effwb.runs import write_atomic

if TYPE_CHECKING:
    import pandas as pd


class Record:
    """The file of metrics, one step per line.

    Args:
        path: The file; it need not exist yet.
    """

    def __init__(self, path: Path):
        self.path = path

    def rows(self) -> list[dict]:
        """All complete lines, in order; a last line that a kill left half written is skipped."""
        if not self.path.exists():
            return []
        rows = []
        for line in self.path.read_text().splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
        return rows

    def cut(self, step: int) -> None:
        """Delete the rows after `step`, which a resumed run will measure again."""
        rows = [row for row in self.rows() if row["step"] <= step]
        write_atomic(self.path, "".join(json.dumps(row) + "\n" for row in rows).encode())

    def add(self, row: dict) -> None:
        """Append a step; numbers that are not finite become null."""
        clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        with open(self.path, "a") as file:
            file.write(json.dumps(clean) + "\n")


def read_metrics(path: str | Path) -> pd.DataFrame:
    """metrics.jsonl as a DataFrame.

    Args:
        path: The file.

    Returns:
        A row per step, with NaN for missing values; empty where nothing was measured yet.
    """
    import pandas as pd

    frame = pd.DataFrame(Record(Path(path)).rows())
    return frame.astype(float).astype({"step": int}) if len(frame) else frame
