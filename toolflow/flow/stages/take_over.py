"""The quantise stage of networks that were quantised elsewhere: their integers are taken over as they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from quant.config import QuantiseConfig
from toolflow.flow.events import Progress
from toolflow.flow.graphs import Split, split_images, write_graphs
from toolflow.flow.project import QUANTISED
from toolflow.flow.records import BrevitasCheck, FileCheck, QuantisedVariant, QuantiseRecord
from toolflow.flow.request import Request
from toolflow.flow.source import Source
from toolflow.importers.images.calibration_file import CalibrationImages
from toolflow.interpreter.run import logits_of, run
from toolflow.ir.artefacts import save_record
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph
from toolflow.ir.quantised import QuantisedGraph
from toolflow.ir.unit import VariantName

if TYPE_CHECKING:
    from toolflow.importers.quantised.lower import Lowered

CHECKED_IMAGES = 64  # on which the integers are compared with the file, evaluated in float64
NOTE = "the network was quantised before: its weights, scales and bits are taken over as they are"


def take_over(folder: Path, request: Request, progress: Progress) -> None:
    """Write graphs/ of networks that were quantised elsewhere.

    Raises:
        ToolflowError: the engine cannot compute a node exactly, or two files are of different networks.
    """
    from quant.config import Normalisation
    from quant.exchange.on_grids import grid_values
    from toolflow.importers.quantised.lower import lower

    source = request.source
    graphs = {name: source.quantised_graph(name) for name in request.variants}
    high = graphs[VariantName.HIGH]
    data = source.images(high)
    normalisation = Normalisation(mean=data.pixels.mean, std=data.pixels.std, scale=data.pixels.scale)
    lowered = {name: lower(graph, normalisation.table(graph.input_shape[0]), name) for name, graph in graphs.items()}
    for sentence in (*data.notes, *(f"warning: {text}" for text in data.warnings)):
        progress.note(sentence)
    split = split_images(len(data.images), data.labels)
    checked = data.images[split.held_out][:CHECKED_IMAGES]
    variants = {}
    for name, made in lowered.items():
        progress.advance(0, f"{name}, compared with the file")
        exact = grid_values(graphs[name], checked, normalisation, made.origin)
        variants[name] = _described(source, made, checked, exact, _brevitas(made.graph, data, split.held_out))
    _write(folder, high, data, split, lowered, variants, progress)


def _described(
    source: Source, made: Lowered, images: np.ndarray, exact: dict[str, np.ndarray], brevitas: BrevitasCheck
) -> QuantisedVariant:
    """Return what is recorded of a network whose integers equal the file's numbers.

    Raises:
        ToolflowError: they do not.
    """
    found = run(made.graph, images, keep=list(made.origin))
    notes = made.notes
    for name, values in exact.items():
        real = found[name].reshape(values.shape) * made.graph.types[name].scale
        if name == made.graph.output and made.logits_off:
            wrong = int((np.abs(real - values) > made.logits_off).sum())
            classes = [each.reshape(len(each), -1).argmax(axis=1) for each in (real, values)]
            notes = (
                *notes,
                f"{int((classes[0] != classes[1]).sum())} of {len(images)} images change their class by that",
            )
        else:
            wrong = int((real != values).sum())
        if wrong:
            raise ToolflowError(
                f"the integers of '{made.graph.variant}' must equal the file, but {wrong} elements of '{name}' differ: "
                "this is a defect of the toolflow, please report the model"
            )
    return QuantisedVariant(
        config=held_widths(made.graph),
        images=0,
        first=(),
        last=(),
        notes=notes,
        layers=(),
        brevitas=brevitas,
        file=FileCheck(
            path=str(source.quantised_file(VariantName(made.graph.variant))), images=len(images), tensors=len(exact)
        ),
    )


def held_widths(graph: QuantisedGraph) -> QuantiseConfig:
    """Return the widths of a network: the widest inner weights and tensors, and the widest of first and last layer."""
    layers = [node for node in graph.nodes if node.weight_bits]
    ends = {layers[0].name, layers[-1].name}
    inner = [node.weight_bits for node in layers if node.name not in ends]
    outer = [node.weight_bits for node in layers if node.name in ends]
    held = [kind.integer.bits for name, kind in graph.types.items() if name not in (graph.input_name, graph.output)]
    return QuantiseConfig(
        weight_bits=_width(inner or outer),
        activation_bits=_width(held),
        first_last_bits=_width([*outer, graph.types[graph.input_name].integer.bits]),
        family=graph.family,  # type: ignore[arg-type]  # one of both
        rounding="nearest",
        bias_correction=False,
    )


def _width(bits: list[int]) -> int:
    return min(max(bits, default=8), 8) if max(bits, default=8) > 1 else 2


def _brevitas(graph: QuantisedGraph, data: CalibrationImages, held_out: np.ndarray) -> BrevitasCheck:
    """Return how many integers Brevitas' float64 inference of the taken over network gives otherwise."""
    from quant.exchange.brevitas_level import brevitas_tensors

    images = data.images[held_out][:CHECKED_IMAGES]
    found, expected = brevitas_tensors(graph, images), run(graph, images, keep=list(graph.shapes))
    right = None
    if data.labels is not None:
        klass = found[graph.output].reshape(len(images), -1).argmax(axis=1)
        right = float((klass == data.labels[held_out][:CHECKED_IMAGES]).mean())
    return BrevitasCheck(
        images=len(images),
        tensors=len(expected),
        differing=sum(int((found[name] != values).sum()) for name, values in expected.items()),
        accuracy=right,
    )


def _write(
    folder: Path,
    high: Graph,
    data: CalibrationImages,
    split: Split,
    lowered: dict[VariantName, Lowered],
    variants: dict[VariantName, QuantisedVariant],
    progress: Progress,
) -> None:
    networks = {name: made.graph for name, made in lowered.items()}
    answers = logits_of(networks[VariantName.HIGH], data.images).argmax(axis=1).astype(np.int64)
    warnings = write_graphs(folder, networks, data, split, answers, False, progress)
    record = QuantiseRecord(
        name=high.name,
        input_shape=high.input_shape,  # type: ignore[arg-type]  # checked by the model
        parameters=sum(int(values.size) for node in high.nodes for values in node.weights.values()),
        normalisation=data.pixels,
        first_input=data.statistics,
        binary=high.binary,
        notes=(NOTE, *data.notes),
        warnings=(*data.warnings, *warnings),
        pruning=(),
        variants=variants,
    )
    save_record(record, folder / QUANTISED)
