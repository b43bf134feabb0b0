"""The level `files`: the program and weight stream of a project, byte by byte, against what its network compiles to."""

from __future__ import annotations

from collections.abc import Collection

from rtl_sim.level import Level, Subject, Verdict


class Files(Level):
    """The binaries against the stored graphs."""

    name, rank = "files", 30
    selectable = False

    def runs(self, chosen: Collection[str]) -> bool:
        """Return that it always runs: every other level takes the binaries as they are."""
        return True

    def describe(self, unit: str, images: int) -> str:
        """Return what is done."""
        return f"files of the {unit} unit"

    def check(self, subject: Subject) -> Verdict:
        """Compare the files; the part of the first byte that differs is named."""
        difference = subject.binaries.difference(subject.compiled)
        return Verdict(difference is None, difference or "")


LEVEL = Files()
