"""Forced answers: cut every rollout at every budget, ask for the answer there, and grade it.

r(x, y_:L) = R(x, Answer(pi, x, y_:L)) of 2506.07104, section 3. A rollout that stopped by itself within a
budget has no probe at that budget: its own verdict counts. The suffix and the answer are not charged to the
budget.

The paper does not say what happens to a cut behind the end of the thinking. Here the suffix then leaves out
its `</think>`, and where the box of the answer has begun it is asked for again from its start.
"""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from effwb import prompts
from effwb.budgets import check_budgets
from effwb.errors import ConfigError, DataError
from effwb.rollouts import problems_of
from effwb.runs import RunDir, digest, read_parquet, write_parquet
from effwb.samplers import Completion, Prefixes, Sampler, SamplingParams, check_context
from effwb.verifiers import grading

COLUMNS = ("problem_id", "sample", "budget", "forced", "answer_text", "extracted", "verdict", "answer_tokens")
TYPES = {  # of every shard, also one without rows
    **dict.fromkeys(("problem_id", "answer_text", "extracted", "verdict"), "str"),
    **dict.fromkeys(("sample", "budget", "answer_tokens"), "int64"),
    "forced": "bool",
}


def probe(
    rollouts,
    sampler: Sampler,
    budgets,
    *,
    run_dir: str | Path,
    answer_tokens: int = 20,
    suffix: str | None = None,
    snap: int | None = None,
    shard_rollouts: int = 256,
    verify_timeout: float = 5.0,
    progress: bool = True,
):
    """The probe table of a run's rollouts (`COLUMNS`), one row per (problem, sample, budget) that needed
    forcing.

    Greedy, at most `answer_tokens` tokens, ended at the brace that closes the suffix's box. `suffix` replaces
    the template's (a name in `prompts.SUFFIXES` or a text that ends by opening a box). `snap` moves every cut
    down to where prompt and rollout fill blocks of so many tokens, which an engine's prefix cache then serves
    whole: the accuracy at L is that of up to `snap - 1` tokens fewer. Continues a killed run; reads back a
    finished one. Raises `ConfigError` for budgets that are unsorted or outside [0, cap], `DataError` for
    rollouts that are not those of `run_dir`, `IdentityError` where it holds other probes.
    """
    run = RunDir(run_dir)
    made = run.config.get("rollouts", {}).get("identity")
    if made is None:
        raise DataError(f"{run.path} holds no rollouts; sample them first")
    check_budgets(budgets, made["max_tokens"])
    _same_model(sampler.identity(), made)
    how = ProbeSettings(budgets, answer_tokens, suffix, snap, shard_rollouts, verify_timeout)
    probed = how.identity(sampler, prompts.Template(**made["template"]))
    identity = {**probed, "rollouts": _fingerprint(rollouts)}
    with run.lock():
        if run.is_done("probes"):
            run.begin("probes", identity)  # refuses another run's
            _Kept(run.path).clear()  # a kill may have come between the done marker and this
            return run.read("probes")
        _check_rollouts(rollouts, identity["rollouts"], run)
        asked = problems_of(run.path).set_index("problem_id")
        work = _Work(sampler, asked, probed)
        work.check_context(rollouts)
        run.begin("probes", identity, batching=sampler.batching())
        starts = range(0, len(rollouts), shard_rollouts)
        parts = [rollouts.iloc[i : i + shard_rollouts] for i in starts]
        kept = _Kept(run.path)
        run.fill("probes", parts, lambda part: kept.of(work, part), unit="rollout", progress=progress)
        kept.clear()
    return run.read("probes")


@dataclass(frozen=True)
class ProbeSettings:
    """How rollouts are probed; the parameters of `probe`."""

    budgets: Sequence[int]
    answer_tokens: int = 20
    suffix: str | None = None
    snap: int | None = None
    shard_rollouts: int = 256
    verify_timeout: float = 5.0

    def __post_init__(self):
        for name, value in (("snap", self.snap), ("shard_rollouts", self.shard_rollouts)):
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")

    def identity(self, sampler, form: prompts.Template) -> dict:
        """What decides the forced answers of a rollout."""
        text = prompts.forced_suffix(form if self.suffix is None else prompts.with_suffix(form, self.suffix))
        return {
            **sampler.identity(),
            "budgets": [int(b) for b in self.budgets],
            **({} if self.snap is None else {"snap": int(self.snap)}),
            "suffix": text,
            "suffix_when_closed": prompts.suffix_when_closed(text),
            "answer_tokens": int(self.answer_tokens),
            "shard_rollouts": int(self.shard_rollouts),
            "verifier": grading.identity(self.verify_timeout),
        }


