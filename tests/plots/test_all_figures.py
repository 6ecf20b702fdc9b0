"""What holds for every figure: it becomes a file, refuses bad input, and its examples run."""

import doctest
import json
from importlib import import_module

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from effwb import plots
from effwb.errors import ConfigError, DataError
from effwb.export import save
from tests.plots.examples import hint_rows, method_rows, parameter_rows, reg_rows, reward_rows, run_metrics

FIGURES = {
    "training": (plots.training_figure, run_metrics),
    "reward": (plots.reward_figure, reward_rows),
    "tradeoff": (plots.tradeoff_figure, method_rows),
    "hint": (plots.hint_figure, hint_rows),
    "reg tradeoff": (plots.reg_tradeoff_figure, reg_rows),
    "parameter": (lambda table, title: plots.parameter_figure(table, "alpha", title=title), parameter_rows),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figure_and_its_data_become_files(name, tmp_path):
    draw, table = FIGURES[name][0], FIGURES[name][1]()
    before = table.copy()
    fig = draw(table, title="a title")
    assert isinstance(fig, go.Figure)
    assert fig.layout.title.text == "a title"
    html, csv = save(fig, tmp_path / name, table)
    pd.testing.assert_frame_equal(table, before)
    assert pd.read_csv(csv).columns.tolist() == table.columns.tolist()
    assert len(pd.read_csv(csv)) == len(table)
    assert "a title" in html.read_text()
    assert json.loads(fig.to_json())["layout"]["xaxis"]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: plots.training_figure(run_metrics().drop(columns="step")),
            DataError,
            "lacks the column 'step'",
        ),
        (lambda: plots.training_figure(run_metrics()[["step"]]), DataError, "nothing to draw"),
        (
            lambda: plots.training_figure(run_metrics().assign(step=[*range(10)] * 2)),
            DataError,
            "in two stages",
        ),
        (lambda: plots.training_figure(run_metrics(), window=0), ConfigError, "window=0"),
        (lambda: plots.reward_figure(reward_rows()[:0]), DataError, "empty"),
        (lambda: plots.reward_figure(reward_rows().drop(columns="total")), DataError, "'total'"),
        (lambda: plots.reward_figure(reward_rows().assign(total=np.nan)), DataError, "'total' holds NaN"),
        (lambda: plots.reward_figure(reward_rows()[::4]), DataError, "two rollouts"),
        (lambda: plots.tradeoff_figure(method_rows()[:0]), DataError, "empty"),
        (lambda: plots.tradeoff_figure(method_rows(), y="score"), DataError, "'score'"),
        (
            lambda: plots.tradeoff_figure(method_rows().assign(accuracy="high")),
            DataError,
            "'accuracy' holds NaN",
        ),
        (lambda: plots.tradeoff_figure(method_rows(), iso_aes=(0,), base="bass"), ConfigError, "'base'"),
        (lambda: plots.hint_figure(hint_rows()[:0]), DataError, "empty"),
        (lambda: plots.reg_tradeoff_figure(reg_rows()[:0]), DataError, "empty"),
        (lambda: plots.reg_tradeoff_figure(reg_rows().drop(columns="J(512)")), DataError, r"'J\(<l_max>\)'"),
        (lambda: plots.reg_tradeoff_figure(reg_rows().assign(REG=np.nan)), DataError, "'REG' holds NaN"),
        (lambda: plots.benchmark_figure({}), DataError, "no benchmarks"),
        (lambda: plots.benchmark_figure({"a": {}}, {}), DataError, r"frontiers lacks the benchmarks \['a'\]"),
        (lambda: plots.hint_figure(hint_rows().assign(length=0)), DataError, "positive"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


MODULES = (
    "benchmarks",
    "budget",
    "parameters",
    "published",
    "rewards",
    "runs",
    "stated_lengths",
    "style",
    "tradeoff",
)
MODULES += ("training",)


@pytest.mark.parametrize("module", [f"effwb.plots.{name}" for name in MODULES] + ["effwb.export.text_tables"])
def test_examples_in_docstrings_run(module):
    result = doctest.testmod(import_module(module))
    assert (result.failed, result.attempted > 0) == (0, True)
