"""Tables as a paper prints them: LaTeX with booktabs, or Markdown, with intervals after their values."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from effwb.errors import DataError

ENDS = (" low", " high")  # what the names of the columns of an interval end with
LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
LATEX |= {sign: f"\\{sign}" for sign in "&%$#_{}"}
LATEX |= {"Δ": r"$\Delta$", "±": r"$\pm$", "×": r"$\times$", "<": r"$<$", ">": r"$>$"}
GREEK = (
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "eta",
    "theta",
    "kappa",
    "lambda",
    "mu",
    "rho",
    "sigma",
)
SETTING = re.compile(r"(\w+)=(\S+)")  # a parameter in the name of a method, such as alpha=0.1
NUMBER = re.compile(r"-?[\d,.]+")
# Which value of a column is the best, by a pattern of its name. Lengths have none: a model that gives up is
# the shortest.
BEST: dict[str, Literal["max", "min"]] = {
    r"accuracy|J\(\d+\)|AES|area": "max",
    r"REG|REG, cross-fitted": "min",
}


def readable(table: pd.DataFrame, digits: Mapping[str, int] | None = None) -> pd.DataFrame:
    """Format a table as text: sensible decimals, and intervals in brackets after their values.

    The columns `x low` and `x high` disappear into the column `x`, as "0.81 [0.78, 0.84]"; so do `low` and
    `high` into `accuracy`. Missing values are empty.

    Args:
        table: Any DataFrame.
        digits: Number of decimals by column; default: as many as give the half of a typical interval two
            digits, and without an interval as many as the size of the numbers needs.

    Returns:
        A DataFrame of strings.

    Example:
        >>> import pandas as pd
        >>> from effwb.export import readable
        >>> row = {"accuracy": [0.8123], "accuracy low": [0.78], "accuracy high": [0.84], "tokens": [1234.5]}
        >>> readable(pd.DataFrame(row)).iloc[0].tolist()
        ['0.812 [0.780, 0.840]', '1,234']
    """
    digits, columns = digits or {}, {}
    if "accuracy" in table and {"low", "high"} <= set(table.columns):
        table = table.rename(columns={"low": "accuracy low", "high": "accuracy high"})
    for name in table.columns:
        if name.endswith(ENDS) and name.rpartition(" ")[0] in table:
            continue
        is_float = pd.api.types.is_float_dtype(table[name])
        has_interval = all(f"{name}{end}" in table for end in ENDS)
        places = digits.get(name, _places(table, name, has_interval) if is_float else 0)
        cells = [_cell(value, places) for value in table[name]]
        if has_interval:
            lows, highs = ([_cell(v, places) for v in table[f"{name}{end}"]] for end in ENDS)
            cells = [
                cell + (f" [{low}, {high}]" if cell and low and high else "")
                for cell, low, high in zip(cells, lows, highs, strict=True)
            ]
        columns[name] = cells
    return pd.DataFrame(columns)


def latex(
    table: pd.DataFrame,
    *,
    caption: str = "",
    label: str = "",
    best: Mapping[str, Literal["max", "min"]] | None = None,
) -> str:
    r"""Format a table as a LaTeX `tabular` with booktabs rules; needs `\usepackage{booktabs}`.

    Columns of text are aligned to the left, all others to the right. The best value of a column is bold, of
    each benchmark where there are several. Parameters in names become `$\alpha = 0.1$`.

    Args:
        table: Any DataFrame; its cells are formatted by `readable`.
        caption: With a caption the `tabular` stands in a `table`.
        label: Label of that `table`; default: none.
        best: "max" or "min" by a pattern of the names of columns; default: `BEST`, {}: nothing is bold.

    Returns:
        LaTeX source.

    Raises:
        DataError: The table has no columns.
    """
    rows, is_text = _rows(table)
    bold = _best_cells(table, rows[0], BEST if best is None else best)
    cells = [
        [_bold(cell) if (i, k) in bold else _label(cell) for k, cell in enumerate(row)]
        for i, row in enumerate(rows, -1)
    ]
    head, *body = [" & ".join(row) + r" \\" for row in cells]
    lines = [
        rf"\begin{{tabular}}{{{''.join('l' if left else 'r' for left in is_text)}}}",
        r"\toprule",
        head,
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    if caption:
        label_line = [rf"\label{{{label}}}"] if label else []
        caption_line = rf"\caption{{{_escape_latex(caption)}}}"
        lines = [r"\begin{table}", r"\centering", caption_line, *label_line, *lines, r"\end{table}"]
    return "\n".join(lines) + "\n"


def markdown(table: pd.DataFrame) -> str:
    """Format a table as Markdown with pipes.

    Args:
        table: Any DataFrame; its cells are formatted by `readable`.

    Returns:
        Markdown source.

    Raises:
        DataError: The table has no columns.
    """
    rows, is_text = _rows(table)
    head, *body = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    rule = ["---" if left else "---:" for left in is_text]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *body)) + "\n"


def _rows(table: pd.DataFrame) -> tuple[list[list[str]], list[bool]]:
    """Head and rows as text, and which columns hold words rather than numbers (or numbers with intervals)."""
    if len(table.columns) == 0:
        raise DataError("the table has no columns")
    text = readable(table)
    number = re.compile(r"-?[\d,.]+( \[.*\])?|")
    is_text = [not all(number.fullmatch(cell) for cell in text[name]) for name in text.columns]
    return [list(map(str, text.columns)), *text.to_numpy().tolist()], is_text


def _best_cells(table: pd.DataFrame, names: list[str], best: Mapping[str, str]) -> set[tuple[int, int]]:
    """Row and column of the best values, equal ones together; none where there is nothing to choose from."""
    groups = table["benchmark"].tolist() if "benchmark" in table else [""] * len(table)
    cells = set()
    for pattern, direction in best.items():
        for k, name in enumerate(names):
            if name not in table or not re.fullmatch(pattern, name):
                continue
            for group in dict.fromkeys(groups):
                rows = [i for i, own in enumerate(groups) if own == group]
                values = table[name].iloc[rows].astype(float).to_numpy()
                if np.isfinite(values).sum() > 1:
                    chosen = np.nanmax(values) if direction == "max" else np.nanmin(values)
                    cells |= {(i, k) for i, value in zip(rows, values, strict=True) if value == chosen}
    return cells


def _bold(cell: str) -> str:
    """A number with its interval; the number is bold."""
    number, space, interval = cell.partition(" ")
    return rf"\textbf{{{number}}}{space}{interval}"


def _label(text: str) -> str:
    r"""A text as LaTeX, with the parameters in it as a reader expects them: `alpha=0.1` is $\alpha = 0.1$."""
    words, end = [], 0
    for match in SETTING.finditer(text):
        name, value = match.groups()
        words.append(_escape_latex(text[end : match.start()]))
        if name in GREEK and NUMBER.fullmatch(value):
            words.append(rf"$\{name} = {value}$")
        else:
            words.append(f"{_escape_latex(name)} = {_escape_latex(value)}")
        end = match.end()
    return "".join(words) + _escape_latex(text[end:])


def _cell(value: Any, places: int) -> str:
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return ""
    return f"{value:,.{places}f}" if isinstance(value, float) else str(value)


def _places(table: pd.DataFrame, name: str, has_interval: bool) -> int:
    """Decimals for an interval of this width, else for numbers of this size: 0.812, 12.34, 123.4, 1,234."""
    if has_interval:
        half = float(((table[f"{name} high"] - table[f"{name} low"]) / 2).median())
        if math.isfinite(half) and half > 0:
            return min(max(1 - math.floor(math.log10(half)), 0), 4)
    largest = table[name].abs().max()
    return next((places for places, limit in ((3, 10), (2, 100), (1, 1000)) if largest < limit), 0)


def _escape_latex(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in text)