class Ahead:
    """Makes the forced answers of a shard of rollouts together with it, while the engine holds their keys and
    values; `rollouts.sample` calls it, and `probe`, with the same parameters, takes what it finds.

    Nothing depends on it: what is not there, after a kill or with another shard size, `probe` makes itself.
    """

    def __init__(self, run_dir: str | Path, how: ProbeSettings):
        self.run_dir, self.how = Path(run_dir), how

    def check_context(self, prompt: int, cap: int, form: prompts.Template, sampler) -> None:
        """Raise `ConfigError` where a prompt, the longest cut and a forced answer (tokens) exceed the
        context: before hours of sampling, not after.
        """
        probed, last = self.how.identity(sampler, form), min(cap, int(max(self.how.budgets)))
        extra = _forcer(sampler, probed).extra
        if sampler.context is not None and prompt + last + extra > sampler.context:
            raise ConfigError(
                f"a prompt of {prompt} tokens, {last} of reasoning and {extra} for a forced answer exceed "
                f"the model's context of {sampler.context}; cap and budgets can be at most "
                f"{max(0, sampler.context - prompt - extra)}"
            )

    def sample(self, part, form: prompts.Template, sampler, params: SamplingParams, seeds, frame_of):
        """`frame_of(completions)`, the shard's table of rollouts, whose forced answers are then kept.

        `part` are its problems with their prompts, `completions` by problem and sample.
        """
        work = _Work(sampler, part.set_index("problem_id"), self.how.identity(sampler, form))
        groups, forced = work.sample(part["problem_id"], params, seeds)
        frame = frame_of(groups)
        _Kept(self.run_dir).put(work, frame, [row for group in forced for row in group])
        return frame


class _Kept:
    """Tables of forced answers that were made ahead, each under a name that tells of what and how."""

    def __init__(self, run_dir: Path):
        self.folder = run_dir / "ahead"

    def _file(self, work: "_Work", rollouts) -> Path:
        return self.folder / f"of-{work.fingerprint(rollouts)}.parquet"

    def put(self, work: "_Work", rollouts, answers: list[list["ForcedAnswer"]]) -> None:
        self.folder.mkdir(exist_ok=True)
        write_parquet(self._file(work, rollouts), work.table(rollouts, answers))

    def of(self, work: "_Work", rollouts):
        """The table of these rollouts, made now where it was not made ahead."""
        file = self._file(work, rollouts)
        return read_parquet(file) if file.exists() else work.frame(rollouts)

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _same_model(have: dict, made: dict) -> None:
    for key in ("model", "weights", "tokenizer", "dtype"):
        if have.get(key) != made.get(key):
            raise ConfigError(
                f"the rollouts were sampled with {key} {made.get(key)!r}, not {have.get(key)!r}"
            )


def _check_rollouts(rollouts, fingerprint: str, run: RunDir) -> None:
    if len(rollouts) == 0:
        raise DataError("there are no rollouts to probe")
    if fingerprint != _fingerprint(run.read("rollouts")):
        raise DataError(
            f"the rollouts given are not those of {run.path}; pass the table that `sample` returned"
        )


def _fingerprint(rollouts) -> str:
    import numpy as np

    digest = hashlib.sha256()
    for row in rollouts[["problem_id", "sample", "completion_ids"]].itertuples(index=False):
        ids = np.ascontiguousarray(row.completion_ids, dtype=np.int32)
        digest.update(f"{row.problem_id}|{row.sample}|".encode() + ids.tobytes())
    return digest.hexdigest()[:12]


def cuts_of(length: int, finish_reason: str, budgets) -> list[int]:
    """The budgets a rollout must be probed at: those it exceeds, and those it fills without stopping."""
    if finish_reason == "stop":
        return [b for b in budgets if b < length]
    return [b for b in budgets if b <= length]


@dataclass(frozen=True)
class CutPoint:
    """Where a rollout is really cut for a budget: `at` tokens kept, inside the thinking (`open`) or not.

    Not inside is behind it, or before it where the model writes `<think>` itself.
    """

    at: int
    open: bool


