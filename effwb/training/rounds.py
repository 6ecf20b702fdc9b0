"""What is asked in each round: which problems, with which prompts. A function of the seed, the round and the
state of the design, so that a resumed run asks what the uninterrupted one would have.
"""

from dataclasses import dataclass, fields

import numpy as np

from effwb import prompts
from effwb.errors import ConfigError
from effwb.rollouts import check_problems


@dataclass(frozen=True)
class PromptBatch:
    """P prompts: rows of the problem table, their prompts as ids, and the lengths they ask for, if any."""

    rows_P: list[int]
    prompt_ids_P: list[list[int]]
    opened_P: list[bool]
    hint_tokens_P: np.ndarray | None

    def put(self, place: int, other: "PromptBatch", index: int) -> None:
        """Replace the prompt at `place` by number `index` of `other`."""
        for name in (f.name for f in fields(self)):
            if getattr(self, name) is not None:
                getattr(self, name)[place] = getattr(other, name)[index]


class Rounds:
    """Prompts by round. Epochs are fresh permutations; a remainder smaller than a round is left out."""

    def __init__(self, problems, tokenizer, template, design, *, per_round: int, seed: int, effort=None):
        check_problems(problems)
        if len(problems) < per_round:
            raise ConfigError(f"{len(problems)} problems cannot fill a round of {per_round}")
        self.ids, self.answers = problems["problem_id"][:], problems["answer"][:]
        self._questions, self._tokenizer, self._template = problems["question"][:], tokenizer, template
        self.design, self.per_round, self.seed, self.effort = design, per_round, seed, effort
        self.closing = prompts.closing_id(tokenizer) if design.modes else None
        self._rendered: dict = {}

    def of(self, number: int) -> PromptBatch:
        """The prompts of round `number`, counted from 0."""
        epoch, place = divmod(number, len(self.ids) // self.per_round)
        order = np.random.default_rng([self.seed, 1, epoch]).permutation(len(self.ids))
        rows = order[place * self.per_round : (place + 1) * self.per_round].tolist()
        return self.ask(rows, np.random.default_rng([self.seed, 2, number]))

    def refill(self, number: int, attempt: int, count: int, taken: list[int]) -> PromptBatch:
        """`count` prompts of problems that are not in `taken`, to replace groups without spread."""
        rng = np.random.default_rng([self.seed, 3, number, attempt])
        left = np.setdiff1d(np.arange(len(self.ids)), taken)
        return self.ask(rng.choice(left, size=min(count, left.size), replace=False).tolist(), rng)

    def ask(self, rows: list[int], rng: np.random.Generator) -> PromptBatch:
        """The prompts of these rows, with lengths drawn by the design where it asks for any."""
        place = self.design.hint
        hints = self.design.draw_hints(rng, [self.ids[r] for r in rows]) if place else None
        found = [self._render(r, None if hints is None else int(hints[i])) for i, r in enumerate(rows)]
        return PromptBatch(rows, [ids for ids, _ in found], [opened for _, opened in found], hints)

    def longest(self) -> int:
        """Tokens of the longest prompt, with the longest hint there can be."""
        hint = self.design.longest_hint() if self.design.hint else None
        return max(len(self._render(r, hint)[0]) for r in range(len(self.ids)))

    def _render(self, row: int, hint: int | None) -> tuple[list[int], bool]:
        if hint is None and row in self._rendered:
            return self._rendered[row]
        how = {"hint": hint, "hint_place": self.design.hint or "user", "effort": self.effort}
        text, ids = prompts.render(self._tokenizer, self._questions[row], self._template, **how)
        found = ids, prompts.opens_thinking(text)
        if self.design.modes:
            prompts.check_opened(text, self.design.NAME)
        if hint is None:  # drawn hints are too many to keep
            self._rendered[row] = found
        return found
