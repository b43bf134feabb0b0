"""Calibration of two small networks on the integer outputs of their units."""

from __future__ import annotations

import numpy as np
import pytest

from quant.cascade.calibrate import CalibrationOptions, calibrate
from toolflow.interpreter.run import logits_of
from toolflow.ir.quantised import QuantisedGraph, QuantisedNode, TensorType
from toolflow.numerics.confidence import ALWAYS, NEVER, ConfidenceRule, evaluate
from toolflow.numerics.requantise import Requantise
from toolflow.numerics.types import IntegerType
from toolflow.operators import Flatten, Linear

CLASSES = 5


def network(variant: str, bits: int, classes: int = CLASSES, height: int = 3) -> QuantisedGraph:
    """One fully connected layer on (2, height, 4) images, its weights cut to `bits`."""
    full = np.random.default_rng(1).integers(-128, 128, (classes, 2 * height * 4))
    weight = np.rint(full / 2 ** (8 - bits)).clip(-(1 << bits - 1), (1 << bits - 1) - 1).astype(np.int64)
    ones = np.ones(classes, dtype=np.int64)
    scale = 2.0 ** (-4 - bits)
    return QuantisedGraph(
        name="small",
        variant=variant,
        family="fixed-point",
        input_name="image",
        input_shape=(2, height, 4),
        input_table=np.tile(np.arange(256) // 4, (2, 1)).astype(np.int64),
        nodes=(
            QuantisedNode("flat", Flatten(), ("image",)),
            QuantisedNode(
                "logits",
                Linear(),
                ("flat",),
                {"weight": weight},
                Requantise(0 * ones, ones, 3 * ones, -32768, 32767),
                bits,
            ),
        ),
        output="logits",
        types={
            "image": TensorType(IntegerType(8, signed=True), 1.0),
            "flat": TensorType(IntegerType(8, signed=True), 1.0),
            "logits": TensorType(IntegerType(16, signed=True), scale),
        },
    )


IMAGES = np.random.default_rng(2).integers(0, 256, (600, 3, 4, 2), dtype=np.uint8)


def test_two_units_answer_as_their_layers_do() -> None:
    low, high = network("low", 3), network("high", 8)
    done: list[int] = []
    logits = {graph.variant: logits_of(graph, IMAGES, done.append) for graph in (low, high)}
    assert sum(done) == 2 * len(IMAGES)
    table = low.input_table
    flat = np.stack([table[c][IMAGES[..., c]] for c in range(2)], axis=1).reshape(600, -1)
    for graph in (low, high):
        exact = flat @ graph.nodes[1].weights["weight"].T
        assert (logits[graph.variant] == [[round(value / 8) for value in row] for row in exact.tolist()]).all()
    scale = low.types["logits"].scale
    calibration = calibrate(logits["low"], logits["high"], None, scale, CalibrationOptions(tolerance=0.02))
    assert 0 < calibration.measure.forwarded < 600
    kept = evaluate(logits["low"], calibration.rule)
    assert (~kept.confident).sum() == calibration.measure.forwarded
    wrong = kept.confident & (kept.klass != logits["high"].argmax(axis=1))
    assert wrong.sum() == calibration.measure.lost <= 12


def test_no_images_have_no_logits() -> None:
    assert logits_of(network("low", 3), IMAGES[:0]).shape == (0, CLASSES)


@pytest.mark.parametrize("threshold", [ALWAYS, NEVER])
def test_all_and_none_are_accepted(threshold: int) -> None:
    logits = logits_of(network("low", 3), IMAGES[:40])
    found = evaluate(logits, ConfidenceRule(1000, 1, 2, threshold))
    assert (found.klass == logits.argmax(axis=1)).all()
    assert found.confident.all() == (threshold == ALWAYS)
    assert found.confident.any() == (threshold == ALWAYS)
