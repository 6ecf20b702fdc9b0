"""`Recipe`: the settings that a paper prints for its method, with the source of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from effwb.designs import DESIGNS
from effwb.profiles import REAL_TRAINING, Training
from effwb.prompts import template

if TYPE_CHECKING:
    import pandas as pd

# The fields of `Training` that belong to a method. The others say where and how fast a run computes.
METHOD_FIELDS = (
    *("learning_rate", "weight_decay", "adam_beta1", "adam_beta2", "adam_eps", "max_grad_norm"),
    *("schedule", "warmup_steps", "steps", "problems_per_round", "group_size", "updates_per_round"),
    *("iterations", "refill_rounds", "clip_low", "clip_high", "kl", "kl_estimator", "kl_place"),
    *("kl_bias_correction", "loss", "temperature", "top_p", "n_problems"),
)
RUN_FIELDS = ("max_tokens", "template", "model", "train_source")  # what a recipe says beside `Training`
COLUMNS = ("field", "paper", "recipe", "what differs and why", "source")


class Difference(NamedTuple):
    """A point in which a run, or a recipe, is not the paper's experiment.

    Attributes:
        field: The setting.
        paper: The paper's value.
        here: The value here; None where there is nothing like it.
        why: Why it differs.
    """

    field: str
    paper: Any
    here: Any
    why: str

    def __str__(self) -> str:
        here = "nothing like it" if self.here is None else text(self.here)
        return f"{self.field}: {here} here, {text(self.paper)} in the paper ({self.why})"


@dataclass(frozen=True)
class Recipe:
    """The settings of one design: those of its paper, or those of the pocket model.

    A recipe sets `values`, `params` and `max_tokens` of a training. `template`, `model` and `train_source`
    belong to the whole experiment, its evaluation included, so they are compared and never set.

    Attributes:
        design: Name of the design.
        kind: "paper", "pocket", or "own" for values that the caller chose.
        paper: The arXiv number of the paper whose settings these are; "" for none.
        values: The fields of `profiles.Training` that the recipe states.
        sources: Where the paper or its code says so, by field: "2506.07104, Table 4".
        open: The fields that the paper leaves open, each with our choice and its reason.
        differs: By field: the paper's value, and why effwb or its library does something else.
        params: Parameters of the design that differ from its defaults.
        max_tokens: Cap of the completions that train, in tokens; None: the profile's.
        template: The template in `prompts.TEMPLATES` that asks as the paper does; "" for none.
        model: The models that the paper starts from; () where it does not say.
        train_source: The training problems, as `problems.load` takes them; "" for none.
        warmup_share: Warm-up as a share of all steps, where the paper prints it so.
        base: The settings under `values` in `training`: the real profiles', or the pocket profile's.
    """

    design: str
    kind: str = "paper"
    paper: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    open: Mapping[str, str] = field(default_factory=dict)
    differs: Mapping[str, Difference] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    max_tokens: int | None = None
    template: str = ""
    model: tuple[str, ...] = ()
    train_source: str = ""
    warmup_share: float | None = None
    base: Training = REAL_TRAINING

    def __str__(self) -> str:
        return f"recipe {self.kind!r} of {self.design}" + (f" ({self.paper})" if self.paper else "")

    @property
    def stage_before(self) -> str | None:
        """The design whose model the paper starts from; None for a model that is none of its stages."""
        return self.model[0] if self.model and self.model[0] in DESIGNS else None

    @property
    def training(self) -> Training:
        """The recipe's `profiles.Training`: its values over `base`."""
        return self.apply(self.base)

    def apply(self, training: Training, caller_settings: Mapping[str, Any] | None = None) -> Training:
        """Return training settings with the recipe's values, and then the caller's, in place of their own.

        Steps and the steps between checkpoints are rounded up to whole rounds, unless the caller gives them.

        Args:
            training: The settings of a profile.
            caller_settings: Fields that the caller sets, which win over the recipe. None leaves a field.
        """
        caller_settings = caller_settings or {}
        settings = training.override(**self.values).override(**caller_settings)
        chosen = {name for name, value in caller_settings.items() if value is not None}
        if {"updates_per_round", "iterations"} & self.values.keys():
            per_round = settings.updates_per_round * settings.iterations
            free = {"steps", "save_every"} - chosen
            whole = {name: -(-getattr(settings, name) // per_round) * per_round for name in free}
            settings = settings.override(**whole)
        if self.warmup_share is not None and "warmup_steps" not in chosen:
            settings = settings.override(warmup_steps=round(self.warmup_share * settings.steps))
        return settings

    def stated(self) -> dict[str, Any]:
        """All that the recipe says, by field: its values, parameters, cap, template, models and problems."""
        if self.kind == "pocket":  # the profile's setting of every field is a part of it
            return {name: getattr(self.training, name) for name in METHOD_FIELDS} | dict(self.params)
        said = {**self.values, **self.params}
        if self.warmup_share is not None:
            said["warmup_steps"] = f"{self.warmup_share:g} of the steps"
        said |= {name: getattr(self, name) for name in RUN_FIELDS if getattr(self, name)}
        return said

    def table(self) -> pd.DataFrame:
        """The recipe beside its paper.

        Returns:
            A row per field: field, paper (the paper's value), recipe (the recipe's), what differs and why,
            source.
        """
        import pandas as pd

        rows, stated = [], self.stated()
        for name, value in stated.items():
            differs = self.differs.get(name)
            paper = differs.paper if differs else None if name in self.open else value
            why = differs.why if differs else self.open.get(name, "")
            rows.append((name, text(paper), text(value), why, self.sources.get(name, "")))
        for name, why in self.open.items():
            if name not in stated:
                rows.append((name, text(None), text(getattr(self.training, name, None)), why, ""))
        for name, differs in self.differs.items():
            if name not in stated:
                row = (name, text(differs.paper), text(differs.here), differs.why)
                rows.append((*row, self.sources.get(name, "")))
        order = {name: k for k, name in enumerate((*METHOD_FIELDS, *RUN_FIELDS))}
        rows.sort(key=lambda row: order.get(row[0], len(order)))
        return pd.DataFrame(rows, columns=list(COLUMNS))

    def differences(
        self,
        settings: Training,
        max_tokens: int,
        *,
        params: Mapping[str, Any] | None = None,
        model: str = "",
        sources: Iterable[str] = (),
        n_problems: int | None = None,
        question_suffix: str | None = None,
    ) -> list[Difference]:
        """What of the paper's experiment a run does not have; fields that the paper leaves open are no part.

        Args:
            settings: The training settings of the run.
            max_tokens: Its cap in tokens.
            params: The parameters of the design that differ from the recipe's: (recipe's value, run's value).
            model: Its starting model; "" is not compared.
            sources: Where its training problems come from; () is not compared.
            n_problems: How many training problems there are; None is not compared.
            question_suffix: What its template appends to a question; None is not compared.
        """
        changed = dict(params or {})
        compared = {*self.values, *changed, *(["train_source"] if sources else [])}
        rows = [row for name, row in self.differs.items() if name not in compared]
        for name, value in self.values.items():
            here = n_problems if name == "n_problems" else getattr(settings, name)
            if here != value and here is not None:
                paper = self.differs[name].paper if name in self.differs else value
                rows.append(Difference(name, paper, here, "set for this run"))
            elif name in self.differs:
                rows.append(self.differs[name])
        if self.warmup_share is not None:
            rows += self._warmup_difference(settings)
        if self.max_tokens and max_tokens != self.max_tokens:
            rows.append(Difference("max_tokens", self.max_tokens, max_tokens, "set for this run"))
        for name, (expected, here) in changed.items():
            paper = self.differs[name].paper if name in self.differs else expected
            if paper != here:
                rows.append(Difference(name, paper, here, "set for this run"))
        if model and self.model and not any(_is_model(model, name) for name in self.model):
            rows.append(Difference("model", self.model, model, "start where the paper does with model="))
        rows += self._source_difference(set(sources))
        if question_suffix is not None and self.template and "template" not in self.differs:
            paper = template(self.template).question_suffix
            if question_suffix != paper:
                rows.append(Difference("template", paper, question_suffix, "the profile's template"))
        return rows

    def _warmup_difference(self, settings: Training) -> list[Difference]:
        here = settings.warmup_steps
        if here == round((self.warmup_share or 0) * settings.steps):
            return []
        return [Difference("warmup_steps", f"{self.warmup_share:g} of the steps", here, "set for this run")]

    def _source_difference(self, sources: set[str]) -> list[Difference]:
        if not sources or not self.train_source:
            return []
        differs, here = self.differs.get("train_source"), ", ".join(sorted(sources))
        if short_name(self.train_source) in map(short_name, sources):
            return [differs] if differs else []
        paper = differs.paper if differs else self.train_source
        return [Difference("train_source", paper, here, "the problems that this run was given")]


def _is_model(model: str, name: str) -> bool:
    """Whether a starting model is the named one: by its own name, or the run of a design that comes first."""
    path = Path(model)
    if path.name == "model" and name in DESIGNS:  # <run>/model, as `train` leaves it
        return path.parent.name.startswith(name)
    return short_name(model) == short_name(name)


def short_name(model: str) -> str:
    """The last part of a hub id, a path or a problem source, in lower case.

    >>> short_name("hub:deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B")
    'deepseek-r1-distill-qwen-1.5b'
    """
    return model.rstrip("/").rpartition("/")[2].rpartition(":")[2].lower()


def text(value: Any) -> str:
    """A value in a table: numbers short, lists with commas, a dash where there is none."""
    if value is None or value == "":
        return "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
