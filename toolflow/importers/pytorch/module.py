"""Graph -> PyTorch module: the float network for accuracies, for quantisation and for tests."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import fx, nn
from torch.nn import functional

from toolflow.ir.graph import ChannelMap, Graph, Node
from toolflow.ir.operator import Shape
from toolflow.operators import (
    Activation,
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Flatten,
    Linear,
    MaxPool,
    Pad,
    Relu,
    Shortcut,
)
from toolflow.operators.window import Pads
from toolflow.passes.complete_windows import needed_pads


def to_torch(graph: Graph, dtype: torch.dtype = torch.float32) -> fx.GraphModule:
    """Return a module that computes the graph, input map included, on a batch (N, C, H, W).

    Each node is a submodule called `module_name(node.name)`; one with an activation or a residual is
    followed by '…_residual' and '…_activation'. Standard layers are used wherever they say the same.
    """
    modules = nn.Module()
    built = fx.Graph()
    values = {graph.input_name: built.placeholder(module_name(graph.input_name))}

    def call(name: str, module: nn.Module, *inputs: fx.Node) -> fx.Node:
        modules.add_module(name, module)
        return built.call_module(name, inputs)

    if graph.input_map is not None:
        image = values[graph.input_name]
        values[graph.input_name] = call(f"{image.name}_map", _Map(graph.input_map), image)
    for node in graph.nodes:
        name = module_name(node.name)
        inputs = [values[tensor] for tensor in node.inputs]
        shapes = [graph.shapes[tensor] for tensor in node.inputs]
        if isinstance(node.op, Conv | Linear):
            y = call(name, _layer(node), inputs[0])
            if len(inputs) == 2:
                y = call(f"{name}_residual", _Sum(), y, inputs[1])
        else:
            y = call(name, _module(node, shapes), *inputs)
        if isinstance(node.op, Conv | Linear | Add) and node.op.activation is not Activation.NONE:
            y = call(f"{name}_activation", nn.ReLU() if node.op.activation is Activation.RELU else nn.ReLU6(), y)
        values[node.name] = y
    built.output(values[graph.output])
    return fx.GraphModule(modules, built, graph.name).to(dtype).eval()


def module_name(node_name: str) -> str:
    """Return a node's name as a Python identifier; distinct names stay distinct."""
    name = re.sub(r"\W", lambda match: "_" if match[0] == "." else f"_{ord(match[0]):x}_", node_name)
    return name if name.isidentifier() else f"_{name}"


def _tensor(node: Node, name: str) -> nn.Parameter:
    return nn.Parameter(torch.tensor(node.weights[name], dtype=torch.float64), requires_grad=False)


def _layer(node: Node) -> nn.Module:
    """Return the convolution or linear layer alone."""
    weight, bias = _tensor(node, "weight"), _tensor(node, "bias")
    if not isinstance(node.op, Conv):
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.weight, linear.bias = weight, bias
        return linear
    op = node.op
    symmetric = op.pads[:2] == op.pads[2:]
    conv = nn.Conv2d(
        weight.shape[1] * op.groups,
        weight.shape[0],
        (weight.shape[2], weight.shape[3]),
        op.stride,
        op.pads[:2] if symmetric else 0,
        op.dilation,
        op.groups,
    )
    conv.weight, conv.bias = weight, bias
    return conv if symmetric else nn.Sequential(nn.ZeroPad2d(_torch_pads(op.pads)), conv)


def _module(node: Node, shapes: Sequence[Shape]) -> nn.Module:
    match node.op:
        case MaxPool():
            return _max_pool(node.op, shapes[0])
        case AvgPool():
            return _avg_pool(node.op, shapes[0])
        case Add():
            return _Sum()
        case Concat():
            return _Concat()
        case Flatten():
            return nn.Flatten()
        case Shortcut(stride, before, after):
            pads = (0, 0, 0, 0, before, after)
            return _Function(lambda x: functional.pad(x[:, :, :: stride[0], :: stride[1]], pads))
        case Pad(pads, before, after):
            sides = (*_torch_pads(pads), before, after)
            return _Function(lambda x: functional.pad(x, sides))
        case Relu():
            return nn.ReLU() if node.op.upper is None else nn.ReLU6()
        case BatchNorm():
            norm = nn.BatchNorm2d(shapes[0][0]) if len(shapes[0]) == 3 else nn.BatchNorm1d(shapes[0][0])
            norm.eps = node.op.eps
            norm.weight, norm.bias = _tensor(node, "scale"), _tensor(node, "bias")
            norm.running_mean, norm.running_var = _tensor(node, "mean").data, _tensor(node, "variance").data
            return norm
        case _:
            raise TypeError(f"no module for {node.op.kind}")


def _torch_pads(pads: Pads) -> tuple[int, int, int, int]:
    """Return pads as PyTorch lists them: left, right, top, bottom."""
    top, left, bottom, right = pads
    return left, right, top, bottom


def _max_pool(op: MaxPool, shape: Shape) -> nn.Module:
    """Return the standard layer where equal pads on both sides give the same windows."""
    out = op.infer_shape([shape], {})
    for ceil_mode in (False, True):
        symmetric = replace(op, pads=(*op.pads[:2], *op.pads[:2]), ceil_mode=ceil_mode)
        if _torch_shape(symmetric, shape) == out:
            return nn.MaxPool2d(op.kernel, op.stride, op.pads[:2], op.dilation, ceil_mode=ceil_mode)
    pads = _torch_pads(needed_pads(op, shape))
    return _Function(
        lambda x: functional.max_pool2d(
            functional.pad(x, pads, value=-torch.inf), op.kernel, op.stride, dilation=op.dilation
        )
    )


def _torch_shape(op: MaxPool, shape: Shape) -> Shape | None:
    """Return the output's shape, None where PyTorch refuses the pool."""
    if any(2 * op.pads[axis] > op.kernel[axis] for axis in (0, 1)):
        return None
    try:
        return op.infer_shape([shape], {})
    except ValueError:
        return None


def _avg_pool(op: AvgPool, shape: Shape) -> nn.Module:
    pads = needed_pads(op, shape)
    if not any(pads):
        return nn.AvgPool2d(op.kernel, op.stride, divisor_override=op.divisor_override)
    sides = _torch_pads(pads)
    divisors = torch.from_numpy(op.divisors(shape))
    return _Function(
        lambda x: (
            functional.avg_pool2d(functional.pad(x, sides), op.kernel, op.stride, divisor_override=1)
            / divisors.to(x.dtype)
        )
    )


class _Function(nn.Module):
    """A function of one tensor."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._function(x)


class _Map(nn.Module):
    """x[c]·scale[c] + shift[c]."""

    def __init__(self, channels: ChannelMap) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(channels.scale, dtype=torch.float64).view(-1, 1, 1))
        self.register_buffer("shift", torch.tensor(channels.shift, dtype=torch.float64).view(-1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale + self.shift  # type: ignore[operator]


class _Sum(nn.Module):
    """Sum of two tensors."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a + b


class _Concat(nn.Module):
    """Concatenation along the channels."""

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return torch.cat(inputs, 1)
