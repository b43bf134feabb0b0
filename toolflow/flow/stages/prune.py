"""The stages that prune a network; what loads torch is imported inside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from quant.cascade.split import stratified_split
from quant.config import Normalisation
from toolflow.flow.events import Progress
from toolflow.flow.folder import CHECKPOINTS, notebook_in
from toolflow.flow.graphs import Int64Array, split_images
from toolflow.flow.pruning import PruneRequest
from toolflow.flow.records import MeasuredStep, PrunedImages, PrunedLayer, PruneRecord
from toolflow.flow.stages.quantise import output_notes, search_section
from toolflow.flow.stages.stage import Stage
from toolflow.importers.images.calibration_file import CalibrationImages, require_apart
from toolflow.ir.arrays import read_arrays
from toolflow.ir.artefacts import save_record
from toolflow.ir.graph import Graph
from toolflow.report.summary import Search

if TYPE_CHECKING:
    from quant.sparsity.choice import Choice

PRUNED, RECORD, HELD_OUT = "pruned.safetensors", "prune.json", "held_out.npz"
CHECKPOINT = CHECKPOINTS.replace("*", "pruned")
TRAINING_SHARE = 0.9  # of the images, where they are to train on and none are given to test on


@dataclass(frozen=True)
class _Given:
    """A network and its images, as both stages see them.

    Attributes:
        graph: the float network, simplified.
        data: images to prune or train on, and perhaps to hold out of.
        held_out: indices of the images of `data` that nothing but the accuracy sees.
        tested: images to read the accuracy on.
    """

    graph: Graph
    data: CalibrationImages
    held_out: Int64Array
    tested: CalibrationImages

    @classmethod
    def read(cls, request: PruneRequest, graph: Graph, held_out: Int64Array | None = None) -> _Given:
        """Read the images.

        Args:
            request: says which.
            graph: the float network.
            held_out: as an earlier stage drew them; None to draw them.

        Raises:
            ToolflowError: those to test on are not like those that the network is pruned on, or some of those.
        """
        data = request.source.images(graph)
        if held_out is None:
            held_out = _held_out(request, data)
        if request.test is None:
            return cls(graph, data, held_out, _of(data, held_out))
        tested = replace(request.source, calibration=request.test).images(graph)
        require_apart(tested, request.test, data, request.source.calibration)
        return cls(graph, data, held_out, tested)

    @property
    def used(self) -> CalibrationImages:
        """The images that the network is pruned and trained on."""
        return _of(self.data, np.setdiff1d(np.arange(len(self.data.images)), self.held_out))


def measure(folder: Path, request: PruneRequest, progress: Progress) -> None:
    """Hold images out, and ask the float network about them."""
    from quant.training.loop import classes_of

    graph = request.source.graph()
    request.choices(graph)  # bad patterns end here
    given = _Given.read(request, graph)
    data = given.data
    for sentence in (*data.notes, *output_notes(graph), *(f"warning: {text}" for text in data.warnings)):
        progress.note(sentence)
    answers = classes_of(graph, given.tested.images, _normalisation(given.tested))
    np.savez_compressed(folder / HELD_OUT, held_out=given.held_out, float=answers)


def prune(folder: Path, request: PruneRequest, progress: Progress) -> None:
    """Write the pruned network and its record."""
    from quant.sparsity.pruned_file import save_pruned
    from quant.training.loop import classes_of, slower_here

    graph = request.source.graph()
    choices, notes = request.choices(graph)
    measured = read_arrays(folder / HELD_OUT, "held_out", "float")
    given, floats = _Given.read(request, graph, measured["held_out"]), measured["float"]
    truth = floats if given.tested.labels is None else given.tested.labels

    def accuracy(network: Graph) -> float:
        return float((classes_of(network, given.tested.images, _normalisation(given.tested)) == truth).mean())

    used = given.used
    search = None
    if request.is_searched:
        choices, search = _searched(request, graph, choices, used, progress, notebook_in(folder))
    pruned, steps = _pruned(request, graph, choices, used, accuracy, folder, progress)
    save_pruned(pruned, folder / PRUNED, steps)
    record = PruneRecord(
        name=graph.name,
        tile=request.tile,
        search=search,
        pattern=request.pattern,
        images=PrunedImages(used=len(used.images), tested=len(truth), labelled=given.tested.labels is not None),
        training=request.recipe,
        accuracy={"float": float((floats == truth).mean()), "pruned": steps[-1].accuracy},
        steps=steps,
        layers=_layers(graph, pruned),
        notes=(*notes, *(slower_here() if request.recipe else ())),
    )
    save_record(record, folder / RECORD)


STAGES: tuple[Stage[PruneRequest], ...] = (
    Stage("measure", measure, outputs=lambda _: (HELD_OUT,), inputs=PruneRequest.inputs),
    Stage("prune", prune, outputs=lambda _: (PRUNED, RECORD), inputs=PruneRequest.inputs, after=("measure",)),
)


def _searched(
    request: PruneRequest,
    graph: Graph,
    choices: Mapping[str, Choice],
    data: CalibrationImages,
    progress: Progress,
    notebook: Path,
) -> tuple[dict[str, Choice], Search]:
    """Return the choices with the tiles that a search finds, pruned without training, and what it judged."""
    from quant.search.problem import Answered, tile_problem
    from quant.search.search import search
    from quant.training.loop import classes_of

    floats = classes_of(graph, data.images, _normalisation(data))
    answered = Answered(data.images, floats if data.labels is None else data.labels)
    fixed = request.layer_tiles.keys()
    problem = tile_problem(graph, answered, _normalisation(data), choices, request.loss, fixed)
    problem = replace(problem, target=request.target())
    found = search(problem, lambda what: progress.advance(0, f"search, {what}"), notebook)
    tiles = {**found.config.tiles, **request.layer_tiles}
    changed = {name: replace(one, tile=tiles.get(name, 0)) for name, one in choices.items()}
    return changed, search_section(found)


def _pruned(
    request: PruneRequest,
    graph: Graph,
    choices: Mapping[str, Choice],
    data: CalibrationImages,
    accuracy: Callable[[Graph], float],
    folder: Path,
    progress: Progress,
) -> tuple[Graph, tuple[MeasuredStep, ...]]:
    """Return the pruned network, and what each step of pruning and training made of it."""
    from quant.sparsity.prune import prune_graph
    from quant.training.checkpoint import Checkpoint
    from quant.training.images import TrainingImages
    from quant.training.loop import Watch, prune_and_train
    from quant.training.steps import patterns_of

    def told(layer: str) -> None:
        progress.advance(0, f"solve {layer}")

    if request.recipe is None:
        progress.expect(len(graph.nodes))
        pruned = prune_graph(
            graph, data.images, _normalisation(data), choices, lambda layer: progress.advance(1, layer), request.seed
        )
        return pruned, (MeasuredStep(pattern=patterns_of(choices), epochs=0, loss=None, accuracy=accuracy(pruned)),)
    progress.expect(request.recipe.epochs * len(data.images))
    images = TrainingImages(data.images, data.labels, _normalisation(data))
    checkpoint = Checkpoint(folder / CHECKPOINT, request.origin)
    watch = Watch(accuracy, progress.advance, told)
    pruned, history = prune_and_train(graph, images, choices, request.recipe, watch, checkpoint)
    return pruned, tuple(map(MeasuredStep.model_validate, history))


def _held_out(request: PruneRequest, data: CalibrationImages) -> Int64Array:
    """Return the indices of the images that nothing but the accuracy sees."""
    if request.test is not None:
        return np.zeros(0, dtype=np.int64)
    if request.recipe is not None:
        return stratified_split(len(data.images), data.labels, TRAINING_SHARE)[1]
    split = split_images(len(data.images), data.labels)
    return np.sort(np.concatenate([split.rule, split.held_out]))


def _of(data: CalibrationImages, some: npt.NDArray[np.int64]) -> CalibrationImages:
    return replace(data, images=data.images[some], labels=None if data.labels is None else data.labels[some])


def _normalisation(data: CalibrationImages) -> Normalisation:
    return Normalisation(mean=data.pixels.mean, std=data.pixels.std, scale=data.pixels.scale)


def _layers(graph: Graph, pruned: Graph) -> tuple[PrunedLayer, ...]:
    """Return what became of each layer."""
    from quant.arrangement.forms import multiplications_by_layer

    direct, now = multiplications_by_layer(graph), multiplications_by_layer(pruned)
    layers = []
    for node in pruned.nodes:
        if node.name not in now:
            continue
        op, weight = node.op, node.weights["weight"]
        layers.append(
            PrunedLayer(
                name=node.name,
                tile=op.tile,
                pattern=op.pattern,
                density=float(np.count_nonzero(weight) / weight.size),
                multiplications=now[node.name],
                saved=1 - now[node.name] / direct[node.name],
            )
        )
    return tuple(layers)
