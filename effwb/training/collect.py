"""One round of rollouts: sample, grade, gather over processes, and the Group that a design reads."""

import time
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from effwb import prompts
from effwb.designs import Group
from effwb.probes import Prober, ProbeTarget, cuts_of
from effwb.rollouts import sample_seed
from effwb.samplers.base import opened, with_opening
from effwb.training.rounds import PromptBatch, Rounds
from effwb.verifiers import verify


@dataclass
class Round:
    """P problems x G rollouts; row r is rollout r % G of problem r // G.

    Arrays are (P, G) and the same on every process. The lists hold this process's rows, from `first` on.
    """

    number: int
    asked: PromptBatch
    first: int
    completion_ids: list[list[int]]
    texts: list[str]
    logprobs: list
    correct_PG: np.ndarray
    length_PG: np.ndarray
    finished_PG: np.ndarray
    tokens: int = 0  # sampled on all processes, discarded groups included
    refilled: int = 0  # groups that were replaced
    points_PGK: np.ndarray | None = None  # where each rollout was probed, repeated at its end
    probe_correct_PGK: np.ndarray | None = None
    unparsed: float = 0.0  # share of the forced answers
    forced: list | None = None  # of every rollout: points, verdicts there, which answers were unreadable
    empty_PG: np.ndarray | None = None  # rollouts that closed their thinking at once; None: nobody asks

    @property
    def local(self) -> list[tuple[int, int]]:
        """(problem, rollout) of each row of this process."""
        G = self.correct_PG.shape[1]
        return [divmod(row, G) for row in range(self.first, self.first + len(self.texts))]

    def group(self, ids: list[str], cap: int, reference=None) -> Group:
        """What a design sees of the round."""
        probes = {}
        if self.points_PGK is not None:
            probes = {
                "probe_budgets_K": _shared(self.points_PGK),
                "probe_correct_PGK": self.probe_correct_PGK,
            }
        return Group(
            self.correct_PG,
            self.length_PG,
            self.finished_PG,
            cap,
            [ids[row] for row in self.asked.rows_P],
            reference=reference,
            hint_tokens_P=self.asked.hint_tokens_P,
            step=self.number,
            empty_PG=self.empty_PG,
            **probes,
        )


def _shared(points_PGK: np.ndarray) -> np.ndarray:
    """Budgets with no more axes than they need: (K,), (P, K) or (P, G, K)."""
    if (points_PGK == points_PGK[:, :1]).all():
        points_PGK = points_PGK[:, 0]
        if (points_PGK == points_PGK[:1]).all():
            points_PGK = points_PGK[0]
    return points_PGK


