"""The modules of the tile mode against oracles: numerics/winograd.py and PROGRAM.md's loops."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.rtl.rtl_modules import RTL, build_bench, run_bench
from toolflow.engine.config import EngineConfig
from toolflow.engine.isa import Flag, Instruction, Opcode
from toolflow.numerics.winograd import F2, F4, MAX_EXPONENT, WINOGRAD, Winograd

Int64Array = npt.NDArray[np.int64]

LANES_P = 2
BANK_DEPTH = 1000
# the bench's instances: (sub_row, forms, groups per form)
TRANSFORMS = {"transform_4": (F4, F2, F4), "transform_2": (F2,)}
INPUTS = {"input_4": (F4, F2, F4), "input_2": (F2, F2)}
ENGINES = {"input_4": EngineConfig(tile=4), "input_2": EngineConfig(tile=2)}
FOLDS = {"fold_4": (6, 2, 30, (F4, F2)), "fold_2": (5, 1, 20, (F2,))}  # lanes_k, drain_k, accumulator bits
STARTING = 4  # cycles in which the walker looks up the steps of the first taps
WALKER = EngineConfig(lanes_k=4, slots=2, drain_k=2, sub_row=4, tile=4)
CONV = Instruction(
    Opcode.CONV, in_base=40, in_height=6, in_width=5, in_words=3, in_row_words=20, out_height=7, out_width=6,
    out_words=2, out_base=500, channels=7, groups=2, kernel_h=3, kernel_w=3, stride_h=1, stride_w=1, pad_top=1,
    pad_left=2, dilation_h=1, dilation_w=1, sub_rows=3, steps=2, steps_last=1, levels=1, upper=7, tile=4,
    residual_base=300, residual_row_words=31, residual_pixel_words=5, residual_channels=4,
)  # fmt: skip


NO_TAPS = Instruction(Opcode.TAPS)


def tap_rows(form: Winograd, i: Instruction, taps: Instruction) -> list[int]:
    """Return the rows of each tap, as PROGRAM.md counts them."""
    own = [int(steps) or i.steps for steps in taps.tap_steps(6).reshape(-1)[: form.taps**2]]
    return [i.levels * ((i.sub_rows - 1) * steps + min(steps, i.steps_last)) for steps in own]


def with_tile(conv: Instruction, form: Winograd, taps: Instruction = NO_TAPS) -> Instruction:
    return replace(conv, tile=form.tile, rows=sum(tap_rows(form, conv, taps)))


def bits(i: Instruction) -> str:
    return i.encode().tobytes()[::-1].hex()


def wrapped(values: Int64Array, width: int) -> Int64Array:
    half = 1 << (width - 1)
    return ((values + half) & (2 * half - 1)) - half


def groups_of_words(name: str) -> list[tuple[Winograd, Int64Array]]:
    """Words of two elements, t by t, extremes among them."""
    rng = np.random.default_rng(1)
    made = []
    for form in TRANSFORMS[name]:
        for n in range(60):
            low, high = ((0, 255), (-128, 127))[n % 2]  # activations of either sign
            group = rng.integers(low, high + 1, (form.taps, 2))
            made.append((form, rng.choice(np.array([low, high]), (form.taps, 2)) if n % 3 == 0 else group))
    return made


def inputs(name: str) -> tuple[Int64Array, list[tuple[Winograd, Instruction]]]:
    """The banks (lanes, depth, sub_row) and the instructions that read them."""
    banks = np.random.default_rng(2).integers(0, 256, (LANES_P, BANK_DEPTH, 4))
    banks[:, ::3] = np.where(banks[:, ::3] > 127, 255, 0)
    made = []
    for n, form in enumerate(INPUTS[name]):
        flags = Flag.INPUT_SIGNED if n else Flag.NONE
        made.append((form, with_tile(replace(CONV, flags=flags), form)))
    return banks, made


def transformed(banks: Int64Array, form: Winograd, i: Instruction) -> Iterator[Int64Array]:
    """Yield (lanes, t·t·sub_rows, sub_row), the words of every tile of every group, in the order of their addresses."""
    down, across = form.tiles(i.out_height, i.out_width)
    offsets = np.arange(form.taps)
    for _, ty, tx in itertools.product(range(i.groups), range(down), range(across)):
        iy = (ty * form.tile - i.pad_top + offsets)[:, None]
        ix = (tx * form.tile - i.pad_left + offsets)[None, :]
        inside = (iy >= 0) & (iy < i.in_height) & (ix >= 0) & (ix < i.in_width)
        pixel = np.where(inside, i.in_base + iy * i.in_row_words + ix * i.in_words, 0)
        words = banks[:, pixel[..., None] + np.arange(i.sub_rows)]
        if Flag.INPUT_SIGNED in i.flags:
            words = words - (words >> 7 << 8)
        words = words * inside[:, :, None, None]
        v = np.einsum("yr,prsqc,xs->pyxqc", form.input, words, form.input)
        yield v.reshape(LANES_P, -1, v.shape[-1])


def folds(name: str) -> list[tuple[Winograd, int, Int64Array, Int64Array]]:
    """Tiles: their form, chunks, exponents (t, t) and sums (t, t, lanes_k, lanes)."""
    lanes_k, drain_k, width, forms = FOLDS[name]
    rng = np.random.default_rng(3)
    half = 1 << (width - 1)
    made = []
    for form, chunks, n in itertools.product(forms, (lanes_k // drain_k, 1, 2), range(4)):
        shape = (form.taps, form.taps)
        exponent = rng.integers(0, MAX_EXPONENT + 1, shape)
        sums = rng.integers(-half, half, (*shape, lanes_k, LANES_P))
        made.append((form, chunks, exponent, np.where(sums < 0, -half, half - 1) if n == 3 else sums))
    return made


def walks() -> list[tuple[Instruction, Instruction]]:
    """Return (the TAPS before it, a CONV with a tile), whose taps take the CONV's steps or their own."""
    rng = np.random.default_rng(4)
    some, long = (Instruction.taps(np.zeros((6, 6)), rng.integers(0, top, (6, 6))) for top in (4, 256))
    every = Instruction.taps(np.zeros((6, 6)), rng.integers(1, 6, (6, 6)))
    row = replace(CONV, sub_rows=1, out_height=1, out_width=9)
    made = [
        (NO_TAPS, CONV, F4),
        (NO_TAPS, CONV, F2),
        (some, CONV, F4),
        (some, replace(CONV, steps_last=3, levels=2), F2),
        (every, replace(CONV, steps=0, steps_last=2), F4),
        (long, replace(CONV, steps_last=200, out_height=1, out_width=5), F4),
        (NO_TAPS, replace(CONV, levels=3, out_height=5), F4),
        (NO_TAPS, replace(CONV, levels=2), F2),
        (some, replace(row, steps=1, steps_last=4, levels=2), F4),
        (NO_TAPS, replace(row, steps=1, steps_last=1, levels=2), F4),
        (NO_TAPS, replace(row, steps=1, steps_last=1), F4),
        (every, replace(row, steps=0, steps_last=1), F2),
        (NO_TAPS, replace(CONV, sub_rows=1, steps=2, steps_last=2, out_height=4, out_width=1), F2),
    ]
    return [(taps, with_tile(conv, form, taps)) for taps, conv, form in made]


