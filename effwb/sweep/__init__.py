"""Sweeps: run a notebook on a grid of parameters, several points at a time, and collect one DataFrame.

A sweep that was killed continues when it is called again.
"""

from effwb.sweep.grid import run, table
from effwb.sweep.parameters import read_file

__all__ = ["read_file", "run", "table"]
