"""How well Adaptive BN's judgement of pruned networks predicts their accuracy after fine-tuning.

    python benchmarks/adaptive_bn.py digits [--candidates 24] [--epochs 6] [--work build/compression]
    python benchmarks/adaptive_bn.py cifar10 --data DATA [--images N] ..

Each candidate loses the smallest channels of every layer, at rates drawn at random for each layer. It is judged as it
is, and with the statistics of the network before. Then it is fine-tuned and measured on the test images. The program
prints Spearman's rank correlation of both judgements with that accuracy. If interrupted, it continues where it stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import yaml
from scipy.stats import spearmanr

from benchmarks.compression import SETTINGS, Task, cifar10_task, digits_task
from benchmarks.results import add_record_option, record_row
from quant.cascade.split import stratified_split
from quant.config import Normalisation
from quant.mechanisms.finetune import fine_tuned
from quant.mechanisms.judge import Judge, Trial, sampled
from quant.mechanisms.rewrite.channels import ChannelMap
from quant.mechanisms.saliency import magnitudes
from quant.mechanisms.search.store import Store
from quant.training.images import TrainingImages
from quant.training.loop import classes_of
from quant.training.recipe import Recipe

MOST = 0.9  # of a layer's channels that go
SHARE = 0.1  # of the training images that judge
RATE = 0.002
DRAWS = 10_000  # of candidates, for the interval


def measured(task: Task, count: int, epochs: int, limit: int | None, seed: int, store: Store) -> np.ndarray:
    """Return (count, 3): accuracy as it is, with adapted statistics, and after fine-tuning."""
    graph = task.source.graph()
    data = task.source.images(graph)
    assert data.labels is not None
    images, labels = data.images[:limit], data.labels[:limit]
    normalisation = Normalisation(mean=data.pixels.mean, std=data.pixels.std, scale=data.pixels.scale)
    judged, trained = stratified_split(len(images), labels, SHARE, seed)
    training = TrainingImages(images[trained], labels[trained], normalisation)
    sample = training.images[sampled(graph, training.images, seed)]
    judge = Judge.of(graph, images[judged], labels[judged], normalisation, sample)
    tested, classes, _ = task.tested()
    channels = ChannelMap.of(graph)
    size = magnitudes(channels)
    recipe = Recipe(epochs, task.given["batch"], RATE, flip=task.given["flip"], seed=seed)
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        removed: set[int] = set()
        for width in channels.widths:
            order = sorted(width.classes, key=lambda each: (size.get(each, 0.0), each))
            removed |= channels.thinned(order, round(rng.uniform(0, MOST) * len(order)))
        pruned, masks = channels.without(removed), channels.masks(removed)
        key = f"{seed} {number} {epochs} {limit}"
        found = store.get(key)
        if found is None:
            kept = {name: masks[name] for name in judge.wanted}
            after = fine_tuned(pruned, graph, training, recipe)
            right = classes_of(after, tested, normalisation) == classes
            found = [judge.accuracy(Trial(pruned)), judge.accuracy(Trial(pruned, kept)), float(right.mean())]
            store.put(key, found)
        print(f"candidate {number}: {', '.join(f'{100 * each:.2f} %' for each in found)}", flush=True)
        rows.append(found)
    return np.array(rows)


def main() -> None:
    """Print both rank correlations with their intervals."""
    settings = yaml.safe_load(SETTINGS.read_text(encoding="utf-8"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=list(settings))
    parser.add_argument("--data", type=Path, help="the folder of pretrained weights and images, for cifar10")
    parser.add_argument("--candidates", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("build/compression"))
    parser.add_argument("--images", type=int, metavar="N", help="the first N training images alone")
    add_record_option(parser)
    arguments = parser.parse_args()
    if arguments.task == "cifar10" and arguments.data is None:
        parser.error("cifar10 needs --data, the folder of pretrained weights and images")
    given = settings[arguments.task]
    work = arguments.work.resolve() / arguments.task
    work.mkdir(parents=True, exist_ok=True)
    task = digits_task(work, given) if arguments.task == "digits" else cifar10_task(work, given, arguments.data)
    store = Store(work / "adaptive_bn.lines")
    found = measured(task, arguments.candidates, arguments.epochs, arguments.images, arguments.seed, store)
    plain, adapted = (_correlation(found, column) for column in (0, 1))
    rng = np.random.default_rng(0)
    again = (found[rng.integers(len(found), size=len(found))] for _ in range(DRAWS))
    differences = [_correlation(some, 1) - _correlation(some, 0) for some in again]
    low, high = np.nanpercentile(differences, (2.5, 97.5))
    print(f"as it is {plain:.3f}, Adaptive BN {adapted:.3f}; difference {low:+.3f} to {high:+.3f} (95 %)")
    if arguments.record:
        values = {
            "as it is": round(plain, 3),
            "with Adaptive BN": round(adapted, 3),
            "difference, 95 %": f"{low:+.3f} to {high:+.3f}",
            "candidates": len(found),
            "epochs": arguments.epochs,
            "training images": len(task.source.images(task.source.graph()).images[: arguments.images]),
        }
        record_row("adaptive_bn", task.name, values)


def _correlation(found: np.ndarray, column: int) -> float:
    if np.ptp(found[:, column]) == 0 or np.ptp(found[:, 2]) == 0:
        return float("nan")
    return float(spearmanr(found[:, column], found[:, 2]).statistic)


if __name__ == "__main__":
    main()
