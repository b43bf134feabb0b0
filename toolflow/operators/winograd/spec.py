"""A 3×3 convolution of stride 1 whose weights live in the Winograd domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from toolflow.ir.activation import Activation
from toolflow.ir.operator import HardwareForm, Operator, Shape, Weights
from toolflow.numerics.requantise import MAX_RESIDUAL_SHIFT, TILE_BIAS_BITS
from toolflow.numerics.srbs import Pattern
from toolflow.numerics.winograd import KERNEL, MAX_EXPONENT, WINOGRAD
from toolflow.operators.window import Pads, feature_map, operand_count, window_shape


@dataclass(frozen=True)
class WinogradConv(Operator):
    """y = activation(outputᵀ (U ∘ V) output / scale + bias [+ residual]), tile by tile (numerics/winograd.py).

    Inputs: x (C, H, W), and optionally a residual of the output's shape.
    Weights: "weight" U (K, C, t, t); in a float graph also "bias" (K,), in a quantised one "exponent" (t, t), the left
    shift of each tap's sum.

    Attributes:
        tile: m, 2 or 4: outputs of a tile in each direction.
        pads: zeros around the input, (top, left, bottom, right).
        pattern: n:S or n:SxG where U is sub-row-balanced sparse, else None.
        activation: applied last.
    """

    kind: ClassVar[str] = "winograd"
    rounds: ClassVar[bool | None] = True
    has_weights: ClassVar[bool] = True
    convolves: ClassVar[bool] = True
    hardware: ClassVar[HardwareForm] = HardwareForm.CONVOLUTION
    bias_bits: ClassVar[int] = TILE_BIAS_BITS
    max_residual_shift: ClassVar[int] = MAX_RESIDUAL_SHIFT
    tile: int = 2
    pads: Pads = (0, 0, 0, 0)
    pattern: Pattern | None = None
    activation: Activation = Activation.NONE

    @property
    def sum_scale(self) -> int:
        """Return what the integer transforms multiply every output by."""
        return WINOGRAD[self.tile].scale

    def infer_shape(self, inputs: Sequence[Shape], weights: Weights) -> Shape:
        """Return (K, H', W')."""
        operand_count(inputs, (1, 2))
        channels, _, _ = feature_map(inputs[0])
        if self.tile not in WINOGRAD:
            raise ValueError(f"tile must be one of {sorted(WINOGRAD)}, not {self.tile}")
        taps = (WINOGRAD[self.tile].taps,) * 2
        weight, exponent = weights["weight"], weights.get("exponent", np.zeros(taps))
        if weight.ndim != 4 or weight.shape[1:] != (channels, *taps):
            raise ValueError(f"weight must have the shape (K, {channels}, {taps[0]}, {taps[1]}), not {weight.shape}")
        if exponent.shape != taps or exponent.min() < 0 or exponent.max() > MAX_EXPONENT:
            raise ValueError(f"exponent must be {taps} of 0 to {MAX_EXPONENT}, not {exponent.tolist()}")
        shape = len(weight), *window_shape(inputs[0], (KERNEL, KERNEL), (1, 1), self.pads, (1, 1))
        if len(inputs) == 2 and inputs[1] != shape:
            raise ValueError(f"the residual must have the output's shape {shape}, not {inputs[1]}")
        return shape
