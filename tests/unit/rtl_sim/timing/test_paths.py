"""Longest paths of hand-made netlists, whose delays are added up here by hand."""

from __future__ import annotations

import random

import pytest

from rtl_sim.timing.netlist import Netlist
from rtl_sim.timing.paths import Path, TimingGraph
from tests.unit.rtl_sim.timing.netlists import Builder
from toolflow.ir.errors import ToolflowError
from toolflow.plan.clock.delays import Delays, grade_delays

D = grade_delays("xc7", "1")
F = D.flip_flop


def _worst(netlist: Netlist, delays: Delays = D) -> Path:
    return next(TimingGraph(netlist, delays).paths())


def _kinds(path: Path) -> list[str]:
    return [step.cell.kind if step.cell else "port" for step in path.steps]


def test_two_luts_between_registers() -> None:
    b = Builder()
    b.flip_flop("a", "a")
    b.lut("x", "a", "b")
    b.lut("y", "x", "b")
    b.flip_flop("b", "y")
    path = _worst(b.netlist())
    # b feeds two LUTs, x one, and y reaches its register inside the slice
    assert path.delay_ns == pytest.approx(F.output + D.net.of(2) + D.lut + D.net.of(1) + D.lut + F.data)
    assert (path.luts, path.carries) == (2, 0)
    assert _kinds(path) == ["FDRE", "LUT2", "LUT2", "FDRE"]


def test_fan_out_and_enable_and_reset_pins() -> None:
    b = Builder()
    b.flip_flop("a", "0")
    for i in range(32):
        b.flip_flop(f"e{i}", "0", enable="a")
    assert _worst(b.netlist()).delay_ns == pytest.approx(F.output + D.net.of(32) + F.enable)
    b.flip_flop("r", "0", reset="a")
    assert _worst(b.netlist()).delay_ns == pytest.approx(F.output + D.net.of(33) + F.reset)
    assert D.net.of(33) == pytest.approx(D.net.first + D.net.per_doubling * 5.044394)
    assert D.net.of(1 << 20) == D.net.limit


def test_a_register_that_feeds_another_passes_a_net() -> None:
    b = Builder()
    b.flip_flop("a", "0")
    b.flip_flop("b", "a")
    assert _worst(b.netlist()).delay_ns == pytest.approx(F.output + D.net.of(1) + F.data)


def test_carry_chain_of_three_blocks() -> None:
    b = Builder()
    b.flip_flop("a", "0")
    b.lut("s", "a", "0")
    for block in range(3):
        b.cell(
            f"carry{block}",
            "CARRY4",
            {
                "CI": "0" if block == 0 else f"c{block - 1}",
                "CYINIT": "0",
                "S": ["s" if block == 0 else "0", "0", "0", "0"],
                "DI": ["0"] * 4,
                "CO": ["1", "1", "1", f"c{block}"] if block < 2 else ["1"] * 4,
                "O": ["1"] * 4 if block < 2 else ["1", "1", "1", "sum"],
            },
        )
    for block in range(2):
        b.cells[f"carry{block}"]["connections"]["CO"][:3] = [b.bit(f"n{block}{i}") for i in range(3)]
    for cell in b.cells.values():
        if cell["type"] == "CARRY4":
            for port in ("CO", "O"):
                cell["connections"][port] = [
                    b.bit(f"u{id(cell)}{port}{i}") if bit == "1" else bit
                    for i, bit in enumerate(cell["connections"][port])
                ]
    b.flip_flop("q", "sum")
    path = _worst(b.netlist())
    c = D.carry
    assert path.delay_ns == pytest.approx(F.output + D.net.of(1) + D.lut + c.entry + c.pass_ + c.exit + F.data)
    assert (path.luts, path.carries) == (1, 3)


def test_own_sum_of_a_bit_and_an_operand_that_is_no_lut() -> None:
    b = Builder()
    b.flip_flop("a", "0")
    b.cell("carry", "CARRY4", {"CI": "0", "S": ["a", "0", "0", "0"], "DI": ["0"] * 4, "O": ["sum", "u1", "u2", "u3"]})
    b.flip_flop("q", "sum")
    # the operand passes a LUT on its way to S
    own = F.output + D.net.of(1) + D.lut + D.carry.own_sum + F.data
    assert _worst(b.netlist()).delay_ns == pytest.approx(own)


