"""Striped programs: the rows of one image in all lanes, every map and result against the integer reference."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from tests.conformance.casebook import RESULT, SAME, NetworkBuilder
from tests.conformance.cases import cases_of
from tests.conformance.engine_shapes import SHAPES
from tests.conformance.matrix import networks
from tests.conformance.striped import Choice, striped_schedule
from tests.oracles.engine import Oracle
from toolflow.engine.config import EngineConfig
from toolflow.engine.executor import run_program
from toolflow.interpreter.run import run
from toolflow.ir.quantised import QuantisedGraph
from toolflow.numerics.confidence import ACCEPT_ALL
from toolflow.numerics.srbs import Pattern
from toolflow.numerics.types import IntegerType
from toolflow.operators.avg_pool.spec import AvgPool
from toolflow.operators.max_pool.spec import MaxPool
from toolflow.operators.shortcut.spec import Shortcut
from toolflow.plan.lower.compiled import CompiledProgram
from toolflow.plan.lower.lower import lower
from toolflow.plan.schedule.needs import fitted
from toolflow.plan.schedule.schedule import Schedule

ENGINES = {
    "plain": EngineConfig(lanes_k=4, lanes_p=4, sub_row=4, bus_bits=64, stripes=True, external_maps=True),
    "slots": EngineConfig(
        lanes_k=4, lanes_p=5, slots=4, drain_k=2, sub_row=8, input_lanes=4, tile=4, stripes=True, external_maps=True
    ),
    "digits": EngineConfig(
        lanes_k=6, lanes_p=7, slots=2, sub_row=4, weight_bits=5, activation_bits=4, bus_bits=64, stripes=True,
        external_maps=True,
    ),
    "packed": EngineConfig(
        lanes_k=4, lanes_p=4, slots=4, sub_row=8, dsp_primitive="dsp48e2", pack_k=2, chain=4, gather=False,
        stripes=True, external_maps=True,
    ),
}  # fmt: skip
IMAGES = 2


def residual_network(config: EngineConfig) -> tuple[NetworkBuilder, str]:
    """Convolutions of strides 1 and 2, a signed map into a pool and a convolution, residuals, a sampling shortcut."""
    builder = NetworkBuilder((3, 14, 8), config.weight_bits, config.activation_bits, 8, 1)
    signed = IntegerType(config.activation_bits, signed=True)
    stem = builder.conv("stem", "image", 5, 3, pads=SAME, out=signed, weight_bits=8)
    a = builder.conv("a", stem, 5, 3, pads=SAME, residual=stem)
    pooled = builder.max_pool("pooled", a, MaxPool((3, 3), (2, 2), (1, 1, 1, 1)))
    wide = builder.conv("wide", pooled, 7, 1, out=signed)
    halved = builder.max_pool("halved", wide, MaxPool((3, 3), (1, 1), (1, 1, 1, 1)))
    b = builder.conv("b", halved, 7, 3, pads=SAME, residual=wide)
    small = builder.shortcut("small", b, Shortcut((2, 2), 0, 2 * config.drain_k))
    c = builder.conv("c", b, 7 + 2 * config.drain_k, 3, pads=SAME, stride=(2, 2), residual=small)
    average = builder.avg_pool("average", c, AvgPool((4, 2), (1, 1)))
    return builder, builder.conv("results", average, 3, 1, weight_bits=8, out=RESULT)


def wide_network(config: EngineConfig) -> tuple[NetworkBuilder, str]:
    """Kernels of 5, 1 and 2 rows, dilation, grouped and sparse layers, pads on one side."""
    builder = NetworkBuilder((2, 12, 4), config.weight_bits, config.activation_bits, 8, 2)
    name = builder.conv("first", "image", 6, 5, pads=(2, 2, 2, 2), weight_bits=8)
    name = builder.conv("dilated", name, 6, 3, pads=(2, 2, 2, 2), dilation=(2, 2))
    name = builder.conv("low", name, 6, (2, 1), pads=(0, 0, 1, 0))
    pattern = Pattern(2, config.sub_row) if config.gather else None
    name = builder.conv("sparse", name, 6, 3, pads=SAME, pattern=pattern)
    if config.tile and config.activation_bits == 8:
        name = builder.winograd("two", name, 6, 2, pads=SAME)
        name = builder.winograd("four", name, 6, 4, pads=SAME, residual=name)
    name = builder.conv("last", name, 4, (3, 1), pads=(1, 0, 1, 0), stride=(2, 1))
    return builder, builder.linear(
        "results", builder.flatten("flat", builder.avg_pool("mean", name, AvgPool((6, 4), (1, 1)))), 3, out=RESULT
    )


NETWORKS: dict[str, Callable[[EngineConfig], tuple[NetworkBuilder, str]]] = {
    "residual": residual_network, "wide": wide_network
}  # fmt: skip


@cache
def network(name: str, engine: str) -> tuple[QuantisedGraph, np.ndarray]:
    builder, output = NETWORKS[name](ENGINES[engine])
    return builder.build(output), builder.images(IMAGES)


def compiled_network(name: str, engine: str, choice: Choice) -> tuple[CompiledProgram, int]:
    """Return the program on an engine that is just large enough, and how many layers run in stripes."""
    graph, _ = network(name, engine)
    schedule, count = striped_schedule(graph, ENGINES[engine], choice)
    return compiled_schedule(fitted(schedule)), count


def compiled_schedule(schedule: Schedule) -> CompiledProgram:
    """Return the program, which stores every map that it can."""
    digits = {schedule.load.tensor} if schedule.load.digits > 1 else set()  # not the image's integers
    return lower(schedule.traced(sorted(schedule.traceable - digits), IMAGES), ACCEPT_ALL)


CHOICES = {
    "residual": (Choice(4), Choice(4, loads=False), Choice(4, shifts=False), Choice(8)),
    "wide": (Choice(4), Choice(4, loads=False, shifts=False), Choice(12)),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_map_equals_the_reference(name: str, engine: str) -> None:
    graph, images = network(name, engine)
    for choice in CHOICES[name]:
        compiled, count = compiled_network(name, engine, choice)
        assert count >= 5, f"{choice}: {count} layers in stripes"
        compare(compiled, graph, images, f"{choice}")


def compare(compiled: CompiledProgram, graph: QuantisedGraph, images: np.ndarray, what: str) -> None:
    raw = run_program(compiled.config, compiled.program, compiled.weights, compiled.pack_images(images), IMAGES)
    traced = [*compiled.schedule.stored_maps]
    reference = run(compiled.schedule.graph, images, keep=traced)
    for tensor in traced:
        found = compiled.unpack_trace(raw, tensor, IMAGES)
        np.testing.assert_array_equal(found, reference[tensor].reshape(found.shape), err_msg=f"{what}: {tensor}")
    expected = run(graph, images)[graph.output]
    np.testing.assert_array_equal(compiled.unpack_results(raw, IMAGES).logits, expected, err_msg=what)


@pytest.mark.parametrize(
    ("shape", "every"),
    [("tile_4_slots", 4), *(pytest.param(s, 1, marks=pytest.mark.long) for s in SHAPES if not SHAPES[s].narrow_bits)],
)
def test_cases_of_every_operator_in_stripes(shape: str, every: int) -> None:
    """Every so many of the conformance cases; concats are the planner's."""
    fixed = {"stripes": True, "external_maps": True, "lanes_p": 4, "fabric_lanes": 0}
    engine = EngineConfig(**{**SHAPES[shape].model_dump(), **fixed})
    count = 0
    cases = [case for case in cases_of(engine) if not case.startswith("concat/")][::every]
    for each in networks(shape, engine, ((case, "random") for case in cases)):
        for choice in (Choice(1), Choice(2, shifts=False), Choice(4), Choice(3, loads=False)):
            schedule, layers = striped_schedule(each.graph, engine, choice)
            if layers:
                compiled = compiled_schedule(fitted(schedule))
                compare(compiled, each.graph, each.images[:IMAGES], f"{each.case}, {choice}")
                count += layers
    assert count > 300 // every


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_executor_equals_the_oracle(name: str, engine: str) -> None:
    """In the oracle, words that PROGRAM.md leaves undefined are so: a result that depends on one fails."""
    compiled, _ = compiled_network(name, engine, CHOICES[name][0])
    images = compiled.pack_images(network(name, engine)[1])
    expected = Oracle(compiled.config).run(compiled.program, compiled.weights, images, IMAGES)
    raw = run_program(compiled.config, compiled.program, compiled.weights, images, IMAGES)
    assert not [at for at, byte in expected.items() if byte is not None and byte != raw[at]]
    assert len(expected) == len(raw)
