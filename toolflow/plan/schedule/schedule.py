"""The schedule of a network on an engine: its steps in order, and the place of every tensor.

Whoever needs to know what the engine does reads it here: `plan/lower` encodes the steps, the cycle model times them,
`needs` sizes the memories, the reports describe the layers. The schedule follows from the graph, the engine and the
words of its banks: maps that they do not hold lie in external memory, and their layers run in bands of rows (`bands`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace

from toolflow.engine.config import EngineConfig, one_precision
from toolflow.engine.places import BankPlace, ExternalPlace, Region, ResultPlace, Stripes, align, map_row_bytes
from toolflow.engine.positions import row_cycles
from toolflow.engine.records import result_record_bytes
from toolflow.engine.steps import (
    Compute,
    Fill,
    Load,
    Pool,
    Spill,
    Step,
    StoreMap,
    StoreResults,
    images_of_pass,
    moved_rows,
    with_windows,
)
from toolflow.ir.errors import ToolflowError
from toolflow.ir.operator import HardwareForm, Operator
from toolflow.ir.quantised import QuantisedGraph, QuantisedNode
from toolflow.numerics.digits import digits_needed
from toolflow.operators.folders import window_of
from toolflow.plan.schedule.bands import Banding
from toolflow.plan.schedule.compute import Maps, compute_steps, residual_tensor
from toolflow.plan.schedule.copies import Copies
from toolflow.plan.schedule.layer import Computing, Layer
from toolflow.plan.schedule.layouts import striped_layers
from toolflow.plan.schedule.load_ahead import with_load_ahead
from toolflow.plan.schedule.memory import allocate, as_map, homes_of, image_format
from toolflow.plan.schedule.movement import Movement
from toolflow.plan.schedule.prepare import prepare, result_tensor
from toolflow.plan.schedule.word_positions import with_few_rows


@dataclass(frozen=True)
class Schedule:
    """What an engine does in every pass over a network.

    Attributes:
        graph: the network in the engine's form (`prepare`).
        config: the engine.
        places: where each tensor lies in the banks, views included; not the result, nor maps in external memory.
        steps: in order; a load comes before what reads the banks, the last one stores the results.
    """

    graph: QuantisedGraph
    config: EngineConfig
    places: Mapping[str, BankPlace]
    steps: tuple[Step, ...]

    @property
    def load(self) -> Load:
        """The first load; in stripes a window comes before it."""
        return next(step for step in self.steps if isinstance(step, Load))

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
    def images_of_pass(self) -> int:
        """Images that a pass takes: one for each lane, or a single one whose rows lie in all lanes."""
        return images_of_pass(self.steps, self.config)

    @property
    def map_bytes(self) -> int:
        """Bytes of the maps in external memory."""
        moves = [(s.source if isinstance(s, Fill) else s.out) for s in self.steps if isinstance(s, Fill | Spill)]
        return max((place.offset_bytes + self.images_of_pass * place.pitch_bytes for place in moves), default=0)

    @property
    def moved_bytes(self) -> int:
        """Bytes of images and maps that a pass reads and writes for each image, weights and results left out."""
        moved = 0
        for step in self.steps:
            if isinstance(step, Load | Fill | Spill):
                moved += moved_rows(step, self.config.lanes_p) * _row_bytes(step, self.config)
        return moved

    @property
    def stored_maps(self) -> Mapping[str, tuple[StoreMap, ...]]:
        """The steps that store a map, or its bands from the first row to the last, by tensor."""
        found: dict[str, list[StoreMap]] = {}
        for step in self.steps:
            if isinstance(step, StoreMap):
                found.setdefault(step.tensor, []).append(step)
        return {tensor: tuple(steps) for tensor, steps in found.items()}

    @property
    def traceable(self) -> frozenset[str]:
        """The tensors that can be traced: those that steps write to the banks, each row once."""
        loads = [step for step in self.steps if isinstance(step, Load)]
        written = {s.tensor for s in self.steps if isinstance(s, Compute | Pool) and isinstance(s.out, BankPlace)}
        return frozenset(written | ({self.load.tensor} if len(loads) == 1 else set()))

    def traced(self, tensors: Collection[str], images: int) -> Schedule:
        """Return the schedule that also stores some tensors, behind the results of a run of so many images.

        Raises:
            ToolflowError: no step writes a tensor to the banks.
        """
        unknown = sorted(set(tensors) - self.traceable)
        if unknown:
            raise ToolflowError(f"tensors to trace must lie in the banks, not {unknown}")
        last = {}  # step that writes each tensor, or each band of it, last
        for number, step in enumerate(self.steps):
            if isinstance(step, Load | Compute | Pool) and step.tensor in tensors:
                last[step.tensor, 0 if isinstance(step, Load) else step.top] = number
        writing = set(last.values())
        steps: list[Step] = []
        offset = self.results.out.pitch_bytes * images
        for number, step in enumerate(self.steps):
            steps.append(step)
            if number in writing:
                assert isinstance(step, Load | Compute | Pool)
                assert isinstance(step.out, BankPlace)
                stripes = step.stripes if isinstance(step, Load) else step.out_stripes
                stored = _store(self, step.tensor, step.out, offset, stripes)
                steps.append(stored)
                offset += stored.out.pitch_bytes * images
        return replace(self, steps=tuple(steps))


def _row_bytes(step: Load | Fill | Spill, config: EngineConfig) -> int:
    if isinstance(step, Load):
        return step.image.row_bytes
    return map_row_bytes(step.out if isinstance(step, Fill) else step.source, config)


def make_schedule(graph: QuantisedGraph, config: EngineConfig, bank_words: int | None = None) -> Schedule:
    """Return the schedule of a network on an engine. It is the same for all depths of the engine's memories.

    Args:
        graph: the integer network.
        config: the engine.
        bank_words: of each bank; None if all maps lie there, whatever the banks' depth.

    Raises:
        DoesNotFitError: a layer has a tile or outputs that no depth of this engine takes, or the banks do not hold a
            band of it.
        ToolflowError: the graph holds something that the engine does not run.
        ValueError: the engine has two precisions; a schedule is of `config.of(narrow)`.
    """
    return Scheduler(graph, config).schedule(bank_words)


def schedule_of(graph: QuantisedGraph, engine: EngineConfig) -> Schedule:
    """Return the schedule of a network on an engine as it is: without `external_maps` its banks hold all maps.

    Raises:
        DoesNotFitError, ToolflowError, ValueError: as `make_schedule`.
    """
    return make_schedule(graph, engine, engine.bank_depth if engine.external_maps else None)


class Scheduler:
    """Makes the schedules of a network on one engine for any number of words of its banks.

    Args:
        graph: the integer network.
        config: the engine.

    Attributes:
        words: that the banks need to hold all maps.

    Raises:
        DoesNotFitError, ToolflowError, ValueError: as `make_schedule`.
    """

    def __init__(self, graph: QuantisedGraph, config: EngineConfig) -> None:
        one_precision(config)
        self.config, self.graph = config, prepare(graph, config.drain_k)
        in_result = result_tensor(self.graph)
        digits = _input_digits(self.graph, config)
        memory = allocate(self.graph, config.sub_row, digits, in_result)
        result = ResultPlace(*as_map(self.graph.shapes[in_result]))
        maps = Maps(self.graph, config, memory.places, result, in_result, digits)
        steps_of = with_few_rows((tuple(_steps(maps, node)) for node in self.graph.nodes), config)
        steps = [step for of in steps_of for step in of]
        self._load, self._store = _load(maps, memory.ahead, steps), _store_results(maps)
        self._whole = Schedule(self.graph, config, memory.places, (self._load, *steps, self._store))
        self._overrun = max((step.overrun(config) for step in steps if isinstance(step, Compute)), default=0)
        self.words = self._whole_words = memory.words + self._overrun
        numbered = enumerate(zip(self.graph.nodes, steps_of, strict=True))
        homes = homes_of(self.graph, config.sub_row, digits, in_result)
        layers = [_layer(maps, time, node, of) for time, (node, of) in numbered if of]
        self._row_cycles = {layer.time: row_cycles(config, layer.whole) for layer in layers}
        self._copies = Copies(homes, layers, self.graph.input_name, {})
        self._striped, self._loads_ahead = False, True
        if config.stripes:
            self._lay_in_stripes()

    def in_stripes(self, lanes_p: int, faster: float = 1.0) -> Scheduler:
        """Return what makes the schedules of one image over so many lanes, if layers are so much faster than here.

        It leaves out when the next image may come, which takes longer to find than the rest.
        """
        other = copy(self)
        other._loads_ahead = False
        other._row_cycles = {time: cycles / faster for time, cycles in self._row_cycles.items()}
        other.config = self.config.model_copy(update={"lanes_p": lanes_p, "stripes": True})
        other._lay_in_stripes()
        return other

    def _lay_in_stripes(self) -> None:
        """Choose the rows of a lane for every map that is to lie in stripes."""
        homes, layers = self._copies.homes, self._copies.layers
        layers, written = striped_layers(homes, layers, self._load, self.config, self._row_cycles)
        self._striped = any(written.values())
        if self._striped:
            self._copies = Copies(homes, layers, self.graph.input_name, written)
            whole = Banding(self._copies, self._load, self.config, None)
            self._whole, self._whole_words = self._moved(whole), whole.end + self._overrun
            self.words = whole.least + self._overrun

    def schedule(self, bank_words: int | None) -> Schedule:
        """Return the schedule for so many words of each bank; None if they hold all maps.

        Raises:
            DoesNotFitError: the banks do not hold a band of one layer.
        """
        if bank_words is None or self._whole_words <= bank_words:
            return self._whole
        return self._moved(Banding(self._copies, self._load, self.config, bank_words - self._overrun))

    def _moved(self, banding: Banding) -> Schedule:
        """Return the schedule in which maps move, with the banks as they are divided."""
        movement = Movement(banding, self._striped)
        steps: tuple[Step, ...] = (*movement.steps(), self._store)
        if self._striped and self._loads_ahead:
            steps = with_load_ahead(steps, self.config)
        return Schedule(self.graph, self.config, movement.places(), with_windows(steps))


def _layer(maps: Maps, time: int, node: QuantisedNode, steps: tuple[Computing, ...]) -> Layer:
    """Return the steps of a node with the tensors that they read."""
    added = isinstance(steps[0], Compute) and steps[0].residual is not None
    return Layer(time, steps, node.inputs[0], residual_tensor(maps.graph, node) if added else None)


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


def _steps(maps: Maps, node: QuantisedNode) -> Iterator[Computing]:
    """Yield the steps of a node, none of one that only renames or joins what others wrote."""
    form = node.op.hardware
    if form is HardwareForm.POOLING:
        yield _pool(maps, node)
    elif form is HardwareForm.CONVOLUTION:
        yield from compute_steps(maps, node)
    elif not form.is_free:
        raise ToolflowError(f"{node.op.kind} '{node.name}' does not run on the engine")


def _load(maps: Maps, ahead: str, steps: Sequence[Computing]) -> Load:
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


def _store(schedule: Schedule, tensor: str, place: BankPlace, offset: int, stripes: Stripes | None) -> StoreMap:
    config = schedule.config
    stored = StoreMap(tensor, schedule.graph.types[tensor].integer, place, ExternalPlace(offset, 0), stripes)
    rows, words = stored.rows
    pitch = align(rows * words * config.sub_row, config.bus_bytes) * (1 if stripes is None else config.lanes_p)
    return replace(stored, out=ExternalPlace(offset, pitch))


def _store_results(maps: Maps) -> StoreResults:
    bus = maps.config.bus_bytes
    pitch = align(result_record_bytes(maps.config, maps.result.values), bus)
    return StoreResults(maps.in_result, maps.result, ExternalPlace(0, pitch))
