"""The comparison of levels finds the first differing element, and it can fail."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtl_sim.verify import LevelRun, ProgramExecutor, Unit, verify_level
from tests.conformance.cases import ALL_CASES
from toolflow.engine.config import EngineConfig
from toolflow.engine.stream import pack, unpack
from toolflow.ir.unit import UnitName
from toolflow.numerics.confidence import ConfidenceRule
from toolflow.plan.explore.estimate import estimate
from toolflow.plan.lower.compiled import CompiledProgram
from toolflow.plan.schedule.needs import fit_depths

RULE = ConfidenceRule(k=3000, m=1, n=3, threshold=40000)


def unit_and_images(name: str = "conv/9to20,3x3,pads=(1,1,1,1)") -> tuple[Unit, np.ndarray]:
    """Return a small unit and four images."""
    builder, output = ALL_CASES[name].build(8, 8, 5, False)
    graph = builder.build(output)
    config = fit_depths(graph, EngineConfig(lanes_k=4, lanes_p=2, tile=4))
    return Unit(UnitName.SINGLE, graph, config, RULE), builder.images(4)


class Faulty(ProgramExecutor):
    """The executor with one weight of one layer changed."""

    def run(self, unit: Unit, compiled: CompiledProgram, images: bytes, count: int) -> LevelRun:
        """Flip the first value of the first packet of the second convolution."""
        convolutions = [i for i in compiled.instructions if i.groups]
        view, offset = memoryview(compiled.weights), 0
        for group in range(convolutions[0].groups):
            channels = min(unit.config.lanes_k, convolutions[0].channels - group * unit.config.lanes_k)
            offset += unpack(unit.config, view[offset:], channels, convolutions[0].rows, False)[1]
        channels = min(unit.config.lanes_k, convolutions[1].channels)
        packet, used = unpack(unit.config, view[offset:], channels, convolutions[1].rows, False)
        values = packet.values.copy()
        values[:, 0] = -values[:, 0]
        damaged = pack(unit.config, replace(packet, values=values))
        weights = compiled.weights[:offset] + damaged + compiled.weights[offset + used :]
        return super().run(unit, replace(compiled, weights=weights), images, count)


@pytest.mark.parametrize("name", ALL_CASES)
def test_program_level_is_equal(name: str) -> None:
    """Results, class and confidence are the reference's."""
    unit, images = unit_and_images(name)
    verdict = verify_level(unit, ProgramExecutor(), images)
    assert verdict.equal, str(verdict.difference)
    assert verdict.images == 4


def test_first_diverging_layer_and_element_are_named() -> None:
    """A changed weight of 'conv' is found in channel 0 of that map, not in the results alone."""
    unit, images = unit_and_images()
    verdict = verify_level(unit, Faulty(), images)
    assert not verdict.equal
    assert verdict.difference is not None
    assert verdict.difference.tensor == "conv"
    assert verdict.difference.element[0] == 0
    assert "feature map of 'conv', image 0, element (0, " in str(verdict.difference)


def test_damaged_program_is_an_error_code() -> None:
    """A level that stops with an error is not equal."""

    class Damaged(ProgramExecutor):
        def run(self, unit: Unit, compiled: CompiledProgram, images: bytes, count: int) -> LevelRun:
            program = bytearray(compiled.program)
            program[70] ^= 1
            return super().run(unit, replace(compiled, program=bytes(program)), images, count)

    unit, images = unit_and_images()
    verdict = verify_level(unit, Damaged(), images)
    assert verdict.difference is not None
    assert (verdict.difference.what, verdict.difference.actual) == ("error code", 3)


def test_the_cycles_of_instructions_are_those_of_the_last_pass() -> None:
    """Four images on two lanes are two passes; a report has one entry for each instruction."""

    class Counting(ProgramExecutor):
        def run(self, unit: Unit, compiled: CompiledProgram, images: bytes, count: int) -> LevelRun:
            cycles = tuple(range(2 * len(compiled.instructions)))
            return replace(super().run(unit, compiled, images, count), cycles=1, instruction_cycles=cycles)

    unit, images = unit_and_images()
    found = verify_level(unit, Counting(), images).instruction_cycles
    assert found == tuple(range(len(found), 2 * len(found)))
    predicted = estimate(unit.graph, unit.config, len(images))[1]
    assert len(found) == len(predicted.instructions)
