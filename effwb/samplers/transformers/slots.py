"""Decoding in slots: a completion that has ended gives its slot to the next prompt.

So no completion waits for the longest one. Each slot holds one completion at its own length in a cache of
fixed size (`SlotCache`). The last token of a prompt is fed like any sampled token; the tokens before it are
computed once for all samples of that prompt that start together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from effwb.samplers.transformers.cache import SlotCache, additive_mask, prefill, use_grouped_attention
from effwb.samplers.transformers.decode import RandomStreams, pick_tokens
from effwb.samplers.values import SamplingParams

if TYPE_CHECKING:
    from transformers import PreTrainedModel

REFILL_SHARE = 0.125  # slots are refilled or dropped once this share of them has ended
PREFILL_TOKENS = 8192  # prompt tokens that are computed in one pass
WIDTH_STEP = 32  # the cache is read in multiples of this many columns
TokensAndReason = tuple[list[int], str]


class SlotDecoder:
    """Decodes one completion per prompt, at most `slots` of them at a time.

    Args:
        model: A causal LM that `supports_tree_attention`.
        prompts: Token ids of each prompt.
        params: How to sample.
        seeds: One seed per prompt.
        stop_ids: Ids that end a completion.
        pad_id: The id to pad with.
        slots: The most completions decoded together.
        on_finished: Called as `on_finished(decoder, rows, slots)` with completions that have ended: their
            rows (indices of prompts) and their slots. Until it returns, the first `len(prompt) +
            len(completion)` columns of each slot in `decoder.cache` hold the keys and values of its
            completion. Later columns hold leftovers.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        prompts: Sequence[list[int]],
        params: SamplingParams,
        seeds: Sequence[int],
        stop_ids: Sequence[int],
        pad_id: int,
        slots: int,
        on_finished: Callable[[SlotDecoder, np.ndarray, torch.Tensor], None] | None = None,
    ):
        self.model, self.prompts, self.params, self.pad_id = model, prompts, params, pad_id
        self.on_finished, self.streams = on_finished, RandomStreams(seeds)
        self.stops = np.array(sorted(stop_ids))
        slots = min(slots, len(prompts))
        self.cache = SlotCache(slots, max(map(len, prompts), default=0) + params.max_tokens)
        self.waiting = deque(range(len(prompts)))
        self.tokens = np.empty((len(prompts), params.max_tokens), dtype=np.int32)
        self.length = np.zeros(len(prompts), dtype=int)
        self.stopped = np.zeros(len(prompts), dtype=bool)
        # of each slot: its prompt, the token to feed next, the column that token goes to, whether it goes on
        self.row, self.next_id, self.column = (np.zeros(slots, dtype=int) for _ in range(3))
        self.running = np.zeros(slots, dtype=bool)

    @torch.inference_mode()
    def run(self) -> list[TokensAndReason]:
        """Decode everything; return (token ids, finish reason) per prompt."""
        with use_grouped_attention(self.model):
            self._fill(np.arange(len(self.row)))
            while len(self.row):
                # Completions that end in a step get one more step, in which their last token is fed: a forced
                # answer may need its keys and values. Without `on_finished` nobody does.
                ended = ~self.running
                self._step()
                if self.on_finished is None:
                    ended = ~self.running
                if ended.all() or ended.sum() >= REFILL_SHARE * len(ended):
                    self._replace(ended)
        return [self.result(i) for i in range(len(self.prompts))]

    def result(self, i: int) -> TokensAndReason:
        """(token ids, finish reason) of prompt i so far."""
        return self.tokens[i, : self.length[i]].tolist(), "stop" if self.stopped[i] else "length"

    def _step(self) -> None:
        """Sample one more token in every running slot."""
        device, running = self.model.device, self.running
        column = torch.from_numpy(self.column).to(device)
        width = min(self.cache.columns, -(-int(self.column.max() + 1) // WIDTH_STEP) * WIDTH_STEP)
        self.cache.write_at, self.cache.width = column, width
        visible = torch.arange(width, device=device) <= column[:, None, None]
        logits = (
            self.model(
                input_ids=torch.from_numpy(self.next_id[:, None]).to(device),
                attention_mask=additive_mask(visible, self.model.dtype),
                position_ids=column[:, None],
                past_key_values=self.cache,
            )
            .logits[:, -1]
            .float()
        )
        if not running.any():
            return
        rows = self.row[running]
        if not running.all():
            logits = logits[torch.from_numpy(np.flatnonzero(running)).to(device)]
        first = np.flatnonzero(self.length[rows] == 0)
        if self.params.banned_first_tokens and len(first):
            logits[np.ix_(first, np.array(self.params.banned_first_tokens))] = -torch.inf
        uniform = self.streams.uniform(rows, self.length[rows])
        token = pick_tokens(logits, self.params, uniform).cpu().numpy()
        self.tokens[rows, self.length[rows]] = token
        self.length[rows] += 1
        self.stopped[rows] = np.isin(token, self.stops)
        self.next_id[running] = token
        self.column[running] += 1
        self.running[running] = ~self.stopped[rows] & (self.length[rows] < self.params.max_tokens)

    def _replace(self, ended: np.ndarray) -> None:
        """Report the completions that have ended, and give their slots to waiting prompts or drop them."""
        ended_slots = np.flatnonzero(ended)
        if self.on_finished is not None:
            slots = torch.from_numpy(ended_slots).to(self.model.device)
            self.on_finished(self, self.row[ended_slots], slots)
        refilled = ended_slots[: len(self.waiting)]
        self._fill(refilled)
        if len(refilled) < len(ended_slots):
            remaining = np.setdiff1d(np.arange(len(ended)), ended_slots[len(refilled) :])
            self.cache.keep(torch.from_numpy(remaining).to(self.model.device))
            self.row, self.next_id, self.column, self.running = (
                x[remaining] for x in (self.row, self.next_id, self.column, self.running)
            )

    def _fill(self, slots: np.ndarray) -> None:
        """Start the next waiting prompts in these slots."""
        slots_by_prefix: dict[tuple[int, ...], list[int]] = {}
        for slot in slots:
            row = self.waiting.popleft()
            prompt = self.prompts[row]
            self.row[slot], self.next_id[slot], self.column[slot] = row, prompt[-1], len(prompt) - 1
            self.running[slot] = True
            if len(prompt) > 1:
                slots_by_prefix.setdefault(tuple(prompt[:-1]), []).append(slot)
        prefixes = sorted(slots_by_prefix, key=len)
        while prefixes:
            count = max(1, PREFILL_TOKENS // len(prefixes[-1]))
            part, prefixes = prefixes[-count:], prefixes[:-count]
            cache = prefill(self.model, [list(p) for p in part], self.pad_id)
            pairs = [(slot, i) for i, p in enumerate(part) for slot in slots_by_prefix[p]]
            target_slots, cache_rows = torch.tensor(pairs, device=self.model.device).T
            self.cache.fill(target_slots, cache, cache_rows)
