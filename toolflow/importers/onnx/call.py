"""One ONNX node for a handler: attributes and inputs that the handler does not take are reported as problems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from toolflow.importers.builder import Array, GraphBuilder, Place, Value


class Absent(Enum):
    """Marks an optional input that a node does not have."""

    INPUT = "absent"


@dataclass
class Call:
    """One node. A handler takes the attributes and inputs that it understands; the rest is a problem."""

    build: GraphBuilder
    place: Place
    attributes: dict[str, Any]
    inputs: dict[int, Value | npt.NDArray[Any] | Absent]
    opset: int
    batch: int
    is_end: bool
    outputs: int = 1

    def attribute(self, name: str, default: Any) -> Any:
        """Take an attribute."""
        value = self.attributes.pop(name, default)
        return value.decode(errors="replace") if isinstance(value, bytes) else value

    def flag(self, name: str, default: int) -> bool:
        """Take an attribute that must be 0 or 1; a problem is noted if it is not."""
        value = self.attributes.pop(name, default)
        if value not in (0, 1):
            self.problem(name, value, "0 or 1")
        return bool(value)

    def value(self, index: int) -> Value | None:
        """Take an input that must be computed from the image; None, and a problem noted, if it is not."""
        taken = self.inputs.pop(index, Absent.INPUT)
        if isinstance(taken, Value):
            return taken
        self.problem(f"input {index}", "constant or absent", "a tensor computed from the image")
        return None

    def constant(self, index: int) -> npt.NDArray[Any] | None:
        """Take an input that must be constant; None if it is absent, with a problem noted if it is computed."""
        taken = self.inputs.pop(index, Absent.INPUT)
        if isinstance(taken, Value):
            self.problem(f"input {index}", "computed from the image", "a constant")
            return None
        return taken if isinstance(taken, np.ndarray) else None

    def weight(self, index: int) -> Array | None:
        """Take a constant input as float64, None if it is absent."""
        taken = self.constant(index)
        if taken is not None and taken.dtype.kind in "cSUO":
            self.problem(f"input {index}", f"of type {taken.dtype}", "real numbers")
            return None
        with np.errstate(invalid="ignore"):  # NaN is refused where the node is made
            return None if taken is None else taken.astype(np.float64)

    def numbers(self, name: str, default: Sequence[int], count: int) -> list[int] | None:
        """Take an attribute of `count` integers; None, and a problem noted, if it has another number of them."""
        values = self.attributes.pop(name, default)
        if not isinstance(values, Sequence) or len(values) != count:
            self.problem(name, values, f"{count} numbers")
            return None
        return [int(value) for value in values]

    def integers(self, name: str, index: int, since: int) -> list[int] | None:
        """Take a list of integers that is an attribute before operator set `since` and input `index` from then on."""
        if self.opset < since:
            values = self.attribute(name, None)
            return None if values is None else [int(value) for value in values]
        taken = self.constant(index)
        if taken is not None and taken.dtype.kind not in "iu":
            self.problem(f"input {index}", f"of type {taken.dtype}", "integers")
            return None
        return None if taken is None else [int(value) for value in taken.reshape(-1)]

    def number(self, name: str, index: int, since: int) -> float | None:
        """Take a number that is an attribute before operator set `since` and input `index` from then on."""
        if self.opset < since:
            value = self.attribute(name, None)
            return None if value is None else float(value)
        taken = self.constant(index)
        if taken is not None and taken.size != 1:
            self.problem(f"input {index}", f"of shape {taken.shape}", "one number")
            return None
        return None if taken is None else float(taken.reshape(()))

    def problem(self, attribute: str, value: object, allowed: str, rewrite: str = "") -> None:
        """Note a problem of this node."""
        self.build.problem(self.place, attribute, value, allowed, rewrite)

    def check_rest(self) -> None:
        """Note every attribute and input that the handler did not take."""
        for name, value in self.attributes.items():
            self.problem(name, value, "no such attribute here")
        for index, given in self.inputs.items():
            if given is not Absent.INPUT:
                self.problem(f"input {index}", "given", "no such input here")
