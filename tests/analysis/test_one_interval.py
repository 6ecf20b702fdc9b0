"""REG has one interval: explorer, report, command line and table give the same numbers."""

import re

import pandas as pd
import pytest

from effwb import cli
from effwb.analysis.comparison import ACCURACY_AND_J, DIGITS
from effwb.analysis.explorer import Explorer
from effwb.analysis.html_report import write_report
from effwb.analysis.run_set import RunSet
from effwb.export import readable

pytest.importorskip("anywidget")
COLUMNS = ["REG", "REG low", "REG high"]


def test_explorer_report_and_command_line_agree(finished, tmp_path, capsys):
    view = Explorer(RunSet.find(finished))
    shown = view.table.set_index("name")[COLUMNS]
    assert (shown.loc["low", "REG high"] - shown.loc["low", "REG low"]) > 0

    assert cli.main(["reg", str(finished), "--csv", str(tmp_path / "reg.csv")]) == 0
    printed = pd.read_csv(tmp_path / "reg.csv").set_index("name")[COLUMNS]
    pd.testing.assert_frame_equal(printed, shown, check_exact=False, rtol=1e-12)

    page = write_report(RunSet.find(finished), tmp_path / "r.html").read_text(encoding="utf-8")
    cells = readable(view.table, DIGITS).set_index("name")["REG"]
    for name in finished.iterdir():
        assert f"<td>{cells[name.name]}</td>" in page
    for text in (page, capsys.readouterr().out, view.numbers.value):
        assert ACCURACY_AND_J in re.sub(r"&#x27;", "'", text)
