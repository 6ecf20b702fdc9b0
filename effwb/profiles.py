"""Profiles: a scale of experiment as a set of values, and nothing else. Notebook parameters override single
fields."""

from dataclasses import asdict, dataclass, fields, replace

from effwb.errors import ConfigError, one_of


@dataclass(frozen=True)
class Profile:
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

    def override(self, **values) -> "Profile":
        """A copy with some fields replaced; None leaves a field as it is. An unknown field or a value of the
        wrong type raises `ConfigError`.
        """
        given = {k: v for k, v in values.items() if v is not None}
        for name in values:
            one_of("profile field", name, [f.name for f in fields(self)])
        for name, value in given.items():
            wanted = type(getattr(self, name))
            if type(value) is not wanted and not (wanted is float and type(value) is int):
                raise ConfigError(f"{name} must be {wanted.__name__}, got {value!r}")
        return replace(self, **given)

    @property
    def budgets(self) -> list[int]:
        from effwb.budgets import scaled_grid

        return [int(b) for b in scaled_grid(min(self.grid_cap, self.max_tokens))]

    def as_dict(self) -> dict:
        return asdict(self)


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
