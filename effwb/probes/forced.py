"""Stop rollouts and force their answers: where exactly to cut them, what to append, and the answers.

The paper (2506.07104) does not say what happens at a cut after the end of the thinking. Here the suffix then
omits its `</think>`. If the rollout has already begun the box of its answer, the cut moves back to before
that box.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from effwb import prompts
from effwb.samplers import Completion, Prefixes, Sampler, SamplingParams

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def cuts_of(length: int, finish_reason: str, budgets: Sequence[int]) -> list[int]:
    """Return the budgets at which a rollout needs a forced answer.

    Those are the budgets that it exceeds, and the budget that it fills without ending.

    Args:
        length: Length of the rollout in tokens.
        finish_reason: "stop" if it ended by itself, else "length".
        budgets: Budgets in tokens.
    """
    if finish_reason == "stop":
        return [b for b in budgets if b < length]
    return [b for b in budgets if b <= length]


@dataclass(frozen=True)
class CutPoint:
    """Where a rollout is really cut for a budget.

    Attributes:
        at: Tokens of the rollout that stay.
        open: Whether the cut lies inside the thinking. False: after `</think>`, or before a `<think>` that
            the model writes itself.
    """

    at: int
    open: bool


class CutFinder:
    """Finds the cut for each budget: is the thinking still open there, and has the answer's box begun?

    Args:
        tokenizer: The model's tokenizer.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.tokenizer = tokenizer
        token = tokenizer.convert_tokens_to_ids("</think>")
        self._close = token if token is not None and token != tokenizer.unk_token_id else None

    def cuts(self, ids: list[int], opened: bool, budgets: Sequence[int]) -> list[CutPoint]:
        """Find the cut for each budget.

        Args:
            ids: The tokens of the rollout.
            opened: Whether the prompt left the thinking open.
            budgets: Budgets in tokens, none above the length of the rollout.
        """
        # else the model may write `<think>` itself, among its first tokens
        opens = (i for i in range(1, 9) if "<think>" in self.tokenizer.decode(ids[:i]))
        begin = 0 if opened else next(opens, None)
        end = self._thinking_end(ids)
        after_thinking = 0 if end is None else end
        last = len(ids) + 1 if end is None else end
        return [
            CutPoint(b, True)
            if begin is not None and begin <= b < last
            else CutPoint(self._before_box(ids, after_thinking, b), False)
            for b in budgets
        ]

    def _thinking_end(self, ids: list[int]) -> int | None:
        """Tokens up to the end of `</think>`; None if it never occurs."""
        if self._close is not None:
            return ids.index(self._close) + 1 if self._close in ids else None
        if "</think>" not in self.tokenizer.decode(ids):
            return None
        return bisect_left(range(len(ids)), True, key=lambda n: "</think>" in self.tokenizer.decode(ids[:n]))

    def _before_box(self, ids: list[int], start: int, at: int) -> int:
        """`at`, or the beginning of the last box in `ids[start:at]`."""
        box = self.tokenizer.decode(ids[start:at]).rfind("\\boxed{")
        if box < 0:
            return at
        beyond = bisect_left(
            range(at), True, start, key=lambda n: len(self.tokenizer.decode(ids[start:n])) > box
        )
        return beyond - 1


@dataclass(frozen=True)
class ProbeTarget:
    """A rollout and the budgets it is stopped at.

    Attributes:
        prompt_ids: The prompt as token ids.
        completion_ids: The rollout as token ids.
        opened: Whether the prompt left the thinking open.
        budgets: Budgets in tokens, none above the length of the rollout.
    """

    prompt_ids: list[int]
    completion_ids: list[int]
    opened: bool
    budgets: Sequence[int]


@dataclass(frozen=True)
class ForcedAnswer:
    """The answer that a stopped rollout was forced to give.

    Attributes:
        completion: What the model wrote after the suffix.
        text: The suffix and the completion: what a verifier sees.
    """

    completion: Completion
    text: str


