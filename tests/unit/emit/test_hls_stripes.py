"""Striped programs in the emitted C++, compiled natively, against the naive interpreter of PROGRAM.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.oracles.engine import Oracle
from tests.rtl.test_stripes import ENGINES
from tests.unit.emit.hls_programs import Job
from tests.unit.emit.striped_programs import striped_network
from toolflow.emit.hls import emit_hls
from toolflow.emit.hls_native import build_native, run_native
from toolflow.engine.config import EngineConfig

FAULTY = "alone"


def differing(config: EngineConfig, binary: Path, job: Job) -> list[int]:
    """Return the defined bytes of the results in which a program's differ."""
    expected = Oracle(config).run(job.program, job.weights, job.images, job.count)
    error, raw = run_native(binary, job.program, job.weights, job.images, job.count, job.result_bytes)
    assert error == 0
    assert len(expected) == job.result_bytes
    return [n for n, byte in expected.items() if byte is not None and byte != raw[n]]


@pytest.mark.parametrize("name", ["digits", "alone"])
def test_one_image_in_all_lanes(name: str, tmp_path: Path) -> None:
    config = ENGINES[name]
    binary = build_native(tmp_path, config, "high")
    for seed in range(10, 16):
        assert differing(config, binary, striped_network(config, seed, 1 + seed % 2, extreme=seed % 3 == 0)) == []


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("walk.hpp", "in_window<Config>(i, windows[p],", "in_window<Config>(i, windows[p != 0 ? p - 1 : p],"),
        ("pool.hpp", "upwards ? word[behind][e]", "!upwards ? word[behind][e]"),
        ("stripes.hpp", "return row >= window.first &&", "return row > window.first &&"),
        ("stripes.hpp", "row < static_cast<int32_t>(window.end)", "row <= static_cast<int32_t>(window.end)"),
    ],
)
def test_a_fault_is_seen(file: str, old: str, new: str, tmp_path: Path) -> None:
    """A mask of the wrong lane, a shift in the wrong direction, a window that is off by a row."""
    config = ENGINES[FAULTY]
    emit_hls(config, "high", tmp_path)
    header = tmp_path / "lib" / file
    text = header.read_text(encoding="utf-8")
    assert text.count(old) == 1
    header.write_text(text.replace(old, new), encoding="utf-8")
    binary = build_native(tmp_path, config, "high")
    assert any(differing(config, binary, striped_network(config, seed, 1)) for seed in range(3))
