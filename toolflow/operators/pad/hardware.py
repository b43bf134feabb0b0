"""Padding is a convolution that copies: zeros around the map are its own padding, zero channels have no weights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from toolflow.ir.operator import Operator, Shape
from toolflow.operators.conv.spec import Conv
from toolflow.operators.convolution import selection_weight
from toolflow.operators.pad.spec import Pad


def selection(op: Operator, source: Shape) -> tuple[Conv, npt.NDArray[np.int64]]:
    """Return the convolution that copies, and its weights of 0 and 1."""
    assert isinstance(op, Pad)
    return Conv(pads=op.pads), selection_weight(source[0], op.channels_before, op.channels_after)
