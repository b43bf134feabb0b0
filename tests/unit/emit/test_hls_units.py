"""Units of the HLS library against `toolflow.numerics`, with native types and with the synthesis' own."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from toolflow.emit.hls_native import EXACT_TYPES, FLAGS, ap_types_folder
from toolflow.emit.render import resource
from toolflow.engine.config import MEMORIES, EngineConfig
from toolflow.numerics.confidence import EXPONENT_TABLE, ConfidenceRule, evaluate
from toolflow.numerics.requantise import Requantise, requantise
from toolflow.numerics.types import IntegerType
from toolflow.numerics.winograd import WINOGRAD, transformed_type

SOURCE = Path(__file__).parent / "hls_units.cpp"


LIBRARY = Path(str(resource("hls_templates", "lib", "types.hpp"))).parents[1]


def build(library: Path, binary: Path, exact: bool) -> Path:
    types = [EXACT_TYPES] if exact else []
    command = ["g++", *FLAGS, *types, f"-I{ap_types_folder()}", f"-I{library}", str(SOURCE), "-o", str(binary)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (built.returncode, built.stderr) == (0, "")
    return binary


@pytest.fixture(scope="module", params=[False, True], ids=["native", "exact"])
def units(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(LIBRARY, tmp_path_factory.mktemp("units") / "units", request.param)


def ask(units: Path, what: str, data: bytes) -> bytes:
    return subprocess.run([str(units), *what.split()], input=data, capture_output=True, check=True).stdout


def requantise_one_by_one(records: np.ndarray) -> np.ndarray:
    """Apply the definition to rows of (acc, bias, multiplier, residual, its multiplier and shift, shift, bounds)."""
    acc, bias, multiplier, residual, residual_multiplier, left, shift, lower, upper = records.astype(np.int64).T
    out = np.empty(len(records), dtype=np.int64)
    for bounds in np.unique(np.stack([lower, upper], axis=1), axis=0):
        at = (lower == bounds[0]) & (upper == bounds[1])
        factor = np.maximum(residual_multiplier[at], 1)
        lower_at, upper_at = int(bounds[0]), int(bounds[1])
        rule = Requantise(bias[at], multiplier[at], shift[at], lower_at, upper_at, factor, left[at])
        counted = np.where(residual_multiplier[at] > 0, residual[at], 0)
        out[at] = requantise(acc[at][None], rule, residual=counted[None])[0]
    return out


def test_requantise_exhaustively_at_small_widths(units: Path) -> None:
    grid = itertools.product(
        range(-24, 25), (-3, 0, 2), (1, 2, 3, 5), (-4, 0, 3), (0, 3), (0, 2), range(7), ((-8, 7), (0, 15))
    )  # fmt: skip
    records = np.array([(*head, *bounds) for *head, bounds in grid], dtype="<i8")
    out = np.frombuffer(ask(units, "requantise", records.tobytes()), dtype="<i2")
    np.testing.assert_array_equal(out, requantise_one_by_one(records))


def test_requantise_at_the_ends_of_every_range(units: Path) -> None:
    ends = (-(1 << 39), (1 << 39) - 1, -(1 << 31), (1 << 31) - 1, -1, 0, 1)
    grid = itertools.product(ends, ends, (1, 65535), (-128, 255), (0, 65535), (0, 15), (0, 1, 31, 46, 47))
    extreme = np.array([(*values, -32768, 32767) for values in grid])
    rng = np.random.default_rng(1)
    drawn = np.stack(
        [
            rng.integers(-(1 << 39), 1 << 39, 20000) >> rng.integers(0, 20, 20000),
            rng.integers(-(1 << 39), 1 << 39, 20000) >> rng.integers(0, 20, 20000),
            rng.integers(1, 1 << 16, 20000),
            rng.integers(-128, 256, 20000),
            rng.integers(0, 1 << 16, 20000),
            rng.integers(0, 16, 20000),
            rng.integers(20, 48, 20000),
            np.full(20000, -32768),
            np.full(20000, 32767),
        ],
        axis=1,
    )
    records = np.concatenate([extreme, drawn]).astype("<i8")
    out = np.frombuffer(ask(units, "requantise", records.tobytes()), dtype="<i2")
    np.testing.assert_array_equal(out, requantise_one_by_one(records))


def test_a_shift_counts_by_its_low_six_bits(units: Path) -> None:
    """With a shift above 57 every value rounds to 0."""

    def rounded(shift: int) -> bytes:
        largest = (1 << 39) - 1
        records = [(n, n, 65535, 0, 0, 0, shift, -30000, 30000) for n in (-largest - 1, -777777, 5, largest)]
        return ask(units, "requantise", np.array(records, dtype="<i8").tobytes())

    assert not any(any(rounded(shift)) for shift in range(57, 64))
    assert any(rounded(56))
    assert all(rounded(shift + 64 * n) == rounded(shift) for shift in (0, 1, 31, 40) for n in (1, 2, 3))


def test_a_shift_of_the_residual_counts_by_its_low_four_bits(units: Path) -> None:
    records = [(0, 0, 1, -7, 3, shift, 0, -32768, 32767) for shift in range(48)]
    out = np.frombuffer(ask(units, "requantise", np.array(records, dtype="<i8").tobytes()), dtype="<i2")
    assert out.tolist() == [max(-21 << (shift & 15), -32768) for shift in range(48)]


TILES = [(2, 2), (4, 2), (4, 4)]  # the engine's largest, the one asked for


def extreme_tiles(tile: int, kind: IntegerType) -> np.ndarray:
    """Return the tiles that make each tap of V as large and as small as it gets, and random ones of extremes."""
    form = WINOGRAD[tile]
    taps = np.einsum("ya,xb->yxab", form.input, form.input).reshape(-1, form.taps, form.taps)
    largest = np.where(taps > 0, kind.upper, kind.lower)
    smallest = np.where(taps > 0, kind.lower, kind.upper)
    drawn = np.random.default_rng(tile).choice([kind.lower, kind.upper, 0, 1], (500, form.taps, form.taps))
    return np.concatenate([largest, smallest, drawn])


def transformed(units: Path, largest: int, tile: int, tiles: np.ndarray) -> np.ndarray:
    data = ask(units, f"input {largest} {tile}", tiles.astype("<i4").tobytes())
    return np.frombuffer(data, dtype="<i4").reshape(tiles.shape)


@pytest.mark.parametrize(("largest", "tile"), TILES)
@pytest.mark.parametrize("is_signed", [False, True])
def test_input_transform(units: Path, largest: int, tile: int, is_signed: bool) -> None:
    kind = IntegerType(8, is_signed)
    tiles = extreme_tiles(tile, kind)
    form = WINOGRAD[tile]
    expected = form.input @ tiles @ form.input.T
    np.testing.assert_array_equal(transformed(units, largest, tile, tiles), expected)
    widest = transformed_type(form, kind)
    assert expected.min() < widest.lower // 2 or expected.max() > widest.upper // 2


@pytest.mark.parametrize(("largest", "tile"), TILES)
def test_output_transform(units: Path, largest: int, tile: int) -> None:
    """Every entry of the matrix, modulo the accumulator's width."""
    form = WINOGRAD[tile]
    values = [0, 1, -1, 5, -12345, (1 << 39) - 1, -(1 << 39)]
    records = np.array(list(itertools.product(range(form.taps), values)), dtype="<i8")
    shares = ask(units, f"output {largest} {tile}", records.tobytes())
    out = np.frombuffer(shares, dtype="<i8").reshape(-1, tile)
    exact = form.output[:, records[:, 0]].T * records[:, 1:]
    half = 1 << 39
    np.testing.assert_array_equal(out, ((exact + half) & (2 * half - 1)) - half)


