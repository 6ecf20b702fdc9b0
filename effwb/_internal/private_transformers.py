"""The private parts of Transformers that effwb uses: its table of attentions and the insides of its caches.

`effwb.samplers.transformers.cache` subclasses `Cache` and `DynamicLayer`; the methods it relies on are listed
here too. `tests/_internal` fails by name if an upgrade moves one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from effwb._internal.attributes import replaced_attribute

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

BORROWED: tuple[str, ...] = (
    "transformers.PreTrainedConfig._attn_implementation",
    "transformers.AttentionInterface.register",
    "transformers.masking_utils.AttentionMaskInterface.register",
    "transformers.masking_utils.sdpa_mask",
    "transformers.cache_utils.Cache.update",
    "transformers.cache_utils.Cache.get_seq_length",
    "transformers.cache_utils.DynamicLayer.update",
    "transformers.cache_utils.DynamicLayer.lazy_initialization",
    "transformers.cache_utils.DynamicCache.batch_select_indices",
)


def attention_of(config: PreTrainedConfig) -> str:
    """The name of the attention that a model with this config computes with, such as "sdpa"."""
    return config._attn_implementation


def replaced_attention(
    model: PreTrainedModel, name: str, attention: Callable
) -> AbstractContextManager[None]:
    """Let a model compute with another attention for the duration of a context.

    Args:
        model: A model whose attention is "sdpa"; masks stay those of "sdpa".
        name: The name to register the attention under.
        attention: A function with the signature of `transformers`' attention functions.
    """
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(name, attention)
    AttentionMaskInterface.register(name, sdpa_mask)
    config = model.config.get_text_config(decoder=True)
    return replaced_attribute(config, "_attn_implementation", name)
