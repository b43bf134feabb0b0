"""Compare every level of a unit with the reference, and find where a difference begins.

Each level runs the same program binary and weight stream. What is compared is everything that the
engine writes: results, class, confidence. Where a level differs, the program is compiled again so that
it stores every feature map, and the first map and element that differ are named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rtl_sim.binaries import Binaries
from toolflow.engine.config import EngineConfig
from toolflow.engine.errors import EngineFaultError
from toolflow.engine.executor import run_program
from toolflow.interpreter.run import run
from toolflow.ir.quantised import QuantisedGraph
from toolflow.ir.unit import UnitName
from toolflow.numerics.confidence import ACCEPT_ALL, ConfidenceRule, evaluate
from toolflow.plan.lower.compiled import CompiledProgram, Results
from toolflow.plan.lower.lower import compile_program

UInt8Array = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Unit:
    """A network and the engine that runs it.

    Attributes:
        name: names the binaries.
        graph: the network.
        config: the engine, of two precisions as the network's programs see it.
        rule: of the confidence unit; None accepts every image.
        engine_name: names the emitted sources; None if the engine runs no other network, and has the unit's name.
    """

    name: UnitName
    graph: QuantisedGraph
    config: EngineConfig
    rule: ConfidenceRule | None = None
    engine_name: UnitName | None = None

    @property
    def engine(self) -> UnitName:
        """Name of the engine."""
        return self.engine_name or self.name


@dataclass(frozen=True)
class LevelRun:
    """What a level wrote.

    Attributes:
        error: the engine's error code.
        results: bytes of the results region.
        cycles: from start to the last write response, None if the level has no clock.
        instruction_cycles: the same of each instruction of every pass, in order.
        weight_stall_cycles: of those cycles, in how many the array waited for weights; None as above.
    """

    error: int
    results: bytes
    cycles: int | None = None
    instruction_cycles: tuple[int, ...] = ()
    weight_stall_cycles: int | None = None


class Executor(Protocol):
    """A way to execute a program."""

    def run(self, unit: Unit, compiled: CompiledProgram, images: bytes, count: int) -> LevelRun:
        """Run `count` packed images."""


@dataclass(frozen=True)
class Difference:
    """The first place at which a level leaves the reference.

    Attributes:
        tensor: the map, or "results" where no map differs.
        image: index of the image.
        element: (channel, row, column), or the index of a result.
        expected, actual: the integers there; for error codes and confidence, their values.
        what: "feature map", "result", "class", "confidence" or "error code".
    """

    tensor: str
    image: int
    element: tuple[int, ...]
    expected: int
    actual: int
    what: str

    def __str__(self) -> str:
        place = ", ".join(str(index) for index in self.element)
        where = f"{self.what} of '{self.tensor}', image {self.image}" + (f", element ({place})" if place else "")
        return f"{where}: expected {self.expected}, got {self.actual}"


@dataclass(frozen=True)
class LevelVerdict:
    """One level of one unit against the reference; `instruction_cycles` are those of the last pass."""

    unit: str
    images: int
    difference: Difference | None
    cycles: int | None
    instruction_cycles: tuple[int, ...]
    weight_stall_cycles: int | None = None

    @property
    def equal(self) -> bool:
        """Whether every integer was the reference's."""
        return self.difference is None


class ProgramExecutor:
    """The numpy executor."""

    def run(self, unit: Unit, compiled: CompiledProgram, images: bytes, count: int) -> LevelRun:
        """Run `count` packed images."""
        try:
            raw = run_program(unit.config, compiled.program, compiled.weights, images, count)
        except EngineFaultError as fault:
            return LevelRun(fault.code, bytes(compiled.result_bytes(count)))
        return LevelRun(0, raw)


