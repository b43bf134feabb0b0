"""The fault campaign on the executor: each fault hits its target, and undetected faults are unobservable."""

from __future__ import annotations

import numpy as np
import pytest

from rtl_sim.faults import KINDS, apply_fault, campaign, draw_faults
from rtl_sim.verify import ProgramExecutor, Unit
from tests.conformance.cases import ALL_CASES
from tests.unit.rtl_sim.test_verify import unit_and_images
from toolflow.engine.config import EngineConfig
from toolflow.engine.isa import Flag, Opcode
from toolflow.engine.program import decode_program
from toolflow.engine.stream import Packet, unpack
from toolflow.ir.unit import UnitName
from toolflow.plan.lower.compiled import CompiledProgram
from toolflow.plan.lower.lower import compile_program
from toolflow.plan.schedule.needs import fit_depths

TILED_RESIDUAL = "winograd/modes,F4"


def narrow_unit() -> Unit:
    """Return a small unit that runs a narrow program of an engine with two precisions."""
    builder, output = ALL_CASES["conv/9to20,3x3,pads=(1,1,1,1)"].build(4, 4, 5, False)
    engine = EngineConfig(lanes_k=4, lanes_p=2, slots=2, narrow_bits=4, dsp_primitive="dsp48e2", pack_k=2, gather=False)
    graph = builder.build(output)
    return Unit(UnitName.SINGLE, graph, fit_depths(graph, engine.of(narrow=True)))


def test_program_level_turns_red() -> None:
    """Run at least 100 faults: most are detected, and undetected ones are unobservable."""
    unit, images = unit_and_images()
    compiled = compile_program(unit.graph, unit.config, unit.rule)
    faults = draw_faults(compiled, 120, seed=3)
    more = np.random.default_rng(1).integers(0, 256, (64, *images.shape[1:]), dtype=np.uint8)
    outcomes = campaign(unit, ProgramExecutor(), more[:16], faults, more)
    assert {o.fault.kind for o in outcomes} == set(KINDS) - {"residual", "index"}
    assert sum(o.red for o in outcomes) > 60
    assert sum(not o.red and not o.unobservable for o in outcomes) <= 3  # seen only on the further images


def test_faults_of_a_residual_and_of_a_wide_bias() -> None:
    """On an engine with tiles: each hits the field that it names, the bits that only such engines read among them."""
    unit, images = unit_and_images(TILED_RESIDUAL)
    compiled = compile_program(unit.graph, unit.config, unit.rule)
    faults = [f for f in draw_faults(compiled, 1500, 9) if f.kind in ("residual", "bias")]
    bits: dict[str, set[int]] = {"residual": set(), "bias": set()}
    for fault in faults:
        bits[fault.kind].add(int(fault.place.rsplit(" ", 1)[1]))
        layer, _, rest = fault.place.partition(", record ")
        record, _, rest = rest.partition(" of group ")
        group = int(rest.split(",")[0])
        good, bad = (_packet(each, layer, group) for each in (compiled, apply_fault(compiled, fault)))
        names = ("bias",) if fault.kind == "bias" else ("residual_multiplier", "residual_shift")
        for name in ("bias", "multiplier", "residual_multiplier", "shift", "residual_shift"):
            changed = np.flatnonzero(getattr(good, name) != getattr(bad, name)).tolist()
            assert changed in ([], [int(record)]), (fault, name)
            assert not changed or name in names
        assert any((getattr(good, name) != getattr(bad, name)).any() for name in names)
    assert bits["residual"] == set(range(20))
    assert bits["bias"] == set(range(unit.config.bias_bits))
    more = np.random.default_rng(1).integers(0, 256, (64, *images.shape[1:]), dtype=np.uint8)
    residual = [f for f in faults if f.kind == "residual"][:40]
    outcomes = campaign(unit, ProgramExecutor(), more[:16], residual, more)
    assert sum(o.red for o in outcomes) > 25
    assert sum(not o.red and not o.unobservable for o in outcomes) <= 5  # seen only on the further images


