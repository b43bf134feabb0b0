"""A cascade of two small networks, run as the device does and image by image."""

from __future__ import annotations

import numpy as np
import pytest

from quant.calibrate import CalibrationOptions, calibrate
from quant.cascade import answer, check_pair, pair_logits
from toolflow.ir.errors import ToolflowError
from toolflow.ir.quantised import QuantisedGraph, QuantisedNode, TensorType
from toolflow.numerics.confidence import ALWAYS, NEVER, ConfidenceRule
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


def test_pair_and_answers() -> None:
    low, high = network("low", 3), network("high", 8)
    done: list[int] = []
    pair = pair_logits(low, high, IMAGES, done.append)
    assert sum(done) == 2 * len(IMAGES)
    table = low.input_table
    flat = np.stack([table[c][IMAGES[..., c]] for c in range(2)], axis=1).reshape(600, -1)
    for logits, graph in ((pair.low, low), (pair.high, high)):
        exact = flat @ graph.nodes[1].weights["weight"].T
        assert (logits == [[round(value / 8) for value in row] for row in exact.tolist()]).all()
    assert pair.logit_scale == 2.0**-7
    calibration = calibrate(pair.low, pair.high, None, pair.logit_scale, CalibrationOptions(tolerance=0.02))
    assert 0 < calibration.measure.forwarded < 600
    found = answer(low, high, calibration.rule, IMAGES)
    assert found.forwarded.sum() == calibration.measure.forwarded
    expected = np.where(found.forwarded, pair.high.argmax(axis=1), pair.low.argmax(axis=1))
    assert (found.klass == expected).all()
    assert (found.klass != pair.high.argmax(axis=1)).sum() == calibration.measure.lost <= 12


def test_all_and_none_are_forwarded() -> None:
    low, high = network("low", 3), network("high", 8)
    pair = pair_logits(low, high, IMAGES[:40])
    for threshold, logits in ((ALWAYS, pair.low), (NEVER, pair.high)):
        found = answer(low, high, ConfidenceRule(1000, 1, 2, threshold), IMAGES[:40])
        assert (found.klass == logits.argmax(axis=1)).all()
        assert found.forwarded.all() == (threshold == NEVER)


def test_units_that_do_not_match() -> None:
    with pytest.raises(ToolflowError, match="both units must give the same classes, not 5 and 4"):
        check_pair(network("low", 3), network("high", 8, classes=4))
    with pytest.raises(ToolflowError, match=r"both units must take the same images, not \(2, 3, 4\) \('small', low\)"):
        check_pair(network("low", 3), network("high", 8, height=4))
