"""A float graph written as ONNX, against onnxruntime and against the graph that is imported again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import safetensors.numpy
import torch

from quant.exchange.float_onnx import save_onnx, save_weights
from quant.float_network import model_output
from tests.unit.quant.quantise_networks import NETWORKS, Builder
from tests.unit.quant.test_rewrite import normalised_network
from toolflow.importers.load import load_model
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import ChannelMap, Graph, Node
from toolflow.operators import AvgPool, Flatten, WinogradConv
from toolflow.passes.fuse_residual import fuse_residual
from toolflow.passes.pipeline import simplify


def pooled_network() -> Graph:
    b = Builder(7)
    x = b.node("pool", AvgPool((3, 3), (3, 3), divisor_override=5), "image")
    graph = b.graph(b.linear("linear", b.node("flat", Flatten(), x), (5, 48)))
    return replace(graph, input_map=ChannelMap((0.5, 2.0, -1.0), (0.1, 0.0, 3.0)))


ALL: dict[str, Callable[[], Graph]] = {
    **NETWORKS, "normalised": normalised_network, "pooled": pooled_network,
    "fused": lambda: fuse_residual(NETWORKS["residual"]()),
}  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_onnxruntime_and_the_importer_read_the_network(name: str, tmp_path: Path) -> None:
    graph = ALL[name]()
    save_onnx(graph, tmp_path / "net.onnx")
    save_weights(graph, tmp_path / "net.safetensors")
    x = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    expected = model_output(graph, x)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    (answers,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    np.testing.assert_allclose(answers, expected.numpy(), rtol=1e-4, atol=1e-4)
    again = simplify(load_model(str(tmp_path / "net.onnx"), None, None, None))
    torch.testing.assert_close(model_output(again, x), expected, rtol=1e-4, atol=1e-4)
    if name == "residual":
        assert [node.name for node in again.nodes if node.op.has_weights] == [
            node.name for node in graph.nodes if node.op.has_weights
        ]
    names = {f"{node.name}.{weight}" for node in graph.nodes for weight in node.weights}
    assert safetensors.numpy.load_file(tmp_path / "net.safetensors").keys() == names


def test_an_operator_without_a_form_is_named(tmp_path: Path) -> None:
    weights = {"weight": np.ones((1, 3, 4, 4)), "bias": np.zeros(1)}
    graph = Graph("tiled", "image", (3, 12, 12), (Node("tile", WinogradConv(2), ("image",), weights),), "tile")
    with pytest.raises(ToolflowError, match="winograd 'tile' cannot be written as ONNX"):
        save_onnx(graph, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())
