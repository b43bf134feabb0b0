"""Executors that run a program on emitted sources: native C++, C++ in the bench, and RTL in the bench."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rtl_sim.simulate.job import Job, RunOptions
from rtl_sim.simulate.runner import Dut, Simulation, SimulationError, build_simulation
from rtl_sim.verify import LevelRun, Unit
from toolflow.emit.hls_native import build_native, run_native
from toolflow.plan.lower.compiled import CompiledProgram

HANG = -1  # error code of a run that its watchdog or the bench's checks had to end


@dataclass
class NativeExecutor:
    """The emitted C++ with ap_types, compiled by g++ and run as a process.

    Attributes:
        sources: the emitted folder.
        work: where the program is built and kept; None for `sources`/build.
    """

    sources: Path
    work: Path | None = None
    _binary: Path | None = None

    def run(self, unit: Unit, compiled: CompiledProgram, images: bytes, count: int) -> LevelRun:
        """Run `count` packed images."""
        if self._binary is None:
            self._binary = build_native(self.sources, unit.config, unit.engine, work=self.work)
        size = compiled.result_bytes(count)
        error, results = run_native(self._binary, compiled.program, compiled.weights, images, count, size)
        return LevelRun(error, results)


@dataclass
class SimulationExecutor:
    """Emitted sources behind the cocotb bench, under random stalls.

    Attributes:
        dut: "rtl" for SystemVerilog, "hls" for C++ as a DPI model.
        sources: the unit's emitted folder.
        work: where the simulator is built and kept.
        options: stalls, seed, latency.
        faults_end_it: report a hang as error code `HANG` instead of raising.
    """

    dut: Dut
    sources: Path
    work: Path
    options: RunOptions = field(default_factory=RunOptions)
    faults_end_it: bool = False
    _simulation: Simulation | None = None

    def prepare(self, unit: Unit) -> Simulation:
        """Build the simulator, once."""
        if self._simulation is None:
            self._simulation = build_simulation(unit.config, self.dut, self.work, self.sources)
        return self._simulation

    def run(self, unit: Unit, compiled: CompiledProgram, images: bytes, count: int) -> LevelRun:
        """Run `count` packed images as one start."""
        size = compiled.result_bytes(count)
        maps = compiled.header.map_bytes
        job = Job(compiled.program, compiled.weights, images, count, size, name=unit.name, map_bytes=maps)
        try:
            (outcome,) = self.prepare(unit).run([job], self.options)
        except SimulationError:
            if not self.faults_end_it:
                raise
            return LevelRun(HANG, bytes(size))
        counted = outcome.cycles or None
        stalls = None if counted is None else outcome.weight_stall_cycles
        return LevelRun(outcome.error, outcome.results, counted, outcome.instruction_cycles, stalls)
