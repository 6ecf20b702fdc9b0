"""The command `effwb`."""

from effwb.cli.main import main

__all__ = ["main"]
