"""What a notebook or a sweep will cost, before it is started: tokens, hours and memory.

Work is counted from the parameters: how many trainings and evaluations a notebook does stands in its metadata
(`effwb`), the rest in the profile. Rates come from the roofline of a named GPU, where decoding is bound by
the bandwidth of its memory and prefill and training by its matrix rate, or from a short run on this machine.
"""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from effwb import profiles
from effwb.errors import ConfigError, one_of
from effwb.profiles import Profile

GIB = 2**30
LENGTH = 1 / 4  # of the cap: assumed mean length, where none is given or measured
DECODE, MATRIX = 0.6, 0.4  # share of the roofline that is assumed to be reached
STEP = 0.004  # seconds that a step of decoding takes at least, however small the model
ROOM = 0.9  # of the memory of a GPU
CALIBRATION_CAP = 1024  # tokens at most of a rollout in the short run
# what the metadata of a notebook say; a test samples the problems of an evaluation and forces no answers
COUNTS = ("trainings", "evaluations", "tests", "samplings")
FORMATS = {"amount": "{:,.0f}".format, "per second": "{:,.0f}".format, "hours": "{:,.3g}".format}
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Gpu:
    """Data sheet: memory (GiB), bandwidth (TB/s), dense bfloat16 matrix rate (TFLOP/s)."""

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
    """A model by its numbers: `parameters`, bytes of keys and values per token, vocabulary, layers, width."""

    parameters: int
    cache: int
    vocabulary: int
    layers: int
    width: int


@dataclass(frozen=True)
class Work:
    """Tokens to sample and to train on, forced answers to ask for, and the counts they come from.

    `length` is the mean length of a rollout that was assumed, in tokens.
    """

    trainings: int
    evaluations: int
    sampled_training: float
    trained: float
    sampled_evaluation: float
    answers: float
    length: float

    def __add__(self, other: "Work") -> "Work":
        """The sum, as for the points of a sweep."""
        total = self.length * self.sampled + other.length * other.sampled
        summed = {name: getattr(self, name) + getattr(other, name) for name in self.__dict__}
        return Work(**{**summed, "length": total / max(self.sampled + other.sampled, 1)})

    @property
    def sampled(self) -> float:
        return self.sampled_training + self.sampled_evaluation


@dataclass(frozen=True)
class Rates:
    """Tokens sampled, tokens trained on, and forced answers, per second; `source` says where from."""

    sample: float
    train: float
    answer: float
    source: str
    length: float | None = None  # mean length of the rollouts, where it was measured


def counts(notebook: str | Path, parameters: Mapping) -> dict[str, int]:
    """How many trainings, evaluations, tests and samplings of practice problems the notebook does.

    `parameters` are all of them, defaults included. Raises `ConfigError` where the notebook does not say.
    """
    import nbformat

    told = nbformat.read(notebook, as_version=4).metadata.get("effwb", {})
    if not told:
        raise ConfigError(
            f"{notebook} does not say what it does; put "
            '"effwb": {"trainings": "len(seeds)", "evaluations": "2 * len(seeds)"} into its metadata'
        )
    for name in told:
        one_of(f"count in the metadata of {notebook}", name, COUNTS)
    return {name: _count(str(told.get(name, 0)), parameters, notebook) for name in COUNTS}


def _count(expression: str, parameters: Mapping, notebook: str | Path) -> int:
    try:
        return int(eval(expression, {}, dict(parameters)))
    except Exception as error:
        raise ConfigError(
            f"{notebook} counts {expression!r} in its metadata, which fails: {error}"
        ) from error


def scale_of(parameters: Mapping) -> Profile:
    """The profile a notebook runs at, with what its parameters replace (`notebooks/`: the usual names)."""
    given = {name: parameters.get(name) for name in ("n_problems", "n_samples", "max_tokens")}
    scale = profiles.profile(parameters.get("profile", "pocket"), **given)
    settings = {name: parameters.get(name) for name in ("steps", "group_size", "learning_rate")}
    return scale.override(training=scale.training.override(**{**settings, **parameters.get("training", {})}))


