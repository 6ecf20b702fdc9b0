"""Keys and values for decoding in plain PyTorch, and an attention that reads them without copying.

Shapes: B rows, H query heads, Q query tokens, K key tokens, D channels of a head, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import torch
from transformers.cache_utils import Cache, DynamicLayer

from effwb._internal.private_transformers import attention_of, replaced_attention

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

ATTENTION = "effwb"  # Transformers knows `grouped_attention` under this name


class GrowingLayer(DynamicLayer):
    """A `DynamicLayer` that over-allocates, so that a decode step copies one column and not the cache."""

    grow = 1.5

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._used = 0

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args, **kwargs
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append keys and values (B, H, T, D); return all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._key_buffer = self._value_buffer = None
        start, self._used = self._used, self._used + key_states.shape[-2]
        self._key_buffer = self._write(self._key_buffer, key_states, start)
        self._value_buffer = self._write(self._value_buffer, value_states, start)
        self.keys = self._key_buffer[..., : self._used, :]
        self.values = self._value_buffer[..., : self._used, :]
        return self.keys, self.values

    def _write(self, buffer, new, start):
        if buffer is None or buffer.shape[-2] < self._used:
            size = max(self._used + 32, int(self._used * self.grow))
            larger = new.new_empty((*new.shape[:-2], size, new.shape[-1]))
            if buffer is not None:
                larger[..., :start, :] = buffer[..., :start, :]
            buffer = larger
        buffer[..., start : self._used, :] = new
        return buffer


class SlotCache(Cache):
    """Keys and values of a fixed number of slots, each at its own length, all starting in column 0.

    Before a forward pass of one token per slot, set `write_at` and `width`. The attention mask must hide the
    columns after the end of each slot.

    Args:
        slots: The number of slots.
        columns: The most tokens of a slot.

    Attributes:
        layers_kv: One pair (keys, values) per layer, each (slots, H, columns, D).
        write_at: (slots,) columns that the next token of each slot is written to.
        width: How many columns the next forward pass reads.
    """

    def __init__(self, slots: int, columns: int):
        super().__init__(layers=[])
        self.slots, self.columns = slots, columns
        self.layers_kv: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.write_at: torch.Tensor | None = None
        self.width = 0
        self._all_slots: torch.Tensor | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args, **kwargs
    ) -> tuple[torch.Tensor, ...]:
        """Write one token per slot (slots, H, 1, D); return the first `width` columns."""
        pair = self._layer(layer_idx, key_states, value_states)
        if self._all_slots is None:
            self._all_slots = torch.arange(self.slots, device=key_states.device)
        for stored, new in zip(pair, (key_states, value_states), strict=True):
            stored[self._all_slots, :, self.write_at] = new[:, :, 0]
        return tuple(stored[:, :, : self.width] for stored in pair)

    def _layer(
        self, index: int, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The pair of a layer, allocated at its first use with the shapes of `keys` and `values`."""
        if index == len(self.layers_kv):
            # not `new_empty`: masked columns count nothing, but must be numbers
            key_store, value_store = (
                x.new_zeros((self.slots, x.shape[1], self.columns, x.shape[3])) for x in (keys, values)
            )
            self.layers_kv.append((key_store, value_store))
        return self.layers_kv[index]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """How many columns the next forward pass reads."""
        return self.width

    def fill(self, slots: torch.Tensor, cache: Cache, rows: torch.Tensor) -> None:
        """Start `slots` with what `rows` of another cache hold, which start in column 0 there too."""
        for i, layer in enumerate(cache.layers):
            for stored, new in zip(
                self._layer(i, layer.keys, layer.values), (layer.keys, layer.values), strict=True
            ):
                stored[slots, :, : new.shape[2]] = new[rows]

    def copy(self, slots: torch.Tensor, width: int) -> Cache:
        """A growing cache with a copy of the first `width` columns of `slots`."""
        cache = Cache(layer_class_to_replicate=GrowingLayer)
        for i, (keys, values) in enumerate(self.layers_kv):
            cache.update(keys[slots, :, :width], values[slots, :, :width], i)
        return cache

    def keep(self, slots: torch.Tensor) -> None:
        """Drop all other slots."""
        self.slots, self._all_slots = len(slots), None
        for i, (keys, values) in enumerate(self.layers_kv):
            self.layers_kv[i] = (keys[slots], values[slots])


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **_,
) -> tuple[torch.Tensor, None]:
    """Scaled dot-product attention that does not copy the keys of grouped heads.

    The query heads that share a key head become rows of one query. Transformers copies keys and values for
    each of them instead, which is nine tenths of the time of a decode step after 512 tokens (LOG.md).

    Args:
        module: The attention layer; not used.
        query: (B, Hq, Q, D).
        key: (B, H, K, D).
        value: (B, H, K, Dv).
        attention_mask: (B, 1, Q, K), added to the scores; None means causal.
        dropout: Not used.
        scaling: Factor of the scores; None means 1/sqrt(D).
        **_: What Transformers passes besides; not used.

    Returns:
        The output (B, Q, Hq, Dv), and None in place of the attention weights.
    """
    groups, (B, H, Q, D) = query.shape[1] // key.shape[1], query.shape
    attention = torch.nn.functional.scaled_dot_product_attention
    if attention_mask is None:
        # Repeated here, because not every memory-saving kernel knows grouped heads.
        key, value = (x.repeat_interleave(groups, 1) if groups > 1 else x for x in (key, value))
        output = attention(query, key, value, is_causal=Q > 1, scale=scaling)
    else:
        folded = query.reshape(B, key.shape[1], groups * Q, D)
        mask = attention_mask.repeat(1, 1, groups, 1) if groups > 1 else attention_mask
        output = attention(folded, key, value, attn_mask=mask, scale=scaling)
        output = output.reshape(B, H, Q, value.shape[-1])
    return output.transpose(1, 2).contiguous(), None


