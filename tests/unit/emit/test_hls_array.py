"""The array of the HLS library against plain products: packed, chained, and all extremes of its operands."""

from __future__ import annotations

import subprocess
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from toolflow.emit.hls import emit_hls
from toolflow.emit.hls_native import EXACT_TYPES, FLAGS, ap_types_folder
from toolflow.engine.config import EngineConfig

SOURCE = Path(__file__).parent / "hls_array.cpp"


def engine(slots: int, **values: object) -> EngineConfig:
    """Return a small engine of 2 × 2 sums whose words have as many elements as there are slots."""
    shape = {"lanes_k": 2, "lanes_p": 2, "sub_row": slots, "input_lanes": 1, "bus_bits": 64, "gather": False}
    return EngineConfig.model_validate({**shape, "slots": slots, **values})


FOUR = {"weight_bits": 4, "activation_bits": 4}
FIVE = {"weight_bits": 5, "activation_bits": 5}
ENGINES = {
    "inferred": engine(2),
    "position pairs": engine(4, dsp_primitive="dsp48e2", pack_p=2, chain=4),
    "weight pairs": engine(8, dsp_primitive="dsp48e2", pack_k=2, chain=8),
    "pairs of DSP48E1": engine(4, dsp_primitive="dsp48e1", pack_k=2, chain=2),
    "quads": engine(8, dsp_primitive="dsp48e2", pack_k=2, pack_p=2, chain=8, **FOUR),
    "quads of DSP48E1": engine(4, dsp_primitive="dsp48e1", pack_k=2, pack_p=2, chain=4, **FOUR),
    "tile": engine(2, tile=2, dsp_primitive="dsp48e2", pack_k=2, chain=2),
    "pairs of MULT18X18D": engine(4, dsp_primitive="mult18x18d", pack_p=2, chain=4, **FIVE),
}
SMALL = engine(1, dsp_primitive="dsp48e1", pack_k=2, pack_p=2, **FOUR)


def build(config: EngineConfig, folder: Path, exact: bool, old: str = "", new: str = "") -> Path:
    """Build the array of an engine, with a text of its header replaced."""
    emit_hls(config, "packed", folder)
    if old:
        header = folder / "cascade_packed.hpp"
        text = header.read_text(encoding="utf-8")
        assert text.count(old) == 1
        header.write_text(text.replace(old, new), encoding="utf-8")
    names = ['-DUNIT="cascade_packed.hpp"', "-DCONFIG=CascadePackedConfig", *([EXACT_TYPES] if exact else [])]
    command = ["g++", *FLAGS, *names, f"-I{ap_types_folder()}", f"-I{folder}", str(SOURCE), "-o", str(folder / "array")]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (built.returncode, built.stderr) == (0, "")
    return folder / "array"


def wrong(config: EngineConfig, binary: Path, weights: npt.NDArray[np.int32], operands: npt.NDArray[np.int32]) -> int:
    """Return how many records differ: weights (n, lanes_k, slots) and operands (n, lanes_p, sub_row).

    Of an engine with two precisions `config` is one of them; operands of a wide program's other lanes are 77.
    """
    n, lanes = len(weights), config.built.lanes_p
    every = np.full((n, lanes, config.sub_row), 77)
    every[:, : config.lanes_p] = operands
    records = np.concatenate([weights.reshape(n, -1), every.reshape(n, -1)], axis=1).astype("<i4")
    command = [str(binary), *(["narrow"] if config.narrow else [])]
    raw = subprocess.run(command, input=records.tobytes(), capture_output=True, check=True).stdout
    found = np.frombuffer(raw, dtype="<i4").reshape(n, lanes, config.lanes_k)[:, : config.lanes_p]
    wanted = np.einsum("nks,nps->npk", weights.astype(np.int64), operands.astype(np.int64))
    return int((found != wanted).any(axis=(1, 2)).sum())


def extremes(config: EngineConfig, count: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return the ends of both ranges in every combination of channels and lanes, alike in all slots, then at random."""
    weight, operand = config.packing.weights, config.packing.operands
    ends = (
        np.array(list(product((weight.lower, weight.upper), repeat=2))),
        np.array(list(product((operand.lower, operand.upper, 0), repeat=2))),
    )
    pairs = list(product(ends[0], ends[1]))
    rng = np.random.default_rng(1)
    alike = np.array([np.repeat(w[:, None], config.slots, 1) for w, _ in pairs])
    alike_operands = np.array([np.repeat(a[:, None], config.slots, 1) for _, a in pairs])
    mixed = rng.choice([weight.lower, weight.upper], (count, 2, config.slots))
    mixed_operands = rng.choice([operand.lower, operand.upper], (count, 2, config.slots))
    drawn = rng.integers(weight.lower, weight.upper + 1, (count, 2, config.slots))
    drawn_operands = rng.integers(operand.lower, operand.upper + 1, (count, 2, config.slots))
    return np.concatenate([alike, mixed, drawn]), np.concatenate([alike_operands, mixed_operands, drawn_operands])


@pytest.mark.parametrize("name", ENGINES)
def test_packed_products_are_those_products(name: str, tmp_path: Path) -> None:
    config = ENGINES[name]
    assert wrong(config, build(config, tmp_path, exact=False), *extremes(config, 20_000)) == 0


@pytest.mark.parametrize(("primitive", "chain"), [("dsp48e1", 1), ("dsp48e1", 2), ("dsp48e2", 4), ("dsp48e2", 8)])
def test_both_precisions_in_one_array(primitive: str, chain: int, tmp_path: Path) -> None:
    """Two lanes of 8 bits and four of 4 bits, in the same blocks: every extreme of both."""
    config = engine(min(2 * chain, 8), lanes_p=4, narrow_bits=4, dsp_primitive=primitive, pack_k=2, chain=chain)
    binary = build(config, tmp_path, exact=chain == 2)
    for seen in config.precisions:
        weights, operands = extremes(seen, 300 if chain == 2 else 5_000)
        # a block takes lanes p and p + 2
        lanes = operands[:, [0, 0, 1, 1]] if seen.narrow else operands
        assert wrong(seen, binary, weights, lanes) == 0


@pytest.mark.parametrize("name", ["quads", "tile"])
def test_the_widths_of_the_synthesis_give_the_same_bits(name: str, tmp_path: Path) -> None:
    config = ENGINES[name]
    assert wrong(config, build(config, tmp_path, exact=True), *extremes(config, 500)) == 0


def test_every_quad_of_four_bits(tmp_path: Path) -> None:
    weights, operands = range(-8, 8), range(-8, 16)
    every = np.array(list(product(weights, weights, operands, operands)), dtype=np.int32)
    assert wrong(SMALL, build(SMALL, tmp_path, exact=False), every[:, :2, None], every[:, 2:, None]) == 0


def test_a_field_that_is_a_bit_too_narrow_is_seen(tmp_path: Path) -> None:
    config = ENGINES["position pairs"]
    binary = build(config, tmp_path, False, "int operand_step = 18;", "int operand_step = 17;")
    assert wrong(config, binary, *extremes(config, 100)) > 0


def test_a_field_of_narrow_programs_that_is_a_bit_too_narrow_is_seen(tmp_path: Path) -> None:
    config = engine(8, narrow_bits=4, dsp_primitive="dsp48e2", pack_k=2, chain=8)
    binary = build(config, tmp_path, False, "narrow_operand_step = 11;", "narrow_operand_step = 10;")
    wide, narrow = config.precisions
    weights, operands = extremes(wide, 100)
    assert wrong(wide, binary, weights, operands[:, :1]) == 0
    assert wrong(narrow, binary, *extremes(narrow, 100)) > 0
