"""The level `synthesisable`: the project's C++ against the rules of HLS compilers, and its initiation intervals."""

from __future__ import annotations

from collections.abc import Collection

from rtl_sim.level import Level, Subject, Verdict
from toolflow.ir.errors import VerificationError


class Synthesisable(Level):
    """The C++ against what HLS compilers accept.

    A loop whose sources ask for more than the ports of its memories, or that waits for itself through a memory, fails
    the level. One that misses by a chain of registers at the board's clock does not: its interval is reported.
    """

    name, rank = "synthesisable", 40
    selectable = False
    reads_binaries = False
    sources = "hls"
    packages = ("libclang", "ziglang")

    def runs(self, chosen: Collection[str]) -> bool:
        """Return whether the same C++ is run under g++."""
        return "hls" in chosen

    def describe(self, unit: str, images: int) -> str:
        """Return what is done."""
        return f"loops of the {unit} unit's C++"

    def check(self, subject: Subject) -> Verdict:
        """Check the language and the pragmas, and then the interval of every pipelined loop."""
        from toolflow.emit.cxx import parse_unit
        from toolflow.emit.hls import top_function
        from toolflow.emit.ii.analyse import analyse_unit
        from toolflow.emit.ii.delays import delays_of
        from toolflow.emit.synthesisable import check_parsed

        parsed = parse_unit(subject.folder / self.sources / f"{top_function(subject.unit.engine)}.cpp")
        found = check_parsed(parsed)
        if found:
            return Verdict(False, f"{len(found)} place(s) break the rules of synthesis, the first {found[0]}")
        board = subject.board
        delays = delays_of(board.family, board.part)
        try:
            loops = tuple(analyse_unit(parsed, delays, board.clock_mhz, subject.work / "intervals"))
        except VerificationError as error:
            return Verdict(False, str(error))
        failed = [loop for loop in loops if loop.is_mendable]
        if failed:
            detail = f"{len(failed)} pipelined loop(s) cannot reach their II, the first {failed[0]}"
            return Verdict(False, detail, loops=loops)
        slow = [loop for loop in loops if loop.misses]
        named = ", ".join(f"{loop.file}:{loop.line} (II = {loop.found})" for loop in slow)
        detail = f"but {len(slow)} of {len(loops)} pipelined loops miss their II at {board.clock_mhz:g} MHz: {named}"
        return Verdict(True, detail if slow else "", loops=loops)


LEVEL = Synthesisable()
