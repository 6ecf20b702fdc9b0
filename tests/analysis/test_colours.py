"""The same run has one colour in the explorer, in the report, in the figures of papers and in notebooks."""

import json
import re

import plotly.graph_objects as go
import pytest

from effwb import plots
from effwb.analysis.explorer import Explorer
from effwb.analysis.finished import describe_run
from effwb.analysis.html_report import write_report
from effwb.analysis.papers import figures_of, reo_rl_figures
from effwb.analysis.run_set import RunSet
from effwb.plots.style import method_style
from tests.made_up import write_evaluation

METHODS = ("base", "kimi weight=0.5", "kimi weight=1", "my_own rate=3", "vanilla")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colours")
    for i, method in enumerate(METHODS):
        run = write_evaluation(folder / f"run {i}", lengths={"a": 15 + i})
        info = {"method": method, "seed": 0}
        if method != "base":
            info |= {"design": method.split()[0], "params": {}}
        describe_run(run, info)
    return folder


def figures_in(page):
    """The figures in an HTML page."""
    for call in re.finditer(r'Plotly\.newPlot\(\s*"[0-9a-f-]+",\s*', page):
        yield go.Figure(json.JSONDecoder().raw_decode(page, call.end())[0])


def lines(fig):
    """The colours of all named traces of a figure."""
    return {trace.name: trace.line.color for trace in fig.data if trace.name and trace.line.color}


def test_every_door_gives_a_run_the_colour_of_its_method(root, tmp_path):
    runs = RunSet.find(root)
    by_run = {f"run {i}": method_style(method).colour for i, method in enumerate(METHODS)}
    by_method = {method: method_style(method).colour for method in METHODS}
    explorer = Explorer(runs, runs.names)
    for name in ("curves", "accuracy and tokens"):
        assert by_run.items() <= lines(explorer.figure(name)).items()
    renamed = Explorer(runs.rename({"kimi weight=1": "ours"}), runs.names)
    for name in ("curves", "accuracy and tokens"):
        assert by_run.items() <= lines(renamed.figure(name)).items()
    report = write_report(runs, tmp_path / "report.html").read_text()
    curves, tradeoff, *_ = figures_in(report)
    assert by_run.items() <= lines(curves).items()
    assert by_run.items() <= lines(tradeoff).items()
    frontier = runs.frontier()
    for figure, _ in (*figures_of(runs, frontier).values(), *reo_rl_figures(runs, frontier).values()):
        if figure is not None:
            assert {n: c for n, c in lines(figure).items() if n in by_method}.items() <= by_method.items()
    assert by_method.items() <= lines(plots.curve_figure(runs.pooled(), frontier)).items()


def test_a_run_keeps_its_colour_under_another_name(root):
    runs = RunSet.find(root).rename({"kimi weight=0.5": "half", "vanilla": "plain RL"})
    assert runs.original_methods["half"] == runs.original_methods["run 1"] == "kimi weight=0.5"
    drawn = lines(plots.curve_figure(runs.pooled(), methods=runs.original_methods))
    assert drawn["half"] == method_style("kimi weight=0.5").colour
    assert drawn["plain RL"] == method_style("vanilla").colour
