"""The scales that a layer's weights may have, given the scales of the tensors around it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from quant.post_training.multipliers import refused_by_name
from quant.post_training.weights import ScaleRule
from toolflow.numerics.scales import ScalesAround, smallest_weight_scale, snap_weight_scales

RELATIVE_FLOOR = 2.0**-12
BIAS_ROOM = 2.0  # a bias uses at most half of its range, so that its correction fits too


@dataclass(frozen=True)
class LayerScales(ScaleRule):
    """Scales over which the layer's multipliers are exact and its bias fits.

    Attributes:
        name: of the layer, for errors.
        around: the scales of its tensors.
        bias: that must fit, (K,).
        bias_bits: its width.
    """

    name: str
    around: ScalesAround
    bias: torch.Tensor
    bias_bits: int

    def smallest(self, level: torch.Tensor) -> torch.Tensor:
        """Return per channel the scale below which multiplier or bias leave their widths."""
        rows = level.reshape(-1, level.shape[-1]).abs().amax(1)
        by_bias = bias_steps(self.bias, self.bias_bits) / self.around.source
        smallest = smallest_weight_scale(self.around)
        smallest = max(smallest, float(rows.max()) * RELATIVE_FLOOR / 127)
        return by_bias.clamp_min(smallest)

    def snap(self, scales: torch.Tensor) -> torch.Tensor:
        """Return the scales (K,) nearest to these that the hardware's multipliers hold exactly.

        Raises:
            ToolflowError: a multiplier cannot be held.
        """
        with refused_by_name(self.name):
            return torch.as_tensor(snap_weight_scales(scales.numpy(), self.around))


def bias_steps(bias: torch.Tensor, bits: int) -> torch.Tensor:
    """Return the smallest step of the sums (K,) over which such a bias (K,) fits."""
    return bias.abs() * BIAS_ROOM / 2.0 ** (bits - 1)
