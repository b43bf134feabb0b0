"""Engines with two precisions: what their programs see of them, and what such an engine cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rtl.units import edited
from toolflow.engine.config import FITTED, EngineConfig
from toolflow.engine.disassemble import disassemble
from toolflow.engine.errors import EngineFaultError, ErrorCode
from toolflow.engine.executor import run_program
from toolflow.engine.isa import Instruction, Opcode
from toolflow.engine.program import Header, encode_program
from toolflow.ir.errors import ToolflowError

BOTH: dict[str, Any] = {
    "lanes_k": 4, "lanes_p": 4, "slots": 4, "narrow_bits": 4, "dsp_primitive": "dsp48e2", "pack_k": 2, "chain": 4,
    "gather": False,
}  # fmt: skip


def test_programs_see_an_engine_of_one_precision() -> None:
    engine = EngineConfig(**BOTH)
    wide, narrow = engine.of(narrow=False), engine.of(narrow=True)
    assert [(c.narrow_bits, c.lanes_p, c.weight_bits, c.activation_bits, c.digit_bits) for c in (wide, narrow)] == [
        (0, 2, 8, 8, 8),
        (0, 4, 4, 4, 4),
    ]
    assert [(c.narrow, c.multipliers, c.products_per_block) for c in (wide, narrow)] == [(False, 32, 2), (True, 64, 4)]
    assert wide.row_bits(False) == narrow.row_bits(False) == engine.row_bits(False) == 4 * 4 * 8
    assert wide.signature == narrow.signature == engine.signature
    assert wide.built is narrow.built is engine is engine.built
    assert narrow.of(narrow=False) == wide
    deeper = narrow.fitted({**dict.fromkeys(FITTED, 8), "external_maps": True})
    assert (deeper.narrow, deeper.bank_depth, deeper.built.bank_depth, deeper.built.narrow_bits) == (True, 8, 8, 4)
    assert deeper.signature == deeper.built.signature != engine.signature


def test_an_engine_with_one_precision_is_what_its_programs_see() -> None:
    engine = EngineConfig()
    assert engine.of(narrow=False) is engine
    assert engine.signature == 0xBDD6B705DDFC5BBD  # that of programs from before there were two
    with pytest.raises(ToolflowError, match="a narrow program needs an engine with two precisions: take narrow_bits=4"):
        engine.of(narrow=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lanes_p": 3}, "with narrow_bits=4 lanes_p must be even, as a wide program has half of the lanes, not 3"),
        ({"activation_bits": 6}, "with narrow_bits=4 activation_bits must be 8, not 6"),
        ({"weight_bits": 4}, "with narrow_bits=4 weight_bits must be 8, not 4"),
        (
            {"dsp_primitive": "none", "pack_k": 1, "chain": 1},
            "with narrow_bits=4 dsp_primitive must be dsp48e1 or dsp48e2, not none; "
            "with narrow_bits=4 pack_k must be 2, not 1",
        ),
        (
            {"pack_k": 1, "gather": True},
            "with narrow_bits=4 pack_k must be 2, not 1; with narrow_bits=4 gather must be",
        ),
        ({"tile": 2, "chain": 1}, "with narrow_bits=4 tile must be 0, not 2"),
        ({"pack_k": 1, "pack_p": 2}, "with narrow_bits=4 pack_k must be 2, not 1; with narrow_bits=4 pack_p must be 1"),
        ({"dsp_primitive": "dsp48e1"}, "dsp48e1 does not take pack_k=2 pack_p=1 with chain=4 for weights of 8 bits"),
        ({"narrow_bits": 3}, "Input should be 0 or 4"),
    ],
)
def test_an_engine_that_cannot_have_two_precisions_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="EngineConfig") as error:
        EngineConfig(**{**BOTH, **changes})
    assert message in str(error.value)


def _program(config: EngineConfig, narrow: int) -> bytes:
    header = Header(config.signature, 16, 16, 1, 0, 0, 0, 0, 0, narrow)
    return encode_program(header, (Instruction(Opcode.END),), b"", config.bus_bytes)


def test_a_narrow_program_is_refused_where_there_is_one_precision() -> None:
    single, double = EngineConfig(), EngineConfig(**BOTH)
    assert run_program(double, _program(double, narrow=1), b"", b"", 1) == b""
    with pytest.raises(EngineFaultError, match="a narrow program needs an engine with two precisions") as error:
        run_program(single, _program(single, narrow=1), b"", b"", 1)
    assert error.value.code is ErrorCode.OPCODE

    def without_instructions(words: list[int]) -> None:
        words[4] = 0

    with pytest.raises(EngineFaultError, match="no instruction") as error:
        run_program(single, edited(_program(single, narrow=1), without_instructions), b"", b"", 1)
    assert error.value.code is ErrorCode.COUNT
    assert disassemble(_program(single, 1)).startswith("program     version 7, of the narrow precision, 1 instructions")
    assert disassemble(_program(single, 0)).startswith("program     version 7, 1 instructions")


@pytest.mark.parametrize(("primitive", "chains"), [("dsp48e1", (1, 2)), ("dsp48e2", (1, 2, 4, 8))])
def test_a_chain_that_both_precisions_take_excludes_no_narrow_weight(primitive: str, chains: tuple[int, ...]) -> None:
    for chain in (1, 2, 4, 8, 16):
        changes = {"slots": 16, "sub_row": 16, "dsp_primitive": primitive, "chain": chain}
        if chain in chains:
            packing = EngineConfig(**{**BOTH, **changes}).of(narrow=True).packing
            assert (packing.weights.lower, packing.weights.upper) == (-8, 7)
        else:
            with pytest.raises(ValueError, match=f"chain={chain}"):
                EngineConfig(**{**BOTH, **changes})
