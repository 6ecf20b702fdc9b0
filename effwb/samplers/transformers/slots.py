"""Sampling in slots: a row that has ended makes room for the next prompt, so none waits for the longest.

Each slot holds one completion at its own length, flush left in a cache of fixed size (`SlotCache`). The last
token of a prompt is fed like any sampled one; what is before it is computed once for the samples that begin
together.
"""

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import torch

from effwb.samplers.base import SamplingParams
from effwb.samplers.transformers.cache import SlotCache, additive_mask, own_attention, prefill
from effwb.samplers.transformers.decode import Streams, pick

CHANGE = 0.125  # slots are filled or dropped once this share of them has ended
PREFILL = 8192  # tokens of prompts that are computed at once
WIDTH = 32  # columns are read in multiples of this
Row = tuple[list[int], str]  # token ids, finish reason


class Decoding:
    """Completions of `prompts` (lists of ids), at most `slots` at a time.

    `finished(decoding, rows, slots)` is called with those that have ended (numbers of prompts), while the
    first `len(prompt) + len(completion)` columns of their slots in `decoding.cache` hold their keys and
    values; what is behind these is of others. `decoding.result(row)` is what they have got.
    """

    def __init__(
        self,
        model,
        prompts: Sequence[list[int]],
        params: SamplingParams,
        seeds,
        stop_ids,
        pad_id: int,
        slots: int,
        finished: "Callable[[Decoding, np.ndarray, torch.Tensor], None] | None" = None,
    ):
        self.model, self.prompts, self.params, self.pad_id = model, prompts, params, pad_id
        self.finished, self.stops, self.streams = finished, np.array(sorted(stop_ids)), Streams(seeds)
        slots = min(slots, len(prompts))
        self.cache = SlotCache(slots, max(map(len, prompts), default=0) + params.max_tokens)
        self.waiting = deque(range(len(prompts)))
        self.tokens = np.empty((len(prompts), params.max_tokens), dtype=np.int32)
        self.length = np.zeros(len(prompts), dtype=int)
        self.stopped = np.zeros(len(prompts), dtype=bool)
        # by slot: the number of its prompt, the token to feed, where it goes, and whether the row goes on
        self.row, self.ids, self.at = (np.zeros(slots, dtype=int) for _ in range(3))
        self.running = np.zeros(slots, dtype=bool)

    @torch.inference_mode()
    def run(self) -> list[Row]:
        """(token ids, finish reason) per prompt."""
        with own_attention(self.model):
            self._fill(np.arange(len(self.row)))
            while len(self.row):
                ended = ~self.running  # these are fed their last token, which a forced answer may need
                self._step()
                if self.finished is None:
                    ended = ~self.running
                if ended.all() or ended.sum() >= CHANGE * len(ended):
                    self._change(ended)
        return [self.result(i) for i in range(len(self.prompts))]

    def result(self, i: int) -> Row:
        """What prompt i has got."""
        return self.tokens[i, : self.length[i]].tolist(), "stop" if self.stopped[i] else "length"

    def _step(self) -> None:
        """One more token for every row that goes on."""
        device, go = self.model.device, self.running
        at = torch.from_numpy(self.at).to(device)
        width = min(self.cache.room, -(-int(self.at.max() + 1) // WIDTH) * WIDTH)
        self.cache.at, self.cache.width = at, width
        visible = torch.arange(width, device=device) <= at[:, None, None]
        logits = (
            self.model(
                input_ids=torch.from_numpy(self.ids[:, None]).to(device),
                attention_mask=additive_mask(visible, self.model.dtype),
                position_ids=at[:, None],
                past_key_values=self.cache,
            )
            .logits[:, -1]
            .float()
        )
        if not go.any():
            return
        rows = self.row[go]
        if not go.all():
            logits = logits[torch.from_numpy(np.flatnonzero(go)).to(device)]
        first = np.flatnonzero(self.length[rows] == 0)
        if self.params.banned_first_tokens and len(first):
            logits[np.ix_(first, self.params.banned_first_tokens)] = -torch.inf
        token = pick(logits, self.params, self.streams.at(rows, self.length[rows])).cpu().numpy()
        self.tokens[rows, self.length[rows]] = token
        self.length[rows] += 1
        self.stopped[rows] = np.isin(token, self.stops)
        self.ids[go] = token
        self.at[go] += 1
        self.running[go] = ~self.stopped[rows] & (self.length[rows] < self.params.max_tokens)

    def _change(self, ended: np.ndarray) -> None:
        """Hand on the rows that have ended, and give their slots to others."""
        where = np.flatnonzero(ended)
        if self.finished is not None:
            self.finished(self, self.row[where], torch.from_numpy(where).to(self.model.device))
        here = where[: len(self.waiting)]
        self._fill(here)
        if len(here) < len(where):
            kept = np.setdiff1d(np.arange(len(ended)), where[len(here) :])
            self.cache.keep(torch.from_numpy(kept).to(self.model.device))
            self.row, self.ids, self.at, self.running = (
                x[kept] for x in (self.row, self.ids, self.at, self.running)
            )

    def _fill(self, slots: np.ndarray) -> None:
        """Begin the next prompts in these slots."""
        begun: dict[tuple, list[int]] = {}
        for slot in slots:
            row = self.waiting.popleft()
            prompt = self.prompts[row]
            self.row[slot], self.ids[slot], self.at[slot] = row, prompt[-1], len(prompt) - 1
            self.running[slot] = True
            if len(prompt) > 1:
                begun.setdefault(tuple(prompt[:-1]), []).append(slot)
        prompts = sorted(begun, key=len)
        while prompts:
            take = max(1, PREFILL // len(prompts[-1]))
            part, prompts = prompts[-take:], prompts[:-take]
            cache = prefill(self.model, [list(p) for p in part], self.pad_id)
            pairs = [(slot, i) for i, p in enumerate(part) for slot in begun[p]]
            into, source = torch.tensor(pairs, device=self.model.device).T
            self.cache.put(into, cache, source)
