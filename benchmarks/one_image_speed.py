"""Images/s of one image after the other on whole boards: starts of one image, whose rows fill all lanes.

    python benchmarks/one_image_speed.py [--networks ResNet-18 ..] [--data FOLDER] [--record]

Weights of the networks for 224 × 224 and of ResNet-8 are seeded random integers, as only speed is measured. The cycles
are the cycle model's. Two bounds stand beside each speed: every multiplier of the engine busy in every cycle, and the
network's weights read once through the port for weights.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.board_speed import HIGH_BITS, resnet8_graph, shape, speed
from benchmarks.resnet20_accuracy import resnet20
from benchmarks.results import SILICON, add_record_option, record, record_row
from quant.config import Normalisation, QuantiseConfig
from quant.quantise import quantise
from tests.conformance.imagenet import NETWORKS
from toolflow.ir.quantised import QuantisedGraph
from toolflow.plan.boards.board import Board, load_board
from toolflow.plan.explore.choose import best_single, bounds, timed_engines

CASES = (  # network, board, images/s to reach, images/s before stripes
    ("ResNet-20", "kv260", 7600, 308),
    ("ResNet-8", "zc706", 6790, "not measured"),
    ("ResNet-8", "pynq-z2", 2431, "not measured"),
    ("ResNet-18", "zcu104", 280, 78),
    ("MobileNet-v2", "zcu104", 600, 88),
    ("ResNet-50", "zcu104", 85, 34),
    ("VGG-16", "zcu104", 32, 3.1),
)


def network(name: str, data: Path) -> QuantisedGraph:
    """Return a network at 8 bits."""
    if name == "ResNet-8":
        return resnet8_graph()[0]
    if name == "ResNet-20":
        images = np.random.default_rng(8).integers(0, 256, (64, 32, 32, 3)).astype(np.uint8)
        normalisation = Normalisation(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), scale=1 / 255)
        return quantise(resnet20(data), images, normalisation, QuantiseConfig()).graph
    return NETWORKS[name]()


def measure(name: str, graph: QuantisedGraph, board: Board) -> dict[str, float | str]:
    """Return, and print, the row of a network on a board."""
    begin = time.perf_counter()
    chosen = best_single(timed_engines(graph, HIGH_BITS, {"stripes": 1}, board, alone=True, batch=1), board, name)
    seconds = time.perf_counter() - begin
    config, report = chosen.config, chosen.report
    spent: Counter[str] = Counter()
    for instruction in report.instructions:
        spent[instruction.bound] += instruction.cycles
    shares = ", ".join(f"{bound} {cycles / report.total_cycles:.0%}" for bound, cycles in spent.most_common())
    weights = sum(node.weights["weight"].size for node in graph.nodes if "weight" in node.weights)
    row: dict[str, float | str] = {
        "engine": shape(config),
        "cycles, model": report.total_cycles,
        "utilisation %": round(100 * report.utilisation, 1),
        "spent on": shares,
        "estimated clock, MHz": board.clock_mhz,
        "images/s": round(speed(chosen, board), 1),
        "bound by products": round(speed(chosen, board) / report.utilisation, 1),
        "bound by weights": round(board.clock_mhz * 1e6 * config.bus_bytes / weights, 1),
        "planned in, s": round(seconds, 1),
        "bounds": bounds([chosen], board),
    }
    print(f"{name} on {board.name}: {row}", flush=True)
    return row


def main() -> None:
    """Print every row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = list(dict.fromkeys(name for name, *_ in CASES))
    parser.add_argument("--networks", nargs="+", choices=names, default=names)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the weights of ResNet-20")
    add_record_option(parser)
    arguments = parser.parse_args()
    for name, board_name, least, before in CASES:
        if name in arguments.networks:
            board = load_board(board_name)
            row = measure(name, network(name, arguments.data), board)
            if arguments.record:
                record_row("one_image_speed", f"{name}, W8A8, {board.name}", row)
                title = f"{name}, W8A8, dense, one image, {board.name}: images/s"
                record(title, row["images/s"], at_least=least, before=before, table=SILICON)


if __name__ == "__main__":
    main()
