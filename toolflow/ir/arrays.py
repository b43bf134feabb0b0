"""Arrays on disk: an `.npz` of plain arrays. Any damage is reported with the name of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from toolflow.ir.errors import UNREADABLE, ToolflowError


def read_arrays(path: Path, *needed: str) -> dict[str, npt.NDArray[Any]]:
    """Return every array of a project's `.npz` by name.

    Raises:
        ToolflowError: the file is missing or damaged, or lacks an array of `needed`.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        for name in needed:
            if name not in arrays:
                raise ValueError(f"it must hold the array '{name}'")
        for name, values in arrays.items():
            if not isinstance(values, np.ndarray):  # numpy returns members that are not arrays as bytes
                raise ValueError(f"'{name}' is no array")
    except UNREADABLE as error:
        raise ToolflowError(f"{path} is damaged ({error}): build again") from error
    return arrays
