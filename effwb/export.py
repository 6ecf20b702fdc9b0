"""Figures and tables as files: the HTML a reader can touch and, beside it, the CSV it was drawn from."""

import shutil
from pathlib import Path

from effwb.errors import ConfigError, EngineError, one_of

CHROMES = ("chromium", "google-chrome", "google-chrome-stable", "chrome", "chromium-browser")
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


def image(fig, path: str | Path, width: int = 900, height: int = 520, scale: float = 2.0) -> Path:
    """Draw a figure as PNG, SVG or PDF (by the suffix of `path`); sizes in CSS pixels, times `scale`.

    Needs kaleido and a Chrome or Chromium on the machine; `EngineError` says how to get what is missing.
    """
    path = Path(path)
    one_of("image format", path.suffix, (".png", ".svg", ".pdf"))
    if not any(map(shutil.which, CHROMES)):
        raise EngineError(
            f"drawing {path.name} needs Chrome or Chromium and none of {', '.join(CHROMES)} was found; "
            "install one (Debian: apt-get install chromium), or keep the HTML figure"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        fig.write_image(path, width=width, height=height, scale=scale)
    except (ImportError, ValueError) as error:
        if "kaleido" not in str(error).lower():
            raise
        raise EngineError("drawing images needs kaleido: pip install 'effwb[figures]'") from error
    return path
