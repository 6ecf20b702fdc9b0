"""Forced answers as a tree: one prefill of a rollout, every cut a branch that sees the cache up to its cut.

No cache is copied. The key axis holds [prefix | suffixes of all branches | one column per branch and step]; a
branch attends to the prefix before its cut and to its own columns, at the positions they would have had if
the trace had really been cut there. Greedy tokens are those of truncating, appending and generating.
"""

from collections.abc import Sequence

import torch

from effwb.samplers.base import BraceCloser, Prefixes, SamplingParams
from effwb.samplers.cache import left_pad, new_cache, positions


@torch.inference_mode()
def answer_branches(
    model,
    rollouts: Sequence[Prefixes],
    suffix_ids,
    params: SamplingParams,
    stop_ids,
    pad_id,
    closer: BraceCloser,
) -> list[list[tuple[list[int], str]]]:
    """Greedy (token ids, finish reason) per rollout and cut; rows with few cuts are padded to the widest."""
    device, n_suffix = model.device, len(suffix_ids)
    base = [r.prompt_ids + r.completion_ids[: max(r.cuts)] for r in rollouts]
    ids, mask = left_pad(base, pad_id, device)
    branches = max(len(r.cuts) for r in rollouts)
    cache = new_cache(model.config)
    model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions(mask),
        past_key_values=cache,
        logits_to_keep=1,
    )

    ends = torch.zeros((len(rollouts), branches), dtype=torch.long)  # prefix tokens each branch may see
    for i, r in enumerate(rollouts):
        ends[i, : len(r.cuts)] = len(r.prompt_ids) + torch.tensor(r.cuts)
        ends[i, len(r.cuts) :] = len(r.prompt_ids)
    ends = ends.to(device)
    own = positions(mask)[:, None, :] < ends[:, :, None]
    prefix = own & mask[:, None, :]  # (B, K, width)

    which = torch.arange(branches, device=device)
    column_branch = which.repeat_interleave(n_suffix)  # branch of every column behind the prefix
    suffix = torch.tensor(list(suffix_ids), device=device).repeat(branches).expand(len(rollouts), -1)
    place = torch.arange(n_suffix, device=device).repeat(branches)
    same = (column_branch[:, None] == column_branch[None, :]) & (place[:, None] >= place[None, :])
    visible = torch.cat([prefix[:, column_branch], same.expand(len(rollouts), -1, -1)], -1)
    logits = model(
        input_ids=suffix,
        attention_mask=visible[:, None],
        position_ids=ends[:, column_branch] + place,
        past_key_values=cache,
        logits_to_keep=which * n_suffix + n_suffix - 1,
    ).logits

    tree = _Branches(rollouts, branches, stop_ids, closer)
    columns = torch.cat(
        [prefix, (column_branch[None, :] == which[:, None]).expand(len(rollouts), -1, -1)], -1
    )
    for step in range(params.max_tokens):
        token = logits.float().argmax(-1)  # (B, K)
        tree.add(token.tolist())
        if tree.finished or step + 1 == params.max_tokens:
            break
        columns = torch.cat(
            [columns, torch.eye(branches, dtype=torch.bool, device=device).expand(len(rollouts), -1, -1)], -1
        )
        logits = model(
            input_ids=token,
            attention_mask=columns[:, None],
            position_ids=ends + n_suffix + step,
            past_key_values=cache,
        ).logits
    return tree.results


class _Branches:
    """The answers while they grow, and when each one ends."""

    def __init__(self, rollouts, branches, stop_ids, closer):
        self._stop, self._closer = set(stop_ids), closer
        self.results = [[([], "length") for _ in r.cuts] for r in rollouts]
        self._open = {(i, k): closer.start for i, r in enumerate(rollouts) for k in range(len(r.cuts))}

    @property
    def finished(self) -> bool:
        return not self._open

    def add(self, tokens: list[list[int]]) -> None:
        for (i, k), state in list(self._open.items()):
            token = tokens[i][k]
            ids, _ = self.results[i][k]
            ids.append(token)
            state, closed = self._closer.step(state, token)
            self._open[i, k] = state
            if closed or token in self._stop:
                self.results[i][k] = (ids, "stop")
                del self._open[i, k]
