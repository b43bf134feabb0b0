"""PyTorch modules, functions and tensor methods, against PyTorch itself in float64."""

from __future__ import annotations

import importlib
import logging
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import brevitas.nn
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as fn
from torch.nn.utils import parametrizations

from tests.unit.importers.import_tools import assert_close, random_array, run_graph, run_module
from toolflow.importers.pytorch.importer import import_module
from toolflow.ir.errors import ToolflowError, UnsupportedModelError
from toolflow.ir.graph import Graph
from toolflow.operators import Activation, AvgPool, Conv, Flatten, MaxPool
from toolflow.passes.pipeline import simplify

quantization: Any = importlib.import_module("torch.ao.quantization")  # it has no types
SHAPE = (4, 9, 8)
PAIR = st.tuples(st.integers(1, 3), st.integers(1, 3))


class Apply(nn.Module):
    """A function as a module, with the layers that it uses."""

    def __init__(self, function: Callable[..., Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.layers)


def compare(module: nn.Module, shape: tuple[int, ...] = SHAPE) -> Graph:
    """Import, run raw and simplified, and compare both with the module."""
    for child in module.modules():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d) and child.running_mean is not None:
            child.running_mean.copy_(torch.from_numpy(random_array(child.num_features, seed=8)))
            assert child.running_var is not None
            child.running_var.copy_(torch.from_numpy(np.abs(random_array(child.num_features, seed=9)) + 0.1))
    graph = import_module(module.eval(), shape)
    x = random_array(3, *shape, seed=4)
    wanted = run_module(module, x)
    assert_close(run_graph(graph, x), wanted)
    assert_close(run_graph(simplify(graph), x), wanted)
    return graph


def kinds(graph: Graph) -> list[str]:
    return [node.op.kind for node in graph.nodes]


