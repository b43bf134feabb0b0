"""VGG-16 for CIFAR-10, layer by layer in RTL: direct, dense Winograd and sub-row-balanced sparse, against their ideals.

    python benchmarks/winograd_cycles.py [--pattern 3:16] [--batch 32] [--lanes 8x32] [--work FOLDER] [--only NAME ..]
        [--modes direct ..] [--array-bits 8] [--largest 3]

Weights and images are seeded random integers: cycles do not depend on them. A layer's ideal is its kept values times
its valid tiles (its positions, if it is direct) over the multipliers. Each layer runs on the same engine as a
network of its own, and its results are compared with the reference. An array narrower than the weights, up to
`--largest` in magnitude, takes them in digits, and the ideal counts each digit. Cycles are those of the layer's CONV,
from the end of the instruction before to its own, as the RTL counts them.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.results import add_record_option, record, record_row
from rtl_sim.simulate.executors import SimulationExecutor
from rtl_sim.simulate.job import RunOptions
from rtl_sim.verify import Unit, verify_level
from toolflow.emit.rtl import emit_rtl
from toolflow.engine.config import EngineConfig
from toolflow.engine.cycles import CycleReport
from toolflow.engine.isa import Opcode
from toolflow.ir.quantised import QuantisedGraph, QuantisedNode, TensorType
from toolflow.ir.unit import UnitName
from toolflow.numerics.digits import digits_needed
from toolflow.numerics.requantise import Requantise
from toolflow.numerics.srbs import Pattern, kept_values, parse_pattern, project, share_taps, worth_of
from toolflow.numerics.types import IntegerType
from toolflow.numerics.winograd import WINOGRAD
from toolflow.operators import Conv, Flatten, Linear, MaxPool, WinogradConv
from toolflow.plan.explore.estimate import estimate

PADS = (1, 1, 1, 1)
MODES = ("direct", "dense Winograd", "sparse")
WATCHDOG_CYCLES = 20_000_000  # a direct layer computes for millions of cycles without a word on the ports
UNSIGNED, RESULT = IntegerType(8, signed=False), IntegerType(16, signed=True)
# name, input channels, output channels, height = width, how often it stands in the network
VGG16 = (
    ("conv1_1", 3, 64, 32, 1),
    ("conv1_2", 64, 64, 32, 1),
    ("conv2_1", 64, 128, 16, 1),
    ("conv2_2", 128, 128, 16, 1),
    ("conv3_1", 128, 256, 8, 1),
    ("conv3_2", 256, 256, 8, 2),
    ("conv4_1", 256, 512, 4, 1),
    ("conv4_2", 512, 512, 4, 2),
    ("conv5", 512, 512, 2, 3),
)


@dataclass(frozen=True)
class Mode:
    """How a layer is computed: Winograd tile (0: direct) and pattern."""

    tile: int
    pattern: Pattern | None = None

    def ideal(self, layer: tuple[str, int, int, int, int], images: int, multipliers: int) -> float:
        """Return the cycles of a batch with no multiplier idle."""
        _, channels, outputs, size, _ = layer
        kept = kept_values(np.empty((1, channels, 1, 1)), self.pattern, shared=False)
        form = WINOGRAD.get(self.tile)
        places = size**2 * 9 if form is None else int(np.prod(form.tiles(size, size))) * form.taps**2
        return outputs * kept * places * images / multipliers

    def __str__(self) -> str:
        what = f"F({self.tile},3)" if self.tile else "direct"
        return what if self.pattern is None else f"{what} {self.pattern}"


def modes(layer: tuple[str, int, int, int, int], pattern: Pattern) -> dict[str, Mode]:
    """Return the layer's modes: the tile of fewer multiplications, the pattern if there are S channels.

    The first layer is direct and dense in all of them, as a build makes it.
    """
    tile = 0 if layer is VGG16[0] else min((2, 4), key=lambda m: Mode(m).ideal(layer, 1, 1))
    sparse = pattern if layer[1] >= pattern.sub_row else None
    return {"direct": Mode(0), "dense Winograd": Mode(tile), "sparse": Mode(tile, sparse)}


def network(layer: tuple[str, int, int, int, int], mode: Mode, largest: int) -> QuantisedGraph:
    """Return the layer, global max pooling and two classes, with seeded random integers, `largest` in magnitude."""
    name, channels, outputs, size, _ = layer
    rng = np.random.default_rng(1)
    taps = WINOGRAD[mode.tile].taps if mode.tile else 3
    shape = outputs, channels, taps, taps
    weight = rng.integers(1, largest + 1, shape) * rng.choice([-1, 1], shape)
    if mode.pattern is not None:
        saliency = rng.random(weight.shape)
        if mode.tile:  # as trained networks have it: some taps keep few values, others most
            saliency *= rng.random((taps, taps)) ** 2
            shares = share_taps(worth_of(saliency, mode.pattern.sub_row), mode.pattern)
        else:
            shares = None
        weight = np.where(project(saliency, mode.pattern, shares), weight, 0)
    weights = {"weight": weight}
    if mode.tile:
        weights["exponent"] = np.zeros((taps, taps), dtype=np.int64)
    op = WinogradConv(mode.tile, PADS, mode.pattern) if mode.tile else Conv(pads=PADS, pattern=mode.pattern)
    zeros, ones = np.zeros(outputs, np.int64), np.ones(outputs, np.int64)
    shift = np.full(outputs, 14 if mode.tile == 4 else 8, dtype=np.int64)
    classes = QuantisedNode(
        "logits", Linear(), ("flat",), {"weight": rng.integers(-7, 8, (2, outputs))},
        Requantise(zeros[:2], ones[:2], zeros[:2], RESULT.lower, RESULT.upper), 8,
    )  # fmt: skip
    nodes = (
        QuantisedNode(name, op, ("image",), weights, Requantise(zeros, ones, shift, 0, UNSIGNED.upper), 8),
        QuantisedNode("pool", MaxPool((size, size), (size, size), (0, 0, 0, 0), (1, 1), ceil_mode=False), (name,)),
        QuantisedNode("flat", Flatten(), ("pool",)),
        classes,
    )
    inner = TensorType(UNSIGNED, 1.0)
    types = {"image": inner, name: inner, "pool": inner, "flat": inner, "logits": TensorType(RESULT, 1.0)}
    table = np.broadcast_to(np.arange(256, dtype=np.int64), (channels, 256))
    return QuantisedGraph(name, "single", "multiplier", "image", (channels, size, size), table, nodes, "logits", types)


def main() -> None:
    """Print every layer's cycles, ideals and ratios, then the network's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pattern", type=parse_pattern, default=Pattern(3, 16))
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lanes", default="8x32", help="output channels x images at once")
    parser.add_argument("--drain-k", type=int, default=4)
    parser.add_argument("--array-bits", type=int, default=8, help="of the weights that the array multiplies")
    parser.add_argument("--largest", type=int, default=3, help="magnitude of a weight")
    parser.add_argument("--work", type=Path, default=Path("build/winograd_cycles"))
    parser.add_argument("--only", nargs="+", choices=[layer[0] for layer in VGG16])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    add_record_option(parser)
    arguments = parser.parse_args()
    lanes_k, lanes_p = map(int, arguments.lanes.split("x"))
    shape = EngineConfig(
        lanes_k=lanes_k, lanes_p=lanes_p, sub_row=arguments.pattern.sub_row, drain_k=arguments.drain_k, tile=4,
        accumulator_bits=40, confidence=False, weight_bits=arguments.array_bits,
    )  # fmt: skip
    layers = [layer for layer in VGG16 if arguments.only is None or layer[0] in arguments.only]
    graphs = {
        (layer, name): network(layer, mode, arguments.largest)
        for layer in layers
        for name, mode in modes(layer, arguments.pattern).items()
        if name in arguments.modes
    }
    fitted = {key: estimate(graph, shape, arguments.batch) for key, graph in graphs.items()}
    depths = {name: max(getattr(config, name) for config, _ in fitted.values()) for name in DEPTHS}
    config = shape.model_copy(update=depths)
    emit_rtl(config, "single", arguments.work / "rtl")
    quiet = RunOptions(watchdog_cycles=WATCHDOG_CYCLES)
    level = SimulationExecutor("rtl", arguments.work / "rtl", arguments.work / "simulator", quiet)
    print(f"{config.multipliers} multipliers, {lanes_k} x {lanes_p} x 1, S = {config.sub_row}, batch {arguments.batch}")
    total: dict[tuple[str, bool], list[float]] = defaultdict(lambda: [0.0, 0.0])
    rows: dict[str, dict[str, float | str]] = defaultdict(dict)
    lowest = dict.fromkeys(MODES, 1.0)
    for (layer, what), graph in graphs.items():
        mode = modes(layer, arguments.pattern)[what]
        _, predicted = estimate(graph, config, arguments.batch)
        cycles, seconds = _measure(Unit(UnitName.SINGLE, graph, config), level, predicted, arguments.batch)
        digits = digits_needed(-arguments.largest, arguments.largest, config.digit_bits)
        ideal = digits * mode.ideal(layer, arguments.batch, config.multipliers)
        model = sum(i.cycles for i in predicted.instructions if i.name == layer[0])
        print(
            f"{layer[0]:8} {mode!s:14} {cycles:>10,} cycles, ideal {ideal:>12,.0f}, ratio {ideal / cycles:.3f}, "
            f"predicted {model:>10,} ({model / cycles - 1:+.1%}), {seconds:.0f} s",
            flush=True,
        )
        rows[layer[0] + (f" (× {layer[4]})" if layer[4] > 1 else "")] |= _columns(what, mode, cycles, ideal)
        if layer[1] > 3:
            lowest[what] = min(lowest[what], ideal / cycles)
        for first in (False, True):
            if first or layer[1] > 3:
                total[what, first][0] += layer[4] * cycles
                total[what, first][1] += layer[4] * ideal
    if set(arguments.modes) != set(MODES):
        return
    for first in (False, True):
        print("with the first layer" if first else "without the first layer")
        for what in MODES:
            (taken, least), (sparse, sparse_least) = total[what, first], total["sparse", first]
            print(
                f"  {what:14} {taken:>12,.0f} cycles, {least / taken:.3f} of its ideal; sparse is "
                f"{taken / sparse:.2f} times as fast (ideals: {least / sparse_least:.2f})"
            )
            rows["all" if first else "without conv1_1"] |= _columns(what, None, taken, least)
    if arguments.record:
        _record(rows, lowest, {key: cycles for key, (cycles, _) in total.items()})


