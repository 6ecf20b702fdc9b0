"""A key-value cache for decoding in plain PyTorch."""

import torch
from transformers.cache_utils import Cache, DynamicLayer


class GrowingLayer(DynamicLayer):
    """`DynamicLayer` that over-allocates, so that a decode step writes one column instead of copying the
    cache."""

    grow = 1.5

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._used = 0

    def update(self, key_states, value_states, *args, **kwargs):
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._room_k = self._room_v = None
        start, self._used = self._used, self._used + key_states.shape[-2]
        self._room_k = self._write(self._room_k, key_states, start)
        self._room_v = self._write(self._room_v, value_states, start)
        self.keys, self.values = self._room_k[..., : self._used, :], self._room_v[..., : self._used, :]
        return self.keys, self.values

    def _write(self, room, new, start):
        if room is None or room.shape[-2] < self._used:
            size = max(self._used + 32, int(self._used * self.grow))
            bigger = new.new_empty((*new.shape[:-2], size, new.shape[-1]))
            if room is not None:
                bigger[..., :start, :] = room[..., :start, :]
            room = bigger
        room[..., start : self._used, :] = new
        return room

    def batch_select_indices(self, indices):
        self._room_k, self._room_v = self._room_k[indices], self._room_v[indices]
        self.keys, self.values = self._room_k[..., : self._used, :], self._room_v[..., : self._used, :]


def new_cache(config) -> Cache:
    """A growing cache where every layer has full attention, else the library's own for this config."""
    if has_full_attention(config):
        return Cache(layer_class_to_replicate=GrowingLayer)
    from transformers import DynamicCache

    return DynamicCache(config=config)


def has_full_attention(config) -> bool:
    """Every layer attends to the whole prefix: the condition for drawing probes as a tree over one cache."""
    text = config.get_text_config(decoder=True)
    types = getattr(text, "layer_types", None)
    if types:
        return set(types) == {"full_attention"}
    return not getattr(text, "use_sliding_window", False) and getattr(text, "sliding_window", None) is None


def takes_masks(config) -> bool:
    """A boolean (B, 1, Q, K) mask of ours means what it says: every layer sees the whole prefix, and the
    attention reads it as a mask (eager attention would add it to the scores).
    """
    return has_full_attention(config) and config._attn_implementation == "sdpa"


def left_pad(rows: list[list[int]], pad_id: int, device) -> tuple[torch.Tensor, torch.Tensor]:
    """(ids, mask), both (B, T): rows flush right, mask false on padding."""
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, width - len(row) :] = torch.tensor(row, dtype=torch.long)
        mask[i, width - len(row) :] = True
    return ids.to(device), mask.to(device)


def positions(mask: torch.Tensor) -> torch.Tensor:
    """Position ids (B, T) that ignore padding on the left."""
    return (mask.long().cumsum(-1) - 1).clamp(min=0)
