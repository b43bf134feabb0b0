"""Collects the nodes and the problems of a model while an importer walks through it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from toolflow.ir.errors import Problem, ToolflowError, UnsupportedModelError
from toolflow.ir.graph import Graph, Node, verify_graph
from toolflow.ir.operator import Operator, Shape
from toolflow.operators import Flatten

MAX_ELEMENTS = 1 << 30  # of one image's tensor; more is a damaged model, and would exhaust the memory

ONE_DIMENSION = (
    "write a network of one dimension on maps of height 1: input (C, 1, length), convolutions and pools with kernels "
    "(1, k)"
)

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Place:
    """Where in the user's model something stands.

    Attributes:
        node: the node's name as the user knows it.
        operator: the operator as the source format calls it.
    """

    node: str
    operator: str


@dataclass(frozen=True)
class Value:
    """A tensor of the model: a tensor of the graph, perhaps seen in another shape.

    Attributes:
        tensor: name of the graph's tensor.
        shape: without the batch; the elements are in the graph tensor's order.
    """

    tensor: str
    shape: Shape


class GraphBuilder:
    """Builds a `Graph`; goes on after a problem so that all of them are reported at once."""

    def __init__(self, name: str, input_name: str, input_shape: Shape) -> None:
        if len(input_shape) == 2:
            raise ToolflowError(f"the input must have a shape (C, H, W), not {input_shape}; {ONE_DIMENSION}")
        if len(input_shape) != 3 or min(input_shape) < 1 or math.prod(input_shape) > MAX_ELEMENTS:
            raise ToolflowError(
                f"the input must have a shape (C, H, W) of at most {MAX_ELEMENTS} elements, not {input_shape}"
            )
        self._name = name
        self._input = input_name
        self._shapes: dict[str, Shape] = {input_name: input_shape}
        self._nodes: list[Node] = []
        self._flat: dict[str, str] = {}
        self.problems: list[Problem] = []

    @property
    def input(self) -> Value:
        """The image."""
        return Value(self._input, self._shapes[self._input])

    def problem(self, place: Place, attribute: str, value: object, allowed: str, rewrite: str = "") -> None:
        """Note something that cannot be imported."""
        self.problems.append(Problem(place.node, place.operator, attribute, str(value), allowed, rewrite))

    def emit(
        self, place: Place, op: Operator, inputs: Sequence[Value], weights: Mapping[str, Array] | None = None
    ) -> Value | None:
        """Add a node; None, and a problem noted, where shapes, attributes or weights do not fit."""
        weights = weights or {}
        infinite = [name for name, array in weights.items() if not np.isfinite(array).all()]
        for name in infinite:
            self.problem(place, name, "NaN or infinity", "finite numbers")
        tensors = [self._tensor(place, value) for value in inputs]
        known = [tensor for tensor in tensors if tensor is not None]
        if infinite or len(known) < len(tensors):
            return None
        try:
            shape = op.infer_shape([self._shapes[tensor] for tensor in known], weights)
        except ValueError as error:
            shapes = ", ".join(str(self._shapes[tensor]) for tensor in known)
            self.problem(place, "shapes", f"{shapes} ({error})", "shapes that fit the attributes")
            return None
        if math.prod(shape) > MAX_ELEMENTS:
            self.problem(place, "output shape", shape, f"at most {MAX_ELEMENTS} elements per image")
            return None
        return self._place(place.node, op, known, shape, weights)

    def view(self, place: Place, value: Value, shape: Shape) -> Value | None:
        """See a tensor in another shape; None, and a problem noted, where the sizes differ."""
        if math.prod(shape) != math.prod(value.shape):
            self.problem(place, "shape", shape, f"a shape of {math.prod(value.shape)} elements per image")
            return None
        return Value(value.tensor, shape)

    def stand_in(self, place: Place, shape: Shape) -> Value | None:
        """Return a value for the output of a node that cannot be imported, so that its readers are checked too."""
        if math.prod(shape) > MAX_ELEMENTS:
            return None
        name = self._unique(place.node)
        self._shapes[name] = shape
        return Value(name, shape)

    def finish(self, place: Place, output: Value | None) -> Graph:
        """Return the graph, without nodes that do not lead to its output.

        Raises:
            UnsupportedModelError: problems were noted.
            ToolflowError: the output is the input, or does not depend on it; None says that it is constant.
        """
        if output is not None and math.prod(output.shape) == 1:
            output = Value(output.tensor, self._shapes[output.tensor])  # one number, whatever axes it is seen with
        tensor = self._tensor(place, output) if output is not None else None
        if self.problems:
            raise UnsupportedModelError(self.problems)
        if tensor == self._input:
            raise ToolflowError(f"model '{self._name}' computes nothing: its output is its input")
        needed: set[str] = set() if tensor is None else {tensor}
        kept = []
        for node in reversed(self._nodes):
            if node.name in needed:
                kept.append(node)
                needed.update(node.inputs)
        if tensor is None or self._input not in needed:
            raise ToolflowError(f"the output of model '{self._name}' does not depend on its input")
        graph = Graph(self._name, self._input, self._shapes[self._input], tuple(reversed(kept)), tensor)
        verify_graph(graph)
        return graph

    def _tensor(self, place: Place, value: Value) -> str | None:
        """Return the graph's tensor with a value's shape, flattening where that is what the shape says."""
        if value.shape == self._shapes[value.tensor]:
            return value.tensor
        if len(value.shape) == 1:
            if value.tensor not in self._flat:
                flat = self._place(f"{value.tensor}.flatten", Flatten(), [value.tensor], value.shape, {})
                self._flat[value.tensor] = flat.tensor
            return self._flat[value.tensor]
        self.problem(
            place,
            "input shape",
            f"{self._shapes[value.tensor]} seen as {value.shape}",
            "a feature map (C, H, W) as it was made, or flattened to (C·H·W,)",
        )
        return None

    def _place(
        self, name: str, op: Operator, inputs: Sequence[str], shape: Shape, weights: Mapping[str, Array]
    ) -> Value:
        name = self._unique(name)
        self._nodes.append(Node(name, op, tuple(inputs), weights))
        self._shapes[name] = shape
        return Value(name, shape)

    def _unique(self, name: str) -> str:
        candidate, number = name, 2
        while candidate in self._shapes:
            candidate, number = f"{name}_{number}", number + 1
        return candidate
