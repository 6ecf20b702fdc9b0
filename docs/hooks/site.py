"""What `mkdocs build` adds to the pages: plotly.js, pictures, and figures drawn from stored results.

A line `<!-- figure: NAME -->` in a page becomes the interactive figure that `FIGURES[NAME]` draws. All
numbers come from files of the repository; nothing is measured here.
"""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url
from plotly.offline import get_plotlyjs

from effwb import Frontier, plots
from effwb.analysis import over_seeds
from effwb.plots.style import line_styles

ROOT = Path(__file__).parents[2]
PLOTLY = "assets/plotly.min.js"
PICTURES = {"assets/quickstart.png": "figures/quickstart.png"}
PLACEHOLDER = re.compile(r"<!-- figure: ([\w-]+) -->")
MODELS = {  # published frontiers, by the name in the legend
    "R1-Distill-Qwen-1.5B": "r1-distill-qwen-1.5b",
    "R1-Distill-Qwen-7B": "r1-distill-qwen-7b",
    "Qwen3-4B": "qwen3-4b",
    "Qwen3-8B": "qwen3-8b",
}
RIGHT, ABOVE = {"xanchor": "left", "xshift": 8}, {"yanchor": "bottom", "yshift": 24}
LABELS = [  # methods with their name beside the point: (name, text, where)
    ("base", "base", RIGHT),
    ("vanilla", "vanilla", {"xanchor": "right", "xshift": -8, "yshift": 14}),
    ("reo_rl", "reo_rl", ABOVE),
    ("lapo_internalization after lapo_discovery", "lapo", ABOVE),
    ("mrt", "mrt", ABOVE),
    ("token_budget cap=32", "token_budget", RIGHT),
]


def pocket_runs() -> pd.DataFrame:
    """A row per method and seed of the pocket model: accuracy, lengths, area."""
    stored = json.loads((ROOT / "benchmarks/results/pocket_effects.json").read_text())
    return pd.DataFrame(stored["runs"])


def pocket_effects() -> pd.DataFrame:
    """A row per method: means over the seeds, and REG with its interval over problems."""
    stored = json.loads((ROOT / "benchmarks/results/pocket_effects.json").read_text())
    return pd.DataFrame(stored["effects"])


def tradeoff() -> go.Figure:
    """Accuracy against mean tokens, a point per method with its interval over the seeds."""
    rows = []
    for name, part in pocket_runs().groupby("name", sort=False):
        rows.append((name, part["mean length"].mean(), *over_seeds(100 * part["accuracy"])))
    table = pd.DataFrame(rows, columns=["name", "length", "accuracy", "low", "high"])
    fig = interval_figure(table, "accuracy", "accuracy (%)")
    points = table.set_index("name")
    for name, label, place in LABELS:
        x, y = math.log10(points.loc[name, "length"]), points.loc[name, "accuracy"]
        fig.add_annotation(x=x, y=y, text=label, showarrow=False, **place)
    return fig


def accuracy_intervals() -> go.Figure:
    """Difference in accuracy to vanilla of as many steps against tokens, with intervals over the seeds."""
    table = pocket_effects()
    table = table[table["name"] != table["baseline"]].reset_index(drop=True)
    points = {"points": "Δ accuracy", "low": "Δ accuracy low", "high": "Δ accuracy high"}
    table = table[["name", "length"]].assign(**{key: 100 * table[name] for key, name in points.items()})
    return interval_figure(table, "points", "accuracy minus vanilla (points)", vanilla=0.0)


def reg_intervals() -> go.Figure:
    """REG against the tokens used, with intervals over the problems."""
    table = pocket_effects()
    table = table[["name", "length", "REG"]].assign(low=table["REG low"], high=table["REG high"])
    vanilla = float(table.loc[table["name"] == "vanilla", "REG"].iloc[0])
    return interval_figure(table, "REG", "REG (accuracy x tokens)", vanilla=vanilla)


def interval_figure(table: pd.DataFrame, y: str, title: str, vanilla: float | None = None) -> go.Figure:
    """A point with its interval per method, in the colour and with the symbol of its design.

    Args:
        table: Columns `name` (design, then parameters), `length` (tokens), `y`, `low`, `high`.
        y: The column to draw.
        title: Title of its axis.
        vanilla: Where the dotted line of the baseline is drawn; None: nowhere.
    """
    fig = go.Figure()
    designs = table["name"].str.split().str[0]
    for design, (colour, symbol, _) in line_styles(sorted(set(designs))).items():
        part = table[designs == design]
        hover = [
            f"{name}<br>{length:.0f} tokens<br>{y} {value:.1f} [{low:.1f}, {high:.1f}]"
            for name, length, value, low, high in part[["name", "length", y, "low", "high"]].itertuples(
                index=False
            )
        ]
        error = {"array": part["high"] - part[y], "arrayminus": part[y] - part["low"], "symmetric": False}
        fig.add_scatter(
            x=part["length"],
            y=part[y],
            error_y={**error, "color": colour, "thickness": 1, "width": 0},
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 9},
            name=design,
            hovertext=hover,
            hoverinfo="text",
        )
    if vanilla is not None:
        line = {"color": plots.GREY, "dash": "dot", "width": 1}
        fig.add_hline(y=vanilla, line=line, annotation_text="vanilla")
    fig.update_layout(template="effwb", hovermode="closest", margin={"t": 25})
    fig.update_xaxes(type="log", title="mean response length (tokens)", tickvals=[32, 64, 128, 256])
    return fig.update_yaxes(title=title)


def pocket_frontier() -> go.Figure:
    """The frontier of the pocket model, each point with the run that owns it."""
    return plots.frontier_figure({"pocket, 48 runs": Frontier.load(ROOT / "data/pocket/frontier.json")})


def published_frontiers() -> go.Figure:
    """The four published frontiers up to the cap of REG."""
    frontiers = {label: Frontier.published(name) for label, name in MODELS.items()}
    return plots.frontier_figure(frontiers, l_max=16384)


FIGURES: dict[str, Callable[[], go.Figure]] = {
    "tradeoff": tradeoff,
    "accuracy-intervals": accuracy_intervals,
    "reg-intervals": reg_intervals,
    "pocket-frontier": pocket_frontier,
    "published-frontiers": published_frontiers,
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add plotly.js from the installed package, and the pictures that lie elsewhere in the repository."""
    files.append(File.generated(config, PLOTLY, content=get_plotlyjs()))
    for target, source in PICTURES.items():
        files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    return files


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the figures of a page in their places, and load plotly.js where there are any."""
    if not PLACEHOLDER.search(html):
        return html
    script = f'<script src="{get_relative_url(PLOTLY, page.url)}"></script>\n'
    return script + PLACEHOLDER.sub(_figure, html)


def _figure(match: re.Match) -> str:
    name = match[1]
    if name not in FIGURES:
        raise PluginError(f"no figure {name!r} in docs/hooks/site.py; there are {', '.join(FIGURES)}")
    figure = FIGURES[name]().update_layout(width=None, height=560, autosize=True)
    below = {"orientation": "h", "x": 0, "xanchor": "left", "y": -0.2, "yanchor": "top"}
    figure.update_layout(legend=below)  # beside the data it would not fit into the column
    drawn = figure.to_html(
        full_html=False, include_plotlyjs=False, div_id=f"figure-{name}", config={"responsive": True}
    )
    return f'<div class="figure">{drawn}</div>'
