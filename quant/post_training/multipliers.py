"""Multipliers of a layer's requantisation, refused by the layer's name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from toolflow.ir.errors import ToolflowError
from toolflow.numerics import scales
from toolflow.numerics.scales import Multipliers, RatioError


@contextmanager
def refused_by_name(name: str) -> Iterator[None]:
    """Turn ratios that cannot be held into a ToolflowError that names the layer."""
    try:
        yield
    except RatioError as error:
        raise ToolflowError(f"'{name}': {error}") from error


def multipliers(
    name: str, ratio: npt.NDArray[np.float64], residual_ratio: float | None = None, max_residual_shift: int = 0
) -> Multipliers:
    """Return the multipliers of a layer (`toolflow.numerics.scales`).

    Raises:
        ToolflowError: a ratio is too large, or too small beside the other one.
    """
    with refused_by_name(name):
        return scales.multipliers(ratio, residual_ratio, max_residual_shift)
