"""How the uint8 pixels that the device takes become what a network's first layer reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from toolflow.ir.graph import ChannelMap

DEFAULT_SCALE = 1 / 255
LEVELS = 256  # of a pixel

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PixelMap:
    """How pixels and the model's input correspond; `mean` and `std` hold one value per channel.

    model input = (pixel·scale − mean) / std.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float = DEFAULT_SCALE

    def exact_pixels(self, inputs: np.ndarray) -> FloatArray:
        """Return (input·std + mean) / scale for inputs (N, C, H, W), not yet rounded."""
        mean, std = (np.array(values).reshape(1, -1, 1, 1) for values in (self.mean, self.std))
        return np.asarray((inputs.astype(np.float64) * std + mean) / self.scale)

    def to_pixels(self, inputs: np.ndarray) -> npt.NDArray[np.uint8]:
        """Return uint8 pixels (N, H, W, C) for the model's inputs (N, C, H, W); out of range is clipped."""
        pixels = np.clip(np.rint(self.exact_pixels(inputs)), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))

    def then(self, after: ChannelMap | None) -> PixelMap:
        """Return the map to after.scale·(model input) + after.shift; its std is negative where that scale is."""
        if after is None:
            return self
        mean, std, scale, shift = map(np.array, (self.mean, self.std, after.scale, after.shift))
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused by `require_usable`
            composed = std / scale
            return PixelMap(tuple((mean - shift * composed).tolist()), tuple(composed.tolist()), self.scale)

    def table(self) -> FloatArray:
        """Return the model's input for each pixel value, float64 (C, 256)."""
        mean, std = (np.array(values).reshape(-1, 1) for values in (self.mean, self.std))
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return np.asarray((np.arange(LEVELS) * self.scale - mean) / std)
