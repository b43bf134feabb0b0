"""The levels of verification, one module each: a module put into this folder is a level of `toolflow verify`.

A module holds one subclass of `rtl_sim.level.Level` and an object of it, `LEVEL`. Nothing else lists the levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pkgutil import iter_modules

from rtl_sim.level import EngineLevel, Level
from toolflow.ir.errors import ToolflowError


def find_levels() -> dict[str, Level]:
    """Return the levels of this folder by name, in the order in which they run.

    Raises:
        ImportError: a module defines no level, or one of another name.
    """
    found = []
    for module in iter_modules(__path__):
        level = getattr(import_module(f"{__name__}.{module.name}"), "LEVEL", None)
        if not isinstance(level, Level) or level.name != module.name:
            raise ImportError(f"{__name__}.{module.name} must define LEVEL, a Level of the name '{module.name}'")
        found.append(level)
    return {level.name: level for level in sorted(found, key=lambda level: level.rank)}


def selected(known: Mapping[str, Level], names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of levels that are to run, in the order of `known`: those that are given, or else all.

    Raises:
        ToolflowError: there is no such level, or it cannot be selected.
    """
    every = tuple(level.name for level in known.values() if level.selectable)
    unknown = [name for name in names or () if name not in every]
    if unknown:
        raise ToolflowError(f"--levels must be of {', '.join(every)}, not '{unknown[0]}'")
    return tuple(name for name in every if name in names) if names else every


def engine_level(name: str) -> EngineLevel:
    """Return a level that runs a unit's binaries.

    Raises:
        ToolflowError: there is none of this name.
    """
    found = {level.name: level for level in find_levels().values() if isinstance(level, EngineLevel)}
    if name not in found:
        raise ToolflowError(f"a level must be one of {', '.join(found)}, not '{name}'")
    return found[name]
