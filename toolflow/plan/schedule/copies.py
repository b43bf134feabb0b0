"""The maps that the banks hold: each in one layout, or in several where its readers want it in other stripes.

A reader in image layout of a map in stripes reads lane 0 of these: its halo holds the rows of all other lanes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from toolflow.engine.places import BankPlace, ResultPlace, Stripes
from toolflow.plan.schedule.layer import IMAGE, Layer, Rows
from toolflow.plan.schedule.memory import Homes, as_map


class Copy(NamedTuple):
    """A map in one layout.

    Attributes:
        root: the map, as in `Homes`.
        rows: R of its stripes; `IMAGE` in image layout.
    """

    root: str
    rows: int


@dataclass(frozen=True)
class Copies:
    """What layers and the load read and write.

    Attributes:
        homes: the maps of the network.
        layers: in order.
        image: the tensor that is loaded.
        written: R of each map as it is written; a map that is not named is in image layout.
    """

    homes: Homes
    layers: Sequence[Layer]
    image: str
    written: Mapping[str, int]

    def root(self, tensor: str) -> str:
        """Return the map that holds a tensor."""
        return self.homes.home[tensor][0]

    def of_output(self, tensor: str) -> Copy:
        """Return the map of a tensor as it is written."""
        root = self.root(tensor)
        return Copy(root, self.written.get(root, IMAGE))

    def of_source(self, layer: Layer) -> Copy:
        """Return the map that a layer reads."""
        return self._read(layer.source, layer.source_layout)

    def of_residual(self, layer: Layer) -> Copy | None:
        """Return the map that a layer adds, if it does."""
        return None if layer.residual is None else self._read(layer.residual, layer.residual_layout)

    def _read(self, tensor: str, rows: int) -> Copy:
        """Return a map in the layout in which a reader reads it; the image is loaded in either."""
        gathered = rows == IMAGE and self.root(tensor) != self.root(self.image)
        return self.of_output(tensor) if gathered else Copy(self.root(tensor), rows)

    def touched(self, layer: Layer) -> dict[str, Copy]:
        """Return the maps of a layer's operands "source", "residual" and "out", results left out."""
        found = {"source": self.of_source(layer)}
        if (residual := self.of_residual(layer)) is not None:
            found["residual"] = residual
        if not isinstance(layer.whole.out, ResultPlace):
            found["out"] = self.of_output(layer.whole.tensor)
        return found

    @cached_property
    def lives(self) -> dict[Copy, tuple[int, int]]:
        """First and last layer that touches each map, as the number of its node; the load is before node 0."""
        lives = {self.of_output(self.image): (-1, -1)}
        for layer in self.layers:
            for copy in self.touched(layer).values():
                first, _ = lives.get(copy, (layer.time, layer.time))
                lives[copy] = (first, layer.time)
        return lives

    @cached_property
    def halos(self) -> dict[Copy, tuple[int, int]]:
        """Rows that each map in stripes holds above and below a lane's own ones, as its readers need."""
        halos = dict.fromkeys(self.lives, (0, 0))
        for layer in self.layers:
            copy = self.of_source(layer)
            if layer.rows:
                first, last = layer.source_rows((0, layer.rows))
                above, below = halos[copy]
                halos[copy] = max(above, -first), max(below, last - copy.rows)
            else:
                for read in (copy, self.of_residual(layer)):
                    if read is not None and read.rows:
                        above, below = halos[read]
                        halos[read] = above, max(below, self._map_height(read) - read.rows)
        return halos

    def height(self, copy: Copy) -> int:
        """Return the rows that each lane holds."""
        return copy.rows + sum(self.halos[copy]) if copy.rows else self._map_height(copy)

    def _map_height(self, copy: Copy) -> int:
        _, height, _ = as_map(self.homes.graph.shapes[copy.root])
        return height

    def stripes(self, copy: Copy, first: int) -> Stripes | None:
        """Return the stripes of a place that begins with a row of the map, counted from a lane's first own one."""
        return Stripes(self._map_height(copy), copy.rows).from_row(first) if copy.rows else None

    @cached_property
    def sizes(self) -> dict[Copy, int]:
        """Words of each map."""
        sizes = {}
        for copy in self.lives:
            _, _, width = as_map(self.homes.graph.shapes[copy.root])
            sizes[copy] = self.height(copy) * width * self.homes.layouts[copy.root].words
        return sizes

    def place(self, tensor: str, copy: Copy, base: int, rows: Rows | None = None) -> BankPlace:
        """Return where rows of a tensor lie, counted from a lane's first own one.

        Args:
            tensor: the tensor.
            copy: the map that holds it.
            base: first word of the map.
            rows: of the tensor; None for all that a lane holds.
        """
        _, _, width = as_map(self.homes.graph.shapes[copy.root])
        layout, held = self.homes.layouts[tensor], self.homes.layouts[copy.root]
        place = BankPlace(
            base + self.homes.home[tensor][1], self.height(copy), width, held.words, layout.words, layout.channel
        )
        above, _ = self.halos[copy]
        return place if rows is None else place.rows(above + rows[0], rows[1] - rows[0])

    def is_changed(self, root: str) -> bool:
        """Return whether a map is read in another layout than it is written in."""
        return any(copy.root == root and copy.rows != self.written.get(root, IMAGE) for copy in self.lives)
