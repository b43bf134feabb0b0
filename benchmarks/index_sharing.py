"""ResNet-20 on CIFAR-10 with patterns whose indices 1, 2 or 4 output channels share, pruned without training.

    python benchmarks/index_sharing.py DATA [--patterns 4:16 8:16 2:8] [--tile 0|2|4] [--record]

DATA holds the pretrained weights and the images. Pruning and quantisation see 1,024 training images; the accuracies are
those of the pruned float network and of its 8-bit integers on all 10,000 test images, which no choice has seen.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.resnet20_accuracy import NORMALISATION, UInt8Array, resnet20, test_images, training_images
from benchmarks.results import add_record_option, record_row
from quant.config import QuantiseConfig
from quant.quantise import quantise
from quant.sparsity.choice import choose_layers
from quant.sparsity.prune import prune_graph
from quant.training.images import Labels
from quant.training.loop import classes_of
from toolflow.interpreter.run import logits_of
from toolflow.ir.graph import Graph
from toolflow.numerics.srbs import SHARING, Pattern, parse_pattern


def accuracies(
    graph: Graph, training: UInt8Array, tested: tuple[UInt8Array, Labels], tile: int, pattern: Pattern
) -> tuple[float, float]:
    """Return the accuracy of a pruned network in per cent, in float and in 8-bit integers."""
    images, labels = tested
    choices, _ = choose_layers(graph, tile, pattern, {})
    pruned = prune_graph(graph, training, NORMALISATION, choices)
    right = classes_of(pruned, images, NORMALISATION) == labels
    integers = quantise(pruned, training, NORMALISATION, QuantiseConfig()).graph
    right_integers = logits_of(integers, images).argmax(axis=1) == labels
    return round(100 * float(right.mean()), 2), round(100 * float(right_integers.mean()), 2)


def measure(data: Path, patterns: Sequence[Pattern], tile: int, *, recorded: bool) -> None:
    """Print, and record, a row of every pattern."""
    graph, training, tested = resnet20(data), training_images(data), test_images(data, 10_000)
    for pattern in patterns:
        row: dict[str, float | str] = {}
        for outputs in SHARING:
            floats, integers = accuracies(graph, training, tested, tile, replace(pattern, outputs=outputs))
            what = "own indices" if outputs == 1 else f"shared by {outputs}"
            row |= {f"{what}, float %": floats, f"{what}, W8A8 %": integers}
            print(f"{replace(pattern, outputs=outputs)}: {floats:.2f} % float, {integers:.2f} % W8A8", flush=True)
        if recorded:
            record_row("index_sharing", f"{pattern}, {f'F({tile},3)' if tile else 'direct'}", row)


def main() -> None:
    """Measure every pattern."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--patterns", nargs="+", type=parse_pattern, default=[Pattern(4, 16), Pattern(8, 16), Pattern(2, 8)]
    )
    parser.add_argument("--tile", type=int, choices=(0, 2, 4), default=0)
    add_record_option(parser)
    arguments = parser.parse_args()
    measure(arguments.data, arguments.patterns, arguments.tile, recorded=arguments.record)


if __name__ == "__main__":
    main()
