"""A round of training rollouts: its prompts, sampling, grading, forced answers, and the Group for the design.

The prompts of a round depend on the seed, the number of the round and the state of the design alone, so that
a resumed run has the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from effwb import prompts
from effwb.designs import Design, Group
from effwb.errors import ConfigError
from effwb.probes import Prober, ProbeTarget
from effwb.profiles import Training
from effwb.rollouts import check_problems, sample_seed
from effwb.samplers.base import Completion, opened, with_opening
from effwb.training.forced_answers import Outcome, probe_cuts, with_probes
from effwb.verifiers import verify

if TYPE_CHECKING:
    from datasets import Dataset

    from effwb.training.engines import ModelEngine
    from effwb.training.trainer import GroupTrainer


@dataclass(frozen=True)
class PromptBatch:
    """The prompts of P problems.

    Attributes:
        rows_P: The row of each problem in the problem table.
        problem_ids_P: The problem ids.
        answers_P: The gold answers.
        prompt_ids_P: The prompts as token ids.
        opened_P: Whether each prompt leaves `<think>` open.
        hint_tokens_P: The length in tokens that each prompt asks for, int (P,); None where none asks for one.
    """

    rows_P: list[int]
    problem_ids_P: list[str]
    answers_P: list[str]
    prompt_ids_P: list[list[int]]
    opened_P: list[bool]
    hint_tokens_P: np.ndarray | None

    def replace(self, p: int, other: PromptBatch, i: int) -> None:
        """Replace problem `p` by problem `i` of another batch."""
        for name in (f.name for f in fields(self)):
            if getattr(self, name) is not None:
                getattr(self, name)[p] = getattr(other, name)[i]


class PromptSchedule:
    """Decides which problems each round has, and renders their prompts.

    Every epoch is a fresh permutation of the problems; a remainder smaller than a round is left out.

    Args:
        problems: Table with `problem_id`, `question` and `answer`.
        tokenizer: The model's tokenizer.
        template: The prompt template.
        design: The design, which may ask for a length in the prompts.
        per_round: Problems per round.
        seed: Seed of the run.
        effort: Effort prompt for all problems; None for none.

    Raises:
        ConfigError: If there are fewer problems than a round needs.
    """

    def __init__(
        self,
        problems: Dataset,
        tokenizer,
        template: prompts.Template,
        design: Design,
        *,
        per_round: int,
        seed: int,
        effort: str | None = None,
    ):
        check_problems(problems)
        if len(problems) < per_round:
            raise ConfigError(f"{len(problems)} problems cannot fill a round of {per_round}")
        self.ids, self.answers = problems["problem_id"][:], problems["answer"][:]
        self._questions, self._tokenizer, self._template = problems["question"][:], tokenizer, template
        self.design, self.per_round, self.seed, self.effort = design, per_round, seed, effort
        self.closing = prompts.closing_id(tokenizer) if design.modes else None
        self._rendered: dict[int, tuple[list[int], bool]] = {}

    def batch(self, number: int) -> PromptBatch:
        """The prompts of round `number`, counted from 0."""
        epoch, place = divmod(number, len(self.ids) // self.per_round)
        order = np.random.default_rng([self.seed, 1, epoch]).permutation(len(self.ids))
        rows = order[place * self.per_round : (place + 1) * self.per_round].tolist()
        return self.render(rows, np.random.default_rng([self.seed, 2, number]))

    def replacements(self, number: int, attempt: int, count: int, used_rows: Sequence[int]) -> PromptBatch:
        """Prompts of other problems, for groups of a round that teach nothing.

        Args:
            number: The round.
            attempt: Which refill of the round this is, from 1.
            count: How many prompts; fewer come back where too few problems are left.
            used_rows: Rows of problems that the round has already.
        """
        rng = np.random.default_rng([self.seed, 3, number, attempt])
        unused = np.setdiff1d(np.arange(len(self.ids)), used_rows)
        return self.render(rng.choice(unused, size=min(count, unused.size), replace=False).tolist(), rng)

    def render(self, rows: list[int], rng: np.random.Generator) -> PromptBatch:
        """The prompts of these rows; a design with length hints draws them with `rng`."""
        ids = [self.ids[row] for row in rows]
        hints = self.design.draw_hints(rng, ids) if self.design.hint else None
        rendered = [self._render(r, None if hints is None else int(hints[i])) for i, r in enumerate(rows)]
        return PromptBatch(
            rows,
            ids,
            [self.answers[row] for row in rows],
            [prompt_ids for prompt_ids, _ in rendered],
            [is_open for _, is_open in rendered],
            hints,
        )

    def longest_prompt(self) -> int:
        """Tokens of the longest prompt, with the longest hint that the design can draw."""
        hint = self.design.longest_hint() if self.design.hint else None
        return max(len(self._render(row, hint)[0]) for row in range(len(self.ids)))

    def _render(self, row: int, hint: int | None) -> tuple[list[int], bool]:
        """(token ids, whether the prompt leaves the thinking open)."""
        if hint is None and row in self._rendered:
            return self._rendered[row]
        text, ids = prompts.render(
            self._tokenizer,
            self._questions[row],
            self._template,
            hint=hint,
            hint_place=self.design.hint or "user",
            effort=self.effort,
        )
        if self.design.modes:
            prompts.check_opened(text, self.design.NAME, self._questions[row])
        rendered = ids, prompts.opens_thinking(text, self._questions[row])
        if hint is None:  # prompts with drawn hints are too many to keep
            self._rendered[row] = rendered
        return rendered


class _Task(NamedTuple):
    """A rollout to sample and grade: rollout `g` of a problem."""

    problem_id: str
    g: int
    seed: int
    prompt_ids: list[int]
    opened: bool
    answer: str


@dataclass
class Round:
    """The rollouts of one round: P problems x G rollouts, where row r is rollout r % G of problem r // G.

    Attributes:
        number: The number of the round, from 0.
        prompts: The P prompts.
        group_size: G.
        completions: By row, for the rows of this process.
        logprobs: By row, the sampler's for each token; empty where the loss computes the same.
        outcomes: By row, for all rows, the same on every process.
        tokens: Tokens sampled on all processes, those of replaced groups included.
        refilled: Groups that were replaced.
    """

    number: int
    prompts: PromptBatch
    group_size: int
    completions: dict[int, Completion] = field(default_factory=dict)
    logprobs: dict[int, list[float]] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    tokens: int = 0
    refilled: int = 0

    @property
    def local(self) -> list[tuple[int, int]]:
        """(problem, rollout) of each row of this process."""
        return [divmod(row, self.group_size) for row in self.completions]

    @property
    def correct_PG(self) -> np.ndarray:
        """The verdicts, bool (P, G)."""
        return self._array("correct", bool)

    @property
    def empty_PG(self) -> np.ndarray | None:
        """Rollouts whose first token closes the thinking, bool (P, G); None if not needed."""
        return None if self.outcomes[0].empty is None else self._array("empty", bool)

    @property
    def probe_budgets_PGK(self) -> np.ndarray | None:
        """Where each rollout was probed, int (P, G, K), its last value repeated; None without probes."""
        return None if self.outcomes[0].probe_budgets is None else self._array("probe_budgets", int)

    @property
    def probe_correct_PGK(self) -> np.ndarray | None:
        """The verdicts there, bool (P, G, K); None without probes."""
        return None if self.outcomes[0].probe_correct is None else self._array("probe_correct", bool)

    @property
    def unparsed(self) -> float:
        """The share of forced answers from which no answer could be read."""
        flags = [flag for outcome in self.outcomes.values() for flag in outcome.unparsed or ()]
        return float(np.mean(flags)) if flags else 0.0

    def group(self, cap: int, reference: Mapping | None = None) -> Group:
        """The round as a design reads it.

        Args:
            cap: Tokens a completion may have.
            reference: {problem id: {"length", "accuracy"}} of a frozen model, for designs that need it.
        """
        budgets = self.probe_budgets_PGK
        return Group(
            self.correct_PG,
            self._array("length", int),
            self._array("finished", bool),
            cap,
            list(self.prompts.problem_ids_P),
            reference=reference,
            hint_tokens_P=self.prompts.hint_tokens_P,
            step=self.number,
            empty_PG=self.empty_PG,
            probe_budgets_K=None if budgets is None else _fewest_axes(budgets),
            probe_correct_PGK=self.probe_correct_PGK,
        )

    def _array(self, name: str, dtype: type) -> np.ndarray:
        """One attribute of all outcomes as (P, G), or (P, G, K) with the last value of each row repeated."""
        values = [getattr(outcome, name) for outcome in self.outcomes.values()]
        if isinstance(values[0], list):
            K = max(map(len, values))
            values = [[*row, *row[-1:] * (K - len(row))] for row in values]
        array: np.ndarray = np.array(values, dtype=dtype)
        return array.reshape(-1, self.group_size, *array.shape[1:])


def _fewest_axes(budgets_PGK: np.ndarray) -> np.ndarray:
    """Budgets as (K,) or (P, K) where rollouts share them; only (P, G, K) may repeat one."""
    if (budgets_PGK == budgets_PGK[:, :1]).all() and (np.diff(budgets_PGK) > 0).all():
        budgets_PGK = budgets_PGK[:, 0]
        if (budgets_PGK == budgets_PGK[:1]).all():
            budgets_PGK = budgets_PGK[0]
    return budgets_PGK


def without_advantage(advantage: np.ndarray) -> np.ndarray:
    """Bool (P,): groups in which no rollout has an advantage, so that they teach nothing."""
    return (advantage == 0).reshape(len(advantage), -1).all(axis=1)


class Collector:
    """Samples and grades the rollouts of a round.

    Args:
        schedule: The prompts of each round.
        engine: What samples, see `engines`.
        settings: The training settings; `group_size` and `refill_rounds` are used.
        cap: Tokens a completion may have.
        seed: Seed of the rollouts.
        timeout: Seconds per verdict.
        prober: Asks for forced answers; None for designs that reward none.
        reference: {problem id: {"length", "accuracy"}} of a frozen model, for designs that need it.
    """

    def __init__(
        self,
        schedule: PromptSchedule,
        engine: ModelEngine,
        settings: Training,
        *,
        cap: int,
        seed: int | str,
        timeout: float,
        prober: Prober | None = None,
        reference: Mapping | None = None,
    ):
        self.schedule, self.engine, self.settings, self.design = schedule, engine, settings, schedule.design
        self.cap, self.seed, self.timeout = cap, seed, timeout
        self.prober, self.reference = prober, reference
        self.openings_G: Any = self.design.openings(settings.group_size)

    def group(self, rollouts: Round) -> Group:
        """The round as the design reads it."""
        return rollouts.group(self.cap, self.reference)

    def collect(self, trainer: GroupTrainer, number: int) -> Round:
        """Round `number`, with groups that teach nothing replaced up to `refill_rounds` times."""
        rollouts = self.sample(trainer, number, self.schedule.batch(number))
        for attempt in range(1, self.settings.refill_rounds + 1):
            groups = np.flatnonzero(without_advantage(self.design.advantage(self.group(rollouts)))).tolist()
            if not groups:
                break
            rows_P = rollouts.prompts.rows_P
            fresh = self.schedule.replacements(number, attempt, len(groups), rows_P)
            groups = groups[: len(fresh.rows_P)]
            for i, p in enumerate(groups):
                rollouts.prompts.replace(p, fresh, i)
            rollouts.refilled += len(groups)
            self._fill(trainer, rollouts, groups, attempt)
        return rollouts

    def sample(self, trainer: GroupTrainer, number: int, batch: PromptBatch) -> Round:
        """Sample and grade a group of rollouts for every prompt of `batch`."""
        rollouts = Round(number, batch, self.settings.group_size)
        self._fill(trainer, rollouts, list(range(len(batch.rows_P))), attempt=0)
        return rollouts

    def _fill(self, trainer: GroupTrainer, rollouts: Round, groups: list[int], attempt: int) -> None:
        """Sample and grade the rollouts of these groups: each process its own rows."""
        from accelerate.utils import gather_object

        G, count = self.settings.group_size, trainer.accelerator.num_processes
        rows = [p * G + g for p in groups for g in range(G)]
        share = -(-len(rollouts.prompts.rows_P) * G // count)
        own_rows = [row for row in rows if row // share == trainer.accelerator.process_index]
        tasks = [self._task(rollouts, row, attempt) for row in own_rows]
        completions, logprobs, probes = self._sample(trainer, tasks)
        with trainer.phase("grade"):
            outcomes = self._graded(tasks, completions)
        if probes is not None:
            with trainer.phase("probe"):
                (points, answers), golds = probes, [task.answer for task in tasks]
                outcomes = with_probes(self.design, outcomes, points, answers, golds, self.timeout)
        rollouts.completions.update(zip(own_rows, completions, strict=True))
        if logprobs is not None:
            rollouts.logprobs.update(zip(own_rows, logprobs, strict=True))
        # rows ascend with the process, so the gathered list is in the order of `rows`
        rollouts.outcomes.update(zip(rows, gather_object(outcomes), strict=True))
        rollouts.tokens += sum(rollouts.outcomes[row].length for row in rows)

    def _task(self, rollouts: Round, row: int, attempt: int) -> _Task:
        batch, (p, g) = rollouts.prompts, divmod(row, self.settings.group_size)
        seed = sample_seed(batch.problem_ids_P[p], g, f"train-{self.seed}-{rollouts.number}-{attempt}")
        return _Task(
            batch.problem_ids_P[p], g, seed, batch.prompt_ids_P[p], batch.opened_P[p], batch.answers_P[p]
        )

    def _sample(self, trainer: GroupTrainer, tasks: list[_Task]) -> tuple:
        """(completions, log-probabilities or None, probes or None); probes are (budgets, forced answers)."""
        prompt_ids, seeds = [task.prompt_ids for task in tasks], [task.seed for task in tasks]
        with trainer.phase("sample"):
            if self.openings_G is not None:
                return self._sample_with_openings(trainer, tasks), None, None
            if self.prober is None:
                return *self.engine.sample(trainer, prompt_ids, seeds), None
            budgets: list[list[int]] = [[] for _ in tasks]

            def target_of(i: int, completion: Completion) -> ProbeTarget:
                task, ids, decode = tasks[i], completion.token_ids, trainer.processing_class.decode
                reason = completion.finish_reason
                budgets[i], cuts = probe_cuts(self.design, task.problem_id, ids, reason, self.cap, decode)
                return ProbeTarget(task.prompt_ids, ids, task.opened, cuts)

            completions, logprobs, answers = self.engine.sample_and_probe(
                trainer, prompt_ids, seeds, self.prober, target_of
            )
            return completions, logprobs, (budgets, answers)

    def _sample_with_openings(self, trainer: GroupTrainer, tasks: list[_Task]) -> list[Completion]:
        """Completions that begin as the design says, sampled one opening after the other."""
        completions: dict[int, Completion] = {}
        for opening in sorted({self.openings_G[task.g] for task in tasks}):
            places = [i for i, task in enumerate(tasks) if self.openings_G[task.g] == opening]
            first_ids, params = opened(opening, self.schedule.closing, self.engine.params)
            prompt_ids = [tasks[i].prompt_ids + first_ids for i in places]
            sampled, _ = self.engine.sample(trainer, prompt_ids, [tasks[i].seed for i in places], params)
            for i, completion in zip(places, sampled, strict=True):
                completions[i] = with_opening(trainer.processing_class, first_ids, completion)
        return [completions[i] for i in range(len(tasks))]

    def _graded(self, tasks: list[_Task], completions: list[Completion]) -> list[Outcome]:
        closing, pairs = self.schedule.closing, list(zip(tasks, completions, strict=True))
        texts = [prompts.graded_text(task.opened, completion.text) for task, completion in pairs]
        verdicts = verify(texts, [task.answer for task in tasks], timeout=self.timeout)
        return [
            Outcome(
                verdict.status == "correct",
                completion.finish_reason == "stop",
                len(completion.token_ids),
                None if closing is None else completion.token_ids[0] == closing,
            )
            for verdict, completion in zip(verdicts, completions, strict=True)
        ]
