"""Images/s of ResNet-20, of its cascade, and of ResNet-8 on whole boards, with the engines that the planner chooses.

    python benchmarks/board_speed.py resnet20 PROJECT [--boards kv260 ..] [--rtl] [--record]
    python benchmarks/board_speed.py resnet8 [--boards zc706 ..] [--rtl] [--record]

PROJECT is what `toolflow build` made of ResNet-20: its networks, its calibration and its report on held-out images are
used, whatever its board. Every lane has an image. The cycles are the cycle model's; with --rtl those of the single
8-bit unit are counted by the RTL, in which every integer of its results is compared too.
ResNet-8 has seeded random weights, as only its speed is measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.results import SILICON, add_record_option, record, record_row
from quant.cascade.artefacts import Calibration
from quant.cascade.decide import Decision, UnitCycles, decide
from quant.config import Normalisation, QuantiseConfig
from quant.quantise import quantise
from rtl_sim.simulate.executors import SimulationExecutor
from rtl_sim.verify import Unit, verify_level
from toolflow.emit.rtl import emit_rtl
from toolflow.engine.config import EngineConfig
from toolflow.flow.graphs import Images, load_graph
from toolflow.flow.project import CALIBRATION, read_report
from toolflow.importers.load import load_model
from toolflow.ir.artefacts import load_record
from toolflow.ir.errors import DoesNotFitError
from toolflow.ir.quantised import QuantisedGraph
from toolflow.ir.unit import DesignKind, UnitName, VariantName
from toolflow.passes.pipeline import simplify
from toolflow.plan.boards.board import Board, load_board
from toolflow.plan.explore.choose import Candidate, best_pair, best_single, bounds, timed_engines
from toolflow.plan.explore.morphing import MorphingRequest, Pair, morphing_if_any

LOW_BITS, HIGH_BITS = 4, 8


@dataclass(frozen=True)
class Target:
    """The figures of a board.

    Attributes:
        named_mhz: a clock that others name for it, at which speeds are given too.
        dense, before: least images/s of the dense ResNet-20, and what it was at the named clock.
        cascade: cascade against the dense unit before; "" if it was not measured.
        published: inferences/s of ResNet-8 that others measured on it; None if nobody did.
    """

    named_mhz: int
    dense: int | None
    before: int | str
    cascade: float | str
    published: int | None = None


TARGETS = {
    "kv260": Target(200, 8000, 3634, 0.93),
    "zcu104": Target(200, 11000, 4874, 1.57),
    "pynq-z2": Target(100, 650, 310, "", 2431),
    "zc706": Target(150, None, "", "", 6790),
}
CASCADE_LEAST = 1.5


def speed(candidate: Candidate, board: Board, mhz: float | None = None) -> float:
    """Return images/s of an engine at the board's clock, or at another; the memory keeps its bandwidth."""
    clock = mhz or board.clock_mhz
    cycles = max(candidate.report.cycles_per_image, candidate.memory_cycles * clock / board.clock_mhz)
    return clock * 1e6 / cycles


def shape(config: EngineConfig) -> str:
    """Return an engine's shape in words."""
    packed = f", packed {config.pack_k} × {config.pack_p}, chains of {config.chain}"
    return (
        f"{config.lanes_k} × {config.lanes_p} × {config.slots}, S = {config.sub_row}, drain {config.drain_k}, "
        f"W{config.weight_bits}A{config.activation_bits}" + (packed if config.dsp_primitive != "none" else "")
        + (", multipliers in LUTs" if config.multiplier == "lut" else "")
        + (f", {config.fabric_lanes} lanes in LUTs" if config.fabric_lanes else "")
    )  # fmt: skip


def counted_cycles(graph: QuantisedGraph, config: EngineConfig, images: npt.NDArray[np.uint8], folder: Path) -> int:
    """Return the cycles that the RTL counts for one start with these images.

    Raises:
        RuntimeError: a result differs from the reference.
    """
    unit = Unit(UnitName.SINGLE, graph, config)
    emit_rtl(config, unit.name, folder / "rtl")
    verdict = verify_level(unit, SimulationExecutor("rtl", folder / "rtl", folder / "simulator"), images)
    if not verdict.equal or not verdict.cycles:
        raise RuntimeError(f"the RTL differs from the reference: {verdict.difference}")
    return verdict.cycles


