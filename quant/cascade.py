"""Run the two units of a cascade on images, through the integer reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from toolflow.interpreter.run import batches, run
from toolflow.ir.errors import ToolflowError
from toolflow.ir.quantised import QuantisedGraph
from toolflow.numerics.confidence import ConfidenceRule, evaluate

Int64Array = npt.NDArray[np.int64]
UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]
Progress = Callable[[int], None]

BATCH_IMAGES = 256


@dataclass(frozen=True)
class PairLogits:
    """Integer logits of both units on the same images, (N, K) each, and the real value of a low logit's step."""

    low: Int64Array
    high: Int64Array
    logit_scale: float


@dataclass(frozen=True)
class CascadeAnswers:
    """What the cascade answers, every array (N,).

    Attributes:
        klass: the answer.
        forwarded: whether it came from the high-precision unit.
        low_klass: what the low-precision unit said.
    """

    klass: Int64Array
    forwarded: BoolArray
    low_klass: Int64Array


def check_pair(low: QuantisedGraph, high: QuantisedGraph) -> None:
    """Check that two graphs can form a cascade.

    Raises:
        ToolflowError: they take different images or give different numbers of classes.
    """
    if low.input_shape != high.input_shape:
        raise ToolflowError(
            f"both units must take the same images, not {low.input_shape} ('{low.name}', {low.variant}) "
            f"and {high.input_shape} ('{high.name}', {high.variant})"
        )
    classes = [int(np.prod(graph.shapes[graph.output])) for graph in (low, high)]
    if classes[0] != classes[1]:
        raise ToolflowError(f"both units must give the same classes, not {classes[0]} and {classes[1]}")


def logits_of(graph: QuantisedGraph, images: UInt8Array, progress: Progress | None = None) -> Int64Array:
    """Return the graph's integer outputs for uint8 images (N, H, W, C) as (N, K).

    Args:
        graph: one unit's network.
        images: what it takes, before its input table.
        progress: called after each batch with the number of its images.

    Raises:
        ToolflowError: the images' shape or type is not the graph's.
    """
    parts = [np.zeros((0, int(np.prod(graph.shapes[graph.output]))), np.int64)]
    for batch in batches(images, BATCH_IMAGES):
        parts.append(run(graph, batch)[graph.output].reshape(len(batch), -1))
        if progress is not None:
            progress(len(batch))
    return np.concatenate(parts)


def pair_logits(
    low: QuantisedGraph, high: QuantisedGraph, images: UInt8Array, progress: Progress | None = None
) -> PairLogits:
    """Return both units' logits on all images, as calibration needs them; `progress` counts 2·N images.

    Raises:
        ToolflowError: the graphs do not form a cascade, or do not take these images.
    """
    check_pair(low, high)
    return PairLogits(
        low=logits_of(low, images, progress),
        high=logits_of(high, images, progress),
        logit_scale=low.types[low.output].scale,
    )


def answer(
    low: QuantisedGraph,
    high: QuantisedGraph,
    rule: ConfidenceRule,
    images: UInt8Array,
    progress: Progress | None = None,
) -> CascadeAnswers:
    """Answer as the device does: the high-precision unit sees only what the low-precision one is not sure of.

    Raises:
        ToolflowError: the graphs do not form a cascade, or do not take these images.
    """
    check_pair(low, high)
    first = evaluate(logits_of(low, images, progress), rule)
    klass = first.klass.copy()
    forwarded = ~first.confident
    klass[forwarded] = logits_of(high, images[forwarded], progress).argmax(axis=1)
    return CascadeAnswers(klass, forwarded, first.klass)
