"""Loops whose initiation interval is known by hand: each bound is found, and no other."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from tests.conformance.engine_shapes import SHAPES, SIMULATED
from tests.unit.emit.test_hls_engine import CONFIGURATIONS
from toolflow.emit.cxx import Unit, parse_unit
from toolflow.emit.hls import emit_hls
from toolflow.emit.ii.analyse import Interval, analyse_unit, intervals_of, pipelined_loops
from toolflow.emit.ii.delays import XC7, XC7_FAST, XCUP, Delays, budget_ns, delays_of
from toolflow.emit.ii.recurrences import Edge, _components, _largest_ratio, _ratio
from toolflow.engine.config import EngineConfig
from toolflow.ir.errors import VerificationError
from toolflow.plan.boards.board import all_boards

TOP = """\
#include <stdint.h>
#include "ap_int.h"
#include "hls_stream.h"

%(before)s
extern "C" void cascade_low(const unsigned int* in, unsigned int count, unsigned int* out) {
#pragma HLS INTERFACE m_axi port=in
#pragma HLS INTERFACE m_axi port=out
#pragma HLS INTERFACE s_axilite port=in
#pragma HLS INTERFACE s_axilite port=count
#pragma HLS INTERFACE s_axilite port=out
#pragma HLS INTERFACE s_axilite port=return
%(declared)s
  for (unsigned int n = 0; n < count; ++n) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=64
#pragma HLS PIPELINE II=1
%(body)s
  }
