"""The stages that compress a network, one for each recipe; what loads torch is imported inside them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from quant.cascade.split import stratified_split
from quant.config import Normalisation
from toolflow.flow.compression import CompressRequest
from toolflow.flow.events import Progress
from toolflow.flow.folder import notebook_in
from toolflow.flow.records import CompressedImages, CompressionRecord, CompressionStep, RecipeRecord, StepsRecord
from toolflow.flow.stages.quantise import output_notes
from toolflow.flow.stages.stage import Stage
from toolflow.flow.workers import executor_of
from toolflow.importers.images.calibration_file import CalibrationImages, require_apart
from toolflow.ir.arrays import read_arrays
from toolflow.ir.artefacts import load_record, save_record
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph

if TYPE_CHECKING:
    from quant.recipes.workbench import Workbench

PARTS, STEPS, RECORD = "images.npz", "steps", "recipe.json"
NETWORK, WEIGHTS = "compressed.onnx", "compressed.safetensors"
SHARE = 0.1  # of the images that are judged on, and again of those that are reported on
LEAST_JUDGED = 32

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Given:
    """The network and the images of a request.

    Attributes:
        graph: the float network, simplified.
        data: all images that are not reported on.
        judged: indices among them to judge on; the others are trained on.
        tested: images to report on.
        answers: classes of `data` and of `tested` as the float network answers.
    """

    graph: Graph
    data: CalibrationImages
    judged: Int64Array
    tested: CalibrationImages
    answers: tuple[Int64Array, Int64Array]

    @property
    def trained(self) -> Int64Array:
        """The indices of the images to train on."""
        return np.setdiff1d(np.arange(len(self.data.images)), self.judged)

    @property
    def normalisation(self) -> Normalisation:
        """From pixel to the network's input."""
        return _normalisation(self.data)

    @property
    def judged_classes(self) -> Int64Array:
        """The classes to judge by: the labels, or the float network's."""
        return (self.answers[0] if self.data.labels is None else self.data.labels)[self.judged]

    @property
    def tested_classes(self) -> Int64Array:
        """The classes to report by."""
        return self.answers[1] if self.tested.labels is None else self.tested.labels

    def accuracy(self, network: Graph) -> float:
        """Return the accuracy of a network on the images to report on."""
        from quant.training.loop import classes_of

        return float((classes_of(network, self.tested.images, self.normalisation) == self.tested_classes).mean())


def divide(folder: Path, request: CompressRequest, progress: Progress) -> None:
    """Divide the images into those to train on, to judge on and to report on, and ask the float network."""
    from quant.training.loop import classes_of

    graph = request.source.graph()
    data, tested, judged = _divided(request, graph)
    for sentence in (*data.notes, *output_notes(graph), *(f"warning: {text}" for text in data.warnings)):
        progress.note(sentence)
    if data.labels is None and (needy := [recipe.name for recipe in request.steps if recipe.needs_labels]):
        raise ToolflowError(f"{', '.join(needy)} needs labels: {request.source.calibration} must hold an array y")
    answers = [classes_of(graph, part.images, _normalisation(data)) for part in (data, tested)]
    np.savez_compressed(folder / PARTS, judged=judged, data=answers[0], tested=answers[1])


def compress(index: int, folder: Path, request: CompressRequest, progress: Progress) -> None:
    """Apply one recipe to what the recipe before it left."""
    from quant.exchange.float_onnx import save_onnx
    from quant.recipes.apply import applied

    given, recipe = _given(folder, request), request.steps[index]
    network = given.graph if index == 0 else _network(folder, request, index - 1)
    with _workbench(request, given, network, folder, progress) as bench:
        made = applied(recipe, network, bench)
    (folder / STEPS).mkdir(exist_ok=True)
    save_onnx(made, folder / _file(request, index))
    steps = tuple(
        CompressionStep(
            recipe=recipe.name,
            what=step.what,
            accuracy=step.accuracy,
            cost=step.cost,
            judged=step.judged,
            images=step.images,
        )
        for step in bench.steps
    )
    save_record(StepsRecord(steps=steps), folder / _file(request, index, "json"))


