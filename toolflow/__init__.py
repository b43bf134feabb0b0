"""Cascade Toolflow: from a trained CNN and a board to a bit-exact accelerator.

The stages are functions: `load`, `quantise`, `calibrate`, `plan`, `emit`, `verify`, `report` (`toolflow.flow.steps`).
Importing this package loads nothing else; `__init__.pyi` tells type checkers what is here.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

_STEPS = ("load", "quantise", "calibrate", "plan", "emit", "verify", "report")
_PACKAGES = ("plan", "emit", "report")  # a package has the name of the stage


class _StagePackage(ModuleType):
    """A package that is called as the stage of its name: `toolflow.plan(..)`."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return _step(self.__name__.rpartition(".")[2])(*arguments, **named)


def callable_stage(package: str) -> None:
    """Let a package be called as the stage of its name."""
    sys.modules[package].__class__ = _StagePackage


def _step(name: str) -> Any:
    return getattr(import_module("toolflow.flow.steps"), name)


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f"toolflow.{name}")
    if name in _STEPS:
        return _step(name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *_STEPS})
