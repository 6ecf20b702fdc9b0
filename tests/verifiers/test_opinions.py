"""The same answers read by three verifiers, and when they are said to disagree."""

import threading

import pytest

from effwb.errors import DataError
from effwb.verifiers.opinions import WAYS, disagree, opinions


def test_each_way_has_its_word():
    said = opinions(["1/2", None, "3", "0.5"], ["0.5", "1", "3", r"\boxed{0.5}"])
    assert list(said.columns) == list(WAYS)
    assert said["effwb"].tolist() == ["correct", "unparsed", "correct", "correct"]
    assert said["math-verify"].tolist() == ["correct", "unparsed", "correct", "correct"]
    assert said["spelling"].tolist() == ["wrong", "unparsed", "correct", "correct"]


def test_disagreement():
    said = opinions(["1/2", "3", "3", "4"], ["0.5", "3", "3", "5"])
    stored = ["correct", "wrong", "correct", "wrong"]
    assert disagree(stored, said).tolist() == [False, True, False, False]
    said["math-verify"] = ["wrong", "correct", None, "wrong"]
    assert disagree(["correct", "correct", "correct", "wrong"], said).tolist() == [True, False, False, False]


def test_math_verify_is_not_asked_where_it_cannot_be_stopped():
    found = []
    thread = threading.Thread(target=lambda: found.append(opinions(["1"], ["1"])))
    thread.start()
    thread.join()
    assert found[0]["math-verify"].tolist() == [None]
    assert found[0]["effwb"].tolist() == ["correct"]


def test_a_gold_for_each_answer():
    with pytest.raises(DataError, match="2 answers but 1 golds"):
        opinions(["1", "2"], ["1"])