def single_row(
    title: str,
    graph: QuantisedGraph,
    single: Candidate,
    board: Board,
    target: Target,
    rtl: tuple[npt.NDArray[np.uint8], Path] | None,
) -> dict[str, float | str]:
    """Return, and print, the row of a dense unit that has a board for itself."""
    row: dict[str, float | str] = {
        "engine": shape(single.config),
        "batch": single.report.images,
        "cycles an image, model": round(single.report.cycles_per_image),
    }
    if rtl is not None:
        images, folder = rtl
        cycles = counted_cycles(graph, single.config, images[: single.report.images], folder)
        row["cycles an image, RTL"] = round(cycles / single.report.images)
        row["error of the model %"] = round(100 * (single.report.total_cycles / cycles - 1), 2)
    row |= {
        "utilisation %": round(100 * single.report.utilisation, 1),
        "estimated clock, MHz": board.clock_mhz,
        "images/s": round(speed(single, board)),
        "at the clock named, MHz": target.named_mhz,
        "images/s there": round(speed(single, board, target.named_mhz)),
        "bounds": bounds([single], board),
    }
    print(f"{title}: {row}", flush=True)
    return row


def decision_of(
    project: Path,
    graphs: Mapping[VariantName, QuantisedGraph],
    timed: Mapping[VariantName, Sequence[Candidate]],
    board: Board,
) -> tuple[Decision, dict[DesignKind, Pair], dict[DesignKind, Candidate]]:
    """Return the decision of a build for this board, its pairs, and its single units."""
    calibration, report = load_record(Calibration, project / CALIBRATION), read_report(project)
    singles = {}
    for kind, name in ((DesignKind.SINGLE_HIGH, VariantName.HIGH), (DesignKind.SINGLE_LOW, VariantName.LOW)):
        try:
            singles[kind] = best_single(timed[name], board, f"the {name} network")
        except DoesNotFitError:
            continue
    share = calibration.measure.forwarded_interval[1]
    low, high = VariantName.LOW, VariantName.HIGH
    morphing = MorphingRequest(graphs[low], graphs[high], LOW_BITS, HIGH_BITS, share, {})
    found = {
        DesignKind.RESIDENT_PAIR: best_pair(timed[low], timed[high], board, share),
        DesignKind.MORPHING_PAIR: morphing_if_any(morphing, board),
    }
    pairs = {kind: pair for kind, pair in found.items() if pair is not None}
    cycles = {kind: candidate.cycles_per_image for kind, candidate in singles.items()}
    of_pairs = {kind: (first.cycles_per_image, second.cycles_per_image) for kind, (first, second) in pairs.items()}
    decision = decide(
        calibration,
        report,
        UnitCycles(
            single_high=cycles.get(DesignKind.SINGLE_HIGH),
            single_low=cycles.get(DesignKind.SINGLE_LOW),
            resident=of_pairs.get(DesignKind.RESIDENT_PAIR),
            morphing=of_pairs.get(DesignKind.MORPHING_PAIR),
        ),
    )
    return decision, pairs, singles


def cascade_row(
    project: Path, decision: Decision, pairs: Mapping[DesignKind, Pair], board: Board
) -> dict[str, float | str]:
    """Return, and print, the row of a board's cascade: every design that was compared."""
    measure = read_report(project).measure
    row: dict[str, float | str] = {"chosen": decision.choice.value}
    for each in decision.alternatives:
        row[f"{each.design.value}, images/s"] = round(board.clock_mhz * 1e6 / each.cycles_per_image)
    row |= {
        "forwarded %": round(100 * measure.forwarded_share, 2),
        "lost by the cascade, points": round(100 * measure.loss, 2),
    }
    if pairs:
        kind = next(each.design for each in decision.alternatives if each.design in pairs)  # fastest first
        low, high = pairs[kind]
        row |= {
            "low engine": shape(low.config),
            "high engine": shape(high.config),
            "cycles, low": round(low.cycles_per_image),
            "cycles, high": round(high.cycles_per_image),
            "bounds of the pair": bounds((low, high), board),
        }
    print(f"cascade on {board.name}: {row}; {decision.reason}", flush=True)
    return row


