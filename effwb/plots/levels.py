"""Where the tokens go: length and accuracy against the difficulty of the problem, a line per model."""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from effwb.plots.tradeoff import DASHES, checked, log_tokens, look_of


def level_figure(table, *, title: str = "") -> go.Figure:
    """Mean length (tokens, log axis) and accuracy by level, side by side, with their intervals as bars.

    `table` has a row per model and level, as `training.level_table` makes it: `name, level, length, accuracy`
    and, optionally, `length low`, `length high`, `low`, `high`. Levels are drawn in the order of the rows.
    Axes fit the means; intervals of few problems may leave them. Raises DataError for a missing column, an
    empty table, NaN, or a length that is not positive.
    """
    numbers = ("length", "accuracy")
    table = checked(table, ("name", "level", *numbers), numbers=numbers, positive=("length",))
    fig = make_subplots(1, 2, horizontal_spacing=0.1)
    for i, name in enumerate(dict.fromkeys(table["name"])):
        rows = table[table["name"] == name]
        _add_line(fig, rows, i, "length", "length ", ",.1f", 1)
        _add_line(fig, rows, i, "accuracy", "", ".3f", 2)
    fig.update_xaxes(title="level", type="category", categoryarray=list(dict.fromkeys(table["level"])))
    fig.update_yaxes(
        title="length (tokens)",
        row=1,
        col=1,
        **log_tokens(table["length"].min() / 1.5, 1.5 * table["length"].max()),
    )
    fig.update_yaxes(title="accuracy", autorangeoptions={"clipmin": 0, "clipmax": 1}, row=1, col=2)
    fig.update_layout(template="effwb", title=title, width=1060, margin={"t": 100 if title else 70})
    return fig.update_layout(legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"})


def _add_line(fig, rows, i: int, column: str, ends: str, digits: str, col: int) -> None:
    colour, symbol = look_of(i)
    name, bars = rows["name"].iloc[0], None
    if {f"{ends}low", f"{ends}high"} <= set(rows):
        up, down = rows[f"{ends}high"] - rows[column], rows[column] - rows[f"{ends}low"]
        bars = {"symmetric": False, "array": up, "arrayminus": down, "thickness": 1.2, "width": 4}
    fig.add_scatter(
        x=rows["level"],
        y=rows[column],
        error_y=bars,
        name=name,
        legendgroup=name,
        showlegend=col == 1,
        mode="lines+markers",
        cliponaxis=False,
        line={"color": colour, "width": 2, "dash": DASHES[i % len(DASHES)]},
        marker={"symbol": symbol, "size": 9},
        hovertemplate=f"{name}<br>level %{{x}}<br>{column} %{{y:{digits}}}<extra></extra>",
        row=1,
        col=col,
    )
