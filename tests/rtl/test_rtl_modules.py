"""Single modules of the engine against oracles: numerics, zlib, the packer of the weight stream, PROGRAM.md's loops."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.rtl.rtl_modules import build_bench, run_bench
from toolflow.engine.config import EngineConfig
from toolflow.engine.isa import Flag, Instruction, Opcode
from toolflow.engine.stream import Packet, pack
from toolflow.numerics.confidence import ConfidenceRule, evaluate
from toolflow.numerics.requantise import MAX_SHIFT, Requantise, requantise

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Access:
    """What the host does next on s_axi_control, after an event, and what the bench then tells.

    Attributes:
        event: 1 the engine is busy from now on, 2 it is done.
        write, read: addresses; None for no access, both for two at once; with neither, the interrupt is told.
        delays: cycles before address and data are offered, and after which the answers are taken.
    """

    tells: tuple[str, ...] = ()
    event: int = 0
    write: int | None = None
    data: int = 1
    strobe: int = 15
    read: int | None = None
    delays: tuple[int, int, int] = (0, 0, 0)

    def line(self) -> str:
        kind = (self.write is not None) + 2 * (self.read is not None)
        words = (self.write or 0, self.data, self.strobe, self.read or 0)
        numbers = " ".join(map(str, (*self.delays, kind)))
        return f"{self.event} {' '.join(f'{word:x}' for word in words)} {numbers}\n"


CONTROL = (
    Access(write=0x10, data=0x11111111),
    Access(write=0x14, data=0x22222222, delays=(0, 3, 0)),
    Access(write=0x1C, data=0x33333333, delays=(3, 0, 4)),
    Access(write=0x20, data=0x44444444),
    Access(write=0x20, data=0xAABBCCDD, strobe=5),
    Access(("11111111",), read=0x10, delays=(0, 0, 3)),
    Access(("22222222",), read=0x14),
    Access(("33333333",), read=0x1C),
    Access(("44bb44dd",), read=0x20),
    Access(("89abcdef",), write=0x4C, data=9, read=0x70, delays=(1, 2, 0)),
    Access(("00000009",), read=0x4C),
    Access(write=0x40, data=0x55555555),
    Access(write=0x44, data=0x66666666),
    Access(("55555555",), read=0x40),
    Access(("66666666",), read=0x44),
    Access(write=0x04),
    Access(write=0x08),
    # started once, whatever is written while it runs
    Access(write=0x00, strobe=14),
    Access(write=0x00),
    Access(write=0x00, event=1),
    Access(("00000001",), read=0x00),
    Access(("1 starts, interrupt 0",)),
    Access(("1 starts, interrupt 1",), event=2),
    # done, ready and the code's validity are cleared by the read that tells them
    *(Access((value,), read=0x00) for value in ("0000000e", "00000004")),
    *(Access((value,), read=0x58) for value in ("00000001", "00000000")),
    Access(("00000003",), read=0x54),
    *(Access((f"{value:08x}",), read=address) for address, value in ((0x60, 2), (0x64, 1), (0x68, 7), (0x0C, 1))),
    Access(write=0x0C),
    Access(("00000000",), read=0x0C),
    Access(("1 starts, interrupt 0",)),
    Access(write=0x00),
    Access(("00000001",), read=0x00),
    Access(("2 starts, interrupt 0",)),
)

# The bench's instances of cascade_unpack: the same bus and row widths.
UNPACKERS = {
    "unpack_narrow": EngineConfig(tile=2, lanes_k=5, weight_bits=3, bus_bits=64),
    "unpack_wide": EngineConfig(tile=2, lanes_k=16, slots=2),
    "unpack_bus": EngineConfig(tile=2, lanes_k=16, bus_bits=512, sub_row=16),
}
GROUPS = ((True, 5), (False, 1), (False, 9), (True, 1), (False, 4))  # indexed, rows
WALKER = EngineConfig(lanes_k=4, slots=2, drain_k=2, sub_row=4)


def requantise_small() -> Int64Array:
    """Every accumulator of 8 bits with every shift to 13, several multipliers, biases and residuals."""
    grid = itertools.product(range(-128, 128), (0, -3), range(14), (1, 3, 85), ((0, 1), (-8, 77), (7, 64)))
    return np.array([(a, b, r, m, rm, 0, s, -100, 99) for a, b, s, m, (r, rm) in grid], dtype=np.int64)


def requantise_full(width: int = 32, residual_shifts: tuple[int, ...] = (0,)) -> Int64Array:
    """Random and extreme values of every width; accumulators and biases of `width` bits."""
    rng = np.random.default_rng(1)
    half = 1 << (width - 1)
    edges = {"word": [-half, -1, 0, 1, half - 1], "residual": [-256, -1, 0, 255], "multiplier": [1, 2, 65535]}
    rows = [
        (a, b, r, m, rm, residual_shifts[-1], s, -32768, 32767)
        for a, b, r, (m, rm), s in itertools.product(
            edges["word"], edges["word"][::2], edges["residual"], zip(edges["multiplier"], (65535, 1, 3), strict=True),
            (0, 1, 16, 46, 47, 48, 49, 50, 51, 63),
        )
    ]  # fmt: skip
    for _ in range(4000):
        scale = int(rng.integers(1, width))
        a, b = (
            (int(v) for v in rng.integers(-(1 << scale - 1), 1 << scale - 1, 2, endpoint=False))
            if scale > 1
            else (0, 0)
        )
        m, rm = (int(v) for v in rng.integers(1, 65536, 2))
        lower, upper = sorted(int(v) for v in rng.integers(-32768, 32768, 2))
        left = int(rng.choice(residual_shifts))
        rows.append((a, b, int(rng.integers(-256, 256)), m, rm, left, int(rng.integers(0, 48)), lower, upper))
    return np.array(rows, dtype=np.int64)


def expected_requantise(rows: Int64Array) -> list[int]:
    out = []
    for a, b, r, m, rm, left, s, lower, upper in rows.tolist():
        if s > MAX_SHIFT:  # no legal record has it; an engine rounds all the same
            exact = round(Fraction((a + b) * m + (r * rm << left), 1 << s))
            out.append(min(max(exact, lower), upper))
            continue
        one = [np.array([v], dtype=np.int64) for v in (a, b, m, s, rm, r, left)]
        rule = Requantise(one[1], one[2], one[3], lower, upper, one[4], one[6])
        out.append(int(requantise(one[0].reshape(1, 1), rule, residual=one[5].reshape(1, 1))[0, 0]))
    return out


def packets(config: EngineConfig) -> list[Packet]:
    rng = np.random.default_rng(2)
    limit = 1 << config.weight_bits - 1
    made = []
    for indexed, rows in GROUPS:
        shape = (rows, config.lanes_k, config.slots)
        channels = int(rng.integers(1, config.lanes_k + 1))
        word = 1 << 16
        made.append(
            Packet(
                rng.integers(-(1 << 39), 1 << 39, channels),
                rng.integers(1, word, channels),
                rng.integers(1, word, channels),
                rng.integers(0, 48, channels),
                rng.integers(0, 16, channels),
                rng.integers(-limit, limit, shape),
                rng.integers(0, config.sub_row, shape) if indexed else None,
            )
        )
    return made


def expected_items(config: EngineConfig, packet: Packet) -> Iterator[tuple[int, int, int]]:
    """Yield (is a record, is the last of its section, bits) of every item."""
    fields = (packet.bias, packet.multiplier, packet.residual_multiplier, packet.shift, packet.residual_shift)
    for n, (bias, multiplier, residual, shift, left) in enumerate(zip(*fields, strict=True), start=1):
        bits = int(bias) & 0xFFFFFFFF | int(multiplier) << 32 | int(residual) << 48 | int(shift) << 64
        bits |= (int(bias) >> 32 & 0xFF) << 72 | int(left) << 80
        yield 1, int(n == len(packet.bias)), bits
    for r, row in enumerate(packet.values):
        bits, place = 0, 0
        for value in row.ravel():
            bits |= (int(value) & ((1 << config.weight_bits) - 1)) << place
            place += config.weight_bits
        for index in packet.indices[r].ravel() if packet.indices is not None else ():
            bits |= int(index) << place
            place += config.index_bits
        yield 0, int(r == len(packet.values) - 1), bits


def confidence_cases() -> list[tuple[Int64Array, ConfidenceRule]]:
    rng = np.random.default_rng(3)
    cases = []
    for n in range(60):
        classes = int(rng.integers(1, 41))
        spread = int(rng.choice([1, 3, 50, 4000, 32767]))
        logits = rng.integers(-spread - 1, spread + 1, classes)
        if n % 7 == 0:
            logits = rng.choice(np.array([-32768, 32767]), classes)
        top = int(rng.integers(0, 9))
        most = int(rng.integers(top, 9))
        threshold = int(rng.choice([-(1 << 31), -65536, 0, 30000, 65536, (1 << 31) - 1, int(rng.integers(65536))]))
        cases.append((logits, ConfidenceRule(int(rng.choice([0, 1, 369, 5909, 65535])), top, most, threshold)))
    return cases


def walks() -> list[Instruction]:
    conv = Instruction(
        Opcode.CONV, in_base=40, in_height=5, in_width=6, in_words=3, in_row_words=20, out_height=3, out_width=2,
        out_words=2, channels=7, groups=2, kernel_h=3, kernel_w=2, stride_h=2, stride_w=3, pad_top=1, pad_left=1,
        dilation_h=1, dilation_w=2, sub_rows=2, steps=2, steps_last=1, channel_step=4, levels=1, upper=7, rows=18,
        out_base=500,
    )  # fmt: skip
    return [
        conv,
        replace(conv, levels=3, rows=54),
        replace(conv, sub_rows=1, steps=0, steps_last=1, rows=6),
        replace(conv, kernel_h=1, kernel_w=1, sub_rows=1, steps_last=2, rows=2, pad_top=0, pad_left=0),
        Instruction(
            Opcode.MAXPOOL, flags=Flag.INPUT_SIGNED, in_base=7, in_height=4, in_width=4, in_words=2, in_row_words=9,
            out_base=100, out_height=3, out_width=3, out_words=2, kernel_h=2, kernel_w=3, stride_h=1, stride_w=1,
            pad_left=1, dilation_h=2, dilation_w=1, sub_rows=2,
        ),
    ]  # fmt: skip


def expected_steps(i: Instruction) -> Iterator[str]:
    """The loops of PROGRAM.md, one line a step as the bench writes it."""
    pooling = i.opcode is Opcode.MAXPOOL
    for g in range(i.sub_rows if pooling else i.groups):
        first = g if pooling else (g * i.channel_step) // WALKER.sub_row
        for oy, ox in itertools.product(range(i.out_height), range(i.out_width)):
            final = not pooling and (oy, ox) == (i.out_height - 1, i.out_width - 1)
            steps = []
            for level, ky, kx in itertools.product(range(i.levels or 1), range(i.kernel_h), range(i.kernel_w)):
                iy = oy * i.stride_h + ky * i.dilation_h - i.pad_top
                ix = ox * i.stride_w + kx * i.dilation_w - i.pad_left
                inside = 0 <= iy < i.in_height and 0 <= ix < i.in_width
                for q in range(1 if pooling else i.sub_rows):
                    address = i.in_base + iy * i.in_row_words + ix * i.in_words + first + q
                    count = 1 if pooling else i.steps_last if q == i.sub_rows - 1 else i.steps
                    for t in range(count):
                        shift = level > 0 and ky == kx == q == t == 0
                        index = t * WALKER.slots % WALKER.sub_row
                        steps.append(
                            [int(t == 0), int(inside), address if inside else 0, index, 0, int(shift), 0, int(final)]
                        )
            steps[0][4] = steps[-1][6] = 1  # first and last
            yield from (" ".join(map(str, step)) for step in steps)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled bench."""
    return build_bench(tmp_path_factory.mktemp("modules_build"), "modules_bench")


