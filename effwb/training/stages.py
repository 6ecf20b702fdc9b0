"""Training in several stages, each from the model that the previous one left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from effwb._internal.checked import Positive, Text, check_value, checked_arguments
from effwb.designs import Design, fit_design
from effwb.errors import ConfigError
from effwb.profiles import Profile, Training
from effwb.training.run import TrainResult, train

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset


@dataclass(frozen=True)
class Stage:
    """What is different in one stage.

    Attributes:
        name: The name of the stage, part of its directory.
        design: The design, by name or as an object.
        design_params: Parameters of a design given by name.
        max_tokens: The cap; None is the profile's.
        problems: Training problems; None for those of all stages.
        effort: Effort prompt; None for none.
        settings: Fields of `profiles.Training` that replace those of all stages.
        carry_state: Whether the design begins with the state that the previous stage left. That stage must
            have the same design, or one in `takes_state_of`.
    """

    name: str
    design: str | Design
    design_params: Mapping = field(default_factory=dict)
    max_tokens: int | None = None
    problems: Dataset | None = None
    effort: str | None = None
    settings: Mapping = field(default_factory=dict)
    carry_state: bool = False

    def __post_init__(self):
        check_value("name", self.name, Text)
        check_value("design", self.design, Text | Design)
        check_value("max_tokens", self.max_tokens, Positive | None)
        check_value("design_params", self.design_params, Mapping)
        check_value("settings", self.settings, Mapping)


@dataclass(frozen=True, eq=False)
class StagesResult:
    """The finished stages.

    Attributes:
        stages: Their names, in order.
        results: Their results, in order.
    """

    stages: tuple[str, ...]
    results: tuple[TrainResult, ...]

    @property
    def model(self) -> str:
        """The directory of the last stage's model."""
        return self.results[-1].model

    @property
    def metrics(self) -> pd.DataFrame:
        """The metrics of all stages, with steps counted on, and a column `stage` (from 0)."""
        import pandas as pd

        parts, offset = [], 0
        for number, result in enumerate(self.results):
            table = result.metrics
            parts.append(table.assign(step=table["step"] + offset, stage=number))
            offset += int(table["step"].max())
        return pd.concat(parts, ignore_index=True)


@checked_arguments(stages=Sequence[Stage], profile=Profile)
def train_stages(
    stages: Sequence[Stage],
    problems: Dataset,
    model: str | None = None,
    *,
    run_dir: str | Path,
    profile: Profile,
    **common,
) -> StagesResult:
    """Train several stages one after the other, each in `run_dir/<number>-<name>`.

    Resumes like `train`: finished stages are read back, a killed one continues.

    Args:
        stages: The stages, in order.
        problems: Training problems of stages that have none of their own.
        model: The starting model of the first stage; None is the profile's.
        run_dir: Directory of all stages.
        profile: The profile of all stages.
        **common: Further arguments of `train` for all stages, training settings included.

    Returns:
        The results of the stages.

    Raises:
        ConfigError: If names repeat, or the first stage has `carry_state`.
        EffwbError: What `train` raises.
    """
    names = [stage.name for stage in stages]
    if not stages or len(set(names)) < len(names):
        raise ConfigError(f"give at least one stage, and a different name to each; got {names}")
    if stages[0].carry_state:
        raise ConfigError(f"stage {names[0]!r} has carry_state=True, but no stage comes before it")
    for stage in stages:  # before the first one is trained
        settings = {**common, **stage.settings}
        profile.training.override(**{k: v for k, v in settings.items() if k in Training.model_fields})
        if isinstance(stage.design, str):
            fit_design(stage.design, stage.max_tokens or profile.max_tokens, **stage.design_params)
    results: list[TrainResult] = []
    for number, stage in enumerate(stages):
        result = train(
            stage.design,
            problems if stage.problems is None else stage.problems,
            results[-1].model if results else model,
            run_dir=Path(run_dir) / f"{number}-{stage.name}",
            profile=profile,
            design_params=stage.design_params or None,
            max_tokens=stage.max_tokens,
            effort=stage.effort,
            state=results[-1].state if stage.carry_state else None,
            **{**common, **stage.settings},
        )
        results.append(result)
    return StagesResult(tuple(names), tuple(results))