class Prober:
    """Stops rollouts and asks for their answers.

    Cuts inside the thinking and cuts after it have different suffixes, so each kind is one pass.

    Args:
        tokenizer: The model's tokenizer.
        suffix: The text that asks for an answer.
        answer_tokens: Most tokens of an answer.
        snap: Moves cuts down to whole blocks of so many tokens; see `Probing`.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, suffix: str, answer_tokens: int, snap: int | None = None
    ):
        self.snap = snap
        self.suffixes = {True: suffix, False: prompts.suffix_when_closed(suffix)}
        self.ids = {
            is_open: tokenizer.encode(text, add_special_tokens=False)
            for is_open, text in self.suffixes.items()
        }
        for is_open, ids in self.ids.items():
            prompts.check_known(tokenizer, self.suffixes[is_open], ids, "the forced-answer suffix")
        self.params = SamplingParams(answer_tokens, temperature=0.0, close_brace=True)
        self.finder = CutFinder(tokenizer)

    @property
    def extra(self) -> int:
        """The most tokens that a suffix and a forced answer add to a cut rollout."""
        return max(map(len, self.ids.values())) + self.params.max_tokens

    def answers(self, sampler: Sampler, targets: Sequence[ProbeTarget]) -> list[list[ForcedAnswer]]:
        """Force the answers of rollouts that are already sampled.

        Args:
            sampler: An open sampler.
            targets: The rollouts and their budgets.

        Returns:
            The answers of each rollout, in the order of its budgets.
        """
        cuts = [self.cuts(target) for target in targets]
        answers = {}
        for is_open, suffix_ids in self.ids.items():
            prefixes = [
                Prefixes(t.prompt_ids, t.completion_ids, [c.at for c in row if c.open == is_open])
                for t, row in zip(targets, cuts, strict=True)
            ]
            rows = sampler.continue_prefixes(prefixes, suffix_ids, self.params)
            answers[is_open] = iter([answer for row in rows for answer in row])
        return [[self._answer(next(answers[cut.open]), cut) for cut in row] for row in cuts]

    def sample_and_answer(
        self,
        sampler: Sampler,
        params: SamplingParams,
        seeds: Sequence[Sequence[int]],
        prompt_ids: Sequence[Sequence[int]],
        target_of: Callable[[int, Completion], ProbeTarget],
    ) -> tuple[list[list[Completion]], list[list[list[ForcedAnswer]]]]:
        """Sample rollouts and force their answers while the engine still holds their keys and values.

        Args:
            sampler: An open sampler.
            params: How rollouts are sampled.
            seeds: The seed of every rollout, by prompt and sample.
            prompt_ids: The prompts as token ids.
            target_of: Called with the number of the prompt and a completion; says where to stop it.

        Returns:
            The completions and their forced answers, each by prompt and sample.
        """
        cuts: dict[tuple[int, int], list[CutPoint]] = {}

        def continuations(p: int, i: int, completion: Completion) -> list[tuple[int, Sequence[int]]]:
            cuts[p, i] = self.cuts(target_of(p, completion))
            return [(cut.at, self.ids[cut.open]) for cut in cuts[p, i]]

        groups, answers = sampler.generate_and_continue(prompt_ids, params, seeds, continuations, self.params)
        forced = [
            [
                [self._answer(answer, cut) for answer, cut in zip(row, cuts[p, i], strict=True)]
                for i, row in enumerate(rows)
            ]
            for p, rows in enumerate(answers)
        ]
        return groups, forced

    def cuts(self, target: ProbeTarget) -> list[CutPoint]:
        """Find where a rollout is really cut for each of its budgets."""
        budgets = target.budgets
        if self.snap:  # down to where prompt and rollout fill whole blocks
            prompt = len(target.prompt_ids)
            budgets = [max(0, b - (prompt + b) % self.snap) for b in budgets]
        return self.finder.cuts(target.completion_ids, target.opened, budgets)

    def _answer(self, completion: Completion, cut: CutPoint) -> ForcedAnswer:
        return ForcedAnswer(completion, self.suffixes[cut.open] + completion.text)
