"""Figures and tables as files: the HTML a reader can touch and, beside it, the CSV it was drawn from."""

from pathlib import Path

from effwb.errors import ConfigError, one_of

PLOTLYJS = {"cdn": "cdn", "embed": True}


def save(fig, stem: str | Path, table=None, *, plotlyjs: str = "cdn") -> list[Path]:
    """Write `<stem>.html` from a plotly figure and `<stem>.csv` from its DataFrame; return the paths written.

    `plotlyjs` "cdn" gives a file of some kilobytes that needs the network to open, "embed" one of about 5
    MB that does not. Directories are made. Raises ConfigError for what is neither a figure nor a table.
    """
    one_of("plotlyjs", plotlyjs, PLOTLYJS)
    if not hasattr(fig, "write_html"):
        raise ConfigError(f"fig must be a plotly Figure, got {type(fig).__name__}")
    if table is not None and not hasattr(table, "to_csv"):
        raise ConfigError(f"table must be a DataFrame or None, got {type(table).__name__}")
    if str(stem).endswith((".html", ".csv")):
        raise ConfigError(f"stem={str(stem)!r} already has a suffix; leave it out, both files get their own")
    html = _path(stem, ".html")
    html.parent.mkdir(parents=True, exist_ok=True)
    fig.write_html(html, include_plotlyjs=PLOTLYJS[plotlyjs])
    if table is None:
        return [html]
    csv = _path(stem, ".csv")
    table.to_csv(csv, index=False)
    return [html, csv]


def _path(stem: str | Path, suffix: str) -> Path:
    return Path(f"{stem}{suffix}")  # not with_suffix: "qwen-1.5b" would lose its ".5b"