def verify_level(
    unit: Unit,
    executor: Executor,
    images: UInt8Array,
    progress: Callable[[str], None] | None = None,
    binaries: Binaries | None = None,
) -> LevelVerdict:
    """Run one level on images (N, H, W, C) and compare every integer that it writes.

    Args:
        unit: the engine and its network.
        executor: what runs the program.
        images: uint8 images.
        progress: told what is being done, where it may take long.
        binaries: a project's own files, of the compilation's sizes, to run instead of the compilation's bytes.
    """
    compiled = compile_program(unit.graph, unit.config, unit.rule)
    if binaries is not None:
        compiled = binaries.into(compiled)
    outcome = executor.run(unit, compiled, compiled.pack_images(images), len(images))
    difference = compare(unit, compiled, outcome, images)
    if difference is not None and outcome.error == 0:
        if progress is not None:
            progress(f"{unit.name} differs; tracing every feature map")
        difference = locate(unit, executor, images[difference.image : difference.image + 1], binaries) or difference
    last_pass = outcome.instruction_cycles[-len(compiled.instructions) :]
    counters = outcome.cycles, last_pass, outcome.weight_stall_cycles
    return LevelVerdict(unit.name, len(images), difference, *counters)


def compare(unit: Unit, compiled: CompiledProgram, outcome: LevelRun, images: UInt8Array) -> Difference | None:
    """Return the first difference between a level's results and the reference, None if there is none."""
    if outcome.error:
        return Difference("results", 0, (), 0, outcome.error, "error code")
    count = len(images)
    actual = compiled.unpack_results(outcome.results, count)
    expected = expected_results(unit, compiled, images)
    for what, want, got in (
        ("result", expected.logits, actual.logits),
        ("class", expected.klass, actual.klass),
        ("confidence", expected.confident, actual.confident),
        ("confidence", expected.numerator, actual.numerator),
        ("confidence", expected.total, actual.total),
    ):
        place = _first_difference(want, got)
        if place is not None:
            return Difference("results", place[0], place[1:], int(want[place]), int(got[place]), what)
    return None


def expected_results(unit: Unit, compiled: CompiledProgram, images: UInt8Array) -> Results:
    """Return what the reference says that the engine must write."""
    logits = run(unit.graph, images)[unit.graph.output]
    shaped = logits.reshape(len(images), *compiled.output_shape)
    flat = shaped.transpose(0, 2, 3, 1) if shaped.ndim == 4 else shaped  # the engine's order: channels last
    flat = flat.reshape(len(images), -1)
    if not unit.config.confidence:
        ones, zeros = np.ones(len(images), bool), np.zeros(len(images), np.int64)
        return Results(shaped, flat.argmax(axis=1), ones, zeros, zeros)
    answer = evaluate(flat, unit.rule or ACCEPT_ALL)
    return Results(shaped, answer.klass, answer.confident, answer.numerator, answer.total)


def locate(unit: Unit, executor: Executor, images: UInt8Array, binaries: Binaries | None = None) -> Difference | None:
    """Store every feature map through the level itself and return the first element that differs.

    None if nothing differs any more: the fault lies in an instruction of `binaries`, which tracing replaces.
    """
    compiled = compile_program(unit.graph, unit.config, unit.rule)
    tensors = traceable(unit, compiled)
    traced = compile_program(unit.graph, unit.config, unit.rule, trace=tensors, trace_images=len(images))
    if binaries is not None:
        traced = binaries.into_traced(compiled, traced)
    outcome = executor.run(unit, traced, traced.pack_images(images), len(images))
    if outcome.error:
        return Difference("results", 0, (), 0, outcome.error, "error code")
    reference = run(unit.graph, images, keep=tensors)
    for tensor in tensors:
        got = traced.unpack_trace(outcome.results, tensor, len(images))
        want = reference[tensor].reshape(got.shape)
        place = _first_difference(want, got)
        if place is not None:
            return Difference(tensor, place[0], place[1:], int(want[place]), int(got[place]), "feature map")
    return compare(unit, traced, outcome, images)


def traceable(unit: Unit, compiled: CompiledProgram) -> Sequence[str]:
    """Return the graph's tensors that steps write to the banks, in order."""
    return [node.name for node in unit.graph.nodes if node.name in compiled.schedule.traceable]


def _first_difference(want: npt.NDArray[np.generic], got: npt.NDArray[np.generic]) -> tuple[int, ...] | None:
    places = np.argwhere(want != got)
    return tuple(int(index) for index in places[0]) if len(places) else None