def use_grouped_attention(model: PreTrainedModel) -> AbstractContextManager[None]:
    """Let a model compute with `grouped_attention` instead of "sdpa" for the duration of a context.

    Only one thread at a time may sample with a model.
    """
    return replaced_attention(model, ATTENTION, grouped_attention)


def additive_mask(visible: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """An attention mask to add to the scores.

    Args:
        visible: (B, Q, K) booleans, true where a query may see a key.
        dtype: The dtype of the mask.

    Returns:
        (B, 1, Q, K): 0 where visible, the lowest finite number elsewhere.
    """
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill_(~visible, torch.finfo(dtype).min)[:, None]


def prefill(model: PreTrainedModel, rows: Sequence[list[int]], pad_id: int) -> Cache:
    """Compute the keys and values of some rows of token ids in one pass.

    Rows start in column 0 and are padded on the right, where no token before the padding sees it.

    Args:
        model: A causal LM.
        rows: Token ids of each row.
        pad_id: The id to pad with.
    """
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row, dtype=torch.long)
    cache = Cache(layer_class_to_replicate=GrowingLayer)
    ids = ids.to(model.device)
    position_ids = torch.arange(width, device=model.device).expand(len(rows), -1)
    model(input_ids=ids, position_ids=position_ids, past_key_values=cache, logits_to_keep=1)
    return cache


def has_full_attention(config: PreTrainedConfig) -> bool:
    """Whether every layer attends to the whole prefix, as opposed to a sliding window."""
    text = config.get_text_config(decoder=True)
    types = getattr(text, "layer_types", None)
    if types:
        return set(types) == {"full_attention"}
    return not getattr(text, "use_sliding_window", False) and getattr(text, "sliding_window", None) is None


def supports_tree_attention(config: PreTrainedConfig) -> bool:
    """Whether a model computes what a custom (B, 1, Q, K) attention mask says.

    Three conditions: every layer sees the whole prefix, the attention is one that `grouped_attention` can
    stand in for, and the positions of one row do not depend on the lengths of others.
    """
    rope = getattr(config.get_text_config(decoder=True), "rope_parameters", None) or {}
    independent_rows = rope.get("rope_type") not in ("dynamic", "longrope")
    return independent_rows and has_full_attention(config) and attention_of(config) in ("sdpa", ATTENTION)


def left_pad(
    rows: Sequence[list[int]], pad_id: int, device: str | torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Put rows of token ids into one tensor, padded on the left.

    Args:
        rows: B rows of at most T ids.
        pad_id: The id to pad with.
        device: Where the tensors go.

    Returns:
        (ids, mask), both (B, T); the mask is false on padding.
    """
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, width - len(row) :] = torch.tensor(row, dtype=torch.long)
        mask[i, width - len(row) :] = True
    return ids.to(device), mask.to(device)


def positions(mask: torch.Tensor) -> torch.Tensor:
    """Position ids (B, T) that do not count padding on the left; `mask` (B, T) is false on padding."""
    return (mask.long().cumsum(-1) - 1).clamp(min=0)