@settings(max_examples=12)
@given(data=st.data(), kernel=PAIR, stride=PAIR, dilation=PAIR, groups=st.sampled_from([1, 2, 4]), bias=st.booleans())
def test_layers_with_any_attributes(
    data: st.DataObject, kernel: Any, stride: Any, dilation: Any, groups: int, bias: bool
) -> None:
    padding: Any = data.draw(st.sampled_from(["same", "valid", 0, 1, (2, 0), (0, 1)]))
    conv = nn.Conv2d(4, 8, kernel, 1 if padding == "same" else stride, padding, dilation, groups, bias)
    window = data.draw(PAIR)
    halves = data.draw(st.tuples(*(st.integers(0, size // 2) for size in window)))
    ceil_mode, step = data.draw(st.booleans()), data.draw(PAIR)
    pool: nn.Module
    if data.draw(st.booleans()):
        pool = nn.MaxPool2d(window, step, halves, ceil_mode=ceil_mode)
    else:
        divisor = data.draw(st.sampled_from([None, 3]))
        pool = nn.AvgPool2d(window, step, halves, ceil_mode, data.draw(st.booleans()), divisor)
    compare(nn.Sequential(conv, pool), (4, *data.draw(st.tuples(st.integers(11, 14), st.integers(11, 14)))))


@pytest.mark.parametrize(
    ("module", "forgotten"),
    [
        (nn.Conv2d(4, 4, 3, stride=(2, 1)), {"stride": (1, 1)}),
        (nn.Conv2d(4, 4, 3, dilation=(1, 2)), {"dilation": (1, 1)}),
        (nn.Conv2d(4, 4, 3, padding=(0, 1)), {"pads": (1, 0, 1, 0)}),
        (nn.Conv2d(4, 4, 2, padding="same"), {"pads": (1, 1, 0, 0)}),
        (nn.MaxPool2d(3, 2, (0, 1)), {"pads": (1, 0, 1, 0)}),
        (nn.MaxPool2d(3, 1, dilation=2), {"dilation": (1, 1)}),
        (nn.MaxPool2d(3, 4, ceil_mode=True), {"ceil_mode": False}),
        (nn.MaxPool2d(3), {"stride": (1, 1)}),
        (nn.AvgPool2d(3, 4, ceil_mode=True), {"ceil_mode": False}),
        (nn.AvgPool2d(3, 2, 1, count_include_pad=False), {"count_include_pad": True}),
        (nn.AvgPool2d(3, 2, 1, count_include_pad=True), {"count_include_pad": False}),
        (nn.AvgPool2d(3, 2, divisor_override=5), {"divisor_override": None}),
    ],
)
def test_a_forgotten_attribute_would_be_noticed(module: nn.Module, forgotten: dict[str, Any]) -> None:
    graph = compare(module)
    (only,) = graph.nodes
    assert isinstance(only.op, Conv | MaxPool | AvgPool)
    wrong = replace(graph, nodes=(replace(only, op=replace(only.op, **forgotten)),))
    x = random_array(3, *SHAPE, seed=4)
    right, found = run_graph(graph, x), run_graph(wrong, x)
    assert right.shape != found.shape or not np.allclose(right, found)


@pytest.mark.parametrize("groups", [2, 4])
def test_groups(groups: int) -> None:
    assert compare(nn.Conv2d(4, 8, 3, groups=groups)).nodes[0].op == Conv(groups=groups)


RECTIFIERS: dict[str, Callable[..., Tensor]] = {
    "F.relu": fn.relu,
    "in place": lambda x: fn.relu(x + 0, inplace=True),
    "torch.relu": torch.relu,
    "method": lambda x: x.relu(),
    "clamp": lambda x: x.clamp(min=0),
    "clamp_min": lambda x: x.clamp_min(0),
    "relu6": lambda x: fn.relu6(4 * x),
    "clamp to 6": lambda x: torch.clamp(4 * x, 0, 6),
    "hardtanh": lambda x: fn.hardtanh(4 * x, 0.0, 6.0),
}


@pytest.mark.parametrize("name", RECTIFIERS)
def test_rectifiers(name: str) -> None:
    conv = nn.Conv2d(4, 4, 3)
    graph = simplify(compare(Apply(lambda x, layer: RECTIFIERS[name](layer(x)), conv)))
    wanted = Activation.RELU6 if "6" in name or name == "hardtanh" else Activation.RELU
    assert [node.op for node in graph.nodes] == [Conv(activation=wanted)]


ENDINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "flatten": lambda x: torch.flatten(x.mean((2, 3), keepdim=True), 1),
    "method": lambda x: fn.adaptive_avg_pool2d(x, 1).flatten(1),
    "view": lambda x: fn.adaptive_avg_pool2d(x, (1, 1)).view(x.size(0), -1),
    "reshape": lambda x: fn.avg_pool2d(x, x.size()[2:]).reshape(x.shape[0], -1),
    "view of a size": lambda x: x.mean((-1, -2), True).view(-1, 4),
    "mean": lambda x: x.mean([2, 3]),
    "squeeze": lambda x: x.mean((3, 2), keepdim=True).squeeze(-1).squeeze(-1),
    "control flow": lambda x: x.mean((2, 3)) if x.shape[2] > 1 else x,
}


STEPS: dict[str, Callable[[Tensor], Tensor]] = {
    "columns, then rows": lambda x: x.mean(3).mean(2),
    "rows, then columns": lambda x: x.mean(2).mean(2),
    "axes kept": lambda x: x.mean(-1, keepdim=True).mean(2, keepdim=True).flatten(1),
    "flattened": lambda x: x.flatten(2).mean(2),
    "flattened, the axis kept": lambda x: x.flatten(2).mean(-1, keepdim=True).flatten(1),
    "seen as a matrix": lambda x: x.view(x.size(0), x.size(1), -1).mean(-1),
    "one number of a line": lambda x: fn.adaptive_avg_pool1d(x.flatten(2), 1).flatten(1),
}


@pytest.mark.parametrize("name", STEPS)
def test_every_mean_over_a_whole_map_is_one_global_average(name: str) -> None:
    graph = simplify(compare(Apply(STEPS[name])))
    assert [node.op for node in graph.nodes] == [AvgPool((9, 8), (9, 8)), Flatten()]


@pytest.mark.parametrize(
    "function", [lambda x: x.mean(1), lambda x: x.flatten(1).mean(1), lambda x: x.view(-1, 2, 144).mean(2)]
)
def test_a_mean_over_channels_is_refused(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(UnsupportedModelError, match=r"\[2, 3\] \(height and width\) of a feature map"):
        import_module(Apply(function), SHAPE)


@pytest.mark.parametrize("name", ENDINGS)
def test_every_way_to_end_in_a_global_average_gives_one_graph(name: str) -> None:
    graph = compare(Apply(ENDINGS[name]))
    assert kinds(graph) == ["avg_pool", "flatten"]
    assert graph.shapes[graph.output] == (4,)


def lambda_shortcut(x: Tensor, conv: nn.Module) -> Tensor:
    return torch.as_tensor(conv(x) + fn.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 3), "constant", 0))


def pad_max(x: Tensor) -> Tensor:
    return fn.max_pool2d(fn.pad(x, (1, 0, 2, 1)), 3)


FORMS: dict[str, tuple[nn.Module, list[str]]] = {
    "shortcut": (Apply(lambda_shortcut, nn.Conv2d(4, 8, 1, 2)), ["conv", "shortcut", "add"]),
    "shortcut of a 1×1 pool": (
        Apply(lambda x, c: c(x) + fn.pad(fn.avg_pool2d(x, 1, 2), (0, 0, 0, 0, 2, 2)), nn.Conv2d(4, 8, 1, 2)),
        ["conv", "shortcut", "add"],
    ),
    "zero pad": (nn.Sequential(nn.ZeroPad2d((1, 0, 2, 1)), nn.Conv2d(4, 4, 3)), ["conv"]),
    "pad before a max pool of positive values": (
        Apply(lambda x, c: pad_max(fn.relu(c(x))), nn.Conv2d(4, 4, 1)),
        ["conv", "max_pool"],
    ),
    "pad before a max pool of any values": (Apply(pad_max), ["conv", "max_pool"]),
    "scale and shift": (Apply(lambda x: (1 - x * 0.5) / 3 + torch.arange(4.0).view(4, 1, 1)), ["conv"]),
    "batch norm without affine": (
        nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4, affine=False, eps=0.1)),
        ["conv"],
    ),
    "batch norm first": (nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3)), ["conv", "conv"]),
    "batch norm of a vector": (
        nn.Sequential(nn.Flatten(), nn.Linear(288, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)),
        ["flatten", "linear", "linear"],
    ),
    "batch norm between flatten and linear": (
        nn.Sequential(nn.Flatten(), nn.BatchNorm1d(288), nn.Linear(288, 3)),
        ["flatten", "linear"],
    ),
    "dropout and identity": (
        nn.Sequential(nn.Dropout(), nn.Conv2d(4, 4, 3), nn.Dropout2d(), nn.Identity(), nn.AlphaDropout()),
        ["conv"],
    ),
    "relu after pools": (
        nn.Sequential(nn.Conv2d(4, 4, 3), nn.MaxPool2d(2), nn.ReLU(), nn.AvgPool2d(2), nn.ReLU()),
        ["conv", "max_pool", "avg_pool"],
    ),
    "concat": (
        Apply(lambda x, a, b: fn.relu(torch.cat([a(x), b(x), a(x)], dim=-3)), nn.Conv2d(4, 2, 1), nn.Conv2d(4, 3, 1)),
        ["conv", "conv", "conv", "concat"],
    ),
    "a tensor read before and after its relu": (
        Apply(lambda x, c: fn.relu(y := c(x)) + y, nn.Conv2d(4, 4, 1)),
        ["conv", "conv", "add"],
    ),
    "in place on a tensor read again": (
        Apply(lambda x, c: c(fn.relu(y := x * 1.5, inplace=True)) + y, nn.Conv2d(4, 4, 1)),
        ["conv", "conv", "add"],
    ),
    "in-place sum": (Apply(lambda x, c: c(x).add_(x).relu_(), nn.Conv2d(4, 4, 1)), ["conv", "add"]),
    "weight norm": (parametrizations.weight_norm(nn.Conv2d(4, 4, 3)), ["conv"]),
    "adaptive pool that divides": (Apply(lambda x: fn.adaptive_avg_pool2d(x, (3, 4))), ["avg_pool"]),
    "global max": (Apply(lambda x: fn.adaptive_max_pool2d(x, 1).flatten(1)), ["max_pool", "flatten"]),
    "double precision": (nn.Conv2d(4, 4, 3).double(), ["conv"]),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_forms(name: str) -> None:
    module, wanted = FORMS[name]
    found = kinds(simplify(compare(module)))
    assert found == wanted


