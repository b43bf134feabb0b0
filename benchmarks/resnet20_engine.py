"""ResNet-20 on engines of 256 and 1,024 multipliers: exactness on every level, cycles, utilisation, simulation time.

    python benchmarks/resnet20_engine.py PROJECT [--work FOLDER] [--native-images 32]

PROJECT is what `toolflow build` made of ResNet-20: its 8-bit network and its held-out images are used.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.results import add_record_option, record
from rtl_sim.simulate.executors import NativeExecutor, SimulationExecutor
from rtl_sim.simulate.job import RunOptions
from rtl_sim.verify import Executor, LevelVerdict, ProgramExecutor, Unit, verify_level
from toolflow.emit.hls import emit_hls
from toolflow.emit.rtl import emit_rtl
from toolflow.engine.config import EngineConfig
from toolflow.flow.graphs import Images, load_graph
from toolflow.flow.project import open_project
from toolflow.ir.quantised import QuantisedGraph
from toolflow.ir.unit import UnitName, VariantName
from toolflow.plan.explore.estimate import estimate

SHAPES = (  # and the batch that each is for
    (EngineConfig(lanes_k=16, lanes_p=8, slots=2), 8),
    (EngineConfig(lanes_k=16, lanes_p=1, slots=16, drain_k=8, sub_row=16), 1),
    (EngineConfig(lanes_k=16, lanes_p=8, slots=8, drain_k=4), 8),
)
STALLS = 0.2


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build/bench"))
    parser.add_argument("--native-images", type=int, default=32)
    add_record_option(parser)
    arguments = parser.parse_args()
    folder = open_project(arguments.project).folder
    graph, data = load_graph(folder, VariantName.HIGH), Images.read(folder)
    images = data.images[data.split.held_out]
    for shape, batch in SHAPES:
        work = arguments.work / f"{shape.multipliers}_multipliers_batch_{batch}"
        _measure(graph, shape, images[:batch], work, recorded=arguments.record)
    config, _ = estimate(graph, SHAPES[0][0], SHAPES[0][1])
    unit = Unit(UnitName.SINGLE, graph, config)
    emit_hls(config, unit.name, arguments.work / "hls")
    for level, executor in (("program", ProgramExecutor()), ("hls", NativeExecutor(arguments.work / "hls"))):
        _run(level, executor, unit, images[: arguments.native_images])


def _measure(
    graph: QuantisedGraph, shape: EngineConfig, images: npt.NDArray[np.uint8], folder: Path, *, recorded: bool
) -> None:
    """Print the cycles of one batch in RTL, layer by layer, and run it again under random stalls."""
    config, predicted = estimate(graph, shape, len(images))
    unit = Unit(UnitName.SINGLE, graph, config)
    emit_rtl(config, unit.name, folder / "rtl")
    quiet = SimulationExecutor("rtl", folder / "rtl", folder / "simulator")
    start = time.perf_counter()
    quiet.prepare(unit)
    seconds = time.perf_counter() - start
    print(f"batch {len(images)}: {config.multipliers:,} multipliers, simulator built in {seconds:.0f} s")
    start = time.perf_counter()
    counted = _run("rtl", quiet, unit, images)
    simulated = time.perf_counter() - start
    useful = predicted.utilisation * predicted.total_cycles
    print(
        f"  {counted.cycles:,} cycles (predicted {predicted.total_cycles:,}), utilisation "
        f"{useful / (counted.cycles or 1):.4f} (predicted {predicted.utilisation:.4f})"
    )
    for layer, cycles in zip(predicted.instructions, counted.instruction_cycles, strict=True):
        print(f"    {layer.name}: {cycles:,} cycles, predicted {layer.cycles:,}, bound by {layer.bound}")
    if recorded and counted.cycles:
        name = f"ResNet-20, {'one image' if len(images) == 1 else f'batch of {len(images)}'}, {config.multipliers:,} "
        name += "multipliers"
        least = 0.85 if config.multipliers > 256 else 0.9 if len(images) > 1 else None
        record(f"{name}: utilisation in RTL", round(useful / counted.cycles, 4), at_least=least)
        error = abs(predicted.total_cycles / counted.cycles - 1)
        record(f"{name}: error of the cycle model", round(100 * error, 2), "%", at_most=3)
        record(f"{name}: time of the RTL simulation", round(simulated, 1), "s", at_most=180 if len(images) > 1 else 30)
        record(f"{name}: time to build the simulator", round(seconds), "s", at_most=90)
    stalls = RunOptions(seed=7, stall_probability=STALLS)
    _run("rtl", SimulationExecutor("rtl", folder / "rtl", folder / "simulator", stalls), unit, images)


def _run(level: str, executor: Executor, unit: Unit, images: npt.NDArray[np.uint8]) -> LevelVerdict:
    start = time.perf_counter()
    verdict = verify_level(unit, executor, images)
    state = "equal to the reference" if verdict.equal else f"DIFFERS: {verdict.difference}"
    print(f"  {level}, {len(images)} images: {state}, {time.perf_counter() - start:.1f} s", flush=True)
    return verdict


if __name__ == "__main__":
    main()
