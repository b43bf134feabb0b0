"""The options of quantisation."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from toolflow.ir.errors import ToolflowError
from toolflow.numerics.digits import digit_range
from toolflow.numerics.srbs import Pattern

MAX_CALIBRATION_IMAGES = 1024
MAX_TENSOR_ELEMENTS = 1 << 27  # of one tensor over all calibration images; about ten such are alive at once
LOGIT_BITS = 16
SCALED_TILE = 4  # its sums are scaled by 576, no power of two
DIGIT_BITS = 4  # of the narrowest multiplier that is likely to be built

Family = Literal["multiplier", "fixed-point"]


class Normalisation(BaseModel):
    """How a pixel becomes the network's input: (pixel · scale − mean) / std, per channel.

    Attributes:
        mean, std: one value per channel, or one for all; std may be negative, as where a model inverts its image.
        scale: applied first; 1/255 for images in 0 … 1, 1 for images in 0 … 255.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    scale: float = Field(default=1 / 255, gt=0)

    @model_validator(mode="after")
    def _not_zero(self) -> Self:
        if 0 in self.std:
            raise ValueError(f"std must not be 0, not {self.std}")
        return self

    def table(self, channels: int) -> npt.NDArray[np.float64]:
        """Return the real value of each pixel value: float64 (C, 256).

        Raises:
            ToolflowError: mean or std has neither one value nor one for each channel.
        """
        columns = []
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                raise ToolflowError(
                    f"normalisation {name} must have 1 or {channels} values, one per image channel, not {len(values)}"
                )
            columns.append(np.broadcast_to(np.asarray(values, dtype=np.float64), (channels,))[:, None])
        pixels = np.arange(256, dtype=np.float64)[None, :]
        return (pixels * self.scale - columns[0]) / columns[1]

    def apply(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """Return the network's float input (N, C, H, W) for uint8 images (N, H, W, C)."""
        table = self.table(images.shape[3])
        return np.stack([table[c][images[..., c]] for c in range(images.shape[3])], axis=1)


class QuantiseConfig(BaseModel):
    """How one variant of a network is quantised.

    Attributes:
        weight_bits, activation_bits: bits of every layer without an entry below.
        first_last_bits: weights of the first and of the last layer, and the image's integers.
        overrides: layer name -> (weight_bits, activation_bits of its output).
        digit_bits: the narrowest multiplier that will compute this network. Weights and image
            integers wider than it must fit ceil(bits / digit_bits) balanced digits.
        tile: Winograd tile of the 3 × 3 layers of stride 1, the first one left out; 0 for direct convolution.
        tiles: layer name -> its own tile.
        pattern: n:S or n:SxG of the layers that can carry it (`quant/arrangement/forms.py`), None for dense ones.
        patterns: layer name -> its own pattern.
        family: "multiplier" (free scales) or "fixed-point" (powers of two).
        ranges: how activation ranges are found: least squared error, or a percentile.
        percentile: share of activations inside the range, if `ranges` is "percentile".
        rounding: rounding of weights: "gptq" keeps each layer's output, given its quantised input, closest to the
            float network's; "nearest" rounds each weight to the nearest integer.
        bias_correction: remove the mean error of every output channel by its bias; without, biases keep their values.
        equalise: balance channel ranges between consecutive layers beforehand.
        seed: seed of the sampling of activations.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight_bits: int = Field(default=8, ge=2, le=8)
    activation_bits: int = Field(default=8, ge=2, le=8)
    first_last_bits: int = Field(default=8, ge=2, le=8)
    overrides: dict[str, tuple[int, int]] = Field(default_factory=dict)
    digit_bits: int = Field(default=DIGIT_BITS, ge=2, le=8)
    tile: Literal[0, 2, 4] = 0
    tiles: dict[str, Literal[0, 2, 4]] = Field(default_factory=dict)
    pattern: Pattern | None = None
    patterns: dict[str, Pattern | None] = Field(default_factory=dict)
    family: Family = "multiplier"
    ranges: Literal["mse", "percentile"] = "mse"
    percentile: float = Field(default=99.99, gt=50, le=100)
    rounding: Literal["gptq", "nearest"] = "gptq"
    bias_correction: bool = True
    equalise: bool = False
    seed: int = 0

    @model_validator(mode="after")
    def _tiles_of_the_family(self) -> Self:
        if self.family == "fixed-point" and SCALED_TILE in (self.tile, *self.tiles.values()):
            raise ValueError(
                "F(4,3) scales its sums by 576, which is no power of two: the fixed-point family has tile 2"
            )
        return self

    @field_validator("overrides")
    @classmethod
    def _widths(cls, overrides: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        for name, widths in overrides.items():
            if not all(2 <= bits <= 8 for bits in widths):
                raise ValueError(f"the bits of layer '{name}' must be 2 to 8, not {widths}")
        return overrides

    def integer_range(self, bits: int) -> tuple[int, int]:
        """Return the range of a signed weight or image integer of `bits` bits.

        A value wider than `digit_bits` must fit ceil(bits / digit_bits) balanced digits; it is kept
        symmetric there, so that the same integers run on narrow and on wide multipliers.
        """
        lower, upper = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        if bits <= self.digit_bits:
            return lower, upper
        upper = min(upper, digit_range(-(-bits // self.digit_bits), self.digit_bits)[1])
        return -upper, upper
