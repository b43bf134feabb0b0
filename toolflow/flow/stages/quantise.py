"""The stage that turns a model into integers; what loads torch is imported inside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from quant.cascade.doubts import answer_warnings
from toolflow.engine.config import FITTED
from toolflow.flow.events import Progress
from toolflow.flow.finetuning import require_finetuning
from toolflow.flow.folder import CHECKPOINTS, notebook_in
from toolflow.flow.graphs import Int64Array, Split, split_images, write_graphs
from toolflow.flow.project import GRAPHS, QONNX, QUANTISED
from toolflow.flow.records import BrevitasCheck, QuantisedVariant, QuantiseRecord
from toolflow.flow.request import Request
from toolflow.flow.stages.plan import require_room_for_one
from toolflow.flow.stages.stage import Stage
from toolflow.flow.stages.take_over import take_over
from toolflow.importers.images.calibration_file import CalibrationImages
from toolflow.interpreter.run import logits_of
from toolflow.ir.artefacts import save_record
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph
from toolflow.ir.unit import VariantName
from toolflow.report.summary import Finetuned, Search, Trial

if TYPE_CHECKING:
    from quant.config import Normalisation, QuantiseConfig
    from quant.quantise import Variant
    from quant.search.search import SearchResult

Uint8Array = npt.NDArray[np.uint8]

CHECKED_IMAGES = 64  # on which Brevitas' own integers are compared with the reference


@dataclass(frozen=True)
class _Given:
    """A network and its images, as every step of the stage sees them.

    Attributes:
        graph: the float network, simplified.
        data: the calibration file.
        split: its images for ranges, for the cascade's rule, and held out.
        normalisation: from pixel to the network's input.
        answers: int64 (N,), the float network's classes.
    """

    graph: Graph
    data: CalibrationImages
    split: Split
    normalisation: Normalisation
    answers: Int64Array

    @property
    def ranges(self) -> Uint8Array:
        """The images that ranges and weights come from."""
        return self.data.images[self.split.ranges]

    def judged(self, part: Int64Array) -> tuple[Uint8Array, Int64Array]:
        """Return a part's images, and their labels, or the float network's classes if there are none."""
        truth = self.answers if self.data.labels is None else self.data.labels
        return self.data.images[part], truth[part]

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be known about the images and the network's output."""
        return *self.data.notes, *output_notes(self.graph)


def quantise_for_board(folder: Path, request: Request, progress: Progress) -> None:
    """Write graphs/ of a network that the request's board has room for, if one is given."""

    def require(graph: Graph) -> None:
        if request.board is None:
            return
        least = request.search.least_bits(request.variants)
        require_room_for_one(graph, request.board_to_build(), least, request.engine, request.is_dense)

    _quantise(folder, request, progress, require)


def quantise_alone(folder: Path, request: Request, progress: Progress) -> None:
    """Write graphs/, and every variant as qonnx/<variant>.onnx if QONNX can hold it."""
    _quantise(folder, request, progress, qonnx=not request.transforms)


STAGE: Stage[Request] = Stage(
    "quantise", quantise_for_board, outputs=lambda _: (GRAPHS,), inputs=lambda request: _inputs(request)
)
STAGE_ALONE = replace(
    STAGE, run=quantise_alone, outputs=lambda request: (GRAPHS,) if request.transforms else (GRAPHS, QONNX)
)


def _inputs(request: Request) -> dict[str, Any]:
    """Return what the stage comes from; the same in every command, so that one reuses another's work."""
    trained = {} if request.finetuning is None else request.finetuning.inputs()
    return {**request.source.inputs(), **request.search.inputs(), "variants": request.variants, **trained}


