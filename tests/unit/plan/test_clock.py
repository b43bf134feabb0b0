"""The clock of a board from recorded paths."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from toolflow.plan.boards.board import load_board
from toolflow.plan.clock import estimate
from toolflow.plan.clock.estimate import ClockRecord, RecordedEngine, RecordedPath, clock_record, estimate_clock
from toolflow.plan.resources.count import ResourceCount

EVERYTHING = ResourceCount(1e9, 1e9, 1e9, 1e9, 1e9)
LITTLE = ResourceCount(40_000, 80_000, 100, 100, 0)


def _path(ns: float) -> RecordedPath:
    return RecordedPath(ns=ns, luts=9, carries=2, start="a", end="b")


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    engines = tuple(
        RecordedEngine(
            name=name,
            tile=tile,
            config={},
            amounts=dict.fromkeys(("xc7", "xcup"), ResourceCount(luts, luts, 10, 10, 0).by_name()),
            paths={"xc7/artix": _path(ns), "xcup/ultrascale_plus": _path(ns / 2)},
        )
        for name, tile, luts, ns in (("small", 0, 9e3, 10.0), ("large", 0, 9e4, 14.0), ("tiled", 2, 1e4, 12.0))
    )
    monkeypatch.setattr(estimate, "clock_record", lambda: ClockRecord(made_by="", yosys="", engines=engines))
    estimate_clock.cache_clear()
    yield
    estimate_clock.cache_clear()


@pytest.mark.usefixtures("recorded")
def test_the_longest_path_of_engines_that_fit_counts() -> None:
    assert estimate_clock("xc7", "xc7z020clg400-1", EVERYTHING, 0).engine == "large"
    assert estimate_clock("xc7", "xc7z020clg400-1", LITTLE, 0).engine == "small"
    assert estimate_clock("xc7", "xc7z020clg400-1", LITTLE, 2).engine == "tiled"
    assert estimate_clock("xc7", "xc7z020clg400-1", EVERYTHING, 2).engine == "large"
    nothing = ResourceCount(1, 1, 1, 1, 1)
    assert estimate_clock("xc7", "xc7z020clg400-1", nothing, 4).engine == "small"


@pytest.mark.usefixtures("recorded")
def test_the_speed_grade_scales_the_path_and_15_percent_are_kept_back() -> None:
    found = estimate_clock("xc7", "xc7z020clg400-2", LITTLE, 0)
    assert found.path_ns == pytest.approx(8.5)
    assert found.planned_mhz == int(1000 / 8.5 / 1.15) == 102
    assert found.basis == "estimate 118 MHz ÷ 1.15, not routed by the vendor's tool"
    assert found.limit == "8.5 ns, a → b (9 LUTs and 2 carry blocks), of the recorded engine small"
    assert estimate_clock("xcup", "xck26-sfvc784-2LV-c", LITTLE, 0).path_ns == pytest.approx(6.0)


def test_the_record_has_every_tile_on_every_fabric() -> None:
    for key in ("xc7/artix", "xc7/kintex", "xcup/ultrascale_plus"):
        tiles = {engine.tile for engine in clock_record().engines if key in engine.paths}
        assert {0, 2} <= tiles, key


def test_larger_tiles_are_never_faster() -> None:
    for name in ("pynq-z2", "zc706", "kv260"):
        clocks = [load_board(name).with_tile(tile).clock_mhz for tile in (0, 2, 4)]
        assert clocks == sorted(clocks, reverse=True)
