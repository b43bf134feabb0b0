"""SqueezeNet v1.0 on the ImageNet sample: accuracy of both variants and of their cascade, and exact levels.

    python benchmarks/squeezenet.py SHARED_DATA [--images 900] [--levels program,hls] [--keep FOLDER]

SHARED_DATA holds the pretrained weights and 1,000 photographs, one of each class. They are probably from
the network's training split: read the accuracies as relative. Quantisation sees `--calibration` of them,
drawn at random; all that is reported comes from the others, the cascade tuned on one half of them and
reported on the other, both ways. The engines have one lane, as the maps of one image nearly fill ZCU104.
"""

from __future__ import annotations

import argparse
import csv
import io
import resource
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.results import add_record_option, record_row
from quant.cascade.calibrate import CalibrationOptions, calibrate
from quant.cascade.measure import evaluate_cascade
from quant.cascade.statistics import wilson_bounds
from quant.config import Normalisation, QuantiseConfig
from quant.float_network import float_classes
from quant.quantise import make_pair
from rtl_sim.levels import engine_level
from rtl_sim.simulate.job import RunOptions
from rtl_sim.verify import Unit, verify_level
from toolflow.engine.config import EngineConfig
from toolflow.importers.load import load_model
from toolflow.interpreter.run import logits_of
from toolflow.ir.graph import Graph
from toolflow.ir.quantised import QuantisedGraph
from toolflow.ir.store import load_quantised, save_quantised
from toolflow.ir.unit import UnitName
from toolflow.operators.folders import by_kind
from toolflow.passes.pipeline import simplify
from toolflow.plan.boards.board import Board, load_board
from toolflow.plan.explore.estimate import estimate
from toolflow.plan.resources.estimate import estimate_resources
from toolflow.plan.schedule.needs import fit_depths

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "squeezenet.py"
NORMALISATION = Normalisation(mean=(104.0, 117.0, 123.0), scale=1.0)  # of blue, green and red
SIDE = 227
CALIBRATION_IMAGES = 96
TOLERANCE = 0.01
SEED = 1
# one lane; wide in output channels, as the stem fills 3 of a sub-row's 16 input channels
SHAPE = EngineConfig(lanes_k=64, lanes_p=1, slots=4, sub_row=16, drain_k=4)
NORMAL_95 = 1.96
UNITS = ("low", "high")

UInt8Array = npt.NDArray[np.uint8]
Int64Array = npt.NDArray[np.int64]
Graphs = Mapping[str, QuantisedGraph]


def squeezenet(data: Path) -> Graph:
    """Return the pretrained network, simplified."""
    weights = data / "imagenet_squeezenet_v1_0_deepcompressed.safetensors"
    return simplify(load_model(f"{EXAMPLE}:squeezenet", weights))


