"""The processor time in which the planner finds an engine, for networks for 224 × 224 on every board.

    python benchmarks/planner_time.py [--networks ResNet-18 ..] [--boards zcu104 ..] [--record]

Weights are seeded random integers of 8 bits. The planner runs on one core. Each plan is for one engine that has the
board alone, for latency (one image a start) and for throughput.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial

from benchmarks.board_speed import HIGH_BITS
from benchmarks.results import add_record_option, record, record_row
from tests.conformance.imagenet import NETWORKS, resnet
from toolflow.ir.quantised import QuantisedGraph
from toolflow.plan.boards.board import Board, all_boards, load_board
from toolflow.plan.explore.choose import best_single, timed_engines

MOST_S = 10
PLANNED: Mapping[str, Callable[[], QuantisedGraph]] = {
    **NETWORKS,
    **{f"ResNet-{layers}": partial(resnet, layers) for layers in (18, 34, 50, 101, 152)},
}
OBJECTIVES: Mapping[str, int | None] = {"latency": 1, "throughput": None}  # images of a start


def seconds(name: str, graph: QuantisedGraph, board: Board, batch: int | None) -> float:
    """Return the processor time of a plan."""
    begin = time.process_time()
    best_single(timed_engines(graph, HIGH_BITS, {}, board, alone=True, batch=batch), board, name)
    return time.process_time() - begin


def main() -> None:
    """Print every row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    boards = [name.lower() for name in all_boards()]
    parser.add_argument("--networks", nargs="+", choices=list(PLANNED), default=list(PLANNED))
    parser.add_argument("--boards", nargs="+", choices=boards, default=boards)
    add_record_option(parser)
    arguments = parser.parse_args()
    longest = 0.0
    for name in arguments.networks:
        graph = PLANNED[name]()
        layers = sum(node.op.has_weights for node in graph.nodes)
        row: dict[str, float | str] = {"layers with weights": layers}
        for board in map(load_board, arguments.boards):
            each = {goal: seconds(name, graph, board, batch) for goal, batch in OBJECTIVES.items()}
            longest = max(longest, *each.values())
            row[board.name] = " / ".join(f"{spent:.1f}" for spent in each.values())
        print(f"{name}, s for {' / '.join(OBJECTIVES)}: {row}", flush=True)
        if arguments.record:
            record_row("planner_time", f"{name}, s for {' / '.join(OBJECTIVES)}", row)
    if arguments.record:
        record("Planner, the longest of its networks and boards: s", round(longest, 1), at_most=MOST_S)


if __name__ == "__main__":
    main()
