r"""The same answers judged by three verifiers side by side: does a result depend on the verifier?

answer 1/2, gold 0.5             -> effwb correct, math-verify correct, spelling wrong
answer x<3, gold (-\infty, 3)     -> effwb correct, math-verify wrong, spelling wrong
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ..errors import DataError
from . import extract, verify

WAYS = ("effwb", "math-verify", "spelling")


def opinions(answers: Iterable[str | None], golds: Iterable[object], timeout: float = 5.0) -> pd.DataFrame:
    r"""Judge each answer by effwb's verifier as it is now, by math-verify alone, and by its letters.

    Duplicates are judged once.

    Args:
        answers: the content of each last box; `None` (or NaN) where there is none.
        golds: the reference answer of each.
        timeout: limit in seconds for one comparison; math-verify rounds it to whole seconds, at least 1.

    Returns:
        A row for each answer, in order, and a column for each of `WAYS`, with values from
        `effwb.verifiers.STATUSES`. Outside the main thread the column math-verify is `None`, because
        math-verify keeps its time limit with a signal.

    Raises:
        DataError: if there is not one gold for each answer.

    Example:
        >>> opinions(["1/2", "3"], ["0.5", "3"])["spelling"].tolist()
        ['wrong', 'correct']
    """
    answers = [None if pd.isna(answer) else str(answer) for answer in answers]
    gold_texts = [str(gold) for gold in golds]
    if len(answers) != len(gold_texts):
        raise DataError(
            f"{len(answers)} answers but {len(gold_texts)} golds; opinions needs one gold per answer"
        )
    rows = list(zip(answers, gold_texts, strict=True))
    pairs = list(dict.fromkeys(rows))
    texts = ["" if answer is None else f"\\boxed{{{answer}}}" for answer, _ in pairs]
    verdicts = verify(texts, [gold for _, gold in pairs], timeout)
    statuses = {
        (answer, gold): (verdict.status, _math_verify(text, gold, timeout), _spelling(answer, gold))
        for (answer, gold), text, verdict in zip(pairs, texts, verdicts, strict=True)
    }
    return pd.DataFrame([statuses[row] for row in rows], columns=list(WAYS))


def disagree(stored: Sequence[str], table: pd.DataFrame) -> np.ndarray:
    """Find the answers on which the verifiers disagree.

    Args:
        stored: the verdict of each answer that was stored with the run.
        table: what `opinions` returned for the same answers.

    Returns:
        bool (answers,). True where the stored verdict is not effwb's verdict now, where math-verify scores
        the answer differently, or where answer and gold have the same letters and the answer is not correct.
    """
    effwb, math_verify, spelling = ((table[way] == "correct").to_numpy() for way in WAYS)
    changed = np.asarray(stored) != table["effwb"].to_numpy()
    differs = table["math-verify"].notna().to_numpy() & (effwb != math_verify)
    return changed | differs | (spelling & ~effwb)


def _spelling(answer: str | None, gold: str) -> str:
    if answer is None:
        return "unparsed"
    boxed = extract(gold)
    plain = gold if boxed is None else boxed
    return "correct" if answer.strip() == plain.strip().strip("$") else "wrong"


def _math_verify(text: str, gold: str, timeout: float) -> str | None:
    from math_verify import parse, verify

    if threading.current_thread() is not threading.main_thread():
        return None
    limit = max(1, round(timeout))
    gold_text = gold if "\\boxed" in gold else f"${gold}$"
    parsed_gold, parsed_answer = (parse(source, parsing_timeout=limit) for source in (gold_text, text))
    if not parsed_answer:
        return "unparsed"
    if not parsed_gold:
        return "bad_gold"
    return "correct" if verify(parsed_gold, parsed_answer, timeout_seconds=limit) else "wrong"
