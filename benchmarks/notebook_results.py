"""Writes what a notebook measured as one small file of results: its parameters and its tables.

    papermill notebooks/30_lapo.ipynb out.ipynb -y '{seeds: [0, 1, 2], figures_dir: out}' --cwd .
    python -m benchmarks.notebook_results out.ipynb --figures out

The tables are the CSV files that the notebook saved, those with at most 60 rows; the file names the others.
Results: benchmarks/results/<notebook>.json, without dates and without paths.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.report import RESULTS, commit, parser_of, save
from effwb.errors import DataError

MOST_ROWS = 60  # larger tables hold rollouts or steps
PLACES = {"run_root", "figures_dir", "png"}  # parameters that are paths


def parameters(executed: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that papermill gave an executed notebook, without paths.

    Raises:
        DataError: Papermill did not run the notebook to its end.
    """
    papermill = executed["metadata"].get("papermill", {})
    if papermill.get("exception", True) or not papermill.get("end_time"):
        raise DataError("the notebook was not run to its end by papermill: run it again, then this")
    return {name: value for name, value in papermill["parameters"].items() if name not in PLACES}


def notebook_results(executed: Path, figures: Path, made_by: str) -> dict[str, Any]:
    """Return the results of an executed notebook.

    Args:
        executed: The notebook that papermill wrote.
        figures: Directory with its CSV files.
        made_by: The commit that it was executed with.

    Raises:
        DataError: The notebook did not run to its end, or `figures` holds no table of it.
    """
    notebook = json.loads(executed.read_text(encoding="utf-8"))
    values = parameters(notebook)
    source = Path(notebook["metadata"]["papermill"]["input_path"])
    prefix = source.stem.split("_")[0]
    tables = {
        path.stem.removeprefix(f"{prefix}_"): pd.read_csv(path) for path in figures.glob(f"{prefix}_*.csv")
    }
    if not tables:
        raise DataError(f"no table {prefix}_*.csv in {figures}")
    small = {name: table for name, table in sorted(tables.items()) if len(table) <= MOST_ROWS}
    return {
        "notebook": source.stem,
        "commit": made_by,
        "parameters": values,
        "tables": {name: table.to_dict("records") for name, table in small.items()},
        "rows of tables that are left out": {n: len(t) for n, t in sorted(tables.items()) if n not in small},
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of("notebook_results", __doc__)
    parser.add_argument("notebook", type=Path, help="the executed notebook")
    parser.add_argument("--figures", type=Path, default=Path("figures"), help="directory of its tables")
    parser.add_argument("--commit", help="commit that it was executed with; default: what is checked out")
    parser.set_defaults(output=None)
    args = parser.parse_args(argv)
    results = notebook_results(args.notebook, args.figures, args.commit or commit())
    save(args.output or RESULTS / f"{results['notebook']}.json", results)


if __name__ == "__main__":
    main()
