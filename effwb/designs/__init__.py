"""Length-aware training designs: one small picklable class per paper.

A design turns the rollouts of a step (`Group`) into rewards and advantages. `DESIGNS` lists all of them by
name; `effwb.designs.base` shows how to write your own.

Every design names its paper. SECONDARY SOURCE marks what comes from descriptions of a paper by others and
was not checked against the paper or its code.
"""

from typing import Any

from effwb.designs.adapt_think import AdaptThink
from effwb.designs.alp import Alp
from effwb.designs.base import Design, design
from effwb.designs.brpo import Brpo
from effwb.designs.cosine import Cosine
from effwb.designs.dler import Dler
from effwb.designs.gdpo import Gdpo
from effwb.designs.gfpo import Gfpo
from effwb.designs.gr3 import Gr3
from effwb.designs.group import Group, toy_group
from effwb.designs.grpo_lambda import GrpoLambda
from effwb.designs.grpo_lead import GrpoLead
from effwb.designs.hapo import Hapo
from effwb.designs.hgpo import Hgpo
from effwb.designs.kimi import Kimi
from effwb.designs.l1 import L1Exact, L1Max
from effwb.designs.lapo import LapoDiscovery, LapoInternalization
from effwb.designs.laser import Laser, LaserD, LaserDE
from effwb.designs.lead import Lead
from effwb.designs.length_group_norm import LengthGroupNorm
from effwb.designs.length_harmonizing import LengthHarmonizing
from effwb.designs.mrt import Mrt
from effwb.designs.reference import reference_table
from effwb.designs.reo_rl import ReoRl, question_budgets
from effwb.designs.shorter_better import ShorterBetter
from effwb.designs.soft_overlong import SoftOverlong
from effwb.designs.think_prune import ThinkPrune
from effwb.designs.thinkless import Thinkless
from effwb.designs.token_budget import TokenBudget
from effwb.designs.truncation import Truncation
from effwb.designs.vanilla import Vanilla
from effwb.errors import ConfigError, one_of

DESIGNS: dict[str, type[Design]] = {
    "vanilla": Vanilla,
    "truncation": Truncation,
    "token_budget": TokenBudget,
    "length_group_norm": LengthGroupNorm,
    "length_harmonizing": LengthHarmonizing,
    "kimi": Kimi,
    "soft_overlong": SoftOverlong,
    "cosine": Cosine,
    "shorter_better": ShorterBetter,
    "l1_exact": L1Exact,
    "l1_max": L1Max,
    "alp": Alp,
    "hapo": Hapo,
    "gr3": Gr3,
    "grpo_lead": GrpoLead,
    "lapo_discovery": LapoDiscovery,
    "lapo_internalization": LapoInternalization,
    "laser": Laser,
    "laser_d": LaserD,
    "laser_de": LaserDE,
    "dler": Dler,
    "gdpo": Gdpo,
    "gfpo": Gfpo,
    "lead": Lead,
    "think_prune": ThinkPrune,
    "reo_rl": ReoRl,
    "mrt": Mrt,
    "brpo": Brpo,
    "hgpo": Hgpo,
    "adapt_think": AdaptThink,
    "thinkless": Thinkless,
    "grpo_lambda": GrpoLambda,
}

__all__ = [
    "DESIGNS",
    "Design",
    "Group",
    "design",
    "fit_design",
    "make_design",
    "question_budgets",
    "reference_table",
    "toy_group",
]


def make_design(name: str, **params: Any) -> Design:
    """Return a design with its paper's defaults, for a run with the paper's cap.

    Args:
        name: A name in `DESIGNS`.
        **params: Parameters of the design that differ from the paper's.

    Raises:
        ConfigError: The name is unknown (the message lists the legal ones), or a parameter is not legal.

    >>> make_design("kimi", weight=0.2).weight
    0.2
    """
    one_of("design", name, DESIGNS)
    return DESIGNS[name](**params)


def fit_design(name: str, cap: int, **params: Any) -> Design:
    """Return a design with its paper's defaults scaled to the cap of a run.

    Args:
        name: A name in `DESIGNS`.
        cap: The cap of the run in tokens.
        **params: Parameters of the design that differ from the paper's. Values in tokens (or per token) are
            meant at `cap` and are not scaled.

    Raises:
        ConfigError: The name is unknown, a parameter is not legal, or `cap` is among `params`.

    >>> fit_design("truncation", 512).target, fit_design("truncation", 512, target=200).target
    (125.0, 200)
    """
    one_of("design", name, DESIGNS)
    if "cap" in params:
        raise ConfigError(f"{name}: pass the run's cap once, as fit_design({name!r}, {cap}, ...)")
    cls = DESIGNS[name]
    if cls.PAPER_CAP is None:
        return cls(**params, cap=cap)
    return cls(**{**cls().at_scale(cap).parameters(), **params})
