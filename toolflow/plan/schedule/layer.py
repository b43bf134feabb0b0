"""A layer in the schedule: its steps on whole maps, and the rows of its operands that a band of outputs takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from toolflow.engine.places import align
from toolflow.engine.steps import Compute, Pool, Residual

Computing = Compute | Pool
Rows = tuple[int, int]  # first, and the one after the last

IMAGE = 0  # rows of a lane: none is shared out, a lane holds every row


@dataclass(frozen=True)
class Layer:
    """The steps of one node, which compute parts of one output.

    Attributes:
        time: number of the node.
        steps: on whole maps; they read and write the same ones.
        source, residual: the tensors that they read, views seen through.
        rows: R of the output in stripes; `IMAGE` in image layout. The rows of a band are then those of each lane, from
            its first own one on.
    """

    time: int
    steps: tuple[Computing, ...]
    source: str
    residual: str | None
    rows: int = IMAGE

    @property
    def whole(self) -> Computing:
        """The step that computes every position."""
        return self.steps[0]

    @property
    def added(self) -> Residual:
        """What the drain adds, where there is a residual."""
        assert isinstance(self.whole, Compute)
        assert self.whole.residual is not None
        return self.whole.residual

    @property
    def height(self) -> int:
        """Rows of the output, in stripes those of a lane."""
        return self.rows or self.whole.out.height

    @property
    def unit(self) -> int:
        """Bands begin at a multiple of so many rows."""
        return max(self.whole.tile, 1) if isinstance(self.whole, Compute) else 1

    @property
    def source_layout(self) -> int:
        """R of the source."""
        return self.rows * self.whole.window.stride[0]

    @property
    def residual_layout(self) -> int:
        """R of the residual."""
        return self.rows * self.added.stride[0]

    def bands(self, rows: int) -> Iterator[Rows]:
        """Yield the bands of at most so many rows, as equal as they can be."""
        count = -(-self.height // rows)
        each = align(-(-self.height // count), self.unit)
        for first in range(0, self.height, each):
            yield first, min(first + each, self.height)

    def source_rows(self, band: Rows) -> Rows:
        """Return the rows of the source that a band reads, at least one; in stripes, halos are rows beyond the own."""
        first, last = self._reached(band)
        if self.rows:
            return first, last
        top = min(max(first, 0), self.whole.source.height - 1)
        return top, max(min(last, self.whole.source.height), top + 1)

    def _reached(self, band: Rows) -> Rows:
        """Return the rows of the source that a band's windows cover, whether the map has them or not."""
        window = self.whole.window
        first = band[0] * window.stride[0] - window.pads[0]
        last = (align(band[1], self.unit) - 1) * window.stride[0] - window.pads[0]
        return first, last + (window.kernel[0] - 1) * window.dilation[0] + 1

    @property
    def leaves_map(self) -> bool:
        """Whether windows of the whole output cover rows above or below the source."""
        first, last = self._reached((0, self.whole.out.height))
        return first < 0 or last > self.whole.source.height

    def residual_rows(self, band: Rows) -> Rows:
        """Return the rows of the residual's map that a band reads."""
        stride = self.added.stride[0]
        return band[0] * stride, (band[1] - 1) * stride + 1

    @property
    def adds_source(self) -> bool:
        """Whether the residual is the source, and every band reads the rows that it adds."""
        step = self.whole
        if self.source != self.residual or not isinstance(step, Compute) or step.residual is None:
            return False
        window = step.window
        reach = (window.kernel[0] - 1) * window.dilation[0]
        return step.residual.stride[0] == window.stride[0] and 0 <= window.pads[0] <= reach

    def pad_top(self, band: Rows, rows: Rows) -> int:
        """Return how many rows above the rows of the source the first window of a band begins."""
        window = self.whole.window
        above = rows[0] - (band[0] * window.stride[0] - window.pads[0])
        reach = (band[1] - band[0] - 1) * window.stride[0] + (window.kernel[0] - 1) * window.dilation[0] + 1
        return above if above >= 0 else reach  # a band below the map reads nothing of it