def test_an_inverter_in_front_of_a_carry_is_the_lut_beside_it() -> None:
    b = Builder()
    b.flip_flop("a", "0")
    b.cell("inv", "INV", {"I": "a", "O": "n"})
    b.cell("carry", "CARRY4", {"CI": "0", "S": ["n", "0", "0", "0"], "DI": ["0"] * 4, "O": ["sum", "u1", "u2", "u3"]})
    b.flip_flop("q", "sum")
    path = _worst(b.netlist())
    assert path.delay_ns == pytest.approx(F.output + D.net.of(1) + D.lut + D.carry.own_sum + F.data)
    assert (path.luts, path.carries) == (1, 1)


def test_wide_multiplexers_take_no_net_from_their_luts() -> None:
    b = Builder()
    b.flip_flop("a", "0")
    b.lut("x", "a")
    b.lut("y", "a")
    b.cell("mux", "MUXF7", {"I0": "x", "I1": "y", "S": "0", "O": "m"})
    b.flip_flop("q", "m")
    expected = F.output + D.net.of(2) + D.lut + D.wide_multiplexer + F.data
    assert _worst(b.netlist()).delay_ns == pytest.approx(expected)


def test_luts_absorb_inverters_and_registers_do_not() -> None:
    b = Builder()
    b.flip_flop("a", "0")
    b.cell("inv", "INV", {"I": "a", "O": "n"})
    b.lut("x", "n", "0")
    b.flip_flop("q", "x")
    path = _worst(b.netlist())
    assert path.delay_ns == pytest.approx(F.output + D.net.of(1) + D.lut + F.data)
    assert path.luts == 1
    b.flip_flop("r", "n")
    path = _worst(b.netlist())
    # now the inverter is a LUT in front of r, and a pin of a's net beside x
    assert path.delay_ns == pytest.approx(F.output + D.net.of(2) + D.lut + F.data)
    assert path.luts == 1


def test_an_inverter_behind_a_lut_is_part_of_it() -> None:
    b = Builder()
    b.flip_flop("a", "0")
    b.lut("x", "a", "0")
    b.cell("inv", "INV", {"I": "x", "O": "n"})
    b.flip_flop("q", "n")
    assert _worst(b.netlist()).delay_ns == pytest.approx(F.output + D.net.of(1) + D.lut + F.data)


@pytest.mark.parametrize("registered", [False, True])
def test_block_ram_with_and_without_output_register(registered: bool) -> None:
    b = Builder()
    b.flip_flop("a", "0")
    ram = {"CLKARDCLK": "clock", "CLKBWRCLK": "clock", "ADDRBWRADDR": ["0"], "DOBDO": ["d"]}
    b.cell("memory", "RAMB36E1", ram, DOB_REG=int(registered), DOA_REG=0)
    b.lut("x", "d")
    b.flip_flop("q", "x")
    output = D.block_ram.registered_output if registered else D.block_ram.output
    assert _worst(b.netlist()).delay_ns == pytest.approx(output + D.net.of(1) + D.lut + F.data)


@pytest.mark.parametrize(("kind", "output"), [("RAMB18E1", "output"), ("RAMB18E2", "registered_output")])
def test_block_ram_without_parameters_has_its_primitives_registers(kind: str, output: str) -> None:
    b = Builder()
    b.cell("memory", kind, {"CLKBWRCLK": "clock", "DOBDO": ["d"]})
    b.flip_flop("q", "d")
    expected = getattr(D.block_ram, output) + D.net.of(1) + F.data
    assert _worst(b.netlist()).delay_ns == pytest.approx(expected)


def test_block_ram_captures_its_address() -> None:
    b = Builder()
    b.flip_flop("a", "0")
    b.cell("memory", "RAMB18E2", {"CLKARDCLK": "clock", "ADDRARDADDR": ["a"], "WEA": ["0"]})
    assert _worst(b.netlist()).delay_ns == pytest.approx(F.output + D.net.of(1) + D.block_ram.address)


def test_ports_of_a_lut_ram_are_read_independently() -> None:
    b = Builder()
    b.flip_flop("a", "0")
    pins = {"WCLK": "clock", "WE": "0", "DIA": ["0"], "ADDRA": ["a"], "ADDRB": ["x"], "ADDRD": ["0"]}
    b.cell("memory", "RAM32M", pins | {"DOA": ["x"], "DOB": ["y"]})  # a cell-level loop, but no path through it
    b.flip_flop("q", "y")
    through = F.output + D.net.of(1) + D.lut + D.net.of(1) + D.lut + F.data
    written = D.lut_ram.output + D.net.of(1) + D.lut + F.data
    path = _worst(b.netlist())
    assert path.delay_ns == pytest.approx(max(through, written))
    assert path.delay_ns == pytest.approx(written) or path.luts == 2


