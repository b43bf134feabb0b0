"""The quantised graph: everything the hardware needs, nothing float on its path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import consumers, infer_shapes
from toolflow.ir.operator import Operator, Shape, Weights
from toolflow.numerics.requantise import Requantise
from toolflow.numerics.types import IntegerType


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
        requantise: how accumulators become the output's integers; None where the operator
            only moves or compares integers (max pooling, concat, flatten, shortcut).
        weight_bits: width of the weights, 0 where there are none.
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
    """Check types, widths and ranges of a quantised graph.

    Raises:
        ToolflowError: a tensor lacks a type, a weight exceeds its width, or a requantisation's
            bounds exceed the output's type.
    """
    for name in graph.shapes:
        if name not in graph.types:
            raise ToolflowError(f"tensor '{name}' has no integer type")
    if graph.output not in graph.shapes:
        raise ToolflowError(f"the output '{graph.output}' is made by no node")
    graph.types[graph.input_name].integer.check(graph.input_table, f"input table of '{graph.input_name}'")
    for node in graph.nodes:
        if "weight" in node.weights:
            IntegerType(node.weight_bits, signed=True).check(node.weights["weight"], f"weight of '{node.name}'")
        if node.requantise is not None:
            out = graph.types[node.name].integer
            if node.requantise.lower < out.lower or node.requantise.upper > out.upper:
                raise ToolflowError(
                    f"'{node.name}' clips to [{node.requantise.lower}, {node.requantise.upper}], "
                    f"which must lie within [{out.lower}, {out.upper}]"
                )
