"""A page to send to somebody: some runs in one HTML file that needs neither Python nor a network.

Curves, the REG table, lengths, sample rollouts and the settings, as they are in the run directories.
"""

import html as markup
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from effwb import __version__
from effwb.analysis.comparison import DIGITS, ISO_AES, MOST, compare
from effwb.analysis.rollout_view import LEGEND, read_rollout
from effwb.analysis.run_set import RunAnalysis, RunSet
from effwb.errors import ConfigError
from effwb.export.text_tables import readable
from effwb.frontier import Frontier
from effwb.runs import flat

KINDS = {  # sample rollouts: of each kind the one that wrote most after it was right first
    "right at the end, most written after it was right first": lambda t: (t["end"] == 1) & (t["wasted"] > 0),
    "right before, wrong at the end": lambda t: t["first_right"].notna() & (t["end"] == 0),
    "never right": lambda t: t["first_right"].isna(),
}
STYLE = """
body {font: 15px/1.5 Arial, Helvetica, sans-serif; max-width: 980px; margin: 2em auto; padding: 0 1em}
table {border-collapse: collapse; margin: 1em 0} th, td {padding: 3px 10px; text-align: right}
th {border-bottom: 1px solid black} td {border-bottom: 1px solid #DDD; font-size: 14px}
th:first-child, td:first-child {text-align: left} .note {color: #595959; font-size: 14px}
details {margin: 6px 0} summary {cursor: pointer} .settings td, .settings th {text-align: left}
"""


def write_report(
    store: RunSet,
    path: str | Path,
    frontier: Frontier | None = None,
    *,
    names: Sequence[str] | None = None,
    l_max: int | None = None,
    base: str | None = None,
    title: str = "",
) -> Path:
    """Write the page about 1 to 12 runs of a store (default: all) and return its path.

    `frontier` defaults to the best of these runs, `l_max` to the last budget that frontier and curves share,
    `base`, which AES is against, to the first run. Intervals are 95 %, over problems.
    """
    names = list(names or store.names)
    if len(names) > MOST:
        raise ConfigError(f"a report is about 1 to {MOST} runs, got {len(names)}; name some of them")
    chosen = store.chosen(names)
    curves = {name: one.curve for name, one in chosen.items()}
    best = Frontier.from_curves(curves) if frontier is None else frontier
    l_max = l_max or int(min(best.budgets[-1], *(c.budgets[-1] for c in curves.values())))
    base, title = base or names[0], title or ", ".join(names)
    table = compare(chosen, best, l_max, base)
    parts = [
        f"<h1>{markup.escape(title)}</h1>",
        _lead(chosen, best),
        *_figures(chosen, table, best, l_max, base),
        "<h2>Numbers</h2>",
        readable(table, DIGITS).to_html(index=False, border=0),
        f"<p class='note'>REG: area between curve and frontier up to {l_max:,} tokens, accuracy x tokens. "
        f"AES: accuracy-efficiency score against {markup.escape(base)}. "
        "In brackets: 95 %, over problems.</p>",
        f"<h2>Sample rollouts</h2><p class='note'>{LEGEND}</p>",
        *(_samples(one) for one in chosen.values()),
        "<h2>Settings</h2>",
        _settings(chosen),
    ]
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    head = f"<meta charset='utf-8'><title>{markup.escape(title)}</title><style>{STYLE}</style>"
    body = f"<head>{head}</head><body>{''.join(parts)}</body>"
    path.write_text(f"<!doctype html><html lang='en'>{body}</html>", encoding="utf-8")
    return path


def _lead(chosen: Mapping[str, RunAnalysis], best: Frontier) -> str:
    made = f"effwb {__version__}, {time.strftime('%Y-%m-%d')}"
    captions = dict.fromkeys(one.caption() for one in chosen.values())
    said = "".join(f"<p class='note'>{markup.escape(c)}.</p>" for c in captions)
    return f"<p>{len(chosen)} runs against the {markup.escape(best.name)}. {made}.</p>{said}"


def _figures(chosen, table, best: Frontier, l_max: int, base: str):
    """The figures as HTML; the first brings the drawing library along, 5 MB."""
    from effwb import plots

    curves = {name: one.curve for name, one in chosen.items()}
    bands = None if len(curves) <= 3 else []
    plane = table.rename(columns={"accuracy low": "low", "accuracy high": "high"})
    figures = {
        "Accuracy at each token budget": plots.curve_figure(curves, best, l_max=l_max, bands=bands),
        "Accuracy and tokens spent": plots.tradeoff_figure(
            plane, x="mean tokens", iso_aes=ISO_AES, base=base
        ),
    }
    figures |= {f"Lengths of {name}": plots.length_figure(one.rollouts) for name, one in chosen.items()}
    for i, (title, fig) in enumerate(figures.items()):
        yield f"<h2>{markup.escape(title)}</h2>"
        yield fig.to_html(full_html=False, include_plotlyjs=i == 0)


def _samples(one: RunAnalysis) -> str:
    table = one.outcomes.assign(end=one.scores.iloc[:, -1])
    parts = [f"<h3>{markup.escape(one.name)}</h3>"]
    for kind, of in KINDS.items():
        found = table[of(table)].sort_values("wasted", ascending=False, kind="stable")
        share = f"{len(found):,} of {len(table):,} rollouts"
        text = "none"
        if len(found):
            text = read_rollout(one.run_dir, *found.index[0]).html()
        parts.append(f"<details><summary>{kind}: {share}</summary>{text}</details>")
    return "".join(parts)


def _settings(chosen: Mapping[str, RunAnalysis]) -> str:
    """What identifies each run: first what differs between them, then what they share."""
    import pandas as pd

    identities = {
        name: flat({key: of["identity"] for key, of in one.config.items() if key != "schema"})
        for name, one in chosen.items()
    }
    frame = pd.DataFrame(identities).astype(object)
    shown = frame.map(lambda value: "" if value is None or value != value else str(value))
    same = (shown.nunique(axis=1) == 1).to_numpy()
    parts = []
    if (~same).any() and len(chosen) > 1:
        parts.append("<p>What differs:</p>" + shown[~same].to_html(border=0, classes="settings"))
    shared = shown[same].iloc[:, :1].set_axis(["all runs"], axis=1)
    table = shared.to_html(border=0, classes="settings")
    return (
        "".join(parts) + f"<details><summary>{same.sum()} settings that all share</summary>{table}</details>"
    )
