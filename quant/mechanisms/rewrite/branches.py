"""Copies of a network's last stage behind one stem, and one of these copies as a network again.

stem ─ stage ─ linear   =>   stem ─┬─ stage.0 ─ linear.0 ─┬─ concat
                                   └─ stage.1 ─ linear.1 ─┘
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph, Node
from toolflow.operators import Concat

ANSWERS = "answers"  # the tensor of all branches' answers


@dataclass(frozen=True)
class Branched:
    """A network with copies of its last stage.

    Attributes:
        whole: the network that was copied.
        stem: names of the nodes that all branches share, in order.
        count: branches.
        graph: the network with the branches; its answers are those of the branches side by side.
    """

    whole: Graph
    stem: tuple[str, ...]
    count: int
    graph: Graph

    @classmethod
    def of(cls, whole: Graph, count: int) -> Branched:
        """Return a network with `count` equal branches from the stage of the last convolution on.

        Raises:
            ToolflowError: no layer comes before that stage, or more than one tensor goes into it.
        """
        stem = _stem(whole)
        shared = {whole.input_name, *stem}
        kept = whole.nodes[: len(stem)]
        copies = [
            Node(
                _in_branch(node.name, branch),
                node.op,
                tuple(each if each in shared else _in_branch(each, branch) for each in node.inputs),
                node.weights,
            )
            for branch in range(count)
            for node in whole.nodes[len(stem) :]
        ]
        answers = Node(ANSWERS, Concat(), tuple(_in_branch(whole.output, branch) for branch in range(count)))
        return cls(whole, stem, count, replace(whole, nodes=(*kept, *copies, answers), output=ANSWERS))

    def name(self, node: str, branch: int) -> str:
        """Return the name of a node in one branch."""
        return node if node in self.stem else _in_branch(node, branch)

    def branch(self, trained: Graph, number: int) -> Graph:
        """Return the network with the weights of the stem and of one branch.

        Args:
            trained: the network with the branches, with other weights.
            number: of the branch.
        """
        of = trained.by_name
        nodes = (replace(node, weights=of[self.name(node.name, number)].weights) for node in self.whole.nodes)
        return replace(self.whole, nodes=tuple(nodes))


def _in_branch(name: str, branch: int) -> str:
    return f"{name}.branch{branch}"


def cuts(graph: Graph) -> dict[str, int]:
    """Return the tensors through which everything goes, each with how many nodes come before its readers."""
    last_use = {tensor: place for place, node in enumerate(graph.nodes) for tensor in node.inputs}
    found = {graph.input_name: 0}
    live = {graph.input_name}
    for place, node in enumerate(graph.nodes):
        live = {tensor for tensor in (*live, node.name) if last_use.get(tensor, -1) > place}
        if live == {node.name}:
            found[node.name] = place + 1
    return found


def _stem(graph: Graph) -> tuple[str, ...]:
    """Return the nodes up to the last cut before the layers whose maps are as large as the last convolution's."""
    layers = [place for place, node in enumerate(graph.nodes) if node.op.convolves]
    sizes = [graph.shapes[graph.nodes[place].name][1:] for place in layers]
    first = next((place for place, size in zip(layers, sizes, strict=True) if size == sizes[-1]), 0)
    count = max((count for count in cuts(graph).values() if count <= first), default=0)
    stem = graph.nodes[:count]
    if not any(node.op.has_weights for node in stem):
        raise ToolflowError(
            f"'{graph.name}' must have layers before its last stage, and one tensor between: branches share them"
        )
    return tuple(node.name for node in stem)
