"""From the float graph of a quantised network to integers, without calibration and bit for bit.

Between two layers the file may round several times: conv ─ quant ─ relu ─ coarser quant. A layer's requantisation
rounds once. As much of such a chain as is one rounding goes into the layer; each further rounding becomes a layer of
its own that passes every channel on, unless it changes no number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from toolflow.importers.quantised.additions import round_addition
from toolflow.importers.quantised.pointwise import evaluate, is_pointwise, last_step
from toolflow.importers.quantised.rules import Rounded, nearest_logits, raw_sums, round_signal, round_sums
from toolflow.importers.quantised.sums import WEIGHT_BITS, Signal, Sums, identity_sums, sums_of
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph, Node
from toolflow.ir.operator import Operator
from toolflow.ir.quantised import QuantisedGraph, QuantisedNode, TensorType, verify_quantised
from toolflow.numerics.types import IntegerType, smallest_signed_bits
from toolflow.operators import Add
from toolflow.operators.fake_quant.spec import FakeQuant

FloatArray = npt.NDArray[np.float64]

ACTIVATION_BITS = 8  # of a tensor inside the network
OUTPUT_BITS = 16  # of logits that the file does not round: what the engine writes, and the confidence reads
EXAMPLES = 3


@dataclass(frozen=True)
class Lowered:
    """A quantised network as integers.

    Attributes:
        graph: the integers.
        origin: for each of its tensors the tensor of the float graph whose numbers it holds.
        notes: sentences about layers that were added.
        logits_off: how far the logits may be from the file, which does not round them; 0 if they are exact.
    """

    graph: QuantisedGraph
    origin: Mapping[str, str]
    notes: tuple[str, ...]
    logits_off: float = 0.0


def lower(graph: Graph, pixels: FloatArray, variant: str) -> Lowered:
    """Return the integers of a quantised network.

    Args:
        graph: the float graph with its `FakeQuant` nodes.
        pixels: float64 (C, 256), the network's input for each pixel value.
        variant: what the result is called.

    Raises:
        ToolflowError: the engine cannot compute a node exactly; the text names it.
    """
    return _Lowering(graph, pixels).result(variant)


class _Lowering:
    """Goes through the nodes in order; a tensor is made when a node that is no pointwise one reads it."""

    def __init__(self, graph: Graph, pixels: FloatArray) -> None:
        self._graph = graph
        self._pixels = pixels
        self._signals: dict[str, Signal] = {}  # by tensor of the float graph
        self._sums: dict[str, Sums] = {}
        self._nodes: list[QuantisedNode] = []
        self._ranges: dict[str, tuple[int, int]] = {}
        self._units: dict[str, Fraction] = {}
        self._origin: dict[str, str] = {}
        self._added: list[str] = []
        self._wide: list[str] = []
        self._logits_off = 0.0
        self._table = np.zeros((graph.input_shape[0], 256), np.int64)

    def result(self, variant: str) -> Lowered:
        """Lower every node and return the graph."""
        for node in self._graph.nodes:
            if not is_pointwise(node):
                self._layer(node)
        output = self._signal(self._graph.output)
        types = {name: TensorType(_kind(*bounds), float(self._units[name])) for name, bounds in self._joined().items()}
        graph = QuantisedGraph(
            name=self._graph.name,
            variant=variant,
            family=_family(self._nodes),
            input_name=self._graph.input_name,
            input_shape=self._graph.input_shape,
            input_table=self._table,
            nodes=tuple(self._nodes),
            output=output.tensor,
            types=types,
        )
        wide = [name for name, kind in types.items() if kind.integer.bits > ACTIVATION_BITS and name != output.tensor]
        if wide:
            raise ToolflowError(
                f"tensor '{wide[0]}' must have at most {ACTIVATION_BITS} bits, not {types[wide[0]].integer.bits}: "
                "quantise it with fewer bits"
            )
        verify_quantised(graph)
        return Lowered(graph, self._origin, self._notes(), self._logits_off)

    def _layer(self, node: Node) -> None:
        """Compute the sums of a node, or make its tensor if it rounds nothing."""
        if node.op.has_weights or node.op.kind == "avg_pool":
            operand = self._signal(node.inputs[0])
            self._sums[node.name] = sums_of(node, operand, self._graph.shapes[node.inputs[0]])
        elif isinstance(node.op, Add):
            return  # its operands are made when it is rounded
        else:
            self._moved(node)

    def _moved(self, node: Node) -> None:
        """Make the tensor of a node that only moves or compares integers."""
        operands = [self._signal(tensor) for tensor in node.inputs]
        units = {operand.unit for operand in operands}
        if len(units) > 1:
            shown = ", ".join(f"'{name}' {float(s.unit):g}" for name, s in zip(node.inputs, operands, strict=True))
            raise ToolflowError(
                f"{node.op.kind} '{node.name}': all operands must have one scale, not {shown}; give them one "
                "quantiser, or quantise each with the same scale"
            )
        lower, upper = min(each.lower for each in operands), max(each.upper for each in operands)
        if node.op.kind == "shortcut":
            lower, upper = min(lower, 0), max(upper, 0)
        signal = Signal(node.name, operands[0].unit, lower, upper)
        self._keep(QuantisedNode(node.name, node.op, tuple(each.tensor for each in operands)), signal, node.name)
        self._signals[node.name] = signal

    def _signal(self, tensor: str) -> Signal:
        """Return a tensor's integers, which are made if they are not there yet."""
        if tensor in self._signals:
            return self._signals[tensor]
        base, chain = self._chain(tensor)
        root = next((i for i in range(len(chain), 0, -1) if chain[i - 1].name in self._signals), 0)
        if root == 0 and base not in self._signals:
            root = self._root(base, chain, tensor)
        signal = self._signals[chain[root - 1].name if root else base]
        return self._further(signal, chain[root:], tensor)

    def _chain(self, tensor: str) -> tuple[str, list[Node]]:
        """Return the tensor that pointwise nodes make a tensor of, and these nodes."""
        chain: list[Node] = []
        while (node := self._graph.by_name.get(tensor)) is not None and is_pointwise(node):
            chain.insert(0, node)
            tensor = node.inputs[0]
        return tensor, chain

    def _root(self, base: str, chain: Sequence[Node], tensor: str) -> int:
        """Make the first tensor behind a layer or the image; return how many nodes of the chain are in it."""
        shared = self._shared(base, chain)
        if base == self._graph.input_name:
            return self._image(shared or chain)
        node = self._graph.by_name[base]
        for length in range(len(shared or chain), 0, -1):
            rounded, inputs = self._round(node, chain[:length])
            if rounded is not None:
                self._emit(base, chain[length - 1].name, rounded, inputs)
                return length
        if base in self._sums and not chain:
            is_output = tensor == self._graph.output
            rounded = raw_sums(self._sums[base], OUTPUT_BITS if is_output else ACTIVATION_BITS)
            if rounded is None and is_output:
                rounded, self._logits_off = nearest_logits(self._sums[base], OUTPUT_BITS)
            if rounded is not None:
                self._emit(base, base, rounded, [self._sums[base].operand.tensor])
                return 0
        raise ToolflowError(self._refusal(node, chain))

    def _round(self, node: Node, chain: Sequence[Node]) -> tuple[Rounded | None, list[str]]:
        if not isinstance(node.op, Add):
            sums = self._sums[node.name]
            return round_sums(sums, chain), [sums.operand.tensor]
        operands = [self._signal(name) for name in node.inputs]
        return round_addition(operands, chain, self._graph.shapes[node.name][0]), [each.tensor for each in operands]

    def _refusal(self, node: Node, chain: Sequence[Node]) -> str:
        what = f"{node.op.kind} '{node.name}'"
        quant = next((each for each in chain if isinstance(each.op, FakeQuant)), None)
        if quant is None:
            return (
                f"{what}: its result must be quantised before another layer reads it; add a Quant node of at most "
                f"{ACTIVATION_BITS} bits behind it"
            )
        if getattr(quant.op, "single", False):
            return (
                f"{what}: '{quant.name}' rounds sums that float32 does not hold exactly, so that they are not known; "
                "quantise the bias with the product of the scales of operand and weights; average over powers of two"
            )
        return (
            f"{what}: '{quant.name}' rounds its sums with a scale that no 16-bit multiplier gives exactly; nearest is "
            "a scale that is a power of two times the scales of its operand and weights"
        )

    def _shared(self, base: str, chain: Sequence[Node]) -> list[Node]:
        """Return the nodes behind a tensor that all of its readers have in common."""
        shared: list[Node] = []
        tensor = base
        for node in chain:
            readers = self._graph.consumers.get(tensor, ())
            if len(readers) > 1 or tensor == self._graph.output:
                break
            shared.append(node)
            tensor = node.name
        return shared

    def _image(self, chain: Sequence[Node]) -> int:
        """Fill the input table with what a chain makes of each pixel value."""
        length = next((i for i in range(len(chain), 0, -1) if last_step(chain[:i]) is not None), 0)
        if self._graph.input_name in self._ranges:
            raise ToolflowError(
                f"the image '{self._graph.input_name}' is quantised in several ways; quantise it once, for all readers"
            )
        step = last_step(chain[:length]) if length else None
        if step is None:
            raise ToolflowError(
                f"the image '{self._graph.input_name}' must be quantised before the first layer reads it; add a Quant "
                "node of 8 bits behind the input"
            )
        values = evaluate(chain[:length], self._pixels)
        self._table = np.rint(values / step).astype(np.int64)
        quant = next(node.op for node in reversed(chain[:length]) if isinstance(node.op, FakeQuant))
        lower, upper = (quant.lower, quant.upper) if not quant.bipolar else (-1, 1)
        signal = Signal(self._graph.input_name, Fraction(step), lower, upper)
        self._ranges[signal.tensor], self._units[signal.tensor] = (lower, upper), signal.unit
        self._origin[signal.tensor] = chain[length - 1].name
        self._signals[chain[length - 1].name] = signal
        return length

    def _further(self, signal: Signal, chain: Sequence[Node], tensor: str) -> Signal:
        """Make what a chain makes of a tensor: as few layers as are exact."""
        if not chain:
            self._signals[tensor] = signal
            return signal
        shape = self._graph.shapes[tensor]
        for length in range(len(chain), 0, -1):
            name = chain[length - 1].name
            identity = identity_sums(name, signal, shape)
            made = round_signal(signal, chain[:length], identity)
            if isinstance(made, Rounded):
                self._emit(name, name, made, [signal.tensor], identity)
                self._added.append(name)
            elif made is not None:
                self._signals[name] = made
            else:
                continue
            return self._further(self._signals[name], chain[length:], tensor)
        raise ToolflowError(
            f"'{chain[0].name}': no requantisation of 16-bit multipliers gives its integers exactly for all of "
            f"{signal.lower} to {signal.upper}; nearest is a scale that is a power of two times {float(signal.unit):g}"
        )

    def _emit(self, base: str, origin: str, rounded: Rounded, inputs: Sequence[str], form: Sums | None = None) -> None:
        """Add a layer; `origin` is the float graph's tensor whose numbers it makes."""
        name = base if base not in self._ranges else origin
        op: Operator = Add() if form is None and base not in self._sums else (form or self._sums[base]).op
        weights = {} if isinstance(op, Add) else {"weight": rounded.weight}
        bits = 0
        if weights:
            bits = max(smallest_signed_bits(int(rounded.weight.min()), int(rounded.weight.max())), 2)
            if bits > WEIGHT_BITS:
                self._wide.append(name)
        node = QuantisedNode(name, op, tuple(inputs), weights, rounded.rule, bits)
        self._keep(node, Signal(name, rounded.unit, rounded.lower, rounded.upper), origin)
        self._signals[origin] = Signal(name, rounded.unit, rounded.lower, rounded.upper)

    def _keep(self, node: QuantisedNode, signal: Signal, origin: str) -> None:
        self._nodes.append(node)
        self._ranges[node.name] = signal.lower, signal.upper
        self._units[node.name] = signal.unit
        self._origin[node.name] = origin

    def _joined(self) -> dict[str, tuple[int, int]]:
        """Return the range of every tensor; a node that only moves integers has one for operands and result."""
        ranges = dict(self._ranges)
        changed = True
        while changed:
            changed = False
            for node in self._nodes:
                if node.requantise is None:
                    group = [node.name, *node.inputs]
                    hull = min(ranges[name][0] for name in group), max(ranges[name][1] for name in group)
                    changed |= any(ranges[name] != hull for name in group)
                    ranges.update(dict.fromkeys(group, hull))
        return ranges

    def _notes(self) -> tuple[str, ...]:
        notes = []
        if self._logits_off:
            notes.append(
                "the file does not quantise its logits: the device rounds them to 16 bits, at most "
                f"{self._logits_off:.2g} from the file's"
            )
        if self._added:
            notes.append(
                f"the file rounds {len(self._added)} tensor(s) once more than the layers before them can, which takes "
                f"a layer each: {_examples(self._added)}"
            )
        if self._wide:
            notes.append(
                f"{len(self._wide)} layer(s) have weights of more than {WEIGHT_BITS} bits and take several "
                f"multiplications for each: {_examples(self._wide)}"
            )
        return tuple(notes)


def _examples(names: Sequence[str]) -> str:
    return ", ".join(names[:EXAMPLES]) + (", .." if len(names) > EXAMPLES else "")


def _kind(lower: int, upper: int) -> IntegerType:
    """Return the narrowest type that holds a range."""
    if lower >= 0:
        return IntegerType(max(upper.bit_length(), 1), signed=False)
    return IntegerType(max(smallest_signed_bits(lower, upper), 2), signed=True)


def _family(nodes: Sequence[QuantisedNode]) -> str:
    """Return "fixed-point" if every multiplier is a power of two."""
    columns = [column for node in nodes if node.requantise is not None for column in _multipliers(node)]
    return "fixed-point" if all((column & (column - 1) == 0).all() for column in columns) else "multiplier"


def _multipliers(node: QuantisedNode) -> list[npt.NDArray[np.int64]]:
    assert node.requantise is not None
    residual = node.requantise.residual_multiplier
    return [node.requantise.multiplier, *([] if residual is None else [residual])]
