"""Where the files that ship beside the package are: a checkout and an editable install share one layout."""

import os
from pathlib import Path

from effwb.errors import ConfigError


def repo_root() -> Path:
    """Root of the checkout: the directory that holds the package `effwb/`, `data/` and `figures/`."""
    return Path(__file__).resolve().parents[2]


def data_dir(*parts: str) -> Path:
    """Path of `data/` (or of `data/<parts>`), which must exist.

    The environment variable EFFWB_DATA overrides the `data/` of the checkout. Raises ConfigError when the
    directory, or the named part of it, is missing: a plain wheel carries no data.
    """
    override = os.environ.get("EFFWB_DATA")
    base = Path(override).expanduser() if override else repo_root() / "data"
    path = base.joinpath(*parts)
    if not path.exists():
        where = "EFFWB_DATA points there" if override else "expected beside the package"
        raise ConfigError(
            f"no {path} ({where}); install from a checkout (pip install -e .) or set EFFWB_DATA to its data/"
        )
    return path