def _packet(compiled: CompiledProgram, layer: str, group: int) -> Packet:
    """Return a layer's packet from the weight stream."""
    view, offset = memoryview(compiled.weights), 0
    for instruction in compiled.instructions:
        for number in range(instruction.groups if instruction.opcode is Opcode.CONV else 0):
            channels = min(compiled.config.lanes_k, instruction.channels - number * compiled.config.lanes_k)
            indexed = Flag.INDEXED in instruction.flags
            packet, used = unpack(compiled.config, view[offset:], channels, instruction.rows, indexed)
            if (instruction.name, number) == (layer, group):
                return packet
            offset += used
    raise AssertionError(f"no packet of {layer}")


@pytest.mark.parametrize("narrow", [False, True])
def test_a_weight_fault_hits_the_weight_that_it_names(narrow: bool) -> None:
    """Exactly one value of one row changes, where the fault says; a narrow program's rows are those of the engine."""
    unit = narrow_unit() if narrow else unit_and_images()[0]
    compiled = compile_program(unit.graph, unit.config, unit.rule)
    first = next(i for i in compiled.instructions if i.groups)
    channels = min(unit.config.lanes_k, first.channels)
    good, _ = unpack(unit.config, memoryview(compiled.weights), channels, first.rows, False)
    hits = [f for f in draw_faults(compiled, 800, 5) if f.kind == "weight" and f.place.startswith(f"{first.name},")]
    assert max(int(f.place.rsplit(" ", 1)[1]) for f in hits) == 7
    for fault in hits:
        weights = memoryview(apply_fault(compiled, fault).weights)
        bad, _ = unpack(unit.config, weights, channels, first.rows, False)
        changed = np.argwhere(bad.values != good.values)
        channel = int(fault.place.split("output channel ")[1].split(",")[0])
        if channel < channels:
            row, slot = (int(fault.place.split(f"{what} ")[1].split(",")[0]) for what in ("row", "slot"))
            assert changed.tolist() == [[row, channel, slot]]


def test_faults_of_rows_with_indices() -> None:
    """Each changes one weight, or one index, of the layer, the channel, the row and the slot that it names."""
    unit, images = unit_and_images(TILED_RESIDUAL)
    compiled = compile_program(unit.graph, unit.config, unit.rule)
    faults = [f for f in draw_faults(compiled, 1500, 11) if f.kind in ("weight", "index")]
    bits: dict[str, set[int]] = {"weight": set(), "index": set()}
    for fault in faults:
        layer, channel, row, slot, bit = (part.rsplit(" ", 1)[-1] for part in fault.place.split(", "))
        bits[fault.kind].add(int(bit))
        group, k = divmod(int(channel), unit.config.lanes_k)
        good, bad = (_packet(each, layer, group) for each in (compiled, apply_fault(compiled, fault)))
        place = [[int(row), k, int(slot)]]
        assert np.argwhere(good.values != bad.values).tolist() == (place if fault.kind == "weight" else [])
        if good.indices is None or bad.indices is None:
            assert fault.kind == "weight"
        else:
            assert np.argwhere(good.indices != bad.indices).tolist() == (place if fault.kind == "index" else [])
    assert bits["weight"] == set(range(unit.config.weight_bits))
    assert bits["index"] == set(range(unit.config.index_bits))
    more = np.random.default_rng(1).integers(0, 256, (64, *images.shape[1:]), dtype=np.uint8)
    outcomes = campaign(unit, ProgramExecutor(), more[:16], [f for f in faults if f.kind == "index"][:60], more)
    assert sum(o.red for o in outcomes) > 30
    # seen only on the further images: taps that share keep values at taps that move the answers little
    assert sum(not o.red and not o.unobservable for o in outcomes) <= 12


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