class CutFinder:
    """Decides, cut by cut, whether the thinking is still open and whether the answer's box has begun."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        token = tokenizer.convert_tokens_to_ids("</think>")
        self._close = token if token is not None and token != tokenizer.unk_token_id else None

    def cuts(self, ids: list[int], opened: bool, budgets: list[int]) -> list[CutPoint]:
        """The cut for each budget; `opened` says that the prompt left the thinking open."""
        begin = 0 if opened else self._thinking_begin(ids)
        end = self._thinking_end(ids)
        behind = 0 if end is None else end
        last = len(ids) + 1 if end is None else end
        return [
            CutPoint(b, True)
            if begin is not None and begin <= b < last
            else CutPoint(self._before_box(ids, behind, b), False)
            for b in budgets
        ]

    def _thinking_begin(self, ids: list[int]) -> int | None:
        """How many tokens it takes until `<think>` is complete, where the model writes it itself."""
        return next((i for i in range(1, 9) if "<think>" in self.tokenizer.decode(ids[:i])), None)

    def _thinking_end(self, ids: list[int]) -> int | None:
        """How many tokens it takes until `</think>` is complete; None where it never is."""
        if self._close is not None:
            return ids.index(self._close) + 1 if self._close in ids else None
        if "</think>" not in self.tokenizer.decode(ids):
            return None
        return self._first(lambda n: "</think>" in self.tokenizer.decode(ids[:n]), len(ids))

    @staticmethod
    def _first(holds, last: int) -> int:
        """The smallest n in 0..last for which `holds(n)`; what holds for n must hold for all larger ones."""
        low, high = 0, last
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if holds(middle) else (middle + 1, high)
        return low

    def _before_box(self, ids: list[int], behind: int, at: int) -> int:
        """`at`, or the beginning of the last box behind the thinking where one has begun."""
        tail = self.tokenizer.decode(ids[behind:at])
        box = tail.rfind("\\boxed{")
        if box < 0:
            return at
        longer = self._first(
            lambda n: len(self.tokenizer.decode(ids[behind : behind + n])) > box, at - behind
        )
        return behind + longer - 1


@dataclass(frozen=True)
class ProbeTarget:
    """A rollout and the budgets it is stopped at, in tokens; `opened`: its prompt left the thinking open."""

    prompt_ids: list[int]
    completion_ids: list[int]
    opened: bool
    budgets: list[int]


@dataclass(frozen=True)
class ForcedAnswer:
    """A forced answer; `text`, with the suffix before it, is what a verifier sees."""

    completion: Completion
    text: str


class Prober:
    """Stops rollouts and asks for their answers: one pass for cuts inside the thinking, one for those behind
    it.
    """

    def __init__(self, tokenizer, suffix: str, answer_tokens: int, snap: int | None = None):
        self.snap = snap
        self.suffixes = {True: suffix, False: prompts.suffix_when_closed(suffix)}
        self.ids = {k: tokenizer.encode(s, add_special_tokens=False) for k, s in self.suffixes.items()}
        for state, ids in self.ids.items():
            prompts.check_known(tokenizer, self.suffixes[state], ids, "the forced-answer suffix")
        self.params = SamplingParams(answer_tokens, temperature=0.0, close_brace=True)
        self.cutter = CutFinder(tokenizer)

    @property
    def extra(self) -> int:
        """Tokens that a forced answer adds to a cut rollout, at most."""
        return max(map(len, self.ids.values())) + self.params.max_tokens

    def answers(self, sampler: Sampler, work: list[ProbeTarget]) -> list[list[ForcedAnswer]]:
        """The forced answers of each rollout, in the order of its budgets."""
        cuts = [self._cuts(t) for t in work]
        found = {state: iter(self._pass(sampler, work, cuts, state)) for state in (True, False)}
        return [[self._forced(next(found[cut.open]), cut) for cut in row] for row in cuts]

    def sample_and_answer(self, sampler: Sampler, params, seeds, prompt_ids, traced) -> tuple[list, list]:
        """Completions and their forced answers, both by prompt and sample; `traced(p, completion)` says
        where they are stopped.
        """
        cuts = [[None] * params.n for _ in prompt_ids]

        def cut(p: int, i: int, completion: Completion):
            cuts[p][i] = self._cuts(traced(p, completion))
            return [(c.at, self.ids[c.open]) for c in cuts[p][i]]

        groups, found = sampler.generate_and_continue(prompt_ids, params, seeds, cut, self.params)
        forced = [
            [[self._forced(*pair) for pair in zip(*one, strict=True)] for one in zip(*row, strict=True)]
            for row in zip(found, cuts, strict=True)
        ]
        return groups, forced

    def _cuts(self, traced: ProbeTarget) -> list[CutPoint]:
        at = traced.budgets
        if self.snap:
            at = [_snapped(len(traced.prompt_ids), b, self.snap) for b in at]
        return self.cutter.cuts(traced.completion_ids, traced.opened, at)

    def _pass(self, sampler, work, cuts, state: bool) -> list[Completion]:
        prefixes = [
            Prefixes(t.prompt_ids, t.completion_ids, [c.at for c in row if c.open == state])
            for t, row in zip(work, cuts, strict=True)
        ]
        found = sampler.continue_prefixes(prefixes, self.ids[state], self.params)
        return [answer for row in found for answer in row]

    def _forced(self, completion: Completion, cut: CutPoint) -> ForcedAnswer:
        return ForcedAnswer(completion, self.suffixes[cut.open] + completion.text)


def _snapped(prompt: int, budget: int, block: int) -> int:
    """The largest cut up to `budget` at which prompt and rollout fill whole blocks, at least 0."""
    return max(0, budget - (prompt + budget) % block)


def _forcer(sampler, probed: dict) -> Prober:
    """What asks for the answers, from the identity of a table of them."""
    return Prober(sampler.tokenizer, probed["suffix"], probed["answer_tokens"], probed.get("snap"))


class _Work:
    """Everything a shard of probes needs, apart from the rollouts."""

    def __init__(self, sampler, asked, probed: dict):
        self.sampler, self.asked, self.probed, self.budgets = sampler, asked, probed, probed["budgets"]
        self.timeout = probed["verifier"]["timeout"]
        self.forcer = _forcer(sampler, probed)
        self.opened = asked["prompt"].map(prompts.opens_thinking)

    def check_context(self, rollouts) -> None:
        longest = int((rollouts["prompt_tokens"] + rollouts["length"].clip(upper=self.budgets[-1])).max())
        check_context(longest, self.forcer.extra, self.sampler.context, "cut rollout")

    def fingerprint(self, part) -> str:
        """Of some rollouts, their prompts, and what decides their forced answers."""
        ids = dict.fromkeys(part["problem_id"])
        return digest([self.probed, _fingerprint(part), [list(map(int, self._prompt(i))) for i in ids]])

    def frame(self, part):
        """The probes of some rollouts."""
        work = [
            self._traced(r.problem_id, list(r.completion_ids), r.finish_reason) for r in part.itertuples()
        ]
        return self.table(part, self.forcer.answers(self.sampler, work))

    def sample(self, problem_ids, params: SamplingParams, seeds):
        """Completions of problems and their forced answers, both by problem and sample."""
        ids = list(problem_ids)

        def traced(p: int, completion: Completion) -> ProbeTarget:
            return self._traced(ids[p], completion.token_ids, completion.finish_reason)

        prompt_ids = [self._prompt(i) for i in ids]
        return self.forcer.sample_and_answer(self.sampler, params, seeds, prompt_ids, traced)

    def table(self, part, answers: list[list[ForcedAnswer]]):
        """The probe table of the rollouts `part`, given the forced answers of each."""
        import pandas as pd

        records = [
            (r.problem_id, r.sample, budget, True, forced)
            for r, found in zip(part.itertuples(), answers, strict=True)
            for budget, forced in zip(self._budgets(r.length, r.finish_reason), found, strict=True)
        ]
        frame = pd.DataFrame(records, columns=["problem_id", "sample", "budget", "forced", "answer"])
        golds = frame["problem_id"].map(self.asked["answer"])
        graded = grading.grade([a.text for a in frame["answer"]], golds, self.timeout)
        frame = frame.assign(
            answer_text=[a.completion.text for a in frame["answer"]],
            answer_tokens=[len(a.completion.token_ids) for a in frame["answer"]],
            **graded,
        )
        return frame[list(COLUMNS)].astype(TYPES)

    def _prompt(self, problem_id: str) -> list[int]:
        return list(self.asked.at[problem_id, "prompt_ids"])

    def _budgets(self, length: int, finish_reason: str) -> list[int]:
        return cuts_of(length, finish_reason, self.budgets)

    def _traced(self, problem_id: str, ids: list[int], finish_reason: str) -> ProbeTarget:
        prompt = self._prompt(problem_id)
        return ProbeTarget(prompt, ids, self.opened[problem_id], self._budgets(len(ids), finish_reason))


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
