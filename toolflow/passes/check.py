"""Find which nodes of an imported model the engine supports: `toolflow check`."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum

from toolflow.engine.isa import LAYOUT
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph, Node, verify_graph
from toolflow.ir.operator import Shape
from toolflow.operators import Add, AvgPool, BatchNorm, Concat, Conv, Flatten, Linear, MaxPool, Pad, Relu, Segments
from toolflow.passes.fuse_residual import fuse_residual
from toolflow.passes.pipeline import PIPELINE, Step
from toolflow.passes.two_logits import two_logits

LOGGER = logging.getLogger(__name__)

# the largest values that an instruction holds
LARGEST_WINDOW = LAYOUT["kernel_h"].highest  # of kernel, stride, pads and dilation
LARGEST_SIZE = LAYOUT["channels"].highest  # of heights, widths and channels
LARGEST_ROWS = LAYOUT["rows"].highest  # of weights in a group

RESIDUAL = Step(fuse_residual, "added by the layer before it, with one rounding", "")


class ModelDoesNotRunError(ToolflowError):
    """A model that can be imported, but holds nodes that no engine runs."""


class Status(Enum):
    """The result for a node."""

    ENGINE = "engine"
    IMPORTS_ONLY = "imports only"
    FOLDED = "folded"


@dataclass(frozen=True)
class NodeReport:
    """One line of `toolflow check`.

    Attributes:
        node: the node's name.
        operator: its kind as imported.
        status: the result for the node.
        reason: how it runs, what it is folded into, or why it does not run.
    """

    node: str
    operator: str
    status: Status
    reason: str


def check(graph: Graph) -> tuple[NodeReport, ...]:
    """Return a report for every node of an imported graph, in order.

    Raises:
        ToolflowError: the graph is not sound.
    """
    verify_graph(graph)
    shape = graph.shapes[graph.output]
    if math.prod(shape[1:]) > 1:
        LOGGER.warning(
            "the output '%s' is a map %s: each of its %d values counts as a class; end in a pooling or linear layer if "
            "that is not meant",
            graph.output,
            shape,
            math.prod(shape),
        )
    folded: dict[str, str] = {}
    widened: set[str] = set()
    final = graph
    for step in (*PIPELINE, RESIDUAL):
        changed = step.run(final)
        folded.update({node.name: step.does for node in final.nodes if node.name not in changed.by_name})
        if step.run is two_logits:
            widened = {name for name, shape in final.shapes.items() if changed.shapes[name] != shape}
        final = changed
    return tuple(_report(node, final, folded, widened) for node in graph.nodes)


def require_engine(graph: Graph) -> None:
    """Refuse an imported graph if one of its nodes does not run.

    Raises:
        ModelDoesNotRunError: names every such node and says why.
    """
    refuse(check(graph))


def refuse(reports: Iterable[NodeReport]) -> None:
    """Refuse the nodes among `reports` that import but do not run.

    Raises:
        ModelDoesNotRunError: there are some.
    """
    left_over = [report for report in reports if report.status is Status.IMPORTS_ONLY]
    if left_over:
        lines = "\n".join(f"  {report.operator} '{report.node}': {report.reason}" for report in left_over)
        raise ModelDoesNotRunError(f"{len(left_over)} node(s) do not run on the engine:\n{lines}")


def _report(node: Node, final: Graph, folded: dict[str, str], widened: set[str]) -> NodeReport:
    kind = node.op.kind
    if node.name in folded:
        return NodeReport(node.name, kind, Status.FOLDED, folded[node.name])
    now = final.by_name[node.name]
    obstacles = list(_obstacles(now, final))
    if obstacles:
        return NodeReport(node.name, kind, Status.IMPORTS_ONLY, "; ".join(obstacles))
    if now.op.hardware.is_free:
        return NodeReport(node.name, kind, Status.ENGINE, "no cost: only addresses change")
    how = "as it is" if now.op.kind == kind else f"as {now.op.kind}"
    if now.op.rule_count(final.shapes[now.inputs[0]]) > 1:
        how += ", the edges once more with their own divisors"
    if node.name in widened:
        how += ", with a channel of zeros for class 0"
    return NodeReport(node.name, kind, Status.ENGINE, f"{how}{_needs(now, final)}")


def _obstacles(node: Node, graph: Graph) -> Iterator[str]:
    """Yield why a node of a simplified graph does not run on any engine."""
    source, shape = graph.shapes[node.inputs[0]], graph.shapes[node.name]
    yield from _too_large(f"the output {shape}", shape, LARGEST_SIZE)
    if isinstance(node.op, Pad | Relu | BatchNorm):
        yield f"{node.op.kind} is not supported by the engine"
    if isinstance(node.op, Segments):
        yield node.op.remedy
    if isinstance(node.op, Conv | MaxPool | AvgPool):
        yield from _too_large("the stride", node.op.stride, LARGEST_WINDOW)
        yield from _too_large("the padding", node.op.pads, LARGEST_WINDOW)
        yield from _too_large("the kernel", _kernel(node, graph), LARGEST_WINDOW)
    if isinstance(node.op, Conv | MaxPool):
        yield from _too_large("the dilation", node.op.dilation, LARGEST_WINDOW)
    if isinstance(node.op, Linear):
        yield from _too_large("the flattened map", _kernel(node, graph), LARGEST_WINDOW)
    if isinstance(node.op, AvgPool) and node.op.rule_count(source) > 1:
        yield from _padded_windows(node.op, source)
    if len(shape) == 1 and isinstance(node.op, Concat | Add | Linear):  # a map lies in memory pixel by pixel
        operands = node.inputs[1:] if isinstance(node.op, Linear) else node.inputs
        maps = [t for t in operands if math.prod(_spatial(t, graph)) > 1]
        if maps and isinstance(node.op, Concat):
            yield f"it joins the flattened maps {maps}: concatenate before flattening"
        elif maps:
            yield f"it adds the flattened maps {maps}: add maps of one shape before flattening"


def _padded_windows(op: AvgPool, source: Shape) -> Iterator[str]:
    """Yield why the edges of an average pool with several divisors cannot be computed once more."""
    counts = replace(op, count_include_pad=False)
    try:
        counts.divisors(source)
    except ValueError:
        yield "its windows have several divisors, and some lie in the padding alone: pad by less than the kernel"


def _too_large(what: str, values: tuple[int, ...], bound: int) -> Iterator[str]:
    if max(values, default=0) > bound:
        yield f"{what} must be at most {bound}, not {values}"


def _spatial(tensor: str, graph: Graph) -> Shape:
    """Return (H, W) of the map behind a flat tensor."""
    node = graph.by_name.get(tensor)
    if node is not None and isinstance(node.op, Flatten):
        return graph.shapes[node.inputs[0]][1:]
    return ()


def _kernel(node: Node, graph: Graph) -> tuple[int, ...]:
    match node.op:
        case MaxPool() | AvgPool():
            return node.op.kernel
        case Linear():
            return _spatial(node.inputs[0], graph)
        case _:
            return node.weights["weight"].shape[2:]


def _needs(node: Node, graph: Graph) -> str:
    """Return what a node asks of the engine's parameters, as text to append."""
    weight = node.weights.get("weight")
    rows = 0 if weight is None else math.prod(weight.shape[1:])
    needs = []
    if rows > LARGEST_ROWS:
        needs.append(f"{-(-rows // LARGEST_ROWS)} or more slots")
    if graph.input_name in node.inputs and not isinstance(node.op, Conv):
        needs.append("activations as wide as the image's integers")
    return f"; needs {' and '.join(needs)}" if needs else ""
