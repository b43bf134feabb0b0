"""The schedule of a network on an engine: its steps in order, and the place of every tensor.

Whoever needs to know what the engine does reads it here: `plan/lower` encodes the steps, the cycle model times them,
`needs` sizes the memories, the reports describe the layers. The schedule follows from the graph and the engine alone.
No choice depends on the board, because every map lies in the banks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from toolflow.engine.config import EngineConfig, one_precision
from toolflow.engine.places import BankPlace, ExternalPlace, Region, ResultPlace, align
from toolflow.engine.records import result_record_bytes
from toolflow.engine.steps import Compute, Load, Pool, Step, StoreMap, StoreResults
from toolflow.ir.errors import ToolflowError
from toolflow.ir.operator import HardwareForm, Operator
from toolflow.ir.quantised import QuantisedGraph, QuantisedNode
from toolflow.numerics.digits import digits_needed
from toolflow.operators.folders import window_of
from toolflow.plan.schedule.compute import Maps, compute_steps
from toolflow.plan.schedule.memory import allocate, as_map, image_format
from toolflow.plan.schedule.prepare import prepare, result_tensor


@dataclass(frozen=True)
class Schedule:
    """What an engine does in every pass over a network.

    Attributes:
        graph: the network in the engine's form (`prepare`).
        config: the engine.
        places: where each tensor lies in the banks, views included; the result has no place there.
        steps: in order; the first one is the load, the last one stores the results.
    """

    graph: QuantisedGraph
    config: EngineConfig
    places: Mapping[str, BankPlace]
    steps: tuple[Step, ...]

    @property
    def load(self) -> Load:
        """The first step."""
        step = self.steps[0]
        assert isinstance(step, Load)
        return step

    @property
    def results(self) -> StoreResults:
        """The last step."""
        step = self.steps[-1]
        assert isinstance(step, StoreResults)
        return step

    @property
    def computes(self) -> tuple[Compute, ...]:
        """The steps that have weights, in the order of the weight stream."""
        return tuple(step for step in self.steps if isinstance(step, Compute))

    @property
    def stored_maps(self) -> Mapping[str, StoreMap]:
        """The steps that store a map, by tensor."""
        return {step.tensor: step for step in self.steps if isinstance(step, StoreMap)}

    def traced(self, tensors: Collection[str], images: int) -> Schedule:
        """Return the schedule that also stores some tensors, behind the results of a run of so many images.

        Raises:
            ToolflowError: no step writes a tensor to the banks.
        """
        last = {s.tensor: n for n, s in enumerate(self.steps) if isinstance(s, Load | Compute | Pool)}
        unknown = sorted(set(tensors) - (self.places.keys() & last.keys()))
        if unknown:
            raise ToolflowError(f"tensors to trace must lie in the banks, not {unknown}")
        steps: list[Step] = []
        offset = self.results.out.pitch_bytes * images
        for number, step in enumerate(self.steps):
            steps.append(step)
            if step.tensor in tensors and last.get(step.tensor) == number:
                stored = _store(self, step.tensor, offset)
                steps.append(stored)
                offset += stored.out.pitch_bytes * images
        return replace(self, steps=tuple(steps))


def make_schedule(graph: QuantisedGraph, config: EngineConfig) -> Schedule:
    """Return the schedule of a network on an engine. It is the same for all depths of the engine's memories.

    Raises:
        DoesNotFitError: a layer has a tile or outputs that no depth of this engine takes.
        ToolflowError: the graph holds something that the engine does not run.
        ValueError: the engine has two precisions; a schedule is of `config.of(narrow)`.
    """
    one_precision(config)
    prepared = prepare(graph, config.drain_k)
    in_result = result_tensor(prepared)
    digits = _input_digits(prepared, config)
    memory = allocate(prepared, config.sub_row, digits, in_result)
    maps = Maps(prepared, config, memory.places, ResultPlace(*as_map(prepared.shapes[in_result])), in_result, digits)
    steps = [step for node in prepared.nodes for step in _steps(maps, node)]
    load = _load(maps, memory.ahead, steps)
    store = _store_results(maps)
    return Schedule(prepared, config, memory.places, (load, *steps, store))


def _input_digits(graph: QuantisedGraph, config: EngineConfig) -> int:
    integer = graph.types[graph.input_name].integer
    if integer.bits <= config.activation_bits:
        return 1
    readers = graph.consumers[graph.input_name]
    wrong = [r.name for r in readers if not _reads_digits(r.op) or r.inputs[0] != graph.input_name]
    if wrong:
        raise ToolflowError(
            f"the image has {integer.bits} bits, the engine's activations {config.activation_bits}: only "
            f"convolutions can read its digits, not {wrong}"
        )
    table = graph.input_table
    return digits_needed(int(table.min()), int(table.max()), config.digit_bits)


def _reads_digits(op: Operator) -> bool:
    return (op.convolves and not op.tile) or op.renames


def _steps(maps: Maps, node: QuantisedNode) -> Iterator[Step]:
    """Yield the steps of a node, none of one that only renames or joins what others wrote."""
    form = node.op.hardware
    if form is HardwareForm.POOLING:
        yield _pool(maps, node)
    elif form is HardwareForm.CONVOLUTION:
        yield from compute_steps(maps, node)
    elif not form.is_free:
        raise ToolflowError(f"{node.op.kind} '{node.name}' does not run on the engine")


def _load(maps: Maps, ahead: str, steps: Sequence[Step]) -> Load:
    """Return the load; nothing is loaded ahead if a step then reads words of the image, be it with weights of 0."""
    graph, config = maps.graph, maps.config
    image = image_format(graph, config.sub_row)
    source = ExternalPlace(0, align(image.bytes, config.bus_bytes))
    out = maps.places[graph.input_name]
    first = next((n for n, step in enumerate(steps) if step.tensor == ahead), len(steps))
    computes = [step for step in steps[first:] if isinstance(step, Compute)]
    if any(step.source.end + step.overrun(config) > out.base for step in computes):
        ahead = ""
    return Load(graph.input_name, image, source, out, maps.input_digits, graph.input_table, ahead)


def _pool(maps: Maps, node: QuantisedNode) -> Pool:
    source, out = maps.place(node.inputs[0]), maps.places[node.name]
    window = window_of(node.op.kind)(node.op)
    signed = maps.graph.types[node.inputs[0]].integer.signed
    return Pool(node.name, source, signed, out, Region(0, 0, out.height, out.width), window)


def _store(schedule: Schedule, tensor: str, offset: int) -> StoreMap:
    config, place = schedule.config, schedule.places[tensor]
    stored = StoreMap(tensor, schedule.graph.types[tensor].integer, place, ExternalPlace(offset, 0))
    rows, words = stored.rows
    return replace(stored, out=ExternalPlace(offset, align(rows * words * config.sub_row, config.bus_bytes)))


def _store_results(maps: Maps) -> StoreResults:
    bus = maps.config.bus_bytes
    pitch = align(result_record_bytes(maps.config, maps.result.values), bus)
    return StoreResults(maps.in_result, maps.result, ExternalPlace(0, pitch))
