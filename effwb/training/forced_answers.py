"""Forced answers of training rollouts: where a design stops each of them, and the verdicts of its answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from effwb.probes import ForcedAnswer, cuts_of
from effwb.verifiers import verify


class Outcome(NamedTuple):
    """What every process knows about a rollout.

    Attributes:
        correct: The verdict at the cap: of the whole text, or of the answer that was forced there.
        finished: Whether it ended by itself, before the cap.
        length: Its tokens, EOS included.
        empty: Whether its first token closes the thinking; None for designs that do not read this.
        probe_budgets: Where it was probed, in tokens, rising; None without probes.
        probe_correct: The verdict at each of these; at its end and beyond the verdict at the cap.
        unparsed: For each forced answer, whether no answer could be read from it.
    """

    correct: bool
    finished: bool
    length: int
    empty: bool | None = None
    probe_budgets: list[int] | None = None
    probe_correct: list[bool] | None = None
    unparsed: list[bool] | None = None


def probe_cuts(
    design: Any,
    problem_id: str,
    completion_ids: list[int],
    finish_reason: str,
    cap: int,
    decode: Callable[[list[int]], str],
) -> tuple[list[int], list[int]]:
    """Find where a design stops a rollout.

    Args:
        design: A design that rewards forced answers.
        problem_id: The id of the problem.
        completion_ids: The tokens of the rollout.
        finish_reason: "stop" if it ended by itself, else "length".
        cap: Tokens a completion may have.
        decode: Turns token ids into text.

    Returns:
        The probe points of the design, and the lengths in tokens at which an answer is forced: those points
        that lie within the rollout, and its end where the design asks for an answer at the cap.
    """
    points = design.probe_points(problem_id, completion_ids, cap, decode)
    cuts = [cut for cut in cuts_of(len(completion_ids), finish_reason, points) if cut < cap]
    if design.forces_at_cap and finish_reason != "stop":
        cuts.append(len(completion_ids))
    return points, cuts


def with_probes(
    design: Any,
    outcomes: Sequence[Outcome],
    points: Sequence[list[int]],
    answers: Sequence[Sequence[ForcedAnswer]],
    golds: Sequence[str],
    timeout: float,
) -> list[Outcome]:
    """Add the verdicts of the forced answers; beyond the end of a rollout its verdict at the cap counts.

    There a truncated rollout is wrong, unless the design forces an answer, which is then its last.

    Args:
        design: The design.
        outcomes: The outcome of each rollout without probes.
        points: The probe points of each rollout.
        answers: The forced answers of each rollout, in the order of its cuts.
        golds: The gold answer of each rollout.
        timeout: Seconds per verdict.
    """
    texts = [answer.text for row in answers for answer in row]
    gold_texts = [gold for gold, row in zip(golds, answers, strict=True) for _ in row]
    verdicts = iter(verify(texts, gold_texts, timeout=timeout))
    probed = []
    for outcome, budgets, row in zip(outcomes, points, answers, strict=True):
        statuses = [next(verdicts).status for _ in row]
        correct = [status == "correct" for status in statuses]
        at_cap = outcome.correct and outcome.finished
        if design.forces_at_cap and not outcome.finished:
            at_cap = correct.pop()
            outcome = outcome._replace(correct=at_cap)
        correct += [at_cap] * (len(budgets) - len(correct))
        unparsed = [status == "unparsed" for status in statuses]
        probed.append(outcome._replace(probe_budgets=budgets, probe_correct=correct, unparsed=unparsed))
    return probed
