"""Checks of `train` before anything is loaded."""

import numpy as np

from effwb.designs import Design, Group
from effwb.errors import ConfigError, DataError, one_of
from effwb.profiles import Training
from effwb.training.engines import ENGINES
from effwb.training.trl_config import accumulation, processes

LOSSES = ("grpo", "dapo", "dr_grpo", "bnpo", "cispo")
RANGES = (  # field of Training, least and greatest value
    ("learning_rate", 0.0, np.inf),
    ("temperature", 1e-3, 10.0),
    ("top_p", 1e-6, 1.0),
    ("clip_low", 0.0, 1.0),
    ("clip_high", 0.0, np.inf),
    ("kl", 0.0, np.inf),
    ("weight_decay", 0.0, np.inf),
    ("max_grad_norm", 0.0, np.inf),
    ("refill_rounds", 0, 1000),
    ("lora_rank", 0, 4096),
    ("tokens_per_forward", 1, np.inf),
)


def check(settings: Training, design: Design, cap: int, problems, reference, monitor) -> None:
    """Refuse what cannot be trained, before anything is loaded.

    Args:
        settings: The training settings.
        design: The design, with the state it begins with.
        cap: Tokens a completion may have.
        problems: The training problems.
        reference: {problem id: {"length", "accuracy"}} of a frozen model, or None.
        monitor: The monitoring problems of laser_d, or None.

    Raises:
        ConfigError: If settings, design and engine do not fit together.
        DataError: If the design needs a reference and problems are missing from it.
    """
    _check_settings(settings, design)
    _check_engine(settings)
    accumulation(settings)
    design.check_cap(cap)
    held_out = getattr(design, "monitor", None) == "held_out"
    if held_out != (monitor is not None):
        raise ConfigError(
            f"{design.NAME}: monitor='held_out' needs train(monitor=<problems>), and nothing else uses it"
        )
    if design.needs_reference:
        _check_reference(design, problems, reference)
    if design.losses is not None and settings.loss not in design.losses:
        raise ConfigError(
            f"{design.NAME} belongs to loss={' or '.join(map(repr, design.losses))}, got {settings.loss!r}"
        )
    if design.openings(settings.group_size) is not None and settings.engine.startswith("trl"):
        raise ConfigError(
            f"{design.NAME} forces how rollouts begin, which engine {settings.engine!r} cannot do; use "
            "'transformers' (or, on a CPU, 'vllm')"
        )
    _rehearse(settings, design, cap, problems, reference)


def _check_settings(s: Training, design: Design) -> None:
    if s.group_size < 2:
        raise ConfigError(
            f"group_size={s.group_size}: rule {design.rule!r} compares rollouts of one problem and needs at "
            "least 2"
        )
    for name in (
        "steps",
        "problems_per_round",
        "updates_per_round",
        "iterations",
        "micro_batch",
        "save_every",
        "processes",
    ):
        if getattr(s, name) < 1:
            raise ConfigError(f"{name}={getattr(s, name)} must be at least 1")
    for name, low, high in RANGES:
        if not low <= getattr(s, name) <= high:
            raise ConfigError(f"{name}={getattr(s, name)} must lie in [{low:g}, {high:g}]")
    one_of("precision", s.precision, ("float32", "bfloat16"))
    one_of("loss", s.loss, LOSSES)
    rows, updates = s.problems_per_round * s.group_size, s.updates_per_round * s.iterations
    if rows % s.updates_per_round:
        raise ConfigError(
            f"{rows} rollouts of a round do not divide into updates_per_round={s.updates_per_round}"
        )
    for name in ("steps", "save_every"):
        if getattr(s, name) % updates:
            raise ConfigError(
                f"{name}={getattr(s, name)} must be a multiple of updates_per_round x iterations = "
                f"{updates}: a run can only be saved, and can only end, where a round ends"
            )


def _check_engine(s: Training) -> None:
    one_of("training engine", s.engine, ENGINES)
    if s.engine.startswith("trl-vllm") and s.top_p < 1:
        raise ConfigError(
            f"top_p={s.top_p} with {s.engine!r}: its probabilities are those of the nucleus, the loss uses "
            "those of the whole vocabulary, and the correction between them would silence long rollouts; "
            "use top_p=1.0"
        )
    if s.engine.startswith("trl") and s.refill_rounds and processes(s) > 1:
        raise ConfigError(f"refill_rounds on several processes needs engine 'transformers', not {s.engine!r}")
    if s.engine == "vllm" and s.lora_rank and s.weights != "float32":
        raise ConfigError(
            f"engine 'vllm' merges adapters into the weights at every round, and weights={s.weights!r} would "
            "lose precision each time; use weights='float32' or engine 'transformers'"
        )


def _rehearse(s: Training, design: Design, cap: int, problems, reference) -> None:
    """Run the design on an invented round, so that what it refuses is refused before anything is sampled."""
    P, G = len(problems) if design.needs_reference else min(2, len(problems)), s.group_size
    shape = (P, G)
    length = np.tile(np.linspace(1, cap, G).astype(int), (P, 1))
    ids, arrays = problems["problem_id"][:], {"reference": reference}
    if design.hint:  # for all problems: a design may know a length for only some of them
        arrays["hint_tokens_P"] = design.draw_hints(np.random.default_rng(0), ids)[:P]
    if design.modes:
        arrays["empty_PG"] = np.arange(G) % 4 // 2 * np.ones(shape)
    if design.probes:
        arrays |= {"probe_budgets_K": np.array([[[1]] * G] * P), "probe_correct_PGK": np.zeros((P, G, 1))}
    group = Group(np.arange(G) % 2 * np.ones(shape), length, np.ones(shape), cap, ids[:P], **arrays)
    if not design.probes:  # those take their budgets from the cap, which `check_cap` has checked
        design.advantage(group)
    design.mask(group)


def _check_reference(design: Design, problems, reference) -> None:
    if reference is None:
        raise DataError(
            f"{design.NAME} compares with a frozen model: give train(reference=...), made by "
            "training.reference_statistics(rollouts, cap)"
        )
    missing = [p for p in problems["problem_id"] if p not in reference]
    if missing:
        raise DataError(
            f"the reference misses {len(missing)} of {len(problems)} problems, such as {missing[:3]}"
        )
