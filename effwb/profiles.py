"""Profiles: the settings of an experiment at one scale, from the pocket model to a real one.

A profile is a set of checked values and nothing else. Notebook parameters replace single fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Literal, NoReturn, Self, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from effwb._internal.checked import AboveZero, NotNegative, Positive, Share, TopP, check_fields, refuse_value
from effwb.errors import ConfigError, one_of
from effwb.models import Dtype
from effwb.prompts import TEMPLATES, Prompting
from effwb.samplers import SAMPLERS


class CheckedValues(BaseModel):
    """Base of `Training` and `Profile`: values that are checked once, when they are set, and never change.

    Types are strict: "60" and True are not integers. A whole number is accepted for a float.

    Raises:
        ConfigError: For an unknown field (the message has the nearest name), a wrong type, or a value out of
            range.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    def __init__(self, **values: Any):
        try:
            super().__init__(**values)
            return
        except ValidationError as error:
            problems = error.errors(include_url=False)
        _refuse(type(self), problems)  # outside the except block: a traceback without pydantic's part

    def override(self, **values: Any) -> Self:
        """Return a copy with some fields replaced.

        Args:
            **values: New values by field name. None leaves a field as it is.

        Raises:
            ConfigError: As in the constructor.
        """
        changes = {k: v for k, v in values.items() if v is not None or k not in type(self).model_fields}
        return type(self)(**{**dict(self), **changes})

    def as_dict(self) -> dict[str, Any]:
        """Return the values as a plain dict, in the order of the fields."""
        return self.model_dump()


def _refuse(cls: type[CheckedValues], problems: list[Any]) -> NoReturn:
    """Raise what pydantic found as a `ConfigError` about the first wrong field."""
    name, owner = str(problems[0]["loc"][0]), cls.__name__.lower()
    if problems[0]["type"] == "missing":
        raise ConfigError(f"{owner} field {name!r} is missing")
    one_of(f"{owner} field", name, cls.model_fields)
    own = [problem for problem in problems if problem["loc"][0] == name]
    kind = get_type_hints(cls, include_extras=True)[name]
    label = f"{owner} {name}" if own[0]["type"] == "literal_error" else name
    refuse_value(label, own[0]["input"], kind, own)


@dataclass(frozen=True)
class Sampling:
    """How rollouts are sampled and graded.

    Attributes:
        max_tokens: The cap: most tokens of a completion, EOS included. Default: what the model's context
            leaves after the longest prompt and a forced answer, at most 32,768.
        temperature: 0 is greedy.
        top_p: Share of the probability that tokens are drawn from, in (0, 1].
        shard_problems: Problems per file; a killed run continues after its last whole file.
        verify_timeout: Most seconds for comparing one answer with its gold.

    Raises:
        ConfigError: A value has a wrong type or is out of range.
    """

    max_tokens: Positive | None = None
    temperature: NotNegative = 1.0
    top_p: TopP = 1.0
    shard_problems: Positive = 32
    verify_timeout: AboveZero = 5.0

    def __post_init__(self):
        check_fields(self)


