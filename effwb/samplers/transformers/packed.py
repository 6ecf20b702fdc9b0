"""Linear layers of a float32 model on a CPU, with weights in the layout that oneDNN computes in.

PyTorch multiplies float32 matrices with MKL, which on some processors uses half of their vector width; oneDNN
with weights that are packed once took 0.43 of the time at 8 to 300 rows (LOG.md). Results differ by rounding.
"""

from contextlib import contextmanager

import torch

MOST_BYTES = 4 * 1024**3  # of the packed copies; a larger model is left alone


def packable(model) -> bool:
    """Whether this model is one to pack: float32, on a CPU whose PyTorch has oneDNN, and not too large."""
    if model.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    ours = hasattr(torch.ops.mkldnn, "_reorder_linear_weight")  # what PyTorch's own compiler uses
    return ours and 0 < sum(4 * m.weight.numel() for m in _linears(model)) <= MOST_BYTES


@contextmanager
def packed(model):
    """The model's linear layers packed as long as the context lasts, where they can be. Weights that change
    meanwhile are not seen; where gradients or another precision are asked for the plain layers compute.
    """
    layers = _linears(model) if packable(model) else []
    try:
        for layer in layers:
            layer.forward = _Packed(layer)
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)


def _linears(model) -> list:
    return [
        m for m in model.modules()
        if type(m) is torch.nn.Linear and m.weight.dtype == torch.float32 and "forward" not in vars(m)
    ]  # fmt: skip


class _Packed:
    def __init__(self, layer):
        self.layer = layer
        self.weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), None)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or x.dtype != torch.float32:
            return torch.nn.functional.linear(x, self.layer.weight, self.layer.bias)
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.layer.bias, "none", [], "")