def _quantise(
    folder: Path,
    request: Request,
    progress: Progress,
    require: Callable[[Graph], None] = lambda _: None,
    qonnx: bool = False,
) -> None:
    """Write the integers of every variant, float answers, and how they were made.

    `require` may refuse the imported network before anything is measured.
    """
    if request.source.is_quantised:
        take_over(folder, request, progress)
        return
    graph = request.graph()
    require(graph)
    data = request.source.images(graph)
    for sentence in (*data.notes, *output_notes(graph), *(f"warning: {text}" for text in data.warnings)):
        progress.note(sentence)
    training = _training(request, graph, data, progress)
    given = _given(graph, data)
    found = _searched(folder, request, given, progress)
    configs = {name: found[name].config if name in found else request.search.config(name) for name in request.variants}
    made = _quantised(given, configs, progress)
    finetuned: dict[VariantName, Finetuned] = {}
    if training is not None:
        made, finetuned = _finetuned(folder, request, given, made, training, progress)
    _write(folder, request, given, made, found, finetuned, progress)
    if qonnx:
        for name, variant in made.items():
            _export(variant, folder / QONNX / f"{name}.onnx")


def _given(graph: Graph, data: CalibrationImages) -> _Given:
    from quant.config import Normalisation
    from quant.float_network import float_classes

    normalisation = Normalisation(mean=data.pixels.mean, std=data.pixels.std, scale=data.pixels.scale)
    split = split_images(len(data.images), data.labels)
    return _Given(graph, data, split, normalisation, float_classes(graph, data.images, normalisation.apply))


def _training(request: Request, graph: Graph, data: CalibrationImages, progress: Progress) -> CalibrationImages | None:
    """Return the images to fine-tune on, None if nothing is to be trained."""
    if request.finetuning is None:
        return None
    require_finetuning(graph, map(request.search.config, request.variants))
    images = request.finetuning.images(request.source, graph, data)
    for sentence in (*images.notes, *images.warnings):
        progress.note(f"{request.finetuning.file}: {sentence}")
    return images


def _searched(folder: Path, request: Request, given: _Given, progress: Progress) -> dict[VariantName, SearchResult]:
    """Search what the request leaves open of each variant."""
    found = {}
    for name in filter(request.search.searches, request.variants):

        def told(what: str, name: str = name) -> None:
            progress.advance(0, f"{name}, {what}")

        judged = given.judged(given.split.rule)
        found[name] = request.search.run(
            name, given.graph, given.normalisation, given.ranges, judged, told, notebook_in(folder)
        )
    return found


def _quantised(
    given: _Given, configs: Mapping[VariantName, QuantiseConfig], progress: Progress
) -> dict[VariantName, Variant]:
    from quant.quantise import make_pair, quantise

    def told(layer: str) -> None:
        progress.advance(doing=layer)

    inputs = given.graph, given.ranges, given.normalisation
    if VariantName.LOW not in configs:
        high = VariantName.HIGH
        return {high: quantise(*inputs, configs[high], high, told)}
    pair = make_pair(*inputs, configs[VariantName.LOW], configs[VariantName.HIGH], told)
    return {VariantName.LOW: pair.low, VariantName.HIGH: pair.high}


def _finetuned(
    folder: Path,
    request: Request,
    given: _Given,
    made: Mapping[VariantName, Variant],
    training: CalibrationImages,
    progress: Progress,
) -> tuple[dict[VariantName, Variant], dict[VariantName, Finetuned]]:
    """Return the variants after finetuning, and a record of each finetuned one."""
    if request.finetuning is None:
        raise ValueError("there must be a recipe for the images to train on")
    unseen = given.judged(given.split.held_out)
    before = {name: _accuracy(variant, *unseen) for name, variant in made.items()}
    teacher = given.graph if request.source.pruned is None else request.source.unpruned()
    recipe = request.finetuning
    trained = recipe.apply(made, teacher, training, given.ranges, progress, folder / CHECKPOINTS, _inputs(request))
    if not trained:
        progress.note("--finetune trained nothing: no unit has fewer than 8 bits anywhere")
    finetuned = {
        name: Finetuned(
            images=len(training.images),
            epochs=recipe.epochs,
            rate=recipe.rate,
            batch=recipe.batch,
            flip=recipe.flip,
            before=before[name],
            after=_accuracy(variant, *unseen),
        )
        for name, variant in trained.items()
    }
    return {**made, **trained}, finetuned