def test_shift_register() -> None:
    b = Builder()
    b.flip_flop("a", "0")
    b.cell("srl", "SRL16E", {"CLK": "clock", "CE": "1", "D": "a", "A0": "0", "Q": "s"})
    b.flip_flop("q", "s")
    delays = [path.delay_ns for path in TimingGraph(b.netlist(), D).paths()]
    s = D.shift_register
    assert delays == pytest.approx([s.output + F.data, F.output + D.net.of(1) + s.data])


@pytest.mark.parametrize(
    ("registers", "expected"),
    [
        # A to P without a register, then with M, with P, and with all
        ({}, [F.output + D.net.of(1) + D.dsp.multiply + D.dsp.add + D.dsp.output + D.net.of(1) + F.data]),
        ({"MREG": 1}, [D.dsp.add + D.dsp.output + D.net.of(1) + F.data, F.output + D.net.of(1) + D.dsp.multiply]),
        ({"PREG": 1}, [F.output + D.net.of(1) + D.dsp.multiply + D.dsp.add, D.dsp.output + D.net.of(1) + F.data]),
        (
            {"AREG": 1, "MREG": 1, "PREG": 1},
            [D.dsp.multiply, F.output + D.net.of(1) + D.dsp.input, D.dsp.add, D.dsp.output + D.net.of(1) + F.data],
        ),
    ],
)
def test_dsp_block_by_its_registers(registers: dict[str, int], expected: list[float]) -> None:
    b = Builder()
    b.flip_flop("a", "0")
    none = dict.fromkeys(("AREG", "BREG", "CREG", "DREG", "ADREG", "MREG", "PREG"), 0)
    b.cell("dsp", "DSP48E1", {"CLK": "clock", "A": ["a"], "B": ["0"], "P": ["p"]}, **{**none, **registers})
    b.flip_flop("q", "p")
    delays = [path.delay_ns for path in TimingGraph(b.netlist(), D).paths()]
    assert sorted(delays) == pytest.approx(sorted(expected))


def test_dsp_block_without_parameters_has_all_registers() -> None:
    b = Builder()
    b.flip_flop("a", "0")
    b.cell("dsp", "DSP48E2", {"CLK": "clock", "A": ["a"], "P": ["p"]})
    b.flip_flop("q", "p")
    d = D.dsp
    delays = [path.delay_ns for path in TimingGraph(b.netlist(), D).paths()]
    expected = [d.multiply, F.output + D.net.of(1) + d.input, d.add, d.output + D.net.of(1) + F.data]
    assert sorted(delays) == pytest.approx(sorted(expected))


def test_dsp_cascade_takes_no_net_and_the_pre_adder_counts() -> None:
    b = Builder()
    b.flip_flop("a", "0")
    none = dict.fromkeys(("AREG", "BREG", "CREG", "DREG", "ADREG", "MREG", "PREG"), 0)
    b.cell("first", "DSP48E2", {"CLK": "clock", "D": ["a"], "PCOUT": ["p"]}, **none, AMULTSEL="AD")
    b.cell("second", "DSP48E2", {"CLK": "clock", "PCIN": ["p"]}, **{**none, "PREG": 1})
    d = D.dsp
    expected = F.output + D.net.of(1) + d.pre_add + d.multiply + d.add + d.output + d.add
    assert _worst(b.netlist()).delay_ns == pytest.approx(expected)


def test_ports_count_as_registers() -> None:
    b = Builder()
    b.port("in", "input")
    b.port("out", "output")
    b.lut("out", "in")
    path = _worst(b.netlist())
    assert path.delay_ns == pytest.approx(F.output + D.net.of(1) + D.lut + D.net.of(1) + F.data)
    assert _kinds(path) == ["port", "LUT1", "port"]


