"""Offline methods as a whole: sample their pool, choose what is learned, train.

`offline_methods.OFFLINE_METHODS` lists them. A `Point` names one as it names a design, so `Study.train`,
`run_points` and `effwb train` take both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effwb import models, prompts
from effwb._internal.checked import Text, checked_arguments
from effwb.designs import DESIGNS
from effwb.errors import ConfigError, one_of
from effwb.profiles import Profile, Training
from effwb.recipes.offline_training import OfflineTraining
from effwb.rollouts import sample
from effwb.runs import RunDir
from effwb.samplers import open_sampler
from effwb.training.fine_tuning import MACHINE, OfflineResult, split_batch
from effwb.training.offline_methods import OFFLINE_METHODS, OfflineMethod
from effwb.training.pairs import pooled
from effwb.training.points import Point
from effwb.training.pool import check_origin, check_rollouts
from effwb.training.stored_rollouts import prepare, split_settings

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

POINT_FIELDS = (*OfflineTraining.model_fields, *MACHINE)  # what `Point.training` may hold for an offline method


@dataclass(frozen=True)
class OfflineSettings:
    """What one training by an offline method is done with, as `RunSettings` is for a design.

    Attributes:
        method: The method.
        params: All parameters of its rule.
        training: Epochs, learning rate, batch and the parameters of the loss.
        machine: The training settings; those in `fine_tuning.MACHINE` are used.
        max_tokens: The cap of the pool's rollouts.
        model: The starting model, which also writes the pool.
        recipe: Kind of the recipe: "paper" or "pocket".
    """

    method: OfflineMethod
    params: Mapping[str, Any]
    training: OfflineTraining
    machine: Training
    max_tokens: int
    model: str
    recipe: str

    def check_context(self) -> None:
        """Nothing: the cap is the profile's, which fits."""

    def differences(self, problems: Dataset | None = None, template: str | None = None) -> list:
        """What of the paper's experiment this training does not have; [], as the recipe's table says it."""
        return []


def is_offline(name: str) -> bool:
    """Whether a name is that of an offline method, and not of a design.

    Raises:
        ConfigError: It is neither; the message lists both.
    """
    if name in OFFLINE_METHODS:
        return True
    if ":" not in name:
        one_of("design", name, [*DESIGNS, *OFFLINE_METHODS])
    return False


def offline_settings(
    name: str,
    profile: Profile,
    *,
    params: Mapping[str, Any] | None = None,
    max_tokens: int | None = None,
    model: str | None = None,
    recipe: Any = None,
    training: Mapping[str, Any] | None = None,
    machine: Mapping[str, Any] | None = None,
) -> OfflineSettings:
    """Put the settings of an offline training together, and refuse what is not legal.

    Args:
        name: A name in `OFFLINE_METHODS`.
        profile: The profile.
        params: Parameters of the method's rule.
        max_tokens: Cap of the pool's rollouts in tokens; None: the profile's.
        model: The starting model; None: the profile's.
        recipe: "paper" or "pocket"; anything else: what the profile names.
        training: Fields of `OfflineTraining` and of `fine_tuning.MACHINE`.
        machine: Fields of `profiles.Training` that `training` goes over; those outside `MACHINE` belong to
            GRPO and are not used.

    Raises:
        ConfigError: A name or a value is not legal.
    """
    one_of("offline method", name, OFFLINE_METHODS)
    method, cap = OFFLINE_METHODS[name], max_tokens or profile.max_tokens
    kind = recipe if recipe in ("paper", "pocket") else profile.recipe
    own = {k: v for k, v in (machine or {}).items() if k in MACHINE and v is not None}
    base = offline_recipe(name, kind, model or profile.model)
    settings, used = split_settings(
        method.objective, base, profile.training.override(**own), training or {}
    )
    split_batch(settings.batch_size, used)
    chosen = {**method.parameters(), **(params or {})}
    method.select(_made_up_pool(method, cap), max_tokens=cap, params=chosen)
    return OfflineSettings(method, chosen, settings, used, cap, model or profile.model, kind)


def _made_up_pool(method: OfflineMethod, cap: int) -> pd.DataFrame:
    """Invented rollouts, on which a rule refuses now what it would refuse after the sampling."""
    import pandas as pd

    n = 4
    rows = [
        {"problem_id": pid, "effort": effort, "sample": i, "length": min(cap, 1 + i), "verdict": verdict}
        for pid in ("a", "b")
        for effort in method.efforts
        for i, verdict in zip(range(n), ("correct", "wrong") * 2, strict=True)
    ]
    return pd.DataFrame(rows).assign(finish_reason="stop")


