"""What a notebook or a sweep will cost, before it is started: tokens, hours and memory.

The work is computed from the parameters: the metadata of a notebook (`effwb`) say how many trainings and
evaluations it does, its profile says the rest. The rates come from the roofline of a named GPU, where
decoding is bound by memory bandwidth and prefill and training by the matrix rate, or from a short run on this
machine.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field

from effwb._internal.checked import check_value
from effwb.errors import ConfigError, one_of
from effwb.profiles import Profile
from effwb.sweep.arithmetic import compute

GIB = 2**30
LENGTH = 1 / 4  # mean length of a rollout as a share of the cap, where it is neither given nor measured
DECODE, MATRIX = 0.6, 0.4  # share of the roofline that is assumed to be reached
MIN_STEP = 0.004  # seconds that a step of decoding takes at least, however small the model
USABLE = 0.9  # share of the memory of a GPU
CALIBRATION_CAP = 1024  # largest cap of a rollout in the short run, in tokens
# counts in the metadata of a notebook; a test samples the evaluation problems and forces no answers
COUNTS = ("trainings", "evaluations", "tests", "samplings")
MAX_COUNT = 1_000_000
FORMATS = {"amount": "{:,.0f}".format, "per second": "{:,.0f}".format, "hours": "{:,.3g}".format}
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "auto": 2}


@dataclass(frozen=True)
class Gpu:
    """Data sheet of a GPU.

    Attributes:
        memory: Memory in GiB.
        bandwidth: Memory bandwidth in TB/s.
        matrix: Dense bfloat16 matrix rate in TFLOP/s.
    """

    memory: float
    bandwidth: float
    matrix: float


GPUS = {
    "h200": Gpu(140, 4.8, 989),
    "h100": Gpu(80, 3.35, 989),
    "a100-80gb": Gpu(80, 2.04, 312),
    "a100-40gb": Gpu(40, 1.56, 312),
    "l40s": Gpu(45, 0.864, 362),
    "a10": Gpu(22, 0.6, 125),
    "rtx4090": Gpu(24, 1.01, 165),
}


@dataclass(frozen=True)
class Shape:
    """The size of a model.

    Attributes:
        parameters: Number of weights.
        cache: Bytes of keys and values per token.
        vocabulary: Tokens in the vocabulary.
        layers: Hidden layers.
        width: Hidden size.
    """

    parameters: int
    cache: int
    vocabulary: int
    layers: int
    width: int


SHAPES = {  # of the models that profiles name, from their config.json: a plan needs no hub
    "Qwen/Qwen3-0.6B": Shape(596_049_920, 114_688, 151_936, 28, 1024),
    "Qwen/Qwen3-4B": Shape(4_022_468_096, 147_456, 151_936, 36, 2560),
    "Qwen/Qwen3-8B": Shape(8_190_735_360, 147_456, 151_936, 36, 4096),
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B": Shape(1_777_088_000, 28_672, 151_936, 28, 1536),
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B": Shape(7_615_616_512, 57_344, 152_064, 28, 3584),
}


@dataclass(frozen=True)
class Work:
    """What is to be done. Two can be added, as for the points of a sweep.

    Attributes:
        trainings: Number of trainings.
        evaluations: Number of evaluations.
        sampled_training: Tokens sampled in training.
        trained: Tokens trained on.
        sampled_evaluation: Tokens sampled in evaluations.
        answers: Forced answers.
        length: Mean length of a rollout, in tokens.
    """

    trainings: int
    evaluations: int
    sampled_training: float
    trained: float
    sampled_evaluation: float
    answers: float
    length: float

    def __add__(self, other: Work) -> Work:
        total = self.length * self.sampled + other.length * other.sampled
        summed = {name: getattr(self, name) + getattr(other, name) for name in self.__dict__}
        return Work(**{**summed, "length": total / max(self.sampled + other.sampled, 1)})

    @property
    def sampled(self) -> float:
        """Tokens sampled in training and evaluation."""
        return self.sampled_training + self.sampled_evaluation


@dataclass(frozen=True)
class Rates:
    """How fast a machine works.

    Attributes:
        sample: Tokens sampled per second.
        train: Tokens trained on per second.
        answer: Forced answers per second.
        source: Where the rates come from, in words.
        length: Mean length of the rollouts in tokens, if it was measured.
    """

    sample: float
    train: float
    answer: float
    source: str
    length: float | None = None


def counts(notebook: str | Path, parameters: Mapping[str, Any]) -> dict[str, int]:
    """Return how many trainings, evaluations, tests and samplings of training problems a notebook does.

    Args:
        notebook: A notebook whose metadata have a table `effwb` of arithmetic expressions.
        parameters: All parameters of the notebook, defaults included.

    Raises:
        ConfigError: If the metadata lack the table, or have an expression that cannot be computed.
    """
    import nbformat

    expressions = nbformat.read(notebook, as_version=4).metadata.get("effwb", {})
    if not isinstance(expressions, dict) or not expressions:
        raise ConfigError(
            f"the metadata of {notebook} do not say how many trainings and evaluations it does; add for "
            'example "effwb": {"trainings": "len(seeds)", "evaluations": "2 * len(seeds)"}'
        )
    numbers = dict.fromkeys(COUNTS, 0)
    for name, expression in expressions.items():
        one_of(f"count in the metadata of {notebook}", name, COUNTS)
        try:
            numbers[name] = int(compute(str(expression), parameters))
            check_value(name, numbers[name], Annotated[int, Field(ge=0, le=MAX_COUNT)])
        except (ConfigError, TypeError, ValueError, OverflowError) as error:
            raise ConfigError(
                f"cannot compute {name} = {str(expression)[:80]!r} in the metadata of {notebook}: {error}"
            ) from None
    return numbers


def work(count: Mapping[str, int], profile: Profile, length: float | None = None) -> Work:
    """Return the tokens and forced answers of some trainings and evaluations.

    Not counted: prompts, forced answers that a design rewards, groups that are refilled, previews.

    Args:
        count: How often each is done, from `counts`.
        profile: The profile.
        length: Mean length of a rollout in tokens; default a quarter of the cap.

    >>> work({"trainings": 1, "evaluations": 2}, profiles.profile("pocket"), 100).sampled_training
    768000.0
    """
    s, cap = profile.training, profile.max_tokens
    length = LENGTH * cap if length is None else float(length)
    if not 1 <= length <= cap:
        raise ConfigError(f"a mean length of {length:g} tokens does not fit the cap of {cap}")
    rounds = s.steps / (s.updates_per_round * s.iterations)
    per_training = rounds * s.problems_per_round * s.group_size * length
    probed = count.get("evaluations", 0) * profile.n_problems * profile.n_samples
    other_problems = count.get("tests", 0) * profile.n_problems + count.get("samplings", 0) * s.n_problems
    budgets_below = int(np.sum(np.asarray(profile.budgets) < length))
    return Work(
        trainings=count.get("trainings", 0),
        evaluations=count.get("evaluations", 0),
        sampled_training=count.get("trainings", 0) * per_training,
        trained=count.get("trainings", 0) * per_training * s.iterations,
        sampled_evaluation=(probed + other_problems * profile.n_samples) * length,
        answers=float(probed * budgets_below),
        length=length,
    )


def shape_of(model: str) -> Shape:
    """Return the size of a model, from `SHAPES` or its config on this machine; no hub is asked.

    Raises:
        ConfigError: The config of the model is not on this machine.
    """
    if model in SHAPES:
        return SHAPES[model]
    import torch
    from transformers import AutoModelForCausalLM

    from effwb import models

    try:
        config = models.load_config(model, offline=True)
    except ConfigError:
        raise ConfigError(
            f"the size of {model!r} is not known here; download its config first (hf download {model} "
            "config.json), or give the directory of the model"
        ) from None
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, trust_remote_code=False)
    text = config.get_text_config(decoder=True)
    return Shape(
        parameters=sum(p.numel() for p in empty.parameters()),
        cache=models.cache_bytes_per_token(empty),
        vocabulary=text.vocab_size,
        layers=text.num_hidden_layers,
        width=text.hidden_size,
    )


def memory(shape: Shape, profile: Profile) -> dict[str, float]:
    """Return the memory needed on one GPU, in GiB.

    Returns:
        `sampling`: the weights alone, what is left holds rollouts. `training`: weights, gradients and Adam's
        two moments. `activations`: one forward and backward pass of at most `tokens_per_forward` tokens, or
        of one rollout at the cap if that is longer.
    """
    s = profile.training
    size = BYTES[s.weights]
    trained = shape.parameters * (2 * size + 8 if not s.lora_rank else size)
    tokens = max(min(s.micro_batch * profile.max_tokens, s.tokens_per_forward), profile.max_tokens)
    per_layer = 2 * shape.width if s.gradient_checkpointing else 34 * shape.width  # bytes per token
    activations = tokens * (shape.layers * per_layer + 8 * shape.vocabulary)
    return {
        "sampling": shape.parameters * BYTES[profile.dtype] / GIB,
        "training": trained / GIB,
        "activations": activations / GIB,
    }


def roofline(shape: Shape, profile: Profile, gpu: str, length: float | None = None) -> Rates:
    """Return the rates that a GPU should reach with bfloat16: `DECODE` and `MATRIX` of its data sheet.

    A step of decoding reads the weights and the keys and values of all rollouts that fit into memory.
    Training costs 6 operations per parameter and token, 8 with gradient checkpointing.

    Args:
        shape: The size of the model.
        profile: The profile.
        gpu: A name in `GPUS`.
        length: Mean length of a rollout in tokens; default a quarter of the cap.

    Raises:
        ConfigError: For an unknown GPU, or weights that do not fit into its memory.
    """
    one_of("GPU", gpu, GPUS)
    card, length = GPUS[gpu], LENGTH * profile.max_tokens if length is None else length
    weights = 2 * shape.parameters
    room = USABLE * card.memory * GIB - weights
    if room <= 0:
        raise ConfigError(f"the weights take {weights / GIB:.0f} GiB, a {gpu} has {card.memory:g}")
    batch = max(1.0, min(room / (shape.cache * length), 1024.0))  # rollouts at a time
    read_seconds = (weights + batch * shape.cache * length / 2) / (DECODE * card.bandwidth * 1e12)
    matrix_seconds = 2 * shape.parameters * batch / (MATRIX * card.matrix * 1e12)
    sample = batch / max(read_seconds, matrix_seconds, MIN_STEP)
    factor = 8 if profile.training.gradient_checkpointing else 6
    train = MATRIX * card.matrix * 1e12 / (factor * shape.parameters)
    return Rates(sample, train, sample / profile.answer_tokens, f"roofline of one {gpu}")


def calibrate(profile: Profile) -> Rates:
    """Measure the rates of this machine: two rounds of training and a small evaluation.

    The mean length is measured too, if the cap is at most `CALIBRATION_CAP`.
    """
    from effwb.probes import Probing, probe
    from effwb.rollouts import sample
    from effwb.samplers import open_sampler
    from effwb.training import load_train_and_eval, train

    s, cap = profile.training, min(profile.max_tokens, CALIBRATION_CAP)
    steps = 2 * s.updates_per_round * s.iterations
    train_problems, eval_problems = load_train_and_eval(profile)
    small = profile.override(max_tokens=cap)
    shard = eval_problems.select(range(min(len(eval_problems), profile.shard_problems)))
    with tempfile.TemporaryDirectory() as folder:
        metrics = train(
            "vanilla", train_problems, run_dir=f"{folder}/train", profile=profile, max_tokens=cap,
            watch="none", steps=steps, save_every=steps,
        ).metrics  # fmt: skip
        with open_sampler(profile.model, profile.engine, **profile.sampler_options) as sampler:
            start = time.perf_counter()
            rollouts = sample(
                shard, sampler, small.n_samples, run_dir=f"{folder}/eval", progress=False,
                sampling=small.sampling(), prompting=small.prompting(),
            )  # fmt: skip
            sampled = time.perf_counter()
            answers = probe(
                rollouts, sampler, small.budgets, run_dir=f"{folder}/eval", progress=False,
                probing=Probing(profile.answer_tokens),
            )  # fmt: skip
            probed = time.perf_counter()
    tokens = metrics["tokens"].sum()  # NaN in updates that sample nothing
    seconds = metrics[["time/sample", "time/train"]].sum()
    return Rates(
        sample=(tokens + rollouts["length"].sum()) / (seconds["time/sample"] + sampled - start),
        train=tokens * s.iterations / seconds["time/train"],
        answer=len(answers) / (probed - sampled),
        source="a short run on this machine",
        length=float(rollouts["length"].mean()) if cap == profile.max_tokens else None,
    )


def hours(total: Work, rates: Rates) -> pd.DataFrame:
    """Return a row per kind of work (`what, amount, unit, per second, hours`), and their sum."""
    rows = [
        ("training: sampling", total.sampled_training, "tokens", rates.sample),
        ("training: updates", total.trained, "tokens", rates.train),
        ("evaluation: sampling", total.sampled_evaluation, "tokens", rates.sample),
        ("evaluation: forced answers", total.answers, "answers", rates.answer),
    ]
    table = pd.DataFrame(rows, columns=["what", "amount", "unit", "per second"])
    table["hours"] = table["amount"] / table["per second"] / 3600
    last = {"what": "together", "amount": np.nan, "unit": "", "per second": np.nan}
    return pd.concat([table, pd.DataFrame([{**last, "hours": table["hours"].sum()}])], ignore_index=True)


def report(total: Work, rates: Rates, profile: Profile, gpu: str | None = None) -> str:
    """Return the estimate as text: the table of hours, the memory, and what was assumed.

    Args:
        total: All work.
        rates: The rates.
        profile: The profile; its model decides the memory.
        gpu: A name in `GPUS`, to say whether the training fits.
    """
    is_assumed = total.length == LENGTH * profile.max_tokens
    length_source = "assumed: a quarter of the cap" if is_assumed else "given or measured"
    needed = memory(shape_of(profile.model), profile)
    training = needed["training"] + needed["activations"]
    memory_line = (
        f"memory: sampling {needed['sampling']:.2g} GiB of weights; training {training:.2g} GiB, of which "
        f"{needed['activations']:.2g} activations"
    )
    if gpu is not None:
        advice = "use several processes with FSDP, LoRA (lora_rank), or a smaller micro_batch"
        verdict = "fits" if training <= USABLE * GPUS[gpu].memory else f"does NOT fit: {advice}"
        memory_line += f"; one {gpu} has {GPUS[gpu].memory:g}: {verdict}"
    lines = [
        f"{total.trainings} trainings, {total.evaluations} evaluations of {profile.model}",
        "",
        hours(total, rates).to_string(index=False, na_rep="", formatters=FORMATS),
        "",
        f"rates: {rates.source}",
        f"mean length: {total.length:.0f} of at most {profile.max_tokens} tokens ({length_source})",
        memory_line,
    ]
    return "\n".join(lines)
