"""Several designs side by side: trained under several seeds, evaluated at all budgets, compared over the
seeds. Everything is read back where it is done already.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from effwb import problems, rollouts
from effwb.designs import DESIGNS
from effwb.errors import ConfigError, DataError, one_of
from effwb.evaluation import Evaluation, evaluate
from effwb.frontier import Frontier, reg, reg_row
from effwb.metrics import aes, clustered_interval
from effwb.profiles import Profile
from effwb.samplers import open_sampler
from effwb.training.preview import reference_statistics
from effwb.training.run import TrainResult, train

MOST_SEEDS = 10  # beyond that somebody passes problems or rollouts for seeds
BASE = "base"


@dataclass(frozen=True)
class Point:
    """One thing to train: a design with its parameters (in tokens of the run), and what else differs.

    `after` is trained first, and this one begins with its model, and with the state of its design where that
    is taken over (`Design.takes_state_of`): the second stage of a method.
    """

    design: str
    params: Mapping = field(default_factory=dict)
    max_tokens: int | None = None
    settings: Mapping = field(default_factory=dict)
    after: "Point | None" = None

    @property
    def name(self) -> str:
        """The design and what is set, e.g. "kimi weight=0.5", "dler cap=64" or "l1_max after l1_exact"."""
        given = [f"{key}={value}" for key, value in self.params.items()]
        cap = [f"cap={self.max_tokens}"] if self.max_tokens else []
        return " ".join([self.design, *given, *cap, *([f"after {self.after.name}"] if self.after else [])])


@dataclass(frozen=True, eq=False)
class Trained:
    """One point under one seed; `training` is None for the starting model."""

    name: str
    seed: int
    training: TrainResult | None
    evaluation: Evaluation

    @property
    def run(self) -> str:
        return run_name(self.name, self.seed)


def run_name(name: str, seed: int) -> str:
    """The directory of a point under a seed."""
    return f"{name.replace(' ', '_').replace('/', '_')}-seed{seed}"


def load_train_and_eval(profile: Profile, n_practice: int | None = None, source: str | None = None):
    """(practice, asked): problems to train on, and those of the profile to evaluate on.

    Practice problems come from `source`, or from where the profile has its own: the train split of the pocket
    world, another seed elsewhere. Raises `DataError` where a problem is in both, as with a benchmark that has
    no training set; name a source then.
    """
    name = source or profile.problems
    practice = load_train_problems(name, n_practice or profile.training.n_problems)
    asked = problems.load(profile.problems, profile.n_problems)
    both = set(practice["problem_id"]) & set(asked["problem_id"])
    if both:
        raise DataError(
            f"{len(both)} problems of {name!r} would be trained on and evaluated on; give another source of "
            'practice problems, such as "deepscaler"'
        )
    return practice, asked


def load_train_problems(source: str, n: int | None):
    """`n` problems to train on: the train split of the pocket world, elsewhere those of a seed that no
    evaluation begins with.
    """
    other = {"split": "train"} if source == "pocket" else {"seed": 1000}
    return problems.load(source, n, **other)


def frozen_reference(
    profile: Profile,
    practice,
    *,
    run_root: str | Path,
    max_tokens: int | None = None,
    n: int | None = None,
    engine: str | None = None,
) -> dict[str, dict[str, float]]:
    """Mean length and accuracy per practice problem of the model all start from, over `n` samples (default:
    the profile's) drawn as in training: what `train(reference=...)` takes. Kept in
    `run_root/reference-<cap>x<n>`.
    """
    chosen = profile.as_in_training().override(max_tokens=max_tokens, n_samples=n)
    folder = Path(run_root) / f"reference-{chosen.max_tokens}x{chosen.n_samples}"
    with open_sampler(profile.model, engine or profile.engine, dtype=profile.dtype) as sampler:
        table = rollouts.sample(
            practice,
            sampler,
            chosen.n_samples,
            run_dir=folder,
            sampling=chosen.sampling(),
            prompting=chosen.prompting(),
        )
        return reference_statistics(table, chosen.max_tokens)


def run_points(
    points: Sequence[Point] | Mapping[str, Point],
    practice,
    asked,
    profile: Profile,
    *,
    run_root: str | Path,
    seeds: Sequence[int] = (0,),
    base: bool = True,
    eval_engine: str | None = None,
    watch: str = "auto",
    **common,
) -> list[Trained]:
    """Train every point under every seed on `practice`, and evaluate each model, and the one all start from,
    on `asked` at the budgets of `profile`.

    A list of points goes by their names, a mapping gives other ones. Runs lie in `run_root/<name>-seed<k>`,
    their evaluations in `eval` below. What a point comes `after` is trained once, and evaluated only where it
    is a point itself. `common` goes to every `train` (reference, settings ...). Call it again after a kill:
    it continues.
    """
    count = len(points)
    points = points if isinstance(points, Mapping) else {point.name: point for point in points}
    if len(points) < count:
        raise ConfigError("two points have the same name; give a mapping with a name for each")
    if BASE in points:
        raise ConfigError(f"a point cannot be called {BASE!r}: that is the model all start from")
    done, root = [], Path(run_root)
    for seed in seeds if base else ():
        folder = root / run_name(BASE, seed) / "eval"
        model = common.get("model") or profile.model
        done.append(
            Trained(BASE, seed, None, measure(model, asked, profile, folder, BASE, seed, eval_engine))
        )
    for name in points:
        for seed in seeds:
            result = _train(name, points, practice, root, seed, profile=profile, watch=watch, **common)
            folder = result.run_dir / "eval"
            found = measure(result.model, asked, profile, folder, name, seed, eval_engine)
            done.append(Trained(name, seed, result, found))
    return done


def _train(name: str, points: Mapping[str, Point], practice, root: Path, seed: int, **common) -> TrainResult:
    """A point under a seed, trained or read back, and before it the one that it comes after."""
    point = points[name]
    one_of("design", point.design, DESIGNS)
    if point.after is not None:
        earlier = next((other for other in points if points[other] == point.after), point.after.name)
        before = _train(earlier, {**points, earlier: point.after}, practice, root, seed, **common)
        common |= {"model": before.model}
        if point.after.design in DESIGNS[point.design].takes_state_of:
            common |= {"state": before.state}
    return train(
        point.design,
        practice,
        run_dir=root / run_name(name, seed),
        design_params=point.params or None,
        max_tokens=point.max_tokens,
        seed=seed,
        **{**common, **point.settings},
    )


def measure(
    model: str, asked, profile: Profile, folder: Path, name: str, seed: int, engine: str | None = None
) -> Evaluation:
    """`evaluate` a model that lies somewhere; a finished evaluation is read back without loading it."""
    with open_sampler(model, engine or profile.engine, dtype=profile.dtype) as sampler:
        return evaluate(asked, sampler, profile, run_dir=folder, name=name, seed=seed, progress=False)


def table(done: Sequence[Trained]):
    """A row per run: `name, seed, accuracy, low, high, mean length, ..., area` (accuracy x tokens)."""
    import pandas as pd

    rows = []
    for one in done:
        curve = one.evaluation.curve
        numbers = {**one.evaluation.summary(), "area": curve.area(int(curve.budgets[-1]))}
        rows.append({**numbers, "name": one.name, "seed": one.seed})
    frame = pd.DataFrame(rows)
    return frame[["name", "seed", *(c for c in frame if c not in ("name", "seed"))]]


def frontier_of(done: Sequence[Trained], method: str = "max") -> Frontier:
    """The best accuracy of all these runs at each budget, owned by run (`Frontier.from_curves`)."""
    return Frontier.from_curves({one.run: one.evaluation.curve for one in done}, method)


def reg_table(done: Sequence[Trained], frontier: Frontier | None = None):
    """A row per run: `name, seed, J(<last budget>), mean tokens, REG, low, high` (95 %, over problems).

    The frontier is by default that of `done`; then there is also `REG, cross-fitted`, against the frontier
    without the upward bias of a maximum, and the interval resamples the frontier along with the run.
    """
    import pandas as pd

    fitted = None if frontier is not None else frontier_of(done, "cross_fit")
    frontier = frontier_of(done) if frontier is None else frontier
    l_max = int(frontier.budgets[-1])
    rows = []
    for one in done:
        curve = one.evaluation.curve
        row = {"name": one.name, "seed": one.seed, **reg_row(frontier, curve, l_max)}
        rows.append(row if fitted is None else row | {"REG, cross-fitted": reg(fitted, curve, l_max)})
    return pd.DataFrame(rows)


def over_seeds(values) -> tuple[float, float, float]:
    """Mean and Student's 95 % interval over seeds; NaN limits for a single one.

    >>> [round(x, 3) for x in over_seeds([1.0, 2.0, 3.0])]
    [2.0, -0.484, 4.484]
    """
    values = np.asarray(values, dtype=float)
    if not 1 <= len(values) <= MOST_SEEDS:
        raise ConfigError(f"an interval over seeds needs 1 to {MOST_SEEDS} of them, got {len(values)}")
    return tuple(clustered_interval(values[:, None]))  # each seed is a cluster of one


def effects(runs, baseline: str = "vanilla"):
    """A row per name of `table`: differences to `baseline`, paired by seed, with intervals over the seeds.

    `accuracy`, `length` are means; `Δ accuracy`, `Δ area` differences; `length ratio` the ratio of mean
    lengths (its interval from the logarithm). Each with ` low` and ` high`.
    """
    import pandas as pd

    base = _baseline(runs, baseline)
    rows = []
    for name, part in runs.groupby("name", sort=False):
        both = part.set_index("seed").join(base.add_suffix(" base"), how="inner")
        logs = np.log(both["mean length"] / both["mean length base"])
        found = {
            "Δ accuracy": over_seeds(both["accuracy"] - both["accuracy base"]),
            "length ratio": tuple(np.exp(over_seeds(logs))),
            "Δ area": over_seeds(both["area"] - both["area base"]),
        }
        row = {"name": name, "seeds": len(both)}
        row |= {"accuracy": both["accuracy"].mean(), "length": both["mean length"].mean()}
        for key, (mean, low, high) in found.items():
            row |= {key: mean, f"{key} low": low, f"{key} high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def aes_table(runs, baseline: str = "base"):
    """A row per name of `table`: the accuracy-efficiency score (`metrics.aes`) of each run relative to the
    `baseline` of its seed, as `AES`, `AES low`, `AES high` over the seeds.

    AES has a kink where the accuracy does not change, so the mean of scores is not the score of the means.
    """
    import pandas as pd

    base = _baseline(runs, baseline)
    rows = []
    for name, part in runs[runs["name"] != baseline].groupby("name", sort=False):
        both = part.set_index("seed").join(base.add_suffix(" base"), how="inner")
        scores = [
            aes(row["accuracy base"], row["mean length base"], row["accuracy"], row["mean length"])
            for _, row in both.iterrows()
        ]
        mean, low, high = over_seeds(scores)
        rows.append({"name": name, "seeds": len(scores), "AES": mean, "AES low": low, "AES high": high})
    return pd.DataFrame(rows)


def _baseline(runs, baseline: str):
    """The rows of `baseline`, by seed."""
    if baseline not in set(runs["name"]):
        raise ConfigError(f"no run is called {baseline!r}; there are {sorted(set(runs['name']))}")
    return runs[runs["name"] == baseline].set_index("seed")


def level_table(done: Sequence[Trained], asked):
    """A row per run and level of difficulty: `name, seed, level, problems, length, length low, length high,
    accuracy, low, high`; intervals are over the problems of the level (95 %), NaN where it has one problem.

    `asked` are the problems with their `level`; levels are in order, as numbers where they are numbers.
    """
    import pandas as pd

    level = dict(zip(asked["problem_id"], asked["level"], strict=True))
    rows = []
    for one in done:
        found = one.evaluation
        of = found.rollouts["problem_id"].drop_duplicates().map(level).to_numpy()
        for name in sorted(set(of), key=lambda v: (not v.isdigit(), int(v) if v.isdigit() else 0, v)):
            row = {"name": one.name, "seed": one.seed, "level": name, "problems": int((of == name).sum())}
            for key, ends, values in (
                ("length", "length ", found.length_PN()),
                ("accuracy", "", found.correct_PN()),
            ):
                interval = clustered_interval(values[of == name])
                row |= dict(zip((key, f"{ends}low", f"{ends}high"), interval, strict=True))
            rows.append(row)
    return pd.DataFrame(rows)
