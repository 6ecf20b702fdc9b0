"""Log-probabilities of completions without computing on padding.

TRL's batches pad prompts on the left and completions on the right, all as wide as the longest. Here the rows
are sorted by length, cut into batches of a bounded number of tokens, and moved flush left, where causal
attention needs no mask. The result is the same. With lengths as different as those of reasoning, most of the
work was padding.
"""

from __future__ import annotations

import torch


def by_length(attention_mask: torch.Tensor, tokens: int) -> list[torch.Tensor]:
    """Split the rows into batches, sorted by length.

    Args:
        attention_mask: (B, W), 1 on tokens.
        tokens: Most positions in a batch, padding included; a longer row is a batch of its own.

    Returns:
        Row indices (b,) of each batch.
    """
    width = attention_mask.sum(1)
    order = torch.argsort(width, stable=True)
    batches, start = [], 0
    for end in range(1, len(order) + 1):
        full = end == len(order) or (end + 1 - start) * int(width[order[end]]) > tokens
        if full:
            batches.append(order[start:end])
            start = end
    return batches


def flush_left(ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(ids, mask) with every row's tokens moved to the left, cut to the longest row; both (b, W)."""
    width = int(mask.sum(1).max())
    order = torch.argsort(mask, dim=1, descending=True, stable=True)[:, :width]
    return ids.gather(1, order), mask.gather(1, order)


def completion_values(values: torch.Tensor, prompt: torch.Tensor, width: int) -> torch.Tensor:
    """Cut the completions' part out of the values of flush-left rows.

    Args:
        values: (b, W - 1); column t belongs to token t + 1, as the head predicts it.
        prompt: Tokens of each prompt, (b,).
        width: Columns of the result.

    Returns:
        (b, width), from the first token after the prompt on; 0 behind the end of a row.
    """
    place = prompt[:, None] - 1 + torch.arange(width, device=values.device)
    inside = place < values.shape[1]
    return values.gather(1, place.clamp(max=values.shape[1] - 1)) * inside


def log_probs(
    model,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    completion: int,
    *,
    tokens: int,
    autocast,
    entropy: bool,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Log-probabilities, and entropies if wanted, of the completions.

    Args:
        model: A causal LM with TRL's fused head (`add_fused_lm_head`).
        input_ids: (B, W), padded as TRL does.
        attention_mask: (B, W), 1 on tokens.
        completion: How many columns at the end are completions.
        tokens: Most positions in one forward pass, padding included.
        autocast: Gives the context in which the model runs.
        entropy: Whether to compute entropies.

    Returns:
        Log-probabilities and entropies (or None), each (B, completion), 0 on padding.
    """
    order, logps, entropies = [], [], []
    for rows in by_length(attention_mask, tokens):
        ids, mask = flush_left(input_ids[rows], attention_mask[rows])
        prompt = attention_mask[rows, :-completion].sum(1)
        position = torch.arange(ids.shape[1], device=ids.device)
        scored = mask.bool() & (position >= prompt[:, None])
        with autocast():
            out = model(input_ids=ids, labels=ids.masked_fill(~scored, -100), fused_lm_head=True)
        order.append(rows)
        logps.append(completion_values(out.log_probs, prompt, completion))
        if entropy:
            entropies.append(completion_values(out.entropy, prompt, completion))
    back = torch.argsort(torch.cat(order))
    return torch.cat(logps)[back], torch.cat(entropies)[back] if entropy else None
