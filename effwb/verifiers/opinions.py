"""Is the verdict a matter of the verifier? The same answers read in three ways, side by side."""

import threading

from ..errors import DataError
from . import extract, verify

WAYS = ("effwb", "math-verify", "spelling")


def opinions(answers, golds, timeout: float = 5.0):
    """What three verifiers say of each answer (the text of the last box, None without one) and its gold.

    A DataFrame with a row per answer and a column per `WAYS`: the verdict of `effwb.verifiers.verify` as it
    is now, of math-verify alone, and of comparing letters. Values are `effwb.verifiers.STATUSES`. Every
    different pair is judged once. math-verify keeps its time limit with a signal, so in another thread than
    the main one its column is None.
    """
    import pandas as pd

    answers, golds = list(answers), [str(gold) for gold in golds]
    if len(answers) != len(golds):
        raise DataError(f"{len(answers)} answers but {len(golds)} golds; opinions needs one gold per answer")
    answers = [None if pd.isna(answer) else str(answer) for answer in answers]
    pairs = list(dict.fromkeys(zip(answers, golds, strict=True)))
    boxed = ["" if answer is None else f"\\boxed{{{answer}}}" for answer, _ in pairs]
    ours = [v.status for v in verify(boxed, [gold for _, gold in pairs], timeout)]
    rows = {
        pair: (now, _math_verify(text, pair[1], timeout), _spelling(*pair))
        for pair, text, now in zip(pairs, boxed, ours, strict=True)
    }
    return pd.DataFrame([rows[pair] for pair in zip(answers, golds, strict=True)], columns=list(WAYS))


def disagree(stored, said):
    """Bool array: the stored verdict is not today's, math-verify judges otherwise, or the letters are the
    same and it is still not correct.
    """
    import numpy as np

    right = {way: (said[way] == "correct").to_numpy() for way in WAYS}
    asked = said["math-verify"].notna().to_numpy()
    changed = np.asarray(stored) != said["effwb"].to_numpy()
    return (
        changed | (asked & (right["effwb"] != right["math-verify"])) | (right["spelling"] & ~right["effwb"])
    )


def _spelling(answer: str | None, gold: str) -> str:
    if answer is None:
        return "unparsed"
    plain = gold if extract(gold) is None else extract(gold)
    return "correct" if answer.strip() == plain.strip().strip("$") else "wrong"


def _math_verify(text: str, gold: str, timeout: float) -> str | None:
    from math_verify import parse, verify

    if threading.current_thread() is not threading.main_thread():
        return None
    limit = max(1, round(timeout))  # its alarm takes whole seconds
    read = [parse(t, parsing_timeout=limit) for t in (gold if "\\boxed" in gold else f"${gold}$", text)]
    if not read[1]:
        return "unparsed"
    if not read[0]:
        return "bad_gold"
    return "correct" if verify(*read, timeout_seconds=limit) else "wrong"
