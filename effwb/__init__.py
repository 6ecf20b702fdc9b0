"""effwb: how few tokens does a reasoning model need to be right, and which training makes it need fewer?

Everything that a notebook needs is offered here and imported on first use, so `import effwb` stays fast:

    measure   problems, open_sampler, rollouts, probes, evaluate -> BudgetCurve, Frontier, reg
    train     DESIGNS, Point, Study, train
    analyse   RunSet, explore
    draw      plots, export
    sweep     sweep

A `Study` holds one experiment (profile, problems, run directory); a `RunSet` holds finished runs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_NAMES = {  # name -> the module that defines it; a module stands for itself
    "BudgetCurve": "effwb.curves",
    "DESIGNS": "effwb.designs",
    "Design": "effwb.designs",
    "Evaluation": "effwb.evaluation",
    "Frontier": "effwb.frontier",
    "Group": "effwb.designs",
    "PROFILES": "effwb.profiles",
    "Point": "effwb.training",
    "Prompting": "effwb.prompts",
    "RunSet": "effwb.analysis",
    "Sampling": "effwb.profiles",
    "Study": "effwb.study",
    "evaluate": "effwb.evaluation",
    "explore": "effwb.analysis.explorer",
    "open_sampler": "effwb.samplers",
    "profile": "effwb.profiles",
    "reg": "effwb.frontier",
    "run_points": "effwb.study",
    "train": "effwb.training",
    "verify": "effwb.verifiers",
}
_MODULES = (
    *("analysis", "budgets", "curves", "designs", "errors", "evaluation", "export", "frontier", "metrics"),
    *("models", "notebook", "plots", "pocket", "probes", "problems", "profiles", "prompts", "rollouts"),
    *("recipes", "runs", "samplers", "study", "sweep", "training", "verifiers"),
)
_MOVED = {  # names of version 0.1, for the error message
    "explorer": "effwb.analysis.explorer",
    "store": "effwb.analysis (RunSet)",
    "reading": "effwb.analysis.rollout_view",
    "report": "effwb.analysis.html_report",
    "papers": "effwb.analysis.papers",
    "published": "effwb.analysis.published",
    "modes": "effwb.analysis.thinking_modes",
    "hints": "effwb.analysis.stated_lengths",
    "side_by_side": "effwb.analysis.comparison",
    "tables": "effwb.export.text_tables",
    "estimate": "effwb.sweep.estimate",
    "doctor": "effwb.cli.doctor",
    "grading": "effwb.verifiers.grading",
    "paths": "effwb._internal.paths",
}

if TYPE_CHECKING:  # what the lazy names are, for type checkers and editors
    from effwb.analysis import RunSet
    from effwb.analysis.explorer import explore
    from effwb.curves import BudgetCurve
    from effwb.designs import DESIGNS, Design, Group
    from effwb.evaluation import Evaluation, evaluate
    from effwb.frontier import Frontier, reg
    from effwb.profiles import PROFILES, Sampling, profile
    from effwb.prompts import Prompting
    from effwb.samplers import open_sampler
    from effwb.study import Study, run_points
    from effwb.training import Point, train
    from effwb.verifiers import verify

__all__ = [
    "PROFILES",
    "BudgetCurve",
    "DESIGNS",
    "Design",
    "Evaluation",
    "Frontier",
    "Group",
    "Point",
    "Prompting",
    "RunSet",
    "Sampling",
    "Study",
    "evaluate",
    "explore",
    "open_sampler",
    "profile",
    "reg",
    "run_points",
    "train",
    "verify",
    *_MODULES,
]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(import_module(_NAMES[name]), name)
    elif name in _MODULES:
        value = import_module(f"effwb.{name}")
    else:
        if name in _MOVED:  # an ImportError, because `from effwb import ...` hides any other message
            raise ImportError(f"effwb.{name} is now {_MOVED[name]}")
        raise AttributeError(f"module 'effwb' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
