"""Shared parts of the designs that teach a model when to think.

A completion can begin in two ways: with reasoning ("think"), or with the tag that closes the thinking at once
("empty"). The prompt has opened the thinking already, so the first token of the completion is the choice: the
closing tag means no thinking, any other token means thinking. `Group.empty_PG` says which it was. A design
may force the choice (`openings`) and may treat that one token differently from all others (`edges`).
"""

from typing import ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group
from effwb.errors import ConfigError


@design
class TwoModes(Design):
    """Base class of the designs that teach a model when to think."""

    modes: ClassVar[bool] = True


def after_first_token(group: Group) -> np.ndarray:
    """Edges, int (P, G, 1), of advantages that differ between the first token and all others."""
    return np.ones((group.P, group.G, 1), dtype=int)


def half_and_half(name: str, G: int) -> list[str]:
    """Return openings that make the first half of a group think and the second half not think.

    Args:
        name: Name of the design, for the error message.
        G: Number of rollouts per problem.

    Raises:
        ConfigError: G is odd.
    """
    if G % 2:
        raise ConfigError(f"{name} forces half of a group into each mode: group_size={G} must be even")
    return ["think"] * (G // 2) + ["empty"] * (G // 2)


def require_modes(group: Group, design: str) -> np.ndarray:
    """Return `empty_PG`, bool (P, G).

    Args:
        group: The rollouts of the step.
        design: Name of the design, for the error message.

    Raises:
        ConfigError: The group does not say how its rollouts begin.
    """
    if group.empty_PG is None:
        raise ConfigError(f"{design} rewards the choice to think: give Group(empty_PG=...)")
    return group.empty_PG
