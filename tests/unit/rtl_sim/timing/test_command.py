"""The command line of the timing estimate, and a module that is synthesised."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from rtl_sim.timing.__main__ import main

ENGINE = ("--engine", "lanes_k=4,lanes_p=1,bus_bits=64")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "one of --family and --part must be given"),
        (("--family", "ecp5"), "timing of ECP5 is not estimated: nextpnr-ecp5 places and routes the unit"),
        (("--family", "versal"), "timing is estimated for the families xc7 and xcup, not for versal"),
        (("--family", "xc7", "--grade", "9"), "the speed grade of xc7 must be one of 1, 1L, 2, 2L, 3, not 9"),
        (("--family", "xc7", "--engine", "lanes"), "--engine must hold NAME=VALUE, not 'lanes'"),
        (("--family", "xc7", "--engine", "lanes_k=0"), "--engine: lanes_k: Input should be greater than or equal to 1"),
        (
            ("--family", "xc7", "-G", "A=1"),
            "-G sets parameters of the module that --top names; --engine those of the unit",
        ),
        (("--family", "xc7", "--top", "cascade_nothing"), "rtl_sim/rtl holds no module cascade_nothing"),
    ],
)
def test_a_mistake_is_named(arguments: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(list(arguments)) == 2
    assert f"error: {text}" in capsys.readouterr().err


def test_a_missing_pyosys_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["--family", "xc7", "--top", "cascade_exponent", *ENGINE]) == 2
    assert "pyosys is not installed: pip install 'cascade-toolflow[synthesis]'" in capsys.readouterr().err


def test_a_module_is_synthesised_once_and_its_path_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyosys", reason="needs pyosys")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    shown = []
    for _ in range(2):
        assert main(["--family", "xc7", "--top", "cascade_exponent", *ENGINE, "--modules"]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]
    assert len(list(tmp_path.rglob("*.json.gz"))) == 1
    ns, mhz, planned = re.findall(r"[\d.]+", shown[0].splitlines()[0])[:3]
    assert 1 < float(ns) < 20
    assert int(mhz) == pytest.approx(1000 / float(ns), rel=0.005)  # both are printed rounded
    assert int(planned) == pytest.approx(1000 / float(ns) / 1.15, abs=1)
    assert re.search(r"fraction\[\d+\] → value\[\d+\]", shown[0])
    assert "worst path that ends in each module" in shown[0]
    assert re.search(r"FDRE +value\[\d+\]", shown[0])
