"""The stages of a build, each from files of the one before to files of its own.

    quantise -> graphs/  calibrate -> calibration.json  plan -> plan.json  emit -> weights/ hls/ rtl/ ...  report

What loads torch is imported inside the stage that needs it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from quant.cascade.artefacts import CascadeReport, save_artefact
from quant.cascade.calibrate import CalibrationOptions, calibrate
from quant.cascade.doubts import answer_warnings
from quant.cascade.measure import evaluate_cascade
from quant.cascade.split import stratified_split
from toolflow.cli import options
from toolflow.cli.terminal import Step
from toolflow.engine.config import FITTED
from toolflow.flow.finetuning import Finetuning, require_finetuning
from toolflow.flow.folder import CHECKPOINTS, notebook_in
from toolflow.flow.precision import Precision
from toolflow.flow.project import CALIBRATION, CURVE, GRAPHS, LOGITS, QONNX, REPORT
from toolflow.importers.images.calibration_file import CalibrationImages, image_shape, load_calibration_file
from toolflow.interpreter.run import logits_of
from toolflow.ir.arrays import read_arrays
from toolflow.ir.errors import ToolflowError, UnknownShapeError
from toolflow.ir.graph import Graph
from toolflow.ir.operator import Shape
from toolflow.ir.quantised import QuantisedGraph
from toolflow.ir.store import load_quantised, save_quantised
from toolflow.numerics.srbs import Pattern
from toolflow.operators import BY_KIND
from toolflow.report.from_artefacts import cascade_section
from toolflow.report.plot import plot_cascade

if TYPE_CHECKING:
    from quant.config import Normalisation, QuantiseConfig
    from quant.quantise import Variant
    from quant.search.selection import SearchResult

MAX_RANGE_IMAGES = 1024
CHECKED_IMAGES = 64  # on which Brevitas' own integers are compared with the reference

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Source:
    """Where a model and its images come from.

    Attributes:
        model: what `load_model` takes.
        weights: state dict of a PyTorch module.
        input_shape: (C, H, W), or None where the model or the images say it.
        calibration: the `.npz`.
        output: which of the model's outputs, None where it has one.
        mean, std, pixel_scale, reverse_channels: how pixels are normalised, None to ask the file.
        pruned: what `toolflow prune` wrote for the model; None for its own weights.
        tile, sparsity: that the pruned layers must have, None for any; the file alone says what they are.
    """

    model: str
    weights: Path | None
    input_shape: Shape | None
    calibration: Path
    output: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    pixel_scale: float | None = None
    reverse_channels: bool = False
    pruned: Path | None = None
    tile: int | None = None
    sparsity: tuple[int, int] | None = None

    @classmethod
    def of_options(
        cls,
        model: str,
        calibration: Path,
        *,
        weights: Path | None,
        input_shape: str | None,
        output: str | None,
        mean: str | None,
        std: str | None,
        pixel_scale: float | None,
        reverse_channels: bool,
        pruned: Path | None = None,
        tile: str = "0",
        sparsity: str | None = None,
    ) -> Source:
        """Return what the command line's options say.

        Raises:
            ToolflowError: a text is not what its option takes, or a search is asked for of what is fixed.
        """
        for name, value in (("--tile", tile), ("--sparsity", sparsity)):
            if pruned is not None and value == "auto":
                raise ToolflowError(f"{name} auto must not be given with --pruned, whose tiles and patterns are fixed")
        return cls(
            model=model,
            weights=weights,
            input_shape=options.parse_shape(input_shape),
            calibration=calibration,
            output=output,
            mean=options.parse_per_channel("--mean", mean),
            std=options.parse_per_channel("--std", std),
            pixel_scale=pixel_scale,
            reverse_channels=reverse_channels,
            pruned=pruned,
            tile=None if tile in ("0", "auto") else int(tile),
            sparsity=None if sparsity == "auto" else options.parse_sparsity(sparsity),
        )

    @property
    def files(self) -> tuple[Path | None, ...]:
        """The files that it reads, None for those that are not given."""
        return self.model_file, self.weights, self.calibration, self.pruned

    @property
    def model_file(self) -> Path | None:
        """The ONNX file or the module's source, None for an importable module."""
        path = Path(self.model.rpartition(":")[0] or self.model)
        return path if path.is_file() else None

    @property
    def transforms(self) -> bool:
        """Whether the pruned network has Winograd layers."""
        from quant.sparsity.pruned_file import has_tiles

        return self.pruned is not None and has_tiles(self.pruned)

    def inputs(self) -> dict[str, Any]:
        """Return what a stage's fingerprint must cover."""
        return {
            "model": self.model,
            "source": self.model_file,
            "weights": self.weights,
            "input_shape": self.input_shape,
            "output": self.output,
            "calibration": self.calibration,
            "normalisation": [self.mean, self.std, self.pixel_scale, self.reverse_channels],
            "pruned": self.pruned,
        }

    def images(self, graph: Graph) -> CalibrationImages:
        """Read the calibration file for a model."""
        return load_calibration_file(
            self.calibration,
            input_shape=graph.input_shape,
            input_map=graph.input_map,
            classes=int(np.prod(graph.shapes[graph.output])),
            mean=self.mean,
            std=self.std,
            scale=self.pixel_scale,
            reverse_channels=self.reverse_channels,
        )

    def graph(self) -> Graph:
        """Import and simplify the model.

        Raises:
            ToolflowError: it cannot be imported, or a node of it does not run on the engine.
        """
        from toolflow.importers.load import load_model
        from toolflow.passes.check import require_engine
        from toolflow.passes.pipeline import simplify

        try:
            imported = load_model(self.model, self.weights, self.input_shape, self.output)
        except UnknownShapeError:
            imported = load_model(self.model, self.weights, image_shape(self.calibration), self.output)
        require_engine(imported)
        graph = simplify(imported)
        if self.pruned is None:
            return graph
        from quant.sparsity.pruned_file import load_pruned

        return load_pruned(graph, self.pruned, self.tile, None if self.sparsity is None else Pattern(*self.sparsity))

    def pruning(self) -> list[dict[str, Any]]:
        """Return the steps by which the pruned file was made, none where there is none."""
        if self.pruned is None:
            return []
        from quant.sparsity.pruned_file import pruning_steps

        return pruning_steps(self.pruned)


