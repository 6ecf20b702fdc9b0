"""Tables as a paper prints them: LaTeX with booktabs, Markdown, intervals behind their values."""

import re

from effwb.errors import DataError

ENDS = (" low", " high")
LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
LATEX |= {sign: f"\\{sign}" for sign in "&%$#_{}"}


def readable(table, digits: dict[str, int] | None = None):
    """A DataFrame of text: numbers with as many decimals as their size asks for (`digits` by column where
    given), missing ones empty, and the columns `x low` and `x high` in brackets behind `x`.
    """
    import pandas as pd

    digits, columns = digits or {}, {}
    for name in table.columns:
        if name.endswith(ENDS) and name.rpartition(" ")[0] in table:
            continue
        number = pd.api.types.is_float_dtype(table[name])
        places = digits.get(name, _places(table[name]) if number else 0)
        cells = [_cell(value, places) for value in table[name]]
        if all(f"{name}{end}" in table for end in ENDS):
            low, high = ([_cell(v, places) for v in table[f"{name}{end}"]] for end in ENDS)
            cells = [
                c + (f" [{a}, {b}]" if c and a and b else "")
                for c, a, b in zip(cells, low, high, strict=True)
            ]
        columns[name] = cells
    return pd.DataFrame(columns)


def latex(table, *, caption: str = "", label: str = "") -> str:
    """A `tabular` with booktabs' rules, in a `table` where there is a caption; text columns to the left, the
    rest to the right. Needs `\\usepackage{booktabs}`. Raises DataError for a table without columns.
    """
    rows = _rows(table)
    form = "".join("l" if left else "r" for left in _texts(table))
    head, *body = [" & ".join(_escaped(cell) for cell in row) + r" \\" for row in rows]
    lines = [rf"\begin{{tabular}}{{{form}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule"]
    lines.append(r"\end{tabular}")
    if caption:
        named = [rf"\label{{{label}}}"] if label else []
        lines = [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_escaped(caption)}}}",
            *named,
            *lines,
            r"\end{table}",
        ]
    return "\n".join(lines) + "\n"


def markdown(table) -> str:
    """The table with pipes. Raises DataError for a table without columns."""
    head, *body = ([str(cell).replace("|", "\\|") for cell in row] for row in _rows(table))
    rule = ["---" if left else "---:" for left in _texts(table)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *body)) + "\n"


def _rows(table) -> list[list[str]]:
    if len(table.columns) == 0:
        raise DataError("the table has no columns")
    text = readable(table)
    return [list(map(str, text.columns)), *text.to_numpy().tolist()]


def _texts(table) -> list[bool]:
    """Which columns of `readable` hold words, not numbers (or numbers with their intervals)."""
    text = readable(table)
    number = re.compile(r"-?[\d,.]+( \[.*\])?|")
    return [not all(number.fullmatch(cell) for cell in text[name]) for name in text.columns]


def _cell(value, places: int) -> str:
    if value is None or value != value:
        return ""
    return f"{value:,.{places}f}" if isinstance(value, float) else str(value)


def _places(column) -> int:
    """Decimals for numbers of this size: 0.812, 12.34, 123.4, 1,234."""
    largest = column.abs().max()
    return next((places for places, limit in ((3, 10), (2, 100), (1, 1000)) if largest < limit), 0)


def _escaped(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in text)
