"""The probe table: every rollout of a run stopped at every budget, with its forced answer and verdict.

r(x, y_:L) = R(x, Answer(pi, x, y_:L)) of 2506.07104, section 3. A rollout that ended by itself within a
budget has no probe at that budget: its own verdict counts. The tokens of the suffix and of the answer are not
charged to the budget.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effwb import prompts
from effwb._internal.checked import AboveZero, Positive, check_fields, checked_arguments
from effwb._internal.identities import differences_in_words
from effwb._internal.interrupts import brief_interrupts, resumable
from effwb._internal.keywords import moved_keywords
from effwb.budgets import check_budgets
from effwb.errors import ConfigError, DataError
from effwb.probes.forced import ForcedAnswer, Prober, ProbeTarget, cuts_of
from effwb.rollouts import problems_of, read_rollouts
from effwb.runs import RunDir
from effwb.samplers import Completion, Sampler, SamplingParams
from effwb.samplers.base import check_sampler
from effwb.verifiers import grading

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedTokenizerBase

COLUMNS = ("problem_id", "sample", "budget", "forced", "answer_text", "extracted", "verdict", "answer_tokens")
TYPES = {  # of every shard, also one without rows
    **dict.fromkeys(("problem_id", "answer_text", "extracted", "verdict"), "str"),
    **dict.fromkeys(("sample", "budget", "answer_tokens"), "int64"),
    "forced": "bool",
}


@dataclass(frozen=True)
class Probing:
    """How rollouts are stopped and asked for their answers. Decoding is greedy.

    Attributes:
        answer_tokens: Most tokens of a forced answer; it ends earlier at the brace that closes its box.
        suffix: The text that asks for the answer: a name in `prompts.SUFFIXES`, or a text that ends by
            opening a box. Default: that of the template.
        snap: Moves every cut down to where prompt and rollout fill blocks of so many tokens, which an
            engine's prefix cache then serves whole. The accuracy at L is then that of up to `snap - 1`
            tokens fewer. Default: cuts are exact.
        shard_rollouts: Rollouts per file; a killed run continues after its last whole file.
        verify_timeout: Most seconds for comparing one answer with its gold.

    Raises:
        ConfigError: A value has a wrong type or is out of range.
    """

    answer_tokens: Positive = 20
    suffix: str | None = None
    snap: Positive | None = None
    shard_rollouts: Positive = 256
    verify_timeout: AboveZero = 5.0

    def __post_init__(self):
        check_fields(self)

    def identity(self, sampler: Sampler, template: prompts.Template, budgets: Sequence[int]) -> dict:
        """Return what decides the forced answers of a rollout."""
        suffix = prompts.forced_suffix(template, self.suffix)
        return {
            **sampler.identity(),
            "budgets": [int(b) for b in budgets],
            **({} if self.snap is None else {"snap": int(self.snap)}),
            "suffix": suffix,
            "suffix_when_closed": prompts.suffix_when_closed(suffix),
            "answer_tokens": int(self.answer_tokens),
            "shard_rollouts": int(self.shard_rollouts),
            "verifier": grading.identity(self.verify_timeout),
        }


@moved_keywords(
    **{f: f"Probing({f}=...)" for f in ("answer_tokens", "suffix", "snap")},
    **{f: f"Probing({f}=...)" for f in ("shard_rollouts", "verify_timeout")},
)
@checked_arguments(probing=Probing)
@brief_interrupts(resumable)
def probe(
    rollouts: pd.DataFrame,
    sampler: Sampler,
    budgets: Sequence[int],
    *,
    run_dir: str | Path,
    probing: Probing = Probing(),
    progress: bool = True,
) -> pd.DataFrame:
    """Stop the rollouts of a run at every budget, and grade the answers they are forced to give.

    Continues a killed run; reads a finished one back.

    Args:
        rollouts: The table that `effwb.rollouts.sample` returned for `run_dir`.
        sampler: An open sampler of the same model.
        budgets: Budgets in tokens, increasing, in [0, cap].
        run_dir: The run directory with the rollouts.
        probing: Suffix, length of the answers, and the rest of `Probing`.
        progress: Whether to show the progress.

    Returns:
        A DataFrame with `COLUMNS`, one row per (problem, sample, budget) that needed a forced answer.

    Raises:
        ConfigError: The budgets are not increasing or exceed the cap, the sampler holds another model, or a
            forced answer does not fit the model's context.
        DataError: `run_dir` has no rollouts, or others.
        IdentityError: `run_dir` holds other probes.
    """
    check_sampler(sampler)
    run = RunDir(run_dir)
    sampling = run.identity("rollouts")
    if not sampling:
        raise DataError(f"{run.path} holds no rollouts; sample them first")
    check_budgets(budgets, sampling["max_tokens"])
    identity = sampler.identity()
    for key in ("model", "weights", "tokenizer", "dtype"):
        if identity.get(key) != sampling.get(key):
            (difference,) = differences_in_words({key: sampling.get(key)}, {key: identity.get(key)}, {})
            raise ConfigError(f"the rollouts of {run.path} are another model's ({difference})")
    shard_prober = ShardProber(sampler, prompts.Template(**sampling["template"]), budgets, probing)
    tokens = fingerprint(rollouts)
    with run.lock():
        if run.is_done("probes"):
            shard_prober.begin(run, tokens)
        else:
            if len(rollouts) == 0:
                raise DataError("there are no rollouts to probe")
            if tokens != fingerprint(read_rollouts(run.path)):
                raise DataError(
                    f"these rollouts are not those of {run.path}; pass the table that `sample` returned"
                )
            shard_prober.check_lengths(rollouts)
            shard_prober.begin(run, tokens)
            problems, size = problems_of(run.path), probing.shard_rollouts
            parts = [rollouts.iloc[i : i + size] for i in range(0, len(rollouts), size)]
            run.fill(
                "probes",
                parts,
                lambda part: shard_prober.probe_shard(part, problems),
                unit="rollout",
                progress=progress,
            )
        shutil.rmtree(run.path / "ahead", ignore_errors=True)  # version 0.1 kept answers there meanwhile
    return read_probes(run_dir, rollouts)


def read_probes(
    run_dir: str | Path,
    rollouts: pd.DataFrame,
    columns: list[str] | None = None,
    categories: Sequence[str] = (),
) -> pd.DataFrame:
    """Read the finished probe table of a run: all of it or nothing.

    Args:
        run_dir: The run directory.
        rollouts: Its rollout table.
        columns: The columns to read; default: all.
        categories: Columns to return as sorted categories.

    Raises:
        DataError: The table is not finished, a file of it is damaged, or it does not have as many rows as
            the rollouts need forced answers.
    """
    import numpy as np

    run = RunDir(run_dir)
    table = run.read("probes", columns=columns, categories=categories)
    budgets = run.stored_identity("probes")["budgets"]
    length, stopped = rollouts["length"].to_numpy(), (rollouts["finish_reason"] == "stop").to_numpy()
    needed = np.where(stopped, np.searchsorted(budgets, length), np.searchsorted(budgets, length, "right"))
    if len(table) != needed.sum():  # which rows are missing or twice, the curve says
        raise DataError(
            f"{run.path / 'probes'} holds {len(table)} forced answers, but the rollouts beside it need "
            f"{needed.sum()}; delete {run.path / 'probes'} and run again to restore it"
        )
    return table


def fingerprint(rollouts: pd.DataFrame) -> str:
    """Return a digest of the tokens of all rollouts, which ties a probe table to its rollout table."""
    import numpy as np

    digest = hashlib.sha256()
    for row in rollouts[["problem_id", "sample", "completion_ids"]].itertuples(index=False):
        ids = np.ascontiguousarray(row.completion_ids, dtype=np.int32)
        digest.update(f"{row.problem_id}|{row.sample}|".encode() + ids.tobytes())
    return digest.hexdigest()[:12]


class ShardProber:
    """Makes the probe table of a run shard by shard.

    Args:
        sampler: An open sampler.
        template: The template of the prompts.
        budgets: Budgets in tokens, increasing.
        probing: How answers are forced.

    Attributes:
        identity: What decides the forced answers of a rollout.
    """

    def __init__(
        self, sampler: Sampler, template: prompts.Template, budgets: Sequence[int], probing: Probing
    ):
        self.identity = probing.identity(sampler, template, budgets)
        self.sampler, self.budgets, self.timeout = sampler, self.identity["budgets"], probing.verify_timeout
        suffix = self.identity["suffix"]
        self.prober = Prober(sampler.tokenizer, suffix, probing.answer_tokens, probing.snap)

    def begin(self, run: RunDir, rollouts: str | None) -> None:
        """Declare the probe table of a locked run, or check that the one on disk is the same.

        Args:
            run: The run directory.
            rollouts: The `fingerprint` of all rollouts; None while not all of them are sampled.

        Raises:
            IdentityError: The run holds other probes.
        """
        recorded = {} if run.is_done("probes") else {"batching": self.sampler.batching()}
        run.begin("probes", {**self.identity, "rollouts": rollouts}, pending=["rollouts"], **recorded)

    def check_context(self, prompt: int, reasoning: int) -> None:
        """Check that forced answers fit the model's context.

        Args:
            prompt: Tokens of the prompt.
            reasoning: Tokens of the longest cut after it.

        Raises:
            ConfigError: They do not; the message says how long cap and budgets may be.
        """
        context, extra = self.sampler.context, self.prober.extra
        if context is not None and prompt + reasoning + extra > context:
            raise ConfigError(
                f"a prompt of {prompt} tokens, {reasoning} of reasoning and {extra} for a forced answer "
                f"exceed the model's context of {context}; cap and budgets can be at most "
                f"{max(0, context - prompt - extra)}"
            )

    def check_lengths(self, rollouts: pd.DataFrame) -> None:
        """Check that the longest cut of these rollouts fits the model's context; see `check_context`."""
        reasoning = rollouts["length"].clip(upper=self.budgets[-1])
        longest = (rollouts["prompt_tokens"] + reasoning).to_numpy().argmax()
        self.check_context(int(rollouts["prompt_tokens"].iloc[longest]), int(reasoning.iloc[longest]))

    def probe_shard(self, rollouts: pd.DataFrame, problems: pd.DataFrame) -> pd.DataFrame:
        """Force the answers of sampled rollouts.

        Args:
            rollouts: Rows of the rollout table.
            problems: Their problems with the prompts.

        Returns:
            Their rows of the probe table.
        """
        prompted = {row.problem_id: row for row in problems.itertuples()}
        targets = [
            self._target(prompted[r.problem_id], list(r.completion_ids), r.finish_reason)
            for r in rollouts.itertuples()
        ]
        return self.shard(rollouts, problems, self.prober.answers(self.sampler, targets))

    def sample(
        self, problems: pd.DataFrame, params: SamplingParams, seeds: Sequence[Sequence[int]]
    ) -> tuple[list[list[Completion]], list[list[ForcedAnswer]]]:
        """Sample rollouts of problems together with their forced answers.

        Args:
            problems: Problems with their prompts.
            params: How rollouts are sampled.
            seeds: The seed of every rollout, by problem and sample.

        Returns:
            The completions by problem and sample, and the forced answers of one rollout after another.
        """
        prompted = list(problems.itertuples())

        def target_of(p: int, completion: Completion) -> ProbeTarget:
            return self._target(prompted[p], completion.token_ids, completion.finish_reason)

        prompt_ids = [list(problem.prompt_ids) for problem in prompted]
        groups, answers = self.prober.sample_and_answer(self.sampler, params, seeds, prompt_ids, target_of)
        return groups, [row for group in answers for row in group]

    def shard(
        self, rollouts: pd.DataFrame, problems: pd.DataFrame, answers: Sequence[Sequence[ForcedAnswer]]
    ) -> pd.DataFrame:
        """Make the graded probe table of rollouts from the forced answers of each."""
        import pandas as pd

        records = [
            (r.problem_id, r.sample, budget, True, answer)
            for r, row in zip(rollouts.itertuples(), answers, strict=True)
            for budget, answer in zip(cuts_of(r.length, r.finish_reason, self.budgets), row, strict=True)
        ]
        frame = pd.DataFrame(records, columns=["problem_id", "sample", "budget", "forced", "answer"])
        golds = frame["problem_id"].map(problems.set_index("problem_id")["answer"])
        verdicts = grading.grade([a.text for a in frame["answer"]], golds, self.timeout)
        frame = frame.assign(
            answer_text=[a.completion.text for a in frame["answer"]],
            answer_tokens=[len(a.completion.token_ids) for a in frame["answer"]],
            **verdicts,
        )
        return frame[list(COLUMNS)].astype(TYPES)

    def _target(self, problem: Any, ids: list[int], finish_reason: str) -> ProbeTarget:
        """What to do with a rollout of `problem`, a row of the problems with their prompts."""
        opened = prompts.opens_thinking(problem.prompt, problem.question)
        budgets = cuts_of(len(ids), finish_reason, self.budgets)
        return ProbeTarget(list(problem.prompt_ids), ids, opened, budgets)


def cut_table(rollout: pd.Series, probes: pd.DataFrame, tokenizer: PreTrainedTokenizerBase) -> pd.DataFrame:
    """Show one rollout cut by cut, to be read.

    Args:
        rollout: A row of the rollout table.
        probes: The probe table.
        tokenizer: The model's tokenizer.

    Returns:
        A row per cut: the budget, the text since the last cut, the forced answer there and its verdict. The
        last row is the rollout's own answer, if it ended by itself.
    """
    import pandas as pd

    same = (probes["problem_id"] == rollout["problem_id"]) & (probes["sample"] == rollout["sample"])
    ids, rows, start = list(rollout["completion_ids"]), [], 0
    for row in probes[same].sort_values("budget").itertuples():
        rows.append((str(row.budget), tokenizer.decode(ids[start : row.budget]), row.extracted, row.verdict))
        start = row.budget
    if rollout["finish_reason"] == "stop":
        last = tokenizer.decode(ids[start:])
        rows.append((f"{len(ids)} (end)", last, rollout["extracted"], rollout["verdict"]))
    return pd.DataFrame(rows, columns=["budget", "text since the last cut", "answer", "verdict"])