@dataclass(frozen=True)
class Split:
    """Indices of the calibration file's images: for ranges, for the cascade's rule, for the report."""

    ranges: Int64Array
    rule: Int64Array
    held_out: Int64Array


def split_images(count: int, labels: Int64Array | None) -> Split:
    """Cut a calibration file into three disjoint parts: a third, at most 1,024, for ranges; the rest in halves."""
    share = min(MAX_RANGE_IMAGES / count, 1 / 3)
    ranges, rest = stratified_split(count, labels, share)
    rule, held_out = stratified_split(len(rest), None if labels is None else labels[rest])
    return Split(ranges, rest[rule], rest[held_out])


def quantise_stage(
    source: Source,
    precision: Precision,
    variants: Sequence[str],
    note: Callable[[str], None],
    qonnx: bool = False,
    finetuning: Finetuning | None = None,
    require: Callable[[Graph], None] = lambda _: None,
) -> Callable[[Path, Step], None]:
    """Return the stage that writes graphs/: integers of every variant, float answers, and how they were made.

    With `qonnx` it also writes every variant as qonnx/<variant>.onnx; with `finetuning` it trains what it found.
    `require` may refuse the imported network before anything is measured.
    """

    def make(folder: Path, step: Step) -> None:
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
                lambda what, name=name: step.advance(0, f"{name}, {what}"),  # type: ignore[misc]
                notebook_in(folder),
            )
            for name in variants
            if precision.searches(name)
        }
        configs = {name: found[name].config if name in found else precision.config(name) for name in variants}
        ranges = data.images[split.ranges]
        made = _quantised(graph, ranges, normalisation, configs, step)
        finetuned: dict[str, dict[str, Any]] = {}
        if finetuning is not None and training is not None:
            unseen = data.images[split.held_out], truth[split.held_out]
            before = {name: _accuracy(variant, *unseen) for name, variant in made.items()}
            inputs = quantise_inputs(source, precision, variants, finetuning)
            made, finetuned = finetuning.apply(made, teacher, training, ranges, step, folder / CHECKPOINTS, inputs)
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
            step.advance(0, f"{name}, answers to the held-out images")
            logits[name] = logits_of(variant.graph, data.images[split.held_out])
            document["warnings"] += answer_warnings(name, logits[name].argmax(axis=1), labels, bool(doubts))
            document["variants"][name] = _described(variant, checked, normalisation, data, split)
            if name in found:
                document["variants"][name]["search"] = search_section(found[name])
            if name in finetuned:
                document["variants"][name]["finetuned"] = finetuned[name]
            if qonnx:
                _export(variant, folder / QONNX / f"{name}.onnx")
            step.advance()
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


