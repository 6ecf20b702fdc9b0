"""Sample problems into the rollout table, shard by shard, so that a killed run continues where it stopped."""

import hashlib
from functools import partial
from pathlib import Path

from effwb import prompts
from effwb.errors import ConfigError, DataError, one_of
from effwb.runs import RunDir, read_parquet, write_parquet
from effwb.samplers import Sampler, SamplingParams, check_context
from effwb.samplers.base import OPENINGS, opened, with_opening
from effwb.verifiers import grading

FORCED_ROOM = 64  # tokens kept free for a forced-answer suffix and its answer
COLUMNS = (
    *("problem_id", "sample", "seed", "prompt_tokens", "length", "finish_reason", "text", "completion_ids"),
    *("extracted", "verdict", "verify_ms"),
)


def sample(
    problems,
    sampler: Sampler,
    n: int,
    *,
    run_dir: str | Path,
    max_tokens: int | None = None,
    template: str | prompts.Template | None = None,
    effort: str | None = None,
    hint: int | str | None = None,
    hint_place: str = "user",
    thinking: bool = True,
    opening: str = "free",
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
    shard_problems: int = 32,
    verify_timeout: float = 5.0,
    progress: bool = True,
    ahead=None,
):
    """`n` graded rollouts per problem as a DataFrame with `COLUMNS`, one row per (problem, sample).

    `max_tokens` defaults to what the context leaves beside the longest prompt and a forced answer, `template`
    to the one that fits the tokenizer. `hint` is a number of tokens for all problems or the name of a column
    of `problems`. `thinking=False` asks the chat template for its empty mode. `opening` is how a completion
    begins behind a prompt that opens the thinking: "free", "think" (it is not closed at once) or "empty" (it
    is; the tag counts as the completion's). Every (problem, sample) has its own seed, and shards always hold
    the same problems, so a run that was killed and started again gives the table of an uninterrupted one (in
    bfloat16 only where the batches have the same shape: config.json records it). A finished run is read back.
    `ahead` (`effwb.probes.Ahead`) makes the forced answers of every shard with it.
    Raises `IdentityError` where `run_dir` holds another run, `ConfigError` where a prompt and `max_tokens`
    exceed the context, `DataError` for an empty set, repeated ids or missing columns.
    """
    check_problems(problems)
    if shard_problems < 1:
        raise ConfigError(f"shard_problems must be at least 1, got {shard_problems}")
    if not isinstance(thinking, bool):
        raise ConfigError(f"thinking must be True or False, got {thinking!r}")
    one_of("opening", opening, OPENINGS)
    form = prompts.template(template or prompts.fitting_template(sampler.tokenizer))
    prompted = _prompt_table(problems, sampler, form, effort, hint, hint_place, thinking)
    longest = int(prompted["prompt_ids"].map(len).max())
    cap = int(max_tokens) if max_tokens is not None else _room(sampler.context, longest)
    params = SamplingParams(cap, temperature, top_p, n)
    if opening != "free":
        prompts.check_opened(prompted["prompt"].iloc[0], f"opening={opening!r}")
    identity = {
        **sampler.identity(),
        "problems": _fingerprint(prompted),
        "template": form.identity(),
        "effort": effort,
        "hint": hint if hint is None or isinstance(hint, str) else int(hint),
        "hint_place": hint_place if hint is not None else None,
        "thinking": thinking,
        "opening": None if opening == "free" else opening,
        "max_tokens": cap,
        "temperature": float(temperature),
        "top_p": float(top_p),
        "n": int(n),
        "seed": int(seed),
        "shard_problems": int(shard_problems),
        "verifier": grading.identity(verify_timeout),
    }
    run = RunDir(run_dir)
    with run.lock():
        if run.is_done("rollouts"):
            run.begin("rollouts", identity)  # refuses another run's
        else:
            check_context(longest, cap, sampler.context)
            if ahead is not None:
                ahead.check_context(longest, cap, form, sampler)
            run.begin("rollouts", identity, batching=sampler.batching())
        if not (run.path / "problems.parquet").exists() or not run.shards("rollouts"):
            write_parquet(run.path / "problems.parquet", prompted)
        if not run.is_done("rollouts"):
            asked = problems_of(run.path)  # a template that prints the date must not change half-way
            parts = [asked.iloc[i : i + shard_problems] for i in range(0, len(asked), shard_problems)]
            how = dict(sampler=sampler, params=params, seed=seed, timeout=verify_timeout)
            if ahead is None or opening != "free":
                make = partial(_shard, opening=opening, **how)
            else:
                make = partial(_shard_ahead, ahead=ahead, form=form, **how)
            run.fill("rollouts", parts, make, unit="problem", progress=progress)
    return run.read("rollouts")