def finish(folder: Path, request: CompressRequest, progress: Progress) -> None:
    """Write the network, its weights, and the record of everything."""
    from quant.exchange.float_onnx import save_onnx, save_weights
    from quant.mechanisms.cost import Pricing

    given = _given(folder, request)
    last = len(request.steps) - 1
    network = _network(folder, request, last)
    save_onnx(network, folder / NETWORK)
    save_weights(network, folder / WEIGHTS)
    pricing = request.pricing(given.graph)
    again = Pricing.of(network, pricing.board, request.engine)
    record = CompressionRecord(
        name=given.graph.name,
        board=pricing.board.name,
        clock_mhz=pricing.board.clock_mhz,
        engine=pricing.engine,
        images=CompressedImages(
            trained=len(given.trained),
            judged=len(given.judged),
            tested=len(given.tested.images),
            labelled=given.tested.labels is not None,
        ),
        recipes=tuple(RecipeRecord(name=each.name, paper=each.paper, settings=asdict(each)) for each in request.steps),
        budget=request.budget,
        seed=request.seed,
        accuracy={"before": given.accuracy(given.graph), "after": given.accuracy(network)},
        cost={"before": pricing.cost(given.graph), "after": pricing.cost(network), "planned anew": again.cost(network)},
        steps=tuple(
            step
            for index in range(last + 1)
            for step in load_record(StepsRecord, folder / _file(request, index, "json")).steps
        ),
    )
    save_record(record, folder / RECORD)


def stages(request: CompressRequest) -> tuple[Stage[CompressRequest], ...]:
    """Return the stages of a request: one for each recipe, between two."""
    names = [f"{index + 1}: {recipe.name}" for index, recipe in enumerate(request.steps)]
    middle = [
        Stage(
            name,
            partial(compress, index),
            outputs=lambda request, index=index: (_file(request, index), _file(request, index, "json")),  # type: ignore[misc]
            inputs=lambda request, index=index: request.inputs_of(index),  # type: ignore[misc]
            after=("divide", *names[:index][-1:]),
        )
        for index, name in enumerate(names)
    ]
    last = Stage("finish", finish, lambda _: (NETWORK, WEIGHTS, RECORD), CompressRequest.inputs, ("divide", *names))
    first = Stage("divide", divide, lambda _: (PARTS,), CompressRequest.inputs)
    return (first, *middle, last)


def _file(request: CompressRequest, index: int, ending: str = "onnx") -> str:
    return f"{STEPS}/{index + 1}-{request.steps[index].name}.{ending}"


def _network(folder: Path, request: CompressRequest, index: int) -> Graph:
    """Read the network that a recipe left."""
    source = replace(
        request.source, model=str(folder / _file(request, index)), weights=None, input_shape=None, output=None
    )
    return replace(source.on_no_engine(), name=request.source.graph().name)


def _divided(request: CompressRequest, graph: Graph) -> tuple[CalibrationImages, CalibrationImages, Int64Array]:
    """Return the images to learn from, those to report on, and which of the former are judged on."""
    data = request.source.images(graph)
    count = len(data.images)
    if request.test is not None:
        tested = replace(request.source, calibration=request.test).images(graph)
        require_apart(tested, request.test, data, request.source.calibration)
        learnt = data
    else:
        held_out, rest = stratified_split(count, data.labels, SHARE, request.seed)
        tested, learnt = _of(data, held_out), _of(data, rest)
    judged, _ = stratified_split(len(learnt.images), learnt.labels, SHARE, request.seed)
    if len(judged) < LEAST_JUDGED:
        needed = round(LEAST_JUDGED / SHARE / (1 if request.test is not None else 1 - SHARE)) + 1
        raise ToolflowError(
            f"{request.source.calibration} must hold at least {needed} images, not {count}: a recipe would be "
            f"judged on {len(judged)}"
        )
    return learnt, tested, judged


def _given(folder: Path, request: CompressRequest) -> _Given:
    parts = read_arrays(folder / PARTS, "judged", "data", "tested")
    graph = request.source.graph()
    data, tested, _ = _divided(request, graph)
    return _Given(graph, data, parts["judged"], tested, (parts["data"], parts["tested"]))


@contextmanager
def _workbench(
    request: CompressRequest, given: _Given, network: Graph, folder: Path, progress: Progress
) -> Iterator[Workbench]:
    from quant.mechanisms.judge import Judge, sampled
    from quant.mechanisms.search.store import Store
    from quant.recipes.workbench import Workbench
    from quant.training.images import TrainingImages

    part = _of(given.data, given.trained)
    sample = part.images[sampled(network, part.images, request.seed)]
    judge = Judge.of(network, given.data.images[given.judged], given.judged_classes, given.normalisation, sample)
    executor = executor_of(judge.accuracy, request.workers)
    try:
        yield Workbench(
            teacher=given.graph,
            data=TrainingImages(part.images, part.labels, given.normalisation),
            judge=judge,
            pricing=request.pricing(given.graph),
            executor=executor,
            store=Store(notebook_in(folder)),
            budget=request.budget,
            seed=request.seed,
            batch=request.batch,
            flip=request.flip,
            folder=folder,
            told=progress.advance,
        )
    finally:
        executor.close()


def _of(data: CalibrationImages, some: Int64Array) -> CalibrationImages:
    return replace(data, images=data.images[some], labels=None if data.labels is None else data.labels[some])


def _normalisation(data: CalibrationImages) -> Normalisation:
    return Normalisation(mean=data.pixels.mean, std=data.pixels.std, scale=data.pixels.scale)
