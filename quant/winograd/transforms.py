"""Find convolutions that have a Winograd form, and transform their weights in torch."""

from __future__ import annotations

import torch

from toolflow.numerics.winograd import Winograd
from toolflow.operators import Conv

Tensor = torch.Tensor


def can_tile(op: Conv, kernel: tuple[int, int]) -> bool:
    """Return whether a convolution has a Winograd form: 3 × 3, stride 1, dense in its channels."""
    return kernel == (3, 3) and op.stride == op.dilation == (1, 1) and op.groups == 1


def transformed(form: Winograd, weight: Tensor) -> Tensor:
    """Return U (K, C, t, t) of a kernel (K, C, 3, 3), in the integers' scaling."""
    matrix = torch.as_tensor(form.weight).to(weight.dtype)
    return torch.einsum("ya,kcab,xb->kcyx", matrix, weight, matrix)