@pytest.mark.parametrize("seed", range(20))
def test_random_netlists_against_all_their_paths(seed: int) -> None:
    """Every end's delay equals the longest of all paths, enumerated one by one."""
    rng = random.Random(seed)
    b = Builder()
    registers = [f"r{i}" for i in range(4)]
    nets = [*registers]
    for i in range(12):
        b.lut(f"n{i}", *rng.choices(nets, k=rng.randint(1, 4)))
        nets.append(f"n{i}")
    for name in registers:
        b.flip_flop(name, rng.choice(nets[4:]), enable=rng.choice([*nets, "1"]))
    document = b.document()["modules"]["top"]["cells"]
    driven = [bit for cell in document.values() for port, bits in cell["connections"].items() for bit in bits
              if port not in ("O", "Q")]  # fmt: skip

    def longest(bit: int | str) -> list[float]:
        """Delays of all paths up to the cell that drives a net."""
        cell = next(c for c in document.values() if [bit] in (c["connections"].get("O"), c["connections"].get("Q")))
        if cell["type"] == "FDRE":
            return [F.output]
        inputs = [bits[0] for port, bits in cell["connections"].items() if port != "O"]
        return [d + D.net.of(driven.count(i)) + D.lut for i in inputs for d in longest(i)]

    expected = []
    for cell in document.values():
        if cell["type"] != "FDRE":
            continue
        for port, setup in (("D", F.data), ("CE", F.enable)):
            bit = cell["connections"][port][0]
            if isinstance(bit, str):
                continue
            local = port == "D" and driven.count(bit) == 1
            expected.append(max(longest(bit)) + (0.0 if local else D.net.of(driven.count(bit))) + setup)
    found = [path.delay_ns for path in TimingGraph(b.netlist(), D).paths()]
    assert found == pytest.approx(sorted(expected, reverse=True))


def test_steps_add_up_to_the_delay() -> None:
    b = Builder()
    b.flip_flop("a", "0")
    b.lut("x", "a")
    b.lut("y", "x", "a")
    b.flip_flop("q", "y")
    path = _worst(b.netlist())
    assert sum(step.net_ns + step.cell_ns for step in path.steps) == pytest.approx(path.delay_ns)


def test_loop_is_refused_by_its_cells() -> None:
    b = Builder()
    b.flip_flop("a", "0")
    b.lut("x", "a", "y")
    b.lut("y", "x")
    b.flip_flop("q", "y")
    with pytest.raises(ToolflowError, match=r"the netlist has a combinational loop: LUT. 'lut .' ← LUT. 'lut .'$"):
        TimingGraph(b.netlist(), D)


def test_black_box_is_refused() -> None:
    b = Builder()
    b.cell("box", "MAGIC", {"I": "clock"})
    with pytest.raises(ToolflowError, match="the cell 'box' is a black box of type MAGIC"):
        TimingGraph(b.netlist(), D)


def test_two_clocks_are_refused() -> None:
    b = Builder()
    b.port("other", "input")
    b.flip_flop("a", "0")
    b.cell("ff b", "FDRE", {"C": "other", "D": "a", "Q": "b"})
    with pytest.raises(ToolflowError, match="the unit must have one clock, not 2: of 'ff a', 'ff b'"):
        TimingGraph(b.netlist(), D)


def test_a_clock_may_pass_a_buffer() -> None:
    b = Builder()
    b.cell("buffer", "BUFG", {"I": "clock", "O": "buffered"})
    b.flip_flop("a", "0")
    b.cell("ff b", "FDRE", {"C": "buffered", "D": "a", "Q": "b"})
    assert _worst(b.netlist()).delay_ns == pytest.approx(F.output + D.net.of(1) + F.data)


def test_net_without_driver_is_refused() -> None:
    b = Builder()
    b.lut("x", "nothing")
    b.flip_flop("q", "x")
    with pytest.raises(ToolflowError, match=r"nothing drives the net at lut x\.I0\[0\]: the netlist is incomplete"):
        b.netlist()


def test_net_with_two_drivers_is_refused() -> None:
    b = Builder()
    b.flip_flop("q", "0")
    b.lut("q", "q")
    with pytest.raises(ToolflowError, match="a net is driven by 'ff q' and by 'lut q'"):
        b.netlist()


def test_asynchronous_reset_is_refused() -> None:
    b = Builder()
    b.cell("ff", "FDCE", {"C": "clock", "D": "0", "CLR": "0", "Q": "q"})
    with pytest.raises(ToolflowError, match="the flip-flop 'ff' has an asynchronous set or reset"):
        TimingGraph(b.netlist(), D)
