"""`toolflow check`: which nodes of a model the engine supports."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from toolflow.cli import options
from toolflow.cli.command import command
from toolflow.cli.terminal import Terminal


@command
def check(
    terminal: Terminal,
    model: options.Model,
    weights: options.Weights = None,
    input_shape: options.InputShape = None,
    output: options.Output = None,
) -> None:
    """Check which nodes of a model the engine supports, and how each is computed.

    Examples:

        toolflow check model.onnx

        toolflow check resnet.py:resnet20 --weights resnet20.safetensors --input-shape 3,32,32
    """
    from toolflow.cli.parsing import parse_shape

    shape = parse_shape(input_shape)
    with terminal.progress(f"import {model}"):
        from toolflow.importers.load import load_model
        from toolflow.passes.check import Status, refuse
        from toolflow.passes.check import check as check_nodes
        from toolflow.passes.two_logits import MEANING, is_binary

        graph = load_model(model, weights, shape, output)
        reports = check_nodes(graph)
    table = Table(title=f"{escape(graph.name)}: {graph.input_shape} to {graph.shapes[graph.output]}")
    for column in ("node", "operator", "", "how, or why not"):
        table.add_column(column, overflow="fold")
    styles = {Status.ENGINE: "green", Status.FOLDED: "dim", Status.IMPORTS_ONLY: "red"}
    for report in reports:
        style = styles[report.status]
        node, operator, reason = map(escape, (report.node, report.operator, report.reason))
        table.add_row(node, operator, f"[{style}]{report.status.value}[/]", reason)
    binary = is_binary(graph)
    nodes = [{"node": r.node, "operator": r.operator, "status": r.status.value, "reason": r.reason} for r in reports]
    document = {"model": graph.name, "input_shape": list(graph.input_shape), "binary": binary, "nodes": nodes}
    terminal.result(document, table, *([f"note: {MEANING}"] if binary else []))
    refuse(reports)