%(after)s
}
"""
KEPT = "  for (int n = 0; n < 64; ++n) out[n] = kept[n];"


def analysed(
    folder: Path,
    body: str,
    declared: str = "",
    after: str = "",
    before: str = "",
    delays: Delays = XC7,
    mhz: float = 100,
) -> list[Interval]:
    source = folder / "cascade_low.cpp"
    source.write_text(TOP % {"body": body, "declared": declared, "after": after, "before": before})
    return analyse_unit(parse_unit(source), delays, mhz)


def only(found: list[Interval]) -> Interval:
    assert len(found) == 1, found
    return found[0]


MEMORY = "  static unsigned int kept[64];\n"
TABLE = "  static unsigned int kept[2][64];\n"
READS = "out[n] = kept[(n * 5) & 63] + kept[(n * 7) & 63] + kept[(n * 11) & 63];"
FILLED = "  kept[in[0] & 63] = in[1];\n"


@pytest.mark.parametrize(
    ("declared", "body", "wanted"),
    [
        # three reads: two ports; one read port; a part for each residue; registers
        (MEMORY + FILLED, READS, 2),
        (MEMORY + "#pragma HLS BIND_STORAGE variable=kept type=RAM_S2P\n" + FILLED, READS, 3),
        (MEMORY + "#pragma HLS BIND_STORAGE variable=kept type=RAM_1P\n" + FILLED, READS, 3),
        (MEMORY + "#pragma HLS ARRAY_PARTITION variable=kept complete\n" + FILLED, READS, 1),
        # parts of two: neighbours lie in different ones, words at a distance of two in the same
        (
            MEMORY + "#pragma HLS ARRAY_PARTITION variable=kept cyclic factor=2\n"
            "#pragma HLS BIND_STORAGE variable=kept type=RAM_S2P\n" + FILLED,
            "out[n] = kept[(n * 2) & 62] + kept[(n * 2 & 62) + 1];",
            1,
        ),
        (
            MEMORY + "#pragma HLS ARRAY_PARTITION variable=kept cyclic factor=2\n"
            "#pragma HLS BIND_STORAGE variable=kept type=RAM_S2P\n" + FILLED,
            "out[n] = kept[(n * 2) & 31] + kept[(n * 2 & 31) + 2];",
            2,
        ),
        # a dimension that is cut, and one that is not
        (
            TABLE + "#pragma HLS ARRAY_PARTITION variable=kept complete dim=1\n"
            "#pragma HLS BIND_STORAGE variable=kept type=RAM_S2P\n  kept[in[0] & 1][in[1] & 63] = 1;\n",
            "out[n] = kept[0][n & 63] + kept[1][n * 3 & 63];",
            1,
        ),
        (
            TABLE + "#pragma HLS ARRAY_PARTITION variable=kept complete dim=2\n"
            "#pragma HLS BIND_STORAGE variable=kept type=RAM_S2P\n  kept[in[0] & 1][in[1] & 63] = 1;\n",
            "out[n] = kept[0][n & 63] + kept[1][n * 3 & 63];",
            2,
        ),
        # one of two branches: one read an iteration; the same word twice: one read
        (
            MEMORY + "#pragma HLS BIND_STORAGE variable=kept type=RAM_S2P\n" + FILLED,
            "if (n & 1) {\n out[n] = kept[n * 3 & 63];\n } else {\n out[n] = kept[n * 5 & 63] ^ 1;\n }",
            1,
        ),
        (
            MEMORY + "#pragma HLS BIND_STORAGE variable=kept type=RAM_S2P\n" + FILLED,
            "const unsigned int place = n * 3 & 63;\n out[n] = kept[place] * (kept[place] + 1);",
            1,
        ),
        # two reads of the external memory
        ("", "out[n] = in[n * 3] + in[n * 5];", 2),
    ],
)
def test_ports(declared: str, body: str, wanted: int, tmp_path: Path) -> None:
    found = only(analysed(tmp_path, body, declared))
    assert (found.by_ports, found.by_memories) == (wanted, 1), found
    assert found.is_mendable == (wanted > 1)
    if wanted > 1:
        assert "read(s) and" in found.why


def test_a_stream_is_read_once(tmp_path: Path) -> None:
    declared = "  hls::stream<unsigned int> values;\n  values.write(in[0]);\n"
    assert only(analysed(tmp_path, "out[n] = values.read();", declared)).found == 1
    twice = only(analysed(tmp_path, "out[n] = values.read();\n out[n] += values.read();", declared))
    assert twice.by_ports == 2
    assert "stream values has 2 read(s)" in twice.why


HISTOGRAM = "const unsigned int place = in[n] & 63;\n kept[place] = kept[place] + 1;"
# What the drain and the reading of the banks did: a word is stored before the next is read, and what is read is
# multiplied and stored by the next iteration.
DRAIN_FIRST = """const unsigned int given = in[n];
    kept[given & 63] = held;
    held = kept[n * 3 & 63] * given;"""
READ_FIRST = """const unsigned int given = in[n];
    const unsigned int word = kept[n * 3 & 63];
    kept[given & 63] = held;
    held = word * given;"""


@pytest.mark.parametrize(
    ("body", "pragma", "expected"),
    [
        (HISTOGRAM, "", 2),  # stored at the end of a cycle, read in the next, there in the one after
        (HISTOGRAM, "#pragma HLS DEPENDENCE variable=kept inter false\n", 1),
        (HISTOGRAM, "#pragma HLS DEPENDENCE variable=kept inter RAW distance=4 true\n", 1),
        (DRAIN_FIRST, "#pragma HLS DEPENDENCE variable=kept inter false\n", 3),
        (
            DRAIN_FIRST,
            "#pragma HLS DEPENDENCE variable=kept inter false\n#pragma HLS DEPENDENCE variable=kept intra false\n",
            1,
        ),
        (READ_FIRST, "#pragma HLS DEPENDENCE variable=kept inter false\n", 1),
        ("kept[n] = kept[n] + in[n];", "", 1),  # each iteration a word of its own
        ("if (in[n] & 1) kept[n + 2] = kept[n] + 1;", "", 1),  # two iterations later
        ("if (in[n] & 1) kept[n + 1] = kept[n] + 1;", "", 2),
    ],
)
def test_recurrences_through_a_memory(body: str, pragma: str, expected: int, tmp_path: Path) -> None:
    declared = MEMORY + "  unsigned int held = 0;\n#pragma HLS BIND_STORAGE variable=kept type=RAM_S2P\n"
    found = only(analysed(tmp_path, pragma + body, declared, KEPT + "\n  out[64] = held;"))
    assert (found.by_ports, found.by_memories) == (1, expected), found
    assert found.is_mendable == (expected > 1)
    assert ("through kept" in found.why) == (expected > 1)


def test_a_chain_of_registers_depends_on_clock_and_device(tmp_path: Path) -> None:
    body = "state = (state * state + 1) * in[n];"  # two multiplications and an addition, one after the other
    declared, after = "  unsigned int state = in[0];\n", "  *out = state;"
    slow = only(analysed(tmp_path, body, declared, after))
    assert (slow.by_ports, slow.by_memories) == (1, 1)
    assert slow.found == slow.by_registers == 3  # 8.4 + 2.6 + 8.4 ns, of 7.3 a cycle
    assert slow.misses
    assert not slow.is_mendable
    assert slow.why.startswith("recurrence of")
    assert "cascade_low.cpp:" in slow.why
    fast = only(analysed(tmp_path, body, declared, after, delays=XCUP))
    assert fast.found == 2  # 3.4 + 0.8 + 3.4 ns
    assert only(analysed(tmp_path, body, declared, after, delays=XCUP, mhz=200)).found == 3  # no two fit into 3.65 ns
    assert only(analysed(tmp_path, body, declared, after, mhz=10)).found == 1
    feed_forward = "const unsigned int value = in[n];\n out[n] = (value * value + 1) * value;"
    assert only(analysed(tmp_path, feed_forward, mhz=200)).found == 1


def test_a_crc_of_32_chained_steps(tmp_path: Path) -> None:
    before = """