@pytest.mark.parametrize(
    ("tile", "old", "new"), [(2, "v[3] = d[1] - d[3]", "v[3] = d[1] + d[3]"), (4, "odd = d[3] - 4", "odd = d[3] - 2")]
)
def test_a_wrong_transform_is_seen(tile: int, old: str, new: str, tmp_path: Path) -> None:
    shutil.copytree(LIBRARY / "lib", tmp_path / "lib")
    header = tmp_path / "lib" / "transform.hpp"
    text = header.read_text(encoding="utf-8")
    assert text.count(old) == 1
    header.write_text(text.replace(old, new), encoding="utf-8")
    tiles = extreme_tiles(tile, IntegerType(8, signed=True))
    form = WINOGRAD[tile]
    found = transformed(build(tmp_path, tmp_path / "units", False), 4, tile, tiles)
    assert (found != form.input @ tiles @ form.input.T).any()


def test_confidence(units: Path) -> None:
    rng = np.random.default_rng(2)
    cases: list[tuple[np.ndarray, ConfidenceRule]] = []
    for n in range(600):
        classes = int(rng.choice([1, 2, 3, 7, 8, 9, 10, 100, 1000]))
        spread = int(rng.choice([1, 4, 300, 32768]))
        logits = rng.integers(-spread, spread, classes)
        if n % 10 == 0:
            logits = rng.choice([-32768, 32767], classes)
        last = int(rng.integers(0, 9))
        threshold = int(
            rng.choice([-(1 << 31), (1 << 31) - 1, 65536, 65537, -65536, 0, int(rng.integers(-70000, 70000))])
        )
        k = int(rng.choice([0, 1, 369, 5909, 65535]))
        cases.append((logits, ConfidenceRule(k, int(rng.integers(0, last + 1)), last, threshold)))
    data = b"".join(
        np.array([len(logits), rule.k, rule.m, rule.n, rule.threshold, *logits], dtype="<i4").tobytes()
        for logits, rule in cases
    )
    out = np.frombuffer(ask(units, "confidence", data), dtype="<i4").reshape(-1, 4)
    for (logits, rule), row in zip(cases, out, strict=True):
        answer = evaluate(logits[None].astype(np.int64), rule)
        expected = (answer.klass[0], answer.confident[0], answer.numerator[0], answer.total[0])
        assert tuple(row) == expected, f"{logits}, {rule}"
    assert 100 < out[:, 1].sum() < 500


