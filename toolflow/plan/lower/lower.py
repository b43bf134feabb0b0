"""From a schedule to a program binary and a weight stream."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from toolflow.engine.config import EngineConfig
from toolflow.engine.program import Header, encode_program
from toolflow.engine.steps import Load, are_striped
from toolflow.ir.quantised import QuantisedGraph
from toolflow.numerics.confidence import ACCEPT_ALL, ConfidenceRule
from toolflow.plan.lower.compiled import CompiledProgram
from toolflow.plan.lower.encode import encode_steps
from toolflow.plan.lower.packets import pack_weights
from toolflow.plan.schedule.needs import check_fit
from toolflow.plan.schedule.schedule import Schedule, schedule_of


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
        config: the engine; its depths must be large enough (`fit_depths`), but if it has `external_maps`, maps that
            its banks do not hold lie in external memory. With two precisions: `config.of(narrow)`.
        confidence: rule of the confidence unit; None accepts every image.
        trace: tensors whose raw words are stored to memory after the results (`CompiledProgram.unpack_trace`).
        trace_images: number of images of the traced run; it fixes where traces lie.

    Raises:
        DoesNotFitError: the engine is too small; every shortage is named with its amounts.
        ToolflowError: the graph holds something that the engine does not run.
    """
    schedule = schedule_of(graph, config)
    check_fit(schedule)
    return lower(schedule.traced(trace, trace_images), confidence or ACCEPT_ALL)


def lower(schedule: Schedule, rule: ConfidenceRule) -> CompiledProgram:
    """Encode a schedule: its steps into instructions, the weights of its compute steps into packets.

    Raises:
        ToolflowError: a number does not fit its field.
    """
    config = schedule.config
    instructions = encode_steps(schedule.steps, config)
    packed: dict[tuple[int, int], bytes] = {}  # bands of a layer have the same packets
    for step in schedule.computes:
        if (id(step.weights), id(step.rule)) not in packed:
            packed[id(step.weights), id(step.rule)] = pack_weights(step, config)
    weights = b"".join(packed[id(step.weights), id(step.rule)] for step in schedule.computes)
    header = Header(
        signature=config.signature,
        image_pitch_bytes=schedule.load.source.pitch_bytes,
        result_pitch_bytes=schedule.results.out.pitch_bytes,
        classes=schedule.results.source.values,
        confidence_k=rule.k,
        confidence_m=rule.m,
        confidence_n=rule.n,
        threshold=rule.threshold,
        weight_beats=len(weights) // config.bus_bytes,
        narrow=int(config.narrow),
        striped=int(are_striped(schedule.steps)),
        map_bytes=schedule.map_bytes,
    )
    program = encode_program(header, instructions, _tables(schedule.load), config.bus_bytes)
    return CompiledProgram(schedule, header, instructions, program, weights)


def _tables(load: Load) -> bytes:
    """Return the tables as TABLE reads them: (words, 256, slice) bytes."""
    words, width = load.image.words, load.image.slice_bytes
    table = np.zeros((words * width, 256), dtype=np.int64)
    table[: len(load.table)] = load.table
    return (table & 0xFF).astype(np.uint8).reshape(words, width, 256).transpose(0, 2, 1).tobytes()
