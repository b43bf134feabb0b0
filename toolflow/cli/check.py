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
    with terminal.progress("load the toolflow"):
        from toolflow.cli.parsing import parse_shape
        from toolflow.flow import check as check_model
        from toolflow.passes.check import Status
        from toolflow.passes.two_logits import MEANING

    found = check_model(model, weights, parse_shape(input_shape), output, terminal)
    table = Table(title=f"{escape(found.model)}: {found.input_shape} to {found.output_shape}")
    for column in ("node", "operator", "", "how, or why not"):
        table.add_column(column, overflow="fold")
    styles = {Status.ENGINE: "green", Status.FOLDED: "dim", Status.IMPORTS_ONLY: "red"}
    for report in found.nodes:
        style = styles[report.status]
        node, operator, reason = map(escape, (report.node, report.operator, report.reason))
        table.add_row(node, operator, f"[{style}]{report.status.value}[/]", reason)
    terminal.result(found.document(), table, *([f"note: {MEANING}"] if found.binary else []))
    found.require_supported()
