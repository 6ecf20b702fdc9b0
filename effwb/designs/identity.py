"""What identifies a design in config.json: name, parameters, state, and the source of a user's own class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from effwb.designs import Design, find_design
from effwb.designs.decorator import EFFWB_NAMES, is_design
from effwb.designs.source import source_digest
from effwb.errors import IdentityError
from effwb.runs import digest

SOURCE = "design_source"  # key of the digest of a class; only runs of a user's own design have it


def design_identity(design: Design) -> dict[str, Any]:
    """Return the part of a training's identity that is about its design.

    Args:
        design: The design. Parameters that it did not always have are left out while they do nothing new.

    Returns:
        design, design_state and, for a class that is not effwb's, design_source.
    """
    parameters = without_added(design.parameters(), design.ADDED_PARAMETERS)
    identity = {
        "design": {"name": design.NAME, **_plain(parameters)},
        "design_state": digest(design.state()),
    }
    return {**identity, **source_identity(type(design))}


def without_added(values: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values without those that do what a run did before they existed.

    Args:
        values: Parameters of a design, or settings of a training.
        added: What stands for the old behaviour, by name.
    """
    return {name: value for name, value in values.items() if name not in added or value != added[name]}


def source_identity(design: Any) -> dict[str, str]:
    """Return the digest of a class under its key in an identity; {} for a design of effwb.

    Args:
        design: A class of designs, or a name for `find_design`; {} for anything else.
    """
    cls = find_design(design) if isinstance(design, str) else design
    source = source_digest(cls) if is_design(cls) else None
    return {} if source is None else {SOURCE: source}


def same_source(
    stored: Mapping[str, Any], identity: Mapping[str, Any], name: str, where: Path
) -> dict[str, Any]:
    """Refuse results of another version of a design's class.

    Args:
        stored: The identity on disk; {} if there is none.
        identity: The identity to be compared with it.
        name: Name of the design.
        where: What the identity on disk belongs to.

    Returns:
        The identity; without the digest where the results are of an effwb that did not record one.

    Raises:
        IdentityError: The digests differ.
    """
    old, new = stored.get(SOURCE), identity.get(SOURCE)
    if old and new and old != new:
        raise IdentityError(
            f"{where} belongs to another version of design {name!r}: its class has changed. For the new "
            f"version use another directory (run_root or run_dir), or delete {where}; nothing was changed"
        )
    is_older = bool(stored) and old is None
    if is_older and new and name in EFFWB_NAMES:
        raise IdentityError(
            f"{where} belongs to effwb's design {name!r}, not to your class with its name; give the class a "
            "NAME of its own, or use another directory; nothing was changed"
        )
    return {key: value for key, value in identity.items() if not (is_older and key == SOURCE)}


def _plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as JSON can hold them; tables and frontiers as a hash of their content."""
    values = {}
    for name, value in parameters.items():
        if hasattr(value, "budgets") and hasattr(value, "accuracy"):
            value = digest([np.asarray(value.budgets).tolist(), np.asarray(value.accuracy).tolist()])
        values[name] = digest(dict(value)) if isinstance(value, Mapping) else value
    return values
