"""What an experiment trains: points (a design with its parameters), problems, and a frozen reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effwb import problems
from effwb._internal.checked import Positive, Text, check_fields, checked_arguments
from effwb.designs import Design, design_name, find_design
from effwb.errors import ConfigError, DataError
from effwb.profiles import PROFILES, Profile
from effwb.recipes import RECIPES, recipe
from effwb.rollouts import sample
from effwb.runs import digest
from effwb.samplers import open_sampler
from effwb.training.preview import reference_statistics
from effwb.training.two_modes import WarmStart

if TYPE_CHECKING:
    from datasets import Dataset

MAX_VALUE = 40  # characters of a parameter's value in a name; a longer one is replaced by its digest
MAX_NAME = 120  # characters of a point's name


@dataclass(frozen=True)
class Point:
    """One thing to train: a design or offline method with its parameters, and what else differs.

    Attributes:
        design: Name in `DESIGNS`; a design of your own by its NAME, its class or as "package.module:Class".
            Or a name in `OFFLINE_METHODS`.
        params: Parameters of the design; lengths are in tokens of this run and are not rescaled.
        max_tokens: Cap of a completion in tokens; None: the profile's.
        training: Fields of `profiles.Training` that differ from the study's, for example {"clip_high": 0.28}.
            Of an offline method: fields of `OfflineTraining`, and where and how fast it computes.
        after: A point that is trained first. This one starts from its model, and from the state of its design
            where that is taken over (`Design.takes_state_of`): the second stage of a method. Or a warm start.

    Example:
        >>> Point("kimi", {"weight": 0.5}).name
        'kimi weight=0.5'
        >>> Point("l1_max", after=Point("l1_exact")).name
        'l1_max after l1_exact'
    """

    design: Text
    params: Mapping[str, Any] = field(default_factory=dict)
    max_tokens: Positive | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    after: Point | WarmStart | None = None

    def __post_init__(self):
        name = design_name(self.design)
        if isinstance(name, Design):
            raise ConfigError(
                f"a Point takes the name of a design and its parameters apart, got an object of "
                f"{name.NAME!r}; write Point({name.NAME!r}, {{...}}), or give the object to `train`"
            )
        object.__setattr__(self, "design", name)
        check_fields(self)

    @classmethod
    def with_stages(
        cls, design: str, params: Mapping[str, Any] | None = None, max_tokens: int | None = None
    ) -> Point:
        """A design as its paper trains it: after the stages that come first there.

        The stage before is the design that the recipe names as the starting model, or a warm start where the
        design needs one. It gets those of the parameters that both designs have.

        Args:
            design: Name in `DESIGNS`, or "package.module:Class".
            params: Parameters of the design.
            max_tokens: Cap of all stages in tokens; None: the profile's.

        Example:
            >>> Point.with_stages("lapo_internalization", {"statistic": "mean"}).after.name
            'lapo_discovery statistic=mean'
        """
        params, own = dict(params or {}), find_design(design)
        after: Point | WarmStart | None = WarmStart() if own.needs_warm_start else None
        if design in RECIPES and (stage := RECIPES[design].stage_before):
            names = {f.name for f in fields(find_design(stage))}
            after = cls.with_stages(stage, {n: v for n, v in params.items() if n in names}, max_tokens)
        return cls(design, params, max_tokens, after=after)

    @property
    def stages(self) -> list[Point]:
        """The points that are trained one after the other, this one last."""
        earlier = self.after.stages if isinstance(self.after, Point) else []
        return [*earlier, self]

    @property
    def name(self) -> str:
        """The design and its parameters in a few words; a long value is replaced by a digest of it."""
        words = [self.design, *(f"{key}={short_value(value)}" for key, value in self.params.items())]
        if self.max_tokens:
            words.append(f"cap={self.max_tokens}")
        if self.after:
            words.append(f"after {self.after.name}")
        name = " ".join(words)
        return name if len(name) <= MAX_NAME else f"{self.design} {digest(name)}"


def short_value(value: Any) -> str:
    """A parameter's value in a name: its text, or a digest where that is longer than 40 characters."""
    text = str(value)
    if len(text) <= MAX_VALUE and "\n" not in text:
        return text
    if hasattr(value, "budgets") and hasattr(value, "accuracy"):  # a curve or a frontier
        value = [value.budgets.tolist(), value.accuracy.tolist()]
    return digest(dict(value) if isinstance(value, Mapping) else value)


def run_name(name: str, seed: int) -> str:
    """The directory of a point under a seed.

    >>> run_name("kimi weight=0.5", 0)
    'kimi_weight=0.5-seed0'
    """
    return f"{name.replace(' ', '_').replace('/', '_')}-seed{seed}"


