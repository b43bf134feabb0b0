"""The files of the quantise stage in graphs/: images by part, integers of each variant, and their answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from quant.cascade.doubts import answer_warnings
from quant.cascade.split import stratified_split
from toolflow.flow.events import Progress
from toolflow.flow.project import GRAPHS, LOGITS
from toolflow.importers.images.calibration_file import CalibrationImages
from toolflow.interpreter.run import logits_of
from toolflow.ir.arrays import read_arrays
from toolflow.ir.quantised import QuantisedGraph
from toolflow.ir.store import load_quantised, save_quantised
from toolflow.ir.unit import VariantName
from toolflow.operators.folders import by_kind

MAX_RANGE_IMAGES = 1024

Int64Array = npt.NDArray[np.int64]


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

    def labels_of(self, part: Int64Array) -> Int64Array | None:
        """Return the labels of the images of a part, None if the file has none."""
        if self.labels is None:
            return None
        picked: Int64Array = self.labels[part]
        return picked


def write_graphs(
    folder: Path,
    graphs: Mapping[VariantName, QuantisedGraph],
    data: CalibrationImages,
    split: Split,
    float_classes: Int64Array,
    doubted: bool,
    progress: Progress,
) -> list[str]:
    """Write graphs/: the integers, the images by part, and the answers to held-out images.

    Args:
        folder: of the project.
        graphs: the networks in integers.
        data: the calibration file.
        split: its parts.
        float_classes: int64 (N,), the classes that stand for the network before quantisation.
        doubted: whether these are doubtful already.
        progress: told before each network.

    Returns:
        Warnings about the answers.
    """
    target = folder / GRAPHS
    target.mkdir(parents=True, exist_ok=True)
    labels = None if data.labels is None else data.labels[split.held_out]
    logits: dict[str, Int64Array] = {}
    warnings: list[str] = []
    for name, graph in graphs.items():
        save_quantised(graph, target / name)
        progress.advance(0, f"{name}, answers to the held-out images")
        logits[name] = logits_of(graph, data.images[split.held_out])
        warnings += answer_warnings(name, logits[name].argmax(axis=1), labels, doubted)
        progress.advance()
    arrays = {"ranges": split.ranges, "rule": split.rule, "held_out": split.held_out, "x": data.images}
    if data.labels is not None:
        arrays["y"] = data.labels
    arrays["float"] = float_classes
    np.savez_compressed(folder / LOGITS, **logits)  # type: ignore[arg-type]
    np.savez_compressed(target / "images.npz", **arrays)  # type: ignore[arg-type]
    return warnings


def load_graph(folder: Path, name: VariantName) -> QuantisedGraph:
    """Read a variant that the quantise stage wrote."""
    return load_quantised(folder / GRAPHS / name, by_kind())


def held_out_logits(folder: Path, name: VariantName) -> Int64Array:
    """Return a variant's logits (N, K) on the held-out images, as the quantise stage left them."""
    logits: Int64Array = read_arrays(folder / LOGITS, name)[name]
    return logits
