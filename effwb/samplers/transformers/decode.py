"""Sampling in plain PyTorch: one random stream per completion, and a loop for models that `slots` cannot
serve (sliding windows, attentions that take no mask of ours): one batch, finished rows dropped.
"""

from collections.abc import Sequence

import numpy as np
import torch
from transformers.cache_utils import DynamicCache

from effwb.samplers.base import SamplingParams
from effwb.samplers.transformers.cache import left_pad, positions

KEEP = 0.75  # rows are dropped from the batch once fewer than this share are still running
DRAWS = 256  # uniform numbers are drawn in blocks of this many tokens


class Streams:
    """One generator per row, seeded by the row's own seed: a row's tokens do not depend on its neighbours'
    seeds.
    """

    def __init__(self, seeds: Sequence[int]):
        self._generators = [np.random.Generator(np.random.Philox(key=int(s))) for s in seeds]
        self._blocks = np.empty((len(seeds), DRAWS))

    def at(self, rows: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Uniform numbers for the tokens of `rows` at `steps` (both ints, of one shape); the steps of a row
        must come in order, from 0.
        """
        for row in rows[steps % DRAWS == 0]:
            self._blocks[row] = self._generators[row].random(DRAWS)
        return self._blocks[rows, steps % DRAWS]


def pick(logits: torch.Tensor, params: SamplingParams, uniform) -> torch.Tensor:
    """Token ids (B,) from logits (B, V): argmax at temperature 0, else the inverse CDF at `uniform` (B,)."""
    if params.temperature == 0:
        return logits.argmax(-1)
    probs = torch.softmax(logits.double() / params.temperature, -1)
    if params.top_p < 1:
        probs = nucleus(probs, params.top_p)
    cdf = probs.cumsum(-1)
    point = torch.as_tensor(uniform, dtype=torch.double, device=logits.device)[:, None] * cdf[:, -1:]
    return torch.searchsorted(cdf, point, right=True).squeeze(-1).clamp(max=logits.shape[-1] - 1)


def nucleus(probs: torch.Tensor, top_p: float) -> torch.Tensor:
    """Zero all but the smallest set of most likely tokens whose mass reaches `top_p`; (B, V) in and out."""
    ordered, order = probs.sort(-1, descending=True)
    outside = ordered.cumsum(-1) - ordered >= top_p
    return probs.masked_fill(outside.scatter(-1, order, outside), 0.0)


@torch.inference_mode()
def decode(model, prompts, params: SamplingParams, seeds, stop_ids, pad_id) -> list[tuple[list[int], str]]:
    """(token ids, finish reason) for each prompt (a list of ids); one completion per prompt."""
    device = model.device
    ids, mask = left_pad([list(p) for p in prompts], pad_id, device)
    width = ids.shape[1]
    room = torch.ones((len(prompts), width + params.max_tokens), dtype=torch.bool, device=device)
    room[:, :width] = mask
    cache, streams = DynamicCache(config=model.config), Streams(seeds)
    stops = torch.tensor(sorted(stop_ids), device=device)
    position, alive = positions(mask), torch.arange(len(prompts))
    output = torch.full((len(prompts), params.max_tokens), pad_id, dtype=torch.long)
    length = torch.zeros(len(prompts), dtype=torch.long)
    stopped = torch.zeros(len(prompts), dtype=torch.bool)
    running = torch.ones(len(prompts), dtype=torch.bool)
    causal = mask
    for step in range(params.max_tokens):
        logits = (
            model(
                input_ids=ids,
                attention_mask=causal,
                position_ids=position,
                past_key_values=cache,
                logits_to_keep=1,
            )
            .logits[:, -1]
            .float()
        )
        if step == 0 and params.banned_first_tokens:
            logits[:, list(params.banned_first_tokens)] = -torch.inf
        token = pick(logits, params, streams.at(alive.numpy(), np.full(len(alive), step)))
        open_rows = alive[running]
        output[open_rows, step] = token.cpu()[running]
        length[open_rows] = step + 1
        ended = torch.isin(token, stops).cpu()
        stopped[alive[running & ended]] = True
        running &= ~ended
        if not running.any():
            break
        if running.float().mean() < KEEP:
            keep = running.nonzero().squeeze(-1)
            here = keep.to(device)
            cache.batch_select_indices(here)
            alive, running, token, position, room = (
                alive[keep],
                running[keep],
                token[here],
                position[here],
                room[here],
            )
        ids, position = token[:, None], position[:, -1:] + 1
        causal = room[:, : width + step + 1]
    return [
        (output[i, : length[i]].tolist(), "stop" if stopped[i] else "length") for i in range(len(prompts))
    ]
