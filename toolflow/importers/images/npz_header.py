"""Read the headers of the arrays of an `.npz` without decompressing them."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

MAGIC = b"\x93NUMPY"


@dataclass(frozen=True)
class Header:
    """Shape and type of an array in a file."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the array in memory."""
        return self.size * self.dtype.itemsize


def read_headers(path: Path) -> Mapping[str, Header | None]:
    """Return the header of every member of an `.npz`, None for a member that is no array.

    Raises:
        OSError, zipfile.BadZipFile: the file cannot be read, or is no zip archive.
        ValueError: a header is damaged, names Python objects, or another amount of data than the archive holds.
    """
    with zipfile.ZipFile(path) as archive:
        found: dict[str, Header | None] = {}
        for member in archive.infolist():
            with archive.open(member) as file:
                found[member.filename.removesuffix(".npy")] = _header(file, member.file_size)
        return found


def is_single_array(path: Path) -> bool:
    """Return whether a file is an `.npy`."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _header(file: IO[bytes], size: int) -> Header | None:
    if file.read(len(MAGIC)) != MAGIC:
        return None
    file.seek(0)
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"an array's format must be 1.0 or 2.0, not {'.'.join(map(str, version))}")
    shape, _, dtype = readers[version](file)
    if dtype.hasobject:
        raise ValueError("an array must hold numbers, not Python objects")
    header = Header(tuple(shape), dtype)
    if min(shape, default=0) < 0 or header.nbytes != size - file.tell():
        raise ValueError(f"an array of shape {shape} and type {dtype} must not have {size - file.tell()} bytes of data")
    return header
