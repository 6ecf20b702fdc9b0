"""Figures of published numbers."""

import numpy as np
import pandas as pd

from effwb import plots
from effwb.analysis.published import published_reg_table
from effwb.frontier import Frontier


def test_every_row_is_drawn():
    frontiers = {m: Frontier.published(m) for m in ("qwen3-4b", "qwen3-8b")}
    drawn = {t.name for t in plots.frontier_figure(frontiers, l_max=16384).data}
    assert drawn >= set(frontiers)
    fig = plots.oracle_figure({"a": np.array([8, 2, 4])}, {"rule": np.array([1, 2, 4])})
    assert fig.data[1].y.tolist() == [2, 4, 8]
    assert fig.data[1].customdata.tolist() == [2, 3, 1]  # the step at which each was chosen
    errors = pd.DataFrame(
        {"model": list("aab"), "scheme": "exp", "n": [1, 2, 1], "error_pct": [-3.0, 0.5, 1.0]}
    )
    assert [t.y.tolist() for t in plots.quadrature_figure(errors).data] == [[3.0, 0.5], [1.0]]
    average = published_reg_table().query("benchmark == 'average'")
    assert sum(len(t.x) for t in plots.reg_figure(average).data) == 44
