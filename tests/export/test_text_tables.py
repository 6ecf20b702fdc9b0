"""Tables as a paper prints them."""

import numpy as np
import pandas as pd
import pytest

from effwb.errors import DataError
from effwb.export import latex, markdown, readable

TABLE = pd.DataFrame(
    {
        "name": ["a_b & c", "d"],
        "REG": [12.345, -0.5],
        "REG low": [11.0, np.nan],
        "REG high": [13.0, np.nan],
        "n": [3, 4],
    }
)


def test_an_interval_follows_its_value():
    text = readable(TABLE)
    assert list(text.columns) == ["name", "REG", "n"]
    assert text["REG"].tolist() == ["12.35 [11.00, 13.00]", "-0.50"]
    assert readable(TABLE, {"REG": 0})["REG"].tolist() == ["12 [11, 13]", "-0"]


def test_decimals_go_with_the_size():
    frame = pd.DataFrame({"a": [0.8123], "b": [146.12], "c": [12345.6], "d": [None], "e": [np.nan]})
    assert readable(frame).iloc[0].tolist() == ["0.812", "146.1", "12,346", "", ""]


def test_latex_has_booktabs_rules_and_escapes():
    text = latex(TABLE, caption="100 %", label="tab:x")
    assert text.startswith(
        "\\begin{table}\n\\centering\n\\caption{100 \\%}\n\\label{tab:x}\n\\begin{tabular}{lrr}"
    )
    assert r"a\_b \& c & 12.35 [11.00, 13.00] & 3 \\" in text
    assert [text.count(rule) for rule in ("toprule", "midrule", "bottomrule")] == [1, 1, 1]
    assert latex(TABLE).startswith("\\begin{tabular}")


def test_markdown_keeps_its_columns():
    lines = markdown(TABLE.assign(name=["a|b", "c"])).splitlines()
    assert lines[1] == "| --- | ---: | ---: |"
    assert lines[2] == r"| a\|b | 12.35 [11.00, 13.00] | 3 |"


def test_an_empty_table_is_refused():
    with pytest.raises(DataError, match="no columns"):
        latex(pd.DataFrame())
