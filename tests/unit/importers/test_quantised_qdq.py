"""Files with QuantizeLinear and DequantizeLinear give the integers of onnxruntime without its optimiser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from tests.unit.importers.quantised_models import PIXELS, Qonnx, lowered
from toolflow.importers.load import is_quantised_file
from toolflow.interpreter.run import run
from toolflow.ir.errors import ToolflowError


class Qdq(Qonnx):
    """Builds a QDQ or QCDQ file."""

    def integers(self, value: Any, kind: type) -> str:
        """Store constant integers."""
        name = self.constant(0)
        self.constants[name] = np.asarray(value, kind)
        return name

    def linear(
        self, x: str, scale: float, kind: type = np.int8, zero: int = 0, clip: tuple[int, int] | None = None
    ) -> str:
        """Quantise and dequantise."""
        grid = [self.constant(scale), self.integers(zero, kind)]
        x = self.node("QuantizeLinear", x, *grid)
        if clip is not None:
            x = self.node("Clip", x, *[self.integers(bound, kind) for bound in clip])
        return self.node("DequantizeLinear", x, *grid)

    def stored_conv(self, x: str, outputs: int, channels: int, x_scale: float, step: int = 1) -> str:
        """Convolve with stored integers, one scale for each output channel, and a bias of 32 bits."""
        rng = np.random.default_rng(2)
        scales = 2.0 ** -rng.integers(5, 8, outputs)
        weight = self.node(
            "DequantizeLinear", self.integers(rng.integers(-127, 128, (outputs, channels, 3, 3)), np.int8),
            self.constant(scales), self.integers(np.zeros(outputs), np.int8), axis=0,
        )  # fmt: skip
        bias = self.node(
            "DequantizeLinear", self.integers(rng.integers(-999, 999, outputs), np.int32),
            self.constant(scales * x_scale / step), self.integers(np.zeros(outputs), np.int32), axis=0,
        )  # fmt: skip
        return self.node("Conv", x, weight, bias, pads=[1, 1, 1, 1])


def _network(net: Qdq, scale: float = 1 / 128) -> str:
    x = net.linear("x", scale, np.uint8, zero=128)
    y = net.linear(net.node("Relu", net.stored_conv(x, 4, 2, scale)), 1 / 16, np.uint8, clip=(0, 15))
    z = net.linear(net.stored_conv(y, 4, 4, 1 / 16), 1 / 4)
    z = net.linear(net.node("Add", y, z), 1 / 2)
    return net.linear(net.node("MaxPool", z, kernel_shape=[3, 3], strides=[3, 3]), 2.0)


def test_integers_equal_onnxruntime(tmp_path: Path) -> None:
    net = Qdq()
    path = net.saved(_network(net), tmp_path)
    assert is_quantised_file(str(path))
    images = np.random.default_rng(0).integers(0, 256, (64, 6, 6, 2)).astype(np.uint8)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options)
    x = PIXELS[0][images].transpose(0, 3, 1, 2).astype(np.float32)
    expected = np.concatenate([session.run(None, {"x": image[None]})[0] for image in x])
    made = lowered(path).graph
    found = run(made, images)[made.output] * made.types[made.output].scale
    assert np.array_equal(found, expected)
    assert len(np.unique(expected)) > 8


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda net: _network(net, 0.01), "scale = [0.009999999776482582] is not handled, allowed: powers of two"),
        (
            lambda net: net.linear(net.stored_conv(net.linear("x", 1 / 128), 4, 2, 1 / 128, step=3), 1 / 16),
            "scale = [",
        ),
        (
            lambda net: net.linear(net.stored_conv(net.linear("x", 1 / 128), 4, 2, 1 / 128, step=4), 1 / 16),
            "rounds sums that float32 does not hold exactly",
        ),
        (
            lambda net: net.linear(net.stored_conv(net.linear("x", 1 / 128, np.uint8, zero=60), 4, 2, 1 / 128), 1 / 16),
            "tensor 'x' must have at most 8 bits, not 9",
        ),
        (
            lambda net: net.node("Relu", net.node("QuantizeLinear", "x", net.constant(0.5))),
            "integers of QuantizeLinear",
        ),
    ],
)
def test_what_float32_would_decide_is_refused(build: Any, text: str, tmp_path: Path) -> None:
    net = Qdq()
    path = net.saved(build(net), tmp_path)
    with pytest.raises(ToolflowError) as error:
        lowered(path)
    assert text in str(error.value)
