"""Offline methods as a whole: sample their pool, choose what is learned, train.

`offline_methods.OFFLINE_METHODS` lists them. A `Point` names one as it names a design, so `Study.train`,
`run_points` and `effwb train` take both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effwb._internal.checked import checked_arguments
from effwb.designs import DESIGNS, find_design
from effwb.errors import ConfigError, one_of
from effwb.profiles import Profile, Training
from effwb.recipes import RECIPES, Difference, OfflineTraining, offline_recipe
from effwb.recipes.choice import KINDS
from effwb.recipes.values import short_name
from effwb.training.fine_tuning import MACHINE, OfflineResult, split_batch
from effwb.training.offline_methods import OFFLINE_METHODS, OfflineMethod
from effwb.training.offline_pool import sample_pool
from effwb.training.points import Point
from effwb.training.pool import check_rollouts
from effwb.training.stored_rollouts import prepare, split_settings

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset


@dataclass(frozen=True)
class OfflineSettings:
    """What one training by an offline method is done with, as `RunSettings` is for a design.

    Attributes:
        design: The method.
        params: All parameters of its rule.
        training: Epochs, learning rate, batch and the parameters of the loss.
        machine: The training settings; those in `fine_tuning.MACHINE` are used.
        max_tokens: The cap of the pool's rollouts.
        model: The starting model, which also writes the pool.
        recipe: Kind of recipe: "paper" or "pocket".
    """

    design: OfflineMethod
    params: Mapping[str, Any]
    training: OfflineTraining
    machine: Training
    max_tokens: int
    model: str
    recipe: str

    def differences(self, problems: Dataset | None = None, template: str | None = None) -> list[Difference]:
        """What of the paper's experiment this training does not have.

        Args:
            problems: The training problems; None: they are not compared.
            template: Unused: the recipes of offline methods name none.
        """
        paper = offline_recipe(self.design.name, "paper", self.model)
        here = {**self.training.as_dict(), **self.params, "n_samples": self.design.n_samples}
        here |= {"max_tokens": self.max_tokens, "model": short_name(self.model)}
        here |= {name: getattr(self.machine, name) for name in ("temperature", "top_p")}
        if problems is not None:
            sources = ", ".join(sorted(set(map(short_name, problems["source"]))))
            here |= {"n_problems": len(problems), "train_source": sources}
        why, rows = "the pocket model's" if self.recipe == "pocket" else "set for this run", []
        for name, value in paper.stated().items():
            legal = [short_name(v) if isinstance(v, str) else v for v in _listed(value)]
            if name in here and name not in {*paper.differs, *paper.open} and here[name] not in legal:
                rows.append(Difference(name, value, here[name], why))
        return [*rows, *paper.differs.values()]


def is_offline(name: str) -> bool:
    """Whether a name is that of an offline method, and not of a design.

    Raises:
        ConfigError: It is neither; the message lists both.
    """
    if name in OFFLINE_METHODS:
        return True
    try:
        find_design(name)
    except ConfigError:
        if ":" in name:  # a class of the caller's, which the message is about
            raise
        one_of("design", name, [*DESIGNS, *OFFLINE_METHODS])
    return False


def offline_settings(
    point: Point,
    profile: Profile,
    *,
    model: str | None = None,
    recipe: Any = None,
    caller_settings: Mapping[str, Any] | None = None,
) -> OfflineSettings:
    """Put the settings of an offline training together, and refuse what is not legal.

    Args:
        point: The point; its `training` may hold fields of `OfflineTraining` and of `fine_tuning.MACHINE`.
        profile: The profile.
        model: The starting model; None: the profile's.
        recipe: "paper" or "pocket"; anything else is meant for designs, and the profile's kind counts.
        caller_settings: Fields of `profiles.Training`, and `max_tokens`. Only `fine_tuning.MACHINE` is used:
            a learning rate, say, is that of GRPO.

    Raises:
        ConfigError: A name or a value is not legal.
    """
    one_of("offline method", point.design, OFFLINE_METHODS)
    method, caller = OFFLINE_METHODS[point.design], caller_settings or {}
    cap = point.max_tokens or caller.get("max_tokens") or profile.max_tokens
    if isinstance(recipe, str):
        one_of("recipe", recipe, (*KINDS, *RECIPES))
    kind = recipe if recipe in KINDS else profile.recipe
    own = {name: value for name, value in caller.items() if name in MACHINE}
    own_recipe = offline_recipe(point.design, kind, model or profile.model)
    machine = profile.training.override(**own)
    training, machine = split_settings(method.objective, own_recipe.training, machine, point.training)
    split_batch(training.batch_size, machine)
    params = {**method.parameters(), **own_recipe.params, **point.params}
    method.select(_made_up_pool(method, cap), max_tokens=cap, params=params)
    return OfflineSettings(method, params, training, machine, cap, model or profile.model, kind)


@checked_arguments(point=Point, profile=Profile)
def train_offline(
    point: Point,
    problems: Dataset,
    model: str | None = None,
    *,
    run_dir: str | Path,
    profile: Profile,
    recipe: Any = None,
    caller_settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    pool: pd.DataFrame | None = None,
    engine: str | None = None,
    watch: str = "auto",
    report_to: Sequence[str] = (),
) -> OfflineResult:
    """Train a model by an offline method: sample its pool, choose what is learned, train.

    A killed run continues, in its pool or after its last checkpoint; a finished run is read back. How many
    problems were left out, and why, is printed and stored in `run_dir/train/examples.json`.

    Args:
        point: The method with its parameters.
        problems: The training problems.
        model: The starting model; None is the profile's.
        run_dir: Directory of the run. Pools lie beside it, in `pool-...`.
        profile: The profile.
        recipe: As in `offline_settings`.
        caller_settings: As in `offline_settings`.
        seed: Seed of the order of the examples, and of rules that draw. All seeds have the same pool.
        pool: A rollout table to choose from (`offline_pool.read_pool`); None: it is sampled.
        engine: Engine that samples the pool; None: the profile's.
        watch: "auto" or "lines": lines of text; "none".
        report_to: Transformers' reporting integrations.

    Returns:
        The finished run.

    Raises:
        ConfigError: A name or a value is not legal, before anything is sampled.
        DataError: There is nothing to learn; the message has the counts.
        IdentityError: `run_dir` or the pool's directory holds another run.

    Example:
        train_offline(Point("simpo_dast"), problems, run_dir="runs/dast", profile=profile).model
    """
    chosen = offline_settings(point, profile, model=model, recipe=recipe, caller_settings=caller_settings)
    method, cap = chosen.design, chosen.max_tokens
    if pool is None:
        where: dict[str, Any] = dict(
            run_root=Path(run_dir).parent, model=model, max_tokens=cap, engine=engine
        )
        pool = sample_pool(point.design, problems, profile, progress=watch != "none", **where)
    check_rollouts(pool)
    selection = method.select(pool, max_tokens=cap, seed=seed, params=chosen.params)
    selection.check()
    run = prepare(
        method.objective,
        selection.with_tokens(pool),
        problems,
        model,
        settings={},
        selection=selection,
        base=chosen.training,
        design={"name": point.design, **chosen.params, "max_tokens": cap},
        run_dir=run_dir,
        profile=profile.override(training=chosen.machine),
        seed=seed,
        recipe=recipe_record(chosen, problems),
        **({"reading": chosen.params["reading"]} if method.objective == "o1_pruner" else {}),
    )
    return run.train(watch, report_to)


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


def recipe_record(chosen: OfflineSettings, problems: Dataset) -> dict[str, Any]:
    """What config.json says about the recipe, beside the identity, as for a design."""
    paper = offline_recipe(chosen.design.name, "paper", chosen.model)
    differences = {row.field: str(row) for row in chosen.differences(problems)}
    return {
        "kind": chosen.recipe,
        "paper": paper.paper,
        "differences": differences,
        "open": dict(paper.open),
    }


def _made_up_pool(method: OfflineMethod, cap: int) -> pd.DataFrame:
    """Invented rollouts, on which a rule refuses now what it would refuse after the sampling."""
    import pandas as pd

    verdicts = ("correct", "wrong", "correct", "wrong")
    rows = [
        {"problem_id": "a", "effort": effort, "sample": i, "length": min(cap, 1 + i), "verdict": verdict}
        for effort in method.efforts
        for i, verdict in enumerate(verdicts)
    ]
    return pd.DataFrame(rows).assign(finish_reason="stop")
