"""Sample problems into the rollout table, shard by shard, so that a killed run continues where it stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effwb import prompts
from effwb._internal.checked import checked_arguments
from effwb._internal.identities import problems_in_words
from effwb._internal.interrupts import brief_interrupts, resumable
from effwb._internal.keywords import moved_keywords
from effwb.errors import ConfigError, DataError
from effwb.profiles import Sampling
from effwb.prompts import Prompting
from effwb.runs import RunDir, read_parquet, write_parquet
from effwb.samplers import Completion, Sampler, SamplingParams, check_context
from effwb.samplers.base import check_sampler, opened, with_opening
from effwb.verifiers import grading, verify

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

FORCED_ROOM = 64  # tokens kept free for a forced-answer suffix and its answer
DEFAULT_CAP = 32768  # the largest cap that is chosen without being asked for
COLUMNS = (
    *("problem_id", "sample", "seed", "prompt_tokens", "length", "finish_reason", "text", "completion_ids"),
    *("extracted", "verdict", "verify_ms"),
)
IDENTIFYING = ("problem_id", "question", "answer", "hint")  # columns of the problems


@moved_keywords(
    **{f: f"Sampling({f}=...)" for f in ("max_tokens", "temperature", "top_p")},
    **{f: f"Sampling({f}=...)" for f in ("shard_problems", "verify_timeout")},
    **{f: f"Prompting({f}=...)" for f in ("template", "effort", "hint", "hint_place", "thinking", "opening")},
    ahead="effwb.evaluate(...), which samples and probes together",
)
@checked_arguments(sampling=Sampling, prompting=Prompting)
@brief_interrupts(resumable)
def sample(
    problems: Dataset,
    sampler: Sampler,
    n: int,
    *,
    run_dir: str | Path,
    seed: int = 0,
    sampling: Sampling = Sampling(),
    prompting: Prompting = Prompting(),
    progress: bool = True,
) -> pd.DataFrame:
    """Sample and grade `n` rollouts per problem.

    Every (problem, sample) has its own seed, and a shard always holds the same problems. So a run that was
    killed and started again gives the table of an uninterrupted one; in bfloat16 only if the batches have
    the same shape, which config.json records. A finished run is read back.

    Args:
        problems: A data set with the columns problem_id, question and answer (`effwb.problems.load`).
        sampler: An open sampler (`effwb.samplers.open_sampler`).
        n: Rollouts per problem.
        run_dir: The run directory to write, continue or read back.
        seed: Decides the seed of every rollout.
        sampling: Cap, temperature, top-p, problems per shard and the verifier's timeout.
        prompting: Template, effort, length hint, thinking mode and opening.
        progress: Whether to show the progress.

    Returns:
        A DataFrame with `COLUMNS`, one row per (problem, sample). `length` is in tokens.

    Raises:
        IdentityError: `run_dir` holds another run.
        ConfigError: A prompt and the cap exceed the model's context, or a setting is illegal.
        DataError: There are no problems, ids repeat, or a column is missing.

    Example:
        with open_sampler("pocket") as sampler:
            sample(problems, sampler, 8, run_dir="data/runs/free", sampling=Sampling(max_tokens=512))
    """
    table = RolloutTable(
        problems, sampler, n, run_dir=run_dir, seed=seed, sampling=sampling, prompting=prompting
    )
    if not table.run.is_done("rollouts"):
        table.check_context()
    return table.complete(progress)


class RolloutTable:
    """The rollout table of a run directory, complete or not: its identity, and how its shards are sampled.

    Everything is checked before the first token is sampled. The parameters are those of `sample`.

    Attributes:
        run: The run directory.
        sampler: The sampler.
        params: Cap, temperature, top-p and number of samples.
        prompting: How questions become prompts.
        template: The template of the prompts.
        prompted: The problems with the columns hint, prompt and prompt_ids.
        longest_prompt: Tokens of the longest prompt.
        identity: Everything that decides the table.
    """

    def __init__(
        self,
        problems: Dataset,
        sampler: Sampler,
        n: int,
        *,
        run_dir: str | Path,
        seed: int,
        sampling: Sampling,
        prompting: Prompting,
    ):
        check_sampler(sampler)
        check_problems(problems)
        self.run, self.sampler, self.seed = RunDir(run_dir), sampler, seed
        if not self.run.is_done("rollouts"):
            check_texts(problems)
        self.sampling, self.prompting = sampling, prompting
        self.template = prompts.template(prompting.template or prompts.fitting_template(sampler.tokenizer))
        self.prompted = _prompted(problems, sampler.tokenizer, self.template, prompting)
        self.longest_prompt = int(self.prompted["prompt_ids"].map(len).max())
        cap = sampling.max_tokens
        if cap is None:
            cap = DEFAULT_CAP
            if sampler.context is not None:
                check_context(self.longest_prompt, 1 + FORCED_ROOM, sampler.context)
                cap = min(cap, sampler.context - self.longest_prompt - FORCED_ROOM)
        self.params = SamplingParams(int(cap), sampling.temperature, sampling.top_p, n)
        if prompting.opening != "free":
            first = self.prompted.iloc[0]
            prompts.check_opened(first["prompt"], f"opening={prompting.opening!r}", first["question"])
        self.identity = self._identity()

    def _identity(self) -> dict:
        prompting = self.prompting
        hint = prompting.hint
        return {
            **self.sampler.identity(),
            "problems": _fingerprint(self.prompted),
            "template": self.template.identity(self.prompting.effort),
            "effort": prompting.effort,
            "hint": hint if hint is None or isinstance(hint, str) else int(hint),
            "hint_place": prompting.hint_place if hint is not None else None,
            "thinking": prompting.thinking,
            "opening": None if prompting.opening == "free" else prompting.opening,
            "max_tokens": self.params.max_tokens,
            "temperature": float(self.params.temperature),
            "top_p": float(self.params.top_p),
            "n": int(self.params.n),
            "seed": int(self.seed),
            "shard_problems": int(self.sampling.shard_problems),
            "verifier": grading.identity(self.sampling.verify_timeout),
        }

    def check_context(self) -> None:
        """Raise `ConfigError` if the longest prompt and the cap exceed the model's context."""
        check_context(self.longest_prompt, self.params.max_tokens, self.sampler.context)

    def begin(self) -> None:
        """Declare the table and store its problems, or raise `IdentityError`; the run must be locked."""
        recorded: dict[str, Any] = {}
        if not self.run.is_done("rollouts"):
            recorded["batching"] = self.sampler.batching()
        words = {"problems": problems_in_words(self.prompted["question"].tolist())}
        self.run.begin("rollouts", self.identity, in_words=words, **recorded)
        stored = self.run.path / "problems.parquet"
        if not stored.exists() or not self.run.shards("rollouts"):
            write_parquet(stored, self.prompted)
        problems_of(self.run.path)  # a damaged file is named before hours of sampling

    def parts(self) -> list[pd.DataFrame]:
        """Return the problems of each shard, with their prompts."""
        # as stored: a chat template that prints the date must not change the prompts half-way
        problems, size = problems_of(self.run.path), self.sampling.shard_problems
        return [problems.iloc[i : i + size] for i in range(0, len(problems), size)]

    def drop_stale_probes(self) -> None:
        """Delete probe shards whose rollouts are missing: those sampled now may differ from the old ones.

        Only where both tables are filled shard by shard; elsewhere a fingerprint tells.
        """
        if self.run.identity("probes").get("rollouts", "") is None:
            for shard in self.run.shards("probes"):
                if not (self.run.path / "rollouts" / shard.name).exists():
                    shard.unlink()

    def complete(self, progress: bool = True) -> pd.DataFrame:
        """Sample the missing shards, mark the table as done and read it."""
        with self.run.lock():
            self.begin()
            if not self.run.is_done("rollouts"):
                self.drop_stale_probes()
                parts = self.parts()
                self.run.fill("rollouts", parts, self.sample_shard, unit="problem", progress=progress)
        return read_rollouts(self.run.path)

    def sample_shard(self, problems: pd.DataFrame) -> pd.DataFrame:
        """Sample the rollouts of some problems and grade them."""
        tokenizer, opening = self.sampler.tokenizer, self.prompting.opening
        closing = None if opening == "free" else prompts.closing_id(tokenizer)
        first_ids, params = opened(opening, closing, self.params)
        prompt_ids = [[*ids, *first_ids] for ids in problems["prompt_ids"]]
        groups = self.sampler.generate(prompt_ids, params, self.seeds(problems))
        return self.shard(
            problems, [[with_opening(tokenizer, first_ids, c) for c in group] for group in groups]
        )

    def seeds(self, problems: pd.DataFrame) -> list[list[int]]:
        """Return the seed of every rollout of some problems, by problem and sample."""
        samples = range(self.params.n)
        return [[sample_seed(pid, i, self.seed) for i in samples] for pid in problems["problem_id"]]

    def shard(self, problems: pd.DataFrame, completions: Sequence[Sequence[Completion]]) -> pd.DataFrame:
        """Make the graded rollout table of some problems from their completions, by problem and sample."""
        import pandas as pd

        rows = [
            {
                "problem_id": problem.problem_id,
                "sample": i,
                "seed": seeds[i],
                "prompt_tokens": len(problem.prompt_ids),
                "length": len(completion.token_ids),
                "finish_reason": completion.finish_reason,
                "text": completion.text,
                "completion_ids": completion.token_ids,
            }
            for problem, seeds, group in zip(
                problems.itertuples(), self.seeds(problems), completions, strict=True
            )
            for i, completion in enumerate(group)
        ]
        return _graded(pd.DataFrame(rows), problems, self.sampling.verify_timeout)


