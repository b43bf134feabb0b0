"""`toolflow report`: a project's figures as one page."""

from __future__ import annotations

from toolflow.cli import options
from toolflow.cli.command import command
from toolflow.cli.terminal import Terminal


@command
def report(terminal: Terminal, build: options.Build) -> None:
    """Write report.html: every figure of a project as one page that needs no network.

    It shows the network with the bottleneck of each layer, accuracy, the cascade with its threshold as a slider,
    cycles, a roofline, resources, verdicts and hashes. 'toolflow build' and 'toolflow verify' write it too.

    Examples:

        toolflow report build/digits
    """
    with terminal.progress("load the toolflow"):
        from toolflow.flow import report as write

    page = write(build, terminal)
    terminal.result({"report": str(page)}, f"wrote {page}")
