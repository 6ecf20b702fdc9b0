"""Two ways to begin a completion: with reasoning, or with the tag that closes an empty one.

The prompt has opened the thinking, so the first token of a completion is the choice: the closing tag means
no thinking, any other token means thinking. `Group.empty_PG` says which it was. A design may force the
choice (`openings`) and may treat that one token differently from all others (`edges`).
"""

from typing import ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group
from effwb.errors import ConfigError

THINK, EMPTY = "think", "empty"


@design
class TwoModes(Design):
    """Base of the designs that teach a model when to think."""

    modes: ClassVar[bool] = True


def behind_first(group: Group) -> np.ndarray:
    """Edges, int (P, G, 1), of advantages that differ between the first token and all others."""
    return np.ones((group.P, group.G, 1), dtype=int)


def half_and_half(name: str, G: int) -> list[str]:
    """The first half of a group thinks, the second does not; ConfigError for an odd group."""
    if G % 2:
        raise ConfigError(f"{name} forces half of a group into each mode: group_size={G} must be even")
    return [THINK] * (G // 2) + [EMPTY] * (G // 2)


def require_modes(group: Group, design: str) -> np.ndarray:
    """`empty_PG`; raises ConfigError where nobody said how the rollouts begin."""
    if group.empty_PG is None:
        raise ConfigError(f"{design} rewards the choice to think: give Group(empty_PG=...)")
    return group.empty_PG
