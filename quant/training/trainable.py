"""Convert a float graph to a trainable module that keeps tiles and patterns, and back."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Self

import torch
import torch.nn.functional as functional
from torch import nn

from quant.float_network import accumulate, apply_activation, float_node, weight_of
from quant.post_training.solution import LayerNumbers
from quant.training.fake_quantise import WeightGrid, rounded
from quant.training.native.layer import NativeLayer, can_run, infer, plain, train
from quant.training.segments import TrainableSegments
from quant.winograd.gradient import tap_reach, tile_sums
from toolflow.ir.graph import Graph, Node
from toolflow.ir.quantised import TensorType
from toolflow.numerics.srbs import support
from toolflow.operators import WinogradConv
from toolflow.passes.fuse_residual import fuse_residual

Tensor = torch.Tensor

# Input channels of a group up to which the native library computes dense layers beside pruned ones: torch multiplies
# wide ones sooner, and narrow ones cost it more than they save.
WIDEST_DIRECT, WIDEST_TILED = 32, 64
SMALLEST_GAIN = 1e-6  # of a batch norm whose layer's weights are rounded


class TrainableLayer(nn.Module):
    """A convolution or linear layer, with a batch norm or without.

    A Winograd layer trains U, each tap in units of how far it moves an output; gradients pass straight through the
    transforms. If there is a pattern, what is off the support stays 0.
    """

    reach: Tensor
    mask: Tensor | None

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.op = node.op
        weight = weight_of(node, "weight", torch.float64)
        reach = tap_reach(self.op.tile) if self.op.tile else torch.ones((), dtype=torch.float64)
        self.weight = nn.Parameter((weight * reach).float())
        self.bias = nn.Parameter(weight_of(node, "bias", torch.float32))
        self.register_buffer("reach", reach.float())
        kept = None
        if self.op.pattern is not None:
            shared = self.op.tile > 0
            kept = torch.as_tensor(support(node.weights["weight"], self.op.pattern, shared)).float()
        self.register_buffer("mask", kept)
        self.norm: nn.BatchNorm2d | None = None
        self.grid: WeightGrid | None = None
        self.observing = False
        self.frozen = False  # it keeps its weights, and takes no batch norm
        self.native = False  # whether the library may compute it
        self._described: NativeLayer | None = None

    def _load_from_state_dict(self, *given: Any) -> None:
        super()._load_from_state_dict(*given)
        self._described = None  # the mask is another one

    def _for_library(self) -> NativeLayer:
        if self._described is None:
            support = None if self.mask is None else self.mask.cpu().numpy() > 0
            self._described = NativeLayer(self.op, tuple(self.weight.shape), support)
        return self._described

    @property
    def used(self) -> Tensor:
        """The weight as the layer uses it: (K, C, kh, kw), U (K, C, t, t), or (K, F)."""
        if self.grid is None:
            return self._on_support
        on_grid: Tensor = self.grid(self._on_support)
        return on_grid

    @property
    def _on_support(self) -> Tensor:
        weight = self.weight / self.reach
        return weight if self.mask is None else weight * self.mask

    @torch.no_grad()
    def normalise(self, mean: Tensor | None = None, variance: Tensor | None = None) -> None:
        """Follow the sums by a batch norm that, for this mean and variance (K,), changes nothing.

        Kernels are brought to norm 1, the batch norm taking what that scales: a step of the optimiser then turns each
        of them as far, however large it was.
        """
        norm = nn.BatchNorm2d(len(self.bias)).to(self.bias.device)
        if mean is not None and variance is not None:
            length = self.used.mul(self.reach).flatten(1).norm(dim=1)
            length = torch.where(length > 0, length, torch.ones_like(length))
            self.weight.div_(length.view(-1, 1, 1, 1))
            norm.running_mean, norm.running_var = mean / length, variance / length**2
            norm.weight = nn.Parameter((norm.running_var + norm.eps).sqrt() * length)
            norm.bias = nn.Parameter(mean + self.bias.detach())
        self.bias.requires_grad_(False)
        self.norm = norm

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Return activation(sums + bias + residual), the bias inside the batch norm if there is one."""
        if self.native and not self.observing and can_run(x):
            layer, activation = self._for_library(), self.op.activation
            if torch.is_grad_enabled() and self.norm is not None and self.norm.training:
                return train(layer, x, self.used, self.norm, residual, activation)
            if not torch.is_grad_enabled() and not self.training:
                return infer(layer, x, self.used, *self._affine(), residual, activation)
        y = self._sums_and_bias(plain(x))
        return apply_activation(self.op.activation, y if residual is None else y + plain(residual))

    def _affine(self) -> tuple[Tensor, Tensor]:
        """Return by what the sums are multiplied and what is added to them, (K,) each, in evaluation."""
        norm = self.norm
        if norm is None or norm.running_mean is None or norm.running_var is None:
            return torch.ones_like(self.bias), self.bias
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        return scale, norm.bias - norm.running_mean * scale

    def _sums_and_bias(self, x: Tensor) -> Tensor:
        if not self.op.convolves:
            return functional.linear(x, self.used, self.bias)
        if isinstance(self.op, WinogradConv):
            sums = tile_sums(self.op, x, self.used)
        else:
            sums = accumulate(self.op, x, self.used)
        if self.observing:
            variance, mean = torch.var_mean(sums, (0, 2, 3), correction=0)
            if self.norm is None:
                self.normalise(mean, variance)
                return sums + self.bias.view(1, -1, 1, 1)  # of the weights as they were
            self.norm.running_mean, self.norm.running_var = mean, variance
        if self.norm is None:
            return sums + self.bias.view(1, -1, 1, 1)
        normalised: Tensor = self.norm(sums)
        return normalised

    @torch.no_grad()
    def trained(self, node: Node) -> Node:
        """Return the node with what was trained, the batch norm folded back."""
        scale, bias = (value.double() for value in self._affine())
        weight = self.used.double() * scale.view(-1, *[1] * (self.weight.ndim - 1))
        arrays = {"weight": weight.float().cpu().numpy(), "bias": bias.float().cpu().numpy()}
        return replace(node, weights={**node.weights, **arrays})

    @torch.no_grad()
    def weight_scale(self) -> Tensor:
        """Return the step (K,) of the integers that `trained` gives, before the shifts of their taps."""
        assert self.grid is not None
        return self.grid.scale(self._on_support).double() * self._affine()[0].double()


