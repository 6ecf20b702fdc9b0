"""`run_points`: train points under several seeds and evaluate each model."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from effwb._internal.checked import checked_arguments
from effwb._internal.interrupts import brief_interrupts, resumable
from effwb._internal.progress import duration, labelled, notebook_line
from effwb.analysis.finished import BASE, EVALUATION, describe_run
from effwb.analysis.run_set import RunSet
from effwb.errors import ConfigError, one_of
from effwb.evaluation import evaluate
from effwb.profiles import Profile
from effwb.samplers import SAMPLERS, open_sampler
from effwb.training.checks import check_machine, check_report_to
from effwb.training.fine_tuning import OfflineResult
from effwb.training.offline import is_offline, train_offline
from effwb.training.points import Point, run_name, short_value
from effwb.training.run import TrainResult, train
from effwb.training.settings import RecipeChoice, check_point, check_training, overrides, takes_state
from effwb.training.two_modes import WarmStart

if TYPE_CHECKING:
    from datasets import Dataset

Points = Sequence[Point] | Mapping[str, Point]
POINTS = Annotated[Sequence[Point], Field(min_length=1)] | Annotated[Mapping[str, Point], Field(min_length=1)]


@checked_arguments(points=Sequence[Point] | Mapping[str, Point], profile=Profile)
@brief_interrupts(resumable)
def run_points(
    points: Points,
    train_problems: Dataset,
    eval_problems: Dataset,
    profile: Profile,
    *,
    run_root: str | Path,
    seeds: Sequence[int] = (0,),
    base: bool = True,
    model: str | None = None,
    eval_engine: str | None = None,
    recipe: RecipeChoice = None,
    caller_settings: Mapping[str, Any] | None = None,
    reference: Mapping | None = None,
    monitor: Dataset | None = None,
    report_to: Sequence[str] = (),
    watch: str = "auto",
) -> RunSet:
    """Train every point under every seed, and evaluate each model at the budgets of `profile`.

    Call it again after a kill: it continues. What a point comes `after` is trained once, and evaluated only
    where it is a point itself.

    Args:
        points: The points; a list goes by their own names, a mapping gives other ones.
        train_problems: Problems to train on.
        eval_problems: Problems to evaluate on.
        profile: The scale; `profile.training` are the training settings.
        run_root: A run lies in `run_root/<name>-seed<seed>`, its evaluation in `eval` below.
        seeds: One run of each point per seed.
        base: Evaluate the starting model as well, as the method "base".
        model: Model to start from; default: the profile's.
        eval_engine: Engine of the evaluations and of the pools of offline methods; default: the profile's.
        recipe: See `train`.
        caller_settings: What wins over the recipe: fields of `profiles.Training`, and `max_tokens`.
        reference: See `train`.
        monitor: See `train`.
        report_to: See `train`.
        watch: See `train`.

    Returns:
        The runs in order: the base under each seed, then each point under each seed.

    Raises:
        ConfigError: Two points have the same name, a point is called "base", or `train` would refuse a point.
    """
    named = dict(points) if isinstance(points, Mapping) else {point.name: point for point in points}
    if len(named) < len(points):
        raise ConfigError("two points have the same name; give a mapping with a name for each")
    if BASE in named:
        raise ConfigError(f"a point cannot be called {BASE!r}: that is the model all start from")
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds must differ, got {list(seeds)}")
    one_of("eval_engine", eval_engine, [*SAMPLERS, None])
    settings: dict[str, Any] = dict(profile=profile, recipe=recipe, caller_settings=caller_settings or {})
    root, folders = Path(run_root), []
    for name, point in named.items():  # all that train refuses, before the first one is trained
        run = check_point(point, model=model, **settings)
        check_training(point, train_problems, reference, monitor, model=model, **settings)
        if not all((root / run_name(name, seed) / "train" / "DONE").exists() for seed in seeds):
            check_report_to(report_to)
            check_machine(run.machine)
    shown = dict(report_to=report_to, watch=watch)
    data = dict(reference=reference, monitor=monitor, pool_engine=eval_engine)
    options: dict[str, Any] = {**settings, **data, **shown}

    def measure(model: str, name: str, seed: int, **design: Any) -> None:
        folder = root / run_name(name, seed) / EVALUATION
        describe_run(folder, {"method": name, "seed": seed, **design})
        with open_sampler(model, eval_engine or profile.engine, **profile.sampler_options) as sampler:
            names: dict[str, Any] = dict(name=name, seed=seed, progress=watch != "none")
            evaluate(eval_problems, sampler, profile, run_dir=folder, **names)
        folders.append(folder)

    order = [(name, seed) for name in ([BASE] if base else []) + list(named) for seed in seeds]
    with notebook_line() as line:
        start = time.monotonic()
        for number, (name, seed) in enumerate(order, 1):
            with labelled(f"run {number} of {len(order)}: {name}, seed {seed}"):
                if name == BASE:
                    measure(model or profile.model, BASE, seed)
                    continue
                point = named[name]
                params, after = _plain(point.params), point.after.name if point.after else None
                result = _train_point(name, named, train_problems, root, seed, model=model, **options)
                measure(result.model, name, seed, design=point.design, params=params, after=after)
        if line is not None and watch != "none":
            line.show(f"{len(order)} runs done in {duration(time.monotonic() - start)}")
    return RunSet.of(root, folders)


def _plain(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as config.json holds them: a frontier, curve or long table by its short name."""
    plain = bool | int | float | str | list | tuple | None
    return {name: value if isinstance(value, plain) else short_value(value) for name, value in params.items()}


