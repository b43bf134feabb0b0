"""The interface as engines, drivers, benches and PROGRAM.md hold it, against the tables of `toolflow.engine`.

The engine is written twice, in C++ and in SystemVerilog, independently of these tables and of each other: both are read
here as text, not run. A parser must find exactly what its table has, so that nothing is left out unseen.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from types import ModuleType

import pytest

from toolflow.engine import isa, program
from toolflow.engine.errors import ErrorCode
from toolflow.engine.fields import BLOCK_WORDS, BitField
from toolflow.engine.isa import LAYOUT, Flag, Opcode
from toolflow.engine.records import (
    PARAMETER_RECORD,
    PARAMETER_RECORD_BYTES,
    RESULT_BITS,
    RESULT_HEAD,
)
from toolflow.engine.registers import PAGE_BYTES, Control, Register
from toolflow.numerics.confidence import MAX_N
from toolflow.numerics.requantise import (
    MAX_RESIDUAL_SHIFT,
    MAX_SHIFT,
    MULTIPLIER_BITS,
    PLAIN_BIAS_BITS,
    TILE_BIAS_BITS,
)
from toolflow.numerics.winograd import MAX_EXPONENT, WINOGRAD
from toolflow.plan.resources.features import READ_FIFO_BEATS

REPOSITORY = Path(__file__).resolve().parents[3]
LIB, RTL, BENCH, HOST = "hls_templates/lib", "rtl_sim/rtl", "rtl_sim/bench", "hls_templates/host"
SPECIFICATION = "toolflow/engine/PROGRAM.md"

# The header by the names that the specification and both engines use.
HEADER = {
    **{name.replace("_pitch_bytes", "_pitch"): place for name, place in program.HEADER_LAYOUT.items()},
    "magic": BitField(program.MAGIC_WORD, 0, 32),
    "version": BitField(program.VERSION_WORD, 0, 32),
    "instructions": BitField(program.COUNT_WORD, 0, 32),
    "crc": BitField(program.CRC_WORD, 0, 32),
}
# What both engines compare, and do not keep in their header.
COMPARED = ("magic", "version", "signature", "crc")

# The registers' words by the names of the SystemVerilog.
WORDS = {
    "Control": Register.CONTROL,
    "GlobalEnable": Register.GLOBAL_INTERRUPT_ENABLE,
    "Enable": Register.INTERRUPT_ENABLE,
    "Status": Register.INTERRUPT_STATUS,
    **{
        f"{name}{half}": offset
        for name, register in (
            ("Program", Register.PROGRAM),
            ("Weights", Register.WEIGHTS),
            ("Images", Register.IMAGES),
            ("Results", Register.RESULTS),
            ("Maps", Register.MAPS),
            ("Cycles", Register.CYCLES),
            ("Signature", Register.SIGNATURE),
        )
        for half, offset in zip(("Low", "High"), register.words, strict=True)
    },
    "Count": Register.COUNT,
    "ErrorCode": Register.ERROR,
    "ErrorValid": Register.ERROR_VALID,
    "Stalls": Register.WEIGHT_STALLS,
}


def _text(path: str) -> str:
    return (REPOSITORY / path).read_text(encoding="utf-8")


def _between(text: str, begin: str, end: str) -> str:
    """Return what lies between two texts, the first of which stands there once."""
    assert text.count(begin) == 1, begin
    return text.partition(begin)[2].partition(end)[0]


def _by_name(pairs: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Return numbers by names, without what each language's conventions make of a name."""
    listed = [(name.replace("_", "").lower(), int(number, 0)) for name, number in pairs]
    assert len(dict(listed)) == len(listed)
    return dict(listed)


def _codes(table: Iterable[IntEnum]) -> dict[str, int]:
    return _by_name((code.name, str(int(code))) for code in table)


def _constant(text: str, name: str) -> int:
    """Return an integer constant of C++ or SystemVerilog that is defined once."""
    (value,) = re.findall(rf"\b{name} = (?:\d+'[dh])?(\w+);", text)
    return int(value, 16 if re.search(rf"\b{name} = \d+'h", text) else 0)


# ---- PROGRAM.md


def _rows(heading: str) -> list[list[str]]:
    """Return the cells of the rows below each table heading of that text."""
    tables = [part.partition("\n\n")[0] for part in re.sub("\n +", "\n", _text(SPECIFICATION)).split(heading)[1:]]
    return [[cell.strip() for cell in line.strip("|").split("|")] for rows in tables for line in rows.splitlines()[2:]]


