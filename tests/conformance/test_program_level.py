"""The numpy executor of the compiled program equals the reference, bit for bit, in every map."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from tests.conformance.engine_shapes import SHAPES, SWEPT
from toolflow.engine.config import EngineConfig
from toolflow.engine.executor import run_program
from toolflow.interpreter.run import run
from toolflow.operators.cases import cases_of, sweep_of
from toolflow.plan.lower.lower import compile_program, fit_depths

IMAGES = 3
EXTREME = pytest.mark.parametrize("extreme", [False, True], ids=["random", "extreme"])


@EXTREME
@pytest.mark.parametrize(("shape", "name"), [(shape, name) for shape in SHAPES for name in cases_of(SHAPES[shape])])
def test_program_equals_reference(name: str, shape: str, extreme: bool) -> None:
    """Logits and every traced map are the reference's integers."""
    check(SHAPES[shape], shape, name, extreme)


@pytest.mark.long
@EXTREME
@pytest.mark.parametrize(("shape", "name"), [(shape, name) for shape in SWEPT for name in sweep_of(SWEPT[shape])])
def test_swept_modes_equal_reference(name: str, shape: str, extreme: bool) -> None:
    """Every mode × n × S × width of weights × width of multipliers."""
    check(SWEPT[shape], shape, name, extreme)


def check(config: EngineConfig, shape: str, name: str, extreme: bool) -> None:
    """Run one case's network in both and compare."""
    seed = zlib.crc32(f"{name}/{shape}".encode())
    builder, output = cases_of(config)[name].build(config.weight_bits, config.activation_bits, seed, extreme)
    graph = builder.build(output)
    images = builder.images(IMAGES)
    config = fit_depths(graph, config)
    places = compile_program(graph, config).memory.places
    traced = [
        node.name
        for node in graph.nodes
        if node.name in places and node.op.kind not in ("flatten", "shortcut", "concat")
    ]
    compiled = compile_program(graph, config, trace=traced, trace_images=IMAGES)
    raw = run_program(config, compiled.program, compiled.weights, compiled.pack_images(images), IMAGES)
    reference = run(graph, images, keep=traced)
    for tensor in traced:
        expected = reference[tensor].reshape(
            IMAGES, reference[tensor].shape[1], *(reference[tensor].shape[2:] or (1, 1))
        )
        np.testing.assert_array_equal(
            compiled.unpack_trace(raw, tensor, IMAGES), expected, err_msg=f"{tensor}, seed {seed}"
        )
    results = compiled.unpack_results(raw, IMAGES)
    np.testing.assert_array_equal(results.logits, reference[output])
    channels_last = np.moveaxis(reference[output], 1, -1).reshape(IMAGES, -1)  # the engine's order
    np.testing.assert_array_equal(results.klass, channels_last.argmax(axis=1))
