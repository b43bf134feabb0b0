"""Units under the bench: engine shapes with depths that hold every conformance case, built once, run many times."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product
from pathlib import Path

import numpy as np

from rtl_sim.simulate.job import Job, RunOptions
from rtl_sim.simulate.runner import Dut, Simulation, build_simulation
from rtl_sim.simulate.simulator import FAST_TO_BUILD
from tests.conformance.cases import cases_of, sweep_of
from tests.conformance.engine_shapes import SHAPES, SWEPT
from tests.conformance.smallest_bank import smallest_bank
from toolflow.emit.hls import emit_hls
from toolflow.emit.rtl import emit_rtl
from toolflow.engine.config import EngineConfig
from toolflow.engine.executor import run_program
from toolflow.engine.isa import INSTRUCTION_WORDS, Opcode
from toolflow.engine.program import HEADER_WORDS
from toolflow.ir.quantised import QuantisedGraph
from toolflow.numerics.confidence import ConfidenceRule
from toolflow.plan.lower.compiled import CompiledProgram
from toolflow.plan.lower.lower import compile_program
from toolflow.plan.schedule.needs import fit_depths

UNIT = "single"
DEPTHS = (
    *("bank_depth", "weight_depth", "transform_depth", "result_depth"),
    *("input_lanes", "table_words", "accumulator_bits", "bias_bits"),
)
RULE = ConfidenceRule(k=3000, m=1, n=3, threshold=20000)
Words = list[int]


@dataclass(frozen=True)
class Run:
    """A compiled network with its images, and the bytes that the engine must write."""

    name: str
    compiled: CompiledProgram
    images: bytes
    count: int
    expected: bytes

    @property
    def table_offset(self) -> int:
        """Where the program's first table lies: bytes."""
        return next(i.in_base for i in self.compiled.instructions if i.opcode is Opcode.TABLE)

    def equals(self, results: bytes) -> bool:
        """Compare the result records byte by byte, and traced maps without what pads their channels (undefined)."""
        records = self.count * self.compiled.header.result_pitch_bytes
        return results[:records] == self.expected[:records] and all(
            np.array_equal(
                self.compiled.unpack_trace(results, tensor, self.count),
                self.compiled.unpack_trace(self.expected, tensor, self.count),
            )
            for tensor in self.compiled.schedule.stored_maps
        )

    def job(self, options: RunOptions | None = None, program: bytes | None = None, count: int | None = None) -> Job:
        """Return the job, with another program or count where a test damages them."""
        return Job(
            program=self.compiled.program if program is None else program,
            weights=self.compiled.weights,
            images=self.images,
            image_count=self.count if count is None else count,
            result_bytes=len(self.expected),
            options=options,
            name=self.name,
            map_bytes=self.compiled.header.map_bytes,
        )


def make_run(
    config: EngineConfig, name: str, *, count: int, seed: int, extreme: bool = False, trace: bool = False
) -> Run:
    """Compile one case for `config`, as its programs see it, with random images; odd seeds ask the confidence unit."""
    graph = _graph(config, name, extreme)
    builder, _ = cases_of(config)[name].build(config.weight_bits, config.activation_bits, seed, extreme)
    images = builder.images(count)
    rule = RULE if seed % 2 and config.confidence else None
    traced: list[str] = []
    if trace:
        traceable = compile_program(graph, config).schedule.traceable
        traced = [node.name for node in graph.nodes if node.name in traceable]
    compiled = compile_program(graph, config, rule, trace=traced, trace_images=count if traced else 0)
    packed = compiled.pack_images(images)
    expected = run_program(config, compiled.program, compiled.weights, packed, count)
    return Run(name, compiled, packed, count, expected)


@cache
def fitted(shape: str) -> EngineConfig:
    """Return a shape with depths that hold each of its cases, random and extreme."""
    config, cases = (SHAPES[shape], cases_of) if shape in SHAPES else (SWEPT[shape], sweep_of)
    needs = [
        fit_depths(_graph(seen, name, extreme), seen)
        for seen, name, extreme in product(config.precisions, cases(config), (False, True))
    ]
    return config.fitted({depth: max(getattr(need, depth) for need in needs) for depth in DEPTHS})


def smallest_bank_of(config: EngineConfig, name: str) -> int:
    """Return the fewest words of the banks on which a case runs, in bands of rows if they do not hold its maps."""
    return smallest_bank(_graph(config, name, extreme=False), config)


def edited(program: bytes, edit: Callable[[Words], None], checked: bool = True) -> bytes:
    """Return the program with words changed, its CRC right again unless `checked` is false."""
    words = list(struct.unpack(f"<{len(program) // 4}I", program))
    edit(words)
    end = HEADER_WORDS + INSTRUCTION_WORDS * words[4]
    if checked and end <= len(words):
        words[15] = zlib.crc32(struct.pack("<15I", *words[:15]) + struct.pack(f"<{end - 16}I", *words[16:end]))
    return struct.pack(f"<{len(words)}I", *words)


def build_unit(config: EngineConfig, dut: Dut, folder: Path) -> Simulation:
    """Emit a unit and build its simulator in `folder`."""
    emit = emit_rtl if dut == "rtl" else emit_hls
    emit(config, UNIT, folder / "sources")
    return build_simulation(config, dut, folder / "build", folder / "sources", FAST_TO_BUILD)


@lru_cache(maxsize=1024)  # of one shape: `fitted` builds every case that is run afterwards
def _graph(config: EngineConfig, name: str, extreme: bool) -> QuantisedGraph:
    widths = config.weight_bits, config.activation_bits
    seed = zlib.crc32(f"{name}/{widths[0]}/{widths[1]}".encode())
    builder, output = cases_of(config)[name].build(*widths, seed, extreme)
    return builder.build(output)