inline unsigned int crc_word(unsigned int crc, unsigned int word) {
  unsigned int value = crc ^ word;
  for (int bit = 0; bit < 32; ++bit) {
#pragma HLS UNROLL
    value = (value >> 1) ^ ((value & 1) != 0 ? 0xedb88320u : 0u);
  }
  return value;
}"""
    found = only(
        analysed(tmp_path, "crc = crc_word(crc, in[n]);", "  unsigned int crc = 0;\n", "  *out = crc;", before)
    )
    assert 4 <= found.found <= 8
    assert found.function == "cascade_low"


def test_a_choice_among_registers_takes_its_time(tmp_path: Path) -> None:
    declared = MEMORY + "#pragma HLS ARRAY_PARTITION variable=kept complete\n"
    found = only(analysed(tmp_path, HISTOGRAM, declared, KEPT, mhz=10))
    assert found.by_memories == found.by_ports == 1
    assert found.chain_ns == pytest.approx(3 * XC7.logic + 2.59, abs=0.02)  # one of 64, and an addition


def test_what_every_way_renews_is_no_recurrence(tmp_path: Path) -> None:
    declared = "  unsigned int sum = 0;\n"
    body = """unsigned int pick[4];
#pragma HLS ARRAY_PARTITION variable=pick complete
    for (int k = 0; k < 4; ++k) {
#pragma HLS UNROLL
      pick[k] = in[n] * (k + 3);
    }
    sum += pick[n & 3];"""
    found = only(analysed(tmp_path, body, declared, "  *out = sum;", mhz=10))
    assert found.chain_ns == pytest.approx(2.59, abs=0.02)


def test_a_branch_that_leads_to_the_same_value_is_no_recurrence(tmp_path: Path) -> None:
    body = """const unsigned int given = in[n];
    if (given & 1) {
      if (state * state > given) out[n] = given;
      ++state;
    }"""
    found = only(analysed(tmp_path, body, "  unsigned int state = in[0];\n", "  *out = state;", mhz=10))
    assert found.chain_ns == pytest.approx(2.59 + XC7.logic, abs=0.02)


def test_members_of_a_struct_are_registers_of_their_own(tmp_path: Path) -> None:
    """Also where a function returns the struct, which other targets pass in wide registers."""
    before = """