def photographs(data: Path, places: Sequence[int]) -> tuple[UInt8Array, Int64Array]:
    """Return some of the sample's images as the network reads them, uint8 (N, 227, 227, 3) BGR, and their classes."""
    with (data / "imagenet_sample_1000_labels.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    images = np.empty((len(places), SIDE, SIDE, 3), np.uint8)
    with zipfile.ZipFile(data / "imagenet_sample_1000_s256.zip") as archive:
        for index, place in enumerate(places):
            picture = Image.open(io.BytesIO(archive.read(rows[place]["file"]))).convert("RGB")
            left, top = (picture.width - SIDE) // 2, (picture.height - SIDE) // 2
            pixels = np.asarray(picture.crop((left, top, left + SIDE, top + SIDE)))
            images[index] = pixels[:, :, ::-1]
    return images, np.array([int(rows[place]["class_index_0_999"]) for place in places])


def quantised(data: Path, graph: Graph, places: Sequence[int], low_bits: int, keep: Path | None) -> Graphs:
    """Return the low- and the high-precision graph of the multiplier family, made from some of the images.

    Graphs that an earlier run kept in `keep` for the same choices are read instead.
    """
    stems = [keep / f"{name}_w{low_bits}_{len(places)}_images" for name in UNITS] if keep else []
    if stems and all(stem.with_name(f"{stem.name}.npz").is_file() for stem in stems):
        print(f"quantised graphs: those kept in {keep}")
        low, high = (load_quantised(stem, by_kind()) for stem in stems)
        return {"low": low, "high": high}
    images, _ = photographs(data, places)
    start = time.perf_counter()
    config = QuantiseConfig(weight_bits=low_bits, activation_bits=low_bits)
    variants = make_pair(graph, images, NORMALISATION, config, QuantiseConfig())
    seconds, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    used = variants.low.report.images
    print(f"quantise both variants on {used} images: {seconds:.1f} s, peak memory {peak:.1f} GiB", flush=True)
    graphs = {"low": variants.low.graph, "high": variants.high.graph}
    for stem, quantised_graph in zip(stems, graphs.values(), strict=False):
        stem.parent.mkdir(parents=True, exist_ok=True)
        save_quantised(quantised_graph, stem)
    return graphs


def unit(name: UnitName, graph: QuantisedGraph, bits: int, board: Board) -> Unit:
    """Return a unit whose array is `bits` wide and whose memories are as deep as the graph needs."""
    widths = {"weight_bits": bits, "activation_bits": bits, "bus_bits": min(board.axi_data_bits, 128)}
    return Unit(UnitName(name), graph, fit_depths(graph, SHAPE.model_copy(update=widths)))


def print_engine(which: Unit, board: Board) -> None:
    """Print what the engine takes of the board, its banks as BRAM or as UltraRAM, and its predicted speed."""
    config = which.config
    _, report = estimate(which.graph, config, 1)
    total, in_ultra = (
        estimate_resources(config.model_copy(update={"bank_memory": memory}), board.family).total
        for memory in ("block", "ultra")
    )
    bits = config.sub_row * config.activation_bits
    have = board.available
    print(
        f"{which.name} on {board.name}: {config.multipliers} multipliers of {config.weight_bits} x "
        f"{config.activation_bits} bits, bank of {config.bank_depth} words of {bits} bits "
        f"({config.bank_depth * bits / 1e6:.1f} Mbit): {total.block_rams:.0f} BRAM36 of {have.block_rams:.0f}, or "
        f"{in_ultra.block_rams:.0f} and {in_ultra.urams:.0f} UltraRAMs of {have.urams:.0f}; "
        f"{total.luts:.0f} LUTs of {have.luts:.0f}, {total.dsps:.0f} DSPs of {have.dsps:.0f}"
    )
    print(
        f"{which.name}, predicted at batch 1: {report.total_cycles} cycles, utilisation {report.utilisation:.3f}, "
        f"{board.clock_mhz * 1e6 / report.total_cycles:.1f} images/s at {board.clock_mhz} MHz"
    )


def print_levels(which: Unit, levels: Sequence[str], images: UInt8Array) -> bool:
    """Run levels of one unit, print what came of each, and return whether every integer was the reference's."""
    equal = True
    with tempfile.TemporaryDirectory(prefix="squeezenet-") as folder:
        for name in levels:
            start = time.perf_counter()
            place = Path(folder)
            executor = engine_level(name).executor(place, which.name, place / "work", RunOptions())
            verdict = verify_level(which, executor, images)
            outcome = "equal to the reference" if verdict.equal else f"DIFFERS: {verdict.difference}"
            seconds = time.perf_counter() - start
            print(f"{which.name}, level {name}, {len(images)} images: {outcome} ({seconds:.1f} s)", flush=True)
            equal = equal and verdict.equal
    return equal


def print_accuracy(
    name: str, right: npt.NDArray[np.bool_], float_right: npt.NDArray[np.bool_], seconds: float
) -> dict[str, float | str]:
    """Print a row of the table: accuracy with its 95 % interval, loss against float. Return what is recorded of it."""
    low, high = wilson_bounds(right.sum(), len(right), NORMAL_95)
    print(
        f"| {name} | {100 * right.mean():.2f} % | {100 * low:.1f} – {100 * high:.1f} | "
        f"{100 * (float_right.mean() - right.mean()):.2f} | {seconds:.1f} s |",
        flush=True,
    )
    return {"top-1 %": round(100 * float(right.mean()), 2), "95 % interval": f"{100 * low:.1f} – {100 * high:.1f}"}


def print_cascade(low: Int64Array, high: Int64Array, labels: Int64Array, scale: float) -> None:
    """Tune the cascade on each half of the images and print what it does on the other."""
    half = len(labels) // 2
    halves = (slice(0, half), slice(half, None))
    for tune, report in (halves, halves[::-1]):
        found = calibrate(low[tune], high[tune], labels[tune], scale, CalibrationOptions(tolerance=TOLERANCE))
        held = evaluate_cascade(found, low[report], high[report], labels[report]).measure
        print(
            f"cascade tuned on {len(labels[tune])} images: M={found.m} N={found.n} threshold={found.threshold}; "
            f"on {len(labels[report])} others: forwarded {100 * held.forwarded_share:.1f} %, "
            f"cascade {100 * held.cascade_accuracy:.2f} %, high {100 * held.high_accuracy:.2f} %, "
            f"loss {100 * held.loss:.2f} points [{100 * held.loss_interval[0]:.2f}, {100 * held.loss_interval[1]:.2f}]"
        )


def main() -> int:
    """Print every figure; return 1 if a level differs from the reference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=900, help="images to report on; what quantisation saw is extra")
    parser.add_argument("--calibration", type=int, default=CALIBRATION_IMAGES)
    parser.add_argument("--low-bits", type=int, default=4)
    parser.add_argument("--levels", default="program,hls", help="levels to compare, separated by commas; '' for none")
    parser.add_argument("--exact-images", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder in which the quantised graphs are kept for the next run")
    parser.add_argument("--board", default="zcu104")
    add_record_option(parser)
    arguments = parser.parse_args()
    order = np.random.default_rng(SEED).permutation(1000)[: arguments.calibration + arguments.images].tolist()
    graph, board = squeezenet(arguments.data), load_board(arguments.board)
    images, labels = photographs(arguments.data, order[arguments.calibration :])

    seen = order[: arguments.calibration]
    graphs = quantised(arguments.data, graph, seen, arguments.low_bits, arguments.keep)
    equal = True
    for name, bits in zip(UNITS, (arguments.low_bits, 8), strict=True):
        which = unit(UnitName(name), graphs[name], bits, board)
        print_engine(which, board)
        levels = [level for level in arguments.levels.split(",") if level]
        equal = print_levels(which, levels, images[: arguments.exact_images]) and equal

    print(f"{len(images)} images that quantisation has not seen, probably of the network's training split:")
    print("| network | top-1 | 95 % interval | loss against float, points | time |\n|---|---|---|---|---|")
    start = time.perf_counter()
    float_right = float_classes(graph, images, NORMALISATION.apply) == labels
    rows = {"float": print_accuracy("float", float_right, float_right, time.perf_counter() - start)}
    logits = {}
    for name in ("high", "low"):
        start = time.perf_counter()
        logits[name] = logits_of(graphs[name], images)
        right = logits[name].argmax(axis=1) == labels
        rows[name] = print_accuracy(name, right, float_right, time.perf_counter() - start)
    if arguments.record:
        titles = {"float": "float", "high": "W8A8", "low": f"W{arguments.low_bits}A{arguments.low_bits}"}
        for name, row in rows.items():
            record_row("squeezenet", titles[name], row)
    low = graphs["low"]
    print_cascade(logits["low"], logits["high"], labels, low.types[low.output].scale)
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
