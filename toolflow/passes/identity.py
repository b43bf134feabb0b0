"""Operators that leave values as they are, as convolutions and linear layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Node
from toolflow.ir.operator import Shape
from toolflow.operators import Activation, Conv, Linear
from toolflow.operators.window import Pads

NO_PADS: Pads = (0, 0, 0, 0)
MAX_DIAGONAL = 4096


def scale_node(
    name: str,
    tensor: str,
    shape: Shape,
    scale: npt.NDArray[np.float64],
    bias: npt.NDArray[np.float64],
    activation: Activation = Activation.NONE,
    pads: Pads = NO_PADS,
) -> Node:
    """Return y[c] = activation(x[c]·scale[c] + bias[c]) as a depthwise 1×1 conv, or a diagonal linear layer.

    `shape` is the input's, (C, H, W) or (F,); scale and bias are float64 (C,) or (F,). `pads` are zeros
    around a feature map, which stay zeros only with a bias of zero.

    Raises:
        ToolflowError: a flat vector is too long for a diagonal matrix.
    """
    if len(shape) == 1:
        if shape[0] > MAX_DIAGONAL:
            raise ToolflowError(
                f"'{name}' scales or rectifies a flat vector of {shape[0]} values alone; the limit is "
                f"{MAX_DIAGONAL} values; move the scaling before the flatten, or next to a linear layer"
            )
        return Node(name, Linear(activation), (tensor,), {"weight": np.diag(scale), "bias": bias})
    conv = Conv(pads=pads, groups=shape[0], activation=activation)
    return Node(name, conv, (tensor,), {"weight": scale.reshape(-1, 1, 1, 1), "bias": bias})


def identity_node(
    name: str,
    tensor: str,
    shape: Shape,
    activation: Activation = Activation.NONE,
    pads: Pads = NO_PADS,
) -> Node:
    """Return y = activation(x), padded, in the form of `scale_node`."""
    return scale_node(name, tensor, shape, np.ones(shape[0]), np.zeros(shape[0]), activation, pads)


def placement_node(name: str, tensor: str, channels: int, stride: Sequence[int], before: int, after: int) -> Node:
    """Return a 1×1 conv that moves `channels` channels behind `before` zero ones, sub-sampling by `stride`."""
    outputs = before + channels + after
    weight = np.eye(outputs, channels, -before).reshape(outputs, channels, 1, 1)
    return Node(name, Conv(stride=(stride[0], stride[1])), (tensor,), {"weight": weight, "bias": np.zeros(outputs)})
