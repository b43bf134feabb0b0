"""Edit a graph: replace nodes by name, merge them, and remove unused ones."""

from __future__ import annotations

from dataclasses import replace

from toolflow.ir.graph import Graph, Node


class Rewriter:
    """An editable copy of a graph; questions about readers refer to the graph as it was.

    A merged node's readers read the node that it was merged into. Nodes that nobody reads any
    more are dropped by `result`.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._nodes: dict[str, tuple[Node, ...]] = {node.name: (node,) for node in graph.nodes}
        self._current = {node.name: node for node in graph.nodes}
        self._alias: dict[str, str] = {}

    def only_read_once(self, tensor: str) -> bool:
        """Return whether exactly one node reads a tensor and it is not the graph's output."""
        return len(self.graph.consumers.get(tensor, ())) == 1 and tensor != self.graph.output

    def tensor(self, name: str) -> str:
        """Return the name of a tensor after the merges so far."""
        while name in self._alias:
            name = self._alias[name]
        return name

    def producer(self, tensor: str) -> Node | None:
        """Return the node that makes a tensor now, None for the graph's input."""
        return self._current.get(self.tensor(tensor))

    def replace(self, name: str, *nodes: Node) -> None:
        """Put nodes where the node `name` is; one of them must bear its name."""
        self._nodes[name] = nodes
        self._current.update((node.name, node) for node in nodes)

    def merge(self, name: str, into: str) -> None:
        """Remove a node; its readers read the tensor `into`."""
        self._nodes[name] = ()
        self._alias[name] = into

    def result(self) -> Graph:
        """Return the edited graph without unused nodes."""
        nodes = [
            replace(node, inputs=tuple(self.tensor(t) for t in node.inputs))
            for group in self._nodes.values()
            for node in group
        ]
        output = self.tensor(self.graph.output)
        needed = {output}
        kept = []
        for node in reversed(nodes):
            if node.name in needed:
                kept.append(node)
                needed.update(node.inputs)
        return replace(self.graph, nodes=tuple(reversed(kept)), output=output)