struct Place { uint16_t row; uint16_t column; uint32_t word; uint32_t result; };
inline Place first_place(uint32_t word) {
  Place place;
  place.row = 0;
  place.column = 0;
  place.word = word;
  place.result = 0;
  return place;
}"""
    body = """out[n] = place.word + place.result;
    place.result += 3;
    if ((in[n] & 1) != 0) {
      place.row = static_cast<uint16_t>(place.row + 1);
      place.word = static_cast<uint32_t>(place.row) * count + in[1];
    }"""
    found = only(analysed(tmp_path, body, "  Place place = first_place(in[0]);\n", before=before, mhz=10))
    assert found.chain_ns == pytest.approx(2.59, abs=0.35)


def test_a_loop_inside_that_cannot_be_unrolled(tmp_path: Path) -> None:
    body = "for (unsigned int k = 0; k < in[n]; ++k) {\n#pragma HLS LOOP_TRIPCOUNT min=1 max=4\n out[k] = n;\n }"
    found = only(analysed(tmp_path, body))
    assert found.is_mendable
    assert found.why == "a loop inside must have constant bounds, to be unrolled"


def test_what_a_condition_of_the_configuration_holds(tmp_path: Path) -> None:
    before = "struct Config {\n  static constexpr int parts = %d;\n};"
    declared = MEMORY + (
        "  if (Config::parts == 1) {\n#pragma HLS BIND_STORAGE variable=kept type=RAM_1P\n  } else {\n"
        "#pragma HLS ARRAY_PARTITION variable=kept cyclic factor=Config::parts\n  }\n" + FILLED
    )
    body = "out[n] = kept[(n * 4) & 60] + kept[(n * 4 & 60) + 1] + kept[(n * 4 & 60) + 2] + kept[(n * 4 & 60) + 3];"
    found = [only(analysed(tmp_path, body, declared, before=before % parts)).by_ports for parts in (1, 2, 4)]
    assert found == [4, 1, 1]


def test_sources_that_do_not_compile(tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match=r"must compile with types of exact width, not fail: .*undeclared"):
        analysed(tmp_path, "out[n] = nothing;")


@pytest.mark.parametrize("seed", range(20))
def test_the_slowest_cycle_is_that_of_all_cycles(seed: int) -> None:
    random = np.random.default_rng(seed)
    count = 6
    pairs = [(a, b) for a in range(count) for b in range(count) if a != b and random.random() < 0.5]
    # Within an iteration edges lead forward only; backward ones span iterations.
    edges = [
        Edge(a, b, float(random.integers(0, 9)), 0 if a < b and random.random() < 0.7 else int(random.integers(1, 3)))
        for a, b in pairs
    ]
    best = 0.0
    for length in range(2, count + 1):
        for way in itertools.permutations(range(count), length):
            steps = list(zip(way, (*way[1:], way[0]), strict=True))
            taken = [[e for e in edges if (e.source, e.target) == step] for step in steps]
            if all(taken):
                best = max(best, _ratio([options[0] for options in taken]))
    cycles = [cycle for part in _components(count, edges) if (cycle := _largest_ratio(part))]
    assert max((_ratio(cycle) for cycle in cycles), default=0.0) == pytest.approx(best)


def test_delays_of_devices() -> None:
    assert delays_of("xc7", "xc7z020clg400-1") is XC7
    assert delays_of("xc7", "xc7z045ffg900-2") is XC7_FAST
    assert delays_of("xcup", "xczu9eg-ffvb1156-2-e") is XCUP
    assert budget_ns(100) == pytest.approx(7.3)


# Clocks in MHz that the loops are written for; a board may have a higher one, at which only the check of the program,
# which runs once a start, takes two cycles a word.
CLOCKS = ((XC7, 100.0), (XC7_FAST, 135.0), (XCUP, 200.0))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Unit:
    """A parsed unit. Only its parameters differ among engines, and these are no part of what is parsed."""
    folder = tmp_path_factory.mktemp("library")
    emit_hls(CONFIGURATIONS["default"], "low", folder)
    return parse_unit(folder / "cascade_low.cpp")


@pytest.mark.parametrize("name", SIMULATED)
def test_emitted_loops_of_each_shape_reach_their_intervals(name: str, library: Unit, tmp_path: Path) -> None:
    loops_reach_their_intervals(SHAPES[name], library, tmp_path)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_emitted_loops_reach_their_intervals(name: str, library: Unit, tmp_path: Path) -> None:
    found = loops_reach_their_intervals(CONFIGURATIONS[name], library, tmp_path)
    if name == "tiles":  # whose engine has every loop of the library
        assert {(loop.file, loop.line) for loop in found} == {
            (str(function.file.relative_to(library.folder)), loop.first_line)
            for function in library.functions
            for loop in function.loops
            if any(pragma.is_hls("PIPELINE") for pragma in loop.pragmas)
        }


def loops_reach_their_intervals(config: EngineConfig, library: Unit, tmp_path: Path) -> list[Interval]:
    emit_hls(config, "low", library.folder)
    loops = pipelined_loops(library, tmp_path)
    found: list[Interval] = []
    for device, least_mhz in CLOCKS:
        boards = (board for board in all_boards().values() if delays_of(board.family, board.part) is device)
        own_mhz = max((board.clock_mhz for board in boards), default=0.0)
        if own_mhz > least_mhz:
            slow = [loop for loop in intervals_of(loops, device, own_mhz) if loop.misses]
            assert not [str(loop) for loop in slow if (loop.function, loop.found) != ("check_program", 2)]
        found = intervals_of(loops, device, least_mhz)
        assert not [str(loop) for loop in found if loop.misses]
        # A row of weights takes a cycle for each of its beats: the bus brings one a cycle.
        assert {(loop.function, loop.found) for loop in found if not loop.wanted} == {
            ("cut_rows", config.beats_per_row(indexed=config.gather))
        }
    return found


@pytest.mark.parametrize(
    ("file", "old", "new", "why"),
    [
        ("core.hpp", "variable=transformed type=RAM_S2P", "variable=transformed type=RAM_1P", "memory transformed"),
        ("convolve.hpp", "#pragma HLS ARRAY_PARTITION variable=outputs complete dim=3\n", "", "memory outputs"),
        ("convolve.hpp", "#pragma HLS ARRAY_PARTITION variable=outputs complete dim=4\n", "", "memory outputs"),
        ("convolve.hpp", "#pragma HLS DEPENDENCE variable=bank inter false\n", "", "recurrence through bank"),
    ],
)
def test_a_fault_in_the_library_is_found(file: str, old: str, new: str, why: str, tmp_path: Path) -> None:
    emit_hls(CONFIGURATIONS["tiles"], "low", tmp_path)
    header = tmp_path / "lib" / file
    text = header.read_text(encoding="utf-8")
    assert old in text
    header.write_text(text.replace(old, new), encoding="utf-8")
    found = analyse_unit(parse_unit(tmp_path / "cascade_low.cpp"), XCUP, 115)
    assert why in " ".join(loop.why for loop in found if loop.is_mendable), [str(loop) for loop in found]


def test_banks_read_after_they_are_written_are_found(tmp_path: Path) -> None:
    """A load after a store in the same cycle closes a recurrence over multiplier and requantisation."""
    emit_hls(CONFIGURATIONS["low"], "low", tmp_path)
    header = tmp_path / "lib" / "convolve.hpp"
    text = header.read_text(encoding="utf-8")
    begin, end = text.index("    if (reads || fetches_inside) "), text.index("    const bool drains")
    read = text[begin:end]
    assert "read_word" in read
    text = text[:begin] + text[end:]
    assert text.count("    if (fetches_inside) {") == 1
    header.write_text(text.replace("    if (fetches_inside) {", f"{read}    if (fetches_inside) {{"), encoding="utf-8")
    missed = [loop for loop in analyse_unit(parse_unit(tmp_path / "cascade_low.cpp"), XCUP, 115) if loop.is_mendable]
    assert [loop.function for loop in missed] == ["convolve_group"]
    assert "recurrence through bank" in missed[0].why
