"""The cost of a network on a board: cycles, resources and traffic of the engine that is best for the network before.

Nothing is quantised: cycles depend on shapes, widths and supports alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from quant.mechanisms.rewrite.layers import with_rectifiers
from quant.post_training.outline import outline
from toolflow.engine.config import EngineConfig
from toolflow.ir.errors import DoesNotFitError
from toolflow.ir.graph import Graph, Node
from toolflow.ir.quantised import QuantisedGraph
from toolflow.plan.boards.board import Board
from toolflow.plan.explore.choose import best_single, timed_engines
from toolflow.plan.explore.estimate import layer_cycles
from toolflow.plan.resources.estimate import estimate_resources
from toolflow.plan.schedule.needs import fitted
from toolflow.plan.schedule.schedule import make_schedule

BITS = 8  # of weights and activations


@dataclass(frozen=True)
class Cost:
    """The cost of a network on one engine.

    Attributes:
        cycles: of an image, every lane busy; engine and memory work in parallel, the slower one counts.
        dsps, luts, block_rams: of the engine with the depths that the network needs; block RAM in halves.
        traffic_bytes: to and from the external memory, of an image.
        parameters: weights and biases.
        stored_bits: of the weights.
    """

    cycles: float
    dsps: float
    luts: float
    block_rams: float
    traffic_bytes: float
    parameters: int
    stored_bits: int


@dataclass(frozen=True)
class Pricing:
    """Prices networks on one engine of a board.

    Attributes:
        board: the board.
        engine: the engine.
    """

    board: Board
    engine: EngineConfig

    @classmethod
    def of(cls, graph: Graph, board: Board, fixed: Mapping[str, int | str] | None = None) -> Pricing:
        """Return the prices on the engine that is best for a network.

        Raises:
            DoesNotFitError: no engine for the network fits the board.
        """
        timed = timed_engines(_planned(graph), BITS, fixed or {}, board, alone=True)
        return cls(board, best_single(timed, board, f"'{graph.name}' at {BITS} bits").config)

    def cycles(self, graph: Graph) -> float:
        """Return the cycles of an image; infinite if the engine cannot run the network on the board."""
        counted = layer_cycles(_planned(graph), self.engine, self.board)
        if counted is None:
            return float("inf")
        memory = sum(counted.memory.values()) + counted.memory_rest
        return max(sum(counted.engine.values()) + counted.engine_rest, memory)

    def cost(self, graph: Graph) -> Cost:
        """Return the whole cost of a network.

        Raises:
            DoesNotFitError: the engine cannot run the network on the board.
        """
        planned = _planned(graph)
        counted = layer_cycles(planned, self.engine, self.board)
        if counted is None:
            raise DoesNotFitError(f"the engine for {self.board.name} cannot run '{graph.name}' as it is now")
        total = estimate_resources(fitted(make_schedule(planned, self.engine)).config, self.board.family).total
        memory = sum(counted.memory.values()) + counted.memory_rest
        layers = [node for node in graph.nodes if node.op.has_weights]
        values = sum(int(np.count_nonzero(node.weights["weight"])) for node in layers if node.op.pattern is not None)
        values += sum(node.weights["weight"].size for node in layers if node.op.pattern is None)
        return Cost(
            cycles=max(sum(counted.engine.values()) + counted.engine_rest, memory),
            dsps=total.dsps,
            luts=total.luts,
            block_rams=total.block_rams,
            traffic_bytes=memory * self.board.sustained_bytes_per_cycle,
            parameters=values + sum(each.size for node in graph.nodes for each in _beside_weights(node)),
            stored_bits=values * BITS,
        )


def _beside_weights(node: Node) -> list[npt.NDArray[np.generic]]:
    return [array for name, array in node.weights.items() if name != "weight"]


def _planned(graph: Graph) -> QuantisedGraph:
    """Return the network as it is planned: every weight there, or the support of a pattern.

    Activations of segments are planned as ReLUs: a table in the drain takes as many cycles.
    """
    graph = with_rectifiers(graph)
    outlined = outline(graph, BITS)
    nodes = []
    for node in outlined.nodes:
        if node.op.has_weights:
            given = node.weights["weight"]
            kept = np.broadcast_to(np.int64(1), given.shape)
            if node.op.pattern is not None and node.name in graph.by_name:
                kept = (graph.by_name[node.name].weights["weight"] != 0).astype(np.int64)
            node = replace(node, weights={"weight": kept}, weight_bits=BITS)
        nodes.append(node)
    return replace(outlined, nodes=tuple(nodes))