def calibrate_stage(tolerance: float) -> Callable[[Path, Step], None]:
    """Return the stage that writes the cascade's rule, and its report on held-out images."""

    def make(folder: Path, step: Step) -> None:
        data = Images.read(folder)
        low, high = (load_graph(folder, name) for name in ("low", "high"))
        step.expect(2 * len(data.split.rule))
        of_low, of_high = (logits_of(graph, data.part("rule"), step.advance) for graph in (low, high))
        scale = low.types[low.output].scale
        found = calibrate(of_low, of_high, data.labels_of("rule"), scale, CalibrationOptions(tolerance))
        report = evaluate_cascade(
            found,
            held_out_logits(folder, "low"),
            held_out_logits(folder, "high"),
            data.labels_of("held_out"),
            data.float_classes[data.split.held_out],
        )
        save_artefact(found, folder / CALIBRATION)
        save_artefact(report, folder / REPORT)
        plot_cascade(cascade_section(found, report), folder / CURVE)

    return make


def held_out_logits(folder: Path, name: str) -> Int64Array:
    """Return a variant's logits (N, K) on the held-out images, as the quantise stage left them."""
    logits: Int64Array = read_arrays(folder / LOGITS, name)[name]
    return logits


@dataclass(frozen=True)
class Images:
    """The calibration file's images and their three parts, as the quantise stage left them."""

    images: npt.NDArray[np.uint8]
    labels: Int64Array | None
    float_classes: Int64Array
    split: Split

    @classmethod
    def read(cls, folder: Path) -> Images:
        """Read graphs/images.npz."""
        arrays = read_arrays(folder / GRAPHS / "images.npz", "x", "float", "ranges", "rule", "held_out")
        split = Split(arrays["ranges"], arrays["rule"], arrays["held_out"])
        return cls(arrays["x"], arrays.get("y"), arrays["float"], split)

    def part(self, name: str) -> npt.NDArray[np.uint8]:
        """Return the images of "ranges", "rule" or "held_out"."""
        picked: npt.NDArray[np.uint8] = self.images[getattr(self.split, name)]
        return picked

    def labels_of(self, name: str) -> Int64Array | None:
        """Return the labels of a part, None where the file has none."""
        if self.labels is None:
            return None
        picked: Int64Array = self.labels[getattr(self.split, name)]
        return picked


def load_graph(folder: Path, name: str) -> QuantisedGraph:
    """Read a variant that the quantise stage wrote."""
    return load_quantised(folder / GRAPHS / name, BY_KIND)


def read_report(folder: Path) -> CascadeReport:
    """Read the held-out report."""
    from quant.cascade.artefacts import load_artefact

    return load_artefact(CascadeReport, folder / REPORT)


def _quantised(
    graph: Graph,
    images: npt.NDArray[np.uint8],
    normalisation: Normalisation,
    configs: Mapping[str, QuantiseConfig],
    step: Step,
) -> dict[str, Variant]:
    from quant.quantise import make_pair, quantise

    def told(layer: str) -> None:
        step.advance(doing=layer)

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
    # free scales are no binary fractions: Brevitas' float64 may round a tie the other way (design section 8)
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
