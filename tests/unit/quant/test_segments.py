"""Activations of few linear segments: their values, gradients and bounds, in ONNX, in training, and on no engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper

from quant.config import QuantiseConfig
from quant.exchange.float_onnx import save_onnx
from quant.float_network import before_activation, float_logits, float_node
from quant.mechanisms.cost import Pricing
from quant.mechanisms.finetune import fresh
from quant.mechanisms.rewrite.channels import ChannelMap
from quant.mechanisms.rewrite.layers import with_rectifiers
from quant.mechanisms.rewrite.segments import SUMS, with_segments
from quant.quantise import quantise
from quant.recipes.multi_segment import MultiSegment
from quant.training.segments import TrainableSegments
from quant.training.trainable import TrainableNetwork
from tests.unit.quant.benches import bench_of
from tests.unit.quant.quantise_networks import NORMALISATION, Builder, images, plain_network, residual_network
from toolflow.importers.load import load_model
from toolflow.ir.errors import ToolflowError, UnsupportedModelError
from toolflow.ir.graph import Graph, Node
from toolflow.operators import Flatten, Segments
from toolflow.passes.check import require_engine
from toolflow.passes.pipeline import simplify
from toolflow.plan.boards.board import load_board

Array = npt.NDArray[np.float64]
BOUNDS, SLOPE, INTERCEPT = np.array([-1.0, 0.5, 2.0]), np.array([0.1, -2.0, 0.0, 1.5]), np.array([0.0, 1.0, -3.0, 0.25])


def node_of() -> Node:
    return Node("s", Segments(), ("image",), {"bounds": BOUNDS, "slope": SLOPE, "intercept": INTERCEPT})


def segment(x: float) -> int:
    return sum(x > bound for bound in BOUNDS)


def sample() -> torch.Tensor:
    return torch.randn(16, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def test_the_function_against_a_loop_and_onnxruntime(tmp_path: Path) -> None:
    """On both sides of each bound, and on it."""
    around = [np.nextafter(np.float32(bound), np.float32(side)) for bound in BOUNDS for side in (-9, 9)]
    values = np.array([*around, *BOUNDS, -7, 0, 9, 1.25, 0.3, -0.2, 7], dtype=np.float32)[None, None]
    expected = [SLOPE[segment(x)] * x + INTERCEPT[segment(x)] for x in values[0, 0].astype(np.float64)]
    x = torch.as_tensor(values[..., None])
    np.testing.assert_allclose(float_node(node_of(), [x]).flatten(), expected, rtol=1e-6)
    graph = Graph("curve", "image", (1, values.size, 1), (node_of(),), "s")
    save_onnx(graph, tmp_path / "curve.onnx")
    (found,) = onnxruntime.InferenceSession(tmp_path / "curve.onnx").run(None, {"image": x.numpy()})
    np.testing.assert_allclose(np.asarray(found).ravel(), expected, rtol=1e-6)


def test_networks_of_segments_come_back_from_onnx(tmp_path: Path) -> None:
    graph = with_segments(residual_network(), 5, sample())
    save_onnx(graph, tmp_path / "net.onnx")
    again = simplify(load_model(str(tmp_path / "net.onnx"), None))
    assert [(node.name, node.op) for node in again.nodes if isinstance(node.op, Segments)] == [
        (node.name, node.op) for node in graph.nodes if isinstance(node.op, Segments)
    ]
    torch.testing.assert_close(float_logits(again, sample()), float_logits(graph, sample()), rtol=1e-3, atol=1e-4)
    (found,) = onnxruntime.InferenceSession(tmp_path / "net.onnx").run(None, {"image": sample().numpy()})
    torch.testing.assert_close(torch.as_tensor(found), float_logits(graph, sample()), rtol=1e-3, atol=1e-4)


def test_another_function_of_that_name_is_not_taken_for_it(tmp_path: Path) -> None:
    save_onnx(with_segments(plain_network(), 5, sample()), tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    product = next(node for node in model.functions[0].node if node.op_type == "Mul")
    product.CopyFrom(helper.make_node("Sub", list(product.input), list(product.output)))
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(UnsupportedModelError, match="Greater"):
        load_model(str(tmp_path / "other.onnx"), None)


def test_gradients_against_finite_differences() -> None:
    """Of the lines, and of the inputs; with the bounds held, since a batch moves them."""
    module = TrainableSegments(node_of()).double().eval()
    module.mean.fill_(0.3)
    bounds = module.bounds.numpy()
    x = torch.tensor([-2.0, -0.9, 0.1, 0.3001, 1.0, 5.0], dtype=torch.float64).view(6, 1, 1, 1).requires_grad_()
    (module(x) ** 2).sum().backward()

    def loss(x: Array, slope: Array, intercept: Array) -> float:
        places = [int((value > bounds).sum()) for value in x]
        return float(sum((slope[j] * value + intercept[j]) ** 2 for value, j in zip(x, places, strict=True)))

    given = [each.detach().numpy().ravel().copy() for each in (x, module.slope, module.intercept)]
    for number, tensor in enumerate((x, module.slope, module.intercept)):
        assert tensor.grad is not None
        for place in range(given[number].size):
            values = []
            for step in (1e-6, -1e-6):
                moved = [each.copy() for each in given]
                moved[number][place] += step
                values.append(loss(*moved))
            assert float(tensor.grad.flatten()[place]) == pytest.approx((values[0] - values[1]) / 2e-6, abs=1e-4)


def test_bounds_follow_the_batches() -> None:
    """In training those of the batch, behind it a running mean with 0.99 of what was; evenly over ± 3 deviations."""
    module = TrainableSegments(node_of())
    np.testing.assert_allclose(module.mean, BOUNDS.mean())
    x = 2 * torch.randn(64, 3, 4, 4, generator=torch.Generator().manual_seed(1)) + 1
    before, deviation = float(module.mean), float(module.deviation)
    found = module.train()(x)
    mean, spread = float(x.mean()), float(x.numpy().std())
    bounds = mean + spread * np.array([-1.5, 0, 1.5])
    places = np.digitize(x.numpy(), bounds, right=True)
    expected = SLOPE[places] * x.numpy() + INTERCEPT[places]
    np.testing.assert_allclose(found.detach(), expected, rtol=1e-4, atol=1e-5)
    assert float(module.mean) == pytest.approx(0.99 * before + 0.01 * mean, rel=1e-5)
    assert float(module.deviation) == pytest.approx(0.99 * deviation + 0.01 * spread, rel=1e-5)
    node = module.trained(node_of())
    np.testing.assert_allclose(module.eval()(x).detach(), float_node(node, [x]), rtol=1e-5)
    assert float(TrainableSegments(node).mean) == pytest.approx(float(module.mean), rel=1e-4)
    assert float(TrainableSegments(node).deviation) == pytest.approx(float(module.deviation), rel=1e-4)


@pytest.mark.parametrize("network", [plain_network, residual_network])
def test_segments_begin_as_the_relu_of_their_middles(network: Any) -> None:
    graph = network()
    made = with_segments(graph, 7, sample())
    live: dict[str, torch.Tensor] = {"image": sample()}
    seen = 0
    for node in made.nodes:
        live[node.name] = value = float_node(node, [live[name] for name in node.inputs])
        if isinstance(node.op, Segments):
            before = live[f"{node.name}{SUMS}"]
            bounds = [-np.inf, *node.weights["bounds"].astype(float), np.inf]
            zero = int(np.searchsorted(bounds, 0))
            apart = (before <= bounds[zero - 1]) | (before > bounds[zero])
            torch.testing.assert_close(value[apart], torch.relu(before[apart]))
            assert apart.float().mean() > 0.5
            seen += 1
    assert seen == sum(node.op.activation.value == "relu" for node in graph.nodes)


def test_segments_cost_as_much_as_relus() -> None:
    graph = residual_network()
    made = with_segments(graph, 8, sample())
    pricing = Pricing.of(graph, load_board("ulx3s-85f"))
    before, after = pricing.cost(graph), pricing.cost(made)
    assert replace(after, parameters=before.parameters) == before
    assert after.parameters - before.parameters == (8 + 8 + 7) * sum(
        isinstance(node.op, Segments) for node in made.nodes
    )
    assert float_logits(with_rectifiers(made), sample()).equal(float_logits(graph, sample()))


def test_channels_of_a_network_with_segments_can_go() -> None:
    made = with_segments(plain_network(), 8, sample())
    channels = ChannelMap.of(made)
    width = channels.widths[0]
    small = channels.without(set(width.classes[:3]))
    assert small.shapes["a1"] == (13, 12, 12)


def test_training_moves_lines_and_keeps_the_function() -> None:
    """What is trained is what the graph then computes."""
    graph = with_segments(fresh(plain_network(), 1), 8, sample())
    network = TrainableNetwork(graph).with_norms(sample())
    optimiser = torch.optim.SGD(network.parameters(), 0.05)
    for _ in range(3):
        optimiser.zero_grad()
        network.train()(sample()).square().mean().backward()
        optimiser.step()
    network.with_norms(sample())
    made = network.trained()
    assert not np.array_equal(made.by_name["a1"].weights["slope"], graph.by_name["a1"].weights["slope"])
    torch.testing.assert_close(float_logits(made, sample()), network.eval()(sample()).detach(), rtol=1e-3, atol=1e-4)
    sums = before_activation(made.by_name[f"a1{SUMS}"], [sample()])
    assert float(made.by_name["a1"].weights["bounds"].mean()) == pytest.approx(float(sums.mean()), rel=1e-3, abs=1e-4)


def test_no_engine_runs_segments_yet() -> None:
    graph = with_segments(plain_network(), 8, sample())
    with pytest.raises(ToolflowError, match="segments 'a1': no engine holds the table of an activation of segments"):
        require_engine(graph)
    with pytest.raises(ToolflowError, match="no engine holds the table of an activation of segments yet"):
        quantise(graph, images(8), NORMALISATION, QuantiseConfig())


def test_a_network_without_a_relu_and_a_function_without_segments() -> None:
    b = Builder()
    graph = b.graph(b.linear("linear", b.node("flat", Flatten(), "image"), (5, 3 * 144)))
    with pytest.raises(ToolflowError, match="'network' must have a ReLU that becomes segments: no layer applies one"):
        MultiSegment().run(graph, bench_of(graph))
    for name, wrong, message in (
        ("bounds", BOUNDS[::-1], "bounds must ascend"),
        ("slope", SLOPE[1:], "slope and intercept must have one value for each segment, and bounds one less"),
    ):
        with pytest.raises(ValueError, match=message):
            Segments().infer_shape([(3, 4, 4)], {**node_of().weights, name: wrong})
