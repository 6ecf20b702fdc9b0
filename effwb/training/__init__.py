"""Training: GRPO with TRL under any design, in one stage or several."""

from effwb.training.points import (
    Point,
    Start,
    frozen_reference,
    load_train_and_eval,
    run_name,
    starting_point,
)
from effwb.training.preview import group_of, preview, reference_statistics, score, spread
from effwb.training.record import read_metrics
from effwb.training.run import TrainResult, train
from effwb.training.stages import Stage, StagesResult, train_stages
from effwb.training.stored_rollouts import dpo, o1_pruner, sft, simpo
from effwb.training.two_modes import WarmStart, sft_warm_start

_MOVED = {
    "Trained": "effwb.analysis.RunAnalysis",
    "aes_table": "RunSet.aes, or effwb.analysis.aes_table",
    "effects": "RunSet.effects, or effwb.analysis.effects",
    "frontier_of": "RunSet.frontier",
    "level_table": "RunSet.by_level, or effwb.analysis.level_table",
    "over_seeds": "effwb.analysis.over_seeds",
    "problem_sets": "effwb.training.load_train_and_eval",
    "reference_of": "effwb.training.reference_statistics",
    "reg_table": "RunSet.reg",
    "run_points": "effwb.study.run_points, or Study.train",
    "table": "RunSet.table",
    "warm_start": "effwb.training.sft_warm_start",
}

__all__ = [
    "Point",
    "Stage",
    "StagesResult",
    "Start",
    "TrainResult",
    "WarmStart",
    "dpo",
    "frozen_reference",
    "group_of",
    "load_train_and_eval",
    "o1_pruner",
    "preview",
    "read_metrics",
    "reference_statistics",
    "run_name",
    "score",
    "sft",
    "sft_warm_start",
    "simpo",
    "spread",
    "starting_point",
    "train",
    "train_stages",
]


def __getattr__(name: str) -> object:
    if name in _MOVED:  # an ImportError, because `from effwb.training import ...` hides any other message
        raise ImportError(f"effwb.training.{name} is now {_MOVED[name]}")
    raise AttributeError(f"module 'effwb.training' has no attribute {name!r}")
