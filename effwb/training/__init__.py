"""Training: GRPO with TRL under any design, in one stage or several."""

from effwb.training.compare import Point, Trained, effects, over_seeds, run_name, run_points, table
from effwb.training.preview import group_of, preview, reference_of, score, spread
from effwb.training.record import read_metrics
from effwb.training.run import TrainResult, train
from effwb.training.stages import PlanResult, Stage, train_stages

__all__ = [
    "PlanResult",
    "Point",
    "Stage",
    "TrainResult",
    "Trained",
    "effects",
    "group_of",
    "over_seeds",
    "preview",
    "read_metrics",
    "reference_of",
    "run_name",
    "run_points",
    "score",
    "spread",
    "table",
    "train",
    "train_stages",
]
