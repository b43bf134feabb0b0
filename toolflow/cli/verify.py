"""`toolflow verify`: every level of a built project against the integer reference."""

from __future__ import annotations

from toolflow.cli import options
from toolflow.cli.command import command
from toolflow.cli.terminal import Terminal


@command
def verify(
    terminal: Terminal,
    build: options.Build,
    levels: options.Levels = None,
    images: options.ImageCount = None,
    seed: options.Seed = 1,
) -> None:
    """Run a project's binaries on every level and compare each integer with the reference.

    Two levels check the network in DIR/graphs with other tools: brevitas (inference in float64) and hls4ml (emulation
    with g++, for networks with fixed-point scales).

    The other levels run the files in DIR/weights: program (numpy executor), hls (the C++ compiled with g++), cosim (the
    C++ behind a cocotb test bench) and rtl (the SystemVerilog behind the same bench). Before that, the files are
    compared with what DIR/graphs compile to. The bench pauses every AXI channel at random. A second run of rtl
    without pauses counts cycles.

    With hls, the C++ is also checked for synthesis: its language and pragmas must be accepted by HLS compilers, and the
    initiation interval of each pipelined loop is estimated at the board's clock. No vendor tool has confirmed these
    intervals.

    Examples:

        toolflow verify build/digits

        toolflow verify build/resnet20 --levels program,hls --images 32
    """
    with terminal.progress("load the toolflow"):
        from toolflow.cli.parsing import parse_names
        from toolflow.flow import verify as run_levels
        from toolflow.report.verdicts import verdict_tables

    found = run_levels(build, parse_names(levels), images, seed, terminal)
    terminal.result(found.summary.model_dump(mode="json"), *verdict_tables(found.summary, found.checks))
    terminal.note(f"report: {build / 'report.html'}")
    found.require_equal()
