"""Explain a full disk: what was being written, where, and how much is free."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from toolflow.ir.errors import ToolflowError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MIB = 1 << 20


def disk_full(error: BaseException, what: str, folders: tuple[Path, ...]) -> ToolflowError | None:
    """Return the error to raise if a file could not be written for lack of space, otherwise None.

    Args:
        error: the error that was caught; a library may have wrapped the original one.
        what: what was being written, if the error does not name the file.
        folders: where it was being written, if the error does not say so.
    """
    cause = _cause(error)
    if cause is None:
        return None
    if cause.filename:
        path = Path(os.fsdecode(cause.filename))
        what, folders = str(path), (path.parent,)
    free = ", ".join(f"{_free_bytes(folder) / _MIB:,.1f} MiB free in {folder}" for folder in folders)
    return ToolflowError(
        f"{what} could not be written: {os.strerror(cause.errno or 0)} ({free}): make room there and run the same "
        "command again"
    )


def _cause(error: BaseException | None) -> OSError | None:
    """Return the lack of space that caused an error."""
    if error is None:
        return None
    if isinstance(error, OSError) and error.errno in _FULL:
        return error
    if error.__cause__ is None and "No space left on device" in str(error):  # of a library that is not Python
        return OSError(errno.ENOSPC, "")
    return _cause(error.__cause__ or error.__context__)


def _free_bytes(folder: Path) -> int:
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free
