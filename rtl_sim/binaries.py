"""The binaries of one unit, which every level, the host and the board read, and their comparison with its network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from toolflow.engine.isa import INSTRUCTION_WORDS
from toolflow.engine.program import HEADER_WORDS
from toolflow.plan.lower.compiled import CompiledProgram

_INSTRUCTION_BYTES = 4 * INSTRUCTION_WORDS


@dataclass(frozen=True)
class Binaries:
    """A program binary and a weight stream as they were read from a project."""

    program: bytes
    weights: bytes

    def into(self, compiled: CompiledProgram) -> CompiledProgram:
        """Return the compilation with these bytes."""
        return replace(compiled, program=self.program, weights=self.weights)

    def into_traced(self, compiled: CompiledProgram, traced: CompiledProgram) -> CompiledProgram:
        """Return a traced compilation with these weights and tables, and its own instructions."""
        tables = self.program[compiled.instructions[0].in_base :]
        code = traced.program[: traced.instructions[0].in_base]
        return replace(traced, program=code + tables, weights=self.weights)

    def difference(self, compiled: CompiledProgram) -> str | None:
        """Return the first difference between the files and the compilation, as text; None if there is none."""
        for what, stored, expected, parts in (
            ("program", self.program, compiled.program, _program_parts(compiled)),
            ("weights", self.weights, compiled.weights, _weight_parts(compiled)),
        ):
            if len(stored) != len(expected):
                return f"the {what} file must hold {len(expected):,} bytes, not {len(stored):,}"
            if stored != expected:
                place = next(i for i, (a, b) in enumerate(zip(stored, expected, strict=True)) if a != b)
                part = next(name for name, end in parts if place < end)
                return f"byte {place} of the {what} file, {part}: expected {expected[place]}, got {stored[place]}"
        return None

    def missized(self, compiled: CompiledProgram) -> list[str]:
        """Return which of "program" and "weights" are not of the compilation's size: no level can run those."""
        return [part for part in ("program", "weights") if len(getattr(self, part)) != len(getattr(compiled, part))]


def _program_parts(compiled: CompiledProgram) -> Iterator[tuple[str, int]]:
    """Yield the parts of a program binary, each with the byte at which it ends."""
    end = 4 * HEADER_WORDS
    yield "header", end
    for instruction in compiled.instructions:
        end += _INSTRUCTION_BYTES
        yield f"instruction '{instruction.name}'", end
    yield "input table", len(compiled.program)


def _weight_parts(compiled: CompiledProgram) -> Iterator[tuple[str, int]]:
    """Yield the layers of a weight stream, each with the byte at which it ends."""
    end = 0
    for step in compiled.schedule.computes:
        end += step.weight_bytes(compiled.config)
        yield f"layer '{step.name}'", end
