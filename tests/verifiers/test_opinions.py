"""`opinions` judges answers by three verifiers; `disagree` finds where they differ."""

import threading

import pytest

from effwb.errors import DataError
from effwb.verifiers.opinions import WAYS, disagree, opinions


def test_opinions_has_a_column_for_each_verifier():
    table = opinions(["1/2", None, "3", "0.5"], ["0.5", "1", "3", r"\boxed{0.5}"])
    assert list(table.columns) == list(WAYS)
    assert table["effwb"].tolist() == ["correct", "unparsed", "correct", "correct"]
    assert table["math-verify"].tolist() == ["correct", "unparsed", "correct", "correct"]
    assert table["spelling"].tolist() == ["wrong", "unparsed", "correct", "correct"]


def test_disagree_compares_stored_verdict_math_verify_and_spelling():
    table = opinions(["1/2", "3", "3", "4"], ["0.5", "3", "3", "5"])
    stored = ["correct", "wrong", "correct", "wrong"]
    assert disagree(stored, table).tolist() == [False, True, False, False]
    table["math-verify"] = ["wrong", "correct", None, "wrong"]
    assert disagree(["correct", "correct", "correct", "wrong"], table).tolist() == [True, False, False, False]


def test_math_verify_is_skipped_outside_the_main_thread():
    tables = []
    thread = threading.Thread(target=lambda: tables.append(opinions(["1"], ["1"])))
    thread.start()
    thread.join()
    assert tables[0]["math-verify"].tolist() == [None]
    assert tables[0]["effwb"].tolist() == ["correct"]


def test_opinions_needs_one_gold_per_answer():
    with pytest.raises(DataError, match="2 answers but 1 golds"):
        opinions(["1", "2"], ["1"])
