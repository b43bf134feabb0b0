"""One recorded ATen call for a handler: arguments that the handler does not take are reported as problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx

from toolflow.importers import vocabulary
from toolflow.importers.builder import Array, GraphBuilder, Place, Value
from toolflow.operators.window import Pads, Pair


@dataclass
class Call:
    """One call of an operator, with the argument of every name in its schema.

    A handler takes the arguments that it supports. The others must have their default values (`check_rest`).
    """

    build: GraphBuilder
    place: Place
    node: fx.Node
    args: dict[str, Any]
    defaults: Mapping[str, Any]

    @classmethod
    def bind(
        cls, build: GraphBuilder, place: Place, node: fx.Node, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Call:
        """Match the arguments with the operator's schema."""
        schema = node.target._schema.arguments  # type: ignore[union-attr]
        defaults = {argument.name: argument.default_value for argument in schema if argument.has_default_value()}
        names = [argument.name for argument in schema]
        bound = {**defaults, **dict(zip(names, args, strict=False)), **kwargs}
        return cls(build, place, node, bound, defaults)

    def take(self, name: str) -> Any:
        """Return an argument; `check_rest` then no longer checks it."""
        return self.args.pop(name)

    def tensor(self, name: str = "self") -> Value:
        """Take an argument that must be a tensor of the model."""
        return self.take(name)  # type: ignore[no-any-return]

    def constant(self, name: str) -> Array | None:
        """Take an argument that must be constant, as float64. If it is not, record a problem and return None."""
        value = self.take(name)
        if isinstance(value, Value):
            self.problem(name, "computed from the image", "a constant")
            return None
        return as_array(value)

    def pair(self, name: str, x: Value, default: Sequence[int] = (), row: int = 1) -> Pair:
        """Take an argument of one or two numbers; an empty list means `default`, `row` is the height on a signal."""
        values = self.take(name) or default
        return vocabulary.window(x, [values] if isinstance(values, int) else list(values), row)

    def problem(self, attribute: str, value: object, allowed: str, rewrite: str = "") -> None:
        """Record a problem of this call."""
        self.build.problem(self.place, attribute, value, allowed, rewrite)

    def check_rest(self) -> None:
        """Record a problem for each argument that the handler did not take and that is not its default."""
        for name, value in self.args.items():
            default = self.defaults.get(name)
            if not isinstance(value, Value | torch.Tensor) and value == default:
                continue
            self.problem(name, value if not isinstance(value, Value) else "a tensor", f"{default}")


def as_array(value: torch.Tensor | float) -> Array:
    """Return a constant as float64."""
    return np.asarray(value.double().cpu().numpy() if isinstance(value, torch.Tensor) else value, np.float64)


def both(pads: Pair) -> Pads:
    """Return (vertical, horizontal) pads as those of all four sides."""
    return (*pads, *pads)
