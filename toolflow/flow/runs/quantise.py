"""Quantise networks from a request, without a board."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from toolflow.flow.events import SILENT, Events
from toolflow.flow.folder import open_build
from toolflow.flow.graphs import Images, held_out_logits
from toolflow.flow.project import read_quantised
from toolflow.flow.records import QuantiseRecord
from toolflow.flow.request import Request
from toolflow.flow.stages.quantise import STAGE_ALONE
from toolflow.flow.stages.stage import run_stages
from toolflow.flow.values import as_path, require_kind
from toolflow.ir.errors import ToolflowError
from toolflow.ir.unit import VariantName


@dataclass(frozen=True)
class Quantised:
    """The result of quantisation.

    Attributes:
        record: the contents of `graphs/quantise.json`.
        images: number of held-out images.
        labelled: whether they have labels; otherwise accuracies are agreement with the float network.
        float_accuracy: accuracy of the float network on the held-out images.
        accuracy: accuracy of each variant on them.
    """

    record: QuantiseRecord
    images: int
    labelled: bool
    float_accuracy: float
    accuracy: dict[VariantName, float]


def quantise(request: Request, out: str | Path, events: Events = SILENT) -> Quantised:
    """Quantise a model to its variants, and measure them.

    Args:
        request: the model and its precision; only a search uses the board.
        out: the output folder: graphs/ (integers) and, if there are no Winograd layers, qonnx/. `build` with the same
            request and folder reuses the result.
        events: receives notes and progress.

    Raises:
        ToolflowError: the request cannot be met, or `out` holds something else.
    """
    require_kind("request", request, Request)
    out = as_path("--out", out)
    request = replace(request, source=request.source.anew())
    if request.source.is_quantised:
        raise ToolflowError(f"'{request.source.model}' is quantised already: 'toolflow build' takes it over as it is")
    for sentence in request.search.check(request.variants):
        events.note(sentence)
    if request.transforms:
        events.note("no QONNX files are written: QONNX has no Winograd convolution")
    with open_build(out, events, "quantise", request.files) as folder:
        request.source.load(events)
        run_stages([STAGE_ALONE], folder, request)
    with events.progress("measure the variants"):
        return measured(out)


def measured(folder: Path) -> Quantised:
    """Read what the stage recorded, and each variant's accuracy on the images that quantisation did not see."""
    recorded = read_quantised(folder)
    data = Images.read(folder)
    held_out = data.split.held_out
    labels = data.labels_of(held_out)
    floats = data.float_classes[held_out]
    truth = floats if labels is None else labels
    accuracy = {
        name: float((held_out_logits(folder, name).argmax(axis=1) == truth).mean()) for name in recorded.variants
    }
    return Quantised(recorded, len(truth), labels is not None, float((floats == truth).mean()), accuracy)
