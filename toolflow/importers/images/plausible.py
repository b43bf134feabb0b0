"""Check the plausibility of the first layer's input: refuse the impossible, warn about the unlikely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from toolflow.importers.images.pixels import InputStatistics, PixelMap
from toolflow.ir.graph import ChannelMap

WIDEST = 1e6  # magnitude of an input that any network could have been trained with
NARROWEST = 1e-6  # spread of it
OF_UNIT_PIXELS = 2  # mean and deviation of numbers in 0 to 1 lie below it by far
UNIT_PIXELS = 100  # a largest pixel below it is no 255
LOW_DEVIATION, HIGH_DEVIATION = 0.02, 128.0  # of images in 0 to 1, and of images in 0 to 255: beyond it is neither
SHIFTED = 0.05  # mean of ordinary images, of the largest pixel: below it normalised images need not be negative
OFFSET = 20  # deviations between the input's mean and 0
TWICE_MEAN, TWICE_DEVIATION = 1.5, (0.3, 3.0)  # a normalised input lies within

Numbers = tuple[float, ...]


def unusable(pixels: PixelMap) -> str | None:
    """Return why a pixel map cannot feed a first layer, None if it can."""
    table = pixels.table()
    if not np.isfinite(table).all() or np.abs(table).max() > WIDEST:
        return f"the first layer's input must be finite and at most {WIDEST:,.0f} in magnitude, not {_span(table)}"
    widths = np.ptp(table, axis=1)
    if widths.min() < NARROWEST or not np.diff(table.astype(np.float32), axis=1).all():
        c = int(widths.argmin())
        return (
            f"the pixel values 0 to 255 must give different inputs of the first layer, {NARROWEST:g} apart at least, "
            f"but channel {c} gives {_span(table[c])}"
        )
    return None


def wrong_units(pixels: PixelMap, given: Mapping[str, Numbers | None]) -> str | None:
    """Return why mean and std cannot be of uint8 pixels times the scale, and what to write; None if they can.

    Args:
        pixels: the map that they give.
        given: what the user gave of mean, std and scale; None for a default.
    """
    mean, std, scale = given["mean"], given["std"], given["scale"]
    values = [abs(value) for value in (*(mean or ()), *(std or ()))]
    what = " and ".join(f"{name} {listed(given[name] or ())}" for name in ("mean", "std") if given[name] is not None)
    if scale is None and max(values, default=0.0) > OF_UNIT_PIXELS:
        return (
            f"{what} must be of pixels in 0 to 1, as pixels are divided by 255 if no scale is given, not of pixels "
            f"in 0 to 255: {_reach(pixels)}. Write {_line(mean, std, 1 / 255)}, or scale=1 beside them "
            "(--pixel-scale 1) if the network was trained on pixels of 0 to 255; scale=1/255 says that they are "
            "meant as they are"
        )
    if std is not None and 255 * pixels.scale >= UNIT_PIXELS and max(values) <= 1 and max(std) < 1:
        return (
            f"{what} must be of pixels in 0 to {255 * pixels.scale:g}, as scale {pixels.scale:g} makes them, not of "
            f"pixels in 0 to 1: {_reach(pixels)}. Leave out the scale, or write {_line(mean, std, 255 * pixels.scale)}"
        )
    return None


def warnings(
    own: PixelMap, inside: ChannelMap | None, whole: InputStatistics, channels: Sequence[InputStatistics]
) -> list[str]:
    """Return the unlikely properties of the first layer's input, in sentences.

    Args:
        own: the pixel map without what the model does.
        inside: what the model itself does to its input.
        whole: statistics of all channels together.
        channels: statistics of each channel.
    """
    found = []
    low, high = TWICE_DEVIATION
    if (
        inside is not None
        and own.normalises()
        and not (abs(whole.mean) <= TWICE_MEAN and low <= whole.deviation <= high)
    ):
        found.append(
            "the model normalises its image itself and mean and std are given too, and the first layer's "
            "input does not look normalised: if the model was trained on plain pixels, omit mean and std"
        )
    hint = "check the images, mean, std and scale"
    if inside is not None:
        hint += "; the model scales its image too, and one that divides by 255 itself wants scale=1 (--pixel-scale 1)"
    for c, channel in enumerate(channels):
        if channel.deviation < LOW_DEVIATION or abs(channel.mean) > OFFSET * channel.deviation:
            found.append(
                f"channel {c} of the first layer's input is almost constant (mean {channel.mean:.4g}, "
                f"deviation {channel.deviation:.4g}): {hint}"
            )
        elif channel.deviation > HIGH_DEVIATION:
            found.append(
                f"channel {c} of the first layer's input is wider than pixels of 0 to 255 (deviation "
                f"{channel.deviation:.4g}): {hint}"
            )
    return found


def unnormalised(x: np.ndarray, pixels: PixelMap) -> list[str]:
    """Return a warning if float images (N, C, H, W) look as if mean and std had not been applied."""
    shifted = max(pixels.mean) > 255 * pixels.scale * SHIFTED
    if not shifted or x.min() < 0 or x.max() > 1:
        return []
    return [
        f"x of float lies in {x.min():.4g} to {x.max():.4g} although mean {listed(pixels.mean)} is given: x "
        "must be the network's own input, which mean and std do not change again; if it is not, write "
        "x = (x − mean) / std"
    ]


def listed(values: Sequence[float]) -> str:
    """Return numbers as text, without the sign of a 0."""
    return ", ".join(f"{value + 0.0:.6g}" for value in values)


def _span(table: np.ndarray) -> str:
    return f"{table.min():g} to {table.max():g}"


def _reach(pixels: PixelMap) -> str:
    return f"the first layer's input would lie in {_span(pixels.table())}"


def _line(mean: Numbers | None, std: Numbers | None, factor: float) -> str:
    """Return what to write for mean and std, each times `factor`, in the file and on the command line."""
    changed = {}
    for name, values in (("mean", mean), ("std", std)):
        if values is not None:
            one_for_all = len(set(values)) == 1
            changed[name] = listed([value * factor for value in (values[:1] if one_for_all else values)])
    file = ", ".join(f"{name}=[{text}]" for name, text in changed.items())
    options = " ".join(f"--{name} {text.replace(' ', '')}" for name, text in changed.items())
    return f"{file} ({options})"