def work(count: Mapping[str, int], scale: Profile, length: float | None = None) -> Work:
    """What `count` (see `counts`) means at a profile, for rollouts of `length` tokens in the mean.

    Not counted: prompts, forced answers that a design rewards, groups that are refilled, previews.

    >>> work({"trainings": 1, "evaluations": 2}, profiles.profile("pocket"), 100).sampled_training
    768000.0
    """
    s, cap = scale.training, scale.max_tokens
    length = LENGTH * cap if length is None else float(length)
    if not 1 <= length <= cap:
        raise ConfigError(f"a mean length of {length:g} tokens does not fit the cap of {cap}")
    rounds = s.steps / (s.updates_per_round * s.iterations)
    per_training = rounds * s.problems_per_round * s.group_size * length
    rollouts = count.get("evaluations", 0) * scale.n_problems * scale.n_samples
    more = count.get("tests", 0) * scale.n_problems + count.get("samplings", 0) * s.n_problems
    below = int(np.sum(np.asarray(scale.budgets) < length))
    return Work(
        trainings=count.get("trainings", 0),
        evaluations=count.get("evaluations", 0),
        sampled_training=count.get("trainings", 0) * per_training,
        trained=count.get("trainings", 0) * per_training * s.iterations,
        sampled_evaluation=(rollouts + more * scale.n_samples) * length,
        answers=float(rollouts * below),
        length=length,
    )


def shape_of(model: str) -> Shape:
    """The numbers of a model, from its config alone."""
    import torch
    from transformers import AutoModelForCausalLM

    from effwb import models

    config = models.load_config(model)
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    text = config.get_text_config(decoder=True)
    return Shape(
        parameters=sum(p.numel() for p in empty.parameters()),
        cache=models.cache_bytes_per_token(empty),
        vocabulary=text.vocab_size,
        layers=text.num_hidden_layers,
        width=text.hidden_size,
    )


def memory(shape: Shape, scale: Profile) -> dict[str, float]:
    """GiB on one GPU: `sampling` (weights alone; what is left holds rollouts), `training`, `activations`.

    Training holds weights, gradients and Adam's two moments; activations are those of one forward and
    backward pass of at most `tokens_per_forward`, or of one rollout at the cap where that is longer.
    """
    s = scale.training
    size = BYTES[s.weights]
    trained = shape.parameters * (2 * size + 8 if not s.lora_rank else size)
    tokens = max(min(s.micro_batch * scale.max_tokens, s.tokens_per_forward), scale.max_tokens)
    per_layer = 2 * shape.width if s.gradient_checkpointing else 34 * shape.width  # bytes per token
    activations = tokens * (shape.layers * per_layer + 8 * shape.vocabulary)
    return {
        "sampling": shape.parameters * BYTES[scale.dtype] / GIB,
        "training": trained / GIB,
        "activations": activations / GIB,
    }


def roofline(shape: Shape, scale: Profile, gpu: str, length: float | None = None) -> Rates:
    """The rates a GPU should reach with bfloat16, `DECODE` and `MATRIX` of what its data sheet allows.

    A step of decoding reads the weights and the keys and values of all rollouts that fit into memory.
    Training costs 6 operations per parameter and token, 8 with gradient checkpointing.
    """
    one_of("GPU", gpu, GPUS)
    card, length = GPUS[gpu], LENGTH * scale.max_tokens if length is None else length
    weights = 2 * shape.parameters
    room = ROOM * card.memory * GIB - weights
    if room <= 0:
        raise ConfigError(f"the weights take {weights / GIB:.0f} GiB, a {gpu} has {card.memory:g}")
    at_once = max(1.0, min(room / (shape.cache * length), 1024.0))
    read = (weights + at_once * shape.cache * length / 2) / (DECODE * card.bandwidth * 1e12)
    computed = 2 * shape.parameters * at_once / (MATRIX * card.matrix * 1e12)
    sample = at_once / max(read, computed, STEP)
    factor = 8 if scale.training.gradient_checkpointing else 6
    train = MATRIX * card.matrix * 1e12 / (factor * shape.parameters)
    return Rates(sample, train, sample / scale.answer_tokens, f"roofline of one {gpu}")