def offline_recipe(name: str, kind: str, model: str) -> OfflineTraining:
    raise NotImplementedError


# ------------------------------------------------------------------------------------------ the pool
def pool_samples(effort: str) -> int:
    """Rollouts per problem in a pool: the most that any method takes of that prompt, so that all share it."""
    return max(method.n_samples for method in OFFLINE_METHODS.values() if effort in method.efforts)


def pool_folder(run_root: Path, effort: str, profile: Profile, model: str | None) -> Path:
    """Directory of a pool: run_root/pool-<effort>-<cap>x<rollouts>; another model is named behind it."""
    name = f"pool-{effort}-" if effort else "pool-"
    name += f"{profile.max_tokens}x{pool_samples(effort)}"
    if model is None or model == profile.model:
        return run_root / name
    path = Path(model)
    return run_root / f"{name}-of-{path.parent.name if path.name == 'model' else path.name}"


@checked_arguments(profile=Profile)
def sample_pool(
    method: str,
    problems: Dataset,
    profile: Profile,
    *,
    run_root: str | Path,
    model: str | None = None,
    max_tokens: int | None = None,
    engine: str | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Sample the rollouts that an offline method chooses from; methods, seeds and settings share them.

    Args:
        method: A name in `OFFLINE_METHODS`.
        problems: The training problems.
        profile: The profile; temperature and nucleus are those of training.
        run_root: A pool lies in `run_root/pool-...`; a finished one is read back.
        model: The model; None: the profile's.
        max_tokens: Cap in tokens; None: the profile's.
        engine: Sampling engine; None: the profile's.
        progress: Show progress bars.

    Returns:
        A rollout table with the column effort, "" for the plain prompt.

    Raises:
        DataError: No rollout is correct, or there is one of each problem.
        IdentityError: The directory holds the rollouts of another model, template or sampling.
    """
    one_of("offline method", method, OFFLINE_METHODS)
    scale = profile.as_in_training().override(max_tokens=max_tokens)
    parts, folders = {}, {}
    name = model or profile.model
    with open_sampler(name, engine or profile.engine, **profile.sampler_options) as sampler:
        for effort in OFFLINE_METHODS[method].efforts:
            folders[effort] = pool_folder(Path(run_root), effort, scale, model)
            parts[effort] = sample(
                problems,
                sampler,
                pool_samples(effort),
                run_dir=folders[effort],
                sampling=scale.sampling(),
                prompting=scale.prompting(effort=effort or None),
                progress=progress,
            )
    return _checked_pool(parts, folders, name, profile)


def read_pool(folders: Mapping[str, str | Path], profile: Profile, model: str | None = None) -> pd.DataFrame:
    """Read a pool that was sampled before, if it is one of the model and the template that are trained.

    Args:
        folders: {effort prompt: run directory of the rollouts}; "" is the plain prompt.
        profile: The profile of the training.
        model: The starting model; None: the profile's.

    Returns:
        As `sample_pool`.

    Raises:
        DataError: The pool is from another model, template or prompt, or has nothing to choose.
    """
    from effwb.rollouts import read_rollouts

    parts = {effort: read_rollouts(folder) for effort, folder in folders.items()}
    return _checked_pool(parts, folders, model or profile.model, profile)


def _checked_pool(parts: Mapping, folders: Mapping, model: str, profile: Profile) -> pd.DataFrame:
    source = models.locate(model, profile.trust_remote_code)
    check_origin(
        {effort: RunDir(folder).stored_identity("rollouts") for effort, folder in folders.items()},
        weights=models.fingerprint(source),
        tokenizer=models.tokenizer_fingerprint(models.load_tokenizer(source)),
        template=prompts.template(profile.template),
    )
    pool = pooled(parts)
    check_rollouts(pool)
    return pool


# -------------------------------------------------------------------------------------- the training
@checked_arguments(method=Text, profile=Profile)
def train_offline(
    method: str,
    problems: Dataset,
    model: str | None = None,
    *,
    run_dir: str | Path,
    profile: Profile,
    recipe: Any = None,
    params: Mapping[str, Any] | None = None,
    max_tokens: int | None = None,
    seed: int = 0,
    pool: pd.DataFrame | None = None,
    engine: str | None = None,
    machine: Mapping[str, Any] | None = None,
    watch: str = "auto",
    report_to: Sequence[str] = (),
    **training: Any,
) -> OfflineResult:
    """Train a model by an offline method: sample its pool, choose what is learned, train.

    A killed run continues, in its pool or after its last checkpoint; a finished run is read back. How many
    problems were left out, and why, is printed and stored in `run_dir/train/examples.json`.

    Args:
        method: A name in `OFFLINE_METHODS`.
        problems: The training problems.
        model: The starting model; None is the profile's.
        run_dir: Directory of the run. Pools lie beside it, in `pool-...`.
        profile: The profile.
        recipe: "paper", "pocket", or None for what the profile names.
        params: Parameters of the method (`OfflineMethod.parameters`), such as {"reading": "paper"}.
        max_tokens: Cap of the pool's rollouts; None: the profile's.
        seed: Seed of the order of the examples, and of the rules that draw. The pool is the same for all seeds.
        pool: A rollout table to choose from; None: it is sampled.
        engine: Engine that samples the pool; None: the profile's.
        machine: Fields of `profiles.Training` under `training`; GRPO's own are not used.
        watch: What is shown: "auto", "lines" or "none".
        report_to: Transformers' reporting integrations.
        **training: Fields of `OfflineTraining` and of `fine_tuning.MACHINE`.

    Returns:
        The finished run.

    Raises:
        ConfigError: A name or a value is not legal, before anything is sampled.
        DataError: There is nothing to learn; the message has the counts.
        IdentityError: `run_dir` or the pool's directory holds another run.

    Example:
        train_offline("simpo_dast", problems, run_dir="runs/dast", profile=profile, epochs=2).model
    """
    chosen = offline_settings(
        method,
        profile,
        params=params,
        max_tokens=max_tokens,
        model=model,
        recipe=recipe,
        training=training,
        machine=machine,
    )
    if pool is None:
        where = dict(run_root=Path(run_dir).parent, model=model, max_tokens=max_tokens, engine=engine)
        pool = sample_pool(method, problems, profile, progress=watch != "none", **where)
    rule = chosen.method
    selection = rule.select(pool, max_tokens=chosen.max_tokens, seed=seed, params=chosen.params)
    selection.check()
    own = {"reading": chosen.params["reading"]} if rule.objective == "o1_pruner" else {}
    run = prepare(
        rule.objective,
        selection.with_tokens(pool),
        problems,
        model,
        settings={},
        selection=selection,
        base=chosen.training,
        design={"name": method, **chosen.params, "max_tokens": chosen.max_tokens},
        run_dir=run_dir,
        profile=profile.override(training=chosen.machine),
        seed=seed,
        **own,
    )
    return run.train(watch, report_to)


def train_offline_point(
    point: Point,
    problems: Dataset,
    model: str | None,
    *,
    profile: Profile,
    caller_settings: Mapping[str, Any],
    **options: Any,
) -> OfflineResult:
    """Train a point whose design is an offline method.

    Args:
        point: The point.
        problems: The training problems.
        model: The starting model; None is the profile's.
        profile: The profile.
        caller_settings: Fields of `profiles.Training`, and `max_tokens`; the point's own win over them.
        **options: Further arguments of `train_offline`.
    """
    caller = dict(caller_settings)
    cap = point.max_tokens or caller.pop("max_tokens", None)
    return train_offline(
        point.design,
        problems,
        model,
        profile=profile,
        params=point.params,
        max_tokens=cap,
        machine=caller,
        **options,
        **point.training,
    )


def point_offline_settings(
    point: Point, profile: Profile, *, model: str | None, recipe: Any, caller_settings: Mapping[str, Any]
) -> OfflineSettings:
    """What a point is trained with whose design is an offline method; see `settings.point_settings`."""
    for name in point.training:
        one_of(f"training field of {point.design}", name, POINT_FIELDS)
    caller = dict(caller_settings)
    cap = point.max_tokens or caller.pop("max_tokens", None)
    return offline_settings(
        point.design,
        profile,
        params=point.params,
        max_tokens=cap,
        model=model,
        recipe=recipe,
        training=point.training,
        machine=caller,
    )


def refuse_offline(name: str, what: str) -> None:
    """Raise `ConfigError` for an offline method where only a design will do."""
    if name in OFFLINE_METHODS:
        raise ConfigError(f"{name} is an offline method and has no rewards, so {what}; use a design")
