"""The emitted C++ against a naive interpreter of PROGRAM.md and against the numpy executor, bit for bit."""

from __future__ import annotations

import functools
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from tests.oracles.engine import Oracle
from tests.unit.emit.hls_jobs import everything
from tests.unit.emit.hls_programs import Job
from toolflow.emit.hls import emit_hls
from toolflow.emit.hls_native import build_native, run_native
from toolflow.engine.config import EngineConfig
from toolflow.engine.executor import run_program

CONFIGURATIONS = {
    "default": EngineConfig(lanes_k=8, lanes_p=2, slots=1, bank_depth=2048, external_maps=True),
    "slots": EngineConfig(lanes_k=8, lanes_p=3, slots=4, drain_k=2, bank_depth=2048, input_lanes=8, table_words=2),
    "one_lane": EngineConfig(
        lanes_k=1, lanes_p=1, slots=1, sub_row=1, input_lanes=1, bus_bits=64, bank_depth=4096,
        external_maps=True,
    ),
    "odd": EngineConfig(
        lanes_k=3, lanes_p=5, slots=2, sub_row=4, weight_bits=5, activation_bits=7, accumulator_bits=24,
        bus_bits=64, bank_depth=1000, input_lanes=2, result_depth=7, confidence=False,
        external_maps=True,
    ),
    "low": EngineConfig(
        lanes_k=12, lanes_p=2, slots=2, drain_k=4, weight_bits=4, activation_bits=4, accumulator_bits=20,
        bus_bits=256, bank_depth=2048, result_depth=30,
    ),
    "wide": EngineConfig(
        lanes_k=32, lanes_p=1, slots=16, drain_k=16, sub_row=16, weight_bits=3, activation_bits=2,
        accumulator_bits=10, bus_bits=512, bank_depth=2048, result_depth=100, input_lanes=16, table_words=3,
        external_maps=True,
    ),
    "tiles": EngineConfig(
        lanes_k=6, lanes_p=2, slots=2, drain_k=2, weight_bits=9, accumulator_bits=37, bank_depth=2048,
        tile=4, transform_cycles=2, transform_depth=72, external_maps=True, stripes=True,
    ),
    "wide_and_narrow": EngineConfig(
        lanes_k=6, lanes_p=4, slots=4, drain_k=2, narrow_bits=4, accumulator_bits=28, bank_depth=2048, input_lanes=8,
        table_words=2, dsp_primitive="dsp48e2", pack_k=2, chain=4, gather=False, external_maps=True,
    ),
    "small_tiles": EngineConfig(
        lanes_k=4, lanes_p=3, sub_row=4, weight_bits=12, activation_bits=5, accumulator_bits=40, bus_bits=64,
        bank_depth=2048, input_lanes=2, tile=2, transform_cycles=4, transform_depth=48,
    ),
}  # fmt: skip


@functools.cache
def native(name: str, folder: Path, exact_types: bool) -> Path:
    return build_native(folder / name, CONFIGURATIONS[name], "high", exact_types=exact_types)


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hls")


def compare(config: EngineConfig, binary: Path, job: Job) -> None:
    expected = Oracle(config).run(job.program, job.weights, job.images, job.count)
    error, raw = run_native(binary, job.program, job.weights, job.images, job.count, job.result_bytes)
    assert error == 0
    different = [n for n, byte in expected.items() if byte is not None and byte != raw[n]]
    assert not different, f"{len(different)} of {len(expected)} bytes differ, from {different[0]} on"
    assert len(expected) == job.result_bytes
    executed = run_program(config, job.program, job.weights, job.images, job.count)
    defined = [n for n, byte in expected.items() if byte is not None]
    assert not [n for n in defined if executed[n] != raw[n]]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_opcode_and_flag(name: str, sources: Path) -> None:
    config = CONFIGURATIONS[name]
    for seen, seed in product(config.precisions, range(4)):
        count = seen.lanes_p + 1 if seed == 0 else 1
        compare(config, native(name, sources, False), everything(seen, seed, count))


@pytest.mark.parametrize("name", ["odd", "low", "tiles", "wide_and_narrow"])
def test_the_widths_of_the_synthesis_give_the_same_bits(name: str, sources: Path) -> None:
    for seen in CONFIGURATIONS[name].precisions:
        job = everything(seen, 7, seen.lanes_p + 1)
        arguments = job.program, job.weights, job.images, job.count, job.result_bytes
        plain = run_native(native(name, sources, False), *arguments)
        assert run_native(native(name, sources, True), *arguments) == plain
        assert np.frombuffer(plain[1], dtype=np.uint8).any()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("tile.hpp", "const int places = taps.exponent[", "const int places = 0 & taps.exponent["),
        ("tile.hpp", "if (fold.row == 0) output = 0;", "if (fold.row == 1) output = 0;"),
        ("tile.hpp", "if (stage.slice == n) transformed", "if (n == 0) transformed"),
        ("tile.hpp", "if (fold.half == (half == 1)) outputs", "if (half == 1) outputs"),
        ("tile.hpp", "== (half == 1) ? fold.chunk : drained_chunk;", "== (half == 1) ? fold.chunk : fold.chunk;"),
        (
            "convolve.hpp",
            "if (tap.last_word && tap.kx == of.window.last_column) transformed",
            "if (tap.last_word) transformed",
        ),
        ("convolve.hpp", "half = !half;", "half = false;"),
        ("core.hpp", "if (begins) taps = no_taps();", "static_cast<void>(begins);"),
        (
            "convolve.hpp",
            "? present.last_step_last : present.last_step)",
            "? present.last_step : present.last_step_last)",
        ),
    ],
)
def test_a_fault_in_the_tiles_is_seen(file: str, old: str, new: str, tmp_path: Path) -> None:
    """This includes exponents that are wrongly kept in the next pass."""
    config = CONFIGURATIONS["small_tiles"]
    emit_hls(config, "high", tmp_path)
    source = tmp_path / "lib" / file
    text = source.read_text(encoding="utf-8")
    assert text.count(old) == 1
    source.write_text(text.replace(old, new), encoding="utf-8")
    job = everything(config, 0, config.lanes_p + 1)
    with pytest.raises(AssertionError, match="bytes differ"):
        compare(config, build_native(tmp_path, config, "high"), job)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("banks.hpp", "(place % 2 * S::bank_bits)", "0"),
        (
            "array.hpp",
            "narrow ? accumulator << S::least_digit_bits",
            "false ? accumulator",
        ),
        ("drain.hpp", "wide ? memory / 2 : g", "g"),
        ("load.hpp", "if (S::two_precisions && narrow) return", "if (false) return"),
        ("pool.hpp", "if (i.input_signed() && narrow) lowest", "if (false) lowest"),
        ("engine.hpp", "1 : wide ? Shape<Config>::wide_lanes :", "1 : false ? Shape<Config>::wide_lanes :"),
    ],
)
def test_a_fault_in_one_of_two_precisions_is_seen(file: str, old: str, new: str, tmp_path: Path) -> None:
    config = CONFIGURATIONS["wide_and_narrow"]
    emit_hls(config, "high", tmp_path)
    source = tmp_path / "lib" / file
    text = source.read_text(encoding="utf-8")
    assert text.count(old) == 1
    source.write_text(text.replace(old, new), encoding="utf-8")
    binary = build_native(tmp_path, config, "high")
    with pytest.raises(AssertionError, match=r"bytes differ|assert"):
        for seen, seed in product(config.precisions, range(3)):
            compare(config, binary, everything(seen, seed, seen.lanes_p + 1))
