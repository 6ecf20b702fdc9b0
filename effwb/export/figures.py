"""Figures and tables as files: the HTML a reader can touch and, beside it, the CSV it was drawn from; and
both as a paper wants them.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from effwb.errors import ConfigError, DataError, EngineError, one_of

CHROMES = ("chromium", "google-chrome", "google-chrome-stable", "chrome", "chromium-browser")
IMAGES = (".png", ".svg", ".pdf")
TABLES = (".tex", ".md")
COLUMNS = {  # widths of text in inches
    "neurips": 5.5,
    "iclr": 5.5,
    "icml": 3.25,
    "icml-wide": 6.75,
    "acl": 3.03,
    "acl-wide": 6.3,
    "slide": 10.0,
}
DPI = 300  # of a PNG
FONT = 16  # CSS pixels of the template's text
PX = 96  # CSS pixels of an inch
NARROW = 700  # CSS pixels of a figure below which its legend goes below it
LEGEND_ENTRY = 55  # CSS pixels of an entry without its text
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


def read_figure(path: str | Path):
    """The figure in an HTML file that `save` wrote. `DataError` where there is none."""
    import plotly.graph_objects as go

    text, decoder = Path(path).read_text(encoding="utf-8"), json.JSONDecoder()
    start = text.find("Plotly.newPlot(")
    if start < 0:
        raise DataError(f"{path} holds no plotly figure")
    at = text.index("[", text.index(",", start))  # behind the id of its place
    data, end = decoder.raw_decode(text, at)
    layout, _ = decoder.raw_decode(text, text.index("{", end))
    return go.Figure(data, layout)


def images(
    figures: Mapping[str | Path, object],
    formats: Sequence[str] = (".pdf",),
    *,
    column: str = "neurips",
    points: float = 8,
) -> list[Path]:
    """Draw figures, by their path without suffix, as wide as a column (`COLUMNS`) and with text of `points`.

    All are drawn by one Chrome. The figure is laid out with the template's text of 16 at the width at which
    that is `points` when printed, so markers and lines shrink along. Its title goes, for papers have
    captions, and where it is narrow its legend goes below. SVG and PDF have the size of the column, PNG 300
    dots an inch. Raises ConfigError and EngineError.
    """
    import plotly.io as pio

    one_of("column", column, COLUMNS)
    for form in formats:
        one_of("image format", form, IMAGES)
    if not points > 0:
        raise ConfigError(f"points={points} must be positive")
    need_chrome("images")
    shrink = points / 72 * PX / FONT  # printed size over the size in the layout
    jobs = []
    for stem, fig in figures.items():
        width = round(COLUMNS[column] * PX / shrink)
        printed = _printed(fig, width, titled=column == "slide")
        for form in formats:
            path = _path(stem, form)
            path.parent.mkdir(parents=True, exist_ok=True)
            scale = shrink * (DPI / PX if form == ".png" else 1)
            jobs.append((printed, path, width, printed.layout.height, scale))
    if jobs:
        figs, paths, widths, heights, scales = map(list, zip(*jobs, strict=True))
        with _kaleido():
            pio.write_images(figs, paths, width=widths, height=heights, scale=scales)
    return [path for _, path, *_ in jobs]


def _printed(fig, width: int, titled: bool):
    """A copy laid out for `width` pixels, its height set."""
    fig = type(fig)(fig)
    height = width * (fig.layout.height or 520) / (fig.layout.width or 860)
    if not titled:
        fig.update_layout(title=None, margin={"t": 25})
    names = [t.name for t in fig.data if t.name and t.showlegend is not False]
    if width < NARROW and fig.layout.showlegend is not False and len(names) > 1:
        rows = -(-sum(LEGEND_ENTRY + 8 * len(name) for name in names) // (width - 20))
        below = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"}
        below |= {"x": 0, "xanchor": "left"}
        height += 24 * rows
        fig.update_layout(legend=below, margin={"b": 70 + 24 * rows})
    return fig.update_layout(height=round(max(height, 0.6 * width)))


def tables(frames: Mapping[str | Path, object], formats: Sequence[str] = TABLES) -> list[Path]:
    """Write DataFrames, by their path without a suffix, as LaTeX and Markdown; return the paths."""
    from effwb.export.text_tables import latex, markdown

    written = []
    for form in formats:
        one_of("table format", form, TABLES)
        for stem, frame in frames.items():
            path = _path(stem, form)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text((latex if form == ".tex" else markdown)(frame), encoding="utf-8")
            written.append(path)
    return written


def convert(
    files: Sequence[Path], formats: Sequence[str] | None = None, out: Path | None = None, **how
) -> list[Path]:
    """What `effwb export` does: HTML figures and CSV tables to `formats`, those that fit each; `how` goes to
    `images`. Files go to the directory `out`, or beside what they are made of.

    Formats are given without a dot; default: PDF for figures, LaTeX and Markdown for tables. A figure takes
    the CSV beside it along to `out`. Raises ConfigError for a file that is neither or is not there, and for
    formats that fit none.
    """
    import pandas as pd

    wanted = None if formats is None else [f".{form.lstrip('.')}" for form in formats]
    for form in wanted or ():
        one_of("format", form, (".html", *IMAGES, *TABLES))
    figures, frames, written = {}, {}, []
    for file in map(Path, files):
        one_of(f"kind of file for {file.name}", file.suffix, (".html", ".csv"))
        if not file.is_file():
            raise ConfigError(f"no file {file}")
        stem = (out or file.parent) / file.stem
        if file.suffix == ".csv":
            frames[stem] = pd.read_csv(file)
            continue
        figures[stem] = read_figure(file)
        beside = file.with_name(f"{file.stem}.csv")
        if out is not None and beside.is_file():
            out.mkdir(parents=True, exist_ok=True)
            written.append(Path(shutil.copy(beside, out)))
    drawn = [form for form in wanted or [".pdf"] if form in IMAGES]
    typeset = [form for form in wanted or TABLES if form in TABLES]
    if ".html" in (wanted or ()):
        written += [path for stem, fig in figures.items() for path in save(fig, stem, plotlyjs="embed")]
    written += images(figures, drawn, **how) if figures and drawn else []
    written += tables(frames, typeset)
    if not written:
        raise ConfigError(
            f"nothing to write: {formats} fits none of the files; figures: html pdf svg png, tables: tex md"
        )
    return written


def need_chrome(what: str) -> None:
    """`EngineError` with the remedy where there is no browser to draw with."""
    if not any(map(shutil.which, CHROMES)):
        raise EngineError(
            f"drawing {what} needs Chrome or Chromium and none of {', '.join(CHROMES)} was found; "
            "install one (Debian: apt-get install chromium), or keep the HTML figure"
        )


@contextmanager
def _kaleido():
    try:
        yield
    except (ImportError, ValueError) as error:
        if "kaleido" not in str(error).lower():
            raise
        raise EngineError("drawing images needs kaleido: pip install 'effwb[figures]'") from error


def image(
    fig, path: str | Path, width: int | None = None, height: int | None = None, scale: float = 2.0
) -> Path:
    """Draw a figure as PNG, SVG or PDF (by the suffix of `path`).

    Sizes are in CSS pixels, times `scale`, and by default the figure's own.

    Needs kaleido and a Chrome or Chromium on the machine; `EngineError` says how to get what is missing.
    """
    path = Path(path)
    one_of("image format", path.suffix, IMAGES)
    need_chrome(path.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _kaleido():
        size = {"width": width or fig.layout.width or 900, "height": height or fig.layout.height or 520}
        fig.write_image(path, **size, scale=scale)
    return path
