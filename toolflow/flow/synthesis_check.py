"""The level `synthesisable` of `toolflow verify`: rules of HLS compilers, and initiation intervals."""

from __future__ import annotations

from pathlib import Path

from toolflow.emit.cxx import parse_unit
from toolflow.emit.hls import top_function
from toolflow.emit.ii.analyse import Interval, analyse_unit
from toolflow.emit.ii.delays import delays_of
from toolflow.emit.synthesisable import check_parsed
from toolflow.flow.project import Project
from toolflow.ir.errors import VerificationError
from toolflow.report.summary import LoopInterval


def check_sources(project: Project, unit: str, cache: Path) -> tuple[bool, str, tuple[LoopInterval, ...]]:
    """Check a unit's C++ as it lies in the project.

    A loop whose sources ask for more than the ports of its memories, or that waits for itself through a memory, fails
    the level. One that misses by a chain of registers at the board's clock does not: its interval is reported.

    Args:
        project: the opened project.
        unit: "low", "high" or "single".
        cache: folder that keeps the units' IR.

    Returns:
        Whether the level passes, what is to be told, and every pipelined loop.
    """
    parsed = parse_unit(project.folder / "hls" / f"{top_function(unit)}.cpp")
    found = check_parsed(parsed)
    if found:
        return False, f"{len(found)} place(s) break the rules of synthesis, the first {found[0]}", ()
    board = project.board
    try:
        loops = analyse_unit(parsed, delays_of(board.family, board.part), board.clock_mhz, cache)
    except VerificationError as error:
        return False, str(error), ()
    sections = tuple(_section(loop) for loop in loops)
    failed = [loop for loop in loops if loop.is_mendable]
    if failed:
        return False, f"{len(failed)} pipelined loop(s) cannot reach their II, the first {failed[0]}", sections
    slow = [loop for loop in loops if loop.misses]
    named = ", ".join(f"{loop.file}:{loop.line} (II = {loop.found})" for loop in slow)
    detail = f"but {len(slow)} of {len(loops)} pipelined loops miss their II at {board.clock_mhz:g} MHz: {named}"
    return True, detail if slow else "", sections


def _section(loop: Interval) -> LoopInterval:
    names = [name for name in LoopInterval.model_fields if name != "found"]
    return LoopInterval(found=loop.found, **{name: getattr(loop, name) for name in names})
