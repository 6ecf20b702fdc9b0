"""Several designs side by side: trained under several seeds, evaluated at all budgets, compared over the
seeds. Everything is read back where it is done already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from effwb.errors import ConfigError
from effwb.evaluation import Evaluation, evaluate
from effwb.profiles import Profile
from effwb.samplers import open_sampler
from effwb.training.run import TrainResult, train

T_95 = (np.nan, np.nan, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)  # Student's t, by n
BASE = "base"


@dataclass(frozen=True)
class Point:
    """One thing to train: a design with its parameters (in tokens of the run), and what else differs."""

    design: str
    params: Mapping = field(default_factory=dict)
    max_tokens: int | None = None
    settings: Mapping = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The design and what is set, e.g. "kimi weight=0.5" or "token_budget cap=64"."""
        given = [f"{key}={value}" for key, value in self.params.items()]
        return " ".join([self.design, *given, *([f"cap={self.max_tokens}"] if self.max_tokens else [])])


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

    A list of points goes by their names, a mapping gives other ones. Runs lie in `run_root/<name>-seed<k>`, their evaluations in `eval` below. `common` goes to every `train`
    (reference, settings ...). Call it again after a kill: it continues.
    """
    points = points if isinstance(points, Mapping) else {point.name: point for point in points}
    if BASE in points:
        raise ConfigError(f"a point cannot be called {BASE!r}: that is the model all start from")
    done, root = [], Path(run_root)
    for seed in seeds if base else ():
        folder = root / run_name(BASE, seed) / "eval"
        model = common.get("model") or profile.model
        done.append(
            Trained(BASE, seed, None, measure(model, asked, profile, folder, BASE, seed, eval_engine))
        )
    for name, point in points.items():
        for seed in seeds:
            folder = root / run_name(name, seed)
            result = train(
                point.design,
                practice,
                run_dir=folder,
                profile=profile,
                design_params=point.params or None,
                max_tokens=point.max_tokens,
                seed=seed,
                watch=watch,
                **{**common, **point.settings},
            )
            found = measure(result.model, asked, profile, folder / "eval", name, seed, eval_engine)
            done.append(Trained(name, seed, result, found))
    return done


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


def over_seeds(values) -> tuple[float, float, float]:
    """Mean and Student's 95 % interval over seeds; NaN limits for a single one.

    >>> [round(x, 3) for x in over_seeds([1.0, 2.0, 3.0])]
    [2.0, -0.484, 4.484]
    """
    values = np.asarray(values, dtype=float)
    if not 1 <= len(values) < len(T_95):
        raise ConfigError(f"an interval over seeds needs 1 to {len(T_95) - 1} of them, got {len(values)}")
    half = T_95[len(values)] * values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def effects(runs, baseline: str = "vanilla"):
    """A row per name of `table`: differences to `baseline`, paired by seed, with intervals over the seeds.

    `accuracy`, `length` are means; `accuracy +/-`, `area +/-` differences; `length x` the ratio of mean
    lengths (its interval from the logarithm). Each with ` low` and ` high`.
    """
    import pandas as pd

    if baseline not in set(runs["name"]):
        raise ConfigError(f"no run is called {baseline!r}; there are {sorted(set(runs['name']))}")
    base = runs[runs["name"] == baseline].set_index("seed")
    rows = []
    for name, part in runs.groupby("name", sort=False):
        both = part.set_index("seed").join(base, rsuffix=" base", how="inner")
        logs = np.log(both["mean length"] / both["mean length base"])
        found = {
            "accuracy +/-": over_seeds(both["accuracy"] - both["accuracy base"]),
            "length x": tuple(np.exp(over_seeds(logs))),
            "area +/-": over_seeds(both["area"] - both["area base"]),
        }
        row = {"name": name, "seeds": len(both)}
        row |= {"accuracy": both["accuracy"].mean(), "length": both["mean length"].mean()}
        for key, (mean, low, high) in found.items():
            row |= {key: mean, f"{key} low": low, f"{key} high": high}
        rows.append(row)
    return pd.DataFrame(rows)
