"""Tiles whose accumulators reach the largest value that their weights allow, on engines of exactly this width."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtl_sim.simulate.executors import NativeExecutor, SimulationExecutor
from rtl_sim.simulate.job import RunOptions
from rtl_sim.verify import ProgramExecutor, Unit, verify_level
from tests.conformance.casebook import RESULT
from toolflow.emit.hls import emit_hls
from toolflow.emit.rtl import emit_rtl
from toolflow.engine.config import EngineConfig
from toolflow.engine.executor import run_program
from toolflow.engine.program import decode_program, encode_program
from toolflow.ir.errors import DoesNotFitError
from toolflow.ir.quantised import QuantisedGraph, QuantisedNode, TensorType
from toolflow.ir.unit import UnitName
from toolflow.numerics.requantise import Requantise
from toolflow.numerics.types import IntegerType
from toolflow.numerics.winograd import MAX_EXPONENT, WINOGRAD, effective_kernels, output_bits
from toolflow.operators import Flatten, Linear, WinogradConv
from toolflow.plan.lower.lower import compile_program
from toolflow.plan.schedule.needs import fit_depths

PIXEL = IntegerType(8, signed=False)
CHANNELS, OUTPUTS = 8, 4
EXPONENT = {2: MAX_EXPONENT, 4: 5}  # with the latter 40 bits, the most that an engine has


def at_the_bound(tile: int, seed: int) -> tuple[QuantisedGraph, np.ndarray, int]:
    """Return a tile of extreme weights, the image that brings an accumulator to its bound, and the bound's width."""
    form, rng = WINOGRAD[tile], np.random.default_rng(seed)
    weight = rng.choice(np.array([-128, 127]), (OUTPUTS, CHANNELS, form.taps, form.taps))
    exponent = np.full((form.taps, form.taps), EXPONENT[tile])
    bits = output_bits(form, weight, exponent, PIXEL)
    kernels = np.stack(list(effective_kernels(form, weight, exponent)))  # (m·m, K, C, t, t)
    sums = np.stack([np.where(sign * kernels > 0, np.abs(kernels), 0).sum((2, 3, 4)) for sign in (1, -1)])
    sign, output, k = np.unravel_index(int(sums.argmax()), sums.shape)
    image = np.where((1, -1)[sign] * kernels[output, k] > 0, PIXEL.upper, 0).astype(np.uint8)
    assert int(sums.max()) * PIXEL.upper >= 1 << bits - 2  # the top bit below the sign's is used
    bias, multiplier, shift = (np.full(OUTPUTS, value) for value in (0, 1, bits - 8))
    rule = Requantise(bias, multiplier, shift, -128, 127)
    tiled = QuantisedNode(
        "tile", WinogradConv(tile, (0, 0, 0, 0)), ("image",), {"weight": weight, "exponent": exponent}, rule, 8
    )
    ones, zeros = np.ones(2, np.int64), np.zeros(2, np.int64)
    logits = QuantisedNode(
        "logits", Linear(), ("flat",), {"weight": rng.integers(1, 8, (2, OUTPUTS * tile * tile))},
        Requantise(zeros, ones, zeros, RESULT.lower, RESULT.upper), 8,
    )  # fmt: skip
    inner = TensorType(IntegerType(8, signed=True), 1.0)
    types = {"image": TensorType(PIXEL, 1.0), "tile": inner, "flat": inner, "logits": TensorType(RESULT, 1.0)}
    table = np.broadcast_to(np.arange(256, dtype=np.int64), (CHANNELS, 256))
    nodes = (tiled, QuantisedNode("flat", Flatten(), ("tile",)), logits)
    shape = CHANNELS, form.taps, form.taps
    graph = QuantisedGraph("bound", "single", "multiplier", "image", shape, table, nodes, "logits", types)
    return graph, image.transpose(1, 2, 0)[None], bits


def engine(graph: QuantisedGraph, tile: int) -> EngineConfig:
    return fit_depths(graph, EngineConfig.model_validate({"lanes_k": 4, "lanes_p": 1, "drain_k": 2, "tile": tile}))


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize("seed", range(3))
def test_program(tile: int, seed: int) -> None:
    """Every bit is needed: an engine with one bit less gives another result."""
    graph, images, bits = at_the_bound(tile, seed)
    config = engine(graph, tile)
    assert config.accumulator_bits == bits
    assert verify_level(Unit(UnitName.SINGLE, graph, config), ProgramExecutor(), images).equal
    narrow = config.model_copy(update={"accumulator_bits": bits - 1})
    with pytest.raises(DoesNotFitError, match=f"accumulator_bits must be at least {bits}, not {bits - 1}"):
        compile_program(graph, narrow)
    compiled = compile_program(graph, config)
    header, instructions = decode_program(compiled.program)
    code = encode_program(replace(header, signature=narrow.signature), instructions, b"", 4)
    program = code + compiled.program[len(code) :]
    packed = compiled.pack_images(images)
    wide = run_program(config, compiled.program, compiled.weights, packed, 1)
    assert run_program(narrow, program, compiled.weights, packed, 1) != wide


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize("level", ["hls", "rtl"])
def test_engines(tile: int, level: str, tmp_path: Path) -> None:
    graph, images, _ = at_the_bound(tile, 0)
    config = engine(graph, tile)
    sources = tmp_path / "sources"
    if level == "hls":
        emit_hls(config, "single", sources)
        native = NativeExecutor(sources, tmp_path / "work")
        assert verify_level(Unit(UnitName.SINGLE, graph, config), native, images).equal
    else:
        emit_rtl(config, "single", sources)
        simulated = SimulationExecutor("rtl", sources, tmp_path / "work", RunOptions(seed=1, stall_probability=0.2))
        assert verify_level(Unit(UnitName.SINGLE, graph, config), simulated, images).equal
