"""Tables as a paper prints them: LaTeX with booktabs, or Markdown, with intervals after their values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from effwb.errors import DataError

ENDS = (" low", " high")  # what the names of the columns of an interval end with
LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
LATEX |= {sign: f"\\{sign}" for sign in "&%$#_{}"}


def readable(table: pd.DataFrame, digits: Mapping[str, int] | None = None) -> pd.DataFrame:
    """Format a table as text: sensible decimals, and intervals in brackets after their values.

    The columns `x low` and `x high` disappear into the column `x`, as "0.81 [0.78, 0.84]". Missing values are
    empty.

    Args:
        table: Any DataFrame.
        digits: Number of decimals by column; default: as many as the size of the numbers needs.

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
    for name in table.columns:
        if name.endswith(ENDS) and name.rpartition(" ")[0] in table:
            continue
        is_float = pd.api.types.is_float_dtype(table[name])
        places = digits.get(name, _places(table[name]) if is_float else 0)
        cells = [_cell(value, places) for value in table[name]]
        if all(f"{name}{end}" in table for end in ENDS):
            lows, highs = ([_cell(v, places) for v in table[f"{name}{end}"]] for end in ENDS)
            cells = [
                cell + (f" [{low}, {high}]" if cell and low and high else "")
                for cell, low, high in zip(cells, lows, highs, strict=True)
            ]
        columns[name] = cells
    return pd.DataFrame(columns)


def latex(table: pd.DataFrame, *, caption: str = "", label: str = "") -> str:
    r"""Format a table as a LaTeX `tabular` with booktabs rules; needs `\usepackage{booktabs}`.

    Columns of text are aligned to the left, all others to the right.

    Args:
        table: Any DataFrame; its cells are formatted by `readable`.
        caption: With a caption the `tabular` stands in a `table`.
        label: Label of that `table`; default: none.

    Returns:
        LaTeX source.

    Raises:
        DataError: The table has no columns.
    """
    rows, is_text = _rows(table)
    head, *body = [" & ".join(_escape_latex(cell) for cell in row) + r" \\" for row in rows]
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


def _cell(value: Any, places: int) -> str:
    if value is None or value != value:
        return ""
    return f"{value:,.{places}f}" if isinstance(value, float) else str(value)


def _places(column: pd.Series) -> int:
    """Decimals for numbers of this size: 0.812, 12.34, 123.4, 1,234."""
    largest = column.abs().max()
    return next((places for places, limit in ((3, 10), (2, 100), (1, 1000)) if largest < limit), 0)


def _escape_latex(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in text)
