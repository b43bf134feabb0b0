"""Extract integers from Brevitas: of the weights, and of every tensor of an inference."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from quant.config import Family, Normalisation
from quant.exchange.brevitas_model import BrevitasModel, average_ratio
from quant.post_training.multipliers import multipliers
from toolflow.ir.activation import Activation
from toolflow.ir.graph import Node
from toolflow.ir.quantised import QuantisedGraph, QuantisedNode, TensorType, verify_quantised
from toolflow.numerics.requantise import Requantise

FloatArray = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]


def to_quantised_graph(
    model: BrevitasModel, normalisation: Normalisation, family: Family, variant: str
) -> QuantisedGraph:
    """Return the integer network that the accelerator runs.

    Weights and biases are Brevitas' integers; the input table is its input quantiser, applied to
    every pixel value.
    """
    graph, types = model.graph, model.types
    layers = model.weights()
    nodes = []
    for node in graph.nodes:
        source, output = types[node.inputs[0]], types[node.name]
        residual = types[node.inputs[1]].scale / output.scale if len(node.inputs) == 2 else None
        if node.op.has_weights:
            numbers = layers[node.name]
            ratio = source.scale * numbers.weight_scale / output.scale / node.op.sum_scale
            weights = {"weight": numbers.weight}
            if numbers.exponent is not None:
                weights["exponent"] = numbers.exponent
            rule = _rule(node, output, ratio, residual, numbers.bias)
            nodes.append(QuantisedNode(node.name, node.op, node.inputs, weights, rule, numbers.weight_bits))
        elif node.op.rounds:
            divisors = np.array(node.op.rule_divisors(graph.shapes[node.inputs[0]]))
            ratio = np.repeat(average_ratio(source, output, divisors), graph.shapes[node.name][0])
            nodes.append(QuantisedNode(node.name, node.op, node.inputs, {}, _rule(node, output, ratio, residual)))
        else:
            nodes.append(QuantisedNode(node.name, node.op, node.inputs))
    quantised = QuantisedGraph(
        name=graph.name,
        variant=variant,
        family=family,
        input_name=graph.input_name,
        input_shape=graph.input_shape,
        input_table=input_table(model, normalisation),
        nodes=tuple(nodes),
        output=graph.output,
        types=types,
    )
    verify_quantised(quantised)
    return quantised


def input_table(model: BrevitasModel, normalisation: Normalisation) -> Int64Array:
    """Return the first layer's integer of every pixel value: int64 (C, 256), one rounding."""
    channels = model.graph.input_shape[0]
    values = torch.as_tensor(normalisation.table(channels)).view(1, channels, 1, 256)
    with torch.no_grad():
        table: Int64Array = model.image(values).int(float_datatype=True).view(channels, 256).numpy().astype(np.int64)
    return table


def _rule(
    node: Node, output: TensorType, ratio: FloatArray, residual: float | None, bias: Int64Array | None = None
) -> Requantise:
    held = multipliers(node.name, ratio, residual, node.op.max_residual_shift)
    activation = node.op.activation
    lower = output.integer.lower if activation is Activation.NONE else max(output.integer.lower, 0)
    upper = output.integer.upper
    if activation.upper is not None:
        upper = min(upper, int(np.rint(activation.upper / output.scale)))
    offset = np.zeros(len(ratio), dtype=np.int64) if bias is None else bias
    return Requantise(offset, held.multiplier, held.shift, lower, upper, held.residual, held.residual_shift)


def brevitas_integers(
    model: BrevitasModel, images: npt.NDArray[np.uint8], normalisation: Normalisation
) -> dict[str, Int64Array]:
    """Return the integers of every tensor of Brevitas' own float64 inference on uint8 images (N, H, W, C)."""
    return integers_of(model, normalisation.apply(images))


def integers_of(model: BrevitasModel, x: FloatArray, batch: int = 16) -> dict[str, Int64Array]:
    """Return the same for the network's real input, float64 (N, C, H, W)."""
    parts: list[dict[str, Int64Array]] = []
    with torch.no_grad():
        for start in range(0, len(x), batch):
            tensors = model.tensors(torch.as_tensor(x[start : start + batch]), None)
            parts.append({name: _integers(t.value, t.scale) for name, t in tensors.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _integers(value: torch.Tensor, scale: torch.Tensor) -> Int64Array:
    return torch.round(value / scale).to(torch.int64).numpy()