class Training(CheckedValues):
    """How GRPO is run. A step is one optimizer update.

    A round samples `problems_per_round` x `group_size` rollouts and feeds `updates_per_round` updates, each
    with its own share of them, and goes over them `iterations` times. The last update of a round is therefore
    updates_per_round x iterations - 1 updates off-policy.

    Attributes:
        n_problems: Problems to train on.
        steps: Optimizer updates of the whole run.
        problems_per_round: Problems sampled in a round.
        group_size: Rollouts per problem (G).
        learning_rate: Learning rate of AdamW after the warm-up.
        temperature: Temperature of the rollouts that train, whatever evaluation uses.
        top_p: Nucleus of the rollouts that train. The loss does not know a nucleus: only 1.0 is on-policy.
        updates_per_round: Optimizer updates that share the rollouts of a round.
        iterations: Passes over the rollouts of a round.
        micro_batch: Rollouts per forward and backward pass and process.
        tokens_per_forward: Tokens in one forward pass inside a micro-batch, padding included.
        refill_rounds: How often groups whose rewards are all equal are replaced by new problems (DAPO's
            dynamic sampling); 0 is off.
        clip_low: Clipping range of the ratio below 1.
        clip_high: Clipping range above 1; larger than `clip_low` is clip-higher. With loss "cispo" the upper
            bound of the ratio itself, above 1.
        kl: Coefficient of the KL term against the starting model.
        kl_estimator: How the KL term of a token is estimated from the log-ratio d = log pi - log pi_start:
            "k1" is d, "k2" and "mse" are d^2 / 2, "k3" is exp(-d) - 1 + d. In the loss, the gradient of "k1"
            is 0 on average.
        kl_place: Where the KL term stands: in the "loss", or in the "reward" of each token, as in PPO.
        kl_bias_correction: True: "k3" in the loss is multiplied by the probability ratio, which changes its
            gradient (DeepSeek-V3.2, 2512.02556; the default of TRL). False: it is not, as in verl and
            OpenRLHF. Other estimators never are.
        loss: TRL's `loss_type`. "dapo" averages over the tokens of a round, "grpo" over each rollout first,
            "dr_grpo" divides by the cap.
        warmup_steps: Steps over which the learning rate rises from 0.
        schedule: The learning rate after the warm-up: "constant", or falling to 0 along a "cosine" or a line
            ("linear").
        weight_decay: Weight decay of AdamW.
        adam_beta1: Decay of AdamW's mean of the gradients.
        adam_beta2: Decay of AdamW's mean of their squares.
        adam_eps: Added to AdamW's denominator.
        max_grad_norm: Gradients are clipped to this norm.
        weights: Dtype of the weights.
        precision: Dtype of the matrix products.
        gradient_checkpointing: Compute activations again in the backward pass to save memory.
        lora_rank: Rank of LoRA adapters; 0 trains all weights.
        lora_alpha: Scale of LoRA adapters.
        save_every: Steps between checkpoints.
        keep_checkpoints: Checkpoints to keep.
        engine: Samples the rollouts that train.
        processes: GPUs to train on.
        accelerate_config: File that says how the processes share the work (default: DDP).
    """

    n_problems: Positive
    steps: Positive
    problems_per_round: Positive
    group_size: Positive
    learning_rate: NotNegative
    temperature: Annotated[float, Field(ge=1e-3, le=10)] = 1.0
    top_p: TopP = 1.0
    updates_per_round: Positive = 1
    iterations: Positive = 1
    micro_batch: Positive = 8
    tokens_per_forward: Positive = 16384
    refill_rounds: Annotated[int, Field(ge=0, le=1000)] = 0
    clip_low: Share = 0.2
    clip_high: NotNegative = 0.2
    kl: NotNegative = 0.0
    kl_estimator: Literal["k1", "k2", "k3", "mse"] = "k3"
    kl_place: Literal["loss", "reward"] = "loss"
    kl_bias_correction: bool = True
    loss: Literal["grpo", "dapo", "dr_grpo", "bnpo", "cispo"] = "dapo"
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    weight_decay: NotNegative = 0.0
    adam_beta1: Annotated[float, Field(ge=0, le=0.999999)] = 0.9
    adam_beta2: Annotated[float, Field(ge=0, le=0.999999)] = 0.999
    adam_eps: NotNegative = 1e-8
    max_grad_norm: NotNegative = 1.0
    weights: Dtype = "float32"
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    gradient_checkpointing: bool = False
    lora_rank: Annotated[int, Field(ge=0, le=4096)] = 0
    lora_alpha: Positive = 32
    save_every: Positive = 20
    keep_checkpoints: Annotated[int, Field(ge=0)] = 2
    engine: Literal["transformers", "vllm", "trl", "trl-vllm-colocate", "trl-vllm-server"] = "transformers"
    processes: Positive = 1
    accelerate_config: str = ""


# Where and how a real model is trained, and what the recipes (`effwb.recipes`) go over. The settings of the
# method are those that most papers state (128 problems, 8 rollouts, learning rate 1e-6, PPO's clip of 0.2, no
# KL). They count where a paper leaves a field open, and for designs that have no recipe.
REAL_TRAINING = Training(
    n_problems=4000,
    steps=200,
    problems_per_round=128,
    group_size=8,
    learning_rate=1e-6,
    micro_batch=4,
    gradient_checkpointing=True,
    engine="trl-vllm-colocate",
)


