"""Sample problems into the rollout table, shard by shard, so that a killed run continues where it stopped."""

import hashlib
from pathlib import Path

from effwb import prompts
from effwb.errors import ConfigError, DataError
from effwb.runs import RunDir, read_parquet, write_parquet
from effwb.samplers import Sampler, SamplingParams, check_context

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
    max_tokens: int,
    template: str | prompts.Template = "boxed",
    effort: str | None = None,
    hint: int | str | None = None,
    hint_place: str = "user",
    thinking: bool = True,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
    shard_problems: int = 32,
    verify_timeout: float = 5.0,
    progress: bool = True,
):
    """`n` graded rollouts per problem as a DataFrame with `COLUMNS`, one row per (problem, sample).

    `hint` is a number of tokens for all problems or the name of a column of `problems`. Every (problem,
    sample) has its own seed, and shards always hold the same problems, so a run that was killed and started
    again gives the table of an uninterrupted one. A finished run is read back. Raises `IdentityError` where
    `run_dir` holds another run, `ConfigError` where a prompt and `max_tokens` exceed the context, `DataError`
    for an empty set.
    """
    if len(problems) == 0:
        raise DataError("there are no problems to sample")
    form = prompts.template(template)
    prompted = _prompt_table(problems, sampler, form, effort, hint, hint_place, thinking)
    params = SamplingParams(max_tokens, temperature, top_p, n)
    identity = {
        **sampler.identity(),
        "problems": _fingerprint(prompted),
        "template": form.identity(),
        "effort": effort,
        "hint": hint,
        "hint_place": hint_place if hint is not None else None,
        "thinking": thinking,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "n": n,
        "seed": seed,
        "shard_problems": shard_problems,
        "verifier": _verifier(verify_timeout),
    }
    check_context(int(prompted["prompt_ids"].map(len).max()), max_tokens, sampler.context)
    run = RunDir(run_dir)
    with run.lock():
        run.begin("rollouts", identity)
        if not run.is_done("rollouts"):
            write_parquet(run.path / "problems.parquet", prompted)
            _sample_shards(run, prompted, sampler, params, seed, shard_problems, verify_timeout, progress)
    return run.read("rollouts")


def problems_of(run_dir: str | Path):
    """The problems of a run with their prompts: `COLUMNS` of `effwb.problems`, prompt, prompt_ids."""
    return read_parquet(Path(run_dir) / "problems.parquet")


def regrade(run_dir: str | Path, timeout: float = 5.0):
    """The rollout table with fresh verdicts from the stored texts; nothing on disk changes."""
    table, asked = RunDir(run_dir).read("rollouts"), problems_of(run_dir).set_index("problem_id")
    opened = asked["prompt"].map(prompts.opens_thinking)
    verdicts = _grade(
        table["text"], table["problem_id"].map(asked["answer"]), table["problem_id"].map(opened), timeout
    )
    return table.assign(**verdicts)


def _sample_shards(run, prompted, sampler, params, seed, size, timeout, progress):
    from tqdm import tqdm

    starts = range(0, len(prompted), size)
    bar = tqdm(
        total=len(prompted),
        desc=f"sampling {run.path.name}",
        unit="problem",
        mininterval=2,
        disable=not progress,
    )
    for index, start in enumerate(starts):
        part = prompted.iloc[start : start + size]
        if not run.shard("rollouts", index).exists():
            run.write_shard("rollouts", index, _sample_shard(part, sampler, params, seed, timeout))
        bar.update(len(part))
    bar.close()
    run.finish("rollouts", len(starts))


def _sample_shard(part, sampler, params, seed, timeout):
    import pandas as pd

    seeds = [[sample_seed(pid, i, seed) for i in range(params.n)] for pid in part["problem_id"]]
    groups = sampler.generate([list(ids) for ids in part["prompt_ids"]], params, seeds)
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
    frame = pd.DataFrame(rows)
    gold = frame["problem_id"].map(part.set_index("problem_id")["answer"])
    opened = frame["problem_id"].map(part.set_index("problem_id")["prompt"].map(prompts.opens_thinking))
    return frame.assign(**_grade(frame["text"], gold, opened, timeout))


def _grade(texts, golds, opened, timeout) -> dict:
    from effwb.verifiers import verify

    graded = [prompts.graded_text(o, t) for o, t in zip(opened, texts, strict=True)]
    verdicts = verify(graded, list(golds), timeout=timeout)
    return {
        "extracted": [v.extracted for v in verdicts],
        "verdict": [v.status for v in verdicts],
        "verify_ms": [1000 * v.seconds for v in verdicts],
    }


def sample_seed(problem_id: str, sample: int, seed: int) -> int:
    """The seed of one completion, from the problem's id and the number of the sample: 63 bits."""
    return int.from_bytes(hashlib.sha256(f"{seed}|{problem_id}|{sample}".encode()).digest()[:8], "big") >> 1


def _prompt_table(problems, sampler, form, effort, hint, hint_place, thinking):
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
    for (text, ids), question in zip(rendered, table["question"], strict=True):
        prompts.check_known(sampler.tokenizer, ids, f"the prompt of {question[:60]!r} ({text[:40]!r}...)")
    return table.assign(prompt=[t for t, _ in rendered], prompt_ids=[ids for _, ids in rendered])


def _fingerprint(prompted) -> str:
    digest = hashlib.sha256()
    for row in prompted.itertuples():
        digest.update(f"{row.problem_id}|{row.answer}|{row.prompt}\n".encode())
    return digest.hexdigest()[:12]


def _verifier(timeout: float) -> dict:
    from effwb.verifiers import VERIFIER

    return {"verifier": VERIFIER, "timeout": timeout}
