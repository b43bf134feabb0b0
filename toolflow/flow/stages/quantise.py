"""The stage that turns a model into integers; what loads torch is imported inside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from quant.cascade.doubts import answer_warnings
from toolflow.engine.config import FITTED
from toolflow.flow.events import Progress
from toolflow.flow.finetuning import Finetuning, require_finetuning
from toolflow.flow.folder import CHECKPOINTS, notebook_in
from toolflow.flow.graphs import Int64Array, Split, split_images
from toolflow.flow.precision import Precision
from toolflow.flow.project import GRAPHS, LOGITS, QONNX
from toolflow.flow.source import Source
from toolflow.importers.images.calibration_file import CalibrationImages
from toolflow.interpreter.run import logits_of
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph
from toolflow.ir.store import save_quantised

if TYPE_CHECKING:
    from quant.config import Normalisation, QuantiseConfig
    from quant.quantise import Variant
    from quant.search.selection import SearchResult

CHECKED_IMAGES = 64  # on which Brevitas' own integers are compared with the reference


def quantise_stage(
    source: Source,
    precision: Precision,
    variants: Sequence[str],
    note: Callable[[str], None],
    qonnx: bool = False,
    finetuning: Finetuning | None = None,
    require: Callable[[Graph], None] = lambda _: None,
) -> Callable[[Path, Progress], None]:
    """Return the stage that writes graphs/: integers of every variant, float answers, and how they were made.

    With `qonnx` it also writes every variant as qonnx/<variant>.onnx; with `finetuning` it trains what it found.
    `require` may refuse the imported network before anything is measured.
    """

    def make(folder: Path, progress: Progress) -> None:
        from quant.config import Normalisation
        from quant.float_network import float_classes

        graph = source.graph()
        require(graph)
        data = source.images(graph)
        notes = [*data.notes, *output_notes(graph)]
        for sentence in (*notes, *(f"warning: {text}" for text in data.warnings)):
            note(sentence)
        training, teacher = None, graph
        if finetuning is not None:
            require_finetuning(graph, (precision.config(name) for name in variants))
            teacher = graph if source.pruned is None else replace(source, pruned=None).graph()
            training = finetuning.images(source, graph, data)
            for sentence in (*training.notes, *training.warnings):
                note(f"{finetuning.file}: {sentence}")
        split = split_images(len(data.images), data.labels)
        normalisation = Normalisation(mean=data.pixels.mean, std=data.pixels.std, scale=data.pixels.scale)
        answers = float_classes(graph, data.images, normalisation.apply)
        truth = answers if data.labels is None else data.labels
        found = {
            name: precision.searched(
                name,
                graph,
                normalisation,
                data.images[split.ranges],
                (data.images[split.rule], truth[split.rule]),
                lambda what, name=name: progress.advance(0, f"{name}, {what}"),  # type: ignore[misc]
                notebook_in(folder),
            )
            for name in variants
            if precision.searches(name)
        }
        configs = {name: found[name].config if name in found else precision.config(name) for name in variants}
        ranges = data.images[split.ranges]
        made = _quantised(graph, ranges, normalisation, configs, progress)
        finetuned: dict[str, dict[str, Any]] = {}
        if finetuning is not None and training is not None:
            unseen = data.images[split.held_out], truth[split.held_out]
            before = {name: _accuracy(variant, *unseen) for name, variant in made.items()}
            inputs = quantise_inputs(source, precision, variants, finetuning)
            made, finetuned = finetuning.apply(made, teacher, training, ranges, progress, folder / CHECKPOINTS, inputs)
            if not finetuned:
                note("--finetune trained nothing: no unit has fewer than 8 bits anywhere")
            for name, record in finetuned.items():
                record |= {"before": before[name], "after": _accuracy(made[name], *unseen)}
        target = folder / GRAPHS
        target.mkdir(parents=True, exist_ok=True)
        checked = data.images[split.held_out][:CHECKED_IMAGES]
        doubts = answer_warnings("float", answers, data.labels)
        document: dict[str, Any] = {
            "name": graph.name,
            "input_shape": graph.input_shape,
            "parameters": sum(int(values.size) for node in graph.nodes for values in node.weights.values()),
            "normalisation": asdict(data.pixels),
            "first_input": asdict(data.statistics),
            "binary": graph.binary,
            "notes": notes,
            "warnings": [*data.warnings, *doubts],
            "pruning": source.pruning(),
            "variants": {},
        }
        labels = None if data.labels is None else data.labels[split.held_out]
        logits = {}
        for name, variant in made.items():
            save_quantised(variant.graph, target / name)
            progress.advance(0, f"{name}, answers to the held-out images")
            logits[name] = logits_of(variant.graph, data.images[split.held_out])
            document["warnings"] += answer_warnings(name, logits[name].argmax(axis=1), labels, bool(doubts))
            document["variants"][name] = _described(variant, checked, normalisation, data, split)
            if name in found:
                document["variants"][name]["search"] = search_section(found[name])
            if name in finetuned:
                document["variants"][name]["finetuned"] = finetuned[name]
            if qonnx:
                _export(variant, folder / QONNX / f"{name}.onnx")
            progress.advance()
        arrays = {"ranges": split.ranges, "rule": split.rule, "held_out": split.held_out, "x": data.images}
        if data.labels is not None:
            arrays["y"] = data.labels
        arrays["float"] = answers
        np.savez_compressed(folder / LOGITS, **logits)  # type: ignore[arg-type]
        np.savez_compressed(target / "images.npz", **arrays)  # type: ignore[arg-type]
        (target / "quantise.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")

    return make


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


def quantise_inputs(
    source: Source, precision: Precision, variants: Sequence[str], finetuning: Finetuning | None = None
) -> dict[str, Any]:
    """Return what the quantise stage comes from; the same in every command, so that one reuses another's work."""
    trained = {} if finetuning is None else finetuning.inputs()
    return {**source.inputs(), **asdict(precision), "variants": list(variants), **trained}