def test_names_are_those_of_the_modules() -> None:
    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return fn.relu(self.conv(fn.relu(self.conv(x)))) + x

    graph = compare(nn.Sequential(Inner(), Inner()))
    names = [node.name for node in graph.nodes]
    block = ["conv", "relu", "conv_2", "relu_2", "add"]
    assert names == [f"{i}.{name}" for i in (0, 1) for name in block]


def test_softmax_at_the_end_is_dropped_and_said(caplog: pytest.LogCaptureFixture) -> None:
    graph = import_module(nn.Sequential(nn.Flatten(), nn.Linear(288, 3), nn.Softmax(dim=1)), SHAPE)
    assert kinds(graph) == ["flatten", "linear"]
    assert "'2' is left out: it keeps the order of the classes" in caplog.text


def test_a_module_keeps_its_training_mode() -> None:
    module = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Dropout())
    module[1].eval()
    import_module(module.train(), SHAPE)
    assert all(child.training for child in module.modules())


def test_the_shape_may_come_from_the_module() -> None:
    module = nn.Conv2d(1, 1, 1)
    module.input_shape = (1, 1, 1)  # type: ignore[assignment]
    assert import_module(module).input_shape == (1, 1, 1)
    with pytest.raises(ToolflowError, match="the input's shape must be known"):
        import_module(nn.Conv2d(1, 1, 1))


