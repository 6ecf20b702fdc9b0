"""Sweeps: a grid of papermill runs that survives kills, several at a time, collected into one DataFrame."""

from effwb.sweep.grid import run, table
from effwb.sweep.plan import read_file

__all__ = ["read_file", "run", "table"]
