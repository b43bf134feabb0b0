"""Check which nodes of a model the engine supports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolflow.flow.events import SILENT, Events
from toolflow.flow.values import as_model, as_path_or_none, as_shape
from toolflow.ir.operator import Shape
from toolflow.ir.quantised import PIXEL_VALUES
from toolflow.ir.unit import VariantName
from toolflow.passes.check import NodeReport, refuse
from toolflow.passes.check import check as check_nodes
from toolflow.passes.two_logits import is_binary


@dataclass(frozen=True)
class ModelCheck:
    """What becomes of the nodes of a model.

    Attributes:
        model: the network's name.
        input_shape, output_shape: of its input (C, H, W) and of its output, without the batch.
        binary: whether it gives one logit, and so is a binary classifier.
        nodes: a report of each node as imported, in order.
    """

    model: str
    input_shape: Shape
    output_shape: Shape
    binary: bool
    nodes: tuple[NodeReport, ...]

    def require_supported(self) -> None:
        """Raise if a node does not run.

        Raises:
            ModelDoesNotRunError: names every such node and says why.
        """
        refuse(self.nodes)

    def document(self) -> dict[str, Any]:
        """Return the result as a JSON document."""
        nodes = [
            {"node": each.node, "operator": each.operator, "status": each.status.value, "reason": each.reason}
            for each in self.nodes
        ]
        return {"model": self.model, "input_shape": list(self.input_shape), "binary": self.binary, "nodes": nodes}


def check(
    model: str,
    weights: str | Path | None = None,
    input_shape: Shape | None = None,
    output: str | None = None,
    events: Events = SILENT,
) -> ModelCheck:
    """Import a model, and report for each node how the engine computes it, or why it cannot.

    Args:
        model: an ONNX file, or a PyTorch module: "package.module:factory" or "file.py:factory".
        weights: state dict of a PyTorch module.
        input_shape: (C, H, W), or None if the model says it.
        output: which of the model's outputs, None if it has one.
        events: receives progress.

    Raises:
        ToolflowError: the model cannot be imported.
    """
    model, weights = as_model(model), as_path_or_none("--weights", weights)
    if input_shape is not None:
        input_shape = as_shape("--input-shape", input_shape)
    with events.progress(f"import {model}"):
        from toolflow.importers.load import is_quantised_file, load_model

        if is_quantised_file(model):
            return _check_quantised(model, weights, input_shape, output)
        graph = load_model(model, weights, input_shape, output)
        nodes = check_nodes(graph)
    return ModelCheck(graph.name, graph.input_shape, graph.shapes[graph.output], is_binary(graph), nodes)


def _check_quantised(model: str, weights: Path | None, input_shape: Shape | None, output: str | None) -> ModelCheck:
    """Return the report of a network that was quantised elsewhere; its integers do not depend on the images."""
    from toolflow.importers.load import load_quantised_file
    from toolflow.importers.quantised.lower import lower
    from toolflow.importers.quantised.report import reports

    graph = load_quantised_file(model, weights, input_shape, output)
    made = lower(graph, np.zeros((graph.input_shape[0], PIXEL_VALUES)), VariantName.HIGH)
    shape = graph.shapes[graph.output]
    return ModelCheck(graph.name, graph.input_shape, shape, graph.binary, reports(graph, made))