def test_the_specification_lays_out_blocks_as_they_are_encoded() -> None:
    found = []
    for word, bits, names, *_ in _rows("| word | bits | name | |"):
        for part, name in zip(bits.split(", "), names.split(", "), strict=True):
            high, low = (int(bit) for bit in part.split(":"))
            found.append((name, (int(word), low, high - low + 1)))
    assert sorted(found) == sorted((name, place[:3]) for name, place in [*HEADER.items(), *LAYOUT.items()])


def test_the_specification_names_opcodes_and_flags() -> None:
    assert [row[0].split() for row in _rows("| opcode | |")] == [[str(int(o)), o.name] for o in Opcode]
    flags = [row[0].split()[1:] for row in _rows("| flag | |")]
    assert [(1 << int(bit), name) for bit, name in flags] == [(flag.value, flag.name) for flag in Flag if flag]
    assert f'0x{program.MAGIC:x} ("CTF1")' in _text(SPECIFICATION)
    assert program.MAGIC.to_bytes(4, "little") == b"CTF1"
    assert [row[3] for row in _rows("| word | bits | name | |") if row[2] == "version"] == [str(program.VERSION)]
    assert f"more than {program.MAX_INSTRUCTIONS:,} instructions" in _text(SPECIFICATION)


def test_the_specification_lays_out_a_parameter_record() -> None:
    found = {}
    for bits, name, meaning in _rows("| record bits | name | |"):
        high, low = (int(bit) for bit in bits.split(":"))
        kept = re.search(r"low (\d+) bits", meaning)
        found[name] = (low, high - low + 1, int(kept[1]) if kept else high - low + 1)
    assert found == {name: field[:3] for name, field in PARAMETER_RECORD.items()}


def test_the_specification_lists_errors_and_registers() -> None:
    assert [row[:2] for row in _rows("| code | meaning | raised where |")] == [
        [f"{code.value} {code.name}", code.meaning] for code in ErrorCode
    ]
    assert _rows("| offset | name | bits | |") == [
        [f"0x{r.value:02X}", r.name, str(r.bits), ("RTL: " if r.rtl_only else "") + r.meaning] for r in Register
    ]
    assert Register.CONTROL.meaning.split(" ")[:3] == ["bit", str(Control.START.bit_length() - 1), "start,"]


# ---- the tables among themselves


def test_a_record_holds_what_requantisation_asks_for() -> None:
    record = PARAMETER_RECORD
    assert record["multiplier"].width == record["residual_multiplier"].width == MULTIPLIER_BITS
    assert record["bias_low"].width == PLAIN_BIAS_BITS
    assert record["bias_low"].width + record["bias_high"].width == TILE_BIAS_BITS
    assert record["shift"].kept == MAX_SHIFT.bit_length()
    assert (1 << record["residual_shift"].kept) - 1 == MAX_RESIDUAL_SHIFT
    used = [bit for field in record.values() for bit in range(field.low, field.low + field.width)]
    assert len(set(used)) == len(used)
    assert max(used) < 8 * PARAMETER_RECORD_BYTES


def test_a_taps_holds_every_tap_of_the_largest_tile() -> None:
    assert max(form.taps**2 for form in WINOGRAD.values()) == isa.MAX_TAPS
    for bits, words in ((isa.EXPONENT_BITS, isa.EXPONENT_WORDS), (isa.TAP_STEPS_BITS, isa.TAP_STEPS_WORDS)):
        assert 32 // bits * (words.stop - words.start) >= isa.MAX_TAPS
    assert 1 << isa.EXPONENT_BITS > MAX_EXPONENT


# ---- the engine in C++

_WHOLE, _HALF = r"word\[(\d+)\]", {"low": 0, "high": 16}


def _place(expression: str) -> BitField:
    """Return the bits that an expression of `decode_header` or `decode_instruction` takes."""
    signed = re.fullmatch(r"static_cast<int\d+_t>\((.*)\)", expression)
    if signed:
        return _place(signed[1])._replace(signed=True)
    if whole := re.fullmatch(_WHOLE, expression):
        return BitField(int(whole[1]), 0, 32)
    if half := re.fullmatch(rf"(low|high)_half\({_WHOLE}\)", expression):
        return BitField(int(half[2]), _HALF[half[1]], 16)
    if byte := re.fullmatch(rf"byte_of<(\d)>\({_WHOLE}\)", expression):
        return BitField(int(byte[2]), 8 * int(byte[1]), 8)
    few = re.fullmatch(rf"static_cast<uint8_t>\({_WHOLE} >> (\d+) & (1|15)\)", expression)
    assert few, expression
    return BitField(int(few[1]), int(few[2]), int(few[3]).bit_length())