def test_every_problem_is_listed_at_once() -> None:
    def forward(x: Tensor, circular: nn.Module, norm: nn.Module, act: nn.Module, conv: nn.Module) -> Tensor:
        x = fn.elu(circular(x), 0.1)
        x = torch.add(norm(x), x, alpha=2)
        x = act(x) * x
        x = conv(x)[:, :, 1::2].permute(1, 0, 3, 2).permute(1, 0, 3, 2)
        return fn.softmax(x.clamp(1, -1), 1) + fn.dropout(x, 0.5, training=True)

    layers = [
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
        nn.GroupNorm(2, 4),
        nn.GELU(),
        nn.Upsample(scale_factor=2, mode="bilinear"),
    ]
    with pytest.raises(UnsupportedModelError) as caught:
        import_module(Apply(forward, *layers), SHAPE)
    problems = [(p.node, p.operator, p.attribute, p.value) for p in caught.value.problems]
    assert ("layers.0", "Conv2d (aten.pad)", "mode", "circular") in problems
    assert ("elu", "aten.elu", "", "the operator") in problems
    assert ("layers.1", "GroupNorm (aten.group_norm)", "", "the operator") in problems
    assert ("layers.2", "GELU (aten.gelu)", "", "the operator") in problems
    assert ("mul", "aten.mul.Tensor", "other", "computed from the image") in problems
    assert any(node == "layers.3" for node, *_ in problems)
    assert any(operator == "aten.permute" for _, operator, *_ in problems)
    assert ("softmax", "aten.softmax.int", "", "softmax inside the network") in problems
    assert ("clamp", "aten.clamp", "bounds", "[1.0, -1.0]") in problems or (
        "clamp",
        "aten.clamp",
        "bounds",
        "[1, -1]",
    ) in problems
    assert any("dropout" in operator for _, operator, *_ in problems)
    text = str(caught.value)
    assert "aten.elu 'elu': the operator is not handled" in text
    assert "use batch normalisation, which is folded into the convolution" in text


