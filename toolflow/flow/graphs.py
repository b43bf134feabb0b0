"""The files of the quantise stage in graphs/: images by part, integers of each variant, and their answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from quant.cascade.split import stratified_split
from toolflow.flow.project import GRAPHS, LOGITS
from toolflow.ir.arrays import read_arrays
from toolflow.ir.quantised import QuantisedGraph
from toolflow.ir.store import load_quantised
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


def load_graph(folder: Path, name: VariantName) -> QuantisedGraph:
    """Read a variant that the quantise stage wrote."""
    return load_quantised(folder / GRAPHS / name, by_kind())


def held_out_logits(folder: Path, name: VariantName) -> Int64Array:
    """Return a variant's logits (N, K) on the held-out images, as the quantise stage left them."""
    logits: Int64Array = read_arrays(folder / LOGITS, name)[name]
    return logits
