"""One HTML page about a few runs that opens without Python and without a network.

It has the curves, the table of REG, the lengths, sample rollouts and the settings.
"""

from __future__ import annotations

import html as markup
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from effwb import __version__
from effwb.analysis.comparison import ACCURACY_AND_J, DIGITS, ISO_AES, MAX_RUNS, compare, tradeoff_table
from effwb.analysis.rollout_view import LEGEND, read_rollout
from effwb.analysis.run_analysis import RunAnalysis
from effwb.analysis.run_set import RunSet
from effwb.errors import ConfigError
from effwb.export.text_tables import readable
from effwb.frontier import Frontier
from effwb.runs import flat

SAMPLES: dict[str, Callable[[pd.DataFrame], pd.Series]] = {  # of each kind: the one with most wasted tokens
    "right at the end, most tokens after it was first right": lambda t: (t["end"] == 1) & (t["wasted"] > 0),
    "right before, wrong at the end": lambda t: t["first_right"].notna() & (t["end"] == 0),
    "never right": lambda t: t["first_right"].isna(),
}
BENCHMARKS_NOTE = (
    " The rows 'average' are means over benchmarks; their problems are resampled within their benchmark. "
    "The figures show the averages."
)
STYLE = """
body {font: 15px/1.5 Arial, Helvetica, sans-serif; max-width: 980px; margin: 2em auto; padding: 0 1em} table
{border-collapse: collapse; margin: 1em 0} th, td {padding: 3px 10px; text-align: right} th {border-bottom:
1px solid black} td {border-bottom: 1px solid #DDD; font-size: 14px} th:first-child, td:first-child
{text-align: left} .note {color: #595959; font-size: 14px} details {margin: 6px 0} summary {cursor: pointer}
.settings td, .settings th {text-align: left}
"""


def write_report(
    runs: RunSet,
    path: str | Path,
    frontier: Frontier | None = None,
    *,
    l_max: int | None = None,
    base: str | None = None,
    title: str = "",
) -> Path:
    """Write one HTML page about 1 to 12 runs.

    Args:
        runs: The runs; they must be measured alike.
        path: The file to write.
        frontier: What REG is measured against; default: the frontier of these runs.
        l_max: Last budget that counts, in tokens; default: the last one that frontier and curves share.
        base: Name of the run that AES compares with; default: the first.
        title: Heading of the page; default: the names of the runs.

    Returns:
        The path of the page.

    Raises:
        ConfigError: There are more than 12 runs, or no run is called `base`.
        DataError: The runs were not measured alike.
    """
    if not 1 <= len(runs) <= MAX_RUNS:
        raise ConfigError(f"a report is about 1 to {MAX_RUNS} runs, got {len(runs)}; name some of them")
    runs.check_alike()
    frontier = runs.frontier() if frontier is None else frontier
    curves = runs.curves().values()
    l_max = l_max or int(min(frontier.budgets[-1], *(curve.budgets[-1] for curve in curves)))
    base, title = base or runs.names[0], title or ", ".join(runs.names)
    table = compare(runs, frontier, l_max, base)
    captions = dict.fromkeys(run.caption() for run in runs)
    parts = [
        f"<h1>{markup.escape(title)}</h1>",
        f"<p>{len(runs)} runs against the {markup.escape(frontier.name)}. ",
        f"effwb {__version__}, {time.strftime('%Y-%m-%d')}.</p>",
        *(f"<p class='note'>{markup.escape(caption)}.</p>" for caption in captions),
        *_figures(runs, table, frontier, l_max, base),
        "<h2>Numbers</h2>",
        readable(table, DIGITS).to_html(index=False, border=0),
        f"<p class='note'>REG: area between curve and frontier up to {l_max:,} tokens, accuracy x tokens. "
        f"AES: accuracy-efficiency score against {markup.escape(base)}. "
        f"In brackets: 95 % intervals over problems. {ACCURACY_AND_J}"
        f"{BENCHMARKS_NOTE if 'benchmark' in table else ''}</p>",
        f"<h2>Sample rollouts</h2><p class='note'>{LEGEND}</p>",
        *(_samples(run) for run in runs),
        "<h2>Settings</h2>",
        _settings(runs),
    ]
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    head = f"<meta charset='utf-8'><title>{markup.escape(title)}</title><style>{STYLE}</style>"
    body = f"<head>{head}</head><body>{''.join(parts)}</body>"
    path.write_text(f"<!doctype html><html lang='en'>{body}</html>", encoding="utf-8")
    return path


def _figures(runs: RunSet, table: pd.DataFrame, frontier: Frontier, l_max: int, base: str) -> Iterator[str]:
    """The figures as HTML; the first one brings the drawing library along, 5 MB."""
    from effwb import plots

    curves = runs.curves()
    bands = None if len(curves) <= 3 else ()
    methods = runs.original_methods  # they decide the colours
    figures = {
        "Accuracy at each token budget": plots.curve_figure(
            curves, frontier, l_max=l_max, bands=bands, methods=methods
        ),
        "Accuracy and tokens spent": plots.tradeoff_figure(
            tradeoff_table(table, runs), x="mean tokens", iso_aes=ISO_AES, base=base
        ),
    }
    figures |= {f"Lengths of {run.name}": plots.length_figure(run.rollouts) for run in runs}
    for i, (title, figure) in enumerate(figures.items()):
        yield f"<h2>{markup.escape(title)}</h2>"
        yield figure.to_html(full_html=False, include_plotlyjs=i == 0)


def _samples(run: RunAnalysis) -> str:
    outcomes = run.outcomes.assign(end=run.scores.iloc[:, -1])
    parts = [f"<h3>{markup.escape(run.name)}</h3>"]
    for kind, condition in SAMPLES.items():
        rows = outcomes[condition(outcomes)].sort_values("wasted", ascending=False, kind="stable")
        share = f"{len(rows):,} of {len(outcomes):,} rollouts"
        text = read_rollout(run.run_dir, *rows.index[0]).html() if len(rows) else "none"
        parts.append(f"<details><summary>{kind}: {share}</summary>{text}</details>")
    return "".join(parts)


def _settings(runs: RunSet) -> str:
    """The settings that identify each run: first those that differ, then those that all share."""
    identities = {}
    for run in runs:
        sections = {key: part for key, part in run.config.items() if isinstance(part, dict)}
        tables = {key: part["identity"] for key, part in sections.items() if "identity" in part}
        identities[run.name] = flat(tables)
    frame = pd.DataFrame(identities).astype(object)
    texts = frame.map(lambda value: "" if value is None or value != value else str(value))
    same = (texts.nunique(axis=1) == 1).to_numpy()
    differing = ""
    if (~same).any() and len(runs) > 1:
        differing = "<p>What differs:</p>" + texts[~same].to_html(border=0, classes="settings")
    shared = texts[same].iloc[:, :1].set_axis(["all runs"], axis=1).to_html(border=0, classes="settings")
    return f"{differing}<details><summary>{same.sum()} settings that all share</summary>{shared}</details>"
