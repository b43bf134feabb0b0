"""Work for the workers of a pool, in a module that is loaded quickly."""

from __future__ import annotations

import os
from pathlib import Path

from toolflow.ir.errors import ToolflowError


def squared_or_dead(given: tuple[int, str]) -> int:
    """Return the square of a number; the first worker that gets 3 dies, and every worker that gets -1."""
    number, marker = given
    if number == 3 and not Path(marker).exists():
        Path(marker).touch()
        os._exit(9)
    if number < 0:
        os._exit(7)
    if number == 100:
        raise ToolflowError("no square of 100")
    return number**2
