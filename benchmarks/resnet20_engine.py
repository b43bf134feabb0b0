"""ResNet-20 on engines of 256 multipliers: exactness on every level, cycles, utilisation, time to simulate.

    python benchmarks/resnet20_engine.py PROJECT [--work FOLDER] [--native-images 32]

PROJECT is what `toolflow build` made of ResNet-20: its 8-bit network and its held-out images are used.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rtl_sim.job import RunOptions
from rtl_sim.levels import NativeLevel, SimulationLevel
from rtl_sim.verify import Level, LevelVerdict, ProgramLevel, Unit, verify_level
from toolflow.cli.project import open_project
from toolflow.cli.stages import Images, load_graph
from toolflow.emit.hls import emit_hls
from toolflow.emit.rtl import emit_rtl
from toolflow.engine.config import EngineConfig
from toolflow.plan.estimate import estimate

SHAPES = {
    8: EngineConfig(lanes_k=16, lanes_p=8, slots=2),
    1: EngineConfig(lanes_k=16, lanes_p=1, slots=16, drain_k=8, sub_row=16),
}
LARGE = EngineConfig(lanes_k=16, lanes_p=8, slots=8, drain_k=4)  # 1,024 multipliers, by the model alone
STALLS = 0.2


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build/bench"))
    parser.add_argument("--native-images", type=int, default=32)
    arguments = parser.parse_args()
    folder = open_project(arguments.project).folder
    graph, images = load_graph(folder, "high"), Images.read(folder).part("held_out")
    for batch, shape in SHAPES.items():
        config, predicted = estimate(graph, shape, batch)
        unit = Unit("single", graph, config)
        sources = arguments.work / f"batch_{batch}"
        emit_rtl(config, unit.name, sources / "rtl")
        emit_hls(config, unit.name, sources / "hls")
        quiet = SimulationLevel("rtl", sources / "rtl", sources / "simulator")
        start = time.perf_counter()
        quiet.prepare(unit)
        print(
            f"batch {batch}: {config.multipliers} multipliers, simulator built in {time.perf_counter() - start:.0f} s"
        )
        counted = _run(quiet, unit, images[:batch])
        useful = predicted.utilisation * predicted.total_cycles
        print(
            f"  {counted.cycles:,} cycles (predicted {predicted.total_cycles:,}), utilisation "
            f"{useful / (counted.cycles or 1):.4f} (predicted {predicted.utilisation:.4f})"
        )
        for layer, cycles in zip(predicted.instructions, counted.instruction_cycles, strict=True):
            print(f"    {layer.name}: {cycles:,} cycles, predicted {layer.cycles:,}, bound by {layer.bound}")
        stalled = SimulationLevel(
            "rtl", sources / "rtl", sources / "simulator", RunOptions(seed=7, stall_probability=STALLS)
        )
        _run(stalled, unit, images[:batch])
        if batch == 8:
            _run(ProgramLevel(), unit, images[: arguments.native_images])
            _run(NativeLevel(sources / "hls"), unit, images[: arguments.native_images])
    _, large = estimate(graph, LARGE, 8)
    print(
        f"{LARGE.multipliers} multipliers, batch 8, predicted: {large.total_cycles:,} cycles, {large.utilisation:.4f}"
    )


def _run(level: Level, unit: Unit, images: npt.NDArray[np.uint8]) -> LevelVerdict:
    start = time.perf_counter()
    verdict = verify_level(unit, level, images)
    state = "equal to the reference" if verdict.equal else f"DIFFERS: {verdict.difference}"
    print(f"  {level.name}, {len(images)} images: {state}, {time.perf_counter() - start:.1f} s", flush=True)
    return verdict


if __name__ == "__main__":
    main()
