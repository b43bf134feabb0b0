"""Images/s of ResNet-20 with sub-row-balanced sparsity beside the dense 8-bit unit, on whole boards.

    python benchmarks/sparse_speed.py DATA [--pruned FILE ..] [--patterns n:S ..] [--boards kv260 ..] [--record]

DATA holds the pretrained weights and the images. A FILE is the pruned.safetensors of a trained network
(`prune_training.py`); a pattern is pruned here, without training. All are quantised to 8 bits on 1,024 training images;
accuracies are those of the integers on all 10,000 test images, which no choice has seen. The planner chooses each
engine, with an image in every lane; cycles are the cycle model's.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.board_speed import shape, speed
from benchmarks.resnet20_accuracy import NORMALISATION, UInt8Array, resnet20, test_images, training_images
from benchmarks.results import SILICON, add_record_option, record, record_row
from quant.config import QuantiseConfig
from quant.quantise import quantise
from quant.sparsity.choice import choose_layers
from quant.sparsity.prune import prune_graph
from quant.sparsity.pruned_file import load_pruned, pruning_steps
from toolflow.interpreter.run import logits_of
from toolflow.ir.graph import Graph
from toolflow.ir.quantised import QuantisedGraph
from toolflow.numerics.srbs import Pattern, parse_pattern
from toolflow.plan.boards.board import Board, load_board
from toolflow.plan.explore.choose import Candidate, best_single, bounds, timed_engines

BOARDS = "kv260", "zcu104", "pynq-z2"
BITS = 8
PATTERNS = [Pattern(4, 16), Pattern(2, 8), Pattern(4, 16, 2), Pattern(2, 8, 2)]
DENSE = "dense"
LEAST = 1.7  # times the dense unit's images/s
ALLOWED = 0.5  # points below the dense unit


def networks(
    dense: Graph, training: UInt8Array, pruned: Sequence[Path], patterns: Sequence[Pattern]
) -> Iterator[tuple[str, QuantisedGraph]]:
    """Yield the dense network and every sparse one as integers, with a name."""
    yield DENSE, _integers(dense, training)
    for path in pruned:
        last = pruning_steps(path)[-1]
        yield f"{last.pattern}, trained for {last.epochs} epochs", _integers(load_pruned(dense, path), training)
    for pattern in patterns:
        choices, _ = choose_layers(dense, 0, pattern, {})
        made = prune_graph(dense, training, NORMALISATION, choices)
        yield f"{pattern}, not trained", _integers(made, training)


def _integers(graph: Graph, training: UInt8Array) -> QuantisedGraph:
    return quantise(graph, training, NORMALISATION, QuantiseConfig()).graph


def row(single: Candidate, board: Board, accuracy: float, dense: tuple[float, float]) -> dict[str, float | str]:
    """Return what is recorded of a network on a board.

    Args:
        single: its engine.
        board: the board.
        accuracy: of its integers, in per cent.
        dense: images/s and accuracy of the dense network.
    """
    images = speed(single, board)
    return {
        "engine": shape(single.config),
        "cycles an image, model": round(single.report.cycles_per_image),
        "utilisation %": round(100 * single.report.utilisation, 1),
        "images/s": round(images),
        "× dense": round(images / dense[0], 2),
        "accuracy %": round(accuracy, 2),
        "below dense, points": round(dense[1] - accuracy, 2),
        "bounds": bounds([single], board),
    }


def measure(
    data: Path, pruned: Sequence[Path], patterns: Sequence[Pattern], boards: Sequence[str], recorded: bool
) -> None:
    """Print, and record, a row for every network on every board."""
    images, labels = test_images(data, 10_000)
    denses: dict[str, tuple[float, float]] = {}
    best: dict[str, float] = {}
    for what, graph in networks(resnet20(data), training_images(data), pruned, patterns):
        accuracy = 100 * float((logits_of(graph, images).argmax(axis=1) == labels).mean())
        for name in boards:
            board = load_board(name)
            single = best_single(timed_engines(graph, BITS, {}, board, alone=True), board, what)
            dense = denses.setdefault(name, (speed(single, board), accuracy))
            found = row(single, board, accuracy, dense)
            print(f"{what} on {board.name}: {found}", flush=True)
            if what != DENSE and dense[1] - accuracy <= ALLOWED:
                best[board.name] = max(best.get(board.name, 0.0), speed(single, board) / dense[0])
            if recorded:
                record_row("sparse_speed", f"{board.name}, {what}", found)
    for name, ratio in best.items():
        title = (
            f"Sparse ResNet-20 of at most {ALLOWED} points below the dense W8A8 unit, {name}: images/s over that unit"
        )
        print(f"{title}: {ratio:.2f}")
        if recorded:
            record(title, round(ratio, 2), "×", at_least=LEAST, before="", table=SILICON)


def main() -> None:
    """Measure every network on every board."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--pruned", nargs="+", type=Path, default=[])
    parser.add_argument("--patterns", nargs="*", type=parse_pattern, default=PATTERNS)
    parser.add_argument("--boards", nargs="+", choices=BOARDS, default=BOARDS)
    add_record_option(parser)
    arguments = parser.parse_args()
    measure(arguments.data, arguments.pruned, arguments.patterns, arguments.boards, arguments.record)


if __name__ == "__main__":
    main()