def solved(rollouts: pd.DataFrame) -> pd.Series:
    """Tell which rollouts count as correct: the right answer, and they ended by themselves.

    This is the library's one definition of accuracy. A rollout that the cap cut off is wrong.

    Args:
        rollouts: A rollout table with the columns verdict and finish_reason.

    Returns:
        A bool per row.
    """
    return (rollouts["verdict"] == "correct") & (rollouts["finish_reason"] == "stop")


def check_problems(problems: Dataset) -> None:
    """Raise `DataError` for what is no data set, an empty one, repeated ids or missing columns."""
    if not hasattr(problems, "column_names"):
        raise DataError(
            f"problems must be a data set, as effwb.problems.load returns it, got {type(problems).__name__}; "
            "datasets.Dataset.from_pandas(table) makes one of a DataFrame"
        )
    if len(problems) == 0:
        raise DataError("there are no problems")
    missing = [c for c in ("problem_id", "question", "answer") if c not in problems.column_names]
    if missing:
        raise DataError(f"the problems lack the columns {missing}; they have {problems.column_names}")
    if len(set(problems["problem_id"])) < len(problems):
        raise DataError("the problems repeat a problem_id; every problem may occur once per run")


def check_texts(problems: Dataset) -> None:
    """Raise `DataError` for an id or question that is no text, and for a gold that no verifier can use.

    Args:
        problems: Problems that `check_problems` accepts and that will be sampled.
    """
    for column in ("problem_id", "question"):
        values = problems[column][:]
        bad = [row for row, value in enumerate(values) if not (isinstance(value, str) and value.strip())]
        if bad:
            raise DataError(
                f"{len(bad)} of {len(values)} problems have no text as {column}, such as row {bad[0]}: "
                f"{values[bad[0]]!r}; drop these rows, or give each a text"
            )
    golds = problems["answer"][:]
    legal = [isinstance(gold, str | int | float) and gold == gold for gold in golds]
    verdicts = verify([""] * len(golds), [gold if ok else "" for gold, ok in zip(golds, legal, strict=True)])
    bad = [row for row, verdict in enumerate(verdicts) if verdict.status == "bad_gold"]
    if bad:
        raise DataError(
            f"{len(bad)} of {len(golds)} problems have a gold that no verifier can use, such as row "
            f"{bad[0]}: {golds[bad[0]]!r}; drop these rows, or mend the column answer"
        )


