"""Build a simulator of one unit and run jobs on it.

>>> simulation = build_simulation(config, "rtl", folder, sources)
>>> outcomes = simulation.run([Job(program, weights, images, image_count, result_bytes)], RunOptions(seed=3))
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rtl_sim.exchange import MEMORY_BYTES, read_outcome, write_job
from rtl_sim.hls_model import build_model
from rtl_sim.job import FILL, Job, Outcome, RunOptions, SimulationError
from rtl_sim.simulator import TOP, Design, Simulator, build_simulator, cache_folder
from toolflow.engine.config import EngineConfig
from toolflow.ir.errors import ToolflowError

__all__ = ["FILL", "Dut", "Job", "Outcome", "RunOptions", "Simulation", "SimulationError", "build_simulation"]

Dut = Literal["rtl", "hls"]

BENCH = Path(__file__).resolve().parent / "bench"
SHIM = BENCH / "cascade_hls_shim.sv"
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
    if dut == "rtl":
        return Simulation(config, dut, build_simulator(folder, _rtl_design(config, sources)))
    return Simulation(config, dut, _hls_simulator(config, folder, sources))


def _rtl_design(config: EngineConfig, sources: Path) -> Design:
    files = sorted(sources.rglob("*.sv"), key=lambda path: (not path.stem.endswith("_pkg"), path.name))
    top = _top(sources, ".sv")
    instance = re.search(r"\bcascade_engine\s*(?:#\(.*?\)\s*)?(\w+)\s*\(", top.read_text(), re.DOTALL)
    defines = {"CASCADE_DUT": top.stem}
    if instance:
        defines["CASCADE_RETIRED"] = f"dut.{instance[1]}.retired_count"
    return Design(sources=(*files, *_bench_sources()), defines=defines, parameters=_parameters(config))


def _hls_simulator(config: EngineConfig, folder: Path, sources: Path) -> Simulator:
    """Build the model in `folder`, beside a copy of the simulator that all models of one bus width share."""
    model = build_model(folder, sources, _top(sources, ".cpp").stem)
    design = Design(
        sources=(SHIM, *_bench_sources()),
        defines={"CASCADE_HLS": "1"},
        parameters=_parameters(config),
        library=model,
    )
    shared = build_simulator(cache_folder() / f"hls_{config.bus_bits}_{design.digest[:16]}", design)
    fresh = folder / f"{TOP}.new"
    shutil.copy(shared.folder / TOP, fresh)
    fresh.replace(folder / TOP)
    return Simulator(folder.resolve())


def _parameters(config: EngineConfig) -> dict[str, int]:
    return {"BusBits": config.bus_bits, "MemoryBytes": MEMORY_BYTES}


def _top(sources: Path, suffix: str) -> Path:
    """Return the file of the one unit that `sources` holds."""
    found = [path for unit in UNITS for path in sources.rglob(f"cascade_{unit}{suffix}")]
    if len(found) != 1:
        raise ToolflowError(
            f"'{sources}' must hold one of {', '.join(f'cascade_{unit}{suffix}' for unit in UNITS)}, not {len(found)}"
        )
    return found[0]


def _bench_sources() -> list[Path]:
    """Return the bench's files, the shim of the HLS model left out; the top comes last."""
    files = [path for path in sorted(BENCH.glob("*.sv")) if path != SHIM]
    return sorted(files, key=lambda path: path.stem == TOP)
