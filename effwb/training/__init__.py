"""Training: GRPO with TRL under any design, in one stage or several."""

from effwb.training.preview import group_of, preview, reference_of, score, spread
from effwb.training.record import read_metrics
from effwb.training.run import TrainResult, train
from effwb.training.stages import PlanResult, Stage, train_stages

__all__ = [
    "PlanResult",
    "Stage",
    "TrainResult",
    "group_of",
    "preview",
    "read_metrics",
    "reference_of",
    "score",
    "spread",
    "train",
    "train_stages",
]
