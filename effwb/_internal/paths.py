"""Where the files that ship with effwb are, and which folder relative paths are taken from."""

import os
from pathlib import Path

from effwb.errors import ConfigError

PACKAGE = Path(__file__).resolve().parents[1]
SHIPPED = PACKAGE / "_shipped"  # in a wheel: data/ and notebooks/ as they are in the checkout (see setup.py)
MARKER = ".effwb.json"  # lies in a folder that `effwb init` has made


def checkout() -> Path | None:
    """Return the root of the checkout that the package runs from; None for an installed wheel."""
    root = PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "data" / "pocket").is_dir() else None


def shipped(*parts: str) -> Path:
    """Return the path of something that ships with effwb, in a checkout and in a wheel alike.

    Args:
        *parts: Names below the root of the checkout, such as "notebooks".
    """
    return (checkout() or SHIPPED).joinpath(*parts)


def data_dir(*parts: str) -> Path:
    """Return the path of `data/`, or of something in it, which must exist.

    Args:
        *parts: Names below `data/`.

    Raises:
        ConfigError: If it is missing.
    """
    override = os.environ.get("EFFWB_DATA")
    base = Path(override).expanduser() if override else shipped("data")
    path = base.joinpath(*parts)
    if not path.exists():
        fix = "set EFFWB_DATA to the data/ of a checkout, or unset it" if override else "install effwb again"
        raise ConfigError(f"no {path}, which ships with effwb; {fix}")
    return path


def work_root() -> Path:
    """Return the folder that relative paths of runs and figures are taken from.

    That is the nearest folder at or above the working directory that is the checkout or was made by
    `effwb init`; without any, the working directory itself.
    """
    here, root = Path.cwd().resolve(), checkout()
    projects = (f for f in (here, *here.parents) if f == root or (f / MARKER).is_file())
    return next(projects, here)