def solved(rollouts):
    """Bool Series: which rows of a rollout table are correct and ended by themselves."""
    return (rollouts["verdict"] == "correct") & (rollouts["finish_reason"] == "stop")


def check_problems(problems) -> None:
    """Raise `DataError` for an empty set, repeated ids or missing columns."""
    if len(problems) == 0:
        raise DataError("there are no problems")
    missing = [c for c in ("problem_id", "question", "answer") if c not in problems.column_names]
    if missing:
        raise DataError(f"the problems lack the columns {missing}; they have {problems.column_names}")
    if len(set(problems["problem_id"])) < len(problems):
        raise DataError("the problems repeat a problem_id; every problem may be asked once per run")


def _room(context: int | None, longest: int) -> int:
    """The default cap in tokens: what the context leaves beside prompt and forced answer, at most 32,768."""
    if context is None:
        return 32768
    check_context(longest, 1 + FORCED_ROOM, context)
    return min(32768, context - longest - FORCED_ROOM)


def problems_of(run_dir: str | Path):
    """The problems of a run with their prompts: `COLUMNS` of `effwb.problems`, prompt, prompt_ids."""
    return read_parquet(Path(run_dir) / "problems.parquet")


def regrade(run_dir: str | Path, timeout: float = 5.0):
    """The rollout table with fresh verdicts from the stored texts; nothing on disk changes."""
    return _graded(RunDir(run_dir).read("rollouts"), problems_of(run_dir), timeout)


def _graded(table, asked, timeout):
    """`table` with verdict columns; `asked` is the problem table with prompts."""
    asked = asked.set_index("problem_id")
    opened = table["problem_id"].map(asked["prompt"].map(prompts.opens_thinking))
    texts = [prompts.graded_text(o, t) for o, t in zip(opened, table["text"], strict=True)]
    return table.assign(**grading.grade(texts, table["problem_id"].map(asked["answer"]), timeout))


def _shard(part, sampler, params, opening, seed, timeout):
    closing = None if opening == "free" else prompts.closing_id(sampler.tokenizer)
    forced, params = opened(opening, closing, params)
    seeds = _seeds(part, params, seed)
    groups = sampler.generate([[*ids, *forced] for ids in part["prompt_ids"]], params, seeds)
    groups = [[with_opening(sampler.tokenizer, forced, c) for c in group] for group in groups]
    return _frame(part, seeds, groups, timeout)


def _shard_ahead(part, sampler, params, ahead, form, seed, timeout):
    seeds = _seeds(part, params, seed)
    frame_of = partial(_frame, part, seeds, timeout=timeout)
    return ahead.sample(part, form, sampler, params, seeds, frame_of)


def _seeds(part, params, seed) -> list[list[int]]:
    return [[sample_seed(pid, i, seed) for i in range(params.n)] for pid in part["problem_id"]]


def _frame(part, seeds, groups, timeout):
    """The graded rollout table of some problems, given the completions of each."""
    import pandas as pd

    rows = [
        {
            "problem_id": row.problem_id,
            "sample": i,
            "seed": row_seeds[i],
            "prompt_tokens": len(row.prompt_ids),
            "length": len(c.token_ids),
            "finish_reason": c.finish_reason,
            "text": c.text,
            "completion_ids": c.token_ids,
        }
        for row, row_seeds, group in zip(part.itertuples(), seeds, groups, strict=True)
        for i, c in enumerate(group)
    ]
    return _graded(pd.DataFrame(rows), part, timeout)


def sample_seed(problem_id: str, sample: int, seed: int | str) -> int:
    """The seed of one completion, from the problem's id and the number of the sample: 63 bits."""
    return int.from_bytes(hashlib.sha256(f"{seed}|{problem_id}|{sample}".encode()).digest()[:8], "big") >> 1


def _prompt_table(problems, sampler, form, effort, hint, hint_place, thinking):
    import pandas as pd

    table = problems.to_pandas()
    if isinstance(hint, str) and hint not in table:
        raise ConfigError(f"hint names the column {hint!r}; the problems have {', '.join(table.columns)}")
    hints = table[hint] if isinstance(hint, str) else [hint] * len(table)
    rendered = [
        prompts.render(
            sampler.tokenizer, q, form, effort=effort, hint=h, hint_place=hint_place, thinking=thinking
        )
        for q, h in zip(table["question"], hints, strict=True)
    ]
    return table.assign(
        hint=pd.array(list(hints), dtype="Int64"),
        prompt=[t for t, _ in rendered],
        prompt_ids=[ids for _, ids in rendered],
    )


def _fingerprint(prompted) -> str:
    """Of what was asked, not of the rendered prompts: a chat template may print today's date."""
    digest = hashlib.sha256()
    for row in prompted.itertuples():
        digest.update(f"{row.problem_id}|{row.question}|{row.answer}|{row.hint}\n".encode())
    return digest.hexdigest()[:12]
