"""Compare the tensors of two runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Tensors = Mapping[str, npt.NDArray[np.int64]]


def first_difference(expected: Tensors, found: Tensors, order: Sequence[str]) -> tuple[str, int, int] | None:
    """Return (tensor, differing elements, elements) of the first tensor that differs, None if all agree."""
    for name in order:
        differing = int((expected[name] != found[name]).sum())
        if differing:
            return name, differing, expected[name].size
    return None