def expected_steps(form: Winograd, i: Instruction, taps: Instruction) -> Iterator[str]:
    """Two lines a step: whether the tile is its group's last, whether the ring rewinds or releases; then what it is.

    That is word, address, index, first, shift and last.
    """
    down, across = form.tiles(i.out_height, i.out_width)
    for number, (_, tile) in enumerate(itertools.product(range(i.groups), range(down * across))):
        base = 200 * (number % 2)
        for tap, level, q in itertools.product(range(form.taps**2), range(i.levels), range(i.sub_rows)):
            last_word = q == i.sub_rows - 1
            count = int(taps.tap_steps(6).reshape(-1)[tap]) or i.steps
            count = min(count, i.steps_last) if last_word else count
            for t in range(count):
                ends = last_word and t == count - 1 and level == i.levels - 1
                first = q == t == 0
                tile_ends = ends and tap == form.taps**2 - 1
                final = tile == down * across - 1
                yield f"{final:d} {tile_ends:d} {tile_ends and final:d}"
                index = t * WALKER.slots % WALKER.sub_row
                address = base + tap * i.sub_rows + q
                yield f"{int(t == 0)} {address} {index} {first and not level:d} {first and level > 0:d} {ends:d}"


def direct() -> list[Instruction]:
    """Return CONVs without a tile, on an engine that has them, up to the most words a position."""
    return [replace(CONV, tile=0, rows=45, out_words=words) for words in (2, 255, 256, 300, 512, 0xFFFF)]


