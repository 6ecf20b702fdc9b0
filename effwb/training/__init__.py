"""Training: GRPO with TRL under any design, in one stage or several."""

from effwb.training.compare import (
    Point,
    Trained,
    aes_table,
    effects,
    frontier_of,
    frozen_reference,
    level_table,
    over_seeds,
    problem_sets,
    reg_table,
    run_name,
    run_points,
    table,
)
from effwb.training.preview import group_of, preview, reference_of, score, spread
from effwb.training.record import read_metrics
from effwb.training.run import TrainResult, train
from effwb.training.stages import PlanResult, Stage, train_stages
from effwb.training.warm import warm_start

__all__ = [
    "PlanResult",
    "Point",
    "Stage",
    "TrainResult",
    "Trained",
    "aes_table",
    "effects",
    "frontier_of",
    "frozen_reference",
    "group_of",
    "level_table",
    "over_seeds",
    "preview",
    "problem_sets",
    "read_metrics",
    "reference_of",
    "reg_table",
    "run_name",
    "run_points",
    "score",
    "spread",
    "table",
    "train",
    "train_stages",
    "warm_start",
]
