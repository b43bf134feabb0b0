"""A shortcut is read in steps by a residual's reader, or copied by a convolution if no reader can."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from toolflow.ir.operator import Operator, Shape
from toolflow.operators.conv.spec import Conv
from toolflow.operators.convolution import selection_weight
from toolflow.operators.shortcut.spec import Shortcut
from toolflow.operators.window import Pair


def sampling(op: Operator) -> tuple[Pair, int]:
    """Return the steps (vertical, horizontal) over the operand's positions, and the zero channels in front."""
    assert isinstance(op, Shortcut)
    return op.stride, op.before


def selection(op: Operator, source: Shape) -> tuple[Conv, npt.NDArray[np.int64]]:
    """Return the convolution that copies, and its weights of 0 and 1."""
    assert isinstance(op, Shortcut)
    return Conv(stride=op.stride), selection_weight(source[0], op.before, op.after)
