"""Paths of the files that ship beside the package; a checkout and an editable install share one layout."""

import os
from pathlib import Path

from effwb.errors import ConfigError


def repo_root() -> Path:
    """Return the root of the checkout: the directory that holds `effwb/`, `data/` and `figures/`."""
    return Path(__file__).resolve().parents[2]


def data_dir(*parts: str) -> Path:
    """Return the path of `data/`, or of something in it, which must exist.

    Args:
        *parts: Names below `data/`.

    Raises:
        ConfigError: If it is missing. A plain wheel carries no data: install from a checkout, or set the
            environment variable EFFWB_DATA to another directory.
    """
    override = os.environ.get("EFFWB_DATA")
    base = Path(override).expanduser() if override else repo_root() / "data"
    path = base.joinpath(*parts)
    if not path.exists():
        reason = "EFFWB_DATA points there" if override else "expected beside the package"
        raise ConfigError(
            f"no {path} ({reason}); install from a checkout (pip install -e .) or set EFFWB_DATA to its data/"
        )
    return path
