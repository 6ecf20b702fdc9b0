"""Write figures and tables as files.

An HTML figure is interactive and has the CSV that it was drawn from beside it. A paper takes figures as PDF,
SVG or PNG, and tables as LaTeX or Markdown.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from effwb.errors import ConfigError, DataError, EngineError, one_of
from effwb.export.text_tables import latex, markdown

if TYPE_CHECKING:
    import plotly.graph_objects as go

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
LEGEND_ENTRY = 55  # CSS pixels of a legend entry without its text
PLOTLYJS = {"cdn": "cdn", "embed": True}


def save(
    fig: go.Figure, stem: str | Path, table: pd.DataFrame | None = None, *, plotlyjs: str = "cdn"
) -> list[Path]:
    """Write a figure as `<stem>.html` and its data as `<stem>.csv`.

    Args:
        fig: A plotly figure.
        stem: Path of both files without a suffix; missing directories are created.
        table: The data behind the figure; default: no CSV.
        plotlyjs: "cdn" gives a file of some kilobytes that needs a network to open, "embed" one of about 5 MB
            that does not.

    Returns:
        The paths written.

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
    fig.write_html(html, include_plotlyjs=PLOTLYJS[plotlyjs])
    if table is None:
        return [html]
    csv = _prepare_path(stem, ".csv")
    table.to_csv(csv, index=False)
    return [html, csv]


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
    path.parent.mkdir(parents=True, exist_ok=True)
    fig = type(fig)(fig)
    fig.layout.updatemenus = ()  # an image has no buttons
    with _explain_missing_kaleido():
        size = {"width": width or fig.layout.width or 900, "height": height or fig.layout.height or 520}
        fig.write_image(path, **size, scale=scale)
    return path


def images(
    figures: Mapping[str | Path, go.Figure],
    formats: Sequence[str] = (".pdf",),
    *,
    column: str = "neurips",
    points: float = 8,
) -> list[Path]:
    """Draw figures for a paper: as wide as a column and with text of a given size.

    Markers and lines shrink along with the text. Titles are left out, since papers have captions, and a
    narrow figure has its legend below. SVG and PDF have the size of the column, PNG has 300 dots per inch.
    One Chrome draws all figures.

    Args:
        figures: Figures by their path without a suffix; missing directories are created.
        formats: Any of ".pdf", ".svg" and ".png".
        column: Name of a width in `COLUMNS`.
        points: Size of the printed text in points.

    Returns:
        The paths written.

    Raises:
        ConfigError: A format or column is unknown, or `points` is not positive.
        EngineError: The browser or kaleido is missing; the message says how to install it.

    Example:
        >>> from effwb.export import images
        >>> images({"figures/curves": fig}, [".pdf"], column="icml")  # doctest: +SKIP
        [PosixPath('figures/curves.pdf')]
    """
    import plotly.io as pio

    one_of("column", column, COLUMNS)
    for suffix in formats:
        one_of("image format", suffix, IMAGES)
    if not points > 0:
        raise ConfigError(f"points={points} must be positive")
    need_chrome("images")
    shrink = points / 72 * PX / FONT  # printed size over the size in the layout, whose text is FONT pixels
    jobs = []
    for stem, fig in figures.items():
        width = round(COLUMNS[column] * PX / shrink)
        paper_figure = _paper_version(fig, width, has_title=column == "slide")
        for suffix in formats:
            scale = shrink * (DPI / PX if suffix == ".png" else 1)
            jobs.append((paper_figure, _prepare_path(stem, suffix), width, paper_figure.layout.height, scale))
    if jobs:
        figs, paths, widths, heights, scales = map(list, zip(*jobs, strict=True))
        with _explain_missing_kaleido():
            pio.write_images(figs, paths, width=widths, height=heights, scale=scales)
    return [path for _, path, *_ in jobs]


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
    *,
    column: str = "neurips",
    points: float = 8,
) -> list[Path]:
    """Convert HTML figures and CSV tables to other formats: the command `effwb export`.

    Each file is converted to those of the formats that fit it. The CSV beside a figure is copied to `out`.

    Args:
        files: HTML files that `save` wrote, and CSV files.
        formats: Any of "html", "png", "svg", "pdf" for figures and "tex", "md" for tables, with or without a
            dot; default: PDF for figures, LaTeX and Markdown for tables.
        out: Directory to write to; default: beside each file.
        column: Name of a width in `COLUMNS`, for images.
        points: Size of the printed text in points, for images.

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
        paths += images(figures, image_suffixes, column=column, points=points)
    paths += tables(frames, [suffix for suffix in suffixes or TABLES if suffix in TABLES])
    if not paths:
        raise ConfigError(
            f"nothing to write: {formats} fits none of the files; figures: html pdf svg png, tables: tex md"
        )
    return paths


def need_chrome(purpose: str) -> None:
    """Raise `EngineError`, with the remedy, where there is no browser to draw `purpose` with."""
    if not any(map(shutil.which, CHROMES)):
        raise EngineError(
            f"drawing {purpose} needs Chrome or Chromium and none of {', '.join(CHROMES)} was found; "
            "install one (Debian: apt-get install chromium), or keep the HTML figure"
        )


def _prepare_path(stem: str | Path, suffix: str) -> Path:
    """The path of a file, whose directory now exists."""
    path = Path(f"{stem}{suffix}")  # not with_suffix: "qwen-1.5b" would lose its ".5b"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _paper_version(fig: go.Figure, width: int, *, has_title: bool) -> go.Figure:
    """A copy of a figure laid out for `width` pixels, with its height set and without its buttons."""
    fig = type(fig)(fig)
    fig.layout.updatemenus = ()
    height = width * (fig.layout.height or 520) / (fig.layout.width or 860)
    if not has_title:
        fig.update_layout(title=None, margin={"t": 25})
    names = [t.name for t in fig.data if t.name and t.showlegend is not False]
    if width < NARROW and fig.layout.showlegend is not False and len(names) > 1:
        rows = -(-sum(LEGEND_ENTRY + 8 * len(name) for name in names) // (width - 20))
        legend = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"}
        legend |= {"x": 0, "xanchor": "left"}
        height += 24 * rows
        fig.update_layout(legend=legend, margin={"b": 70 + 24 * rows})
    return fig.update_layout(height=round(max(height, 0.6 * width)))


@contextmanager
def _explain_missing_kaleido() -> Iterator[None]:
    try:
        yield
    except (ImportError, ValueError) as error:
        if "kaleido" not in str(error).lower():
            raise
        raise EngineError("drawing images needs kaleido: pip install 'effwb[figures]'") from error
