"""What there is to choose from, as tables: designs, profiles, engines, and the columns of every table."""

from __future__ import annotations

import inspect
import re
import sys
from importlib.util import find_spec
from typing import Any, get_args, get_type_hints

import pandas as pd

from effwb.analysis import listing
from effwb.designs import DESIGNS
from effwb.profiles import PROFILES, Training
from effwb.samplers import SAMPLERS

ARXIV = re.compile(r"\b\d{4}\.\d{5}\b")
VERDICTS = "correct, wrong, unparsed, bad_gold, timeout or killed"
PER_ROLLOUT = {
    "problem_id": "source of the problem and a hash of its question",
    "sample": "number of the rollout among those of its problem, from 0",
}
SUMMARY = {
    "accuracy": "share of right rollouts; a rollout that the cap cut off is wrong",
    "low": "lower end of the 95 % interval of accuracy, over problems",
    "high": "upper end of it",
    "mean length": "mean tokens of a rollout",
    "length, correct": "mean tokens of the right rollouts",
    "length, wrong": "mean tokens of the others",
    "truncated": "share of rollouts that the cap cut off",
}
A_RUN = {
    "name": "method: what was trained or prompted, the same for all seeds",
    "seed": "seed of the training, or of the rollouts",
    "run": "directory of the run below the root",
}
COLUMNS: dict[str, dict[str, str]] = {  # table: what each of its columns holds
    "problems": {
        "problem_id": PER_ROLLOUT["problem_id"],
        "question": "the text of the problem",
        "answer": "the gold answer",
        "level": "level of difficulty, where the source has levels",
        "source": "name of the benchmark; results are averaged over benchmarks",
    },
    "rollouts": {
        **PER_ROLLOUT,
        "seed": "seed of this rollout, from the run's seed, the problem and the sample",
        "prompt_tokens": "tokens of the prompt",
        "length": "tokens of the completion, EOS included",
        "finish_reason": "stop: it ended by itself; length: the cap cut it off",
        "text": "the completion as text",
        "completion_ids": "the completion as tokens",
        "extracted": "the answer that was found in the text",
        "verdict": VERDICTS,
        "verify_ms": "milliseconds that grading took",
    },
    "probes": {
        **PER_ROLLOUT,
        "budget": "tokens of reasoning after which the answer was forced; none where the rollout had ended",
        "forced": "whether a text that asks for the answer was appended",
        "answer_text": "the text of the forced answer",
        "extracted": "the answer that was found in it",
        "verdict": VERDICTS,
        "answer_tokens": "tokens of the forced answer; they are not part of the budget",
    },
    "runs": {**A_RUN, **SUMMARY, "area": "area under the accuracy-budget curve, accuracy x tokens"},
    "reg": {
        **A_RUN,
        "J(l_max)": "accuracy at the last budget: a longer rollout gives the answer it is forced to there",
        "mean tokens": "mean tokens spent within the last budget",
        "REG": "area between frontier and curve up to l_max, accuracy x tokens; less is better",
        "REG low": "lower end of its 95 % interval, over problems",
        "REG high": "upper end of it",
        "REG, cross-fitted": "REG against the frontier without the upward bias of a maximum",
    },
    "ls": listing.COLUMNS,
    "steps": {
        "step": "optimizer update, from 1",
        "accuracy": "share of right rollouts in the round; truncated ones are wrong",
        "length/mean": "mean tokens of a rollout; also length/correct and length/wrong",
        "truncated": "share of rollouts that the cap cut off",
        "reward/total": "mean reward; reward/<part> for each part of the design's reward",
        "spread": "mean standard deviation of the reward within a group",
        "zero_variance": "share of groups without an advantage: they teach nothing",
        "masked": "share of rollouts that the design keeps out of the loss",
        "refilled": "groups without a spread that were replaced by others",
        "tokens": "tokens that were sampled",
        "mean@8/64": "right rollouts within 64 tokens, in groups of 8; pass@8/64: problems with at least one",
        "probe/64": "right forced answers at 64 tokens, for designs that ask for them",
        "loss": "loss of the update; also grad_norm, learning_rate, entropy, clip_ratio",
        "time/step": "seconds of the step; also time/sample, time/grade, time/probe, time/train",
    },
}
TABLES = {  # what each table of COLUMNS is, and how to read it
    "problems": "the problems: effwb.problems.load(...), problems.parquet of a run",
    "rollouts": "a row per rollout: effwb.rollouts.read_rollouts(run), rollouts/ of a run",
    "probes": "a row per forced answer: effwb.probes.read_probes(run, rollouts), probes/ of a run",
    "runs": "a row per run: RunSet.find(root).table()",
    "reg": "a row per run: RunSet.find(root).reg(), effwb reg",
    "ls": "a row per run, finished or not: list_runs(root).table, effwb ls",
    "steps": "a row per optimizer update: RunSet.find(root).metrics(), train/metrics.jsonl of a run",
}
TRAINING_ENGINES = {
    "transformers": "effwb's decode loop on the trainer's own weights; runs everywhere",
    "vllm": "vLLM beside the trainer, with its weights",
    "trl": "TRL's own generation with Transformers",
    "trl-vllm-colocate": "TRL with vLLM on the same GPUs; needs CUDA",
    "trl-vllm-server": "TRL with vLLM on GPUs of its own (trl vllm-serve); needs CUDA",
}