def _decoded(function: str) -> dict[str, BitField]:
    body = _between(_text(f"{LIB}/program.hpp"), f"{function}(const uint32_t (&word)[block_words]) {{", "\n}")
    return {name: _place(expression) for name, expression in re.findall(r"\w+\.(\w+) = (.*);", body)}


def test_cpp_decodes_blocks_as_they_are_encoded() -> None:
    assert _decoded("decode_header") == {name: place for name, place in HEADER.items() if name not in COMPARED}
    reserved = {"reserved": BitField(0, 24, 8), "reserved_high": BitField(15, 24, 8)}
    assert _decoded("decode_instruction") == {**LAYOUT, **reserved}
    check = _text(f"{LIB}/check.hpp")
    for name, text in (
        ("magic", "word[{}] != program_magic"),
        ("version", "word[{}] != program_version"),
        ("signature", "word[{}] != static_cast<uint32_t>(Config::signature & 0xffffffffu)"),
        ("crc", "expected = word[{}]"),
    ):
        assert text.format(HEADER[name].word) in check
    assert f"word[{HEADER['signature'].word + 1}] != static_cast<uint32_t>(Config::signature >> 32)" in check


def test_cpp_knows_opcodes_flags_and_errors() -> None:
    text = _text(f"{LIB}/program.hpp")
    assert _by_name(re.findall(r"constexpr int op_(\w+) = (\w+);", text)) == _codes(Opcode)
    flags = re.findall(r"bool (\w+)\(\) const { return \(flags & (\d+)\) != 0; }", text)
    assert _by_name(flags) == _by_name((str(flag.name), str(flag.value)) for flag in Flag if flag)
    bus = {ErrorCode.AXI_READ, ErrorCode.AXI_WRITE}  # which C++ does not see
    assert _by_name(re.findall(r"constexpr int error_(\w+) = (\w+);", text)) == _codes(set(ErrorCode) - bus)
    assert f"i.flags >> {max(Flag).bit_length()} != 0" in _text(f"{LIB}/check.hpp")


def test_cpp_has_the_same_sizes() -> None:
    constants = {
        "program.hpp": {
            "program_magic": program.MAGIC,
            "program_version": program.VERSION,
            "max_instructions": program.MAX_INSTRUCTIONS,
            "leading_places": MAX_N,
            "most_taps": isa.MAX_TAPS,
            "largest_exponent": MAX_EXPONENT,
            "exponent_bits": isa.EXPONENT_BITS,
        },
        "shape.hpp": {"result_bits": RESULT_BITS, "bias_bits": TILE_BIAS_BITS, "block_words": BLOCK_WORDS},
        "check.hpp": {"record_bytes": PARAMETER_RECORD_BYTES},
        "requantise.hpp": {
            "shift_mask": (1 << PARAMETER_RECORD["shift"].kept) - 1,
            "residual_shift_mask": (1 << PARAMETER_RECORD["residual_shift"].kept) - 1,
        },
    }
    found = {
        file: {name: _constant(_text(f"{LIB}/{file}"), name) for name in names} for file, names in constants.items()
    }
    assert found == constants
    head = f"larger({RESULT_HEAD.itemsize}, S"
    assert head in _text(f"{LIB}/check.hpp")
    assert head in _text(f"{LIB}/store.hpp")
    fields = ", ".join(rf"[\w<>(]*answer\.{name}\)?" for name in RESULT_HEAD.names or ())
    assert re.search(rf"head\[4\] = {{{fields}}};", _text(f"{LIB}/store.hpp"))


def test_cpp_reads_a_parameter_record() -> None:
    """It takes the record in halves of 64 bits."""
    body = _between(_text(f"{LIB}/fetch.hpp"), "if (half % 2 == 0) {", "out.write(record);")
    found = {}
    for base, part in zip((0, 64), body.split("} else {"), strict=True):
        for name, shift, mask in re.findall(r"(\w+) = static_cast<\w+>\(bits(?: >> (\d+))? & (0xf+)u?\)", part):
            found[name] = (base + int(shift or 0), int(mask, 16).bit_length())
    names = {"low_bias": "bias_low", "high_bias": "bias_high"}
    assert {names.get(name, name): place for name, place in found.items()} == {
        name: (field.low, field.width) for name, field in PARAMETER_RECORD.items()
    }


# ---- the engine in SystemVerilog


def _package() -> str:
    return _text(f"{RTL}/cascade_pkg.sv").replace("32'h3146_5443", "32'h31465443")


