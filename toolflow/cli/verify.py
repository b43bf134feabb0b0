"""`toolflow verify`: every level of a built project against the integer reference."""

from __future__ import annotations

from rtl_sim.levels import find_levels
from toolflow.cli import options
from toolflow.cli.command import command
from toolflow.cli.parsing import parse_names
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

    Two levels ask others about the network in DIR/graphs: brevitas (its float64 inference) and hls4ml (its
    g++ emulation, where it can hold the network).

    The files in DIR/weights are then compared with what DIR/graphs compile to, and run on the others:
    program (numpy executor), hls (the C++ under g++), cosim (the C++ behind the cocotb bench), rtl (the
    SystemVerilog behind the same bench). Both benches pause every channel at random; a second run of rtl
    without pauses counts cycles.

    With hls, the C++ is also checked for synthesis: the language and pragmas that HLS compilers accept, and for
    each pipelined loop the initiation interval that its memories' ports and its recurrences allow at the board's
    clock. No vendor tool has confirmed these intervals.

    Examples:

        toolflow verify build/digits

        toolflow verify build/resnet20 --levels program,hls --images 32
    """
    every = [level.name for level in find_levels().values() if level.selectable]
    chosen = parse_names("--levels", levels, every)
    with terminal.progress("load the toolflow"):
        from toolflow.flow import verify as run_levels
        from toolflow.report.tables import summary_tables

    found = run_levels(build, chosen, images, seed, terminal)
    terminal.result(found.summary.model_dump(mode="json"), *summary_tables(found.summary))
    found.require_equal()
