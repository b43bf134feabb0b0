"""The float graph: a trained network as typed operators in topological order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, TypeVar

from toolflow.ir.errors import ToolflowError
from toolflow.ir.operator import Operator, Shape, Weights


class AnyNode(Protocol):
    """The common interface of float and quantised nodes."""

    @property
    def name(self) -> str:
        """Name of the node and of its tensor."""

    @property
    def op(self) -> Operator:
        """Specification of the operator."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the tensors read."""

    @property
    def weights(self) -> Weights:
        """Constants by name."""


SomeNode = TypeVar("SomeNode", bound=AnyNode)


@dataclass(frozen=True)
class Node:
    """One operator applied to named tensors; it produces one tensor, named like the node."""

    name: str
    op: Operator
    inputs: tuple[str, ...]
    weights: Weights = field(default_factory=dict)


@dataclass(frozen=True)
class ChannelMap:
    """y[c] = x[c]·scale[c] + shift[c], one value of each for every channel; no scale is 0."""

    scale: tuple[float, ...]
    shift: tuple[float, ...]


@dataclass(frozen=True)
class Graph:
    """A network with one image input and one output.

    Attributes:
        name: what the model is called in reports and file names.
        input_name: name of the input tensor.
        input_shape: (C, H, W) of one image.
        nodes: in topological order; the tensor of a node has the node's name.
        output: name of the output tensor.
        binary: whether class 0 was added to a network of one logit (`passes.two_logits`).
        input_map: how the model's input becomes the input tensor; None if they are the same. The device
            applies it in its input table, so no node does.
    """

    name: str
    input_name: str
    input_shape: Shape
    nodes: tuple[Node, ...]
    output: str
    binary: bool = False
    input_map: ChannelMap | None = None

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """Shape of every tensor, without the batch."""
        return infer_shapes(self.input_name, self.input_shape, self.nodes)

    @cached_property
    def consumers(self) -> Mapping[str, tuple[Node, ...]]:
        """The nodes that read each tensor, in order."""
        return consumers(self.nodes)

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        """Every node under its name."""
        return {node.name: node for node in self.nodes}


def consumers(nodes: Sequence[SomeNode]) -> Mapping[str, tuple[SomeNode, ...]]:
    """Map each tensor that is read to its readers."""
    readers: dict[str, tuple[SomeNode, ...]] = {}
    for node in nodes:
        for tensor in dict.fromkeys(node.inputs):
            readers[tensor] = (*readers.get(tensor, ()), node)
    return readers


def infer_shapes(input_name: str, input_shape: Shape, nodes: Sequence[AnyNode]) -> Mapping[str, Shape]:
    """Return the shape of every tensor.

    Raises:
        ToolflowError: a node reads a tensor that does not exist yet, a name is used twice,
            or an operator refuses its inputs.
    """
    shapes: dict[str, Shape] = {input_name: input_shape}
    for node in nodes:
        missing = [tensor for tensor in node.inputs if tensor not in shapes]
        if missing:
            raise ToolflowError(f"node '{node.name}' reads {missing}, which no earlier node makes")
        if node.name in shapes:
            raise ToolflowError(f"tensor '{node.name}' is made twice; names must be unique")
        try:
            shapes[node.name] = node.op.infer_shape([shapes[t] for t in node.inputs], node.weights)
        except ValueError as error:
            raise ToolflowError(f"{node.op.kind} '{node.name}': {error}") from error
        except KeyError as error:  # of its weights
            raise ToolflowError(f"{node.op.kind} '{node.name}': its {error.args[0]} is missing") from error
    return shapes


def verify_graph(graph: Graph) -> None:
    """Check the invariants that every pass must leave intact.

    Raises:
        ToolflowError: shapes do not infer, the output does not exist, or a node's tensor is never read.
    """
    if graph.output not in graph.shapes:
        raise ToolflowError(f"the output '{graph.output}' is made by no node")
    unread = [n.name for n in graph.nodes if n.name not in graph.consumers and n.name != graph.output]
    if unread:
        raise ToolflowError(f"nodes {unread} are read by nobody and are not the output")