def _packed(name: str) -> dict[str, tuple[int, int]]:
    """Return (lowest bit, width) of each field of a packed struct, whose last field holds the lowest bits."""
    body = next(re.finditer(rf"typedef struct packed {{([^}}]*)}} {name};", _package()))[1]
    found, low = {}, 0
    for kind, high, field in reversed(re.findall(r"^ *(logic|flags_t|opcode_e) *(?:\[(\d+):0\])? *(\w+);", body, re.M)):
        width = int(high) + 1 if high else 8 if kind != "logic" else 1
        found[field], low = (low, width), low + width
    return found


def test_systemverilog_lays_out_blocks_as_they_are_encoded() -> None:
    found = _packed("instruction_t")
    assert {name: place for name, place in found.items() if not name.startswith("reserved")} == {
        name: (32 * word + low, width) for name, (word, low, width, _) in LAYOUT.items()
    }
    assert max(low + width for low, width in found.values()) == 32 * BLOCK_WORDS
    fetch = _text(f"{RTL}/cascade_fetch.sv")
    of_word = {
        int(word): text for word, text in re.findall(r"\n +4'd(\d+): (.*?)(?=\n +(?:4'd|default))", fetch, re.DOTALL)
    }
    header = [
        (name, word, int(low or 0), int(high or 31))
        for word, text in of_word.items()
        for name, high, low in re.findall(r"header\.(\w+) <= [^;]*?\bword(?:\[(\d+):(\d+)\])?\)*;", text)
    ]
    assert {name: (word, low, high - low + 1) for name, word, low, high in header} == {
        name: place[:3] for name, place in HEADER.items() if name not in COMPARED
    }
    signature = HEADER["signature"].word
    assert "word != ProgramMagic" in of_word[HEADER["magic"].word]
    assert "word != ProgramVersion" in of_word[HEADER["version"].word]
    assert "word != Signature[31:0]" in of_word[signature]
    assert "word != Signature[63:32]" in of_word[signature + 1]
    assert of_word[HEADER["crc"].word] == "crc_expected <= word;"


def test_systemverilog_knows_opcodes_flags_and_errors() -> None:
    text = _package()
    assert _by_name(re.findall(r"\bOp(\w+) = 8'd(\d+)", text)) == _codes(Opcode)
    assert _by_name(re.findall(r"\bError(\w+) = 4'd(\d+)", text)) == _codes(ErrorCode)
    flags = {name: 1 << low for name, (low, _) in _packed("flags_t").items() if name != "reserved"}
    assert flags == {str(flag.name).lower(): flag.value for flag in Flag if flag}


def test_systemverilog_has_the_same_sizes() -> None:
    constants = {
        "ProgramMagic": program.MAGIC,
        "ProgramVersion": program.VERSION,
        "MaxInstructions": program.MAX_INSTRUCTIONS,
        "LeadingPlaces": MAX_N,
        "BlockBits": 32 * BLOCK_WORDS,
        "ResultBits": RESULT_BITS,
        "RecordBits": 8 * PARAMETER_RECORD_BYTES,
        "MaxTaps": isa.MAX_TAPS,
        "ExponentBits": isa.EXPONENT_BITS,
    }
    assert {name: _constant(_package(), name) for name in constants} == constants
    assert f"maximum(Engine.bus_bits, {8 * RESULT_HEAD.itemsize})" in _text(f"{RTL}/cascade_store.sv")


def test_the_resource_model_knows_the_depth_of_the_read_fifos() -> None:
    assert re.findall(r"\bFifoBeats = (\d+),", _text(f"{RTL}/cascade_axi_read.sv")) == [str(READ_FIFO_BEATS)]
    assert not any(".FifoBeats" in path.read_text(encoding="utf-8") for path in (REPOSITORY / RTL).glob("*.sv"))


def test_systemverilog_reads_a_parameter_record() -> None:
    record = {name: place for name, place in _packed("record_t").items() if name != "reserved"}
    assert record == {name: (field.low, field.width) for name, field in PARAMETER_RECORD.items()}
    kept = {name: width for name, (_, width) in _packed("parameters_t").items()}
    assert kept == {name: field.kept for name, field in PARAMETER_RECORD.items()}


# ---- registers


def _words(path: str) -> dict[str, int]:
    return {name: 4 * int(word, 16) for name, word in re.findall(r"(\w+) = 5'h(\w\w)", _text(path))}


def test_systemverilog_has_the_registers() -> None:
    assert {offset for register in Register for offset in register.words} == set(WORDS.values())
    assert _words(f"{RTL}/cascade_control.sv") == WORDS
    bits = "{ready, !starting && !busy, finished, starting}"  # highest first
    assert f"s_axi_rdata[3:0] <= {bits};" in _text(f"{RTL}/cascade_control.sv")
    assert [bit.name for bit in Control] == ["START", "DONE", "IDLE", "READY"]
    assert [bit.value for bit in Control] == [1, 2, 4, 8]


