"""How weights may be stored, and what may stand behind the scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from tests.unit.importers.import_tools import (
    assert_close,
    onnx_model,
    random_array,
    run_graph,
    run_module,
    run_onnx,
    saved,
)
from toolflow.importers.onnx.importer import import_onnx
from toolflow.importers.pytorch.importer import import_module
from toolflow.ir.errors import UnsupportedModelError

node = helper.make_node
X = random_array(2, 3, 9, 8)
HALF = (0.2 * random_array(3, 3, 3, 3)).astype(np.float16)
END = [node("GlobalAveragePool", ["e"], ["p"]), node("Flatten", ["p"], ["y"])]


def test_a_file_in_half_precision_with_shared_weights(tmp_path: Path) -> None:
    nodes = [node("Conv", ["x", "w"], ["a"]), node("Relu", ["a"], ["b"]), node("Conv", ["b", "w"], ["e"]), *END]
    model = onnx_model(nodes, {"w": HALF}, ("N", 3, 9, 8), kind=TensorProto.FLOAT16)
    found = run_graph(import_onnx(saved(model, tmp_path)), X)
    np.testing.assert_allclose(found, run_onnx(model, X.astype(np.float16)), atol=2e-3)


def test_half_weights_in_a_file_of_floats(tmp_path: Path) -> None:
    nodes = [
        node("Cast", ["w"], ["f"], to=1),
        node("CastLike", ["half", "x"], ["two"]),
        node("Conv", ["x", "f"], ["a"]),
        node("Mul", ["a", "two"], ["e"]),
        *END,
    ]
    model = onnx_model(nodes, {"w": HALF, "half": np.array(2, np.float16)}, ("N", 3, 9, 8))
    assert_close(run_graph(import_onnx(saved(model, tmp_path)), X), run_onnx(model, X))


class Twice(nn.Module):
    """One layer that is called twice; what stands at the end is given."""

    def __init__(self, end: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.conv, self.end = nn.Conv2d(3, 3, 3), end

    def forward(self, x: Tensor) -> object:
        return self.end(self.conv(self.conv(x).relu()).mean((2, 3)))


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_a_module_of_any_precision_with_a_shared_layer(kind: torch.dtype) -> None:
    module = Twice(lambda x: x).to(kind)
    assert_close(run_graph(import_module(module, (3, 9, 8)), X), run_module(module, X))


@pytest.mark.parametrize(
    ("end", "output"),
    [
        (lambda x: x.argmax(1), None),
        (lambda x: x.softmax(1).argmax(-1, keepdim=True), None),
        (lambda x: x.max(1)[1], None),
        (lambda x: x.topk(2, 1), "1"),
        (lambda x: x.log_softmax(1).topk(2)[0], None),
    ],
)
def test_a_decision_at_the_end_is_left_out(
    end: Callable[[Tensor], object], output: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    module = Twice(end)
    graph = import_module(module, (3, 9, 8), output=output)
    module.end = lambda x: x
    assert_close(run_graph(graph, X), run_module(module, X))
    assert "is left out: the device answers with the class" in caplog.text


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (lambda x: x.argmax(), "a decision"),
        (lambda x: x + x.max(1, keepdim=True)[0], "a decision"),
        (lambda x: x.topk(1, 1, largest=False)[1], "largest = False"),
    ],
)
def test_a_decision_elsewhere_is_refused(end: Callable[[Tensor], object], text: str) -> None:
    with pytest.raises(UnsupportedModelError, match=text):
        import_module(Twice(end), (3, 9, 8))