def expected_places(i: Instruction) -> Iterator[str]:
    """Output word, residual word, row and column in the tile, and whether tile and map end."""
    span = i.tile or 1
    down, across = -(-i.out_height // span), -(-i.out_width // span)
    for _, ty, tx in itertools.product(range(i.groups), range(down), range(across)):
        inside = [
            (r, c)
            for r, c in itertools.product(range(span), repeat=2)
            if ty * span + r < i.out_height and tx * span + c < i.out_width
        ]
        for n, (r, c) in enumerate(inside):
            y, x = ty * span + r, tx * span + c
            out = i.out_base + (y * i.out_width + x) * i.out_words
            residual = i.residual_base + y * i.residual_row_words + x * i.residual_pixel_words
            ends = n == len(inside) - 1
            map_ends = ends and (ty, tx) == (down - 1, across - 1)
            yield f"{out} {residual} {r} {c} {int(ends)} {int(map_ends)}"


def write_inputs(folder: Path) -> None:
    """Write everything that the bench reads."""
    for name in TRANSFORMS:
        lines = [f"{form.tile} {a} {b}\n" for form, group in groups_of_words(name) for a, b in group]
        (folder / f"{name}.in").write_text("".join(lines))
    for name in INPUTS:
        banks, instructions = inputs(name)
        lines = [f"{bytes(word.astype(np.uint8))[::-1].hex()}\n" for word in banks.transpose(1, 0, 2).reshape(-1, 4)]
        for waits, (form, i) in enumerate(instructions):
            down, across = form.tiles(i.out_height, i.out_width)
            lines.append(f"{waits} {i.groups * down * across} {form.taps**2 * i.sub_rows} {bits(i)}\n")
        (folder / f"{name}.in").write_text("".join(lines))
    for name in FOLDS:
        lines = []
        for form, chunks, exponent, sums in folds(name):
            shifts = sum(int(e) << 3 * n for n, e in enumerate(exponent.ravel()))
            lines.append(f"{form.tile} {chunks} {shifts:x} {' '.join(map(str, sums.ravel()))}\n")
        (folder / f"{name}.in").write_text("".join(lines))
    lines = []
    for (taps, i), waits in itertools.product(walks(), (0, 1)):
        form = WINOGRAD[i.tile]
        steps = len(list(expected_steps(form, i, taps))) // 2
        lines.append(f"{waits} {steps} {len(list(expected_places(i)))} {bits(taps)} {bits(i)}\n")
    for i in direct():
        lines.append(f"0 0 {len(list(expected_places(i)))} {bits(NO_TAPS)} {bits(i)}\n")
    (folder / "walk_4.in").write_text("".join(lines))


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with everything that the bench was fed and wrote."""
    folder = tmp_path_factory.mktemp("tile_run")
    write_inputs(folder)
    done = run_bench(build_bench(tmp_path_factory.mktemp("tile_build"), "tile_bench"), folder)
    assert "tile_bench: done" in done.stdout, done.stdout + done.stderr
    return folder


def transform_result(folder: Path, name: str) -> tuple[Int64Array, Int64Array]:
    """Return what the module made and what it must make."""
    expected = np.concatenate([form.input @ group for form, group in groups_of_words(name)])
    return np.loadtxt(folder / f"{name}.out", dtype=np.int64), expected


def fold_result(folder: Path, name: str) -> tuple[Int64Array, Int64Array]:
    """Return the same of a fold: (channel of every output, lanes)."""
    drain_k, width = FOLDS[name][1:3]
    expected = []
    for form, chunks, exponent, sums in folds(name):
        aligned = (sums << exponent[:, :, None, None])[:, :, : chunks * drain_k]
        y = np.einsum("iy,yxkp,jx->ijkp", form.output, aligned, form.output)
        expected.append(wrapped(y, width).reshape(-1, LANES_P))
    return np.loadtxt(folder / f"{name}.out", dtype=np.int64), np.concatenate(expected)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transform(outputs: Path, name: str) -> None:
    got, expected = transform_result(outputs, name)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", INPUTS)
def test_tiles_are_transformed_exactly(outputs: Path, name: str) -> None:
    """Every word of every tile, in both halves, with pauses on either side."""
    banks, instructions = inputs(name)
    width = ENGINES[name].operand_bits
    lines = iter((outputs / f"{name}.out").read_text().splitlines())
    for form, i in instructions:
        assert next(lines) == "problem 0"
        for tile in transformed(banks, form, i):
            for word in tile.transpose(1, 0, 2):
                values = [sum(int(v) % (1 << width) << width * n for n, v in enumerate(lane)) for lane in word]
                assert [int(text, 16) for text in next(lines).split()] == values
    assert next(lines, None) is None


@pytest.mark.parametrize("name", FOLDS)
def test_fold(outputs: Path, name: str) -> None:
    """Sums and results wrap, groups have one chunk or several, taps come as fast as they may or later."""
    got, expected = fold_result(outputs, name)
    np.testing.assert_array_equal(got, expected)


def check_walk(folder: Path) -> None:
    """Steps and outputs are those of PROGRAM.md; a step in every cycle where a tap has enough of them."""
    lines = iter((folder / "walk_4.out").read_text().splitlines())
    for (taps, i), waits in itertools.product(walks(), (False, True)):
        form = WINOGRAD[i.tile]
        assert next(lines) == "problem 0"
        steps = list(expected_steps(form, i, taps))
        for number, step in enumerate(steps):
            assert next(lines) == step, (i, number)
        cycles = int(next(lines).removeprefix("cycles "))
        per_tile = sum(max(rows, 2) for rows in tap_rows(form, i, taps))
        if not waits:
            tiles = math.prod(form.tiles(i.out_height, i.out_width))
            assert cycles - per_tile * i.groups * tiles <= STARTING + 1
        for place in expected_places(i):
            assert next(lines) == place, i
    for i in direct():
        assert [next(lines), next(lines)] == ["problem 0", "cycles 0"]
        for place in expected_places(i):
            assert next(lines) == place, i
    assert next(lines, None) is None


def test_walk(outputs: Path) -> None:
    check_walk(outputs)


def test_operands_are_as_wide_as_the_engine_says(outputs: Path) -> None:
    got = np.loadtxt(outputs / "width.out", dtype=np.int64)
    engines = (EngineConfig(), ENGINES["input_2"], ENGINES["input_4"])
    assert got.tolist() == [
        [engine.model_copy(update={"activation_bits": width}).operand_bits for engine in engines]
        for width in range(2, 9)
    ]


def test_planted_faults_are_found(tmp_path: Path) -> None:
    """One coefficient of each transform changed, and levels walk on: the comparisons that pass above fail."""
    faults = {
        "cascade_transform": ("near = is_4 && (turn == 3'd1 ||", "near = is_4 && (turn == 3'd3 ||"),
        "cascade_fold": ("3'd1, 3'd2: term.shift = 2'd2;", "3'd1, 3'd2: term.shift = 2'd1;"),
        "cascade_tile_walker": ("level_ends && !tap_ends ? tap_address", "level_ends && !tap_ends ? address_next"),
    }
    for module, (right, wrong) in faults.items():
        source = (RTL / f"{module}.sv").read_text()
        assert source.count(right) == 1
        (tmp_path / f"{module}.sv").write_text(source.replace(right, wrong))
    write_inputs(tmp_path)
    bench = build_bench(tmp_path / "build", "tile_bench", [tmp_path / f"{module}.sv" for module in faults])
    assert "tile_bench: done" in run_bench(bench, tmp_path).stdout
    for got, expected in (transform_result(tmp_path, "transform_4"), fold_result(tmp_path, "fold_4")):
        assert got.shape == expected.shape
        assert (got != expected).any()
    with pytest.raises(AssertionError):
        check_walk(tmp_path)
