"""The steps of layers whose maps move: in bands through external memory, and from layout to layout.

Every layer runs on the maps where `Banding` put them. Rows that a layer reads and that are not there are filled or
loaded before it, rows that lie elsewhere afterwards are spilled behind it. A map in stripes gets its halos by shifts
once it is written, and those of a band with the rows that are filled.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace

from toolflow.engine.places import BankPlace, Region, ResultPlace
from toolflow.engine.steps import Compute, Fill, Load, Shift, Spill, Step
from toolflow.ir.errors import DoesNotFitError
from toolflow.plan.schedule.bands import Banding
from toolflow.plan.schedule.copies import Copy
from toolflow.plan.schedule.external import ExternalMap, external_maps
from toolflow.plan.schedule.layer import IMAGE, Layer, Rows


class Movement:
    """Makes the steps of a pass.

    Args:
        banding: what lies in the banks, and where.
        striped: whether a pass takes one image.

    Attributes:
        external: the maps in external memory, by tensor.

    Raises:
        DoesNotFitError: the image has to be filled, whose rows do not begin at beats, and the banks do not hold it.
    """

    def __init__(self, banding: Banding, striped: bool) -> None:
        self.banding, self.copies, self.load = banding, banding.copies, banding.load
        copies, homes, images = banding.copies, banding.copies.homes, 1 if striped else banding.config.lanes_p
        self.is_loaded_at_will = self.load.image.row_bytes % banding.config.bus_bytes == 0 or not striped
        moved = {copy.root for copy in copies.lives if copy not in banding.bases or copies.is_changed(copy.root)}
        if self.is_loaded_at_will:
            moved.discard(self.load.tensor)
        elif self.load.tensor in moved and self.copies.of_output(self.load.tensor) not in banding.bases:
            raise DoesNotFitError(
                f"the banks do not hold the image, whose rows of {self.load.image.row_bytes} bytes do not begin at "
                f"beats of {banding.config.bus_bytes} bytes, as rows must that go to all lanes: take images of another "
                "width, deeper banks or an engine without stripes"
            )
        self.external = external_maps(homes, moved, banding.config, images)
        self._there: set[Copy] = set()  # maps in the banks that have their rows

    def places(self) -> dict[str, BankPlace]:
        """Return where the tensors lie that the banks hold, as they are written."""
        bases = self.banding.bases
        copies = {tensor: self.copies.of_output(tensor) for tensor in self.copies.homes.home}
        return {t: self.copies.place(t, copy, bases[copy]) for t, copy in copies.items() if copy in bases}

    def steps(self) -> Iterator[Step]:
        """Yield the steps of the pass, without that which stores the results."""
        first = True
        for step in self._every_step():
            if isinstance(step, Load):
                step, first = replace(step, fills_tables=first), False
            yield step

    def _every_step(self) -> Iterator[Step]:
        image = self.copies.of_output(self.load.tensor)
        if image in self.banding.bases:
            yield from self._fetched(image)
            yield from self._spilled(self.load.tensor, image)
        for layer in self.copies.layers:
            touched = self.copies.touched(layer)
            for name in ("source", "residual"):
                copy = touched.get(name)
                if copy in self.banding.bases and copy not in self._there:
                    assert copy is not None
                    yield from self._fetched(copy)
            yield from self._layer(layer)
            out = touched.get("out")
            if out in self.banding.bases:
                assert out is not None
                self._there.add(out)
                yield from self._halos(layer.whole.tensor, out)
                yield from self._spilled(layer.whole.tensor, out)

    def _fetched(self, copy: Copy) -> Iterator[Step]:
        """Yield the steps that bring a map; its halos come from the lanes beside, as all lanes shift at once."""
        self._there.add(copy)
        for tensor in self._tensors(copy.root):
            yield self._bring(tensor, copy, 0, self._own(tensor, copy))
            yield from self._halos(tensor, copy)

    def _tensors(self, root: str) -> list[str]:
        """Return the tensors that together are a map."""
        parts = [part.tensor for part in self.external.values() if part.root == root]
        return parts or [self.load.tensor]

    def _bring(self, tensor: str, copy: Copy, first_row: int, out: BankPlace) -> Step:
        """Return the step that fills or loads rows of a tensor, from a row of a lane's own on."""
        stripes = self.copies.stripes(copy, first_row)
        if tensor == self.load.tensor and (self.is_loaded_at_will or copy.rows == IMAGE):
            return replace(self.load, out=out, first_row=first_row, ahead="", stripes=stripes)
        return Fill(tensor, self.external[tensor].place, first_row, out, stripes)

    def _halos(self, tensor: str, copy: Copy) -> Iterator[Step]:
        """Yield the steps that bring a map's halos from the lanes beside, no further than a lane's own rows at once."""
        above, below = self.copies.halos[copy]

        def place(first: int, last: int) -> BankPlace:
            return self.copies.place(tensor, copy, self.banding.bases[copy], (first, last))

        for last in range(0, -above, -max(copy.rows, 1)):
            first = max(last - copy.rows, -above)
            yield Shift(tensor, place(first + copy.rows, last + copy.rows), place(first, last), up=False)
        for first in range(copy.rows, copy.rows + below, max(copy.rows, 1)):
            last = min(first + copy.rows, copy.rows + below)
            yield Shift(tensor, place(first - copy.rows, last - copy.rows), place(first, last), up=True)

    def _spilled(self, tensor: str, copy: Copy) -> Iterator[Step]:
        """Yield the step that spills a map which is read in another layout too."""
        if tensor in self.external:
            place = self._own(tensor, copy)
            yield Spill(tensor, place, 0, self.external[tensor].place, self.copies.stripes(copy, 0))

    def _own(self, tensor: str, copy: Copy) -> BankPlace:
        """Return where the rows of a tensor lie that each lane owns."""
        rows = (0, copy.rows or self.copies.height(copy))
        return self.copies.place(tensor, copy, self.banding.bases[copy], rows)

    def _layer(self, layer: Layer) -> Iterator[Step]:
        buffers = self.banding.buffers(layer)
        for band in layer.bands(self.banding.rows.get(layer.time, layer.height)):
            yield from self._band(layer, band, buffers)

    def _band(self, layer: Layer, band: Rows, buffers: Mapping[str, int]) -> Iterator[Step]:
        """Yield the steps of one band: its rows in, what it computes, its rows out."""
        whole, rows = layer.whole, layer.source_rows(band)
        copy = self.copies.of_source(layer)
        source = yield from self._operand(layer, layer.source, copy, rows, buffers.get("source"))
        residual = None
        if (other := self.copies.of_residual(layer)) is not None:
            assert layer.residual is not None
            added = layer.residual_rows(band)
            if layer.adds_source:
                place = source.rows(added[0] - rows[0], added[1] - added[0])
            else:
                place = yield from self._operand(layer, layer.residual, other, added, buffers.get("residual"))
            residual = replace(layer.added, source=place)
        out = self._out(layer, band, buffers.get("out"))
        own = None if isinstance(out, ResultPlace) else self.copies.of_output(whole.tensor)
        stripes = self.copies.stripes(copy, rows[0]) if layer.rows and layer.leaves_map else None
        out_stripes = self.copies.stripes(own, band[0]) if own else None
        for step in layer.steps:
            top, bottom = max(step.region.top, band[0]), min(step.region.top + step.region.height, band[1])
            if top >= bottom:
                continue
            made = replace(
                step,
                source=source,
                region=Region(top - band[0], step.region.left, bottom - top, step.region.width),
                window=replace(step.window, pads=(layer.pad_top(band, rows), step.window.pads[1])),
                top=band[0],
                stripes=stripes,
                out_stripes=out_stripes,
            )
            if isinstance(made, Compute):
                yield replace(made, out=out, residual=residual)
            else:
                assert isinstance(out, BankPlace)
                yield replace(made, out=out)
        if "out" in buffers:
            assert isinstance(out, BankPlace)
            yield Spill(whole.tensor, out, band[0], self.external[whole.tensor].place, out_stripes)

    def _out(self, layer: Layer, band: Rows, buffer: int | None) -> BankPlace | ResultPlace:
        """Return where the rows of a band go."""
        whole, height = layer.whole, band[1] - band[0]
        if isinstance(whole.out, ResultPlace):
            return whole.out.rows(band[0], height)
        copy = self.copies.of_output(whole.tensor)
        if buffer is None:
            return self.copies.place(whole.tensor, copy, self.banding.bases[copy], band)
        return replace(whole.out, base=buffer, height=height, pixel_words=whole.out.words)

    def _operand(
        self, layer: Layer, tensor: str, copy: Copy, rows: Rows, buffer: int | None
    ) -> Generator[Step, None, BankPlace]:
        """Yield the steps that bring rows of an operand, and return where the rows lie."""
        if buffer is None:
            return self.copies.place(tensor, copy, self.banding.bases[copy], rows)
        first, last = self.banding.brought(layer, tensor, rows)
        place = self.copies.place(tensor, copy, 0)
        held = replace(place, base=buffer, height=last - first, pixel_words=place.words)
        if not layer.rows:
            copy = Copy(copy.root, IMAGE)  # lane 0 alone reads it
        if self.copies.root(tensor) == self.load.tensor:
            yield self._bring(self.load.tensor, copy, first, held)
        for part in self._parts(tensor):
            offset = part.offset - self.copies.homes.home[tensor][1]
            out = replace(held, base=buffer + offset, words=part.words, channel=())
            yield self._bring(part.tensor, copy, first, out)
        return held.rows(rows[0] - first, rows[1] - rows[0])

    def _parts(self, tensor: str) -> list[ExternalMap]:
        """Return the maps outside that together are a tensor, no image."""
        homes = self.copies.homes
        root, first = homes.home[tensor]
        last = first + homes.layouts[tensor].words
        parts = [part for part in self.external.values() if part.root == root and first <= part.offset < last]
        return [part for part in parts if part.tensor != self.load.tensor]
