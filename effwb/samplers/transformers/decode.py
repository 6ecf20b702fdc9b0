"""Choosing tokens, and a decode loop for models that `slots` cannot serve.

Those are models with sliding windows or with an attention that takes no custom mask. They are decoded as one
batch, and rows leave it when they end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers.cache_utils import DynamicCache

from effwb.errors import EngineError
from effwb.samplers.transformers.cache import left_pad, positions
from effwb.samplers.values import SamplingParams

if TYPE_CHECKING:
    from transformers import PreTrainedModel

KEEP = 0.75  # rows leave the batch once fewer than this share of it are still running
BLOCK = 256  # uniform numbers are drawn in blocks of this many tokens


class RandomStreams:
    """One random stream per completion, so its tokens do not depend on the seeds of others.

    Args:
        seeds: One seed per completion.
    """

    def __init__(self, seeds: Sequence[int]):
        self._generators = [np.random.Generator(np.random.Philox(key=int(s))) for s in seeds]
        self._blocks = np.empty((len(seeds), BLOCK))

    def uniform(self, rows: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """One uniform number in [0, 1) for each pair of a row and a step.

        Args:
            rows: Indices of completions.
            steps: The token of each row that the number is for, same shape. A row's steps must come in order,
                from 0.
        """
        for row in rows[steps % BLOCK == 0]:
            self._blocks[row] = self._generators[row].random(BLOCK)
        return self._blocks[rows, steps % BLOCK]


def check_finite(logits: torch.Tensor) -> None:
    """Raise `EngineError` unless the largest logit of every row (..., V) is finite; -inf bans a token."""
    if not torch.isfinite(logits.amax(-1)).all():
        raise EngineError(
            "the model's logits are not finite: its weights are damaged, or overflow in this dtype (try "
            "dtype='float32'); nothing was sampled from them"
        )


def pick_tokens(logits: torch.Tensor, params: SamplingParams, uniform: np.ndarray | None) -> torch.Tensor:
    """Pick one token per row: the most likely at temperature 0, else by inverting the CDF.

    Args:
        logits: (B, V).
        params: Temperature and top_p.
        uniform: (B,) numbers in [0, 1) at which the CDF is inverted; not used at temperature 0.

    Returns:
        Token ids (B,).
    """
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
def decode(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    params: SamplingParams,
    seeds: Sequence[int],
    stop_ids: Sequence[int],
    pad_id: int,
) -> list[tuple[list[int], str]]:
    """Decode one completion per prompt as one batch.

    Args:
        model: A causal LM.
        prompts: Token ids of each prompt.
        params: How to sample.
        seeds: One seed per prompt.
        stop_ids: Ids that end a completion.
        pad_id: The id to pad with.

    Returns:
        (token ids, finish reason) of each prompt's completion.
    """
    device = model.device
    ids, mask = left_pad([list(p) for p in prompts], pad_id, device)
    width = ids.shape[1]
    full_mask = torch.ones((len(prompts), width + params.max_tokens), dtype=torch.bool, device=device)
    full_mask[:, :width] = mask
    cache, streams = DynamicCache(config=model.config), RandomStreams(seeds)
    stops = torch.tensor(sorted(stop_ids), device=device)
    # `alive` are the prompts of the batch's rows; `running` says which of these rows have not ended
    position, alive = positions(mask), torch.arange(len(prompts))
    output = torch.full((len(prompts), params.max_tokens), pad_id, dtype=torch.long)
    length = torch.zeros(len(prompts), dtype=torch.long)
    stopped = torch.zeros(len(prompts), dtype=torch.bool)
    running = torch.ones(len(prompts), dtype=torch.bool)
    step_mask = mask
    for step in range(params.max_tokens):
        logits = (
            model(
                input_ids=ids,
                attention_mask=step_mask,
                position_ids=position,
                past_key_values=cache,
                logits_to_keep=1,
            )
            .logits[:, -1]
            .float()
        )
        if step == 0 and params.banned_first_tokens:
            logits[:, list(params.banned_first_tokens)] = -torch.inf
        token = pick_tokens(logits, params, streams.uniform(alive.numpy(), np.full(len(alive), step)))
        running_prompts = alive[running]
        output[running_prompts, step] = token.cpu()[running]
        length[running_prompts] = step + 1
        ended = torch.isin(token, stops).cpu()
        stopped[alive[running & ended]] = True
        running &= ~ended
        if not running.any():
            break
        if running.float().mean() < KEEP:
            keep = running.nonzero().squeeze(-1)
            keep_on_device = keep.to(device)
            cache.batch_select_indices(keep_on_device)
            alive, running = alive[keep], running[keep]
            token, position = token[keep_on_device], position[keep_on_device]
            full_mask = full_mask[keep_on_device]
        ids, position = token[:, None], position[:, -1:] + 1
        step_mask = full_mask[:, : width + step + 1]
    return [
        (output[i, : length[i]].tolist(), "stop" if stopped[i] else "length") for i in range(len(prompts))
    ]
