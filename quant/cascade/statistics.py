"""Intervals for an accuracy loss measured on pairs, and how many images a tolerance needs."""

from __future__ import annotations

import math
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def normal_quantile(confidence: float, two_sided: bool = True) -> float:
    """Return z so that a normal variable lies within ±z (or below z) with probability `confidence`.

    Raises:
        ValueError: the confidence does not lie strictly between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence must lie between 0 and 1, not {confidence}")
    return NormalDist().inv_cdf((1 + confidence) / 2 if two_sided else confidence)


def paired_bounds(lost: npt.ArrayLike, gained: npt.ArrayLike, images: int, z: float) -> tuple[FloatArray, FloatArray]:
    """Return lower and upper bound of the difference of two accuracies measured on the same images.

    The Wald interval after half an observation is added to each of the four cells of the paired table:
    A. Agresti, Y. Min, "Simple improved confidence intervals for comparing matched proportions",
    Statistics in Medicine 24 (2005) 729–740.

    Args:
        lost: images that only the reference answers rightly; any shape.
        gained: images that only the other answers rightly; same shape.
        images: all images.
        z: normal quantile.
    """
    b = np.asarray(lost, dtype=np.float64) + 0.5
    c = np.asarray(gained, dtype=np.float64) + 0.5
    count = images + 2.0
    difference = (b - c) / count
    half = z * np.sqrt(np.maximum((b + c) / count - difference**2, 0.0) / count)
    return np.maximum(difference - half, -1.0), np.minimum(difference + half, 1.0)


def mean_bounds(total: npt.ArrayLike, squares: npt.ArrayLike, images: int, z: float) -> tuple[FloatArray, FloatArray]:
    """Return the normal interval of a mean over `images`, from the sum of the values and of their squares."""
    mean = np.asarray(total, dtype=np.float64) / images
    variance = np.maximum(np.asarray(squares, dtype=np.float64) / images - mean**2, 0.0)
    half = z * np.sqrt(variance / images)
    return mean - half, mean + half


def wilson_bounds(hits: npt.ArrayLike, images: int, z: float) -> tuple[FloatArray, FloatArray]:
    """Return lower and upper bound of a share, hits / images.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22 (1927) 209–212.
    """
    share = np.asarray(hits, dtype=np.float64) / images
    centre = (share + z * z / (2 * images)) / (1 + z * z / images)
    half = z / (1 + z * z / images) * np.sqrt(share * (1 - share) / images + z * z / (4.0 * images * images))
    # at 0 and 1 the interval ends at the share itself, which rounding must not leave outside
    return np.clip(centre - half, 0.0, share), np.clip(centre + half, share, 1.0)


def images_to_resolve(images: int, half_width: float, tolerance: float) -> int:
    """Return how many images make the loss's interval no wider than ± `tolerance`, from ± `half_width` at `images`.

    At least `images_for_none`: an event that is rarer than the tolerance must have had a chance to be seen.
    """
    return max(math.ceil(images * (half_width / tolerance) ** 2), images_for_none(tolerance))


def images_for_none(tolerance: float) -> int:
    """Return how many images without a loss bound the loss by `tolerance` with 95 % confidence: −ln 0.05 / tolerance.

    B. D. Jovanovic, P. S. Levy, "A look at the rule of three", The American Statistician 51 (1997) 137–139.
    """
    return math.ceil(-math.log(0.05) / tolerance)


def images_to_show(discordant_share: float, loss: float, tolerance: float, z: float) -> int | None:
    """Return how many images put the upper end of the loss's interval at `tolerance`.

    None if the loss itself is not below the tolerance: more images would not help.
    """
    if loss >= tolerance:
        return None
    variance = max(discordant_share - loss**2, 0.0)
    return max(math.ceil(z * z * variance / (tolerance - loss) ** 2), images_for_none(tolerance))


def allowed_losses(tolerance: float, images: int) -> int:
    """Return how many of `images` may be lost: floor(tolerance · images), the tolerance taken as written in decimal."""
    return math.floor(Fraction(repr(tolerance)) * images)
