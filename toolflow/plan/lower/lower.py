"""From a quantised graph and an engine to a program binary, a weight stream and a memory map."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from toolflow.engine.config import EngineConfig, deepest_memories
from toolflow.engine.isa import Flag, Instruction, Opcode
from toolflow.engine.program import Header, encode_program, table_offset_bytes
from toolflow.engine.records import RESULT_BITS, result_record_bytes
from toolflow.engine.rows import LayerWeights, Walk, group_rows, layer_weights, plan_walk
from toolflow.engine.stream import Packet, pack, suited
from toolflow.ir.errors import DoesNotFitError, ToolflowError
from toolflow.ir.quantised import QuantisedGraph, QuantisedNode
from toolflow.numerics.confidence import ACCEPT_ALL, ConfidenceRule
from toolflow.numerics.digits import digits_needed
from toolflow.numerics.winograd import KERNEL
from toolflow.operators import Add, AvgPool, Concat, Conv, Flatten, Linear, MaxPool, Shortcut, WinogradConv
from toolflow.operators.add.hardware import hardware as add
from toolflow.operators.avg_pool.hardware import edges
from toolflow.operators.avg_pool.hardware import hardware as avg_pool
from toolflow.operators.conv.hardware import hardware as conv
from toolflow.operators.convolution import Convolution, direct_macs, macs
from toolflow.operators.linear.hardware import hardware as linear
from toolflow.operators.winograd.hardware import hardware as winograd
from toolflow.plan.lower.compiled import CompiledProgram, ImageFormat, Trace
from toolflow.plan.lower.movers import max_pool, store_map
from toolflow.plan.schedule.edges import edge_instruction
from toolflow.plan.schedule.memory import MemoryMap, Place, allocate, as_map
from toolflow.plan.schedule.prepare import CONVOLUTIONS, prepare, result_tensor

FORMS = {Conv: conv, Linear: linear, AvgPool: avg_pool, Add: add, WinogradConv: winograd}


@dataclass(frozen=True)
class _Layer:
    """A convolution with everything that its instruction and its packets need."""

    node: QuantisedNode
    form: Convolution
    weights: LayerWeights
    walk: Walk
    instruction: Instruction

    @property
    def transformed_words(self) -> int:
        """Words of a transformed tile, 0 where there is none."""
        taps = self.form.weight.shape[2] * self.form.weight.shape[3]
        return taps * self.walk.sub_rows if self.form.tile else 0


def compile_program(
    graph: QuantisedGraph,
    config: EngineConfig,
    confidence: ConfidenceRule | None = None,
    *,
    trace: Collection[str] = (),
    trace_images: int = 0,
) -> CompiledProgram:
    """Compile `graph` for an engine.

    Args:
        graph: the integer network.
        config: the engine; its depths must be large enough (`fit_depths`).
        confidence: rule of the confidence unit; None accepts every image.
        trace: tensors whose raw words are stored to memory after the results (`CompiledProgram.traces`).
        trace_images: number of images of the traced run; it fixes where traces lie.

    Raises:
        DoesNotFitError: the engine is too small; every shortage is named with its amounts.
        ToolflowError: the graph holds something that the engine does not run.
    """
    lowering = Lowering(graph, config)
    lowering.check_fit()
    rule = confidence or ACCEPT_ALL
    return lowering.assemble(rule, tuple(trace), trace_images)


def fit_depths(graph: QuantisedGraph, config: EngineConfig) -> EngineConfig:
    """Return `config` with every depth and the accumulator width just large enough for `graph`.

    Raises:
        ToolflowError: the graph holds something that no depth of this engine runs.
    """
    return Lowering(graph, config).fitted()


class Lowering:
    """One compilation: geometry first, then bytes."""

    def __init__(self, graph: QuantisedGraph, config: EngineConfig) -> None:
        self.config = config
        self.source = graph
        self.graph = prepare(graph, config.drain_k)
        self.in_result = result_tensor(self.graph)
        self.input_digits = self._input_digits()
        self.memory: MemoryMap = allocate(self.graph, config.sub_row, self.input_digits, self.in_result)
        self.layers = {node.name: self._layer(node) for node in self.graph.nodes if isinstance(node.op, CONVOLUTIONS)}
        self.edges = {
            node.name: self._edges(self.layers[node.name]) for node in self.graph.nodes if isinstance(node.op, AvgPool)
        }
        self.image = self._image_format()

    # ---- geometry -------------------------------------------------------------------------

    def _input_digits(self) -> int:
        integer = self.graph.types[self.graph.input_name].integer
        if integer.bits <= self.config.activation_bits:
            return 1
        readers = self.graph.consumers[self.graph.input_name]
        wrong = [
            r.name for r in readers if not isinstance(r.op, Conv | Flatten) or r.inputs[0] != self.graph.input_name
        ]
        if wrong:
            raise ToolflowError(
                f"the image has {integer.bits} bits, the engine's activations {self.config.activation_bits}: only "
                f"convolutions can read its digits, not {wrong}"
            )
        table = self.graph.input_table
        return digits_needed(int(table.min()), int(table.max()), self.config.digit_bits)

    def _image_format(self) -> ImageFormat:
        channels, height, width = self.graph.input_shape
        words = -(-channels // self.config.sub_row)
        pixel = 1 << (channels - 1).bit_length() if words == 1 else words * self.config.sub_row
        return ImageFormat(channels, height, width, pixel, words)

    def _layer(self, node: QuantisedNode) -> _Layer:
        c = self.config
        source = self._source_map(node)
        form = FORMS[type(node.op)](node, source)
        if form.tile > c.tile:
            raise DoesNotFitError(f"'{node.name}' has tile {form.tile}, the engine transforms up to {c.tile}")
        place = self._place(node.inputs[0])
        from_image = node.inputs[0] in (self.graph.input_name,) or self._is_image(node.inputs[0])
        digits = self.input_digits if from_image else 1
        weight_digits = (
            1
            if form.weight_bits <= c.weight_bits
            else digits_needed(int(form.weight.min()), int(form.weight.max()), c.digit_bits)
        )
        pixel_words, tiled = place.words // digits, form.tile > 0
        weights = layer_weights(
            form.weight, form.groups, weight_digits, c.digit_bits, place.channel, pixel_words, digits, tiled
        )
        walk = plan_walk(c, weights)
        return _Layer(node, form, weights, walk, self._conv_instruction(node, form, weights, walk, place, source))

    def _edges(self, whole: _Layer) -> tuple[_Layer, ...]:
        """Return the parts of an average pool that have other divisors than most of it."""
        parts = edges(whole.node, self._source_map(whole.node))
        return tuple(
            replace(whole, form=form, instruction=edge_instruction(whole.instruction, region, f"{whole.node.name} {i}"))
            for i, (region, form) in enumerate(parts, start=2)
        )

    def _is_image(self, tensor: str) -> bool:
        node = self.graph.by_name.get(tensor)
        return node is not None and isinstance(node.op, Flatten) and self._is_image_source(node.inputs[0])

    def _is_image_source(self, tensor: str) -> bool:
        return tensor == self.graph.input_name or self._is_image(tensor)

    def _source_map(self, node: QuantisedNode) -> tuple[int, int, int]:
        """Return (C, H, W) of the map that a node reads, seen through flattening."""
        tensor = node.inputs[0]
        while tensor in self.graph.by_name and isinstance(self.graph.by_name[tensor].op, Flatten):
            tensor = self.graph.by_name[tensor].inputs[0]
        return as_map(self.graph.shapes[tensor])

    def _place(self, tensor: str) -> Place:
        place = self.memory.places[tensor]
        producer = self.graph.by_name.get(tensor)
        if producer is not None and isinstance(producer.op, Concat) and len(self.graph.shapes[tensor]) == 1:
            spatial = [t for t in producer.inputs if self._is_flattened_map(t)]
            if spatial:
                raise ToolflowError(
                    f"concat '{tensor}' joins flattened maps {spatial}: concatenate the maps before flattening"
                )
        return place

    def _is_flattened_map(self, tensor: str) -> bool:
        node = self.graph.by_name.get(tensor)
        return (
            node is not None
            and isinstance(node.op, Flatten)
            and self.graph.shapes[node.inputs[0]][1:] not in ((1, 1), ())
        )

    def _conv_instruction(
        self,
        node: QuantisedNode,
        form: Convolution,
        weights: LayerWeights,
        walk: Walk,
        place: Place,
        source: tuple[int, int, int],
    ) -> Instruction:
        c = self.config
        types = self.graph.types
        out_channels, out_height, out_width = as_map(self.graph.shapes[node.name])
        kernel_h, kernel_w = form.weight.shape[2:]
        flags = Flag.NONE
        if types[node.inputs[0]].integer.signed or weights.input_digits > 1:
            flags |= Flag.INPUT_SIGNED
        if walk.indexed:
            flags |= Flag.INDEXED
        to_result = node.name == self.in_result
        out = None if to_result else self.memory.places[node.name]
        if to_result:
            flags |= Flag.TO_RESULT
        limit = RESULT_BITS if to_result else c.activation_bits
        if types[node.name].integer.bits > limit:
            raise DoesNotFitError(
                f"'{node.name}' has {types[node.name].integer} outputs; the engine holds at most {limit} bits there: "
                "give it fewer (--layer-bits), or the engine more (--engine activation_bits=N)"
            )
        instruction = Instruction(
            Opcode.CONV,
            flags,
            levels=weights.levels,
            in_base=place.base,
            in_height=source[1],
            in_width=source[2],
            in_words=place.pixel_words,
            in_row_words=place.row_words,
            out_base=out.base if out else 0,
            out_height=out_height,
            out_width=out_width,
            out_words=out.pixel_words if out else 0,
            channels=out_channels,
            groups=-(-out_channels // c.lanes_k),
            kernel_h=KERNEL if form.tile else kernel_h,
            kernel_w=KERNEL if form.tile else kernel_w,
            stride_h=form.stride[0],
            stride_w=form.stride[1],
            pad_top=form.pads[0],
            pad_left=form.pads[1],
            dilation_h=form.dilation[0],
            dilation_w=form.dilation[1],
            sub_rows=walk.sub_rows,
            steps=walk.steps,
            steps_last=walk.steps_last,
            channel_step=walk.channel_step,
            lower=form.rule.lower,
            upper=form.rule.upper,
            rows=weights.levels * walk.rows(weights.taps),
            tile=form.tile,
            name=node.name,
            reads=form.weight.shape[1] if form.groups > 1 else 0,
        )
        return instruction if len(node.inputs) == 1 else self._with_residual(instruction, node.inputs[1])

    def _with_residual(self, instruction: Instruction, residual: str) -> Instruction:
        node = self.graph.by_name.get(residual)
        stride, offset, tensor = (1, 1), 0, residual
        if node is not None and isinstance(node.op, Shortcut):
            stride, offset, tensor = node.op.stride, node.op.before, node.inputs[0]
        kind = self.graph.types[tensor].integer
        if self._is_image_source(tensor) and self.input_digits > 1:
            raise ToolflowError(
                f"'{instruction.name}' adds the image itself, which has {kind.bits} bits: "
                f"more than the {self.config.activation_bits} bits of the engine's activations"
            )
        place = self._place(tensor)
        if not place.contiguous:
            raise ToolflowError(f"the residual '{tensor}' of '{instruction.name}' must be one map without gaps")
        flags = instruction.flags | Flag.RESIDUAL
        if kind.signed:
            flags |= Flag.RESIDUAL_SIGNED
        return replace(
            instruction,
            flags=flags,
            residual_base=place.base,
            residual_pixel_words=place.pixel_words * stride[1],
            residual_row_words=place.row_words * stride[0],
            residual_offset=offset,
            residual_channels=len(place.channel),
        )

    # ---- what the engine must hold ---------------------------------------------------------

    def fitted(self) -> EngineConfig:
        """Return the configuration with depths and accumulator width as this graph needs them.

        Raises:
            DoesNotFitError: a memory would be deeper than an engine's can be.
        """
        needs = self._needs()
        needs["result_depth"] = max(needs["result_depth"], 1)
        deepest = deepest_memories()
        beyond = [
            f"{name} of {n:,} (at most {deepest[name]:,})" for name, n in needs.items() if n > deepest.get(name, n)
        ]
        if beyond:
            raise DoesNotFitError(
                f"'{self.source.name}' ({self.source.variant}) fits no engine: with words of {self.config.sub_row} "
                f"channels it needs {' and '.join(beyond)}: take smaller images or a smaller network"
            )
        return EngineConfig(**{**self.config.model_dump(), **needs})

    def _needs(self) -> dict[str, int]:
        types = self.graph.types
        overrun = max((self._overrun(layer) for layer in self.layers.values()), default=0)
        out = self.graph.shapes[self.in_result]
        return {
            "bank_depth": max(self.memory.words + overrun, 1),
            "weight_depth": max(layer.instruction.rows for layer in self.layers.values()),
            "result_depth": int(np.prod(out)),
            "input_lanes": min(self.image.pixel_bytes, self.config.sub_row),
            "table_words": self.image.words,
            "accumulator_bits": max(
                max(layer.form.accumulator_bits(types[layer.node.inputs[0]].integer) for layer in self.layers.values()),
                8,
            ),
            "transform_depth": max(max(layer.transformed_words for layer in self.layers.values()), 1),
        }

    def _overrun(self, layer: _Layer) -> int:
        """Return words that the last group reads beyond its pixel (met by weights of 0)."""
        i = layer.instruction
        last = ((i.groups - 1) * i.channel_step) // self.config.sub_row + i.sub_rows
        return max(last - self.memory.places[layer.node.inputs[0]].words, 0)

    def check_fit(self) -> None:
        """Raise DoesNotFitError with every shortage of the engine."""
        shortages = []
        for name, needed in self._needs().items():
            have = getattr(self.config, name)
            if needed > have:
                shortages.append(f"{name} must be at least {needed}, not {have}")
        if shortages:
            raise DoesNotFitError(
                f"'{self.graph.name}' ({self.graph.variant}) does not fit the engine: {'; '.join(shortages)}"
            )

    # ---- bytes ------------------------------------------------------------------------------

    def assemble(self, rule: ConfidenceRule, trace: tuple[str, ...], trace_images: int) -> CompiledProgram:
        """Return program and weights as bytes."""
        c = self.config
        body, traces = self._instructions(trace, self._result_pitch() * trace_images, trace_images)
        instructions = (self._table(len(body) + 1), *body)
        layers = [part for layer in self.layers.values() for part in (layer, *self.edges.get(layer.node.name, ()))]
        weights = b"".join(map(self._packets, layers))
        header = self._header(rule, len(weights) // c.bus_bytes)
        return CompiledProgram(
            config=c,
            header=header,
            instructions=instructions,
            program=encode_program(header, instructions, self._tables(), c.bus_bytes),
            weights=weights,
            image=self.image,
            output_shape=self.graph.shapes[self.in_result],
            memory=self.memory,
            macs=self.macs(),
            traces=traces,
        )

    def outline(self) -> tuple[Header, tuple[Instruction, ...]]:
        """Return header and instructions as `assemble` would, without packing a weight."""
        body, _ = self._instructions((), 0, 0)
        return self._header(ACCEPT_ALL, 0), (self._table(len(body) + 1), *body)

    def macs(self) -> dict[str, int]:
        """Return useful multiply-accumulates per image of each CONV, by name."""
        return {name: macs(layer.form, as_map(self.graph.shapes[name])) for name, layer in self.layers.items()}

    def direct_macs(self) -> dict[str, int]:
        """Return the same of the layers direct and dense, whatever they are."""
        return {name: direct_macs(layer.form, as_map(self.graph.shapes[name])) for name, layer in self.layers.items()}

    def _header(self, rule: ConfidenceRule, weight_beats: int) -> Header:
        return Header(
            signature=self.config.signature,
            image_pitch_bytes=_round_up(self.image.bytes, self.config.bus_bytes),
            result_pitch_bytes=self._result_pitch(),
            classes=self._classes(),
            confidence_k=rule.k,
            confidence_m=rule.m,
            confidence_n=rule.n,
            threshold=rule.threshold,
            weight_beats=weight_beats,
        )

    def _classes(self) -> int:
        return int(np.prod(self.graph.shapes[self.in_result]))

    def _result_pitch(self) -> int:
        return _round_up(result_record_bytes(self.config, self._classes()), self.config.bus_bytes)

    def _table(self, instructions: int) -> Instruction:
        offset = table_offset_bytes(instructions, self.config.bus_bytes)
        return Instruction(
            Opcode.TABLE, in_base=offset, in_words=self._slice(), sub_rows=self.image.words, name="table"
        )

    def _instructions(
        self, trace: tuple[str, ...], offset: int, images: int
    ) -> tuple[tuple[Instruction, ...], dict[str, Trace]]:
        unknown = sorted(set(trace) - set(self.memory.places))
        if unknown:
            raise ToolflowError(f"tensors to trace must lie in the banks, not {unknown}")
        body: list[Instruction] = []
        traces: dict[str, Trace] = {}

        def stored(tensor: str) -> None:
            nonlocal offset
            if tensor not in trace:
                return
            root = store_map(self.memory.places[tensor], tensor)
            body.append(replace(root, out_base=offset))
            pitch = _round_up(root.in_row_words * root.in_height * self.config.sub_row, self.config.bus_bytes)
            traces[tensor] = Trace(
                offset, pitch, root.in_base, self.memory.places[tensor], self.graph.types[tensor].integer
            )
            offset += pitch * images

        body.append(self._load())
        stored(self.graph.input_name)
        for node in self.graph.nodes:
            if isinstance(node.op, Flatten | Shortcut | Concat):
                continue
            if isinstance(node.op, MaxPool):
                body.append(self._max_pool(node))
            elif node.name in self.layers:
                layer = self.layers[node.name]
                if layer.form.exponent is not None:
                    steps = np.array(layer.walk.tap_steps, dtype=np.int64)
                    body.append(Instruction.taps(layer.form.exponent, steps, f"taps of {node.name}"))
                body += [part.instruction for part in (layer, *self.edges.get(node.name, ()))]
            else:
                raise ToolflowError(f"{node.op.kind} '{node.name}' does not run on the engine")
            stored(node.name)
        return (*body, Instruction(Opcode.STORE_RESULT, name="store"), Instruction(Opcode.END, name="end")), traces

    def _load(self) -> Instruction:
        place = self.memory.places[self.graph.input_name]
        return Instruction(
            Opcode.LOAD,
            levels=self.input_digits,
            in_words=self._slice(),
            sub_rows=self.image.words,
            out_base=place.base,
            out_height=self.image.height,
            out_width=self.image.width,
            out_words=place.pixel_words,
            name="load",
        )

    def _slice(self) -> int:
        return self.image.pixel_bytes // self.image.words

    def _max_pool(self, node: QuantisedNode) -> Instruction:
        signed = self.graph.types[node.inputs[0]].integer.signed
        _, height, width = as_map(self.graph.shapes[node.name])
        return max_pool(node, self._place(node.inputs[0]), self.memory.places[node.name], (height, width), signed)

    def _tables(self) -> bytes:
        """Return the tables as TABLE reads them: (words, 256, slice) bytes."""
        words, width = self.image.words, self._slice()
        table = np.zeros((words * width, 256), dtype=np.int64)
        table[: self.graph.input_table.shape[0]] = self.graph.input_table
        return (table & 0xFF).astype(np.uint8).reshape(words, width, 256).transpose(0, 2, 1).tobytes()

    def _packets(self, layer: _Layer) -> bytes:
        c, rule = self.config, layer.form.rule
        none = np.zeros_like(rule.bias)
        residual = none if rule.residual_multiplier is None else rule.residual_multiplier
        residual_shift = none if rule.residual_shift is None else rule.residual_shift
        packets = []
        for group in range(layer.instruction.groups):
            mine = slice(group * c.lanes_k, min((group + 1) * c.lanes_k, layer.form.channels))
            values, indices = group_rows(c, layer.weights, layer.walk, group)
            packet = Packet(
                bias=rule.bias[mine],
                multiplier=rule.multiplier[mine],
                residual_multiplier=residual[mine],
                shift=rule.shift[mine],
                residual_shift=residual_shift[mine],
                values=values,
                indices=indices,
            )
            packets.append(pack(c, suited(c, packet, layer.instruction.name)))
        return b"".join(packets)


def _round_up(value: int, unit: int) -> int:
    return value + -value % unit
