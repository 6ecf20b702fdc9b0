"""Forced answers as a tree: one cache per rollout, and every cut is a branch that sees it up to its cut.

The cache is not copied for the branches. The key axis holds [prefix | suffixes of all branches | one column
per branch and step]. A branch attends to the prefix before its cut and to its own columns, at the positions
they would have if the rollout had really been cut there. The greedy tokens are those of truncating the
rollout, appending the suffix and generating.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from effwb.samplers.braces import BraceCloser
from effwb.samplers.transformers.cache import additive_mask, prefill, use_grouped_attention
from effwb.samplers.values import Prefixes, SamplingParams

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers.cache_utils import Cache

KEEP = 0.9  # branches that have ended are dropped once no more than this share is still running


@torch.inference_mode()
def answer_branches(
    model: PreTrainedModel,
    rollouts: Sequence[Prefixes],
    suffix_ids: Sequence[int],
    params: SamplingParams,
    stop_ids: Sequence[int],
    pad_id: int,
    closer: BraceCloser,
    cache: Cache | None = None,
) -> list[list[tuple[list[int], str]]]:
    """Answer every cut of some rollouts greedily, in one batch.

    Args:
        model: A causal LM that `supports_tree_attention`.
        rollouts: Rollouts with at least one cut each. Rows with fewer cuts are padded to the widest.
        suffix_ids: Ids of the forced-answer suffix.
        params: Only `max_tokens` is used.
        stop_ids: Ids that end an answer.
        pad_id: The id to pad with.
        closer: Ends an answer at the brace of its box.
        cache: Keys and values of the rollouts up to their last cuts, starting in column 0. None: computed.

    Returns:
        (token ids, finish reason) of the answer, per rollout and cut.
    """
    with use_grouped_attention(model):
        if cache is None:
            prefixes = [r.prompt_ids + r.completion_ids[: max(r.cuts)] for r in rollouts]
            cache = prefill(model, prefixes, pad_id)
        return _answer(model, rollouts, suffix_ids, params, stop_ids, closer, cache)


def _answer(model, rollouts, suffix_ids, params, stop_ids, closer, cache):
    device, suffix_length = model.device, len(suffix_ids)
    n_branches = max(len(r.cuts) for r in rollouts)
    ends = torch.zeros((len(rollouts), n_branches), dtype=torch.long)  # prefix tokens each branch may see
    for i, r in enumerate(rollouts):
        ends[i, : len(r.cuts)] = len(r.prompt_ids) + torch.tensor(r.cuts)
        ends[i, len(r.cuts) :] = len(r.prompt_ids)
    ends = ends.to(device)
    sees_prefix = torch.arange(cache.get_seq_length(), device=device) < ends[:, :, None]  # (B, K, prefix)

    # all suffixes in one pass, a branch after the other
    branches = torch.arange(n_branches, device=device)
    branch_of = branches.repeat_interleave(suffix_length)  # of every column after the prefix
    offset = torch.arange(suffix_length, device=device).repeat(n_branches)  # of the column in its suffix
    own_past = (branch_of[:, None] == branch_of[None, :]) & (offset[:, None] >= offset[None, :])
    visible = torch.cat([sees_prefix[:, branch_of], own_past.expand(len(rollouts), -1, -1)], -1)
    logits = model(
        input_ids=torch.tensor(list(suffix_ids), device=device).repeat(n_branches).expand(len(rollouts), -1),
        attention_mask=additive_mask(visible, model.dtype),
        position_ids=ends[:, branch_of] + offset,
        past_key_values=cache,
        logits_to_keep=branches * suffix_length + suffix_length - 1,
    ).logits

    # then one token per branch and step
    answers = _Answers(rollouts, n_branches, stop_ids, closer)
    own_suffix = (branch_of[None, :] == branches[:, None]).expand(len(rollouts), -1, -1)
    visible = torch.cat([sees_prefix, own_suffix], -1)
    position = ends + suffix_length  # (B, K): of the next token of each branch
    for step in range(params.max_tokens):
        token = logits.float().argmax(-1)  # (B, K)
        answers.add(token.tolist())
        if answers.finished or step + 1 == params.max_tokens:
            break
        if (columns := answers.narrow()) is not None:
            keep = torch.tensor(columns, device=device)
            token, position = token.gather(1, keep), position.gather(1, keep)
            visible = visible.gather(1, keep[:, :, None].expand(-1, -1, visible.shape[-1]))
        own_token = torch.eye(token.shape[1], dtype=torch.bool, device=device)
        visible = torch.cat([visible, own_token.expand(len(rollouts), -1, -1)], -1)
        logits = model(
            input_ids=token,
            attention_mask=additive_mask(visible, model.dtype),
            position_ids=position,
            past_key_values=cache,
        ).logits
        position = position + 1
    return answers.results


class _Answers:
    """The answers while they grow.

    Attributes:
        results: (token ids, finish reason) per rollout and cut.
        cuts: For each rollout, the index of the cut that each column of the batch computes. None: the column
            is padding, or its answer has ended.
    """

    def __init__(self, rollouts, n_branches: int, stop_ids, closer: BraceCloser):
        self._stop_ids, self._closer = set(stop_ids), closer
        self.results: list[list[tuple[list[int], str]]] = [[([], "length") for _ in r.cuts] for r in rollouts]
        self._states = [[closer.start for _ in r.cuts] for r in rollouts]
        self.cuts = [[*range(len(r.cuts)), *[None] * (n_branches - len(r.cuts))] for r in rollouts]

    @property
    def finished(self) -> bool:
        return not any(k is not None for row in self.cuts for k in row)

    def add(self, tokens: list[list[int]]) -> None:
        """Add one token per column."""
        for i, row in enumerate(self.cuts):
            for column, k in enumerate(row):
                if k is None:
                    continue
                token, (ids, _) = tokens[i][column], self.results[i][k]
                ids.append(token)
                self._states[i][k], closed = self._closer.step(self._states[i][k], token)
                if closed or token in self._stop_ids:
                    self.results[i][k] = (ids, "stop")
                    row[column] = None

    def narrow(self) -> list[list[int]] | None:
        """The columns to go on with, equally many per rollout, if enough answers have ended; else None."""
        running = [[column for column, k in enumerate(row) if k is not None] for row in self.cuts]
        width = max(map(len, running))
        if width > KEEP * len(self.cuts[0]):
            return None
        self.cuts = [
            [row[column] for column in columns] + [None] * (width - len(columns))
            for row, columns in zip(self.cuts, running, strict=True)
        ]
        return [columns + [0] * (width - len(columns)) for columns in running]
