"""Instructions, headers and weight packets are equal after encoding and decoding."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.engine_shapes import SHAPES
from toolflow.engine.config import EngineConfig
from toolflow.engine.isa import LAYOUT, Flag, Instruction, Opcode
from toolflow.engine.program import MAX_INSTRUCTIONS, Header, decode_program, encode_program
from toolflow.engine.stream import Packet, pack, suited, unpack
from toolflow.ir.errors import ToolflowError

BEFORE_SHARED_INDICES = 0xBDD6B705DDFC5BBD  # signature of the default engine

HEADER = Header(0x0123456789ABCDEF, 4096, 64, 10, 369, 1, 3, -5, 17)


@given(st.data())
def test_instruction_round_trip(data: st.DataObject) -> None:
    """A value that fits its field is decoded unchanged."""
    values = {}
    for name, (_, _, width, signed) in LAYOUT.items():
        if name not in ("opcode", "flags"):
            low = -(1 << (width - 1)) if signed else 0
            values[name] = data.draw(st.integers(low, low + (1 << width) - 1))
    opcode, flags = data.draw(st.sampled_from(Opcode)), Flag(data.draw(st.integers(0, 63)))
    instruction = replace(Instruction(opcode, flags), **values)  # type: ignore[arg-type]  # a name per field
    assert Instruction.decode(instruction.encode()) == instruction


def test_fields_do_not_overlap() -> None:
    """No bit of an instruction belongs to two fields."""
    used = [0] * 16
    for word, low, width, _ in LAYOUT.values():
        mask = ((1 << width) - 1) << low
        assert used[word] & mask == 0
        used[word] |= mask


def test_field_too_large() -> None:
    """A value that its field cannot hold is refused by name."""
    with pytest.raises(ToolflowError, match=r"'conv1': channels must lie within \[0, 65535\] to be encoded, not 65536"):
        Instruction(Opcode.CONV, channels=65536, name="conv1").encode()


def test_program_round_trip_and_damage() -> None:
    """The CRC covers header and instructions: any flipped bit there is found."""
    program = encode_program(HEADER, (Instruction(Opcode.LOAD, levels=1), Instruction(Opcode.END)), b"table", 16)
    assert decode_program(program) == (HEADER, (Instruction(Opcode.LOAD, levels=1), Instruction(Opcode.END)))
    for byte in range(len(program) - len(b"table")):
        damaged = bytearray(program)
        damaged[byte] ^= 0x10
        with pytest.raises(ToolflowError):
            decode_program(bytes(damaged))
    with pytest.raises(ToolflowError, match="must hold a header"):
        decode_program(program[:60])
    with pytest.raises(ToolflowError, match="a program of 2 instructions must have 192 bytes"):
        decode_program(program[:130])


def test_what_lies_behind_the_end_is_not_decoded() -> None:
    """No engine runs these words, but the CRC covers them."""
    load, end = Instruction(Opcode.LOAD, levels=1), Instruction(Opcode.END)
    words = np.frombuffer(encode_program(HEADER, (load, end, load), b"", 16), dtype="<u4").copy()
    words[16 + 2 * 16] = 255  # no opcode
    words[15] = zlib.crc32(words[:15].tobytes() + words[16:].tobytes())
    assert decode_program(words.tobytes()) == (HEADER, (load, end))


def test_a_program_has_no_more_instructions_than_engines_take() -> None:
    ends = (Instruction(Opcode.END),) * (MAX_INSTRUCTIONS + 1)
    encode_program(HEADER, ends[1:], b"", 16)
    with pytest.raises(ToolflowError, match="must have at most 65,536 instructions, not 65,537"):
        encode_program(HEADER, ends, b"", 16)


def test_reserved_bits_are_refused() -> None:
    """Reserved bits and unknown opcodes do not decode."""
    words = Instruction(Opcode.END).encode()
    words[15] = 1 << 24
    with pytest.raises(ToolflowError, match="instruction word 15 has reserved bits set"):
        Instruction.decode(words)
    words = Instruction(Opcode.END).encode()
    words[0] = 99
    with pytest.raises(ToolflowError, match="99 is not a valid Opcode"):
        Instruction.decode(words)


def test_taps_round_trip() -> None:
    """Exponents and steps of a tile come back, whatever its size, and leave each other's words and word 15 alone."""
    for taps in (4, 6):
        exponent = np.arange(taps * taps).reshape(taps, taps) % 8
        steps = (np.arange(taps * taps).reshape(taps, taps) * 7 + 255) % 256
        none = np.zeros_like(steps)
        decoded = Instruction.decode(Instruction.taps(exponent, steps).encode())
        assert (decoded.exponents(taps) == exponent).all()
        assert (decoded.tap_steps(taps) == steps).all()
        assert not Instruction.taps(exponent, none).encode()[6:].any()
        assert not Instruction.taps(none, steps).encode()[[*range(1, 6), 15]].any()


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("name", SHAPES)
def test_packet_round_trip(name: str, indexed: bool) -> None:
    """Parameters, values and indices come back, and the length is whole beats."""
    config = SHAPES[name]
    rng = np.random.default_rng(1)
    rows, shape = 7, (7, config.lanes_k, config.slots)
    shared = (7, config.lanes_k // config.index_k, config.slots)
    half = 1 << (config.weight_bits - 1)
    packet = Packet(
        bias=rng.integers(-(1 << 31), 1 << 31, config.lanes_k),
        multiplier=rng.integers(1, 1 << 16, config.lanes_k),
        residual_multiplier=rng.integers(0, 1 << 16, config.lanes_k),
        shift=rng.integers(0, 48, config.lanes_k),
        residual_shift=rng.integers(0, 16, config.lanes_k),
        values=rng.integers(-half, half, shape),
        indices=rng.integers(0, config.sub_row, shared) if indexed else None,
    )
    stream = pack(config, packet)
    back, used = unpack(config, memoryview(stream + b"more"), config.lanes_k, rows, indexed)
    assert used == len(stream)
    assert used % config.bus_bytes == 0
    for field in ("bias", "multiplier", "residual_multiplier", "shift", "values"):
        np.testing.assert_array_equal(getattr(back, field), getattr(packet, field))
    if indexed:
        np.testing.assert_array_equal(back.indices, packet.indices)
    with pytest.raises(ToolflowError, match="the weight stream must hold"):
        unpack(config, memoryview(stream[:-1]), config.lanes_k, rows, indexed)


@pytest.mark.parametrize("bias", [-2, 7, -(1 << 39), (1 << 39) - 1])
def test_record_layout_is_the_specified_one(bias: int) -> None:
    """Low bits of the bias, both multipliers, shift, high bits of the bias, residual shift, then 5 zeros."""
    config = EngineConfig(lanes_k=1, lanes_p=1, bus_bits=128)
    values = (("bias", bias), ("multiplier", 3), ("residual_multiplier", 4), ("shift", 5), ("residual_shift", 6))
    packet = Packet(**{k: np.array([v]) for k, v in values}, values=np.zeros((1, 1, 1), np.int64))
    packed = pack(config, packet)
    assert packed[:16] == struct.pack("<IHHBbB5x", bias & 0xFFFFFFFF, 3, 4, 5, bias >> 32, 6)
    assert unpack(config, memoryview(packed), 1, 1, False)[0].bias.tolist() == [bias]


def test_signature_names_the_configuration() -> None:
    """Any other parameter gives another signature."""
    config = EngineConfig()
    assert config.signature != EngineConfig(bank_depth=config.bank_depth + 1).signature
    assert replace(HEADER, signature=config.signature).signature == config.signature


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"sub_row": 6}, "sub_row must be a power of two, not 6"),
        ({"slots": 16}, "slots must not exceed sub_row, not 16 > 8"),
        ({"lanes_k": 12, "drain_k": 8}, r"drain_k must divide gcd\(lanes_k, sub_row\) = 4, not be 8"),
        ({"sub_row": 32, "bus_bits": 128}, "sub_row must be at most bus_bits / 8, not 32 > 16"),
        ({"bus_bits": 96}, "bus_bits must be"),
    ],
)
def test_inconsistent_engine(values: dict[str, int], text: str) -> None:
    """Inconsistent parameters are refused with the reason."""
    with pytest.raises(ValueError, match=text):
        EngineConfig(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            {"pack_p": 2},
            "pack_k, pack_p and chain need a dsp_primitive, one of dsp48e1, dsp48e2, mult18x18d, not 1, 2 and 1",
        ),
        (
            {"dsp_primitive": "dsp48e2", "multiplier": "lut"},
            "multiplier must be dsp with dsp_primitive dsp48e2, not lut",
        ),
        ({"dsp_primitive": "dsp48e2", "pack_p": 2, "lanes_p": 7}, "pack_p must divide lanes_p = 7, not be 2"),
        (
            {"dsp_primitive": "dsp48e2", "pack_k": 2, "lanes_k": 5, "gather": False},
            "pack_k must divide lanes_k = 5, not",
        ),
        ({"dsp_primitive": "dsp48e2", "slots": 4, "chain": 8}, "chain must divide slots = 4, not be 8"),
        (
            {"dsp_primitive": "dsp48e2", "pack_k": 2},
            "index_k must be 2 or 4 with pack_k=2 and gather, not 1: output channels of one DSP block share an "
            "element; without shared indices take pack_p=2, or gather=false for dense layers",
        ),
        ({"index_k": 4, "lanes_k": 6}, "index_k must divide lanes_k = 6, not be 4"),
        ({"index_k": 2, "gather": False}, "index_k must be 1 without gather, not 2"),
        (
            {"dsp_primitive": "dsp48e1", "pack_p": 2, "slots": 2, "chain": 2},
            "dsp48e1 does not take pack_k=1 pack_p=2 with chain=2 for weights of 8 bits and operands from -128 to 255",
        ),
        (
            {"dsp_primitive": "mult18x18d", "pack_p": 2, "weight_bits": 6, "activation_bits": 6},
            "mult18x18d does not take",
        ),
        (
            {"dsp_primitive": "dsp48e1", "pack_k": 2, "gather": False, "tile": 2},
            "operands from -512 to 1020: it takes pack_k=1",
        ),
    ],
)
def test_an_array_that_no_primitive_builds(values: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        EngineConfig.model_validate(values)


def test_how_the_array_is_built_is_no_part_of_the_signature() -> None:
    """A new parameter must be listed here: do programs of earlier versions still run with it?"""
    packed = EngineConfig(dsp_primitive="dsp48e2", pack_p=2, slots=4, chain=4)
    assert (packed.packing.spacing, packed.packing.chain) == (18, 4)
    assert packed.signature == EngineConfig(slots=4).signature
    assert EngineConfig().packing.shifts == (0,)
    assert EngineConfig().signature == BEFORE_SHARED_INDICES
    assert EngineConfig(index_k=2).signature != EngineConfig(index_k=4).signature != EngineConfig().signature


@pytest.mark.parametrize(
    ("bias", "left", "text"),
    [
        (1 << 19, 0, "biases must fit the engine's bias_bits = 20, not reach 524288"),
        (-(1 << 19) - 1, 0, "biases must fit the engine's bias_bits = 20, not reach 524289"),
        (0, 1, "without tiles an engine takes residual shifts of 0, not 1"),
    ],
)
def test_parameters_that_an_engine_does_not_take_are_refused(bias: int, left: int, text: str) -> None:
    one = np.ones(1, dtype=np.int64)
    packet = Packet(one * bias, one, one, one, one * left, one.reshape(1, 1, 1))
    assert suited(EngineConfig(tile=2), packet, "conv") is packet
    with pytest.raises(ToolflowError, match=f"'conv': {text}"):
        suited(EngineConfig(bias_bits=20), packet, "conv")