class TrainableNetwork(nn.Module):
    """A float graph's layers as parameters; everything else as the graph says."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph, self._run = graph, fuse_residual(graph)
        self.types: Mapping[str, TensorType] = {}
        nodes = [node for node in self._run.nodes if node.op.has_weights]
        self._place = {node.name: index for index, node in enumerate(nodes)}  # a module's name must not hold dots
        self.layers = nn.ModuleList(TrainableLayer(node) for node in nodes)
        curved = [node for node in self._run.nodes if node.op.has_curve]
        self._curve = {node.name: index for index, node in enumerate(curved)}
        self.curves = nn.ModuleList(TrainableSegments(node) for node in curved)
        if any(layer.mask is not None or layer.op.tile for layer in self.convolutions()):
            for layer in self.convolutions():
                widest = WIDEST_TILED if layer.op.tile else WIDEST_DIRECT
                layer.native = layer.mask is not None or layer.weight.shape[1] <= widest

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, classes) of normalised images (N, C, H, W)."""
        return self._walk(x, {})

    def logits_and_maps(self, x: Tensor, also: Collection[str] = ()) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the logits, and the maps (N, C, H, W) behind residual additions, or behind all layers if none adds.

        Args:
            x: normalised images (N, C, H, W).
            also: names of other tensors to return.
        """
        rounding = [
            node
            for node in self._run.nodes
            if (node.op.has_weights or (node.op.rounds and len(node.inputs) > 1)) and node.name != self._run.output
        ]
        rounding += [node for node in self._run.nodes if node.name in self._curve]
        adding = [node for node in rounding if len(node.inputs) > 1]
        maps = dict.fromkeys((*(node.name for node in adding or rounding), *also), x)
        return self._walk(x, maps), maps

    def _walk(self, x: Tensor, kept: dict[str, Tensor]) -> Tensor:
        """Return the logits; the tensors that `kept` names are put there."""
        image = self.graph.input_name
        live = {image: self._typed(image, x.contiguous(memory_format=torch.channels_last))}
        for node in self._run.nodes:
            inputs = [live[name] for name in node.inputs]
            if node.op.has_weights:
                value = self.layers[self._place[node.name]](*inputs)
            elif node.name in self._curve:
                value = self.curves[self._curve[node.name]](plain(inputs[0]))
            else:
                value = float_node(node, [plain(value) for value in inputs])
            live[node.name] = self._typed(node.name, value) if node.op.rounds else value
            if node.name in kept:
                kept[node.name] = plain(live[node.name])
        return plain(live[self._run.output]).flatten(1)

    def _typed(self, name: str, value: Tensor) -> Tensor:
        """Return a tensor as the integers of its type would have it, if it has one."""
        kind = self.types.get(name)
        if kind is None:
            return value
        return rounded(value, kind.scale, kind.integer.lower, kind.integer.upper)

    def quantised(self, types: Mapping[str, TensorType], layers: Mapping[str, LayerNumbers]) -> Self:
        """Round weights and tensors from now on as a quantised form of the network does, and return the network.

        Args:
            types: of the tensors to round.
            layers: integers and scales of the weights as they are now.
        """
        self.types = types
        for name, place in self._place.items():
            layer = self.layers[place]
            assert isinstance(layer, TrainableLayer)
            layer.grid = WeightGrid(layer.used.detach(), layers[name])
        return self

    @torch.no_grad()
    def hold_gains(self) -> None:
        """Keep the gains of rounded layers above 0: integers of another sign may be one too large for their bits."""
        for layer in self.convolutions():
            if layer.grid is not None and layer.norm is not None:
                layer.norm.weight.clamp_(min=SMALLEST_GAIN)

    def weight_scales(self) -> dict[str, Tensor]:
        """Return the step (K,) of every layer's integers, where weights are rounded."""
        found = {}
        for name, place in self._place.items():
            layer = self.layers[place]
            assert isinstance(layer, TrainableLayer)
            found[name] = layer.weight_scale()
        return found

    def convolutions(self) -> Iterator[TrainableLayer]:
        """Return the layers that take a batch norm."""
        for layer in self.layers:
            assert isinstance(layer, TrainableLayer)
            if layer.op.convolves and not layer.frozen:
                yield layer

    def training_only(self, names: Collection[str] | None) -> Self:
        """Train only the layers of these names, None for all; return the network. Call it before `with_norms`."""
        for name, place in self._place.items():
            if names is not None and name not in names:
                layer = self.layers[place].requires_grad_(requires_grad=False)
                assert isinstance(layer, TrainableLayer)
                layer.frozen = True
        return self

    @torch.no_grad()
    def with_norms(self, x: Tensor | None) -> Self:
        """Follow every convolution by a batch norm with the statistics of x (N, C, H, W), and return the network.

        A simplified graph has its batch norms folded, and trains badly without. Those put in change nothing at first;
        those that are there get new means and variances. Where x is None they get none: a state is loaded next.
        """
        if x is None:
            for layer in self.convolutions():
                layer.normalise()
            return self
        with self._observing():
            self.eval()(x)
        return self

    @contextmanager
    def _observing(self) -> Iterator[None]:
        observers = [*self.convolutions(), *self.curves]
        for each in observers:
            each.observing = True
        yield
        for each in observers:
            each.observing = False

    def trained(self) -> Graph:
        """Return the graph with the weights as they are now."""
        return replace(self.graph, nodes=tuple(self._trained(node) for node in self.graph.nodes))

    def _trained(self, node: Node) -> Node:
        module: nn.Module | None = None
        if node.name in self._place:
            module = self.layers[self._place[node.name]]
        elif node.name in self._curve:
            module = self.curves[self._curve[node.name]]
        return module.trained(node) if isinstance(module, TrainableLayer | TrainableSegments) else node