def test_the_hls_shim_has_the_registers() -> None:
    found = _words(f"{BENCH}/cascade_hls_shim.sv")
    assert found == {name: WORDS[name] for name in found}
    assert {"Control", "GlobalEnable", "Enable", "Status", "Count", "ErrorCode", "ErrorValid"} == set(found)
    call = _between(_text(f"{BENCH}/cascade_hls_shim.sv"), "cascade_model_start({", ";")
    pairs = re.findall(r"arguments\[(\d+)\], arguments\[(\d+)\]", call)
    buffers = (Register.PROGRAM, Register.WEIGHTS, Register.IMAGES, Register.RESULTS, Register.MAPS)
    assert [(4 * int(low), 4 * int(high)) for high, low in pairs] == [buffer.words for buffer in buffers]
    assert "arguments[Count]" in call


def test_the_bench_writes_and_reads_the_registers() -> None:
    lists = re.findall(r"register_address = '{(.*?)};", _text(f"{BENCH}/cascade_bench.sv"), re.DOTALL)
    written, read = ([int(word, 16) for word in re.findall(r"7'h(\w+)", words)] for words in lists)
    assert written == [
        Register.INTERRUPT_STATUS,
        *(word for name in ("PROGRAM", "WEIGHTS", "IMAGES", "RESULTS", "MAPS") for word in Register[name].words),
        Register.COUNT,
        Register.GLOBAL_INTERRUPT_ENABLE,
        Register.INTERRUPT_ENABLE,
        Register.CONTROL,
    ]
    assert read == [
        Register.ERROR,
        Register.ERROR_VALID,
        *Register.CYCLES.words,
        Register.WEIGHT_STALLS,
        *Register.SIGNATURE.words,
        Register.CONTROL,
    ]
    text = _text(f"{BENCH}/cascade_bench.sv")
    assert f"host.read(7'h{Register.CONTROL:02x}," in text
    assert f"done = value[{Control.DONE.bit_length() - 1}];" in text
    assert _constant(text, "GuardBytes") == PAGE_BYTES


# ---- the drivers


@pytest.fixture
def pynq_driver() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cascade_pynq_definitions", REPOSITORY / HOST / "cascade_pynq.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pynq_driver_has_the_registers_and_errors(pynq_driver: ModuleType) -> None:
    names = ("CONTROL", "PROGRAM", "WEIGHTS", "IMAGES", "RESULTS", "MAPS", "COUNT", "ERROR", "SIGNATURE")
    assert {name: getattr(pynq_driver, name) for name in names} == {name: Register[name] for name in names}
    assert (pynq_driver.START, pynq_driver.DONE) == (Control.START, Control.DONE)
    assert {code.value: code.meaning for code in ErrorCode if code} == pynq_driver.ERRORS
    assert (PAGE_BYTES, RESULT_HEAD.itemsize) == (pynq_driver.ALIGNMENT_BYTES, pynq_driver.RECORD_BYTES)


def test_the_cpp_driver_has_the_registers_and_errors() -> None:
    text = _text(f"{HOST}/cascade_driver.hpp")
    offsets = _between(text, "static constexpr std::uint32_t ", ";")
    assert {name.upper(): int(offset, 16) for name, offset in re.findall(r"k(\w+) = (0x\w+)", offsets)} == {
        name: Register[name]
        for name in ("CONTROL", "PROGRAM", "WEIGHTS", "IMAGES", "RESULTS", "MAPS", "COUNT", "ERROR", "SIGNATURE")
    }
    assert f"registers_.write(kControl, {Control.START:d});" in text
    assert f"(registers_.read(kControl) & {Control.DONE:d}u) == 0" in text
    texts = _between(text, "texts[] = {", "};")
    assert re.findall(r'"(.*?)"', texts) == [code.meaning for code in ErrorCode]
    head = re.findall(r"result\.(\w+) = .*?word\(record(?: \+ (\d+))?\)", text)
    assert RESULT_HEAD.fields is not None
    assert {name: int(offset or 0) for name, offset in head} == {
        name: offset for name, (_, offset, *_) in RESULT_HEAD.fields.items()
    }
    assert f"buffer.address % {PAGE_BYTES} != 0" in text
    assert f"/ {PAGE_BYTES} * {PAGE_BYTES};" in _text(f"{HOST}/devmem.hpp")
