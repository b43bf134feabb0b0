"""The emitted C++, built by g++, equals the reference bit for bit: every operator's cases on every engine shape."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from tests.conformance.engine_shapes import SHAPES
from toolflow.emit.hls_native import build_native, run_native
from toolflow.engine.config import FITTED, EngineConfig
from toolflow.interpreter.run import run
from toolflow.ir.quantised import QuantisedGraph
from toolflow.operators.cases import cases_of
from toolflow.plan.lower.lower import compile_program, fit_depths

IMAGES = 3


def graphs_and_images(shape: EngineConfig) -> dict[str, tuple[QuantisedGraph, np.ndarray]]:
    """Return every case's network at the shape's widths, every second one all extremes."""
    made = {}
    for number, (name, case) in enumerate(cases_of(shape).items()):
        seed = zlib.crc32(name.encode())
        builder, output = case.build(shape.weight_bits, shape.activation_bits, seed, number % 2 == 0)
        made[name] = builder.build(output), builder.images(IMAGES)
    return made


@pytest.mark.parametrize("shape", SHAPES)
def test_hls_equals_reference(shape: str, tmp_path: Path) -> None:
    """Logits and every traced map, of all cases, on one engine that is large enough for each."""
    cases = graphs_and_images(SHAPES[shape])
    fitted = [fit_depths(graph, SHAPES[shape]) for graph, _ in cases.values()]
    config = SHAPES[shape].model_copy(update={field: max(getattr(fit, field) for fit in fitted) for field in FITTED})
    binary = build_native(tmp_path, config, "single")
    for name, (graph, images) in cases.items():
        places = compile_program(graph, config).memory.places
        traced = [
            node.name
            for node in graph.nodes
            if node.name in places and node.op.kind not in ("flatten", "shortcut", "concat")
        ]
        compiled = compile_program(graph, config, trace=traced, trace_images=IMAGES)
        error, raw = run_native(
            binary,
            compiled.program,
            compiled.weights,
            compiled.pack_images(images),
            IMAGES,
            compiled.result_bytes(IMAGES),
        )
        assert error == 0, name
        reference = run(graph, images, keep=traced)
        for tensor in traced:
            expected = reference[tensor].reshape(
                IMAGES, reference[tensor].shape[1], *(reference[tensor].shape[2:] or (1, 1))
            )
            found = compiled.unpack_trace(raw, tensor, IMAGES)
            np.testing.assert_array_equal(found, expected, err_msg=f"{name}: {tensor}")
        results = compiled.unpack_results(raw, IMAGES)
        np.testing.assert_array_equal(results.logits, reference[graph.output], err_msg=name)
        channels_last = np.moveaxis(reference[graph.output], 1, -1).reshape(IMAGES, -1)  # the engine's order
        np.testing.assert_array_equal(results.klass, channels_last.argmax(axis=1))