@pytest.fixture(scope="module")
def outputs(bench: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with everything that the bench was fed and wrote."""
    folder = tmp_path_factory.mktemp("modules_run")
    for name, rows in (
        ("requantise_small", requantise_small()),
        ("requantise_block", requantise_full(24)),
        ("requantise_full", requantise_full()),
        ("requantise_tile", requantise_full(40, tuple(range(16)))),
    ):
        np.savetxt(folder / f"{name}.in", rows, fmt="%d")
    words = np.random.default_rng(4).integers(0, 1 << 32, 200, dtype=np.uint32)
    (folder / "crc.in").write_text("".join(f"{word:08x}\n" for word in words))
    for name, config in UNPACKERS.items():
        made = packets(config)
        sections = [
            (kind, n) for p in made for kind, n in ((0, len(p.bias)), (1 if p.indices is None else 2, len(p.values)))
        ]
        (folder / f"{name}.sections").write_text("".join(f"{kind} {n}\n" for kind, n in sections))
        stream = b"".join(pack(config, p) for p in made)
        beats = [stream[n : n + config.bus_bytes][::-1].hex() for n in range(0, len(stream), config.bus_bytes)]
        (folder / f"{name}.beats").write_text("".join(f"{beat}\n" for beat in beats))
    lines = [
        f"{len(logits)} {rule.k} {rule.m} {rule.n} {rule.threshold} {' '.join(map(str, logits))}\n"
        for logits, rule in confidence_cases()
    ]
    (folder / "confidence.in").write_text("".join(lines))
    (folder / "control.in").write_text("".join(access.line() for access in CONTROL))
    programs = [f"{waits} {i.encode().tobytes()[::-1].hex()}\n" for i in walks() for waits in (0, 1)]
    (folder / "walker.in").write_text("".join(programs))
    done = run_bench(bench, folder)
    assert "modules_bench: done" in done.stdout, done.stdout + done.stderr
    return folder


@pytest.mark.parametrize("name", ["requantise_small", "requantise_block", "requantise_full", "requantise_tile"])
def test_requantise(outputs: Path, name: str) -> None:
    rows = np.loadtxt(outputs / f"{name}.in", dtype=np.int64)
    got = np.loadtxt(outputs / f"{name}.out", dtype=np.int64)
    expected = np.array(expected_requantise(rows))
    assert len(got) == len(rows)
    np.testing.assert_array_equal(got, expected)


def test_requantise_rows_tell_half_even_from_half_up() -> None:
    """The rows would find the rounding that is wrong most easily."""
    rows = requantise_small()
    scaled = (rows[:, 0] + rows[:, 1]) * rows[:, 3] + rows[:, 2] * rows[:, 4]
    half_up = np.clip((scaled + ((1 << rows[:, 6]) >> 1)) >> rows[:, 6], -100, 99)
    assert (half_up != np.array(expected_requantise(rows))).mean() > 0.005


def test_crc(outputs: Path) -> None:
    words = [bytes.fromhex(line)[::-1] for line in (outputs / "crc.in").read_text().split()]
    got = [int(line, 16) for line in (outputs / "crc.out").read_text().split()]
    assert got == [zlib.crc32(b"".join(words[: n + 1])) for n in range(len(words))]


@pytest.mark.parametrize("name", UNPACKERS)
def test_unpack(outputs: Path, name: str) -> None:
    config = UNPACKERS[name]
    got = [line.split() for line in (outputs / f"{name}.out").read_text().splitlines()]
    expected = [(item, p) for p in packets(config) for item in expected_items(config, p)]
    assert len(got) == len(expected)
    for (record, last, bits), ((is_record, is_last, value), packet) in zip(got, expected, strict=True):
        width = 128 if is_record else config.row_bits(packet.indices is not None)
        assert (int(record), int(last)) == (is_record, is_last)
        assert int(bits, 16) & ((1 << width) - 1) == value


def test_confidence(outputs: Path) -> None:
    got = np.loadtxt(outputs / "confidence.out", dtype=np.int64)
    cases = confidence_cases()
    assert len(got) == len(cases)
    for line, (logits, rule) in zip(got.tolist(), cases, strict=True):
        e = evaluate(logits.reshape(1, -1), rule)
        assert line == [int(e.klass[0]), int(e.confident[0]), int(e.numerator[0]), int(e.total[0])], (logits, rule)


def test_walk(outputs: Path) -> None:
    """Order, addresses and flags are those of PROGRAM.md; without waits there is a step in every cycle."""
    lines = iter((outputs / "walker.out").read_text().splitlines())
    for instruction in walks():
        for waits in (False, True):
            assert next(lines) == "problem 0"
            expected = list(expected_steps(instruction))
            for number, step in enumerate(expected):
                assert next(lines) == step, (instruction, number)
            end, steps, cycles = next(lines).split()
            assert (end, int(steps)) == ("end", len(expected))
            gaps = int(cycles) - int(steps)
            if waits:
                assert gaps > 1
            elif instruction.rows != 2:  # 2 steps a position: 2 chunks to drain, no gap either
                assert gaps <= 1, instruction


def test_control(outputs: Path) -> None:
    """Registers by every order of address and data, with strobes; start, done and interrupt as Vitis has them."""
    expected = [text for step in CONTROL for text in step.tells]
    assert (outputs / "control.out").read_text().splitlines() == expected


def test_wrong_answers_of_the_bus(outputs: Path) -> None:
    """An error response, another identifier, and too few or too many last beats are failures; a right burst is not."""
    assert (outputs / "read.out").read_text().split() == ["0", "1", "1", "1", "1"]


def test_assertions_are_live(bench: Path, outputs: Path) -> None:
    """A beat that nobody asked for ends the simulation with the module's own words."""
    done = run_bench(bench, outputs, "+stray")
    assert done.returncode != 0
    assert "a beat arrived that was not asked for" in done.stdout + done.stderr
    assert "modules_bench: done" not in done.stdout
