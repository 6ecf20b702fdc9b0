"""A plan of several stages, each from the model that the one before it left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from effwb.designs import Design
from effwb.errors import ConfigError
from effwb.profiles import Profile
from effwb.training.run import TrainResult, train


@dataclass(frozen=True)
class Stage:
    """What differs in one stage; None and {} leave it as the plan has it.

    `settings` are fields of `profiles.Training`. `carry_state`: the design begins with the state that the
    stage before left, which must be of the same design or of one in its `takes_state_of`.
    """

    name: str
    design: str | Design
    design_params: Mapping = field(default_factory=dict)
    max_tokens: int | None = None
    problems: object = None
    effort: str | None = None
    settings: Mapping = field(default_factory=dict)
    carry_state: bool = False


@dataclass(frozen=True, eq=False)
class StagesResult:
    """The results of the stages, in order."""

    stages: tuple[str, ...]
    results: tuple[TrainResult, ...]

    @property
    def model(self) -> str:
        return self.results[-1].model

    @property
    def metrics(self):
        """All steps, numbered on from stage to stage, with a column `stage` (from 0)."""
        import pandas as pd

        parts, before = [], 0
        for number, result in enumerate(self.results):
            table = result.metrics
            parts.append(table.assign(step=table["step"] + before, stage=number))
            before += int(table["step"].max())
        return pd.concat(parts, ignore_index=True)


def train_stages(
    stages: Sequence[Stage],
    problems,
    model: str | None = None,
    *,
    run_dir: str | Path,
    profile: Profile,
    **common,
) -> StagesResult:
    """Run the stages one after the other, each in `run_dir/<number>-<name>`; `common` goes to every `train`.

    Resumes like `train`: finished stages are read back, the one that was killed continues.
    """
    names = [stage.name for stage in stages]
    if not stages or len(set(names)) < len(names):
        raise ConfigError(f"a plan needs stages with different names, got {names}")
    results: list[TrainResult] = []
    for number, stage in enumerate(stages):
        previous = results[-1] if results else None
        if stage.carry_state and previous is None:
            raise ConfigError(f"stage {stage.name!r} cannot carry a state: it is the first")
        result = train(
            stage.design,
            problems if stage.problems is None else stage.problems,
            previous.model if previous else model,
            run_dir=Path(run_dir) / f"{number}-{stage.name}",
            profile=profile,
            design_params=stage.design_params or None,
            max_tokens=stage.max_tokens,
            effort=stage.effort,
            state=previous.state if stage.carry_state else None,
            **{**common, **stage.settings},
        )
        results.append(result)
    return StagesResult(tuple(names), tuple(results))
