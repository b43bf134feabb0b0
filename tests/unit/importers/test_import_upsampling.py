"""Maps that are made larger, cut or laid side by side: a layer of the engine has each as a convolution."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import NodeProto, helper
from torch import Tensor, nn
from torch.nn import functional as fn

from tests.unit.importers.import_tools import (
    Array,
    assert_close,
    onnx_model,
    random_array,
    run_graph,
    run_module,
    run_onnx,
    saved,
)
from toolflow.importers import phases
from toolflow.importers.onnx.importer import import_onnx
from toolflow.importers.pytorch.importer import import_module
from toolflow.ir.errors import UnsupportedModelError
from toolflow.ir.graph import Graph
from toolflow.passes.check import require_engine
from toolflow.passes.pipeline import simplify

SHAPE = (4, 6, 5)


class Net(nn.Module):
    """A function of an image and layers, with a convolution in front and a score for each class behind."""

    def __init__(self, function: Callable[..., Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, 4, 1)
        self.function, self.layers = function, nn.ModuleList(layers)
        self.last = nn.LazyLinear(3)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.last(self.function(self.first(x).relu(), *self.layers).flatten(1))
        return scores


Case = tuple[Callable[..., Tensor], tuple[Callable[[], nn.Module], ...]]
CASES: dict[str, Case] = {
    "transposed 2x2": (lambda x, t: t(x).relu(), (lambda: nn.ConvTranspose2d(4, 3, 2, 2),)),
    "transposed 4x4, padded": (lambda x, t: t(x), (lambda: nn.ConvTranspose2d(4, 3, 4, 2, 1),)),
    "transposed 3x3, a row more": (lambda x, t: t(x), (lambda: nn.ConvTranspose2d(4, 3, 3, 2, 1, output_padding=1),)),
    "transposed with stride 1": (lambda x, t: t(x), (lambda: nn.ConvTranspose2d(4, 3, 3, 1, 1),)),
    "transposed, odd size": (lambda x, t: t(x), (lambda: nn.ConvTranspose2d(4, 3, 3, 2),)),
    "transposed, uneven": (lambda x, t: t(x), (lambda: nn.ConvTranspose2d(4, 6, (5, 2), (3, 2), (1, 0), groups=2),)),
    "transposed, dilated": (lambda x, t: t(x), (lambda: nn.ConvTranspose2d(4, 2, 3, 2, 1, dilation=2),)),
    "depthwise transposed": (lambda x, t: t(x), (lambda: nn.ConvTranspose2d(4, 4, 2, 2, groups=4, bias=False),)),
    "larger, then convolved": (
        lambda x, t, n, c: c(fn.leaky_relu(n(t(x)), 0.1)),
        (lambda: nn.ConvTranspose2d(4, 3, 2, 2), lambda: nn.BatchNorm2d(3), lambda: nn.Conv2d(3, 2, 3, padding=1)),
    ),
    "larger twice": (
        lambda x, t, u: u(t(x).relu()),
        (lambda: nn.ConvTranspose2d(4, 3, 2, 2), lambda: nn.ConvTranspose2d(3, 2, 4, 2, 1)),
    ),
    "nearest, then convolved": (
        lambda x, c: c(fn.interpolate(x, scale_factor=2)),
        (lambda: nn.Conv2d(4, 3, 3, padding=1),),
    ),
    "nearest by three, with stride 2": (
        lambda x, c: c(fn.interpolate(x, scale_factor=3.0, mode="nearest")),
        (lambda: nn.Conv2d(4, 6, 5, 2, 2, groups=2),),
    ),
    "nearest to a size, exact": (
        lambda x, c: c(fn.interpolate(x, size=(12, 15), mode="nearest-exact")),
        (lambda: nn.Conv2d(4, 3, 3, dilation=2, padding=2),),
    ),
    "nearest, back with stride 2": (
        lambda x, c: c(fn.interpolate(x, scale_factor=2)),
        (lambda: nn.Conv2d(4, 3, 2, 2),),
    ),
    "mean of a larger map": (lambda x, t: t(x).relu().mean((2, 3)), (lambda: nn.ConvTranspose2d(4, 3, 2, 2),)),
    "sum of larger maps": (
        lambda x, t, u: (t(x) + u(x)).relu(),
        (lambda: nn.ConvTranspose2d(4, 3, 2, 2), lambda: nn.ConvTranspose2d(4, 3, 2, 2)),
    ),
    "pixel shuffle": (lambda x, c: c(fn.pixel_shuffle(x, 2)), (lambda: nn.Conv2d(1, 3, 3, padding=1),)),
    "pixel unshuffle": (
        lambda x, c: c(fn.pixel_unshuffle(x[:, :, :, :4], 2)),
        (lambda: nn.Conv2d(16, 3, 3, padding=1),),
    ),
    "crop": (lambda x, c: c(x[:, :, 1:5, 1:-1]), (lambda: nn.Conv2d(4, 3, 3),)),
    "every second row from the second on": (lambda x, c: c(x[:, 1:, 1::2]), (lambda: nn.Conv2d(3, 3, 3),)),
    "focus": (
        lambda x, c: c(torch.cat([x[:, :, ::2, :4:2], x[:, :, 1::2, :4:2], x[:, :, 1::2, 1::2]], 1)),
        (lambda: nn.Conv2d(12, 3, 2),),
    ),
    "one row": (lambda x, c: c(x[:, :, 2:3]), (lambda: nn.Conv2d(4, 3, 1),)),
    "halves, swapped": (
        lambda x, c: c(torch.cat([x[:, :, 3:], x[:, :, :3]], 2)),
        (lambda: nn.Conv2d(4, 3, 3),),
    ),
    "side by side": (lambda x, c: c(torch.cat([x, c(x)], 3)), (lambda: nn.Conv2d(4, 4, 3, padding=1),)),
}  # fmt: skip


def check(graph: Graph, x: Array, wanted: Array) -> None:
    for each in (graph, simplify(graph)):
        assert_close(run_graph(each, x), wanted)
    require_engine(graph)


@pytest.mark.parametrize("name", CASES)
def test_torch(name: str) -> None:
    torch.manual_seed(0)
    function, layers = CASES[name]
    net = Net(function, *(layer() for layer in layers)).eval()
    x = random_array(3, *SHAPE)
    net(torch.from_numpy(x))
    check(import_module(net, SHAPE), x, run_module(net, x))


@pytest.mark.parametrize("name", [name for name in CASES if "exact" not in name])
def test_onnx(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    function, layers = CASES[name]
    net = Net(function, *(layer() for layer in layers)).eval()
    x = random_array(3, *SHAPE)
    net(torch.from_numpy(x))
    torch.onnx.export(
        net, (torch.from_numpy(x),), tmp_path / "net.onnx", dynamo=False, dynamic_axes={"input": {0: "N"}}
    )
    check(import_onnx(tmp_path / "net.onnx"), x, run_module(net, x))


def test_an_up_sampled_map_costs_no_layer() -> None:
    net = Net(CASES["nearest, then convolved"][0], nn.Conv2d(4, 3, 3, padding=1))
    net(torch.zeros(1, *SHAPE))
    graph = simplify(import_module(net, SHAPE))
    assert [node.op.kind for node in graph.nodes] == ["conv", "conv", "flatten", "linear"]
    assert graph.shapes[graph.nodes[1].name] == (12, 6, 5)


def larger(**attributes: Any) -> NodeProto:
    return helper.make_node("ConvTranspose", ["x", "t"], ["u"], strides=[2, 2], **attributes)


NODES: dict[str, tuple[list[NodeProto], dict[str, Array], int]] = {
    "upsample": ([helper.make_node("Upsample", ["x", "by"], ["u"])], {"by": np.array([1, 1, 2, 3], np.float32)}, 9),
    "upsample by attribute": ([helper.make_node("Upsample", ["x"], ["u"], scales=[1.0, 1.0, 2.0, 2.0])], {}, 8),
    "same": ([larger(auto_pad="SAME_UPPER")], {}, 17),
    "same, lower": ([larger(auto_pad="SAME_LOWER")], {}, 17),
    "of a shape": ([larger(output_shape=[12, 10])], {}, 17),
    "of a larger shape": ([larger(output_shape=[14, 12])], {}, 17),
    "asymmetric": ([helper.make_node("Resize", ["x", "", "by"], ["u"], coordinate_transformation_mode="asymmetric",
                    nearest_mode="floor")], {"by": np.array([1, 1, 2, 2], np.float32)}, 17),
    "to a size": ([helper.make_node("Resize", ["x", "", "", "to"], ["u"])], {"to": np.array([1, 4, 18, 10])}, 17),
    "smaller": ([helper.make_node("Resize", ["x", "", "", "to"], ["u"])], {"to": np.array([1, 4, 3, 5])}, 17),
    "depth to space": ([helper.make_node("DepthToSpace", ["x"], ["u"], blocksize=2)], {}, 17),
    "rows and columns": ([helper.make_node("SpaceToDepth", ["s"], ["u"], blocksize=2)], {}, 17),
}  # fmt: skip


@pytest.mark.parametrize("name", NODES)
def test_nodes(tmp_path: Path, name: str) -> None:
    nodes, constants, opset = NODES[name]
    constants = {**constants, "t": random_array(4, 3, 3, 3, seed=5), "w": random_array(2, 3, 3, 3, seed=6)}
    channels = {
        "same": 3,
        "same, lower": 3,
        "of a shape": 3,
        "of a larger shape": 3,
        "depth to space": 1,
        "rows and columns": 16,
    }.get(name, 4)
    constants["w"] = random_array(2, channels, 3, 3, seed=6)
    front: list[NodeProto] = []
    if name == "rows and columns":
        front = [helper.make_node("Conv", ["x", "column"], ["s"])]
        constants["column"] = random_array(4, 4, 1, 2, seed=7)
    nodes = [*front, *nodes, helper.make_node("Conv", ["u", "w"], ["y"], pads=[1, 1, 1, 1])]
    behind = [helper.make_node("GlobalAveragePool", ["y"], ["p"]), helper.make_node("Flatten", ["p"], ["z"])]
    model = onnx_model([*nodes, *behind], constants, (1, *SHAPE), opset=opset, outputs=("z",))
    x = random_array(1, *SHAPE)
    check(import_onnx(saved(model, tmp_path)), x, run_onnx(model, x))


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (
            lambda x: fn.interpolate(x, scale_factor=2, mode="bilinear"),
            "upsample_bilinear2d.*is not handled.*use mode nearest",
        ),
        (lambda x: fn.max_pool2d(fn.interpolate(x, scale_factor=2), 3), "max_pool2d.*of an up-sampled map only conv"),
        (lambda x: torch.cat([fn.interpolate(x, scale_factor=2)] * 2, 1), "cat.*of an up-sampled map only conv"),
        (
            lambda x: fn.conv2d(fn.conv_transpose2d(x, torch.ones(4, 1, 3, 3), stride=2), torch.ones(1, 1, 3, 3)),
            r"conv2d.*\(4, 7, 6\) seen as \(1, 13, 11\) in another order is not handled.*of an up-sampled map",
        ),
        (lambda x: x.flip(2), "flip.*is not handled"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(function: Callable[[Tensor], Tensor], text: str) -> None:
    net = Net(function)
    net(torch.zeros(1, *SHAPE))
    with pytest.raises(UnsupportedModelError, match=text):
        import_module(net, SHAPE)


def test_turns_are_only_those_of_whole_phases() -> None:
    order = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    larger = order.repeat(2, 1).repeat(3, 2)
    turns = phases.turns_of(larger, order.shape)
    assert turns is not None
    assert turns.tolist() == [[[0] * 3] * 2, [[1] * 3] * 2]
    assert phases.turns_of(larger[:, ::-1], order.shape) is None
    assert phases.turns_of(larger[:, :, 1:], order.shape) is None