def test_a_tie_at_the_threshold_is_confident(units: Path) -> None:
    logits = np.array([5, 5], dtype=np.int64)
    rows = [[2, 369, 1, 2, threshold, *logits] for threshold in (0, 1)]
    out = np.frombuffer(ask(units, "confidence", np.array(rows, dtype="<i4").tobytes()), dtype="<i4").reshape(-1, 4)
    assert out[:, 1].tolist() == [1, 0]
    assert out[:, 0].tolist() == [0, 0]


def test_the_exponent_table_is_the_reference_one() -> None:
    text = resource("hls_templates", "lib", "exponent_table.hpp").read_text(encoding="utf-8")
    body = text[text.index("{", text.index("exponent_table[256]")) : text.index("};")]
    assert [int(n) for n in re.findall(r"\d+", body)] == EXPONENT_TABLE.tolist()


def test_parameters_of_the_library_are_those_of_the_configuration() -> None:
    known = EngineConfig().model_dump(exclude=MEMORIES)
    fields = {name for name, value in known.items() if not isinstance(value, str)}
    used: set[str] = set()
    for file in resource("hls_templates", "lib").iterdir():
        used |= set(re.findall(r"Config::(\w+)", file.read_text(encoding="utf-8")))
    packing = {
        "weight_step", "operand_step", "packed_weight_bits", "packed_operand_bits", "symmetric_weights",
        "narrow_weight_step", "narrow_operand_step",
    }  # fmt: skip
    # the switch stands for the word bank_memory, the packing for the word primitive
    assert used - {"signature", "operand_bits", "bank_ultra"} - packing == fields
