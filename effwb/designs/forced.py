"""Shared parts of the designs that reward forced answers (REO-RL, BRPO, MRT)."""

from typing import Any, ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group
from effwb.errors import ConfigError, one_of

AT_CAP = ("forced", "own")


@design
class ForcedAnswers(Design):
    """Base class of the designs that stop rollouts at budgets and reward their answers there.

    Args:
        at_cap: The verdict at the cap of a rollout that was truncated there. "forced" (default): the verdict
            on the answer that it is forced to give, as at every other budget. "own": it is wrong, since it
            gave no answer. A finished rollout has its own verdict either way.
    """

    probes: ClassVar[bool] = True
    ADDED_PARAMETERS: ClassVar[dict[str, Any]] = {**Design.ADDED_PARAMETERS, "at_cap": "own"}

    at_cap: str = "forced"

    def check(self) -> None:
        one_of("at_cap", self.at_cap, AT_CAP)
        if self.truncated == "graded":
            raise ConfigError(
                f"{self.NAME}: truncated='graded' does not fit; use 'wrong' or 'masked', and say with at_cap "
                "whether a truncated rollout is judged by its forced answer ('forced') or is wrong ('own')"
            )

    @property
    def forces_at_cap(self) -> bool:
        return self.at_cap == "forced"

    def verdicts(self, group: Group) -> np.ndarray:
        """Return the verdicts at all budgets and at the cap.

        Returns:
            Float (P, G, K + 1), 0 or 1; the last one is the verdict at the cap, see `at_cap`.

        Raises:
            ConfigError: The group was not probed.
        """
        if group.probe_correct_PGK is None:
            raise ConfigError(
                f"{self.NAME} rewards forced answers: give Group(probe_budgets_K=..., probe_correct_PGK=...)"
            )
        at_cap = group.correct_PG if self.forces_at_cap else group.correct_PG & group.finished_PG
        return np.concatenate([group.probe_correct_PGK, at_cap[..., None]], axis=-1).astype(float)
