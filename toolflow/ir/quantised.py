"""The quantised graph: everything that the hardware needs, with integers only in its computation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import consumers, infer_shapes
from toolflow.ir.operator import Operator, Shape, Weights
from toolflow.numerics.requantise import Requantise, fits_signed
from toolflow.numerics.types import IntegerType

MAX_BITS = 32  # of a tensor or a weight: what the engine writes at most
PIXEL_VALUES = 256


@dataclass(frozen=True)
class TensorType:
    """Integer type and scale of a tensor: real value = integer · scale, zero point 0.

    `scale` is for reports and for the cascade's softmax; no integer operation reads it.
    """

    integer: IntegerType
    scale: float


@dataclass(frozen=True)
class QuantisedNode:
    """One integer operator; it produces the tensor named like the node.

    Attributes:
        inputs: the operands; a conv or linear may have a second one, the residual that its
            requantisation adds (one rounding for both).
        weights: integer arrays by name ("weight": int64, (K, C/groups, kh, kw) for conv, (K, F) for linear).
        requantise: how accumulators become the output's integers; None if the operator
            only moves or compares integers (max pooling, concat, flatten, shortcut).
        weight_bits: width of the weights, 0 if there are none.
    """

    name: str
    op: Operator
    inputs: tuple[str, ...]
    weights: Weights = field(default_factory=dict)
    requantise: Requantise | None = None
    weight_bits: int = 0


@dataclass(frozen=True)
class QuantisedGraph:
    """An integer network with one image input and one output.

    Attributes:
        input_table: int64 (C, 256): the first layer's integer for each channel and uint8 pixel value.
        types: integer type and scale of every tensor, the input included.
        family: "fixed-point" (every scale and multiplier a power of two) or "multiplier".
        variant: "low" or "high", or another name for a single unit.
    """

    name: str
    variant: str
    family: str
    input_name: str
    input_shape: Shape
    input_table: np.ndarray
    nodes: tuple[QuantisedNode, ...]
    output: str
    types: Mapping[str, TensorType]

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """Shape of every tensor, without the batch."""
        return infer_shapes(self.input_name, self.input_shape, self.nodes)

    @cached_property
    def consumers(self) -> Mapping[str, tuple[QuantisedNode, ...]]:
        """The nodes that read each tensor, in order."""
        return consumers(self.nodes)

    @cached_property
    def by_name(self) -> Mapping[str, QuantisedNode]:
        """Every node under its name."""
        return {node.name: node for node in self.nodes}


def verify_quantised(graph: QuantisedGraph) -> None:
    """Check shapes, types, widths and ranges of a quantised graph: after it, every operator computes.

    Raises:
        ToolflowError: names the tensor or node, and what is wrong.
    """
    shapes = graph.shapes
    if graph.output not in shapes:
        raise ToolflowError(f"the output '{graph.output}' is made by no node")
    if set(graph.types) != set(shapes):
        wrong = sorted(set(graph.types) ^ set(shapes))[0]
        raise ToolflowError(
            f"tensor '{wrong}' has no integer type" if wrong in shapes else f"the type of '{wrong}' is no tensor's"
        )
    for name, kind in graph.types.items():
        if kind.integer.bits > MAX_BITS or not (np.isfinite(kind.scale) and kind.scale > 0):
            raise ToolflowError(
                f"tensor '{name}' must have at most {MAX_BITS} bits and a positive scale, "
                f"not {kind.integer} and {kind.scale}"
            )
    table = graph.input_table
    if table.dtype != np.int64 or table.shape != (graph.input_shape[0], PIXEL_VALUES):
        raise ToolflowError(
            f"the input table must be int64 ({graph.input_shape[0]}, {PIXEL_VALUES}), not {table.dtype} {table.shape}"
        )
    try:
        graph.types[graph.input_name].integer.check(table, f"input table of '{graph.input_name}'")
        for node in graph.nodes:
            _verify_node(graph, node)
    except ValueError as error:
        raise ToolflowError(str(error)) from error


def _verify_node(graph: QuantisedGraph, node: QuantisedNode) -> None:
    """Raise ValueError if a node's numbers do not fit its operator or its tensors' types."""
    what = f"{node.op.kind} '{node.name}'"
    if node.op.rounds is None:
        raise ValueError(f"{what} stands in float graphs only, not in a quantised one")
    if node.op.rounds != (node.requantise is not None):
        raise ValueError(f"{what} must have {'a' if node.op.rounds else 'no'} requantisation")
    for name, values in node.weights.items():
        if values.dtype != np.int64:
            raise ValueError(f"{name} of '{node.name}' must be int64, not {values.dtype}")
    if "weight" in node.weights:
        if not 1 <= node.weight_bits <= MAX_BITS:
            raise ValueError(f"weight of '{node.name}' must have 1 to {MAX_BITS} bits, not {node.weight_bits}")
        IntegerType(node.weight_bits, signed=True).check(node.weights["weight"], f"weight of '{node.name}'")
    if node.requantise is None:
        kinds = {graph.types[tensor] for tensor in (*node.inputs, node.name)}
        if len(kinds) > 1:
            raise ValueError(f"{what}: all operands must have one type and scale, not {sorted(map(str, kinds))}")
        return
    rule, out = node.requantise, graph.types[node.name].integer
    if rule.lower < out.lower or rule.upper > out.upper:
        raise ValueError(
            f"'{node.name}' clips to [{rule.lower}, {rule.upper}], which must lie within [{out.lower}, {out.upper}]"
        )
    if (rule.residual_multiplier is not None) != (len(node.inputs) == 2):
        raise ValueError(f"{what} must have a residual multiplier exactly if it has a second input")
    rules = node.op.rule_count(graph.shapes[node.inputs[0]])
    channels = graph.shapes[node.name][0] * rules
    for name in ("bias", "multiplier", "shift", "residual_multiplier", "residual_shift"):
        column = getattr(rule, name)
        if column is not None and (column.dtype != np.int64 or column.shape not in ((channels,), (rules,))):
            raise ValueError(
                f"{name} of '{node.name}' must be int64 of shape ({channels},) or ({rules},), "
                f"not {column.dtype} {column.shape}"
            )
    _verify_widths(node, rule)


def _verify_widths(node: QuantisedNode, rule: Requantise) -> None:
    if not fits_signed(rule.bias, node.op.bias_bits):
        raise ValueError(
            f"the biases of '{node.name}' must fit {node.op.bias_bits} signed bits, as the engine has in a "
            f"{node.op.kind} layer, not [{rule.bias.min()}, {rule.bias.max()}]"
        )
    left = 0 if rule.residual_shift is None else int(rule.residual_shift.max(initial=0))
    if left > node.op.max_residual_shift:
        raise ValueError(
            f"the residual of '{node.name}' must be shifted by at most {node.op.max_residual_shift}, as far as the "
            f"engine does in a {node.op.kind} layer, not by {left}"
        )
