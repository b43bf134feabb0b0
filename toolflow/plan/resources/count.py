"""Amounts of FPGA resources, of a board or of a design."""

from __future__ import annotations

from dataclasses import dataclass

RESOURCES = ("luts", "flip_flops", "dsps", "block_rams", "urams")


@dataclass(frozen=True)
class ResourceCount:
    """Amounts of the five resources.

    Attributes:
        luts: look-up tables (six inputs on xc7 and xcup, four on ECP5), as logic or as memory.
        flip_flops: registers.
        dsps: DSP48E1, DSP48E2 or MULT18X18D.
        block_rams: in blocks of 36 Kb on xc7 and xcup (half a block is one RAMB18), of 18 Kb on ECP5.
        urams: UltraRAM blocks of 288 Kb.
    """

    luts: float = 0
    flip_flops: float = 0
    dsps: float = 0
    block_rams: float = 0
    urams: float = 0

    def __add__(self, other: ResourceCount) -> ResourceCount:
        return ResourceCount(
            self.luts + other.luts,
            self.flip_flops + other.flip_flops,
            self.dsps + other.dsps,
            self.block_rams + other.block_rams,
            self.urams + other.urams,
        )

    def __mul__(self, factor: float) -> ResourceCount:
        return ResourceCount(*(factor * amount for amount in self.amounts()))

    def amounts(self) -> tuple[float, float, float, float, float]:
        """The amounts in the order of the fields."""
        return self.luts, self.flip_flops, self.dsps, self.block_rams, self.urams

    def by_name(self) -> dict[str, float]:
        """The amounts under their field names."""
        return dict(zip(RESOURCES, self.amounts(), strict=True))

    def fits(self, limit: ResourceCount) -> bool:
        """Return whether `limit` has enough of every resource."""
        return (
            self.luts <= limit.luts
            and self.flip_flops <= limit.flip_flops
            and self.dsps <= limit.dsps
            and self.block_rams <= limit.block_rams
            and self.urams <= limit.urams
        )

    def over(self, limit: ResourceCount) -> dict[str, tuple[float, float]]:
        """Return (needed, available) of every resource of which `limit` has too little."""
        mine, theirs = self.by_name(), limit.by_name()
        return {name: (mine[name], theirs[name]) for name in mine if mine[name] > theirs[name]}

    def shares(self, limit: ResourceCount) -> dict[str, float]:
        """Return needed ÷ available per resource; resources of which there is none anywhere are left out."""
        mine, theirs = self.by_name(), limit.by_name()
        return {
            name: mine[name] / theirs[name] if theirs[name] else float("inf")
            for name in mine
            if mine[name] or theirs[name]
        }
