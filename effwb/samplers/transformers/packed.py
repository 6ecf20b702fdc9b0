"""Linear layers of a float32 model on a CPU, with weights in the layout that oneDNN computes in.

PyTorch multiplies float32 matrices with MKL, which on some processors uses half of their vector width. oneDNN
with weights that are packed once took 0.43 of the time at 8 to 300 rows (LOG.md). Results differ by rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from effwb._internal.private_torch import has_packed_linear, packed_linear, packed_weight

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MAX_PACKED_BYTES = 4 * 1024**3  # a model whose packed copies would take more is left alone


def can_pack(model: PreTrainedModel) -> bool:
    """Whether to pack this model: float32, on a CPU whose PyTorch has oneDNN, and not too large."""
    if model.device.type != "cpu" or not has_packed_linear():
        return False
    return 0 < sum(4 * layer.weight.numel() for layer in linear_layers(model)) <= MAX_PACKED_BYTES


@contextmanager
def packed_linear_layers(model: PreTrainedModel) -> Iterator[None]:
    """Pack the model's linear layers for the duration of the context, where that is possible.

    Weights that change inside the context are not seen. Passes with gradients or in another precision use the
    plain layers.
    """
    layers = linear_layers(model) if can_pack(model) else []
    try:
        for layer in layers:
            layer.forward = PackedLinear(layer)
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)


def linear_layers(model: PreTrainedModel) -> list[torch.nn.Linear]:
    """The float32 linear layers of a model whose `forward` is their class's own."""
    return [
        m for m in model.modules()
        if type(m) is torch.nn.Linear and m.weight.dtype == torch.float32 and "forward" not in vars(m)
    ]  # fmt: skip


class PackedLinear:
    """The `forward` of a linear layer, with a packed copy of its weight."""

    def __init__(self, layer: torch.nn.Linear):
        self.layer = layer
        self.weight = packed_weight(layer.weight.detach())

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The layer's output for `x` (..., in)."""
        if torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or x.dtype != torch.float32:
            return torch.nn.functional.linear(x, self.layer.weight, self.layer.bias)
        return packed_linear(x, self.weight, self.layer.bias)
