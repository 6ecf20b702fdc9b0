"""Forced answers as a tree: one cache of a rollout, every cut a branch that sees it up to its cut.

No cache is copied per branch. The key axis holds [prefix | suffixes of all branches | one column per branch
and step]; a branch attends to the prefix before its cut and to its own columns, at the positions they would
have had if the trace had really been cut there. Greedy tokens are those of truncating, appending and
generating.
"""

from collections.abc import Sequence

import torch

from effwb.samplers.base import BraceCloser, Prefixes, SamplingParams
from effwb.samplers.transformers.cache import additive_mask, own_attention, prefill

KEEP = 0.9  # branches that have ended are dropped once no more than this share goes on


@torch.inference_mode()
def answer_branches(
    model,
    rollouts: Sequence[Prefixes],
    suffix_ids,
    params: SamplingParams,
    stop_ids,
    pad_id,
    closer: BraceCloser,
    cache=None,
) -> list[list[tuple[list[int], str]]]:
    """Greedy (token ids, finish reason) per rollout and cut; rows with few cuts are padded to the widest.

    `cache` holds the rollouts up to their last cuts, flush left, if they have been computed already.
    """
    with own_attention(model):
        if cache is None:
            base = [r.prompt_ids + r.completion_ids[: max(r.cuts)] for r in rollouts]
            cache = prefill(model, base, pad_id)
        return _answer(model, rollouts, suffix_ids, params, stop_ids, closer, cache)


def _answer(model, rollouts, suffix_ids, params, stop_ids, closer, cache):
    device, n_suffix = model.device, len(suffix_ids)
    branches = max(len(r.cuts) for r in rollouts)
    ends = torch.zeros((len(rollouts), branches), dtype=torch.long)  # prefix tokens each branch may see
    for i, r in enumerate(rollouts):
        ends[i, : len(r.cuts)] = len(r.prompt_ids) + torch.tensor(r.cuts)
        ends[i, len(r.cuts) :] = len(r.prompt_ids)
    ends = ends.to(device)
    prefix = torch.arange(cache.get_seq_length(), device=device) < ends[:, :, None]  # (B, K, width)

    which = torch.arange(branches, device=device)
    column_branch = which.repeat_interleave(n_suffix)  # branch of every column behind the prefix
    suffix = torch.tensor(list(suffix_ids), device=device).repeat(branches).expand(len(rollouts), -1)
    place = torch.arange(n_suffix, device=device).repeat(branches)
    same = (column_branch[:, None] == column_branch[None, :]) & (place[:, None] >= place[None, :])
    visible = torch.cat([prefix[:, column_branch], same.expand(len(rollouts), -1, -1)], -1)
    logits = model(
        input_ids=suffix,
        attention_mask=additive_mask(visible, model.dtype),
        position_ids=ends[:, column_branch] + place,
        past_key_values=cache,
        logits_to_keep=which * n_suffix + n_suffix - 1,
    ).logits

    tree = _Branches(rollouts, branches, stop_ids, closer)
    columns = torch.cat(
        [prefix, (column_branch[None, :] == which[:, None]).expand(len(rollouts), -1, -1)], -1
    )
    at = ends + n_suffix  # (B, K): where each branch goes on
    for step in range(params.max_tokens):
        token = logits.float().argmax(-1)  # (B, K)
        tree.add(token.tolist())
        if tree.finished or step + 1 == params.max_tokens:
            break
        if (kept := tree.narrow()) is not None:
            kept = torch.tensor(kept, device=device)
            token, at = token.gather(1, kept), at.gather(1, kept)
            columns = columns.gather(1, kept[:, :, None].expand(-1, -1, columns.shape[-1]))
        own = torch.eye(token.shape[1], dtype=torch.bool, device=device)
        columns = torch.cat([columns, own.expand(len(rollouts), -1, -1)], -1)
        logits = model(
            input_ids=token,
            attention_mask=additive_mask(columns, model.dtype),
            position_ids=at,
            past_key_values=cache,
        ).logits
        at = at + 1
    return tree.results


class _Branches:
    """The answers while they grow, and when each one ends. `here[i]` are the cuts of rollout i whose branches
    are still computed, by place; None stands for a branch that nobody asked for or that has ended.
    """

    def __init__(self, rollouts, branches, stop_ids, closer):
        self._stop, self._closer = set(stop_ids), closer
        self.results = [[([], "length") for _ in r.cuts] for r in rollouts]
        self.states = [[closer.start for _ in r.cuts] for r in rollouts]
        self.here = [[*range(len(r.cuts)), *[None] * (branches - len(r.cuts))] for r in rollouts]

    @property
    def finished(self) -> bool:
        return not any(k is not None for row in self.here for k in row)

    def add(self, tokens: list[list[int]]) -> None:
        """One more token for each branch, by place."""
        for i, row in enumerate(self.here):
            for place, k in enumerate(row):
                if k is None:
                    continue
                token, (ids, _) = tokens[i][place], self.results[i][k]
                ids.append(token)
                self.states[i][k], closed = self._closer.step(self.states[i][k], token)
                if closed or token in self._stop:
                    self.results[i][k] = (ids, "stop")
                    row[place] = None

    def narrow(self) -> list[list[int]] | None:
        """The places to go on with, as many for each rollout, where enough branches have ended; else None."""
        going = [[place for place, k in enumerate(row) if k is not None] for row in self.here]
        width = max(map(len, going))
        if width > KEEP * len(self.here[0]):
            return None
        self.here = [
            [row[p] for p in places] + [None] * (width - len(places))
            for row, places in zip(self.here, going, strict=True)
        ]
        return [places + [0] * (width - len(places)) for places in going]
