"""Length-aware training designs: one small class per paper.

A design turns the rollouts of a step (`Group`) into rewards and advantages. `DESIGNS` lists all of them by
name; `effwb.designs.base` shows how to write your own.

Every design names its paper. SECONDARY SOURCE marks what comes from descriptions of a paper by others and
was not checked against the paper or its code.
"""

from collections.abc import Mapping
from typing import Any

from effwb.designs.adapt_think import AdaptThink
from effwb.designs.alp import Alp
from effwb.designs.base import Design, design
from effwb.designs.brpo import Brpo
from effwb.designs.cosine import Cosine
from effwb.designs.decorator import EFFWB_NAMES
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
from effwb.designs.lookup import (
    as_plain,
    check_travels,
    design_class,
    from_plain,
    name_of,
    short_name,
)
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
from effwb.errors import ConfigError

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

EFFWB_NAMES.update(DESIGNS)

__all__ = [
    "DESIGNS",
    "Design",
    "Group",
    "design",
    "design_name",
    "find_design",
    "fit_design",
    "make_design",
    "question_budgets",
    "read_design",
    "reference_table",
    "refuse_unshared",
    "toy_group",
    "write_design",
]


def find_design(name: str) -> type[Design]:
    """Return the class of a design.

    Args:
        name: A name in `DESIGNS`, the NAME of a class of your own under `@design`, or "package.module:Class".

    Raises:
        ConfigError: There is no such design.

    >>> find_design("effwb.designs.kimi:Kimi") is find_design("kimi")
    True
    """
    return design_class(name, DESIGNS)


def design_name(design: str | Design | type[Design]) -> str | Design:
    """Return the name of a class of designs; a name or a `Design` is returned as it is.

    Args:
        design: A name, a `Design`, or a class of effwb's or of your own.

    Raises:
        ConfigError: The class is no design, or lacks `@design`.

    >>> design_name(Kimi), design_name("kimi")
    ('kimi', 'kimi')
    """
    return short_name(design, DESIGNS)


def refuse_unshared(name: str) -> None:
    """Refuse the name of a design that other processes, such as those of a sweep, do not find.

    Args:
        name: As in `find_design`.

    Raises:
        ConfigError: The class stands in a cell of a notebook, or goes by another name elsewhere.
    """
    check_travels(name, DESIGNS)


def write_design(design: Design) -> dict[str, Any]:
    """Return a design as JSON can hold it: its name and all its parameters, without its state.

    Raises:
        ConfigError: Other processes cannot import the class, or a parameter is not plain data.

    >>> read_design(write_design(Kimi(weight=0.25))).weight
    0.25
    """
    return {"name": name_of(type(design), DESIGNS), "parameters": as_plain(design.parameters())}


def read_design(written: Mapping[str, Any]) -> Design:
    """Return a design with a fresh state from what `write_design` returned.

    Raises:
        ConfigError: The design or a parameter is unknown, or a value is not legal.
    """
    if set(written) != {"name", "parameters"} or not isinstance(written["parameters"], dict):
        raise ConfigError(f"a design is a name, or a table with name and parameters; got {dict(written)!r}")
    return find_design(str(written["name"]))(**from_plain(written["parameters"]))


def make_design(name: str, **params: Any) -> Design:
    """Return a design with its paper's defaults, for a run with the paper's cap.

    Args:
        name: A name in `DESIGNS`, or "package.module:Class".
        **params: Parameters of the design that differ from the paper's.

    Raises:
        ConfigError: The name is unknown (the message lists the legal ones), or a parameter is not legal.

    >>> make_design("kimi", weight=0.2).weight
    0.2
    """
    return find_design(name)(**params)


def fit_design(name: str, cap: int, **params: Any) -> Design:
    """Return a design with its paper's defaults scaled to the cap of a run.

    Args:
        name: A name in `DESIGNS`, or "package.module:Class".
        cap: The cap of the run in tokens.
        **params: Parameters of the design that differ from the paper's. Values in tokens (or per token) are
            meant at `cap` and are not scaled.

    Raises:
        ConfigError: The name is unknown, a parameter is not legal, or `cap` is among `params`.

    >>> fit_design("truncation", 512).target, fit_design("truncation", 512, target=200).target
    (125.0, 200)
    """
    cls = find_design(name)
    if "cap" in params:
        raise ConfigError(f"{name}: pass the run's cap once, as fit_design({name!r}, {cap}, ...)")
    if cls.PAPER_CAP is None:
        return cls(**params, cap=cap)
    return cls(**{**cls().at_scale(cap).parameters(), **params})
