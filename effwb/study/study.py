"""`Study`: one experiment, from a profile to trained models, evaluations and figures.

A notebook opens a study, trains points with it, reads the results as a `RunSet` and saves its figures. What
is finished already is read back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effwb import notebook, profiles
from effwb._internal.checked import AtLeastTwo, Text, checked_arguments
from effwb._internal.interrupts import brief_interrupts, resumable
from effwb.analysis.finished import BASE, EVALUATION, describe_run
from effwb.analysis.run_analysis import RunAnalysis
from effwb.analysis.run_set import RunSet
from effwb.designs import find_design
from effwb.errors import ConfigError, one_of
from effwb.evaluation import evaluate
from effwb.frontier import Frontier
from effwb.profiles import Profile, Training
from effwb.prompts import Prompting
from effwb.rollouts import sample
from effwb.samplers import SAMPLERS, Sampler, open_sampler
from effwb.study.run import POINTS, Points, run_points, starting_model
from effwb.training.offline import OfflineSettings
from effwb.training.points import Point, frozen_reference, load_train_and_eval, run_name
from effwb.training.preview import preview
from effwb.training.settings import (
    RecipeChoice,
    RunSettings,
    check_point,
    needs_reference,
    of_design,
    settings_of,
)

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset


class Study:
    """One experiment: a profile, the problems, the directory of its runs and of its figures.

    Made by `Study.open`.

    Attributes:
        profile: The scale, with all overrides; `profile.training` are the settings that the recipes go over.
        recipe: The recipe of all trainings, as `train` takes it; None: what the profile names.
        run_root: Directory of the runs, one below it for each.
        figures_dir: Directory of the figures.
        prefix: How the names of its figures begin.
        runs: The `RunSet` of all that was trained and evaluated through this object, in that order.

    Example:
        >>> study = Study.open("pocket", training={"steps": 20})  # doctest: +SKIP
        >>> points = [Point("vanilla"), Point("kimi", {"weight": 0.5})]
        >>> runs = study.train(points, seeds=[0, 1, 2])  # doctest: +SKIP
        >>> runs.effects()  # doctest: +SKIP
    """

    def __init__(
        self,
        profile: Profile,
        run_root: Path,
        figures_dir: Path,
        *,
        prefix: str = "",
        train_source: str | None = None,
        eval_engine: str | None = None,
        recipe: RecipeChoice = None,
        caller_settings: Mapping[str, Any] | None = None,
    ):
        self.profile, self.run_root, self.figures_dir, self.prefix = profile, run_root, figures_dir, prefix
        self.train_source, self.eval_engine, self.recipe = train_source, eval_engine, recipe
        # what wins over the recipes: training settings and max_tokens
        self._caller_settings = dict(caller_settings or {})
        self._folders: list[Path] = []

    @classmethod
    @checked_arguments(profile=Text | Profile, n_samples=AtLeastTwo)
    def open(
        cls,
        profile: str | Profile = "pocket",
        *,
        run_root: str | Path = "data/runs/training",
        figures_dir: str | Path = "figures",
        folder: str | None = None,
        prefix: str = "",
        n_problems: int | None = None,
        n_samples: int | None = None,
        max_tokens: int | None = None,
        train_source: str | None = None,
        eval_engine: str | None = None,
        recipe: RecipeChoice = None,
        training: Mapping[str, Any] | None = None,
    ) -> Study:
        """Open an experiment and check its settings; nothing is loaded yet.

        In a notebook it first checks that papermill injected no unknown parameter.

        Args:
            profile: Name in `PROFILES`, or a `Profile`.
            run_root: The runs lie in `run_root/<folder>`; a relative path as in `notebook.from_root`.
            figures_dir: Directory of the figures, taken the same way.
            folder: Name of the directory of the runs; default: the name of the profile.
            prefix: How the names of the figures begin, for example "20".
            n_problems: Problems of an evaluation; None: the profile's.
            n_samples: Rollouts per problem of an evaluation; None: the profile's.
            max_tokens: Cap of a completion in tokens; None: the profile's, in training the recipe's.
            train_source: Where the training problems come from (`problems.load`); None: the profile's source.
            eval_engine: Engine that samples outside training; None: the profile's.
            recipe: What the designs train with, as in `train`; None: what the profile names.
            training: Fields of `profiles.Training` that win over profile and recipe; None changes nothing.

        Raises:
            ConfigError: An unknown profile, field or notebook parameter, or a value that is not legal.
        """
        notebook.check_parameters()
        one_of("eval_engine", eval_engine, [*SAMPLERS, None])
        named = profile if isinstance(profile, Profile) else profiles.profile(profile)
        scale = named.override(
            n_problems=n_problems,
            n_samples=n_samples,
            max_tokens=max_tokens,
            training=named.training.override(**(training or {})),
        )
        folder = folder or (profile if isinstance(profile, str) else Path(scale.model).name)
        return cls(
            scale,
            notebook.from_root(f"{run_root}/{folder}"),
            notebook.from_root(figures_dir),
            prefix=prefix,
            train_source=train_source,
            eval_engine=eval_engine,
            recipe=recipe,
            caller_settings={"max_tokens": max_tokens, **(training or {})},
        )

    @property
    def training(self) -> Training:
        """The training settings that the recipes of the designs go over."""
        return self.profile.training

    @property
    def max_tokens(self) -> int:
        """The cap of a completion in tokens."""
        return self.profile.max_tokens

    @property
    def train_options(self) -> dict[str, Any]:
        """Profile, recipe and overrides, for calls of `train` and `train_stages` with these settings."""
        caller_settings = {name: value for name, value in self._caller_settings.items() if value is not None}
        return {"profile": self.profile, "recipe": self.recipe, **caller_settings}

    @property
    def _settings(self) -> dict[str, Any]:
        """What decides the settings of every training."""
        return dict(profile=self.profile, recipe=self.recipe, caller_settings=self._caller_settings)

    @cached_property
    def _problems(self) -> tuple[Dataset, Dataset]:
        return load_train_and_eval(self.profile, self.training.n_problems, self.train_source)

    @property
    def train_problems(self) -> Dataset:
        """The problems to train on."""
        return self._problems[0]

    @property
    def eval_problems(self) -> Dataset:
        """The problems to evaluate on; none of them is trained on."""
        return self._problems[1]

    @property
    def runs(self) -> RunSet:
        """All that was trained and evaluated through this object, in that order."""
        return RunSet.of(self.run_root, dict.fromkeys(self._folders))

    def run_settings(self, point: Point, model: str | None = None) -> RunSettings | OfflineSettings:
        """What a point is trained with: settings, cap and design, after its recipe and all overrides.

        Args:
            point: The point.
            model: Model to start from; default: the profile's.
        """
        return settings_of(point, **self._settings, model=model)

    def settings(self, *points: Point) -> pd.DataFrame:
        """The training settings as a table, one field per row and a column for each point.

        Args:
            *points: Points; without any, the settings that the recipes of the designs go over.
        """
        import pandas as pd

        if not points:
            return pd.Series(self.training.as_dict(), name="value").to_frame()
        runs = {point.name: self.run_settings(point) for point in points}
        return pd.DataFrame(
            {n: {"max_tokens": r.max_tokens, **r.training.as_dict()} for n, r in runs.items()}
        )

    def differences(self, *points: Point) -> pd.DataFrame:
        """In which points each training is not the paper's experiment.

        Args:
            *points: The points.

        Returns:
            A row per difference: point, field, paper, here, why.
        """
        import pandas as pd

        rows = [
            {"point": point.name, **row._asdict()}
            for point in points
            for row in self.run_settings(point).differences(template=self.profile.template)
        ]
        return pd.DataFrame(rows, columns=["point", "field", "paper", "here", "why"])

    def sampler(self, model: str | None = None) -> Sampler:
        """A sampler for a model, to be used as a context manager.

        Args:
            model: Hub id or directory; default: the model that training starts from.
        """
        engine = self.eval_engine or self.profile.engine
        return open_sampler(model or self.profile.model, engine, **self.profile.sampler_options)

    @checked_arguments()
    def sample(
        self,
        problems: Dataset,
        sampler: Sampler,
        run_dir: str | Path,
        *,
        n: int | None = None,
        **prompting: Any,
    ) -> pd.DataFrame:
        """Sample and grade rollouts with the cap, temperature and template of the study.

        No answers are forced; `evaluate` measures a whole curve.

        Args:
            problems: For example `train_problems`.
            sampler: What `sampler()` opened.
            run_dir: Directory of the rollouts; a relative path is taken from `run_root`.
            n: Rollouts per problem; default: those of an evaluation.
            **prompting: Fields of `Prompting`, for example `opening="empty"`.

        Returns:
            A row per rollout (`rollouts.COLUMNS`).
        """
        return sample(
            problems,
            sampler,
            self.profile.n_samples if n is None else n,
            run_dir=self.run_root / run_dir,
            sampling=self.profile.sampling(),
            prompting=self.profile.prompting(**prompting),
            progress=False,
        )

    @checked_arguments()
    def reference(self, n: int | None = None) -> dict[str, dict[str, float]]:
        """Length and accuracy of the starting model on each training problem, for designs that need it.

        Args:
            n: Rollouts per problem; default: those of an evaluation.
        """
        return frozen_reference(
            self.profile, self.train_problems, run_root=self.run_root, n=n, engine=self.eval_engine
        )

    @checked_arguments(point=Point)
    @brief_interrupts(resumable)
    def preview(
        self, point: Point, *, model: str | None = None, reference: Mapping | None = None, seed: int = 0
    ) -> pd.DataFrame:
        """Reward rollouts of the starting model as in training, before the point is trained.

        A group whose rewards are all equal teaches nothing; `training.spread` sums the table up and
        `plots.reward_figure` draws it. What the point comes `after` is trained first, as in `train`.

        Args:
            point: The design with its parameters.
            model: Model to start from; default: the profile's.
            reference: What `reference()` gives; default: made where a design needs it.
            seed: Seed of the run that the point comes after.

        Returns:
            A row per rollout; see `training.preview`.
        """
        run = of_design(self.run_settings(point, model), "a preview")
        profile, design = self.profile.override(max_tokens=run.max_tokens, training=run.training), run.design
        if reference is None and needs_reference(point):
            reference = self.reference()
        options = {**self._settings, "model": model, "reference": reference, "pool_engine": self.eval_engine}
        start = starting_model(point, {}, self.train_problems, self.run_root, seed, **options)
        if "state" in start:
            design.load_state(start["state"])
        with self.sampler(start.get("model", model)) as sampler:
            return preview(
                design,
                self.train_problems,
                sampler,
                profile,
                run_dir=self.preview_dir(point, seed),
                reference=reference,
            )

    def preview_dir(self, point: Point, seed: int = 0) -> Path:
        """Directory of a preview's rollouts; designs with the same prompts and starting model share it."""
        run, stem = of_design(self.run_settings(point), "a preview"), "preview"
        cls = find_design(point.design)
        if cls.hint or cls.modes:
            stem += f"-{Point(cls.NAME if ':' in point.design else point.design, point.params).name}"
        if point.after:
            stem += "-" + run_name(f"after {point.after.name}", seed)
        return self.run_root / f"{stem}-{run.max_tokens}x{run.training.group_size}".replace(" ", "_")

    @checked_arguments(points=POINTS)
    @brief_interrupts(resumable)
    def train(
        self,
        points: Points,
        seeds: Sequence[int] = (0,),
        *,
        base: bool = True,
        model: str | None = None,
        reference: Mapping | None = None,
        report_to: Sequence[str] = (),
        watch: str = "auto",
    ) -> RunSet:
        """Train every point under every seed and evaluate each model at all budgets.

        Call it again after a kill: finished runs are read back, the others continue.

        Args:
            points: The points; a mapping gives them other names than their own.
            seeds: One run of each point per seed; three are the least that say something about a method.
            base: Evaluate the starting model as well, as the method "base".
            model: Model to start from; default: the profile's.
            reference: What `reference()` gives; default: made where a design needs it.
            report_to: Live logs besides metrics.jsonl: "tensorboard", "trackio", "wandb".
            watch: "auto" (a line, with a live figure in a notebook), "lines" or "none".

        Returns:
            The runs in order: the base under each seed, then each point under each seed.
        """
        listed = points.values() if isinstance(points, Mapping) else points
        for point in listed:  # before the reference is sampled
            check_point(point, **self._settings, model=model)
        if reference is None and any(map(needs_reference, listed)):
            reference = self.reference()
        runs = run_points(
            points,
            self.train_problems,
            self.eval_problems,
            **self._settings,
            run_root=self.run_root,
            seeds=seeds,
            base=base,
            model=model,
            eval_engine=self.eval_engine,
            reference=reference,
            report_to=report_to,
            watch=watch,
        )
        self._folders += [run.run_dir for run in runs]
        return runs

    @checked_arguments(prompting=Prompting)
    def evaluate(
        self,
        name: str = BASE,
        *,
        model: str | None = None,
        effort: str | None = None,
        prompting: Prompting | None = None,
        seed: int = 0,
        run_dir: str | Path | None = None,
        progress: bool = True,
    ) -> RunAnalysis:
        """Sample and stop a model at every budget of the profile, on the evaluation problems.

        Args:
            name: Name of the method in tables and figures.
            model: Hub id or directory; default: the model that training starts from.
            effort: An effort prompt: "low", "medium" or "high".
            prompting: Other changes of the prompt.
            seed: Seed of the rollouts.
            run_dir: Directory of the evaluation; default: `<run_root>/<name>-seed<seed>/eval`.
            progress: Show the progress.
        """
        folder = Path(run_dir) if run_dir else self.run_root / run_name(name, seed) / EVALUATION
        describe_run(folder, {"method": name, "seed": seed})
        with self.sampler(model) as sampler:
            evaluate(
                self.eval_problems,
                sampler,
                self.profile,
                run_dir=folder,
                name=name,
                seed=seed,
                effort=effort,
                prompting=prompting,
                progress=progress,
            )
        self._folders.append(folder)
        return next(iter(RunSet.of(self.run_root, [folder])))

    def save(self, **results: Any) -> pd.DataFrame:
        """Write figures and tables to `figures_dir`, each as `<prefix>_<name>`.

        Args:
            **results: By name: a figure (written as HTML), a DataFrame (CSV), a `Frontier` (JSON), or a pair
                (figure, DataFrame) where the CSV is what the figure was drawn from.

        Returns:
            A row per file, and per run directory of this study: path, files, kB.
        """
        from effwb.export import save

        written: list[Path] = []
        for name, result in results.items():
            stem = self.figures_dir / (f"{self.prefix}_{name}" if self.prefix else name)
            stem.parent.mkdir(parents=True, exist_ok=True)
            figure, table = result if isinstance(result, tuple) else (result, None)
            if hasattr(figure, "write_html"):
                written += save(figure, stem, table)
            elif isinstance(figure, Frontier):
                written.append(Path(f"{stem}.json"))
                figure.save(written[-1])
            elif hasattr(figure, "to_csv"):
                written.append(Path(f"{stem}.csv"))
                figure.to_csv(written[-1], index=False)
            else:
                kind = type(figure).__name__
                raise ConfigError(f"{stem.name} is neither a figure, a table nor a frontier: {kind}")
        folders = [folder.parent if folder.name == EVALUATION else folder for folder in self._folders]
        return notebook.files_written(*dict.fromkeys(folders), *written)
