"""What the multipliers and the memory allow a unit, and what each of its layers reaches.

S. Williams, A. Waterman, D. Patterson, "Roofline: an insightful visual performance model for multicore architectures",
Communications of the ACM 52 (2009) 65–76. Bytes are those of the weight stream, which a pass reads once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from toolflow.report.summary import Board, LayerCycles, Unit, Variant

Point = tuple[float, float]  # multiply-accumulates per byte, and per cycle


@dataclass(frozen=True)
class LayerPoint:
    """A layer of the last pass.

    Attributes:
        intensity: multiply-accumulates per byte of its weights.
        rate: multiply-accumulates per cycle, of simulated cycles if there are any.
        bound, cycles, utilisation: as in the summary.
    """

    name: str
    intensity: float
    rate: float
    bound: str
    cycles: int
    utilisation: float


@dataclass(frozen=True)
class Roofline:
    """The layers of a unit under its two roofs.

    Attributes:
        roofs: the memory's and the multipliers': a name with its figure, and both ends of the line.
        points: the layers.
        intensities, rates: the ranges that hold all of them.
    """

    roofs: tuple[tuple[str, tuple[Point, Point]], ...]
    points: tuple[LayerPoint, ...]
    intensities: Point
    rates: Point


def roofline_of(unit: Unit, variant: Variant, board: Board) -> Roofline | None:
    """Return a unit's roofline; None if an earlier version wrote the summary, without bytes.

    The memory's roof is the narrower of the unit's weight port and the board's external memory.
    """
    stream = {layer.name: layer.stream_bytes for layer in variant.layers if layer.stream_bytes}
    parts: dict[str, list[LayerCycles]] = {}
    for layer in unit.runs[-1].layers:
        if layer.macs and layer.name in stream:
            parts.setdefault(layer.name, []).append(layer)
    points = tuple(_point(name, bands, stream[name], unit.multipliers) for name, bands in parts.items())
    if not points or not board.sustained_bytes_per_s:
        return None
    port, memory = float(unit.engine.bus_bytes), board.sustained_bytes_per_s / (board.clock_mhz * 1e6)
    slope = min(port, memory)
    peak = float(unit.multipliers)
    knee = peak / slope
    least = min(min(point.intensity for point in points), knee) / 2
    most = max(max(point.intensity for point in points), knee) * 2
    lowest = min(min(point.rate for point in points), least * slope)
    name = "weight port" if port <= memory else "external memory"
    return Roofline(
        (
            (f"{name}: {slope:,.3g} bytes a cycle", ((least, least * slope), (knee, peak))),
            (f"{unit.multipliers:,} multipliers", ((knee, peak), (most, peak))),
        ),
        points,
        (least, most),
        (lowest / 1.5, peak * 1.5),
    )


def _point(name: str, bands: Sequence[LayerCycles], stream_bytes: int, multipliers: int) -> LayerPoint:
    """Return a layer as a whole, which runs in one instruction or band after band."""
    macs, cycles = sum(band.macs for band in bands), max(sum(band.cycles for band in bands), 1)
    longest = max(bands, key=lambda band: band.cycles)
    return LayerPoint(name, macs / stream_bytes, macs / cycles, longest.bound, cycles, macs / (multipliers * cycles))
