"""Keys and values for decoding in plain PyTorch, and an attention that reads them without copying."""

from contextlib import contextmanager

import torch
from transformers.cache_utils import Cache, DynamicLayer

ATTENTION = "effwb"  # under this name Transformers finds `attend`


class GrowingLayer(DynamicLayer):
    """`DynamicLayer` that over-allocates, so that a decode step writes one column instead of copying the
    cache.
    """

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


class SlotCache(Cache):
    """Room for the keys and values of a fixed number of rows, each at its own length, flush left.

    Before a forward pass of one token per row, `at` (rows,) says where it is written and `width` how many
    columns are read; a row must be masked behind its own end.
    """

    def __init__(self, rows: int, room: int):
        super().__init__(layers=[])
        self.rows, self.room, self.held = rows, room, []
        self.at, self.width, self._each = None, 0, None

    def update(self, key_states, value_states, layer_idx, *args, **kwargs):
        pair = self._layer(layer_idx, key_states, value_states)
        if self._each is None:
            self._each = torch.arange(self.rows, device=key_states.device)
        for kept, new in zip(pair, (key_states, value_states), strict=True):
            kept[self._each, :, self.at] = new[:, :, 0]
        return tuple(kept[:, :, : self.width] for kept in pair)

    def _layer(self, index: int, *like):
        if index == len(self.held):  # zeros: what is masked counts nothing, but must be a number
            self.held.append(tuple(x.new_zeros((self.rows, x.shape[1], self.room, x.shape[3])) for x in like))
        return self.held[index]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.width

    def put(self, rows: torch.Tensor, filled: Cache, source: torch.Tensor) -> None:
        """Begin `rows` with what the rows `source` of another cache hold, flush left there too."""
        for i, layer in enumerate(filled.layers):
            for kept, new in zip(
                self._layer(i, layer.keys, layer.values), (layer.keys, layer.values), strict=True
            ):
                kept[rows, :, : new.shape[2]] = new[source]

    def take(self, rows: torch.Tensor, width: int) -> Cache:
        """A growing cache that begins with the first `width` columns of `rows`."""
        cache = Cache(layer_class_to_replicate=GrowingLayer)
        for i, (keys, values) in enumerate(self.held):
            cache.update(keys[rows, :, :width], values[rows, :, :width], i)
        return cache

    def keep(self, rows: torch.Tensor) -> None:
        """Drop all other rows."""
        self.rows, self._each = len(rows), None
        for i, pair in enumerate(self.held):
            self.held[i] = tuple(x[rows] for x in pair)


def attend(module, query, key, value, attention_mask, dropout=0.0, scaling=None, **_):
    """Scaled dot-product attention: query (B, Hq, Q, D), key and value (B, H, K, D), mask (B, 1, Q, K) to be
    added, or None for causal. Gives (B, Q, Hq, D) and None.

    The query heads that share a key head are rows of one query, where Transformers copies the keys and values
    for each: of a decode step with 512 tokens behind it that is nine tenths of the time (LOG.md).
    """
    groups, (B, H, Q, D) = query.shape[1] // key.shape[1], query.shape
    plain = torch.nn.functional.scaled_dot_product_attention
    if attention_mask is None:  # repeated: of the kernels that save memory, not all know grouped heads
        key, value = (x.repeat_interleave(groups, 1) if groups > 1 else x for x in (key, value))
        found = plain(query, key, value, is_causal=Q > 1, scale=scaling)
    else:
        folded = query.reshape(B, key.shape[1], groups * Q, D)
        mask = attention_mask.repeat(1, 1, groups, 1) if groups > 1 else attention_mask
        found = plain(folded, key, value, attn_mask=mask, scale=scaling).reshape(B, H, Q, value.shape[-1])
    return found.transpose(1, 2).contiguous(), None


@contextmanager
def own_attention(model):
    """Our attention instead of the model's "sdpa", as long as the context lasts. One thread at a time may
    sample with a model.
    """
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(ATTENTION, attend)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)
    config = model.config.get_text_config(decoder=True)
    before = config._attn_implementation
    config._attn_implementation = ATTENTION
    try:
        yield
    finally:
        config._attn_implementation = before


def additive_mask(visible: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A mask (B, 1, Q, K) to be added to scores, from what is visible (B, Q, K)."""
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill_(~visible, torch.finfo(dtype).min)[:, None]


def prefill(model, rows: list[list[int]], pad_id: int) -> Cache:
    """The cache behind these rows, flush left: padding on the right is seen by nothing before it."""
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row, dtype=torch.long)
    cache = Cache(layer_class_to_replicate=GrowingLayer)
    ids = ids.to(model.device)
    place = torch.arange(width, device=model.device).expand(len(rows), -1)
    model(input_ids=ids, position_ids=place, past_key_values=cache, logits_to_keep=1)
    return cache


def has_full_attention(config) -> bool:
    """Every layer attends to the whole prefix: the condition for drawing probes as a tree over one cache."""
    text = config.get_text_config(decoder=True)
    types = getattr(text, "layer_types", None)
    if types:
        return set(types) == {"full_attention"}
    return not getattr(text, "use_sliding_window", False) and getattr(text, "sliding_window", None) is None


def supports_tree_attention(config) -> bool:
    """A (B, 1, Q, K) mask of ours means what it says: every layer sees the whole prefix, the attention is one
    that `attend` can stand for, and positions of one row do not depend on how long others are.
    """
    rope = getattr(config.get_text_config(decoder=True), "rope_parameters", None) or {}
    alone = rope.get("rope_type") not in ("dynamic", "longrope")
    return alone and has_full_attention(config) and config._attn_implementation in ("sdpa", ATTENTION)


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
