"""MRT, meta reinforcement fine-tuning (2503.07572), online as 2506.07104 describes it in App. D."""

import re
from typing import ClassVar

import numpy as np

from effwb.designs import segments
from effwb.designs.base import Design, design
from effwb.designs.group import Group, require_probes
from effwb.errors import ConfigError

KEYWORDS = ("Wait", "Alternatively", "But", "Hmm", "However", "Let me", "So", "Therefore", "check")


@design
class Mrt(Design):
    """Every step of the reasoning is paid for the progress it makes.

        r_i = R(Answer(y_:i)) - R(Answer(y_:i-1)) + alpha R(y)

    y_:i is the text up to the end of step i, R(Answer(.)) the forced answer there, R(y) the full response;
    alpha = 0.2. Tokens of step i get r_i, normalised over all steps of all rollouts of the problem (sample
    std): how the paper normalises is not printed. The progress of the first step is that over answering at
    once.

    The paper splits steps by keywords and does not list them. Here a step ends before each of `keywords`, at
    a word's begin and behind at least `min_tokens` tokens; steps beyond `max_steps` are one. Where a keyword
    never occurs a rollout is one step.

    >>> from effwb.designs import toy_group
    >>> probes = {"probe_budgets_K": [[[0, 10], [0, 10]]], "probe_correct_PGK": [[[0, 1], [0, 0]]]}
    >>> Mrt().progress(toy_group([30, 40], [1, 0], **probes))[0].tolist()
    [[0.0, 1.2, 0.2], [0.0, 0.0, 0.0]]
    """

    NAME: ClassVar[str] = "mrt"
    probes: ClassVar[bool] = True

    alpha: float = 0.2
    keywords: tuple[str, ...] = KEYWORDS
    min_tokens: int = 4
    max_steps: int = 8

    def check(self) -> None:
        self.within("alpha", 0.0)
        self.whole("min_tokens", 1)
        self.whole("max_steps", 1)
        if self.rule != "group":
            raise ConfigError(f"mrt normalises over the steps of a problem; rule={self.rule!r} is not for it")
        if isinstance(self.keywords, str) or not self.keywords or not all(map(str, self.keywords)):
            raise ConfigError(f"mrt: keywords={self.keywords!r} must be a list of words")

    def probe_points(self, problem_id: str, completion_ids: list[int], cap: int, decode) -> list[int]:
        """0 and the ends of all steps but the last, in tokens."""
        ends, begin = [], 0
        starts = self._starts(completion_ids, decode)
        for at in starts:
            if at - begin >= self.min_tokens and len(ends) < self.max_steps - 1:
                ends.append(at)
                begin = at
        return [0, *ends]

    def _starts(self, ids: list[int], decode) -> list[int]:
        """Token positions at which a keyword begins."""
        pieces = [decode([i]) for i in ids]
        ends = np.cumsum([len(p) for p in pieces])
        found = re.finditer("|".join(rf"\b{re.escape(k)}" for k in self.keywords), "".join(pieces))
        return sorted({int(np.searchsorted(ends, m.start(), side="right")) for m in found})

    def progress(self, group: Group) -> np.ndarray:
        """R of each segment, (P, G, K + 1); segment 0, before the first probe, is empty and has 0."""
        verdicts = require_probes(group, self.NAME)
        gained = np.diff(verdicts, axis=-1) + self.alpha * verdicts[..., -1:]
        return np.concatenate([np.zeros_like(gained[..., :1]), gained], axis=-1)

    def components(self, group: Group) -> dict[str, np.ndarray]:
        verdicts = require_probes(group, self.NAME)
        return {"outcome": self.alpha * verdicts[..., -1], "progress": verdicts[..., -1] - verdicts[..., 0]}

    def advantage(self, group: Group) -> np.ndarray:
        """Float (P, G, K + 1), one per segment. Pure."""
        reward, real = self.progress(group), self._real(group)
        real &= self.mask(group)[..., None]
        return segments.normalise_together(reward, real, std=self.std, eps=self.eps)

    def _real(self, group: Group) -> np.ndarray:
        """Bool (P, G, K + 1): segments that have tokens; a rollout with fewer steps repeats its last
        budget.
        """
        length = group.length_PG[..., None]
        edges = np.minimum(np.concatenate([group.probe_budgets_PGK, length], axis=-1), length)
        before = np.concatenate([np.zeros_like(length), edges[..., :-1]], axis=-1)
        return edges > before
