"""Write figures and tables as files.

An HTML figure is interactive, opens without a network, and has the CSV that it was drawn from beside it. A
paper takes figures as PDF, SVG or PNG, and tables as LaTeX or Markdown.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from effwb.errors import ConfigError, DataError, one_of
from effwb.export.chrome import draw, need_chrome
from effwb.export.paper import FONTS, SIZE, paper_version
from effwb.export.text_tables import latex, markdown
from effwb.runs import write_atomic

if TYPE_CHECKING:
    import plotly.graph_objects as go

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
PX = 96  # CSS pixels of an inch
PLOTLYJS = {"folder": False, "embed": True, "cdn": "cdn"}  # what plotly itself writes
LIBRARY = "plotly.min.js"
LIBRARY_TAGS = """<script charset="utf-8" src="{library}"></script>
<script>if (!window.Plotly) document.write('<script src="{cdn}"><\\/script>')</script>
<script>if (!window.Plotly) document.write('<p>This figure needs the file {library} beside it, which was \
written into the same folder, or a network.</p>')</script>"""


def save(
    fig: go.Figure, stem: str | Path, table: pd.DataFrame | None = None, *, plotlyjs: str = "folder"
) -> list[Path]:
    """Write a figure as `<stem>.html` and its data as `<stem>.csv`.

    Args:
        fig: A plotly figure.
        stem: Path of both files without a suffix; missing directories are created.
        table: The data behind the figure; default: no CSV.
        plotlyjs: Where the library is that draws the figure. "folder": in `plotly.min.js` (5 MB), which is
            written once into the folder of the figures; a figure that is moved without it loads it from the
            network. "embed": inside, so that one file of 5 MB is all that one needs to send. "cdn": on the
            network only.

    Returns:
        The paths of the figure and its data.

    Raises:
        ConfigError: `fig` is no figure, `table` is no DataFrame, `stem` has a suffix, or `plotlyjs` is
            unknown.

    Example:
        >>> from effwb.export import save
        >>> save(fig, "figures/curves", table)  # doctest: +SKIP
        [PosixPath('figures/curves.html'), PosixPath('figures/curves.csv')]
    """
    one_of("plotlyjs", plotlyjs, PLOTLYJS)
    if not hasattr(fig, "write_html"):
        raise ConfigError(f"fig must be a plotly Figure, got {type(fig).__name__}")
    if table is not None and not hasattr(table, "to_csv"):
        raise ConfigError(f"table must be a DataFrame or None, got {type(table).__name__}")
    if str(stem).endswith((".html", ".csv")):
        raise ConfigError(f"stem={str(stem)!r} has a suffix; leave it out, each file gets its own")
    html = _prepare_path(stem, ".html")
    text = fig.to_html(include_plotlyjs=PLOTLYJS[plotlyjs])
    html.write_text(_with_library(text, html.parent) if plotlyjs == "folder" else text, encoding="utf-8")
    if table is None:
        return [html]
    csv = _prepare_path(stem, ".csv")
    table.to_csv(csv, index=False)
    return [html, csv]


def _with_library(html: str, folder: Path) -> str:
    """The page of a figure that finds plotly.js beside it; what to say and do where it is not there."""
    from plotly.io._utils import plotly_cdn_url
    from plotly.offline import get_plotlyjs

    library, file = get_plotlyjs().encode(), folder / LIBRARY
    if not file.is_file() or file.stat().st_size != len(library):  # missing, or of another version
        write_atomic(file, library)
    tags = LIBRARY_TAGS.format(library=LIBRARY, cdn=plotly_cdn_url())
    return html.replace("<body>", f"<body>\n{tags}", 1)


def read_figure(path: str | Path) -> go.Figure:
    """Read back the figure in an HTML file that `save` wrote.

    Args:
        path: The HTML file.

    Returns:
        plotly.graph_objects.Figure

    Raises:
        DataError: The file holds no plotly figure.
    """
    import plotly.graph_objects as go

    html, decoder = Path(path).read_text(encoding="utf-8"), json.JSONDecoder()
    start = html.find("Plotly.newPlot(")
    if start < 0:
        raise DataError(f"{path} holds no plotly figure")
    data_start = html.index("[", html.index(",", start))  # the first argument is the id of the element
    data, data_end = decoder.raw_decode(html, data_start)
    layout, _ = decoder.raw_decode(html, html.index("{", data_end))
    return go.Figure(data, layout)


def image(
    fig: go.Figure, path: str | Path, width: int | None = None, height: int | None = None, scale: float = 2.0
) -> Path:
    """Draw one figure as an image of a given size in pixels.

    Needs kaleido, and Chrome or Chromium on the machine.

    Args:
        fig: A plotly figure.
        path: File to write; its suffix (.png, .svg or .pdf) is the format.
        width: Width in CSS pixels; default: the figure's own.
        height: Height in CSS pixels; default: the figure's own.
        scale: Image pixels per CSS pixel.

    Returns:
        The path written.

    Raises:
        ConfigError: The format is unknown.
        EngineError: The browser or kaleido is missing; the message says how to install it.
    """
    path = Path(path)
    one_of("image format", path.suffix, IMAGES)
    need_chrome(path.name)
    size = width or fig.layout.width or 900, height or fig.layout.height or 520
    data = draw(fig.to_dict(), path.suffix, *size, scale)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def images(
    figures: Mapping[str | Path, go.Figure],
    formats: Sequence[str] = (".pdf",),
    *,
    column: str = "neurips",
    points: float = 8,
    font: str | None = None,
    height: float | None = None,
) -> list[Path]:
    """Draw figures for a paper: as wide as a column, with its letters, and with text of a given size.

    Where the column is narrow, panels are stacked. The legend stands below or above the panels, never on the
    data. Ticks are left out where their labels would touch. Titles are left out, since papers have captions.
    SVG and PDF have the size of the column, PNG has 300 dots per inch. One Chrome draws all figures.

    Args:
        figures: Figures by their path without a suffix; missing directories are created.
        formats: Any of ".pdf", ".svg" and ".png".
        column: Name of a width in `COLUMNS`.
        points: Size of the printed text in points; ticks and legends are an eighth smaller.
        font: "times" or "sans"; default: "times", and "sans" for slides.
        height: Height in inches; default: what the panels and the legend need.

    Returns:
        The paths written.

    Raises:
        ConfigError: A format, column or font is unknown, `points` is not positive, or `height` leaves no room
            for the panels.
        EngineError: The browser or kaleido is missing; the message says how to install it.

    Example:
        >>> from effwb.export import images
        >>> images({"figures/curves": fig}, [".pdf"], column="icml")  # doctest: +SKIP
        [PosixPath('figures/curves.pdf')]
    """
    one_of("column", column, COLUMNS)
    font = font or ("sans" if column == "slide" else "times")
    one_of("font", font, FONTS)
    for suffix in formats:
        one_of("image format", suffix, IMAGES)
    for name, value in (("points", points), ("height", height)):
        if value is not None and not value > 0:
            raise ConfigError(f"{name}={value} must be positive")
    need_chrome("images")
    shrink = points / 72 * PX / SIZE  # printed size over the size in the layout
    width, tall = COLUMNS[column] * PX / shrink, None if height is None else height * PX / shrink
    paths = []
    for stem, fig in figures.items():
        paper = paper_version(fig, width, tall, font=font, has_title=column == "slide")
        for suffix in formats:
            scale = shrink * (DPI / PX if suffix == ".png" else 1)
            path = _prepare_path(stem, suffix)
            path.write_bytes(draw(paper.to_dict(), suffix, width, paper.layout.height, scale))
            paths.append(path)
    return paths


def tables(frames: Mapping[str | Path, pd.DataFrame], formats: Sequence[str] = TABLES) -> list[Path]:
    """Write DataFrames as LaTeX and Markdown.

    Args:
        frames: DataFrames by their path without a suffix; missing directories are created.
        formats: Any of ".tex" and ".md".

    Returns:
        The paths written.

    Raises:
        ConfigError: A format is unknown.
        DataError: A table has no columns.
    """
    paths = []
    for suffix in formats:
        one_of("table format", suffix, TABLES)
        for stem, frame in frames.items():
            path = _prepare_path(stem, suffix)
            path.write_text((latex if suffix == ".tex" else markdown)(frame), encoding="utf-8")
            paths.append(path)
    return paths


def convert(
    files: Sequence[Path],
    formats: Sequence[str] | None = None,
    out: Path | None = None,
    **layout: Any,
) -> list[Path]:
    """Convert HTML figures and CSV tables to other formats: the command `effwb export`.

    Each file is converted to those of the formats that fit it. The CSV beside a figure is copied to `out`.

    Args:
        files: HTML files that `save` wrote, and CSV files.
        formats: Any of "html", "png", "svg", "pdf" for figures and "tex", "md" for tables, with or without a
            dot; default: PDF for figures, LaTeX and Markdown for tables.
        out: Directory to write to; default: beside each file.
        **layout: For images: `column`, `points`, `font` and `height`, as in `images`.

    Returns:
        The paths written.

    Raises:
        ConfigError: A file is missing or of another kind, or no format fits any of the files.
        EngineError: Images need a browser and kaleido, and one is missing.
    """
    suffixes = None if formats is None else [f".{name.lstrip('.')}" for name in formats]
    for suffix in suffixes or ():
        one_of("format", suffix, (".html", *IMAGES, *TABLES))
    figures: dict[str | Path, go.Figure] = {}
    frames: dict[str | Path, pd.DataFrame] = {}
    paths = []
    for file in map(Path, files):
        one_of(f"kind of file for {file.name}", file.suffix, (".html", ".csv"))
        if not file.is_file():
            raise ConfigError(f"no file {file}")
        stem = (out or file.parent) / file.stem
        if file.suffix == ".csv":
            frames[stem] = pd.read_csv(file)
            continue
        figures[stem] = read_figure(file)
        csv = file.with_name(f"{file.stem}.csv")
        if out is not None and csv.is_file():
            out.mkdir(parents=True, exist_ok=True)
            paths.append(Path(shutil.copy(csv, out)))
    if ".html" in (suffixes or ()):
        paths += [path for stem, fig in figures.items() for path in save(fig, stem, plotlyjs="embed")]
    image_suffixes = [suffix for suffix in suffixes or [".pdf"] if suffix in IMAGES]
    if figures and image_suffixes:
        paths += images(figures, image_suffixes, **layout)
    paths += tables(frames, [suffix for suffix in suffixes or TABLES if suffix in TABLES])
    if not paths:
        raise ConfigError(
            f"nothing to write: {formats} fits none of the files; figures: html pdf svg png, tables: tex md"
        )
    return paths


def _prepare_path(stem: str | Path, suffix: str) -> Path:
    """The path of a file, whose directory now exists."""
    path = Path(f"{stem}{suffix}")  # not with_suffix: "qwen-1.5b" would lose its ".5b"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
