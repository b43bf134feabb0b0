"""A shortcut that no residual can read is a convolution that copies every sub-sampled position."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from toolflow.ir.operator import Operator, Shape
from toolflow.operators.conv.spec import Conv
from toolflow.operators.convolution import selection_weight
from toolflow.operators.shortcut.spec import Shortcut


def selection(op: Operator, source: Shape) -> tuple[Conv, npt.NDArray[np.int64]]:
    """Return the convolution that copies, and its weights of 0 and 1."""
    assert isinstance(op, Shortcut)
    return Conv(stride=op.stride), selection_weight(source[0], op.before, op.after)
