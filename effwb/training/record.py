"""metrics.jsonl: one line per step, readable while the run goes on, and cut back to the checkpoint on
resume.
"""

import json
import math
from pathlib import Path

from effwb.runs import write_atomic


class Record:
    """Lines of `path`, each one step. A line that a kill left half written is not read."""

    def __init__(self, path: Path):
        self.path = path

    def rows(self) -> list[dict]:
        """All whole lines, in order."""
        if not self.path.exists():
            return []
        whole = []
        for line in self.path.read_text().splitlines():
            try:
                whole.append(json.loads(line))
            except ValueError:
                break  # the last line of a killed run
        return whole

    def cut(self, step: int) -> None:
        """Forget what was measured after `step`: it will be measured again."""
        kept = [row for row in self.rows() if row["step"] <= step]
        write_atomic(self.path, "".join(json.dumps(row) + "\n" for row in kept).encode())

    def add(self, row: dict) -> None:
        clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        with open(self.path, "a") as file:
            file.write(json.dumps(clean) + "\n")


def read_metrics(path: str | Path):
    """metrics.jsonl as a DataFrame, a row per step; a missing value is NaN."""
    import pandas as pd

    frame = pd.DataFrame(Record(Path(path)).rows())
    return frame.astype(float).astype({"step": int}) if len(frame) else frame