def _accuracy(variant: Variant, images: npt.NDArray[np.uint8], truth: Int64Array) -> float:
    return float((logits_of(variant.graph, images).argmax(axis=1) == truth).mean())


def _quantised(
    graph: Graph,
    images: npt.NDArray[np.uint8],
    normalisation: Normalisation,
    configs: Mapping[str, QuantiseConfig],
    progress: Progress,
) -> dict[str, Variant]:
    from quant.quantise import make_pair, quantise

    def told(layer: str) -> None:
        progress.advance(doing=layer)

    if list(configs) == ["high"]:
        return {"high": quantise(graph, images, normalisation, configs["high"], "high", told)}
    pair = make_pair(graph, images, normalisation, configs["low"], configs["high"], told)
    return {"low": pair.low, "high": pair.high}


def search_section(found: SearchResult) -> dict[str, Any]:
    """Return what is recorded of a search: what it saved, every network that was judged, and for which engine."""
    engine = None if found.engine is None else found.engine.model_dump(exclude={*FITTED})
    trials = [asdict(trial) for trial in found.trials]
    return {"saves": found.saves, "chosen": found.chosen, "trials": trials, "engine": engine}


def _export(variant: Variant, path: Path) -> None:
    from quant.exchange.qonnx import export_qonnx

    export_qonnx(variant.model, path)


def _described(
    variant: Variant,
    checked: npt.NDArray[np.uint8],
    normalisation: Normalisation,
    data: CalibrationImages,
    split: Split,
) -> dict[str, Any]:
    """Return what is recorded of a variant, Brevitas' own inference compared with the reference on `checked`."""
    from quant.exchange.extract import brevitas_integers
    from toolflow.interpreter.run import run

    expected = run(variant.graph, checked, keep=list(variant.graph.shapes))
    found = brevitas_integers(variant.model, checked, normalisation)
    differing = {name: int((expected[name] != found[name]).sum()) for name in expected if name in found}
    # free scales are no binary fractions: Brevitas' float64 may round a tie the other way
    if variant.graph.family == "fixed-point" and any(differing.values()):
        first = next(name for name, count in differing.items() if count)
        raise ToolflowError(
            f"Brevitas and the integer reference of '{variant.graph.variant}' must agree, but {differing[first]} "
            f"elements of '{first}' differ: this is a defect of the toolflow, please report the model"
        )
    klass = found[variant.graph.output].reshape(len(checked), -1).argmax(axis=1)
    right = None if data.labels is None else float((klass == data.labels[split.held_out][: len(checked)]).mean())
    report = variant.report
    return {
        "config": report.config.model_dump(),
        "images": report.images,
        "first": report.first,
        "last": report.last,
        "notes": report.notes,
        "layers": [asdict(layer) for layer in report.layers],
        "brevitas": {
            "images": len(checked),
            "tensors": len(differing),
            "differing": sum(differing.values()),
            "accuracy": right,
        },
    }
