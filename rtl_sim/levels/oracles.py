"""The levels that others wrote: Brevitas' inference and hls4ml's emulation of a stored network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from quant.exchange.brevitas_level import brevitas_tensors
from quant.exchange.hls4ml_level import hls4ml_logits
from toolflow.interpreter.run import run
from toolflow.ir.errors import ToolflowError
from toolflow.ir.quantised import QuantisedGraph

UInt8Array = npt.NDArray[np.uint8]

ORACLES = ("brevitas", "hls4ml")


@dataclass(frozen=True)
class OracleVerdict:
    """What an oracle says of the reference.

    Attributes:
        equal: whether it agrees; None where it cannot hold the network.
        detail: the first tensor that differs, what may differ, or why it was not run.
    """

    equal: bool | None
    detail: str = ""


def ask_oracle(name: str, graph: QuantisedGraph, images: UInt8Array, work: Path) -> OracleVerdict:
    """Compare the reference with an oracle on images (N, H, W, C).

    Args:
        name: one of `ORACLES`.
        graph: a variant.
        images: uint8.
        work: where hls4ml builds.

    Raises:
        ToolflowError: there is no such oracle.
    """
    if name == "brevitas":
        return _brevitas(graph, images)
    if name == "hls4ml":
        return _hls4ml(graph, images, work)
    raise ToolflowError(f"an oracle must be one of {', '.join(ORACLES)}, not '{name}'")


def _brevitas(graph: QuantisedGraph, images: UInt8Array) -> OracleVerdict:
    """Compare every tensor.

    With free scales a tie is no tie in float64: one step of difference is allowed where the tensors part, what
    follows from it in later ones, and no other class.
    """
    names = list(graph.shapes)
    expected, found = run(graph, images, names), brevitas_tensors(graph, images)
    differing = {name: int((expected[name] != found[name]).sum()) for name in names}
    wrong = sum(differing.values())
    if not wrong:
        return OracleVerdict(True)
    first = next(name for name in names if differing[name])
    elements = sum(values.size for values in expected.values())
    counted = f"{wrong:,} of {elements:,} integers differ, the first in '{first}'"
    if graph.family == "fixed-point":
        return OracleVerdict(False, counted)
    steps = int(np.abs(expected[first] - found[first]).max())
    if steps > 1:
        return OracleVerdict(False, f"{counted}, there by {steps} steps")
    classes = [_classes(tensors[graph.output]) for tensors in (expected, found)]
    changed = int((classes[0] != classes[1]).sum())
    if changed:
        return OracleVerdict(False, f"{counted}; {changed} of {len(images)} classes change")
    return OracleVerdict(True, f"in every class; {wrong:,} of {elements:,} integers differ, as ties of free scales may")


def _hls4ml(graph: QuantisedGraph, images: UInt8Array, work: Path) -> OracleVerdict:
    """Compare the logits."""
    try:
        found = hls4ml_logits(graph, images, work)
    except ToolflowError as error:
        return OracleVerdict(None, str(error))
    expected = run(graph, images)[graph.output].reshape(found.shape)
    places = np.argwhere(found != expected)
    if not len(places):
        return OracleVerdict(True)
    image, logit = (int(index) for index in places[0])
    return OracleVerdict(
        False, f"logit {logit} of image {image}: expected {expected[image, logit]}, got {found[image, logit]}"
    )


def _classes(logits: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    classes: npt.NDArray[np.intp] = logits.reshape(len(logits), -1).argmax(axis=1)
    return classes
