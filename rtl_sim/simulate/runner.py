"""Build a simulator of one unit and run jobs on it.

>>> simulation = build_simulation(config, "rtl", folder, sources)
>>> outcomes = simulation.run([Job(program, weights, images, image_count, result_bytes)], RunOptions(seed=3))
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rtl_sim.primitives import models
from rtl_sim.simulate.exchange import MEMORY_BYTES, read_outcome, write_job
from rtl_sim.simulate.hls_model import build_model
from rtl_sim.simulate.job import FILL, Job, Outcome, RunOptions, SimulationError
from rtl_sim.simulate.places import cache_folder
from rtl_sim.simulate.simulator import FAST_TO_RUN, Design, Simulator, build_simulator
from toolflow.engine.config import EngineConfig
from toolflow.ir.errors import ToolflowError
from toolflow.ir.unit import UnitName

__all__ = ["FILL", "Dut", "Job", "Outcome", "RunOptions", "Simulation", "SimulationError", "build_simulation"]

Dut = Literal["rtl", "hls"]

BENCH = Path(__file__).resolve().parents[1] / "bench"
TOP = "cascade_bench"
SHIM = BENCH / "cascade_hls_shim.sv"


@dataclass(frozen=True)
class Simulation:
    """A built simulator of one unit."""

    config: EngineConfig
    dut: Dut
    simulator: Simulator

    def run(self, jobs: Sequence[Job], options: RunOptions | None = None) -> list[Outcome]:
        """Run jobs back to back in one simulator process, without a reset between them.

        Raises:
            SimulationError: a job did not end, broke a protocol rule or wrote outside results and maps; the text holds
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


def build_simulation(
    config: EngineConfig, dut: Dut, folder: Path, sources: Path, optimisation: str = FAST_TO_RUN
) -> Simulation:
    """Build the simulator of one unit in `folder`, or take the one that is there if nothing changed.

    Args:
        config: the unit's engine; its bus width is the bench's.
        dut: "rtl" for SystemVerilog, "hls" for the emitted C++ behind `cascade_hls_shim.sv`.
        folder: where the simulator is built and kept; one folder for one unit.
        sources: the folder of the unit's emitted sources.
        optimisation: of the simulated SystemVerilog, `FAST_TO_RUN` or `FAST_TO_BUILD`.

    Raises:
        ToolflowError: `sources` does not hold a unit with this engine.
        NotRunError: the sources do not compile.
    """
    top = find_unit(config, dut, sources)
    if dut == "rtl":
        design = replace(_rtl_design(config, sources, top), optimisation=optimisation)
        return Simulation(config, dut, build_simulator(folder, design))
    shim = Design(TOP, (SHIM, *_bench_sources()), {"CASCADE_HLS": "1"}, _parameters(config))
    return Simulation(config, dut, build_hls_simulator(folder, sources, top, shim))


def find_unit(config: EngineConfig, dut: Dut, sources: Path) -> Path:
    """Return the top's file of the unit in `sources` that has this engine.

    Raises:
        ToolflowError: there is none.
    """
    suffix, parameters = (".sv", ".sv") if dut == "rtl" else (".cpp", ".hpp")
    found = [path for unit in UnitName for path in sorted(sources.rglob(f"cascade_{unit}{suffix}"))]
    for path in found:
        if f"{config.signature:016x}" in path.with_suffix(parameters).read_text(encoding="utf-8"):
            return path
    names = ", ".join(path.name for path in found) or "no unit at all"
    raise ToolflowError(
        f"'{sources}' must hold a unit with the signature {config.signature:016x}, not {names}: emit it again"
    )


def rtl_sources(sources: Path) -> list[Path]:
    """Return a unit's SystemVerilog files, packages first."""
    return sorted(sources.rglob("*.sv"), key=lambda path: (not path.stem.endswith("_pkg"), path.name))


def build_hls_simulator(folder: Path, sources: Path, top: Path, shim: Design) -> Simulator:
    """Build the model in `folder`, beside a copy of the simulator `shim` that all models of one bus width share."""
    shim = replace(shim, library=build_model(folder, sources, top.stem))
    shared = build_simulator(cache_folder() / f"{shim.top}_{shim.digest[:16]}", shim)
    fresh = folder / f"{shim.top}.new"
    shutil.copy(shared.folder / shim.top, fresh)
    fresh.replace(folder / shim.top)
    return Simulator(folder.resolve(), shim.top)


def _rtl_design(config: EngineConfig, sources: Path, top: Path) -> Design:
    instance = re.search(r"\bcascade_engine\s*(?:#\(.*?\)\s*)?(\w+)\s*\(", top.read_text(encoding="utf-8"), re.DOTALL)
    defines = {"CASCADE_DUT": top.stem}
    if instance:
        defines["CASCADE_RETIRED"] = f"dut.{instance[1]}.retired_count"
    return Design(TOP, (*rtl_sources(sources), *models(), *_bench_sources()), defines, _parameters(config))


def _parameters(config: EngineConfig) -> dict[str, int]:
    return {"BusBits": config.bus_bits, "MemoryBytes": MEMORY_BYTES}


def _bench_sources() -> list[Path]:
    """Return the bench's files, the shim of the HLS model left out; the top comes last."""
    files = [path for path in sorted(BENCH.glob("*.sv")) if path != SHIM]
    return sorted(files, key=lambda path: path.stem == TOP)
