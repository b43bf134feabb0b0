"""ResNet-20 on CIFAR-10 without training: direct, F(2,3) and F(4,3), dense and sub-row-balanced, at 8 and 4 bits.

    python benchmarks/winograd_accuracy.py DATA [--images 6000 | --all] [--only W8F2 W8F2:8/16 W4auto ..]
        [--board zcu104]

DATA holds the pretrained weights and the images. Quantisation sees 1,024 training images only. The search of each
layer's tile (auto) saves cycles on the board and judges on the first 4,000 test images;
accuracies are those of the integer reference on others, with `--all` on all 10,000, of networks for which none is
searched. Cycles are those of an image, every lane busy, on the engine that the planner takes for the network. The
seconds are those of quantisation: support, least squares and rounding, with the search if there is one.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.resnet20_accuracy import NORMALISATION, UInt8Array, resnet20, test_images, training_images
from benchmarks.results import add_record_option, record_row
from quant.arrangement.forms import multiplications
from quant.config import QuantiseConfig
from quant.quantise import Variant, quantise
from quant.search.prices import Target
from quant.search.problem import Answered, Problem
from quant.search.search import search
from quant.search.sensitivity import Space
from quant.sparsity.choice import choice_of
from toolflow.interpreter.run import logits_of
from toolflow.ir.graph import Graph
from toolflow.numerics.srbs import Pattern
from toolflow.operators import Conv, WinogradConv
from toolflow.plan.boards.board import Board, load_board
from toolflow.plan.explore.choose import best_single, timed_engines

TILES: tuple[Literal[0, 2, 4], ...] = (0, 2, 4)
# bits, tile, pattern
CASES: dict[str, QuantiseConfig] = {
    f"W{bits}F{tile}{'' if pattern is None else f':{pattern.kept}/{pattern.sub_row}'}": QuantiseConfig(
        weight_bits=bits, activation_bits=bits, tile=tile, pattern=pattern
    )
    for bits, tile, pattern in (
        *((bits, tile, None) for bits in (8, 4) for tile in TILES),
        *((8, tile, pattern) for pattern in (Pattern(8, 16), Pattern(4, 8), Pattern(3, 16)) for tile in TILES[1:]),
        (8, 0, Pattern(8, 16)),
    )
}  # fmt: skip
SEARCHED = {"W8auto": 8, "W4auto": 4}
JUDGED, ALLOWED = 4000, 0.003


def main() -> None:
    """Print accuracy, multiplications and time of every case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--only", nargs="+", choices=[*CASES, *SEARCHED])
    parser.add_argument("--all", action="store_true", help="read the accuracy on all test images, and search nothing")
    parser.add_argument("--board", type=load_board, default="zcu104")
    add_record_option(parser)
    arguments = parser.parse_args()
    if arguments.all and set(arguments.only or ()) & set(SEARCHED):
        parser.error("--all leaves no images to search on")
    graph = resnet20(arguments.data)
    training = training_images(arguments.data)
    images, labels = test_images(arguments.data, 10_000 if arguments.all else JUDGED + arguments.images)
    if not arguments.all:
        judged, images = np.split(images, [JUDGED])
        truth, labels = np.split(labels, [JUDGED])
    by_tile: dict[str, dict[str, float]] = {}
    for name in [*CASES, *([] if arguments.all else SEARCHED)]:
        if arguments.only is not None and name not in arguments.only:
            continue
        start = time.perf_counter()
        config = (
            CASES[name] if name in CASES else _searched(graph, training, Answered(judged, truth), name, arguments.board)
        )
        made = quantise(graph, training, NORMALISATION, config)
        seconds = time.perf_counter() - start
        right = float((logits_of(made.graph, images).argmax(axis=1) == labels).mean())
        count, layers = _convolutions(made)
        engines = timed_engines(made.graph, config.weight_bits, {}, arguments.board, alone=True)
        cycles = best_single(engines, arguments.board, name).cycles_per_image
        print(
            f"{name:14} {100 * right:.2f} %, {cycles:,.0f} cycles, {count / 1e6:5.1f} M multiplications in "
            f"convolutions; {layers}; quantised in {seconds:.0f} s",
            flush=True,
        )
        percent = round(100 * right, 2)
        if arguments.all:
            form = "dense" if config.pattern is None else str(config.pattern)
            tile = f"F({config.tile},3)" if config.tile else "direct"
            by_tile.setdefault(f"W{config.weight_bits}A{config.weight_bits}, {form}", {})[f"{tile} %"] = percent
        elif arguments.record and (name in SEARCHED or config.pattern is None):
            title = "searched" if name in SEARCHED else f"F({config.tile},3)" if config.tile else "direct"
            values: dict[str, float | str] = {
                "accuracy %": percent,
                "cycles an image, predicted": round(cycles),
                "layers": layers,
            }
            values["multiplications in convolutions, M"] = round(count / 1e6, 1)
            record_row("tile_search", f"W{config.weight_bits}A{config.weight_bits}, {title}", values)
    if arguments.record:
        for row, accuracies in by_tile.items():
            record_row("winograd_accuracy", row, accuracies)


def _searched(graph: Graph, training: UInt8Array, judged: Answered, name: str, board: Board) -> QuantiseConfig:
    """Search the tiles of every layer for the cycles of the board, and print what was judged."""
    bits = SEARCHED[name]
    plain = QuantiseConfig(weight_bits=bits, activation_bits=bits)
    space = Space((0, 2, 4), (None,), (bits,), (bits,))
    target = Target(board, bits, {})
    found = search(Problem(graph, training, NORMALISATION, plain, space, judged, ALLOWED, target))
    for trial in found.trials:
        print(f"  judged: {100 * trial.accuracy:.2f} % at {100 * trial.cost:.1f} % of the cycles", flush=True)
    return found.config


def _convolutions(made: Variant) -> tuple[int, str]:
    """Return the multiplications of all convolutions for one image, and how many of them have each form."""
    found = [
        (node.op, node.weights["weight"], made.graph.shapes[node.name])
        for node in made.model.graph.nodes
        if isinstance(node.op, Conv | WinogradConv)
    ]
    forms = Counter(_form(op) for op, _, _ in found)
    layers = ", ".join(f"{number} {form}" for form, number in sorted(forms.items()))
    return sum(multiplications(*each) for each in found), layers


def _form(op: Conv | WinogradConv) -> str:
    choice = choice_of(op)
    tile = f"F({choice.tile},3)" if choice.tile else "direct"
    return tile if choice.pattern is None else f"{tile} {choice.pattern}"


if __name__ == "__main__":
    main()
