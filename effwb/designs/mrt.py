"""MRT, meta reinforcement fine-tuning (2503.07572), online as 2506.07104 describes it in App. D."""

import re
from collections.abc import Callable
from typing import ClassVar

import numpy as np

from effwb.designs import segments
from effwb.designs.base import design
from effwb.designs.forced import ForcedAnswers
from effwb.designs.group import Group
from effwb.errors import ConfigError

KEYWORDS = ("Wait", "Alternatively", "But", "Hmm", "However", "Let me", "So", "Therefore", "check")


@design
class Mrt(ForcedAnswers):
    """Rewards every step of the reasoning for the progress it makes towards a right answer.

        r_i = R(Answer(y_:i)) - R(Answer(y_:i-1)) + alpha R(y)

    y_:i is the text up to the end of step i, R(Answer(.)) the verdict on the forced answer there, R(y) the
    verdict on the response itself, which is 0 for a response without an end. The tokens of step i get r_i,
    normalised over all steps of all rollouts of the problem (sample std). The progress of the first step is
    measured against answering at once.

    - The last step of a truncated rollout ends at the cap, and its progress is measured by the answer forced
      there: the default `at_cap="forced"`. The outcome R(y) stays 0: both papers add it as the 0/1 reward of
      the response, outside of Answer(.), and a response without an end gives no answer. With "own" the
      verdict at the cap is wrong in the progress too.
    - The paper does not print how it normalises.
    - The paper splits steps at keywords and does not list them; see `keywords`. A rollout without any
      keyword is one step.

    Args:
        alpha: Weight of the full response, at least 0. Default 0.2.
        keywords: A step ends before each of these, where they begin a word. Default: `KEYWORDS` of this
            module, which are not the paper's.
        min_tokens: Fewest tokens of a step, at least 1; a keyword that comes earlier does not end it.
            Default 4, not the paper's.
        max_steps: Most steps of a rollout, at least 1; what follows belongs to the last one. Default 8,
            not the paper's.
        at_cap: The verdict at the cap of a truncated rollout: "forced" (default) or "own"; see above.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`;
    `rule` must be "group".

    >>> from effwb.designs import toy_group
    >>> probes = {"probe_budgets_K": [[[0, 10], [0, 10]]], "probe_correct_PGK": [[[0, 1], [0, 0]]]}
    >>> Mrt().progress(toy_group([30, 40], [1, 0], **probes))[0].tolist()
    [[0.0, 1.2, 0.2], [0.0, 0.0, 0.0]]
    """

    NAME: ClassVar[str] = "mrt"

    alpha: float = 0.2
    keywords: tuple[str, ...] = KEYWORDS
    min_tokens: int = 4
    max_steps: int = 8

    def check(self) -> None:
        super().check()
        self.within("alpha", 0.0)
        self.whole("min_tokens", 1)
        self.whole("max_steps", 1)
        if self.rule != "group":
            raise ConfigError(
                f"mrt normalises over the steps of a problem and cannot use rule={self.rule!r}; "
                "leave rule='group'"
            )
        if isinstance(self.keywords, str) or not self.keywords or not all(map(str, self.keywords)):
            raise ConfigError(f"mrt: keywords={self.keywords!r} must be a list of words")

    def probe_points(
        self, problem_id: str, completion_ids: list[int], cap: int, decode: Callable[[list[int]], str]
    ) -> list[int]:
        """Return 0 and the ends of all steps but the last, in tokens."""
        pieces = [decode([i]) for i in completion_ids]
        piece_ends = np.cumsum([len(p) for p in pieces])
        matches = re.finditer("|".join(rf"\b{re.escape(k)}" for k in self.keywords), "".join(pieces))
        starts = sorted({int(np.searchsorted(piece_ends, m.start(), side="right")) for m in matches})
        points = [0]
        for start in starts:
            if start - points[-1] >= self.min_tokens and len(points) < self.max_steps:
                points.append(start)
        return points

    def progress(self, group: Group) -> np.ndarray:
        """Return r of each segment, float (P, G, K + 1).

        Segment 0, before the first probe, is empty and has 0.
        """
        gained = np.diff(self.verdicts(group), axis=-1) + self.alpha * self.solved(group)[..., None]
        return np.concatenate([np.zeros_like(gained[..., :1]), gained], axis=-1)

    def components(self, group: Group) -> dict[str, np.ndarray]:
        verdicts = self.verdicts(group)
        outcome, progress = self.alpha * self.solved(group), verdicts[..., -1] - verdicts[..., 0]
        return {"outcome": outcome, "progress": progress}

    def unwhitened(self, group: Group) -> np.ndarray:
        """Return float (P, G, K + 1), one advantage per segment. Pure."""
        length = group.length_PG[..., None]
        edges = np.minimum(np.concatenate([group.probe_budgets_PGK, length], axis=-1), length)
        previous = np.concatenate([np.zeros_like(length), edges[..., :-1]], axis=-1)
        # a rollout with fewer steps than others repeats its last budget, which makes segments without tokens
        nonempty = (edges > previous) & self.mask(group)[..., None]
        return segments.normalise_together(self.progress(group), nonempty, std=self.std, eps=self.eps)
