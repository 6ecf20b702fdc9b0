"""Profiles: a scale of experiment as a set of values, and nothing else. Notebook parameters override single
fields.
"""

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Self, TypeVar

from effwb.errors import ConfigError, one_of
from effwb.prompts import Prompting


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
        ConfigError: `shard_problems` is below 1.
    """

    max_tokens: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    shard_problems: int = 32
    verify_timeout: float = 5.0

    def __post_init__(self):
        if self.shard_problems < 1:
            raise ConfigError(f"shard_problems must be at least 1, got {self.shard_problems}")


class Values:
    """What both classes of values share: a copy with some fields replaced, and a plain dict."""

    def override(self, **values) -> Self:
        """A copy with some fields replaced; None leaves a field as it is. An unknown field or a value of the
        wrong type raises `ConfigError`.
        """
        given = {k: v for k, v in values.items() if v is not None}
        for name in values:
            one_of(f"{type(self).__name__.lower()} field", name, [f.name for f in fields(self)])
        for name, value in given.items():
            wanted = type(getattr(self, name))
            if type(value) is not wanted and not (wanted is float and type(value) is int):
                raise ConfigError(f"{name} must be {wanted.__name__}, got {value!r}")
        return replace(self, **given)

    def as_dict(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class Training(Values):
    """How GRPO is run. A step is one optimizer update.

    `temperature` and `top_p` are those of the rollouts that train, whatever evaluation uses; a nucleus is not
    in the log-probabilities of the loss, so 1.0 is the only value that is on-policy. A round samples
    `problems_per_round` x `group_size` rollouts and feeds `updates_per_round` updates, each on its own share
    of them; `iterations` goes over them that many times. The last update of a round is then updates_per_round
    x iterations - 1 updates off-policy. `micro_batch` is the number of rollouts per forward and backward pass
    and process, `tokens_per_forward` bounds one forward pass inside it (padding included). `refill_rounds`:
    how often groups whose rewards are all equal are sampled anew from other problems (DAPO's dynamic
    sampling; 0 is off). `clip_high` above `clip_low` is clip-higher. `kl` is the coefficient of the KL term
    against the starting model. `loss` is TRL's `loss_type`; "dapo" averages over the tokens of a round,
    "grpo" over each rollout first, "dr_grpo" divides by the cap. `weights` is the dtype of the weights,
    `precision` that of the matrix products. `lora_rank` 0 trains all weights. `processes` is the number of
    GPUs to train on, `accelerate_config` a file that says how they share the work (default: DDP).
    """

    n_problems: int
    steps: int
    problems_per_round: int
    group_size: int
    learning_rate: float
    temperature: float = 1.0
    top_p: float = 1.0
    updates_per_round: int = 1
    iterations: int = 1
    micro_batch: int = 8
    tokens_per_forward: int = 16384
    refill_rounds: int = 0
    clip_low: float = 0.2
    clip_high: float = 0.2
    kl: float = 0.0
    loss: str = "dapo"
    warmup_steps: int = 0
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    weights: str = "float32"
    precision: str = "bfloat16"
    gradient_checkpointing: bool = False
    lora_rank: int = 0
    lora_alpha: int = 32
    save_every: int = 20
    keep_checkpoints: int = 2
    engine: str = "transformers"
    processes: int = 1
    accelerate_config: str = ""


@dataclass(frozen=True)
class Profile(Values):
    """Everything that differs between the pocket model and a real one. Lengths and budgets are in tokens.

    The budget grid is the paper's grid of 16,384 tokens (2506.07104, App. F) scaled to `grid_cap`, or to
    `max_tokens` where that is smaller. `answer_tokens` bounds a forced answer.
    """

    model: str
    problems: str
    n_problems: int
    n_samples: int
    template: str
    max_tokens: int
    grid_cap: int
    answer_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    dtype: str = "float32"
    engine: str = "transformers"
    shard_problems: int = 32
    training: Training = field(default_factory=lambda: REAL_TRAINING)

    @property
    def budgets(self) -> list[int]:
        from effwb.budgets import scaled_grid

        return [int(b) for b in scaled_grid(min(self.grid_cap, self.max_tokens))]

    def as_in_training(self) -> "Profile":
        """The same with rollouts sampled as they are in training."""
        return replace(self, temperature=self.training.temperature, top_p=self.training.top_p)

    def sampling(self, **changes) -> Sampling:
        """Return this profile's `Sampling`; `changes` replace fields of it.

        Example:
            >>> PROFILES["pocket"].sampling(temperature=0.5).max_tokens
            512
        """
        own = Sampling(self.max_tokens, self.temperature, self.top_p, self.shard_problems)
        return _replaced(own, changes)

    def prompting(self, **changes) -> Prompting:
        """Return this profile's `Prompting`; `changes` replace fields of it.

        Example:
            >>> PROFILES["pocket"].prompting(effort="low").template
            'pocket'
        """
        return _replaced(Prompting(self.template), changes)


_Settings = TypeVar("_Settings", Sampling, Prompting)


def _replaced(values: _Settings, changes: dict) -> _Settings:
    for name in changes:
        one_of(f"{type(values).__name__} field", name, [f.name for f in fields(values)])
    return replace(values, **changes)


# The setting most of the papers share: batches of 128 prompts, 8 to 16 rollouts, learning rate 1e-6
REAL_TRAINING = Training(
    n_problems=4000,
    steps=200,
    problems_per_round=128,
    group_size=8,
    learning_rate=1e-6,
    micro_batch=4,
    clip_high=0.28,
    gradient_checkpointing=True,
    engine="trl-vllm-colocate",
)


def _reasoning(model: str, **values) -> Profile:
    """The evaluation protocol of 2506.07104: T 0.6, top-p 0.95, 32 samples, cap 32,768, REG up to 16,384."""
    defaults = dict(
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
    )
    return Profile(model, **{**defaults, **values})


PROFILES = {
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


def profile(name: str, **overrides) -> Profile:
    """The profile of that name with some fields replaced; `ConfigError` lists names and fields."""
    one_of("profile", name, PROFILES)
    return PROFILES[name].override(**overrides)
