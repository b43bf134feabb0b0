"""Check the values that a caller gives to the Python API.

Each function returns the value or nothing. Otherwise it raises a ToolflowError: "NAME must be WANTED, not VALUE".
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from toolflow.ir.errors import ToolflowError

_SHOWN = (str, int, float, tuple, list, dict, Path, type(None))


def shown(value: object) -> str:
    """Return a value as a message shows it."""
    return repr(value) if isinstance(value, _SHOWN) else f"an object of class {type(value).__name__}"


def refused(name: str, wanted: str, value: object) -> ToolflowError:
    """Return the error of a value that is not what it must be."""
    return ToolflowError(f"{name} must be {wanted}, not {shown(value)}")


def require_kind(name: str, value: object, kind: type) -> None:
    """Require an instance of a class."""
    if not isinstance(value, kind):
        raise refused(name, f"a {kind.__name__}", value)


def as_path(name: str, value: object) -> Path:
    """Return the path that a value is, or that a text says."""
    if not isinstance(value, str | Path):
        raise refused(name, "a path", value)
    return Path(value)


def as_path_or_none(name: str, value: object) -> Path | None:
    """Return the same, or None."""
    return None if value is None else as_path(name, value)


def as_model(value: object) -> str:
    """Return the name of a model."""
    if not isinstance(value, str | Path):
        raise refused("model", "'file.py:factory', 'package.module:factory' or an ONNX file", value)
    return str(value)


def as_whole(name: str, value: object, lowest: int, highest: int | None = None) -> int:
    """Return a whole number in a range."""
    wanted = f"of {lowest} or more" if highest is None else f"from {lowest} to {highest}"
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= (highest or value):
        raise refused(name, f"a whole number {wanted}", value)
    return value


def as_number(name: str, value: object) -> float:
    """Return a number."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise refused(name, "a number", value)
    return float(value)


def as_share(name: str, value: object) -> float:
    """Return a number from 0 to 1."""
    given = as_number(name, value)
    if not 0 <= given <= 1:
        raise refused(name, "from 0 to 1", value)
    return given


def require_one_of(name: str, value: object, choices: Sequence[Any]) -> None:
    """Require one of some values."""
    if not any(value == choice and type(value) is type(choice) for choice in choices):
        raise refused(name, f"one of {', '.join(map(str, choices))}", value)


def numbers_per_channel(name: str, value: object) -> tuple[float, ...]:
    """Return one number, or one for each channel."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise refused(name, "numbers, one or one for each channel", value)
    return tuple(as_number(name, each) for each in value)


def as_shape(name: str, value: object) -> tuple[int, ...]:
    """Return (C, H, W), or (C, length) of a signal."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) not in (2, 3):
        raise refused(name, "(C, H, W) or (C, length) in positive whole numbers", value)
    return tuple(as_whole(name, each, 1) for each in value)


def require_board_name(board: object) -> None:
    """Require a board's name or file, or None."""
    if board is not None and not isinstance(board, str | Path):
        raise refused("--board", "a board's name or file", board)
