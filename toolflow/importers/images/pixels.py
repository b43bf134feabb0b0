"""Convert uint8 pixels, which the device reads, to the input of a network's first layer."""

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
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused by `unusable`
            composed = std / scale
            return PixelMap(tuple((mean - shift * composed).tolist()), tuple(composed.tolist()), self.scale)

    def table(self) -> FloatArray:
        """Return the model's input for each pixel value, float64 (C, 256)."""
        mean, std = (np.array(values).reshape(-1, 1) for values in (self.mean, self.std))
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return np.asarray((np.arange(LEVELS) * self.scale - mean) / std)

    def normalises(self) -> bool:
        """Return whether it is more than a scale."""
        return any(self.mean) or set(self.std) != {1.0}


@dataclass(frozen=True)
class InputStatistics:
    """What a network's first layer reads, over all images given: of one channel or of all."""

    lowest: float
    highest: float
    mean: float
    deviation: float

    @classmethod
    def of(cls, values: FloatArray, counts: npt.NDArray[np.int64]) -> InputStatistics:
        """Return the statistics of `values`, each as often as `counts` says (not all 0)."""
        seen = values[counts > 0]
        mean = float(np.average(values, weights=counts)) + 0.0  # not -0
        deviation = float(np.sqrt(np.average((values - mean) ** 2, weights=counts)))
        return cls(float(seen.min()), float(seen.max()), mean, deviation)

    def __str__(self) -> str:
        return (
            f"the first layer's input lies in {self.lowest:.4g} to {self.highest:.4g}, mean {self.mean:.4g}, "
            f"deviation {self.deviation:.4g}"
        )


def input_statistics(
    images: npt.NDArray[np.uint8], pixels: PixelMap
) -> tuple[InputStatistics, tuple[InputStatistics, ...]]:
    """Return the statistics of the first layer's input, of all channels together and of each.

    Args:
        images: uint8 (N, H, W, C).
        pixels: how a pixel becomes that input.
    """
    table = pixels.table()
    counts = np.stack([np.bincount(images[..., c].reshape(-1), minlength=LEVELS) for c in range(len(table))])
    each = tuple(InputStatistics.of(values, seen) for values, seen in zip(table, counts, strict=True))
    return InputStatistics.of(table.reshape(-1), counts.reshape(-1)), each
