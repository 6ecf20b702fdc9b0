"""The private parts of PyTorch that effwb uses: oneDNN's linear layer with packed weights.

PyTorch's own compiler uses the same two operators. `tests/_internal` fails by name if an upgrade moves one.
"""

import torch

BORROWED: tuple[str, ...] = (
    "torch.ops.mkldnn._reorder_linear_weight",
    "torch.ops.mkldnn._linear_pointwise",
)


def has_packed_linear() -> bool:
    """Whether this PyTorch can compute linear layers with packed weights on the CPU."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")


def packed_weight(weight: torch.Tensor) -> torch.Tensor:
    """A copy of a float32 weight (out, in) in oneDNN's own layout, to be used by `packed_linear` only."""
    return torch.ops.mkldnn._reorder_linear_weight(weight, None)


def packed_linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """`torch.nn.functional.linear` in float32 with a weight from `packed_weight`; no gradients."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
