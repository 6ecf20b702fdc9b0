"""Log-probabilities of completions without computing on padding.

A batch of rollouts arrives as TRL makes it: prompts padded on the left, completions on the right, all as wide
as the longest. Here rows are sorted by length, cut into batches of a bounded number of tokens, and moved
flush left, where causal attention needs no mask. The result is the same; at a spread of lengths as reasoning
has it, most of the work was padding.
"""

import torch


def by_length(attention_mask: torch.Tensor, tokens: int) -> list[torch.Tensor]:
    """Row indices (b,) of each batch: rows in order of length, at most `tokens` positions with padding."""
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
    """(ids, mask) with every row's tokens moved to the left and cut to the longest row; both (b, W)."""
    width = int(mask.sum(1).max())
    first = torch.argsort(mask, dim=1, descending=True, stable=True)[:, :width]
    return ids.gather(1, first), mask.gather(1, first)


def completion_values(values: torch.Tensor, prompt: torch.Tensor, width: int) -> torch.Tensor:
    """`values` (b, W - 1) of flush-left rows as (b, width), from the first token after the prompt (b,) on.

    Column t of `values` belongs to token t + 1, as the head predicts it.
    """
    place = prompt[:, None] - 1 + torch.arange(width, device=values.device)
    inside = place < values.shape[1]
    return values.gather(1, place.clamp(max=values.shape[1] - 1)) * inside


def log_probs(model, input_ids, attention_mask, completion: int, *, tokens: int, autocast, entropy: bool):
    """(log-probabilities, entropies or None) of the last `completion` columns, each (B, completion), 0 on
    padding.

    `model` is a causal LM with TRL's fused head; `autocast()` gives the context to run it in.
    """
    logps = entropies = None
    for rows in by_length(attention_mask, tokens):
        ids, mask = flush_left(input_ids[rows], attention_mask[rows])
        prompt = attention_mask[rows, :-completion].sum(1)
        position = torch.arange(ids.shape[1], device=ids.device)
        scored = mask.bool() & (position >= prompt[:, None])
        with autocast():
            out = model(input_ids=ids, labels=ids.masked_fill(~scored, -100), fused_lm_head=True)
        if logps is None:
            logps = input_ids.new_zeros((len(input_ids), completion), dtype=out.log_probs.dtype)
            entropies = torch.zeros_like(logps) if entropy else None
        # index_copy is differentiable: every row of the result comes from exactly one batch
        logps = logps.index_copy(0, rows, completion_values(out.log_probs, prompt, completion))
        if entropy:
            spread = completion_values(out.entropy, prompt, completion)
            entropies = entropies.index_copy(0, rows, spread)
    return logps, entropies