class Profile(CheckedValues):
    """Everything that differs between the pocket model and a real one.

    The budget grid is the paper's grid of 16,384 tokens (2506.07104, App. F) scaled to `grid_cap`, or to
    `max_tokens` where that is smaller.

    Attributes:
        model: Model name, hub id or directory (`effwb.models.locate`).
        problems: Source of the evaluation problems (`effwb.problems.load`).
        n_problems: Evaluation problems.
        n_samples: Rollouts per evaluation problem (N).
        template: Prompt template (`effwb.prompts.TEMPLATES`).
        max_tokens: Cap of a rollout, in tokens.
        grid_cap: Largest budget of the grid, in tokens.
        answer_tokens: Cap of a forced answer, in tokens.
        temperature: Temperature of evaluation; 0 is greedy.
        top_p: Nucleus of evaluation.
        dtype: Dtype of the model in evaluation.
        engine: Engine that samples in evaluation (`effwb.samplers.SAMPLERS`).
        shard_problems: Problems in a shard of a run directory, the unit that is sampled and saved at once.
        training: How the model is trained; the recipe of a design goes over it.
        recipe: Which recipe a design trains with: "paper", its paper's, or "pocket", the settings in
            `training` for all designs (`effwb.recipes`).
        trust_remote_code: Whether code that comes with the model may run here. Read it first.
    """

    model: str
    problems: str
    n_problems: Positive
    n_samples: Positive
    template: str
    max_tokens: Positive
    grid_cap: Positive
    answer_tokens: Positive
    temperature: NotNegative = 1.0
    top_p: TopP = 1.0
    dtype: Dtype = "float32"
    engine: str = "transformers"
    shard_problems: Positive = 32
    training: Training = REAL_TRAINING
    recipe: Literal["paper", "pocket"] = "pocket"
    trust_remote_code: bool = False

    @field_validator("engine")
    @classmethod
    def _check_engine(cls, engine: str) -> str:
        one_of("engine", engine, SAMPLERS)
        return engine

    @field_validator("template")
    @classmethod
    def _check_template(cls, template: str) -> str:
        one_of("template", template, TEMPLATES)
        return template

    @property
    def budgets(self) -> list[int]:
        """The budgets at which answers are forced, in tokens, increasing."""
        from effwb.budgets import scaled_grid

        return [int(b) for b in scaled_grid(min(self.grid_cap, self.max_tokens))]

    @property
    def sampler_options(self) -> dict[str, Any]:
        """The options of `open_sampler` that every engine takes from a profile."""
        return {"dtype": self.dtype, "trust_remote_code": self.trust_remote_code}

    def as_in_training(self) -> "Profile":
        """Return the same profile with the temperature and nucleus of training."""
        return self.override(temperature=self.training.temperature, top_p=self.training.top_p)

    def sampling(self, **changes: Any) -> Sampling:
        """Return this profile's `Sampling`; `changes` replace fields of it.

        Example:
            >>> PROFILES["pocket"].sampling(temperature=0.5).max_tokens
            512
        """
        own = Sampling(self.max_tokens, self.temperature, self.top_p, self.shard_problems)
        return _replaced(own, changes)

    def prompting(self, **changes: Any) -> Prompting:
        """Return this profile's `Prompting`; `changes` replace fields of it.

        Example:
            >>> PROFILES["pocket"].prompting(effort="low").template
            'pocket'
        """
        return _replaced(Prompting(self.template), changes)


_Settings = TypeVar("_Settings", Sampling, Prompting)


def _replaced(values: _Settings, changes: Mapping[str, Any]) -> _Settings:
    for name in changes:
        one_of(f"{type(values).__name__} field", name, [f.name for f in fields(values)])
    return replace(values, **changes)


def _reasoning(model: str, **values: Any) -> Profile:
    """The evaluation protocol of 2506.07104: T 0.6, top-p 0.95, 32 samples, cap 32,768, REG up to 16,384."""
    defaults: dict[str, Any] = dict(
        problems="math500",
        n_problems=500,
        n_samples=32,
        template="boxed_dynasor",
        max_tokens=32768,
        grid_cap=16384,
        answer_tokens=20,
        temperature=0.6,
        top_p=0.95,
        dtype="bfloat16",
        recipe="paper",
    )
    return Profile(model=model, **{**defaults, **values})


PROFILES: dict[str, Profile] = {
    "pocket": Profile(
        model="pocket",
        problems="pocket",
        n_problems=210,
        n_samples=8,
        template="pocket",
        max_tokens=512,
        grid_cap=512,
        answer_tokens=8,
        training=Training(
            n_problems=512,
            steps=60,
            problems_per_round=16,
            group_size=8,
            learning_rate=6e-4,
            micro_batch=128,
            tokens_per_forward=2048,
            precision="float32",
        ),
    ),
    "smollm2": Profile(
        model="smollm2",
        problems="reasoning-gym:chain_sum",
        n_problems=16,
        n_samples=4,
        template="instruct",
        max_tokens=256,
        grid_cap=256,
        answer_tokens=16,
        temperature=0.7,
        shard_problems=8,
        training=Training(
            n_problems=256,
            steps=20,
            problems_per_round=4,
            group_size=4,
            learning_rate=1e-5,
            micro_batch=4,
        ),
    ),
    "qwen3-0.6b": _reasoning("Qwen/Qwen3-0.6B"),
    "qwen3-4b": _reasoning("Qwen/Qwen3-4B"),
    "qwen3-8b": _reasoning("Qwen/Qwen3-8B"),
    "r1-qwen-1.5b": _reasoning("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"),
    "r1-qwen-7b": _reasoning("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"),
}


def profile(name: str, **overrides: Any) -> Profile:
    """Return a profile, with some of its fields replaced.

    Args:
        name: A key of `PROFILES`.
        **overrides: New values by field name. None leaves a field as it is.

    Raises:
        ConfigError: For an unknown name or field, or a value that is not legal.

    >>> profile("pocket", n_samples=2).n_samples
    2
    """
    one_of("profile", name, PROFILES)
    return PROFILES[name].override(**overrides)
