"""`effwb ls` and `effwb compare`: found, filtered, sorted, printed."""

import json

import pandas as pd
import pytest

from effwb.cli import main
from effwb.cli.runs import age_in_words, condition, meets
from effwb.errors import ConfigError
from tests.made_up import write_evaluation


@pytest.fixture
def root(tmp_path):
    write_evaluation(tmp_path / "runs/early")
    write_evaluation(tmp_path / "runs/late", correct_at_10=0)
    write_evaluation(tmp_path / "runs/wrong", wrong=("a",))
    return tmp_path / "runs"


def listed(capsys, *arguments):
    assert main(["ls", *map(str, arguments), "--json"]) == 0
    return [row["run"] for row in json.loads(capsys.readouterr().out)]


def test_the_table_and_what_reg_is_against(root, capsys):
    assert main(["ls", str(root)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split() == ["run", "model", "problems", "accuracy", "tokens", "REG", "state", "age"]
    assert len(out) == 1 + 3 + 2
    assert out[-1].startswith("3 runs: 3 finished. REG to 20 tokens against the frontier of 3 curves")


def test_order_and_conditions(root, capsys):
    assert listed(capsys, root) == ["early", "late", "wrong"]
    assert listed(capsys, root, "--reverse") == ["wrong", "late", "early"]
    assert listed(capsys, root, "--sort", "REG") == ["early", "wrong", "late"]
    assert listed(capsys, root, "--sort", "REG", "--reverse") == ["late", "wrong", "early"]
    assert listed(capsys, root, "-w", "accuracy>0.9") == ["early", "late"]
    assert listed(capsys, root, "-w", "accuracy>0.9", "-w", "REG<5") == ["early"]
    assert listed(capsys, root, "-w", "run=early,wrong") == ["early", "wrong"]
    assert listed(capsys, root, "-w", "state!=finished") == []


def test_json_has_every_column_and_null_for_what_is_missing(root, capsys):
    assert main(["ls", str(root), "--json"]) == 0
    row = json.loads(capsys.readouterr().out)[0]
    assert row["REG low"] <= row["REG"] <= row["REG high"]
    assert (row["steps"], row["design"], row["problems"]) == (None, None, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-w", "desing=lead"], "unknown column 'desing'; legal: run, "),
        (["-w", "REG=low"], "--where REG: ['low'] are not numbers"),
        (["-w", "design>3"], "--where design>: the column holds words; use = or !="),
        (["--sort", "reg"], "unknown column 'reg'"),
        (["--frontier", "qwen3-8"], "Did you mean 'qwen3-8b'?"),
    ],
)
def test_what_is_wrong_is_named(root, arguments, message, capsys):
    assert main(["ls", str(root), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_without_a_finished_run_there_are_no_numbers(tmp_path, capsys):
    from tests.analysis.test_listing import write_training

    write_training(tmp_path / "a", steps=1, done=False)
    assert listed(capsys, tmp_path, "-w", "REG<3") == []
    assert main(["ls", str(tmp_path)]) == 0
    assert "1 runs: 1 stopped" in capsys.readouterr().out


def test_compare_refuses_with_the_reason(root, capsys):
    write_evaluation(root / "more", ids=("a", "b", "c"))
    assert main(["compare", str(root / "early"), str(root / "more")]) == 2
    error = capsys.readouterr().err
    assert error == (
        "effwb compare: these evaluations are not measured alike (problems: 2 in early, 3 in more)\n"
    )


def test_a_condition_without_a_sign(root, capsys):
    with pytest.raises(SystemExit):
        main(["ls", str(root), "-w", "finished"])
    assert "'finished' is not COLUMN=VALUE" in capsys.readouterr().err


def test_a_missing_value_meets_no_condition_but_unequal():
    table = pd.DataFrame(
        {"REG": [1.0, None], "design": ["kimi", None], "steps": pd.array([5, None], "Int64")}
    )
    for text, rows in {
        "REG<2": [True, False],
        "REG>=0": [True, False],
        "REG!=1": [False, True],
        "design!=kimi": [False, True],
        "design=": [False, True],
        "steps>3": [True, False],
        "steps=5": [True, False],
    }.items():
        assert meets(table, condition(text)).tolist() == rows, text
    with pytest.raises(ConfigError):
        meets(table, condition("design<2"))


def test_ages():
    ages = {3 * 86400: "3 d", 86400: "24 h", 7199: "119 min", 90: "90 s", -5: "0 s"}
    assert {seconds: age_in_words(seconds) for seconds in ages} == ages


def test_compare(finished, tmp_path, capsys):
    a, b, csv = str(finished / "free"), str(finished / "low"), tmp_path / "c.csv"
    assert main(["compare", a, b, "--csv", str(csv)]) == 0
    out = capsys.readouterr().out
    table = pd.read_csv(csv).set_index("measure")
    assert table.index.tolist() == ["accuracy", "J(64)", "tokens", "REG"]
    assert table.loc["tokens", "difference"] == pytest.approx(
        table.loc["tokens", "low"] - table.loc["tokens", "free"]
    )
    assert "14 problems x 2 samples" in out
    assert "REG against the frontier of 2 curves" in out
    assert "J(L) counts the answer" in out
    assert main(["compare", a, str(finished)]) == 2
    assert "holds 2 runs (free, low); name one of them" in capsys.readouterr().err
