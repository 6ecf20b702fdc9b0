"""Tables as a paper prints them."""

import re
import shutil
import subprocess

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
    assert text["REG"].tolist() == ["12.3 [11.0, 13.0]", "-0.5"]
    assert readable(TABLE, {"REG": 0})["REG"].tolist() == ["12 [11, 13]", "-0"]


def test_decimals_go_with_the_size():
    frame = pd.DataFrame({"a": [0.8123], "b": [146.12], "c": [12345.6], "d": [None], "e": [np.nan]})
    assert readable(frame).iloc[0].tolist() == ["0.812", "146.1", "12,346", "", ""]


def test_decimals_go_with_the_width_of_the_interval():
    wide = pd.DataFrame({"REG": [22.583, 7.965], "REG low": [15.31, 5.782], "REG high": [30.02, 10.168]})
    assert readable(wide)["REG"].tolist() == ["22.6 [15.3, 30.0]", "8.0 [5.8, 10.2]"]
    assert readable(wide * 100)["REG"].tolist() == ["2,258 [1,531, 3,002]", "796 [578, 1,017]"]
    accuracy = pd.DataFrame({"accuracy": [0.81234], "low": [0.7894], "high": [0.8361]})
    assert readable(accuracy).to_dict("list") == {"accuracy": ["0.812 [0.789, 0.836]"]}
    assert readable(pd.DataFrame({"n": pd.array([3, None], "Int64")}))["n"].tolist() == ["3", ""]


PAPER = pd.DataFrame(
    {
        "name": ["base", "l1_max alpha=0.1", "kimi weight=0.5", "low effort"],
        "accuracy": [0.8123, 0.9584, 0.9584, 0.7],
        "mean tokens": [145.352, 60.2, 154.776, 20.0],
        "J(512)": [0.8244, 0.9412, 0.9654, 0.7],
        "REG": [52.423, 7.965, 9.1, 80.0],
        "REG low": [45.096, 5.782, 6.2, 70.1],
        "REG high": [60.109, 10.168, 12.4, 90.2],
        "Δ REG": [np.nan, -44.5, -43.3, 27.6],
    }
)


def test_the_best_of_each_column_is_bold_and_parameters_are_formulas():
    lines = latex(PAPER).splitlines()
    assert lines[2] == r"name & accuracy & mean tokens & J(512) & REG & $\Delta$ REG \\"
    assert lines[4:8] == [
        r"base & 0.812 & 145.4 & 0.824 & 52.4 [45.1, 60.1] &  \\",
        r"l1\_max $\alpha = 0.1$ & \textbf{0.958} & 60.2 & 0.941 & \textbf{8.0} [5.8, 10.2] & -44.50 \\",
        r"kimi weight = 0.5 & \textbf{0.958} & 154.8 & \textbf{0.965} & 9.1 [6.2, 12.4] & -43.30 \\",
        r"low effort & 0.700 & 20.0 & 0.700 & 80.0 [70.1, 90.2] & 27.60 \\",
    ]
    assert "textbf" not in latex(PAPER, best={}) + latex(PAPER[:1]) + markdown(PAPER)


def test_each_benchmark_has_a_best():
    table = pd.DataFrame(
        {"name": list("aabb"), "benchmark": ["x", "y"] * 2, "accuracy": [0.1, 0.9, 0.2, 0.8]}
    )
    bold = [line for line in latex(table).splitlines() if "textbf" in line]
    assert bold == [r"a & y & \textbf{0.900} \\", r"b & x & \textbf{0.200} \\"]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs a TeX")
def test_a_table_compiles(tmp_path):
    body = latex(PAPER, caption="REG to 512 tokens, < 1 %", label="tab:x")
    head = r"\documentclass{article}\usepackage{booktabs}\begin{document}"
    (tmp_path / "t.tex").write_text(f"{head}\n{body}\\end{{document}}\n", encoding="utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]


def test_latex_is_well_formed():
    """Where there is no TeX: rules and environments are closed, and every row has as many cells."""
    text = latex(PAPER, caption="c")
    for environment in ("table", "tabular"):
        assert text.count(rf"\begin{{{environment}}}") == text.count(rf"\end{{{environment}}}") == 1
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(PAPER.columns) - 3}
    assert text.count("$") % 2 == 0
    assert text.isascii()


def test_latex_has_booktabs_rules_and_escapes():
    text = latex(TABLE, caption="100 %", label="tab:x")
    assert text.startswith(
        "\\begin{table}\n\\centering\n\\caption{100 \\%}\n\\label{tab:x}\n\\begin{tabular}{lrr}"
    )
    assert r"a\_b \& c & 12.3 [11.0, 13.0] & 3 \\" in text
    assert [text.count(rule) for rule in ("toprule", "midrule", "bottomrule")] == [1, 1, 1]
    assert latex(TABLE).startswith("\\begin{tabular}")


def test_markdown_keeps_its_columns():
    lines = markdown(TABLE.assign(name=["a|b", "c"])).splitlines()
    assert lines[1] == "| --- | ---: | ---: |"
    assert lines[2] == r"| a\|b | 12.3 [11.0, 13.0] | 3 |"


def test_an_empty_table_is_refused():
    with pytest.raises(DataError, match="no columns"):
        latex(pd.DataFrame())