def calibrate(scale: Profile) -> Rates:
    """The rates of this machine: two rounds of training and a small evaluation with the model itself.

    Lengths are measured where the cap is short enough to reach it (`CALIBRATION_CAP`).
    """
    from effwb.probes import Probing, probe
    from effwb.rollouts import sample
    from effwb.samplers import open_sampler
    from effwb.training import load_train_and_eval, train

    s, cap = scale.training, min(scale.max_tokens, CALIBRATION_CAP)
    updates = s.updates_per_round * s.iterations
    practice, asked = load_train_and_eval(scale)
    with tempfile.TemporaryDirectory() as folder:
        steps = {"steps": 2 * updates, "save_every": 2 * updates}
        more = dict(profile=scale, max_tokens=cap, watch="none")
        done = train("vanilla", practice, run_dir=f"{folder}/train", **more, **steps).metrics
        small = scale.override(max_tokens=cap)
        few = asked.select(range(min(len(asked), scale.shard_problems)))
        with open_sampler(scale.model, scale.engine, dtype=scale.dtype) as sampler:
            begun = time.perf_counter()
            table = sample(
                few, sampler, small.n_samples, run_dir=f"{folder}/eval", progress=False,
                sampling=small.sampling(), prompting=small.prompting(),
            )  # fmt: skip
            between = time.perf_counter()
            answers = probe(
                table, sampler, small.budgets, run_dir=f"{folder}/eval", progress=False,
                probing=Probing(scale.answer_tokens),
            )  # fmt: skip
            ended = time.perf_counter()
    rounds = done[done["tokens"].notna()]
    tokens, spent = rounds["tokens"].sum(), done[["time/sample", "time/train"]].sum()
    sampled = tokens + table["length"].sum()
    return Rates(
        sample=sampled / (spent["time/sample"] + between - begun),
        train=tokens * s.iterations / spent["time/train"],
        answer=len(answers) / (ended - between),
        source="a short run on this machine",
        length=float(table["length"].mean()) if cap == scale.max_tokens else None,
    )


def hours(found: Work, rates: Rates):
    """A row per kind of work: `what, amount, unit, per second, hours`, and their sum."""
    import pandas as pd

    rows = [
        ("training: sampling", found.sampled_training, "tokens", rates.sample),
        ("training: updates", found.trained, "tokens", rates.train),
        ("evaluation: sampling", found.sampled_evaluation, "tokens", rates.sample),
        ("evaluation: forced answers", found.answers, "answers", rates.answer),
    ]
    table = pd.DataFrame(rows, columns=["what", "amount", "unit", "per second"])
    table["hours"] = table["amount"] / table["per second"] / 3600
    total = {"what": "together", "amount": np.nan, "unit": "", "per second": np.nan}
    return pd.concat([table, pd.DataFrame([{**total, "hours": table["hours"].sum()}])], ignore_index=True)


def report(found: Work, rates: Rates, scale: Profile, gpu: str | None = None) -> str:
    """The estimate as text: the table, the memory, and what was assumed."""
    table = hours(found, rates)
    told = ("given or measured", "assumed: a quarter of the cap")[found.length == LENGTH * scale.max_tokens]
    lines = [
        f"{found.trainings} trainings, {found.evaluations} evaluations of {scale.model}",
        "",
        table.to_string(index=False, na_rep="", formatters=FORMATS),
        "",
        f"rates: {rates.source}",
        f"mean length: {found.length:.0f} of at most {scale.max_tokens} tokens ({told})",
        _memory_text(memory(shape_of(scale.model), scale), gpu),
    ]
    return "\n".join(lines)


def _memory_text(needed: dict[str, float], gpu: str | None) -> str:
    training = needed["training"] + needed["activations"]
    text = (
        f"memory: sampling {needed['sampling']:.2g} GiB of weights; training {training:.2g} GiB, of that "
        f"{needed['activations']:.2g} activations"
    )
    if gpu is None:
        return text
    has = GPUS[gpu].memory
    fits = "fits" if training <= ROOM * has else "does NOT fit: processes and FSDP, lora_rank, or fewer"
    return f"{text}; one {gpu} has {has:g}: {fits}"
