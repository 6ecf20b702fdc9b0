"""Published tables as DataFrames: derive again what they say, and see what does not add up."""

from __future__ import annotations

import json

import pandas as pd

from effwb._internal.paths import data_dir
from effwb.budgets import PAPER_CAP
from effwb.frontier import BENCHMARKS, MODELS, Frontier

CELLS = list(BENCHMARKS[:-1])


def published_reg_table() -> pd.DataFrame:
    """Tables 1 and 3 of arXiv 2506.07104.

    Returns:
        A row per model, method and benchmark (or "average"). Columns: `model`, `method`, `tables`,
        `reference`, `signs_inferred`; `accuracy` (percent), `length` (tokens), `change_pct` (as printed,
        against `reference`), `reg` (absolute: printed for the reference rows, derived from `change_pct` for
        the others), `area` (what the model's own curve must then enclose on [0, 16384]: frontier minus REG)
        and `mean_accuracy` (that area / 16384, in percent).
    """
    records = json.loads(data_dir("published", "reg_tables.json").read_text(encoding="utf-8"))["reg"]["rows"]
    printed = {(r["model"], r["method"]): r["reg_absolute"] for r in records if "reg_absolute" in r}
    rows = []
    for r in records:
        known = {k: r[k] for k in ("model", "method", "tables", "reference", "signs_inferred")}
        base = printed[r["model"], r["reference"] or r["method"]]
        for b in BENCHMARKS:
            change = r["reg_change_pct"][b] if r["reference"] else float("nan")
            row = {"benchmark": b, "accuracy": r["accuracy_pct"][b], "length": r["length_tokens"][b]}
            row |= {"change_pct": change, "reg": base[b] * (1 + change / 100) if r["reference"] else base[b]}
            rows.append(known | row)
    frame = pd.DataFrame(rows)
    areas = {(m, b): Frontier.published(m, b).area(PAPER_CAP) for m in MODELS for b in BENCHMARKS}
    frame["area"] = [areas[key] for key in zip(frame["model"], frame["benchmark"], strict=True)] - frame[
        "reg"
    ]
    return frame.assign(mean_accuracy=100 * frame["area"] / PAPER_CAP)


def check_reg_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Check whether each printed average follows from its four cells.

    Cells and averages carry one decimal, so they may differ by 0.1 in all (percent of the reference for REG).
    Rows whose signs were inferred from the average can fail in magnitude only.

    Args:
        frame: What `published_reg_table` returns.

    Returns:
        A row per model and method: `*_error` (mean of the cells minus the printed average), `*_ok`, and
        `possible` (every mean accuracy that a cell implies is below the frontier's maximum and below the
        final accuracy + 2 points).
    """
    wide = frame.set_index(["model", "method", "benchmark"]).unstack("benchmark")
    out = frame.groupby(["model", "method"])[["signs_inferred"]].first()
    for name in ("accuracy", "length", "reg"):
        error = wide[name][CELLS].mean(axis=1) - wide[name]["average"]
        if name == "reg":
            error *= 100 * (1 + wide["change_pct"]["average"].fillna(0) / 100) / wide["reg"]["average"]
        out[f"{name}_error"], out[f"{name}_ok"] = error, error.abs() <= 0.1 + 1e-9
    top = {(m, b): 100 * Frontier.published(m, b).accuracy.max() for m in MODELS for b in BENCHMARKS}
    highest = [top[key] for key in zip(frame["model"], frame["benchmark"], strict=True)]
    possible = (frame["mean_accuracy"] < highest) & (frame["mean_accuracy"] < frame["accuracy"] + 2)
    possible |= frame["benchmark"] == "average"  # the averages are not judged, their cells are
    out["possible"] = possible.groupby([frame["model"], frame["method"]]).all()
    return out
