"""The length used against the length asked for."""

import numpy as np
import pandas as pd
import pytest

from effwb import plots
from tests.plots.examples import axis_titles, hint_rows


def test_hint_figure_has_quantiles_identity_and_accuracy():
    fig = plots.hint_figure(hint_rows())
    band, identity, median, accuracy = fig.data
    assert median.x.tolist() == [64, 128, 256]
    assert median.y.tolist() == [63.5, 127.5, 255.5]
    assert band.y[0] == pytest.approx(np.quantile(np.arange(54, 74), 0.1))
    assert band.y[-1] == pytest.approx(np.quantile(np.arange(54, 74), 0.9))
    assert (identity.x, identity.line.dash) == (identity.y, "dash")
    assert accuracy.y == pytest.approx([0.75] * 3)
    assert (accuracy.error_y.array > 0).all()  # over the problems
    assert "n = 20 rollouts, 10 problems" in accuracy.customdata[0]
    assert axis_titles(fig, "yaxis") == ["length used (tokens)", "accuracy"]
    assert axis_titles(fig, "xaxis") == ["length asked for (tokens)"]
    assert fig.layout.yaxis.type == fig.layout.xaxis.type == fig.layout.xaxis2.type == "log"


def test_many_lengths_asked_for_are_pooled():
    asked = np.arange(100, 4000)
    fig = plots.hint_figure(pd.DataFrame({"asked": asked, "length": asked, "correct": True}))
    assert len(fig.data[2].x) == 12
    assert "asked for 100 to " in fig.data[2].customdata[0]
    assert fig.data[2].y.tolist() == fig.data[2].x.tolist()
