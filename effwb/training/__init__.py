"""Training: GRPO with TRL under any design, in one stage or several."""

from effwb.training.points import (
    Point,
    Trained,
    aes_table,
    effects,
    frontier_of,
    frozen_reference,
    level_table,
    load_train_and_eval,
    over_seeds,
    reg_table,
    run_name,
    run_points,
    table,
)
from effwb.training.preview import group_of, preview, reference_statistics, score, spread
from effwb.training.record import read_metrics
from effwb.training.run import TrainResult, train
from effwb.training.sft import sft_warm_start
from effwb.training.stages import Stage, StagesResult, train_stages

__all__ = [
    "Point",
    "Stage",
    "StagesResult",
    "TrainResult",
    "Trained",
    "aes_table",
    "effects",
    "frontier_of",
    "frozen_reference",
    "group_of",
    "level_table",
    "load_train_and_eval",
    "over_seeds",
    "preview",
    "read_metrics",
    "reference_statistics",
    "reg_table",
    "run_name",
    "run_points",
    "score",
    "sft_warm_start",
    "spread",
    "table",
    "train",
    "train_stages",
]
