"""One start of a unit against cocotbext-axi's models, with random pauses on every channel.

A second opinion on the bus protocol, from models that were not written here. Python runs on every clock cycle, so it
is for short programs only; `rtl_sim/simulate/runner.py` is for everything else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from rtl_sim.simulate.job import FILL, Job, SimulationError
from rtl_sim.simulate.runner import SHIM, Dut, build_hls_simulator, find_unit, rtl_sources
from rtl_sim.simulate.simulator import Design, Simulator, build_simulator
from toolflow.engine.config import EngineConfig
from toolflow.engine.registers import PAGE_BYTES

PORTS = ("--public-depth", "1")  # Python drives the top's own ports


@dataclass(frozen=True)
class ProtocolRun:
    """What one start did: the status register's code, the results buffer, and the bytes around it."""

    error: int
    results: bytes
    guards: bytes


@dataclass(frozen=True)
class ProtocolSimulation:
    """A built simulator with the unit itself as its top."""

    config: EngineConfig
    simulator: Simulator

    def run(self, job: Job, seed: int, pause_probability: float, limit_cycles: int = 200_000) -> ProtocolRun:
        """Run one job.

        Raises:
            SimulationError: it was not done within `limit_cycles`, or a model found the protocol broken.
        """
        with self.simulator.work_folder() as folder:
            memory = bytearray()
            places: dict[str, int] = {}
            results = bytes([FILL]) * job.result_bytes
            for name, content in zip(
                ("program", "weights", "images", "results"),
                (job.program, job.weights, job.images, results),
                strict=True,
            ):
                memory += bytes([FILL]) * (-len(memory) % PAGE_BYTES + PAGE_BYTES)
                places[name] = len(memory)
                memory += content
            memory += bytes([FILL]) * (-len(memory) % PAGE_BYTES + PAGE_BYTES)
            (folder / "memory.bin").write_bytes(memory)
            numbers = {"count": job.image_count, "seed": seed, "limit_cycles": limit_cycles}
            (folder / "job.json").write_text(json.dumps(numbers | places | {"pause_probability": pause_probability}))
            log = self.simulator.execute(
                folder, "tests.rtl.axi_models", {"CASCADE_FOLDER": str(folder), "COCOTB_RANDOM_SEED": str(seed)}
            )
            answer = folder / "answer.json"
            if log.failed or not answer.exists():
                raise SimulationError(f"the unit failed against cocotbext-axi's models:\n{log.excerpt}")
            after = (folder / "memory.out").read_bytes()
            begin = places["results"]
            end = begin + job.result_bytes
            guards = after[begin - PAGE_BYTES : begin] + after[end : end + PAGE_BYTES]
            return ProtocolRun(json.loads(answer.read_text())["error"], after[begin:end], guards)


def build_protocol_simulation(config: EngineConfig, dut: Dut, folder: Path, sources: Path) -> ProtocolSimulation:
    """Build the unit in `sources` without the bench around it; arguments and errors as in `build_simulation`."""
    top = find_unit(config, dut, sources)
    if dut == "rtl":
        simulator = build_simulator(folder, Design(top.stem, tuple(rtl_sources(sources)), {}, {}, PORTS))
    else:
        shim = Design(SHIM.stem, (SHIM,), {}, {"BusBits": config.bus_bits}, PORTS)
        simulator = build_hls_simulator(folder, sources, top, shim)
    return ProtocolSimulation(config, simulator)
