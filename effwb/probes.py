"""Forced answers: cut every rollout at every budget, ask for the answer there, and grade it.

r(x, y_:L) = R(x, Answer(pi, x, y_:L)) of 2506.07104, section 3. A rollout that stopped by itself within a
budget has no probe at that budget: its own verdict counts. The suffix and the answer are not charged to the
budget.
"""

import hashlib
from pathlib import Path

from effwb import prompts
from effwb.budgets import check_budgets
from effwb.errors import ConfigError, DataError
from effwb.rollouts import _grade, _verifier, problems_of
from effwb.runs import RunDir
from effwb.samplers import Prefixes, Sampler, SamplingParams, check_context

COLUMNS = ("problem_id", "sample", "budget", "forced", "answer_text", "extracted", "verdict", "answer_tokens")


def probe(
    rollouts,
    sampler: Sampler,
    budgets,
    *,
    run_dir: str | Path,
    answer_tokens: int = 20,
    suffix: str | None = None,
    shard_rollouts: int = 256,
    verify_timeout: float = 5.0,
    progress: bool = True,
):
    """The probe table of a run's rollouts (`COLUMNS`), one row per (problem, sample, budget) that needed
    forcing.

    Greedy, at most `answer_tokens` tokens, ended at the brace that closes the suffix's box. `suffix` replaces
    the template's (a name in `prompts.SUFFIXES` or the text itself). Continues a killed run; reads back a
    finished one. Raises `ConfigError` for budgets that are unsorted or outside [0, cap], `IdentityError` for
    another run's probes.
    """
    run = RunDir(run_dir)
    made = run.config.get("rollouts", {}).get("identity")
    if made is None:
        raise DataError(f"{run.path} holds no rollouts; sample them first")
    check_budgets(budgets, made["max_tokens"])
    form = prompts.Template(**{**made["template"], **({"forced_suffix": suffix} if suffix else {})})
    suffix_text, suffix_ids = prompts.forced_suffix(sampler.tokenizer, form)
    prompts.check_known(sampler.tokenizer, suffix_ids, "the forced-answer suffix")
    _same_model(sampler.identity(), made)
    identity = {
        **sampler.identity(),
        "rollouts": _fingerprint(rollouts),
        "budgets": [int(b) for b in budgets],
        "suffix": suffix_text,
        "answer_tokens": answer_tokens,
        "shard_rollouts": shard_rollouts,
        "verifier": _verifier(verify_timeout),
    }
    params = SamplingParams(answer_tokens, temperature=0.0, close_brace=True)
    longest = int((rollouts["prompt_tokens"] + rollouts["length"].clip(upper=max(budgets))).max())
    check_context(longest, len(suffix_ids) + answer_tokens, sampler.context, "a cut rollout")
    with run.lock():
        run.begin("probes", identity)
        if not run.is_done("probes"):
            asked = problems_of(run.path).set_index("problem_id")
            work = _Work(
                sampler, asked, list(identity["budgets"]), suffix_text, suffix_ids, params, verify_timeout
            )
            _probe_shards(run, rollouts, work, shard_rollouts, progress)
    return run.read("probes")


def _same_model(have: dict, made: dict) -> None:
    for key in ("model", "weights", "tokenizer"):
        if have[key] != made[key]:
            raise ConfigError(
                f"the rollouts were sampled with {key} {made[key]!r}, the probes ask {have[key]!r}"
            )


def _fingerprint(rollouts) -> str:
    digest = hashlib.sha256()
    for row in rollouts[["problem_id", "sample", "completion_ids"]].itertuples(index=False):
        digest.update(
            f"{row.problem_id}|{row.sample}|".encode() + bytes(memoryview(_int32(row.completion_ids)))
        )
    return digest.hexdigest()[:12]


def _int32(ids):
    import numpy as np

    return np.ascontiguousarray(ids, dtype=np.int32)


def cuts_of(length: int, finish_reason: str, budgets) -> list[int]:
    """The budgets a rollout must be probed at: those it exceeds, and those it fills without stopping."""
    if finish_reason == "stop":
        return [b for b in budgets if b < length]
    return [b for b in budgets if b <= length]


class _Work:
    """Everything a shard of probes needs, apart from the rollouts."""

    def __init__(self, sampler, asked, budgets, suffix_text, suffix_ids, params, timeout):
        self.sampler, self.asked, self.budgets = sampler, asked, budgets
        self.suffix_text, self.suffix_ids, self.params, self.timeout = (
            suffix_text,
            suffix_ids,
            params,
            timeout,
        )

    def frame(self, part):
        import pandas as pd

        cuts = [cuts_of(r.length, r.finish_reason, self.budgets) for r in part.itertuples()]
        prefixes = [
            Prefixes(list(self.asked.at[r.problem_id, "prompt_ids"]), list(r.completion_ids), c)
            for r, c in zip(part.itertuples(), cuts, strict=True)
        ]
        answers = self.sampler.continue_prefixes(prefixes, self.suffix_ids, self.params)
        rows = [
            (r.problem_id, r.sample, budget, True, a.text, len(a.token_ids))
            for r, row_cuts, row in zip(part.itertuples(), cuts, answers, strict=True)
            for budget, a in zip(row_cuts, row, strict=True)
        ]
        frame = pd.DataFrame(
            rows, columns=["problem_id", "sample", "budget", "forced", "answer_text", "answer_tokens"]
        )
        golds = frame["problem_id"].map(self.asked["answer"])
        verdicts = _grade(self.suffix_text + frame["answer_text"], golds, [False] * len(frame), self.timeout)
        verdicts.pop("verify_ms")
        return frame.assign(**verdicts)[list(COLUMNS)]


def _probe_shards(run, rollouts, work, size, progress):
    from tqdm import tqdm

    starts = range(0, len(rollouts), size)
    bar = tqdm(
        total=len(rollouts),
        desc=f"probing {run.path.name}",
        unit="rollout",
        mininterval=2,
        disable=not progress,
    )
    for index, start in enumerate(starts):
        part = rollouts.iloc[start : start + size]
        if not run.shard("probes", index).exists():
            run.write_shard("probes", index, work.frame(part))
        bar.update(len(part))
    bar.close()
    run.finish("probes", len(starts))


def cut_table(rollout, probed, tokenizer):
    """One rollout, cut by cut: the text each budget adds, the forced answer there, its verdict. A DataFrame.

    `rollout` is a row of the rollout table, `probed` the probe table. The last row is the rollout's own
    answer.
    """
    import pandas as pd

    mine = probed[(probed["problem_id"] == rollout["problem_id"]) & (probed["sample"] == rollout["sample"])]
    ids, rows, start = list(rollout["completion_ids"]), [], 0
    for probe_row in mine.sort_values("budget").itertuples():
        added = tokenizer.decode(ids[start : probe_row.budget])
        rows.append((str(probe_row.budget), added, probe_row.extracted, probe_row.verdict))
        start = probe_row.budget
    if rollout["finish_reason"] == "stop":
        rows.append(
            (f"{len(ids)} (end)", tokenizer.decode(ids[start:]), rollout["extracted"], rollout["verdict"])
        )
    return pd.DataFrame(rows, columns=["budget", "text since the last cut", "answer", "verdict"])
