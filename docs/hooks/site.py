"""What `mkdocs build` adds to the pages: plotly.js, pictures of the repository, and figures from stored results.

A line `<!-- figure: NAME -->` in a page becomes the interactive figure that `FIGURES[NAME]` draws. All numbers
come from files of the repository; nothing is measured here.
"""

import json
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
FAMILIES = {  # points that differ in one parameter are joined by a line
    "length_group_norm": "alpha",
    "truncation": "target",
    "laser": "target",
    "dler": "target",
}


def pocket_runs() -> pd.DataFrame:
    """A row per method and seed of the pocket model: accuracy, lengths, area."""
    stored = json.loads((ROOT / "benchmarks/results/pocket_effects.json").read_text())
    return pd.DataFrame(stored["runs"])


def pocket_effects() -> pd.DataFrame:
    """A row per method: means over the seeds, and REG with its interval over problems."""
    stored = json.loads((ROOT / "benchmarks/results/pocket_effects.json").read_text())
    # results of version 0.1 call the limits of REG low and high
    return pd.DataFrame(stored["effects"]).rename(columns={"low": "REG low", "high": "REG high"})


def tradeoff() -> go.Figure:
    """Accuracy against mean tokens of the methods that bear on the main question, a point per method."""
    runs = pocket_runs()
    words = runs["name"].str.split(" ", n=1, expand=True)
    single = words[1].isna() | words[1].str.fullmatch(r"(alpha|target|weight|cap)=[\d.]+")
    runs, words = runs[single], words[single]
    design = words[0]
    is_member = [name in FAMILIES and FAMILIES[name] in str(rest) for name, rest in zip(design, words[1], strict=True)]
    runs = runs.assign(
        method=design,
        family=design.where(is_member, runs["name"]),
        parameter=words[1].where(is_member, runs["name"]),
    )
    return plots.tradeoff_figure(runs[["name", "seed", "accuracy", "mean length", "method", "family", "parameter"]])


def accuracy_intervals() -> go.Figure:
    """Difference in accuracy to vanilla against the tokens used, with intervals over the seeds."""
    table = pocket_effects()
    table = table[table["name"] != "vanilla"].reset_index(drop=True)
    difference = "Δ accuracy" if "Δ accuracy" in table else "accuracy +/-"
    return _intervals(
        table["length"], 100 * table[difference], 100 * table[f"{difference} low"], 100 * table[f"{difference} high"],
        table["name"], "accuracy minus vanilla (points)", "points", 0.0, "vanilla",
    )  # fmt: skip


def reg_intervals() -> go.Figure:
    """REG against the tokens used, with intervals over the problems."""
    table = pocket_effects()
    vanilla = float(table.loc[table["name"] == "vanilla", "REG"].iloc[0])
    return _intervals(
        table["length"], table["REG"], table["REG low"], table["REG high"], table["name"],
        "REG (accuracy x tokens)", "REG", vanilla, "vanilla",
    )  # fmt: skip


def _intervals(x, y, low, high, names, title: str, short: str, level: float, level_name: str) -> go.Figure:
    fig = go.Figure()
    designs = [name.split()[0] for name in names]
    symbols = ["circle", "square", "diamond", "triangle-up", "cross"]
    for i, design in enumerate(dict.fromkeys(designs)):
        rows = [k for k, other in enumerate(designs) if other == design]
        hover = [f"{names[k]}<br>{x[k]:.0f} tokens<br>{short} {y[k]:.1f} [{low[k]:.1f}, {high[k]:.1f}]" for k in rows]
        colour = plots.COLOURS[i % len(plots.COLOURS)]
        fig.add_scatter(
            x=[x[k] for k in rows], y=[y[k] for k in rows], mode="markers", name=design,
            marker={"color": colour, "size": 9, "symbol": symbols[i // len(plots.COLOURS) % len(symbols)]},
            error_y={"array": [high[k] - y[k] for k in rows], "arrayminus": [y[k] - low[k] for k in rows],
                     "symmetric": False, "color": colour, "thickness": 1, "width": 0},
            hovertext=hover, hoverinfo="text",
        )  # fmt: skip
    fig.add_hline(y=level, line={"color": plots.GREY, "dash": "dot", "width": 1}, annotation_text=level_name)
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
    figure = FIGURES[name]().update_layout(width=None, height=480, autosize=True)
    drawn = figure.to_html(
        full_html=False, include_plotlyjs=False, div_id=f"figure-{name}", config={"responsive": True}
    )
    return f'<div class="figure">{drawn}</div>'
