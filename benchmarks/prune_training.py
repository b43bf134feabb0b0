"""Train a pruned CIFAR-10 ResNet and, as long and by the same recipe, the dense network that it comes from.

    python benchmarks/prune_training.py DATA --out DIR [--network resnet20|resnet56] [--start FILE] [--pattern 4:16]
        [--tile 0|2|4] [--direct PREFIX]... [--epochs 12] [--rate R] [--batch B] [--images N] [--tune N | --skip N]

DATA holds the pretrained weights and the JPEG streams. The accuracy is read on the 10,000 test images; to choose a
recipe, on the first N of them (`--tune`), which the figure then leaves out (`--skip`). `--pattern dense` trains the
dense network, and with `--taught 0` on the labels alone; `--tile 0` prunes the 3×3 kernels themselves, and `--direct`
does so in the layers whose names begin with PREFIX. The state is kept in DIR after each epoch: run again to go on.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import itertools
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from benchmarks.resnet20_accuracy import EXAMPLE, NORMALISATION
from benchmarks.results import record_row
from quant.sparsity.choice import Choice, choose_layers
from quant.sparsity.pruned_file import load_pruned, save_pruned
from quant.sparsity.steps import PruneStep
from quant.training.checkpoint import Checkpoint
from quant.training.images import TrainingImages
from quant.training.loop import Watch, classes_of, prune_and_train
from quant.training.recipe import Recipe
from toolflow.importers.load import load_model
from toolflow.ir.graph import Graph
from toolflow.numerics.srbs import parse_pattern
from toolflow.passes.pipeline import simplify

WEIGHTS = {
    "resnet20": "cifar10_resnet20_jpeg75_finetuned.safetensors",
    "resnet56": "cifar10_resnet56.safetensors",
}


def cifar10(data: Path, part: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return the images (N, 32, 32, 3) and classes of the training or the test part."""
    with np.load(data / "cifar10_full_jpeg75_streams.npz", allow_pickle=False) as archive:
        jpeg, offset, y = (archive[f"{part}_{name}"] for name in ("jpeg", "offset", "y"))
    images = [np.asarray(Image.open(io.BytesIO(jpeg[a:b].tobytes()))) for a, b in itertools.pairwise(offset)]
    return np.stack(images), y.astype(np.int64)


def main() -> None:
    """Train, and print the accuracy after each step."""
    defaults = Recipe(epochs=12)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--network", choices=list(WEIGHTS), default="resnet20")
    parser.add_argument("--start", type=Path, metavar="FILE", help="pruned.safetensors of a dense run to begin from")
    parser.add_argument("--pattern", default="4:16")
    parser.add_argument("--tile", type=int, choices=(0, 2, 4), default=2)
    parser.add_argument("--direct", action="append", default=[], metavar="PREFIX", help="such layers take no tile")
    parser.add_argument("--epochs", type=int, default=defaults.epochs)
    parser.add_argument("--rate", type=float, default=defaults.rate)
    parser.add_argument("--batch", type=int, default=defaults.batch)
    parser.add_argument("--taught", type=float, default=defaults.taught)
    parser.add_argument("--matched", type=float, default=defaults.matched)
    parser.add_argument("--images", type=int, help="the first N training images alone")
    parser.add_argument("--tune", type=int, metavar="N", help="read the accuracy on the first N test images")
    parser.add_argument("--skip", type=int, default=0, metavar="N", help="leave out the first N test images")
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--record", metavar="ROW", help="record the accuracies as this row of the results")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    dense = simplify(load_model(f"{EXAMPLE}:{arguments.network}", arguments.data / WEIGHTS[arguments.network]))
    if arguments.start is not None:
        dense = load_pruned(dense, arguments.start)
    images, labels = cifar10(arguments.data, "train")
    test_images, test_labels = cifar10(arguments.data, "test")
    used = slice(0, arguments.tune) if arguments.tune else slice(arguments.skip, None)
    tested = test_images[used], test_labels[used]
    data = TrainingImages(images[: arguments.images], labels[: arguments.images], NORMALISATION)
    taught, matched = arguments.taught, arguments.matched
    recipe = Recipe(arguments.epochs, arguments.batch, arguments.rate, taught=taught, matched=matched)
    choices: dict[str, Choice] = {}
    if arguments.pattern != "dense":
        choices, _ = choose_layers(dense, arguments.tile, parse_pattern(arguments.pattern), {})
        for prefix in arguments.direct:
            matching = [name for name in choices if name.startswith(prefix)]
            if not matching:
                parser.error(f"--direct {prefix}: no pruned layer's name begins so; they are {', '.join(choices)}")
            choices.update({name: replace(choices[name], tile=0) for name in matching})
    started = time.monotonic()
    seen = 0

    def told(count: int, what: str) -> None:
        nonlocal seen
        before, seen = seen, seen + count
        if seen // 10_000 > before // 10_000:
            print(f"{time.monotonic() - started:6.0f} s, {seen:,} images: {what}", flush=True)

    def measure(network: Graph) -> float:
        accuracy = float((classes_of(network, tested[0], NORMALISATION) == tested[1]).mean())
        print(f"{time.monotonic() - started:6.0f} s: {100 * accuracy:.2f} % on {len(tested[1]):,} images", flush=True)
        return accuracy

    measure(dense)
    origin = json.dumps([str(vars(arguments)), asdict(recipe)])
    checkpoint = Checkpoint(arguments.out / "training.checkpoint", hashlib.sha256(origin.encode()).hexdigest())
    trained, history = prune_and_train(dense, data, choices, recipe, Watch(measure, told), checkpoint)
    for event in history:
        what = "pruned" if event["loss"] is None else f"trained for {event['epochs']} epochs, loss {event['loss']:.3f}"
        print(f"{event['pattern'] or 'dense'}, {what}: {100 * event['accuracy']:.2f} %")
    if arguments.record:
        record_row("training", arguments.record, _row(arguments.rate, history))
    steps = [PruneStep(pattern=e["pattern"], epochs=e["epochs"], accuracy=e["accuracy"]) for e in history]
    save_pruned(trained, arguments.out / "pruned.safetensors", steps)


def _row(rate: float, history: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return what is recorded: each step's accuracy after pruning and after training."""
    pruned, trained = ([e for e in history if (e["loss"] is None) == before] for before in (True, False))
    return {
        "rate": f"{rate:g}",
        "pattern, epochs": "; ".join(f"{event['pattern'] or 'dense'}, {event['epochs']}" for event in trained),
        "pruned": " / ".join(f"{100 * event['accuracy']:.2f} %" for event in pruned),
        "trained": " / ".join(f"{100 * event['accuracy']:.2f} %" for event in trained),
    }


if __name__ == "__main__":
    main()
