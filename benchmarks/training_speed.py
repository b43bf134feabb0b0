"""Training speed of pruned networks, forward and backward: quant/training/native against torch, in alternation.

    python benchmarks/training_speed.py [--threads 1] [--rounds 3] [--batches 8]

Weights and images are random, which the time does not depend on. Each round trains the same batches both ways.
"""

from __future__ import annotations

import argparse
import time
from contextlib import nullcontext
from unittest import mock

import numpy as np
import torch

from benchmarks.resnet20_accuracy import EXAMPLE, NORMALISATION
from benchmarks.results import add_record_option, record, record_row
from quant.sparsity.choice import Choice, choose_layers, shaped
from quant.training.images import TrainingImages
from quant.training.trainable import TrainableNetwork
from toolflow.importers.load import load_model
from toolflow.ir.graph import Graph
from toolflow.numerics.srbs import Pattern
from toolflow.passes.pipeline import simplify

BATCH = 64
CASES: dict[str, tuple[str, int, Pattern | None]] = {
    "ResNet-20, F(2,3), 4:16": ("resnet20", 2, Pattern(4, 16)),
    "ResNet-20, F(2,3), 8:16": ("resnet20", 2, Pattern(8, 16)),
    "ResNet-20, F(2,3), dense": ("resnet20", 2, None),
    "ResNet-20, F(4,3), 4:16": ("resnet20", 4, Pattern(4, 16)),
    "ResNet-56, F(2,3), 4:16": ("resnet56", 2, Pattern(4, 16)),
}


def network(name: str, tile: int, pattern: Pattern | None) -> Graph:
    """Return an example network, not trained, with its 3 × 3 layers in the form."""
    graph = simplify(load_model(f"{EXAMPLE}:{name}", None))
    chosen, _ = choose_layers(graph, tile, pattern or Pattern(1, 16), {})
    return shaped(graph, {layer: Choice(choice.tile, pattern) for layer, choice in chosen.items()})


def seconds(graph: Graph, x: torch.Tensor, batches: int) -> float:
    """Return how long so many forward and backward passes take."""
    trained = TrainableNetwork(graph).with_norms(x).train()
    torch.autograd.backward(trained(x).square().mean())
    started = time.perf_counter()
    for _ in range(batches):
        torch.autograd.backward(trained(x).square().mean())
    return time.perf_counter() - started


def main() -> None:
    """Print a line for each network and layer form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, default=8)
    add_record_option(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, 32, 32, 3), dtype=np.uint8)
    x = TrainingImages(pixels, None, NORMALISATION).inputs(pixels, torch.device("cpu"))
    for name, case in CASES.items():
        graph = network(*case)
        took: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(arguments.rounds):
            for native, times in took.items():
                without = mock.patch("quant.training.trainable.can_run", return_value=False)
                with nullcontext() if native else without:
                    times.append(seconds(graph, x, arguments.batches))
        ours, alone = (BATCH * arguments.batches / min(took[kind]) for kind in (True, False))
        print(f"{name}: {ours:.0f} images/s, torch alone {alone:.0f}: {ours / alone:.2f} times", flush=True)
        if arguments.record:
            speeds = {"`quant/training/native`": round(ours), "torch alone": round(alone)}
            record_row("training_speed", name, {**speeds, "ratio": round(ours / alone, 2)})
            if name == next(iter(CASES)):
                record(f"{name}: training speed-up", round(ours / alone, 2), "×")


if __name__ == "__main__":
    main()
