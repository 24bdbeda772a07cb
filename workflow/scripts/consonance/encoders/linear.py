"""Matrix products of encoders, by the faster of torch's two CPU libraries."""

import torch
from torch import nn
from torch.nn import functional

# torch's own compiler calls this operator for frozen linear layers; other builds may lack it.
_ONEDNN = (
    torch.ops.mkldnn._linear_pointwise
    if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    else None
)


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Computes x W^T + b over the last axis.

    On the CPU torch's plain product goes to MKL, which uses the narrower half of the vector unit
    on processors that are not Intel's; oneDNN, also part of torch, does not (measured for one
    core and weights out of cache: 75 against 170 GFLOP/s). It is used for float32 wherever no
    gradient is wanted. The values are the same to rounding.

    Args:
        x: (..., i).
        weight: (o, i), contiguous.
        bias: (o,) or None.

    Returns:
        (..., o).
    """
    plain = (
        _ONEDNN is None
        or x.device.type != "cpu"
        or x.dtype != torch.float32
        or x.numel() == 0
        or torch.is_autocast_enabled("cpu")
        or (torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad))
    )
    if plain:
        return functional.linear(x, weight, bias)
    return _ONEDNN(x, weight, bias, "none", [], "")


class Linear(nn.Linear):
    """`nn.Linear` computed by `linear`."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Applies the layer over the last axis."""
        return linear(input, self.weight, self.bias)


def speed_up(module: nn.Module) -> None:
    """Makes every plain `nn.Linear` inside `module` a `Linear`, with its parameters as they are."""
    for part in module.modules():
        if type(part) is nn.Linear:
            part.__class__ = Linear