def quantised(prepare: Callable[[nn.Module], nn.Module]) -> nn.Module:
    net = nn.Sequential(quantization.QuantStub(), nn.Conv2d(4, 4, 1), nn.ReLU(), quantization.DeQuantStub())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net.qconfig = quantization.get_default_qat_qconfig("x86")
        made = prepare(net)
        made(torch.rand(2, *SHAPE))
        return made.eval()


QUANTISED: dict[str, Callable[[], nn.Module]] = {
    "prepared for training": lambda: quantised(lambda net: quantization.prepare_qat(net.train())),
    "observed": lambda: quantised(lambda net: quantization.prepare(net.eval())),
    "converted": lambda: quantization.convert(quantised(lambda net: quantization.prepare(net.eval()))),
    "Brevitas": lambda: nn.Sequential(brevitas.nn.QuantConv2d(4, 4, 1, weight_bit_width=4)),
}


@pytest.mark.parametrize("name", QUANTISED)
def test_a_module_that_simulates_quantisation_is_refused_in_one_sentence(name: str) -> None:
    with pytest.raises(ToolflowError, match=r"^the model must be the float model, but its module '[^\n]*$") as caught:
        import_module(QUANTISED[name](), SHAPE)
    assert "give the float model with the trained weights" in str(caught.value)