@dataclass(frozen=True)
class Start:
    """What the trainings of an experiment start from; its text is for captions.

    Attributes:
        text: What was done, in a few words.
        folder: Directory of the runs below the run root; None: that of the profile.
        model: Hub id or directory of the starting model; None: the profile's.
        after: A point that is trained first and that the others come after; None: none.
    """

    text: str
    folder: str | None = None
    model: str | None = None
    after: Point | None = None

    def __str__(self) -> str:
        return self.text


def starting_point(start_from: str | None, profile: str, design: str) -> Start:
    """Choose what the trainings of an experiment start from.

    Args:
        start_from: None: the profile's model. "rl": a model that was trained by RL before, as in 2506.07104.
            On a real profile it is the checkpoint that the paper of `design` fine-tunes. Where all designs
            train with the profile's settings, as on the pocket model, it is a vanilla run that comes first.
            Otherwise the hub id or the directory of a model.
        profile: Name of the profile.
        design: Name of the design whose paper "rl" means.

    Raises:
        ConfigError: "rl", and the paper names no such checkpoint for this model, or none that the hub has.

    >>> str(starting_point("rl", "r1-qwen-7b", "reo_rl"))
    'started from Skywork/Skywork-OR1-Math-7B'
    """
    own = PROFILES[profile].model
    if start_from is None:
        return Start(f"started from {own}")
    if start_from != "rl":
        name = Path(start_from).name
        return Start(f"started from {start_from}", f"{profile}-from-{name}", start_from)
    if PROFILES[profile].recipe == "pocket":
        text = f"vanilla started from {own}, the others after vanilla"
        return Start(text, f"{profile}-from-vanilla", after=Point("vanilla"))
    paper = recipe(design, "paper", own)
    if len(paper.model) != 1 or "/" not in paper.model[0]:
        named = " or ".join(paper.model) or "a model that it does not name"
        raise ConfigError(
            f"start_from='rl': {paper.paper} starts from {named}, for which no hub id is known; give its "
            "directory or hub id as start_from"
        )
    if paper.model[0] == own:
        raise ConfigError(f"start_from='rl': {paper.paper} fine-tunes {own} itself; use start_from=None")
    return starting_point(paper.model[0], profile, design)


def load_train_and_eval(
    profile: Profile, n_train: int | None = None, source: str | None = None
) -> tuple[Dataset, Dataset]:
    """Load the problems to train on and the profile's problems to evaluate on.

    Args:
        profile: Names the evaluation problems.
        n_train: Problems to train on; default: the profile's.
        source: Where they come from (`problems.load`). Default: the profile's own source, its train split in
            the pocket world, another seed elsewhere.

    Returns:
        (train problems, evaluation problems).

    Raises:
        DataError: A problem is in both sets, as with a benchmark that has no training set.
    """
    name = source or profile.problems
    train_problems = load_train_problems(name, n_train or profile.training.n_problems)
    eval_problems = problems.load(profile.problems, profile.n_problems)
    shared = set(train_problems["problem_id"]) & set(eval_problems["problem_id"])
    if shared:
        raise DataError(
            f"{len(shared)} problems of {name!r} would be trained on and evaluated on; give another source "
            'of training problems, such as "deepscaler"'
        )
    return train_problems, eval_problems


def load_train_problems(source: str, n: int | None) -> Dataset:
    """Load `n` problems to train on: the train split of the pocket world, elsewhere another seed's problems.

    That seed is one that no evaluation begins with.
    """
    options: dict[str, Any] = {"split": "train"} if source == "pocket" else {"seed": 1000}
    return problems.load(source, n, **options)


@checked_arguments(profile=Profile)
def frozen_reference(
    profile: Profile,
    train_problems: Dataset,
    *,
    run_root: str | Path,
    max_tokens: int | None = None,
    n: int | None = None,
    engine: str | None = None,
) -> dict[str, dict[str, float]]:
    """Mean length and accuracy of the starting model on each training problem, for `train(reference=...)`.

    Args:
        profile: The model, its cap and the sampling of training, which is used here too.
        train_problems: The problems.
        run_root: The rollouts are kept in `run_root/reference-<cap>x<n>`.
        max_tokens: Cap in tokens; default: the profile's.
        n: Rollouts per problem; default: the profile's.
        engine: Sampling engine; default: the profile's.

    Returns:
        {problem id: {"length": tokens, "accuracy": share of correct rollouts}}.
    """
    profile = profile.as_in_training().override(max_tokens=max_tokens, n_samples=n)
    folder = Path(run_root) / f"reference-{profile.max_tokens}x{profile.n_samples}"
    with open_sampler(profile.model, engine or profile.engine, **profile.sampler_options) as sampler:
        rollouts = sample(
            train_problems,
            sampler,
            profile.n_samples,
            run_dir=folder,
            sampling=profile.sampling(),
            prompting=profile.prompting(),
        )
    return reference_statistics(rollouts, profile.max_tokens)
