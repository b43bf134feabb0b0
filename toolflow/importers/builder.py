"""Collect the nodes and the problems of a model while an importer walks through it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from toolflow.importers.views import Order, Spacing, picked_channels, spacing, spread
from toolflow.ir.errors import Problem, ToolflowError, UnsupportedModelError
from toolflow.ir.graph import Graph, Node, verify_graph
from toolflow.ir.operator import Operator, Shape
from toolflow.operators import Add, Conv, Flatten, Linear, Relu

MAX_ELEMENTS = 1 << 30  # of one image's tensor; more is a damaged model, and would exhaust the memory
MAX_ORDERED = 1 << 25  # elements of a tensor that may be seen in another order

UNPLACED = (
    "transpose back to (N, C, H, W) before it; of an up-sampled map only convolutions, activations, a mean over the "
    "whole map and linear layers can be computed"
)

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Place:
    """A place in the user's model.

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
        shape: without the batch.
        order: for each element its flat position in the graph's tensor; None for the whole tensor in its own order.
    """

    tensor: str
    shape: Shape
    order: Order | None = field(default=None, compare=False)


class GraphBuilder:
    """Builds a `Graph`; goes on after a problem so that all of them are reported at once."""

    def __init__(self, name: str, input_name: str, input_shape: Shape) -> None:
        if len(input_shape) not in (2, 3) or min(input_shape) < 1 or math.prod(input_shape) > MAX_ELEMENTS:
            raise ToolflowError(
                f"the input must have a shape (C, H, W) or (C, length) of at most {MAX_ELEMENTS} elements, not "
                f"{input_shape}"
            )
        self._name = name
        self._input = input_name
        self._seen = input_shape
        as_map = input_shape if len(input_shape) == 3 else (input_shape[0], 1, input_shape[1])
        self._shapes: dict[str, Shape] = {input_name: as_map}
        self._nodes: list[Node] = []
        self._flat: dict[str, str] = {}
        self._picked: dict[tuple[str, bytes], str] = {}
        self.left_out: set[str] = set()  # tensors whose sigmoid at the end was left out
        self.problems: list[Problem] = []

    @property
    def input(self) -> Value:
        """The image; a signal (C, length) is seen so, and is a map of height 1 in the graph."""
        return Value(self._input, self._seen)

    @property
    def channels_last(self) -> Value:
        """The image seen as (H, W, C), or (length, C)."""
        order = np.moveaxis(self.order(self.input), 0, -1)
        return Value(self._input, order.shape, None if self._seen[0] == 1 else order.reshape(-1))

    def problem(self, place: Place, attribute: str, value: object, allowed: str, rewrite: str = "") -> None:
        """Note something that cannot be imported."""
        self.problems.append(Problem(place.node, place.operator, attribute, str(value), allowed, rewrite))

    def emit(
        self, place: Place, op: Operator, inputs: Sequence[Value], weights: Mapping[str, Array] | None = None
    ) -> Value | None:
        """Add a node; None, and a problem noted, where shapes, attributes or weights do not fit.

        Signals (C, length) are operands and a result alike: the node reads and makes maps of height 1.
        """
        weights = weights or {}
        if all(self.is_signal(value) for value in inputs):
            return as_signal(self.emit(place, op, [as_map(value) for value in inputs], weights))
        infinite = [name for name, array in weights.items() if not np.isfinite(array).all()]
        for name in infinite:
            self.problem(place, name, "NaN or infinity", "finite numbers")
        if isinstance(op, Relu | Add) and self._are_moved_alike(inputs):
            result = self.emit(place, op, [self.made(value) for value in inputs])
            return None if result is None else replace(inputs[0], tensor=result.tensor)
        if len(inputs) == 1:
            inputs, weights = self._in_made_order(op, inputs[0], weights)
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
        return replace(value, shape=shape)

    def made(self, value: Value) -> Value:
        """Return the whole graph tensor behind a value, as it was made."""
        return Value(value.tensor, self._shapes[value.tensor])

    def is_signal(self, value: Value) -> bool:
        """Return whether a value has the shape (C, length), and its tensor the shape (C, 1, length)."""
        made = self._shapes[value.tensor]
        return len(value.shape) == 2 and len(made) == 3 and made[1] == 1

    def is_moved(self, value: Value) -> bool:
        """Return whether a value is more than its tensor as it was made, or flattened."""
        return value.order is not None or (len(value.shape) != 1 and value.shape != self._shapes[value.tensor])

    def maker(self, value: Value) -> Node | None:
        """Return the node that made the tensor behind a value; None for the image."""
        return next((node for node in self._nodes if node.name == value.tensor), None)

    def order(self, value: Value) -> Order:
        """Return which element of the graph's tensor each element of a value is, in the value's shape."""
        flat = np.arange(math.prod(value.shape)) if value.order is None else value.order
        return flat.reshape(value.shape)

    def pick(self, place: Place, value: Value, change: Callable[[Order], Order]) -> Value | None:
        """See some elements of a tensor, in another order or several times.

        Args:
            place: for messages.
            value: the tensor.
            change: gives the new value from the old one as if they were arrays; it only moves elements.

        Returns:
            The new value; None, and a problem noted, if it has no elements or too many.
        """
        if math.prod(value.shape) > MAX_ORDERED:
            self.problem(place, "shape", value.shape, f"at most {MAX_ORDERED} elements in another order")
            return None
        order = np.ascontiguousarray(change(self.order(value)))
        if not order.size or order.size > MAX_ORDERED:
            self.problem(place, "output shape", order.shape, f"1 to {MAX_ORDERED} elements")
            return None
        flat, size = order.reshape(-1), math.prod(self._shapes[value.tensor])
        in_order = flat.size == size and np.array_equal(flat, np.arange(size))
        return Value(value.tensor, order.shape, None if in_order else flat)

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
            ToolflowError: the output is the input, or does not depend on the input; None marks a constant output.
        """
        if output is not None and math.prod(output.shape) == 1:  # one number, whatever axes it is seen with
            output = self.made(output) if output.order is None else replace(output, shape=(1,))
        elif output is not None and self.is_signal(output):
            output = as_map(output)
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
        """Return the graph's tensor with a value's shape and order: flattened, or with its channels picked."""
        if value.order is not None:
            picked = self._pick_channels(value) or self._pick_positions(value)
            if picked is None:
                self.problem(
                    place,
                    "input",
                    f"{self._shapes[value.tensor]} seen as {value.shape} in another order",
                    "whole channels or evenly spaced positions of a feature map, in any order, or a linear layer",
                    UNPLACED,
                )
                return None
            value = Value(picked, value.shape)
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

    def _are_moved_alike(self, values: Sequence[Value]) -> bool:
        """Return whether values are tensors of one shape, all seen in one other order or shape."""
        first = values[0]
        return (first.order is not None or first.shape != self._shapes[first.tensor]) and all(
            self._shapes[value.tensor] == self._shapes[first.tensor]
            and value.shape == first.shape
            and np.array_equal(self.order(value), self.order(first))
            for value in values
        )

    def _in_made_order(
        self, op: Operator, value: Value, weights: Mapping[str, Array]
    ) -> tuple[list[Value], Mapping[str, Array]]:
        """Let the weights that read a value in another order read the tensor as it was made, where that costs less."""
        made, weight = self.made(value), weights.get("weight")
        if value.order is None or weight is None or weight.shape[1:2] != value.shape[:1]:
            return [value], weights
        if isinstance(op, Linear) and len(value.shape) == 1:
            size = math.prod(made.shape)
            return [replace(made, shape=(size,))], {**weights, "weight": spread(weight, value.order, size)}
        channels = picked_channels(value.order, made.shape)
        if channels is None or not isinstance(op, Conv) or op.groups > 1 or value.shape[1:] != made.shape[1:]:
            return [value], weights
        added = weight.shape[0] * math.prod(weight.shape[2:]) * (made.shape[0] - len(channels))
        if added > made.shape[0] * len(channels):
            return [value], weights
        return [made], {**weights, "weight": spread(weight, channels, made.shape[0])}

    def _pick_channels(self, value: Value) -> str | None:
        """Return a tensor of the channels that a value picks, a layer of weights 0 and 1; None if it cannot."""
        assert value.order is not None
        shape = self._shapes[value.tensor]
        channels = picked_channels(value.order, shape)
        if channels is None or len(channels) * shape[0] > MAX_ORDERED:
            return None
        key = (value.tensor, channels.tobytes())
        if key not in self._picked:
            weight = np.zeros((len(channels), shape[0], *([1] * (len(shape) - 1))))
            weight[np.arange(len(channels)), channels] = 1
            weights = {"weight": weight, "bias": np.zeros(len(channels))}
            op, name = Linear() if len(shape) == 1 else Conv(), f"{value.tensor}.channels"
            self._picked[key] = self._place(name, op, [value.tensor], (len(channels), *shape[1:]), weights).tensor
        return self._picked[key]

    def whole(self, place: Place, value: Value) -> Value | None:
        """Return a value as a tensor of the graph; None, and a problem noted, if it cannot be."""
        tensor = self._tensor(place, value)
        return None if tensor is None else Value(tensor, self._shapes[tensor])

    def _pick_positions(self, value: Value) -> str | None:
        """Return a tensor of the evenly spaced positions that a value picks, a convolution of weights 0 and 1."""
        shape = self._shapes[value.tensor]
        found = spacing(self.order(value), shape)
        if found is None:
            return None
        alone = np.array_equal(found.channels, np.arange(shape[0]))
        weight = _picking(found, shape, value.shape, 1 if alone else shape[0])
        if weight is None:
            return None
        op = Conv(stride=found.stride, groups=shape[0] if alone else 1)
        weights = {"weight": weight, "bias": np.zeros(len(weight))}
        return self._place(f"{value.tensor}.positions", op, [value.tensor], value.shape, weights).tensor

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


def as_signal(found: Value | None) -> Value | None:
    """Return a map (C, 1, length) as a signal (C, length), and any other value as it is."""
    if found is None or len(found.shape) != 3 or found.shape[1] != 1:
        return found
    return replace(found, shape=(found.shape[0], found.shape[2]))


def as_map(signal: Value) -> Value:
    """Return a signal (C, length) as a map (C, 1, length)."""
    return replace(signal, shape=(signal.shape[0], 1, signal.shape[1]))


def _picking(found: Spacing, shape: Shape, result: Shape, depth: int) -> Array | None:
    """Return the kernels (K, depth, kh, kw) that pick positions, so large that no window more fits; None if huge."""
    kernel = [
        max(int(first.max()) + 1, shape[1 + axis] - result[1 + axis] * found.stride[axis] + 1)
        for axis, first in enumerate((found.rows, found.columns))
    ]
    channels = np.arange(len(found.channels))
    if len(channels) * depth * math.prod(kernel) > MAX_ORDERED:
        return None
    weight = np.zeros((len(channels), depth, *kernel))
    weight[channels, found.channels if depth > 1 else 0, found.rows, found.columns] = 1
    return weight
