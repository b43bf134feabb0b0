"""A function of few linear segments, applied to each value; it stands in float graphs alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from toolflow.ir.operator import Operator, Shape, Weights
from toolflow.operators.window import operand_count


@dataclass(frozen=True)
class Segments(Operator):
    """y = slope[j]·x + intercept[j] for bounds[j − 1] < x ≤ bounds[j]; the outer segments are open.

    Weights: "bounds" (k − 1,), ascending; "slope" and "intercept" (k,).
    """

    kind: ClassVar[str] = "segments"
    has_curve: ClassVar[bool] = True
    remedy: ClassVar[str] = (
        "no engine holds the table of an activation of segments yet: use the network in float, or make it with ReLU"
    )

    def infer_shape(self, inputs: Sequence[Shape], weights: Weights) -> Shape:
        """Return the input's shape."""
        operand_count(inputs, (1,))
        bounds, slope, intercept = (weights[name] for name in ("bounds", "slope", "intercept"))
        if slope.ndim != 1 or slope.shape != intercept.shape or bounds.shape != (len(slope) - 1,):
            raise ValueError(
                f"slope and intercept must have one value for each segment, and bounds one less, not {slope.shape}, "
                f"{intercept.shape} and {bounds.shape}"
            )
        if not bool((np.diff(bounds.astype(float)) > 0).all()):
            raise ValueError("bounds must ascend")
        return inputs[0]