def test_the_stubs_of_quantisation_alone_do_nothing() -> None:
    compare(nn.Sequential(quantization.QuantStub(), nn.Conv2d(4, 4, 1), quantization.DeQuantStub()))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: fn.dropout(x, 0.5),
        lambda x: fn.dropout2d(x, 0.5),
        lambda x: fn.alpha_dropout(x, 0.5, training=True),
        lambda x: x + torch.rand(4, 1, 1),
    ],
)
def test_what_draws_random_numbers_says_how_not_to(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(UnsupportedModelError, match=r"a random number .* pass training=self.training to F.dropout"):
        import_module(Apply(lambda x, conv: function(conv(x)), nn.Conv2d(4, 4, 1)), SHAPE)


class Recurrent(nn.Module):
    """Reads the rows of a map one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(8, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return fn.gelu(self.gru(x[:, 0])[0][:, -1])


def test_a_recurrent_layer_is_no_random_number_and_the_operators_are_listed_once() -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        import_module(Recurrent(), (1, 8, 8))
    text = str(caught.value)
    assert "'gru': the operator is not handled; no replacement exists for recurrent layers" in text
    assert "random" not in text
    assert text.count("convolution and transposed convolution") == 1
    assert text.splitlines()[-1].startswith("operators that are handled: convolution and transposed convolution")


def test_several_outputs_of_an_operator_on_weights_are_told_apart() -> None:
    """Weight standardisation: the mean and the deviation come from one operator."""

    def forward(x: Tensor, conv: nn.Conv2d) -> Tensor:
        variance, mean = torch.var_mean(conv.weight, (1, 2, 3), keepdim=True)
        return fn.conv2d(x, (conv.weight - mean) / variance.sqrt(), conv.bias)

    compare(Apply(forward, nn.Conv2d(4, 4, 3)))


@pytest.mark.parametrize("own", ["3,8,8", (4, 0, 8), 5, (4, 9.5, 8)])
def test_a_modules_own_shape_must_be_one(own: object) -> None:
    module = nn.Conv2d(4, 4, 1)
    module.input_shape = own  # type: ignore[assignment]
    with pytest.raises(ToolflowError, match=r"the module's input_shape must be \(C, H, W\) in positive whole numbers"):
        import_module(module)


def test_what_torch_logs_of_a_shape_that_does_not_fit_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(4 * 5 * 5, 3))
    with pytest.raises(ToolflowError, match="cannot be traced with an input of shape"):
        import_module(module, (4, 4, 4))
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_another_shape_than_the_modules_own_is_said(caplog: pytest.LogCaptureFixture) -> None:
    module = nn.Conv2d(4, 4, 1)
    module.input_shape = (4, 5, 5)  # type: ignore[assignment]
    assert import_module(module, SHAPE).input_shape == SHAPE
    assert "the input's shape is (4, 9, 8) as requested, not the module's input_shape (4, 5, 5)" in caplog.messages
    caplog.clear()
    assert import_module(module, (4, 5, 5)).input_shape == (4, 5, 5)
    assert not [record for record in caplog.records if record.name.startswith("toolflow")]


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (Apply(lambda x: x if x.sum() > 0 else -x), "cannot be traced"),
        (Apply(lambda x: x), "its output is its input"),
        (Apply(lambda x: torch.zeros(2, 3)), "does not depend on its input"),
        (Apply(lambda x: (x + 1, x + 2)), "must have one output, not 2: .0., .1.;"),  # type: ignore[arg-type,return-value]
        (nn.Conv2d(4, 4, 12), "cannot be traced|at least as large as the dilated kernel"),
        (nn.Conv1d(4, 4, 3), "cannot be traced|conv1d"),
        (Apply(lambda x: x.view(-1, 8)), "a shape that keeps the batch first"),
        (Apply(lambda x, c: c(x.flatten(1).view(-1, 4, 9, 8) + x), nn.Conv2d(4, 4, 1)), None),
        (Apply(lambda x, c: c(x.flatten(1).view(-1, 4, 8, 9)), nn.Conv2d(4, 4, 1)), "seen as"),
        (Apply(lambda x: x + x.mean((2, 3), keepdim=True)), "two tensors of one shape"),
        (nn.Sequential(nn.BatchNorm2d(4, track_running_stats=False)), "keep track_running_stats=True"),
        (nn.Sequential(nn.Linear(8, 3)), "flat vector"),
        (Apply(lambda x: x + x.max()), r"use nn.AdaptiveMaxPool2d\(1\)"),
        (Apply(lambda x: x.amin((2, 3))), "negate the map, take amax"),
        (Apply(lambda x: x.amax(1)), r"axes = \[1\] .* \(height and width\)"),
        (Apply(lambda x: torch.fake_quantize_per_tensor_affine(x, 0.1, 0, 0, 255)), "give the float model with the"),
        (nn.Sequential(nn.BatchNorm2d(4, eps=float("nan"))), "eps must be 0 or more and finite, not nan"),
    ],
)  # fmt: skip
def test_what_is_refused(module: nn.Module, text: str | None) -> None:
    if text is None:
        compare(module)
        return
    with pytest.raises(ToolflowError, match=text):
        import_module(module, SHAPE)


def test_weights_must_be_finite() -> None:
    conv = nn.Conv2d(4, 4, 1)
    with torch.no_grad():
        conv.weight[1, 2] = float("nan")
    with pytest.raises(UnsupportedModelError, match="weight = NaN or infinity is not handled"):
        import_module(conv, SHAPE)


class TwoHeads(nn.Module):
    """A network with two outputs, as for segmentation: logits and an auxiliary head, by name or position."""

    input_shape = (3, 8, 8)

    def __init__(self, as_dict: bool) -> None:
        super().__init__()
        self.stem, self.aux, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3), nn.Conv2d(4, 5, 1)
        self.as_dict = as_dict

    def forward(self, x: torch.Tensor) -> object:
        x = torch.relu(self.stem(x))
        early, logits = torch.sigmoid(self.aux(x)), self.head(x)
        return {"out": logits, "more": {"aux": early}, "none": None} if self.as_dict else (logits, [early, None])


@pytest.mark.parametrize(("as_dict", "names"), [(True, ("out", "more.aux")), (False, ("0", "1.0"))])
def test_one_of_several_outputs_is_chosen(as_dict: bool, names: tuple[str, str]) -> None:
    module, x = TwoHeads(as_dict), random_array(2, 3, 8, 8, seed=3)
    graph = import_module(module, output=names[0])
    wanted = module.double().head(torch.relu(module.stem(torch.from_numpy(x).double())))
    np.testing.assert_allclose(run_graph(graph, x), wanted.detach().numpy())
    listed = f"not 2: '{names[0]}', '{names[1]}'; name the one with the class scores: --output NAME"
    with pytest.raises(ToolflowError, match=re.escape(listed)):
        import_module(module)
    with pytest.raises(ToolflowError, match=r"sigmoid"):
        import_module(module, output=names[1])
