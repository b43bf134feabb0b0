"""Steps of the array: from a node that multiplies to the convolution that the engine runs, place by place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from toolflow.engine.config import EngineConfig
from toolflow.engine.places import BankPlace, Region, ResultPlace
from toolflow.engine.records import RESULT_BITS
from toolflow.engine.rows import LayerWeights, layer_weights, plan_walk
from toolflow.engine.steps import Compute, Residual, Window
from toolflow.ir.errors import DoesNotFitError, ToolflowError
from toolflow.ir.operator import HardwareForm
from toolflow.ir.quantised import QuantisedGraph, QuantisedNode
from toolflow.numerics.digits import digits_needed
from toolflow.numerics.winograd import KERNEL
from toolflow.operators.convolution import Convolution
from toolflow.operators.folders import edges_of, hardware_of, sampling_of
from toolflow.plan.schedule.memory import as_map, image_format


@dataclass(frozen=True)
class Maps:
    """Where the tensors of a prepared network lie on an engine.

    Attributes:
        graph, config: the network and the engine.
        places: of the tensors in the banks.
        result, in_result: the place in the result memory, and the tensor that goes there.
        input_digits: digits into which the load cuts the image.
    """

    graph: QuantisedGraph
    config: EngineConfig
    places: Mapping[str, BankPlace]
    result: ResultPlace
    in_result: str
    input_digits: int

    def origin(self, tensor: str) -> str:
        """Return the tensor seen through flattening."""
        while tensor in self.graph.by_name and self.graph.by_name[tensor].op.renames:
            tensor = self.graph.by_name[tensor].inputs[0]
        return tensor

    def digits(self, tensor: str) -> int:
        """Return the digits into which a tensor's elements are cut."""
        return self.input_digits if self.origin(tensor) == self.graph.input_name else 1

    def place(self, tensor: str) -> BankPlace:
        """Return where a tensor that is read lies.

        Raises:
            ToolflowError: its elements are not in the order that the network means.
        """
        producer = self.graph.by_name.get(tensor)
        if producer is not None and producer.op.joins and len(self.graph.shapes[tensor]) == 1:
            spatial = [t for t in producer.inputs if self._is_flattened_map(t)]
            if spatial:
                raise ToolflowError(
                    f"concat '{tensor}' joins flattened maps {spatial}: concatenate the maps before flattening"
                )
        return self.places[tensor]

    def _is_flattened_map(self, tensor: str) -> bool:
        node = self.graph.by_name.get(tensor)
        return node is not None and node.op.renames and self.graph.shapes[node.inputs[0]][1:] not in ((1, 1), ())


def compute_steps(maps: Maps, node: QuantisedNode) -> tuple[Compute, ...]:
    """Return the steps of a node that multiplies: one, and one more for each part of an average pool's edges.

    Raises:
        DoesNotFitError: it has a tile or outputs that the engine does not take.
        ToolflowError: it reads what the engine cannot.
    """
    source = as_map(maps.graph.shapes[maps.origin(node.inputs[0])])
    whole = _step(maps, node, hardware_of(node.op.kind)(node, source))
    edges = edges_of(node.op.kind)
    parts = edges(node, source) if edges else ()
    return whole, *(
        replace(whole, name=f"{node.name} {number}", region=region, rule=form.rule, place_macs=0, direct_place_macs=0)
        for number, (region, form) in enumerate(parts, start=2)
    )


def _step(maps: Maps, node: QuantisedNode, form: Convolution) -> Compute:
    config, kind = maps.config, maps.graph.types[node.inputs[0]].integer
    if form.tile > config.tile:
        raise DoesNotFitError(f"'{node.name}' has tile {form.tile}, the engine transforms up to {config.tile}")
    source, digits = maps.place(node.inputs[0]), maps.digits(node.inputs[0])
    weights = _weights(maps, form, source, digits)
    return Compute(
        name=node.name,
        tensor=node.name,
        source=source,
        signed=kind.signed or digits > 1,
        out=_out(maps, node),
        region=Region(0, 0, *as_map(maps.graph.shapes[node.name])[1:]),
        window=_window(form),
        weights=weights,
        walk=plan_walk(config, weights),
        rule=form.rule,
        residual=_residual(maps, node) if len(node.inputs) > 1 else None,
        tile=form.tile,
        exponent=form.exponent,
        place_macs=form.place_macs,
        direct_place_macs=form.direct_place_macs,
        accumulator_bits=form.accumulator_bits(kind),
    )


def _weights(maps: Maps, form: Convolution, source: BankPlace, digits: int) -> LayerWeights:
    config, weight_digits = maps.config, 1
    if form.weight_bits > config.weight_bits:
        weight_digits = digits_needed(int(form.weight.min()), int(form.weight.max()), config.digit_bits)
    channel = np.array(source.channel, dtype=np.int64)
    step = image_format(maps.graph, config.sub_row).digit_step(digits, config.sub_row) if digits > 1 else 0
    return layer_weights(
        form.weight, form.groups, weight_digits, config.digit_bits, channel, source.words, digits, step, form.tile > 0
    )


def _window(form: Convolution) -> Window:
    kernel = (KERNEL, KERNEL) if form.tile else (form.weight.shape[2], form.weight.shape[3])
    return Window(kernel, form.stride, (form.pads[0], form.pads[1]), form.dilation)


def _out(maps: Maps, node: QuantisedNode) -> BankPlace | ResultPlace:
    to_result = node.name == maps.in_result
    limit = RESULT_BITS if to_result else maps.config.activation_bits
    integer = maps.graph.types[node.name].integer
    if integer.bits > limit:
        raise DoesNotFitError(
            f"'{node.name}' has {integer} outputs; the engine holds at most {limit} bits there: "
            f"give it fewer (--layer-bits), or {_more_bits(maps)}"
        )
    return maps.result if to_result else maps.places[node.name]


def _more_bits(maps: Maps) -> str:
    return "run it as a wide program" if maps.config.narrow else "the engine more (--engine activation_bits=N)"


def residual_tensor(graph: QuantisedGraph, node: QuantisedNode) -> str:
    """Return the tensor whose map the residual of a node is read from, seen through a sampling shortcut."""
    producer = graph.by_name.get(node.inputs[1])
    sampled = producer is not None and producer.op.hardware is HardwareForm.SAMPLING
    return producer.inputs[0] if producer is not None and sampled else node.inputs[1]


def _residual(maps: Maps, node: QuantisedNode) -> Residual:
    tensor, stride, first_channel = residual_tensor(maps.graph, node), (1, 1), 0
    producer = maps.graph.by_name.get(node.inputs[1])
    if producer is not None and producer.op.hardware is HardwareForm.SAMPLING:
        stride, first_channel = sampling_of(producer.op.kind)(producer.op)
    kind = maps.graph.types[tensor].integer
    if maps.digits(tensor) > 1:
        raise ToolflowError(
            f"'{node.name}' adds the image itself, which has {kind.bits} bits: "
            f"more than the {maps.config.activation_bits} bits of the engine's activations"
        )
    place = maps.place(tensor)
    if not place.contiguous:
        raise ToolflowError(f"the residual '{tensor}' of '{node.name}' must be one map without gaps")
    return Residual(place, kind.signed, stride, first_channel)
