"""One experiment: `Study`, and `run_points`, which it trains and evaluates with."""

from effwb.study.run import run_points
from effwb.study.study import Study

__all__ = ["Study", "run_points"]