def _train_point(
    name: str,
    points: Mapping[str, Point],
    train_problems: Dataset,
    root: Path,
    seed: int,
    *,
    caller_settings: Mapping[str, Any],
    pool_engine: str | None = None,
    **options: Any,
) -> TrainResult | OfflineResult:
    """Train one point under a seed, or read it back; the point that it comes after is trained first."""
    point = points[name]
    wanted: dict[str, Any] = dict(caller_settings=caller_settings, pool_engine=pool_engine, **options)
    options |= starting_model(point, points, train_problems, root, seed, **wanted)
    run_dir = root / run_name(name, seed)
    if is_offline(point.design):
        own = {key: value for key, value in options.items() if key not in ("reference", "monitor")}
        own |= dict(caller_settings=caller_settings, engine=pool_engine, seed=seed)
        return train_offline(point, train_problems, run_dir=run_dir, **own)
    wins = overrides(point, caller_settings)
    return train(
        point.design,
        train_problems,
        run_dir=run_dir,
        design_params=point.params or None,
        max_tokens=wins["max_tokens"],
        seed=seed,
        **options,
        **wins["training"],
    )


def starting_model(
    point: Point,
    points: Mapping[str, Point],
    train_problems: Dataset,
    root: Path,
    seed: int,
    *,
    profile: Profile,
    **options: Any,
) -> dict[str, Any]:
    """Train what a point comes after, or read it back.

    Args:
        point: The point.
        points: The points of the experiment by name: one of them keeps its name, any other has its own.
        train_problems: Problems to train on.
        root: Directory of the runs.
        seed: Seed of the run.
        profile: The profile.
        **options: Further options of `run_points` that every training has.

    Returns:
        `model` and, where the point takes it over, `state`, as `train` takes them; {} for a point that comes
        after nothing.
    """
    after = point.after
    if after is None:
        return {}
    if isinstance(after, WarmStart):
        where: dict[str, Any] = dict(run_dir=root / run_name(after.name, seed), model=options.get("model"))
        where |= dict(seed=seed, engine=options.get("pool_engine"), watch=options.get("watch", "auto"))
        with labelled("first a warm start"):
            return {"model": after.train(profile, train_problems, **where)}
    name = next((other for other in points if points[other] == after), after.name)
    known = {**points, name: after}
    with labelled(f"first {name}"):
        before = _train_point(name, known, train_problems, root, seed, profile=profile, **options)
    return {"model": before.model, **({"state": before.state} if takes_state(point) else {})}
