"""The conformance matrix: the cases of every operator, on every engine shape, with random and with extreme data.

It is built once for each engine shape and level; the end of a run says how much of it was compared (`part.py`).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tests.conformance.cases import cases_of
from toolflow.engine.config import EngineConfig
from toolflow.interpreter.run import run
from toolflow.ir.quantised import QuantisedGraph
from toolflow.plan.lower.compiled import CompiledProgram
from toolflow.plan.lower.lower import compile_program

IMAGES = 3
DATA = {"random": False, "extreme": True}

Execute = Callable[[CompiledProgram, bytes, int], bytes]
"""Executes a compiled program on packed images, and returns the results' bytes; it raises where the engine reports."""


@dataclass(frozen=True)
class Network:
    """One network of the matrix, and images for it.

    Attributes:
        case: "operator/case".
        data: "random" or "extreme".
        graph: the integers.
        images: uint8 (N, H, W, C).
    """

    case: str
    data: str
    graph: QuantisedGraph
    images: npt.NDArray[np.uint8]


def networks(shape: str, config: EngineConfig, cases: Iterable[tuple[str, str]]) -> Iterator[Network]:
    """Build the networks of `cases`, pairs of a case and its data, at an engine's widths."""
    every = cases_of(config)
    for case, data in cases:
        seed = zlib.crc32(f"{case}/{shape}".encode())
        builder, output = every[case].build(config.weight_bits, config.activation_bits, seed, DATA[data])
        yield Network(case, data, builder.build(output), builder.images(IMAGES))


def compare(network: Network, config: EngineConfig, execute: Execute) -> None:
    """Run a network and compare every map that the engine writes, its results and its classes with the reference."""
    graph, what = network.graph, f"{network.case}, {network.data}"
    traceable = compile_program(graph, config).schedule.traceable
    traced = [node.name for node in graph.nodes if node.name in traceable]
    compiled = compile_program(graph, config, trace=traced, trace_images=IMAGES)
    raw = execute(compiled, compiled.pack_images(network.images), IMAGES)
    reference = run(graph, network.images, keep=traced)
    for tensor in traced:
        found = compiled.unpack_trace(raw, tensor, IMAGES)
        np.testing.assert_array_equal(found, reference[tensor].reshape(found.shape), err_msg=f"{what}: {tensor}")
    results = compiled.unpack_results(raw, IMAGES)
    np.testing.assert_array_equal(results.logits, reference[graph.output], err_msg=what)
    channels_last = np.moveaxis(reference[graph.output], 1, -1).reshape(IMAGES, -1)  # the engine's order
    np.testing.assert_array_equal(results.klass, channels_last.argmax(axis=1), err_msg=what)