class Collector:
    """Makes rounds for a trainer. `clock` adds up seconds by phase until it is read and cleared."""

    def __init__(self, rounds: Rounds, engine, *, group_size: int, timeout: float, seed: int | str):
        self.rounds, self.engine, self.G = rounds, engine, group_size
        self.timeout, self.seed, self.clock = timeout, seed, {}
        self.openings_G = rounds.design.openings(group_size)

    def on(self, rounds: Rounds) -> "Collector":
        """The same for other problems, on the same clock."""
        other = Collector(
            rounds, self.engine, group_size=self.G, timeout=self.timeout, seed=f"{self.seed}-monitor"
        )
        other.clock = self.clock
        return other

    def collect(self, trainer, number: int, asked: PromptBatch) -> Round:
        """Sample and grade G rollouts of every prompt of `asked`."""
        P, world = len(asked.rows_P), trainer.accelerator.num_processes
        share, shape = P * self.G // world, (P, self.G)
        empty = [[None] * share for _ in range(3)]
        arrays = np.zeros(shape, bool), np.zeros(shape, int), np.zeros(shape, bool)
        made = Round(number, asked, trainer.accelerator.process_index * share, *empty, *arrays)
        made.empty_PG = None if self.rounds.closing is None else np.zeros(shape, bool)
        self._fill(trainer, made, list(range(P)), attempt=0)
        return made

    def refill(self, trainer, made: Round, slots: list[int], attempt: int) -> list[int]:
        """Replace the groups at `slots` by rollouts of other problems; returns those it had problems for."""
        fresh = self.rounds.refill(made.number, attempt, len(slots), made.asked.rows_P)
        slots = slots[: len(fresh.rows_P)]
        for i, p in enumerate(slots):
            made.asked.put(p, fresh, i)
        made.refilled += len(slots)
        self._fill(trainer, made, slots, attempt)
        return slots

    def _fill(self, trainer, made: Round, slots: list[int], attempt: int) -> None:
        from accelerate.utils import gather_object

        chosen, local = set(slots), made.local
        here = [i for i, (p, _) in enumerate(local) if p in chosen]
        mine = [local[i] for i in here]
        done, logprobs = self._sample(trainer, made, mine, attempt)
        verdicts = self._grade(made.asked, mine, [c.text for c in done])
        for i, c, logp in zip(here, done, logprobs or [None] * len(done), strict=True):
            made.completion_ids[i], made.texts[i], made.logprobs[i] = c.token_ids, c.text, logp
        closing = self.rounds.closing
        facts = [
            (v.status == "correct", c.finish_reason == "stop", c.token_ids[0] == closing, len(c.token_ids))
            for v, c in zip(verdicts, done, strict=True)
        ]
        # rows ascend with the process, so the gathered list is in the order of the round
        table = np.array(gather_object(facts), dtype=int).reshape(len(slots), self.G, 4)
        made.correct_PG[slots], made.finished_PG[slots] = table[..., 0] == 1, table[..., 1] == 1
        if made.empty_PG is not None:
            made.empty_PG[slots] = table[..., 2] == 1
        made.length_PG[slots] = table[..., 3]
        made.tokens += int(table[..., 3].sum())

    def probe(self, trainer, made: Round, slots: list[int], design, forcer: Prober, cap: int) -> None:
        """The second generation: stop the rollouts of the groups at `slots` where the design asks, and grade
        their forced answers.
        """
        from accelerate.utils import gather_object

        chosen, (P, G) = set(slots), made.correct_PG.shape
        with self.phase("probe"):
            here = [i for i, (p, _) in enumerate(made.local) if p in chosen]
            facts = self._forced(trainer, made, here, design, forcer, cap)
        made.forced = made.forced or [None] * (P * G)
        rows = [p * G + g for p in slots for g in range(G)]
        for row, found in zip(rows, gather_object(facts), strict=True):
            made.forced[row] = found
        points, right, unread = zip(*made.forced, strict=True)
        K = max(map(len, points))
        made.points_PGK = np.array([_padded(row, K) for row in points], dtype=int).reshape(P, G, K)
        made.probe_correct_PGK = np.array([_padded(row, K) for row in right], dtype=bool).reshape(P, G, K)
        asked = [bad for row in unread for bad in row]
        made.unparsed = float(np.mean(asked)) if asked else 0.0

    def _forced(self, trainer, made: Round, here: list[int], design, forcer: Prober, cap: int) -> list[tuple]:
        """(points, correct at each, whether each forced answer was unreadable) of the local rows `here`.

        At a point beyond its end, and at the cap, a rollout counts by its own verdict.
        """
        decode, local = trainer.processing_class.decode, made.local
        work, golds, own, points = [], [], [], []
        for i in here:
            (p, g), ids = local[i], made.completion_ids[i]
            row = made.asked.rows_P[p]
            points.append(design.probe_points(self.rounds.ids[row], ids, cap, decode))
            reason = "stop" if made.finished_PG[p, g] else "length"
            cuts = [cut for cut in cuts_of(len(ids), reason, points[-1]) if cut < cap]
            work.append(ProbeTarget(made.asked.prompt_ids_P[p], ids, made.asked.opened_P[p], cuts))
            golds += [self.rounds.answers[row]] * len(cuts)
            own.append(bool(made.correct_PG[p, g] and made.finished_PG[p, g]))
        with self.engine.sampler(trainer) as sampler:
            found = forcer.answers(sampler, work)
        verdicts = iter(verify([a.text for row in found for a in row], golds, timeout=self.timeout))
        facts = []
        for traced, at, mine in zip(work, points, own, strict=True):
            status = [next(verdicts).status for _ in traced.budgets]
            right = [s == "correct" for s in status] + [mine] * (len(at) - len(status))
            facts.append((at, right, [s == "unparsed" for s in status]))
        return facts

    def _sample(self, trainer, made: Round, mine: list[tuple[int, int]], attempt: int):
        asked, tag = made.asked, f"train-{self.seed}-{made.number}-{attempt}"
        seeds = [sample_seed(self.rounds.ids[asked.rows_P[p]], g, tag) for p, g in mine]
        prompt_ids = [asked.prompt_ids_P[p] for p, _ in mine]
        with self.phase("sample"):
            if self.openings_G is None:
                return self.engine(trainer, prompt_ids, seeds)
            openings = [self.openings_G[g] for _, g in mine]
            return self._sample_opened(trainer, prompt_ids, seeds, openings), None

    def _sample_opened(self, trainer, prompt_ids, seeds, openings: list[str]) -> list:
        """Completions that begin as `openings` say."""
        tokenizer, done = trainer.processing_class, [None] * len(openings)
        for opening in sorted(set(openings)):
            rows = [i for i, chosen in enumerate(openings) if chosen == opening]
            forced, params = opened(opening, self.rounds.closing, self.engine.params)
            asked = [prompt_ids[i] + forced for i in rows]
            found, _ = self.engine(trainer, asked, [seeds[i] for i in rows], params)
            for i, completion in zip(rows, found, strict=True):
                done[i] = with_opening(tokenizer, forced, completion)
        return done

    def _grade(self, asked: PromptBatch, mine: list[tuple[int, int]], texts: list[str]):
        with self.phase("grade"):
            shown = [prompts.graded_text(asked.opened_P[p], t) for (p, _), t in zip(mine, texts, strict=True)]
            golds = [self.rounds.answers[asked.rows_P[p]] for p, _ in mine]
            return verify(shown, golds, timeout=self.timeout)

    @contextmanager
    def phase(self, name: str):
        """Adds the seconds spent inside to the clock."""
        start = time.perf_counter()
        yield
        self.clock[name] = self.clock.get(name, 0.0) + time.perf_counter() - start


def _padded(values: list, K: int) -> list:
    return [*values, *values[-1:] * (K - len(values))]
