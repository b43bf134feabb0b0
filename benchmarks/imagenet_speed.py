"""Images/s of networks for images of 224 × 224 on whole boards, and the time in which the planner finds their engines.

    python benchmarks/imagenet_speed.py [--networks ResNet-18 ..] [--boards zcu104 ..] [--record]

Weights are seeded random integers of 8 bits, as only speed is measured. The cycles are the cycle model's, with an image
in every lane or, where that is faster, with one image in all lanes. Maps that a board does not hold lie in external
memory, and their layers run in bands of rows.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

from benchmarks.board_speed import HIGH_BITS, shape, speed
from benchmarks.results import add_record_option, record_row
from tests.conformance.imagenet import NETWORKS
from toolflow.ir.quantised import QuantisedGraph
from toolflow.plan.boards.board import Board, load_board
from toolflow.plan.explore.choose import best_single, bounds, timed_engines

BOARDS = ("kv260", "zcu104", "pynq-z2", "ulx3s-85f")


def measure(name: str, graph: QuantisedGraph, board: Board) -> dict[str, float | str]:
    """Return, and print, the row of a network on a board."""
    begin = time.perf_counter()
    chosen = best_single(timed_engines(graph, HIGH_BITS, {}, board, alone=True), board, name)
    seconds = time.perf_counter() - begin
    spent: Counter[str] = Counter()
    for instruction in chosen.report.instructions:
        spent[instruction.bound] += instruction.cycles
    row: dict[str, float | str] = {
        "engine": shape(chosen.config),
        "batch": chosen.report.images,
        "cycles an image, model": round(chosen.report.cycles_per_image),
        "utilisation %": round(100 * chosen.report.utilisation, 1),
        "cycles that move images and maps %": round(100 * spent["memory"] / sum(spent.values()), 1),
        "estimated clock, MHz": board.clock_mhz,
        "images/s": round(speed(chosen, board), 1),
        "planned in, s": round(seconds, 1),
        "bounds": bounds([chosen], board),
    }
    print(f"{name} on {board.name}: {row}", flush=True)
    return row


def main() -> None:
    """Print every row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--boards", nargs="+", choices=BOARDS, default=BOARDS)
    add_record_option(parser)
    arguments = parser.parse_args()
    for name in arguments.networks:
        graph = NETWORKS[name]()
        for board in map(load_board, arguments.boards):
            row = measure(name, graph, board)
            if arguments.record:
                record_row("imagenet_speed", f"{name}, W8A8, {board.name}", row)


if __name__ == "__main__":
    main()