def resnet20(project: Path, boards: Sequence[str], work: Path | None, *, recorded: bool) -> None:
    """Measure the dense unit and the cascade of ResNet-20 on each board."""
    graphs = {name: load_graph(project, name) for name in VariantName}
    data = Images.read(project)
    images = data.images[data.split.held_out]
    for name in boards:
        board, target = load_board(name), TARGETS[name]
        timed = {
            VariantName.LOW: timed_engines(graphs[VariantName.LOW], LOW_BITS, {}, board),
            VariantName.HIGH: timed_engines(graphs[VariantName.HIGH], HIGH_BITS, {}, board),
        }
        decision, pairs, singles = decision_of(project, graphs, timed, board)
        high = singles[DesignKind.SINGLE_HIGH]
        rtl = None if work is None else (images, work / f"resnet20-{name}")
        single = single_row(f"ResNet-20 on {board.name}", graphs[VariantName.HIGH], high, board, target, rtl)
        cascade = cascade_row(project, decision, pairs, board)
        if not recorded:
            continue
        record_row("board_speed", f"ResNet-20, W8A8, {board.name}", single)
        record_row("board_cascade", board.name, cascade)
        title = f"ResNet-20, W8A8, dense, best batch, {board.name}"
        record(f"{title}: images/s", single["images/s"], at_least=target.dense, before="", table=SILICON)
        record(
            f"{title}, at {target.named_mhz} MHz: images/s", single["images/s there"], before=target.before,
            table=SILICON,
        )  # fmt: skip
        times = {each.design: each.cycles_per_image for each in decision.alternatives if each.keeps}
        best = high.cycles_per_image / min(times.values())
        what = f"cascade, ResNet-20, {board.name}: images/s over the dense single W8A8 unit"
        record(
            f"Fastest design that keeps 0.5 points ({decision.choice.value}) of the {what}", round(best, 2), "×",
            at_least=CASCADE_LEAST, before=target.cascade, table=SILICON,
        )  # fmt: skip


def resnet8_graph() -> tuple[QuantisedGraph, npt.NDArray[np.uint8]]:
    """Return ResNet-8 at 8 bits with seeded weights, and seeded images."""
    images = np.random.default_rng(8).integers(0, 256, (64, 32, 32, 3)).astype(np.uint8)
    graph = simplify(load_model(f"{Path(__file__).with_name('resnet8.py')}:resnet8"))
    normalisation = Normalisation(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), scale=1 / 255)
    return quantise(graph, images, normalisation, QuantiseConfig()).graph, images


def resnet8(boards: Sequence[str], work: Path | None, *, recorded: bool) -> None:
    """Measure the dense 8-bit unit of ResNet-8 on each board."""
    graph, images = resnet8_graph()
    for name in boards:
        board, target = load_board(name), TARGETS[name]
        single = best_single(timed_engines(graph, HIGH_BITS, {}, board, alone=True), board, "ResNet-8")
        rtl = None if work is None else (images, work / f"resnet8-{name}")
        row = single_row(f"ResNet-8 on {board.name}", graph, single, board, target, rtl)
        if recorded:
            record_row("board_speed", f"ResNet-8, W8A8, {board.name}", row)
            title = f"ResNet-8 of MLPerf Tiny's shape, W8A8, best batch, {board.name}: inferences/s"
            record(title, row["images/s"], at_least=target.published, before="not measured", table=SILICON)


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    networks = parser.add_subparsers(dest="network", required=True)
    parsers = [networks.add_parser("resnet20"), networks.add_parser("resnet8")]
    parsers[0].add_argument("project", type=Path)
    for each, boards in zip(parsers, (list(TARGETS), ["zc706", "pynq-z2"]), strict=True):
        each.add_argument("--boards", nargs="+", choices=list(TARGETS), default=boards)
        each.add_argument("--rtl", action="store_true", help="count the cycles of the single unit in RTL")
        each.add_argument("--work", type=Path, default=Path("build/bench/board_speed"))
        add_record_option(each)
    arguments = parser.parse_args()
    work = arguments.work if arguments.rtl else None
    if arguments.network == "resnet20":
        resnet20(arguments.project, arguments.boards, work, recorded=arguments.record)
    else:
        resnet8(arguments.boards, work, recorded=arguments.record)


if __name__ == "__main__":
    main()
