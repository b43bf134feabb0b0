"""Build a simulator of one unit and run jobs on it.

    simulation = build_simulation(config, "rtl", folder, sources)
    outcomes = simulation.run([Job(program, weights, images, image_count, result_bytes)], RunOptions(seed=3))
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rtl_sim.exchange import MEMORY_BYTES, read_outcome, write_job
from rtl_sim.job import FILL, Job, Outcome, RunOptions, SimulationError
from rtl_sim.simulator import Design, Simulator, build_simulator
from toolflow.engine.config import EngineConfig
from toolflow.ir.errors import ToolflowError

__all__ = ["FILL", "Dut", "Job", "Outcome", "RunOptions", "Simulation", "SimulationError", "build_simulation"]

Dut = Literal["rtl", "hls"]

BENCH = Path(__file__).parent / "bench"
UNITS = ("low", "high", "single")


@dataclass(frozen=True)
class Simulation:
    """A built simulator of one unit."""

    config: EngineConfig
    dut: Dut
    simulator: Simulator

    def run(self, jobs: Sequence[Job], options: RunOptions | None = None) -> list[Outcome]:
        """Run jobs back to back in one simulator process, without a reset between them.

        Raises:
            SimulationError: a job did not end, broke a protocol rule or wrote outside its results; the text holds
                the state of all channels, or the simulator's own lines where that failed.
        """
        options = options or RunOptions()
        with self.simulator.work_folder() as folder:
            signals = [
                write_job(folder, number, self.config, job, job.options or options)
                for number, job in enumerate(jobs, start=1)
            ]
            jobs_file, outcomes_file = folder / "jobs.json", folder / "outcomes.json"
            jobs_file.write_text(json.dumps(signals))
            log = self.simulator.execute(
                folder, "rtl_sim.bench.jobs", {"CASCADE_JOBS": str(jobs_file), "CASCADE_OUTCOMES": str(outcomes_file)}
            )
            answers = json.loads(outcomes_file.read_text()) if outcomes_file.exists() else []
            if log.failed or not answers:
                raise SimulationError(
                    f"the simulator of '{self.dut}' failed after {len(answers)} of {len(jobs)} jobs:\n{log.excerpt}"
                )
            return [
                read_outcome(folder, number, job, job.options or options, answer, log.excerpt)
                for number, (job, answer) in enumerate(zip(jobs, answers, strict=False), start=1)
            ]


def build_simulation(config: EngineConfig, dut: Dut, folder: Path, sources: Path) -> Simulation:
    """Build the simulator of one unit in `folder`, or take the one that is there if nothing changed.

    Args:
        config: the unit's engine; its bus width is the bench's.
        dut: "rtl" for SystemVerilog, "hls" for the emitted C++ behind `cascade_hls_shim.sv`.
        folder: where the simulator is built and kept; one folder for one unit.
        sources: the folder of the unit's emitted sources.

    Raises:
        ToolflowError: `sources` does not hold exactly one unit.
        SimulationError: the sources do not compile.
    """
    design = _rtl_design(config, sources)
    return Simulation(config, dut, build_simulator(folder, design))


def _rtl_design(config: EngineConfig, sources: Path) -> Design:
    files = sorted(sources.rglob("*.sv"), key=lambda path: (not path.stem.endswith("_pkg"), path.name))
    tops = [path for path in files if path.stem in {f"cascade_{unit}" for unit in UNITS}]
    if len(tops) != 1:
        raise ToolflowError(
            f"'{sources}' must hold one of {', '.join(f'cascade_{unit}.sv' for unit in UNITS)}, "
            f"not {len(tops)} of them"
        )
    instance = re.search(r"\bcascade_engine\s*(?:#\(.*?\)\s*)?(\w+)\s*\(", tops[0].read_text(), re.DOTALL)
    defines = {"CASCADE_DUT": tops[0].stem}
    if instance:
        defines["CASCADE_RETIRED"] = f"dut.{instance[1]}.retired_count"
    return Design(
        sources=(*files, *_bench_sources()),
        defines=defines,
        parameters={"BusBits": config.bus_bits, "MemoryBytes": MEMORY_BYTES},
    )


def _bench_sources() -> list[Path]:
    """Return the bench's files, the shim of the HLS model left out; the top comes last."""
    return sorted(
        (path for path in BENCH.glob("*.sv") if path.stem != "cascade_hls_shim"), key=lambda path: path.stem == "cascade_bench"
    )
