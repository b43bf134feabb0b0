"""The fault campaign on the executor: what is drawn is hit, and green faults are invisible."""

from __future__ import annotations

import numpy as np

from rtl_sim.faults import KINDS, apply_fault, campaign, draw_faults
from rtl_sim.verify import ProgramLevel
from tests.unit.test_verify import unit_and_images
from toolflow.engine.isa import Flag, decode_program
from toolflow.engine.stream import unpack
from toolflow.plan.lower import compile_program


def test_program_level_turns_red() -> None:
    """At least 100 faults; whatever stays green is unobservable, and most are seen."""
    unit, images = unit_and_images()
    compiled = compile_program(unit.graph, unit.config, unit.rule)
    faults = draw_faults(compiled, 120, seed=3)
    more = np.random.default_rng(1).integers(0, 256, (64, *images.shape[1:]), dtype=np.uint8)
    outcomes = campaign(unit, ProgramLevel(), more[:16], faults, more)
    assert {o.fault.kind for o in outcomes} == set(KINDS)
    assert sum(o.red for o in outcomes) > 60
    assert sum(not o.red and not o.unobservable for o in outcomes) <= 3  # seen only on the further images


def test_a_weight_fault_hits_the_weight_that_it_names() -> None:
    """Exactly one value of one row changes, where the fault says."""
    unit, _ = unit_and_images()
    compiled = compile_program(unit.graph, unit.config, unit.rule)
    first = next(i for i in compiled.instructions if i.groups)
    channels = min(unit.config.lanes_k, first.channels)
    good, _ = unpack(unit.config, memoryview(compiled.weights), channels, first.rows, False)
    hits = [f for f in draw_faults(compiled, 400, 5) if f.kind == "weight" and f.place.startswith(f"{first.name},")]
    for fault in hits:
        weights = memoryview(apply_fault(compiled, fault).weights)
        bad, _ = unpack(unit.config, weights, channels, first.rows, False)
        changed = np.argwhere(bad.values != good.values)
        channel = int(fault.place.split("output channel ")[1].split(",")[0])
        if channel < channels:
            assert changed.tolist() == [[int(fault.place.split("row ")[1].split(",")[0]), channel, 0]]


def test_instruction_faults_pass_the_crc() -> None:
    """The CRC is good again, so that the fault reaches the engine."""
    unit, _ = unit_and_images()
    compiled = compile_program(unit.graph, unit.config, unit.rule)
    faults = [f for f in draw_faults(compiled, 100, 7) if f.kind == "instruction" and "opcode" not in f.place]
    assert faults
    for fault in faults:
        bit = int(fault.place.rsplit(" ", 1)[1])
        if ", flags," in fault.place and bit >= len(Flag):
            continue  # an unknown flag is refused by the decoder
        _, instructions = decode_program(apply_fault(compiled, fault).program)
        assert instructions != compiled.instructions