def designs_table() -> pd.DataFrame:
    """A row per design in `DESIGNS`: name, arXiv id of its paper, and what it rewards in one sentence."""
    return pd.DataFrame(
        {"design": name, "paper": _paper(cls), "rewards": _first_line(cls)} for name, cls in DESIGNS.items()
    )


def offline_table() -> pd.DataFrame:
    """A row per method in `OFFLINE_METHODS`: name, arXiv id of its paper, its loss, and what it learns."""
    from effwb.recipes import OFFLINE_RECIPES
    from effwb.training.offline_methods import OFFLINE_METHODS

    return pd.DataFrame(
        {
            "offline method": name,
            "paper": OFFLINE_RECIPES[name].paper,
            "loss": method.objective,
            "learns": _first_line(method.rule).partition(":")[0],
        }
        for name, method in OFFLINE_METHODS.items()
    )


def profiles_table() -> pd.DataFrame:
    """A row per profile in `PROFILES`: what is evaluated on what, and which recipe trains."""
    fields = ("model", "problems", "n_problems", "n_samples", "max_tokens", "engine", "recipe")
    return pd.DataFrame(
        {"profile": name, **{field: getattr(profile, field) for field in fields}}
        for name, profile in PROFILES.items()
    )


def engines_table() -> pd.DataFrame:
    """A row per engine: for evaluation or training, what it is, and whether it is installed here."""
    from importlib import import_module

    rows = [
        ("evaluation", name, _first_line(getattr(import_module(module), cls)), _is_installed(name))
        for name, (module, cls) in SAMPLERS.items()
    ]
    legal = get_args(get_type_hints(Training)["engine"])
    rows += [("training", name, TRAINING_ENGINES[name], _is_installed(name)) for name in legal]
    return pd.DataFrame(rows, columns=["for", "engine", "what it does", "installed"])


def columns_table(table: str | None = None) -> pd.DataFrame:
    """A row per column of one table, or of all tables: table, column, and what it holds.

    Args:
        table: A key of `COLUMNS`; default: all of them.

    Raises:
        ConfigError: The table is unknown.
    """
    from effwb.errors import one_of

    if table is not None:
        one_of("table", table, COLUMNS)
    names = COLUMNS if table is None else [table]
    rows = [(name, column, text) for name in names for column, text in COLUMNS[name].items()]
    return pd.DataFrame(rows, columns=["table", "column", "what it holds"])


def _first_line(documented: Any) -> str:
    return (inspect.getdoc(documented) or "").partition("\n")[0]


def _paper(cls: type) -> str:
    ids = ARXIV.findall(sys.modules[cls.__module__].__doc__ or "")
    return ids[0] if ids else ""


def _is_installed(engine: str) -> bool:
    return "vllm" not in engine or find_spec("vllm") is not None
