"""Find an operator, and what belongs to it, by its folder: `toolflow/operators/<kind>/`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

import toolflow.operators
from toolflow.engine.steps import Window
from toolflow.ir.operator import Operator
from toolflow.operators.convolution import Edges, Hardware, Selection
from toolflow.operators.integers import Reference
from toolflow.operators.window import Pair


def kinds() -> tuple[str, ...]:
    """Return the kinds of all operators: the names of their folders, in order."""
    return tuple(sorted(module.name for module in iter_modules(toolflow.operators.__path__) if module.ispkg))


def by_kind() -> Mapping[str, type[Operator]]:
    """Return the specification of every operator by its kind."""
    return {kind: _specification(kind) for kind in kinds()}


@cache
def part(kind: str, name: str) -> ModuleType:
    """Return a module of an operator's folder.

    Raises:
        ModuleNotFoundError: the operator has no such part.
    """
    return import_module(f"{toolflow.operators.__name__}.{kind}.{name}")


@cache
def reference_of(kind: str) -> Reference:
    """Return the integer meaning of an operator."""
    reference: Reference = part(kind, "reference").reference
    return reference


@cache
def hardware_of(kind: str) -> Hardware:
    """Return what makes the convolution of an operator whose form is `HardwareForm.CONVOLUTION`."""
    hardware: Hardware = part(kind, "hardware").hardware
    return hardware


@cache
def edges_of(kind: str) -> Edges | None:
    """Return what makes the parts of the output that such an operator computes once more, None if there are none."""
    edges: Edges | None = getattr(part(kind, "hardware"), "edges", None)
    return edges


@cache
def window_of(kind: str) -> Callable[[Operator], Window]:
    """Return what makes the window of an operator whose form is `HardwareForm.POOLING`."""
    window: Callable[[Operator], Window] = part(kind, "hardware").window
    return window


@cache
def sampling_of(kind: str) -> Callable[[Operator], tuple[Pair, int]]:
    """Return what tells the steps and the zero channels in front, for the form `HardwareForm.SAMPLING`."""
    sampling: Callable[[Operator], tuple[Pair, int]] = part(kind, "hardware").sampling
    return sampling


@cache
def selection_of(kind: str) -> Selection:
    """Return what makes the convolution of an operator that moves integers through the array."""
    selection: Selection = part(kind, "hardware").selection
    return selection


@cache
def _specification(kind: str) -> type[Operator]:
    module = part(kind, "spec")
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Operator) and value.__module__ == module.__name__
    ]
    if len(found) != 1 or found[0].kind != kind:
        raise TypeError(f"{module.__name__} must define one operator of kind '{kind}', not {found}")
    return found[0]
