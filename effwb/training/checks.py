"""What `train` refuses before anything is loaded: settings that do not fit together, the design or the data.

Types and ranges of single settings are checked by `effwb.profiles.Training` itself.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from effwb.designs import Design, Group, write_design
from effwb.designs.decorator import how_to_subclass
from effwb.errors import ConfigError, DataError, EngineError, one_of
from effwb.profiles import Training
from effwb.samplers.vllm_process import import_vllm
from effwb.training.trl_config import accumulation, lora_config, processes

if TYPE_CHECKING:
    from datasets import Dataset


def check(
    settings: Training,
    design: Design,
    cap: int,
    problems: "Dataset",
    reference: Mapping | None,
    monitor: "Dataset | None",
) -> None:
    """Raise an error for everything that can be known to be wrong before a model is loaded.

    Args:
        settings: How to train.
        design: The design, with its parameters.
        cap: Cap of a completion, in tokens.
        problems: Problems to train on.
        reference: Length and accuracy of a frozen model by problem id, for designs that need it.
        monitor: Held-out problems, for laser_d with monitor="held_out".

    Raises:
        ConfigError: For settings that do not fit together or do not fit the design.
        DataError: For a missing or incomplete reference.
    """
    _check_rounds(settings, design)
    _check_own(design)
    if processes(settings) > 1:
        write_design(design)  # raises for a class that other processes cannot import
    _check_engine(settings)
    _check_loss(settings, design)
    accumulation(settings)
    design.check_cap(cap)
    held_out = getattr(design, "monitor", None) == "held_out"
    if held_out != (monitor is not None):
        raise ConfigError(
            f"{design.NAME}: monitor='held_out' needs train(monitor=<problems>); without it there "
            "must be no monitor"
        )
    if design.needs_reference:
        if reference is None:
            raise DataError(
                f"{design.NAME} compares with a frozen model: pass train(reference=...), made by "
                "training.reference_statistics(rollouts, cap)"
            )
        if missing := [p for p in problems["problem_id"] if p not in reference]:
            raise DataError(
                f"the reference misses {len(missing)} of {len(problems)} problems, e.g. {missing[:3]}"
            )
    if design.openings(settings.group_size) is not None and settings.engine.startswith("trl"):
        raise ConfigError(
            f"{design.NAME} forces how rollouts begin, which engine {settings.engine!r} cannot do; use "
            "'transformers' (or, on a CPU, 'vllm')"
        )
    _rehearse(settings, design, cap, problems, reference)


def _check_own(design: Design) -> None:
    if type(design).components is Design.components and type(design).reward is Design.reward:
        raise ConfigError(f"{design.NAME} rewards nothing; {how_to_subclass(type(design).__name__)}")


def check_report_to(names: Sequence[str]) -> None:
    """Raise `ConfigError` for a reporting integration that Transformers lacks or that is not installed.

    Args:
        names: Names such as "tensorboard", "trackio", "wandb".
    """
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    for name in names:
        one_of("report_to", name, INTEGRATION_TO_CALLBACK)
        if name in ("trackio", "wandb", "mlflow") and find_spec(name) is None:
            raise ConfigError(f"report_to={name!r} needs the package {name}: pip install {name}")
        if name == "tensorboard" and not (find_spec("tensorboard") or find_spec("tensorboardX")):
            raise ConfigError("report_to='tensorboard' needs its package: pip install tensorboard")


def check_machine(s: Training) -> None:
    """Refuse what this machine or installation lacks, before the weights are loaded.

    Args:
        s: How to train, in a run that is not finished.

    Raises:
        ConfigError: A package is missing.
        EngineError: An engine cannot run here.
    """
    import torch

    if s.engine.startswith("trl-vllm") and not torch.cuda.is_available():
        raise EngineError(f"engine {s.engine!r} needs CUDA; on a CPU use 'transformers' or 'vllm'")
    if s.engine == "vllm" and find_spec("vllm") is None:
        import_vllm()  # says how to install it
    lora_config(s)


def _check_rounds(s: Training, design: Design) -> None:
    if s.group_size < 2:
        raise ConfigError(
            f"group_size={s.group_size}: rule {design.rule!r} compares rollouts of one problem and needs at "
            "least 2"
        )
    rollouts, updates = s.problems_per_round * s.group_size, s.updates_per_round * s.iterations
    if rollouts % s.updates_per_round:
        raise ConfigError(
            f"the {rollouts} rollouts of a round do not divide into updates_per_round={s.updates_per_round}"
        )
    for name in ("steps", "save_every"):
        if getattr(s, name) % updates:
            raise ConfigError(
                f"{name}={getattr(s, name)} must be a multiple of updates_per_round x iterations = "
                f"{updates}: a run can only be saved and ended where a round ends"
            )


def _check_engine(s: Training) -> None:
    if s.engine.startswith("trl-vllm") and s.top_p < 1:
        raise ConfigError(
            f"top_p={s.top_p} does not work with {s.engine!r}: the engine's probabilities are those of the "
            "nucleus, the loss has those of the whole vocabulary, and the correction between the two would "
            "silence long rollouts; use top_p=1.0"
        )
    if s.engine.startswith("trl") and s.refill_rounds and processes(s) > 1:
        raise ConfigError(f"refill_rounds on several processes needs engine 'transformers', not {s.engine!r}")
    if s.engine == "vllm" and s.lora_rank and s.weights != "float32":
        raise ConfigError(
            f"engine 'vllm' merges adapters into the weights at every round, which {s.weights} would round; "
            "use weights='float32' or engine 'transformers'"
        )


def _check_loss(s: Training, design: Design) -> None:
    """A KL estimator or place without a KL (kl=0) is no error: a sweep over `kl` may begin at 0."""
    if design.losses is not None and s.loss not in design.losses:
        raise ConfigError(f"{design.NAME} needs loss={' or '.join(map(repr, design.losses))}, got {s.loss!r}")
    if s.loss == "cispo" and s.clip_high <= 1:
        raise ConfigError(
            f"clip_high={s.clip_high:g} with loss='cispo': there it is the upper bound of the ratio itself, "
            f"and would scale all gradients by {s.clip_high:g}; set clip_high above 1, e.g. 5"
        )
    if s.kl and s.kl_place == "reward" and design.ratio == "sequence":
        raise ConfigError(
            f"kl_place='reward' gives each token an advantage of its own, but {design.NAME} has one ratio "
            "for the whole rollout, which averages them; use kl_place='loss'"
        )
    if s.warmup_steps and s.warmup_steps >= s.steps:
        raise ConfigError(
            f"warmup_steps={s.warmup_steps} must be below steps={s.steps}: the learning rate would not reach "
            f"{s.learning_rate:g}"
        )


def _rehearse(s: Training, design: Design, cap: int, problems: "Dataset", reference: Mapping | None) -> None:
    """Run the design on an invented round, so that it refuses now what it would refuse after sampling."""
    P, G = len(problems) if design.needs_reference else min(2, len(problems)), s.group_size
    shape = (P, G)
    length = np.tile(np.linspace(1, cap, G).astype(int), (P, 1))
    problem_ids = problems["problem_id"][:]
    optional: dict[str, Any] = {"reference": reference}
    if design.hint:  # for all problems: a design may know a length for some of them only
        optional["hint_tokens_P"] = design.draw_hints(np.random.default_rng(0), problem_ids)[:P]
    if design.modes:
        optional["empty_PG"] = np.arange(G) % 4 // 2 * np.ones(shape)
    if design.probes:
        optional["probe_budgets_K"] = np.array([[[1]] * G] * P)
        optional["probe_correct_PGK"] = np.zeros((P, G, 1))
    correct = np.arange(G) % 2 * np.ones(shape)
    group = Group(correct, length, np.ones(shape), cap, problem_ids[:P], **optional)
    if not design.probes:  # designs with probes know their budgets by the cap, which `check_cap` has checked
        design.advantage(group)
    design.mask(group)