def problems_of(run_dir: str | Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read the problems of a run with their prompts.

    Args:
        run_dir: The run directory.
        columns: The columns to return; default: all.

    Returns:
        A DataFrame with `effwb.problems.COLUMNS`, hint, prompt (text) and prompt_ids.

    Raises:
        DataError: The file is missing or damaged, or its questions or golds are not those of the run.
    """
    file = Path(run_dir) / "problems.parquet"
    expected = RunDir(run_dir).identity("rollouts").get("problems")
    names = columns and list(dict.fromkeys([*columns, *(IDENTIFYING if expected else ())]))
    problems = read_parquet(file, names)
    if expected and not (set(IDENTIFYING) <= set(problems) and _fingerprint(problems) == expected):
        raise DataError(
            f"{file} holds other questions or golds than config.json beside it says; delete it and run again "
            "to restore it"
        )
    return problems[columns] if columns else problems


def read_rollouts(
    run_dir: str | Path, columns: list[str] | None = None, categories: Sequence[str] = ()
) -> pd.DataFrame:
    """Read the finished rollouts of a run: all of them, each once, or none.

    Args:
        run_dir: The run directory.
        columns: The columns to read, problem_id and sample among them; default: all.
        categories: Columns to return as sorted categories.

    Returns:
        The rollout table, a row per (problem, sample).

    Raises:
        DataError: The table is not finished, a file of it is damaged, or it does not hold every problem and
            sample of the run once; the message names the first rows.
    """
    run, ids = RunDir(run_dir), problems_of(run_dir, ["problem_id"])["problem_id"].tolist()
    table = run.read("rollouts", columns=columns, categories=categories)
    _check_rows(table, ids, run)
    return table


def _check_rows(rollouts: pd.DataFrame, ids: list[str], run: RunDir) -> None:
    """Raise `DataError` unless every sample of every problem is there once."""
    import numpy as np
    import pandas as pd

    identity = run.stored_identity("rollouts")
    n, per_shard = identity["n"], identity.get("shard_problems", len(ids))
    place, sample = pd.Index(ids).get_indexer(rollouts["problem_id"]), rollouts["sample"].to_numpy()
    foreign = (place < 0) | (sample < 0) | (sample >= n)
    counts = np.bincount((place * n + sample)[~foreign], minlength=len(ids) * n)
    if foreign.any():
        first = rollouts.loc[foreign].iloc[0]
        reason, file = f"sample {first['sample']} of {first['problem_id']!r} is of another run", "its shards"
    elif (counts != 1).any():
        row = int((counts != 1).argmax())
        reason = f"sample {row % n} of {ids[row // n]!r} is there {counts[row]} times"
        file = run.shard("rollouts", row // n // per_shard).name
    else:
        return
    raise DataError(
        f"{run.path / 'rollouts'} does not hold {len(ids)} problems x {n} samples: {reason}; delete {file} "
        "there and run again to restore it"
    )


@checked_arguments()
def regrade(run_dir: str | Path, timeout: float = 5.0) -> pd.DataFrame:
    """Grade the stored texts of a run again, with the verifier as it is now.

    Args:
        run_dir: A finished run; nothing in it changes.
        timeout: Most seconds for comparing one answer with its gold.

    Returns:
        The rollout table with the new verdicts.
    """
    return _graded(read_rollouts(run_dir), problems_of(run_dir), timeout)


def _graded(rollouts: pd.DataFrame, problems: pd.DataFrame, timeout: float) -> pd.DataFrame:
    """The rollouts with verdict columns; `problems` have their prompts."""
    problems = problems.set_index("problem_id")
    pairs = zip(problems["prompt"], problems["question"], strict=True)
    is_open = dict(zip(problems.index, (prompts.opens_thinking(*pair) for pair in pairs), strict=True))
    opens = rollouts["problem_id"].map(is_open)
    texts = [prompts.graded_text(o, text) for o, text in zip(opens, rollouts["text"], strict=True)]
    golds = rollouts["problem_id"].map(problems["answer"])
    return rollouts.assign(**grading.grade(texts, golds, timeout))


def sample_seed(problem_id: str, sample: int, seed: int | str) -> int:
    """Return the seed of one rollout: 63 bits of a hash of the run's seed, the problem and the sample."""
    return int.from_bytes(hashlib.sha256(f"{seed}|{problem_id}|{sample}".encode()).digest()[:8], "big") >> 1


def _prompted(problems: Dataset, tokenizer, template: prompts.Template, prompting: Prompting) -> pd.DataFrame:
    """The problems with their hints and prompts."""
    import pandas as pd

    table, hint = problems.to_pandas(), prompting.hint
    if isinstance(hint, str) and hint not in table:
        raise ConfigError(f"hint names the column {hint!r}; the problems have {', '.join(table.columns)}")
    hints: Iterable = table[hint] if isinstance(hint, str) else [hint] * len(table)
    rendered = [
        prompts.render(
            tokenizer,
            question,
            template,
            effort=prompting.effort,
            hint=tokens,
            hint_place=prompting.hint_place,
            thinking=prompting.thinking,
        )
        for question, tokens in zip(table["question"], hints, strict=True)
    ]
    return table.assign(
        hint=pd.array(list(hints), dtype="Int64"),
        prompt=[text for text, _ in rendered],
        prompt_ids=[ids for _, ids in rendered],
    )


def _fingerprint(prompted: pd.DataFrame) -> str:
    """Digest of the questions, not of the rendered prompts: a chat template may print today's date."""
    digest = hashlib.sha256()
    for row in prompted[list(IDENTIFYING)].itertuples():
        digest.update(f"{row.problem_id}|{row.question}|{row.answer}|{row.hint}\n".encode())
    return digest.hexdigest()[:12]