def _columns(what: str, mode: Mode | None, cycles: float, ideal: float) -> dict[str, float | str]:
    """Return what is recorded of a layer in one mode, or of the network if there is no mode."""
    tile = {"tile": f"F({mode.tile},3)" if mode.tile else "direct"} if mode and what == "dense Winograd" else {}
    return {**tile, f"{what}, cycles": round(cycles), f"{what}, share of the ideal": round(ideal / cycles, 3)}


def _record(
    rows: dict[str, dict[str, float | str]], lowest: dict[str, float], cycles: dict[tuple[str, bool], float]
) -> None:
    for name, row in rows.items():
        record_row("vgg16", name, row)
    for what, least in (("direct", 0.9), ("dense Winograd", 0.9), ("sparse", 0.92)):
        record(f"VGG-16, {what} layers: lowest share of the ideal", round(lowest[what], 3), at_least=least)
    bounds = {
        ("dense Winograd", False): 4.9,
        ("dense Winograd", True): 4.6,
        ("direct", False): 15,
        ("direct", True): 12.5,
    }
    for (what, first), bound in bounds.items():
        name = f"VGG-16{'' if first else ' without conv1_1'}, 3:16 with Winograd: speed-up over {what} layers"
        record(name, round(cycles[what, first] / cycles["sparse", first], 2), "×", at_least=bound)


DEPTHS = (
    "bank_depth", "weight_depth", "result_depth", "input_lanes", "table_words", "transform_depth", "accumulator_bits",
)  # fmt: skip


def _measure(unit: Unit, level: SimulationExecutor, predicted: CycleReport, batch: int) -> tuple[int, float]:
    """Return the cycles of the layer's CONV over all passes, and the seconds that the simulation took."""
    images = np.random.default_rng(2).integers(0, 256, (batch, *np.roll(unit.graph.input_shape, -1)), dtype=np.uint8)
    start = time.perf_counter()
    verdict = verify_level(unit, level, images)
    if not verdict.equal:
        raise SystemExit(f"{unit.graph.name} differs: {verdict.difference}")
    cycles = sum(
        cycles
        for instruction, cycles in zip(predicted.instructions, verdict.instruction_cycles, strict=True)
        if instruction.opcode in (Opcode.CONV, Opcode.TAPS) and instruction.name.endswith(unit.graph.name)
    )
    return cycles * predicted.passes, time.perf_counter() - start


if __name__ == "__main__":
    main()
