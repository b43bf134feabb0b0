"""The layouts of a network's maps where one image fills the array: how many rows of each map a lane owns.

A layer goes from stripes to stripes if its source has stride times the rows of its output in each lane. Where a reader
wants other rows than its map has, the map changes its layout through external memory, which costs a spill and a fill.
A reader in image layout gets the rows of all lanes by shifts, each of which moves the rows of a lane.
Maps of one height have one layout, that with which everything takes the fewest cycles. Results, maps of a single row,
and what an average pool with several divisors writes are in image layout: lane 0 holds them alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from toolflow.engine.config import EngineConfig
from toolflow.engine.places import ResultPlace, align
from toolflow.engine.steps import Load
from toolflow.plan.schedule.layer import IMAGE, Layer
from toolflow.plan.schedule.memory import Homes, as_map

CHANGE_CYCLES = 300  # of the latencies of a spill and a fill
SHIFT_CYCLES = 8  # of the latency of a shift
MOST_OPTIONS = 6  # numbers of rows that are tried for maps of one height
MOST_STATES = 32  # choices of the heights before that are kept


@dataclass(frozen=True)
class _Change:
    """What it costs if maps of one height do not have the rows that a reader of theirs wants.

    Attributes:
        stride: of the reader: rows of the source for each of its output.
        height: of the map.
        words: of all maps that are read so.
    """

    stride: int
    height: int
    words: int


def striped_layers(
    homes: Homes, layers: Sequence[Layer], load: Load, config: EngineConfig, row_cycles: Mapping[int, float]
) -> tuple[list[Layer], dict[str, int]]:
    """Return the layers in stripes or image layout, and the rows of each map as it is written.

    Args:
        homes: the maps of the network.
        layers: in image layout.
        load: of the image.
        config: the engine.
        row_cycles: cycles of a row of outputs of each layer, by its time.
    """
    choice = _Choice(homes, layers, load, config)
    written = choice.best(row_cycles)
    rows = {layer.time: written.get(choice.out_root(layer), IMAGE) for layer in layers}
    return [Layer(each.time, each.steps, each.source, each.residual, rows[each.time]) for each in layers], written


class _Choice:
    """The heights of a network's maps, and the cycles of what lies between them."""

    def __init__(self, homes: Homes, layers: Sequence[Layer], load: Load, config: EngineConfig) -> None:
        self.homes, self.layers, self.lanes = homes, layers, config.lanes_p
        whole = {self.out_root(layer) for layer in layers if not _is_stripable(layer)}
        if load.image.row_bytes % config.bus_bytes:
            whole.add(homes.home[load.tensor][0])
        self.striped = {root for root in homes.lives if root not in whole and self.height(root) > 1}
        self.units: dict[int, int] = defaultdict(lambda: 1)
        for layer in layers:
            group = self._group(self.out_root(layer))
            self.units[group] = max(self.units[group], layer.unit)

    def out_root(self, layer: Layer) -> str:
        """Return the map that a layer writes, "" for results."""
        return "" if isinstance(layer.whole.out, ResultPlace) else self.homes.home[layer.whole.tensor][0]

    def height(self, root: str) -> int:
        """Return the rows of a map."""
        return as_map(self.homes.graph.shapes[root])[1]

    def _group(self, root: str) -> int:
        """Return the height of a map that may be in stripes, 0 for any other."""
        return self.height(root) if root in self.striped else 0

    def best(self, row_cycles: Mapping[int, float]) -> dict[str, int]:
        """Return the rows of each map in stripes with which all layers and changes take the fewest cycles."""
        changes, steps = self._changes(), self._steps(row_cycles)
        options = self._options(changes)
        states: list[tuple[float, dict[int, int]]] = [(0.0, {0: IMAGE})]
        for group in [0, *sorted(options)]:
            found = []
            for cycles, chosen in states:
                for rows in options.get(group, (IMAGE,)):
                    now = {**chosen, group: rows}
                    more = steps.get(group, 0.0) * (rows or group)
                    near = [pair for pair in changes if group in pair and pair[0] in now and pair[1] in now]
                    more += sum(_cost(each, now[a], now[b], self.lanes) for a, b in near for each in changes[a, b])
                    found.append((cycles + more, now))
            states = sorted(found, key=lambda state: state[0])[:MOST_STATES]
        _, chosen = states[0]
        return {root: chosen[self._group(root)] for root in sorted(self.striped)}

    def _steps(self, row_cycles: Mapping[int, float]) -> dict[int, float]:
        """Return the cycles of a row of everything that is written to the maps of each height."""
        found: dict[int, float] = defaultdict(float)
        for layer in self.layers:
            found[self._group(self.out_root(layer))] += row_cycles[layer.time]
        return found

    def _changes(self) -> dict[tuple[int, int], list[_Change]]:
        """Return what may have to change its layout, by the heights of the map and of what its readers write."""
        words: dict[tuple[int, int, int, int], dict[str, int]] = defaultdict(dict)
        for layer in self.layers:
            out = self._group(self.out_root(layer))
            for tensor, stride in self._reads(layer):
                root = self.homes.home[tensor][0]
                key = self._group(root), out, stride, self.height(root)
                words[key][root] = self.homes.sizes[root]
        found: dict[tuple[int, int], list[_Change]] = defaultdict(list)
        for (source, out, stride, height), sizes in words.items():
            found[source, out].append(_Change(stride, height, sum(sizes.values())))
        return found

    def _reads(self, layer: Layer) -> Iterable[tuple[str, int]]:
        yield layer.source, layer.whole.window.stride[0]
        if layer.residual is not None:
            yield layer.residual, layer.added.stride[0]

    def _options(self, changes: Mapping[tuple[int, int], Sequence[_Change]]) -> dict[int, list[int]]:
        """Return the rows to try for the maps of each height: those that fill the lanes, and those of their readers."""
        heights = sorted({self._group(root) for root in self.striped})
        least = {height: align(-(-height // self.lanes), self.units[height]) for height in heights}
        found = {height: {least[height]} for height in heights}
        for height in heights:
            for (source, out), each in changes.items():
                if source == height and out in found:
                    found[height] |= {change.stride * rows for change in each for rows in found[out]}
        options = {}
        for height, tried in found.items():
            allowed = sorted(r for r in tried if least[height] <= r < height and r % self.units[height] == 0)
            options[height] = [*allowed[:MOST_OPTIONS], IMAGE]
        return options


def _cost(change: _Change, source: int, out: int, lanes: int) -> float:
    """Return the cycles of a change where source and output have so many rows in a lane."""
    wanted = change.stride * out
    if wanted == source:
        return 0.0
    if wanted and wanted * lanes < change.height:
        return float("inf")
    if not wanted:
        shifts = -(-change.height // source) - 1
        return shifts * (change.words * source / change.height + SHIFT_CYCLES)
    return 2 * change.words + CHANGE_CYCLES


def _is_stripable(layer: Layer) -> bool:
    """Return whether a layer may write stripes: not if it computes some rows otherwise than others."""
    return len(layer.steps) == 1 and not isinstance(layer.whole.out, ResultPlace)