def _accuracy(variant: Variant, images: Uint8Array, truth: Int64Array) -> float:
    return float((logits_of(variant.graph, images).argmax(axis=1) == truth).mean())


def _write(
    folder: Path,
    request: Request,
    given: _Given,
    made: Mapping[VariantName, Variant],
    found: Mapping[VariantName, SearchResult],
    finetuned: Mapping[VariantName, Finetuned],
    progress: Progress,
) -> None:
    """Write graphs/: the integers, the images by part, the answers to held-out images, and what was done."""
    graph, data = given.graph, given.data
    doubts = answer_warnings("float", given.answers, data.labels)
    networks = {name: variant.graph for name, variant in made.items()}
    answers = write_graphs(folder, networks, data, given.split, given.answers, bool(doubts), progress)
    variants = {
        name: _described(variant, given, found.get(name), finetuned.get(name)) for name, variant in made.items()
    }
    record = QuantiseRecord(
        name=graph.name,
        input_shape=graph.input_shape,  # type: ignore[arg-type]  # checked by the model
        parameters=sum(int(values.size) for node in graph.nodes for values in node.weights.values()),
        normalisation=data.pixels,
        first_input=data.statistics,
        binary=graph.binary,
        notes=given.notes,
        warnings=(*data.warnings, *doubts, *answers),
        pruning=request.source.pruning(),
        variants=variants,
    )
    save_record(record, folder / QUANTISED)


def output_notes(graph: Graph) -> tuple[str, ...]:
    """Return a sentence where the network gives one logit, or a map: accuracies mean nothing of a detector."""
    from toolflow.passes.two_logits import MEANING

    if graph.binary:
        return (MEANING,)
    channels, *place = graph.shapes[graph.output]
    if np.prod(place) <= 1:
        return ()
    numbers = channels * int(np.prod(place))
    shape = ", ".join(map(str, (channels, *place)))
    return (f"the network's output has the shape ({shape}): each of its {numbers} numbers counts as one class",)


def search_section(found: SearchResult) -> Search:
    """Return what is recorded of a search: what it saved, every network that was judged, and for which engine."""
    engine = None if found.engine is None else found.engine.model_dump(exclude={*FITTED})
    trials = tuple(Trial(**asdict(trial)) for trial in found.trials)
    return Search(saves=found.saves, chosen=found.chosen, trials=trials, engine=engine)


def _export(variant: Variant, path: Path) -> None:
    from quant.exchange.qonnx import export_qonnx

    export_qonnx(variant.model, path)


def _described(
    variant: Variant, given: _Given, searched: SearchResult | None, finetuned: Finetuned | None
) -> QuantisedVariant:
    """Return what is recorded of a variant, Brevitas' own inference compared with the reference."""
    from quant.exchange.extract import brevitas_integers
    from toolflow.interpreter.run import run

    checked = given.data.images[given.split.held_out][:CHECKED_IMAGES]
    expected = run(variant.graph, checked, keep=list(variant.graph.shapes))
    found = brevitas_integers(variant.model, checked, given.normalisation)
    differing = {name: int((expected[name] != found[name]).sum()) for name in expected if name in found}
    # free scales are no binary fractions: Brevitas' float64 may round a tie the other way
    if variant.graph.family == "fixed-point" and any(differing.values()):
        first = next(name for name, count in differing.items() if count)
        raise ToolflowError(
            f"Brevitas and the integer reference of '{variant.graph.variant}' must agree, but {differing[first]} "
            f"elements of '{first}' differ: this is a defect of the toolflow, please report the model"
        )
    klass = found[variant.graph.output].reshape(len(checked), -1).argmax(axis=1)
    labels = given.data.labels
    right = None if labels is None else float((klass == labels[given.split.held_out][: len(checked)]).mean())
    report = variant.report
    return QuantisedVariant(
        config=report.config,
        images=report.images,
        first=report.first,
        last=report.last,
        notes=report.notes,
        layers=report.layers,
        brevitas=BrevitasCheck(
            images=len(checked), tensors=len(differing), differing=sum(differing.values()), accuracy=right
        ),
        search=None if searched is None else search_section(searched),
        finetuned=finetuned,
    )
