"""ResNet-20 on CIFAR-10: accuracy of both variants, the cascade's forwarded share, the reference's speed.

    python benchmarks/resnet20_accuracy.py SHARED_DATA [--images 10000] [--family multiplier]

SHARED_DATA holds the pretrained weights and the images. Quantisation sees training images only; the
cascade is tuned on one half of the test images and reported on the other, both ways.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from benchmarks.results import add_record_option, record
from quant.cascade.calibrate import CalibrationOptions, calibrate
from quant.cascade.measure import evaluate_cascade
from quant.config import Family, Normalisation, QuantiseConfig
from quant.float_network import float_classes, float_logits
from quant.quantise import Pair, make_pair
from toolflow.importers.load import load_model
from toolflow.interpreter.run import logits_of, run
from toolflow.ir.graph import Graph
from toolflow.passes.pipeline import simplify

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORMALISATION = Normalisation(mean=MEAN, std=STD, scale=1 / 255)
EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "resnet20.py"
CALIBRATION_IMAGES = 1024
TOLERANCE = 0.005

UInt8Array = npt.NDArray[np.uint8]


def resnet20(data: Path) -> Graph:
    """Return the pretrained network, simplified."""
    return simplify(load_model(f"{EXAMPLE}:resnet20", data / "cifar10_resnet20_jpeg75_finetuned.safetensors"))


def training_images(data: Path, count: int = CALIBRATION_IMAGES) -> UInt8Array:
    """Return the first training images, uint8 (N, 32, 32, 3)."""
    streams = np.load(data / "cifar10_full_jpeg75_streams.npz")
    offsets, jpeg = streams["train_offset"], streams["train_jpeg"]
    decoded = [Image.open(io.BytesIO(jpeg[offsets[i] : offsets[i + 1]].tobytes())) for i in range(count)]
    return np.stack([np.asarray(image) for image in decoded])


def test_images(data: Path, count: int) -> tuple[UInt8Array, npt.NDArray[np.int64]]:
    """Return the first test images and their classes."""
    archive = np.load(data / "cifar10_test_jpeg75.npz")
    return archive["x"][:count], archive["y"][:count].astype(np.int64)


def pair(data: Path, graph: Graph, family: Family = "multiplier", low_bits: int = 4) -> Pair:
    """Return the low- and the high-precision variant."""
    low = QuantiseConfig(weight_bits=low_bits, activation_bits=low_bits, family=family)
    return make_pair(graph, training_images(data), NORMALISATION, low, QuantiseConfig(family=family))


def speed(graph: Graph, variants: Pair, images: UInt8Array) -> tuple[float, float]:
    """Return images per second of the integer reference and of torch float, best of three, interleaved."""
    x = torch.as_tensor(NORMALISATION.apply(images)).float()
    best = [float("inf"), float("inf")]
    works: tuple[Callable[[], object], ...] = (
        lambda: run(variants.high.graph, images),
        lambda: float_logits(graph, x),
    )
    with torch.no_grad():
        for _ in range(3):
            for index, work in enumerate(works):
                start = time.perf_counter()
                work()
                best[index] = min(best[index], time.perf_counter() - start)
    return len(images) / best[0], len(images) / best[1]


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=10000)
    parser.add_argument("--family", choices=("multiplier", "fixed-point"), default="multiplier")
    parser.add_argument("--low-bits", type=int, default=4)
    add_record_option(parser)
    arguments = parser.parse_args()
    graph = resnet20(arguments.data)
    images, labels = test_images(arguments.data, arguments.images)
    start = time.perf_counter()
    variants = pair(arguments.data, graph, arguments.family, arguments.low_bits)
    print(f"quantise both variants: {time.perf_counter() - start:.1f} s")
    float_right = float_classes(graph, images, NORMALISATION.apply) == labels
    low, high = (logits_of(v.graph, images) for v in (variants.low, variants.high))
    print(f"float: {100 * float_right.mean():.2f} %")
    lost = {}
    for name, logits in (("high", high), ("low", low)):
        right = (logits.argmax(axis=1) == labels).mean()
        lost[name] = round(100 * (float_right.mean() - right), 2)
        print(f"{name}: {100 * right:.2f} %, loss {lost[name]:.2f} points")
    if arguments.record:
        record("ResNet-20, W8A8: accuracy lost", lost["high"], "points", at_most=0.3)
        record("ResNet-20, W4A4 without training: accuracy lost", lost["low"], "points", at_most=3)
    scale = variants.low.graph.types[variants.low.graph.output].scale
    half = len(images) // 2
    halves = (slice(0, half), slice(half, None))
    for tune, report in (halves, halves[::-1]):
        found = calibrate(low[tune], high[tune], labels[tune], scale, CalibrationOptions(tolerance=TOLERANCE))
        held = evaluate_cascade(found, low[report], high[report], labels[report]).measure
        print(
            f"tuned on {tune.start}..: M={found.m} N={found.n} threshold={found.threshold}, other half: "
            f"forwarded {100 * held.forwarded_share:.2f} %, cascade {100 * held.cascade_accuracy:.2f} %, "
            f"high {100 * held.high_accuracy:.2f} %, loss {100 * held.loss:.2f} points "
            f"[{100 * held.loss_interval[0]:.2f}, {100 * held.loss_interval[1]:.2f}]"
        )
        if arguments.record:
            name = f"Cascade of ResNet-20, tuned on test images {tune.start}–{(tune.stop or len(images)) - 1}"
            forwarded = round(100 * held.forwarded_share, 2)
            record(f"{name}: forwarded of the others", forwarded, "%", at_most=20)
            record(f"{name}: accuracy lost on the others", round(100 * held.loss, 2), "points", at_most=0.5)
    ours, torch_float = speed(graph, variants, images[:512])
    print(f"reference: {ours:.0f} images/s, torch float: {torch_float:.0f} images/s, ratio {ours / torch_float:.2f}")
    if arguments.record:
        record("Integer reference of ResNet-20: speed", round(ours), "images/s", at_least=300)
        record("torch float on the same images: speed", round(torch_float), "images/s")


if __name__ == "__main__":
    main()
