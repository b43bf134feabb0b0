"""The memory map: the place of every feature map in the banks, and the element of each channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

from toolflow.engine.places import BankPlace, ImageFormat
from toolflow.ir.errors import ToolflowError
from toolflow.ir.operator import Shape
from toolflow.ir.quantised import QuantisedGraph

Name = TypeVar("Name", bound=str | tuple[str, int])


@dataclass(frozen=True)
class MemoryMap:
    """Places of all maps, and the words that the banks need.

    Attributes:
        places: of the tensors.
        words: that the banks need.
        ahead: node from which on the words from the image's first on are free, "" if there is none.
    """

    places: Mapping[str, BankPlace]
    words: int
    ahead: str


@dataclass(frozen=True)
class Layout:
    """How the channels of a tensor lie in a pixel: how many words they take, and the element of each channel."""

    words: int
    channel: tuple[int, ...]


@dataclass(frozen=True)
class Homes:
    """The maps that hold a network's tensors: those of a concat share one, views lie in what they show.

    Attributes:
        graph: as `prepare` returns it.
        layouts: of the tensors.
        home: the map that holds each tensor, and the word of its pixels with which the tensor begins.
        lives: first and last node that touches each map, as its number; the load is before node 0.
        sizes: words of each map.
    """

    graph: QuantisedGraph
    layouts: Mapping[str, Layout]
    home: Mapping[str, tuple[str, int]]
    lives: Mapping[str, tuple[int, int]]
    sizes: Mapping[str, int]

    def places(self, bases: Mapping[str, int]) -> dict[str, BankPlace]:
        """Return where the tensors of some maps lie, whose first words are given."""
        places = {}
        for tensor, (root, offset) in self.home.items():
            if root in bases:
                _, height, width = as_map(self.graph.shapes[root])
                layout = self.layouts[tensor]
                places[tensor] = BankPlace(
                    bases[root] + offset, height, width, self.layouts[root].words, layout.words, layout.channel
                )
        return places


def as_map(shape: Shape) -> tuple[int, int, int]:
    """Return (C, H, W); a flat vector is a map of one pixel."""
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else (shape[0], 1, 1)


def image_format(graph: QuantisedGraph, sub_row: int) -> ImageFormat:
    """Return how an image of a network lies in external memory, for words of `sub_row` elements."""
    channels, height, width = graph.input_shape
    words = -(-channels // sub_row)
    return ImageFormat(
        channels, height, width, 1 << (channels - 1).bit_length() if words == 1 else words * sub_row, words
    )


def allocate(graph: QuantisedGraph, sub_row: int, input_digits: int, in_result: str) -> MemoryMap:
    """Place every map of a prepared graph; maps that do not live at the same time share words.

    If that takes no more words, the image lies behind all maps of the pass's last nodes, so that the next pass's image
    can be loaded while they are computed.

    Args:
        graph: as `prepare` returns it.
        sub_row: S.
        input_digits: digits into which the load mover cuts the image.
        in_result: the tensor that goes to the result memory and needs no place.
    """
    homes = homes_of(graph, sub_row, input_digits, in_result)
    lives, sizes = homes.lives, homes.sizes
    bases = pack(lives, sizes)
    words = max((bases[root] + sizes[root] for root in bases), default=0)
    times = [time for time, node in enumerate(graph.nodes) if not node.op.hardware.is_free]
    bases, ahead = image_last(lives, sizes, graph.input_name, times, words) or (bases, None)
    return MemoryMap(homes.places(bases), words, "" if ahead is None else graph.nodes[ahead].name)


def homes_of(graph: QuantisedGraph, sub_row: int, input_digits: int, in_result: str) -> Homes:
    """Return the maps of a prepared graph; arguments as in `allocate`."""
    layouts = _layouts(graph, sub_row, input_digits)
    home = _homes(graph, layouts)
    lives = _lives(graph, home, in_result)
    sizes = {}
    for root in lives:
        _, height, width = as_map(graph.shapes[root])
        sizes[root] = height * width * layouts[root].words
    return Homes(graph, layouts, home, lives, sizes)


def _layouts(graph: QuantisedGraph, sub_row: int, input_digits: int) -> dict[str, Layout]:
    words = image_format(graph, sub_row).words_of(input_digits, sub_row)
    layouts = {graph.input_name: Layout(words, tuple(range(graph.input_shape[0])))}
    for node in graph.nodes:
        shape = graph.shapes[node.name]
        if node.op.hardware.keeps_layout:
            layouts[node.name] = layouts[node.inputs[0]]
        elif node.op.joins:
            layouts[node.name] = _side_by_side([layouts[t] for t in node.inputs], sub_row)
        else:
            layouts[node.name] = Layout(-(-shape[0] // sub_row), tuple(range(shape[0])))
    return layouts


def _side_by_side(parts: Sequence[Layout], sub_row: int) -> Layout:
    offsets = [0, *accumulate(part.words for part in parts)]
    channel = [c + offset * sub_row for part, offset in zip(parts, offsets, strict=False) for c in part.channel]
    return Layout(offsets[-1], tuple(channel))


def _homes(graph: QuantisedGraph, layouts: Mapping[str, Layout]) -> dict[str, tuple[str, int]]:
    """Map each tensor to (the map that holds it, word offset in a pixel)."""
    home: dict[str, tuple[str, int]] = {}
    for node in reversed(graph.nodes):
        root, offset = home.setdefault(node.name, (node.name, 0))
        if node.op.joins:
            for tensor in node.inputs:
                if tensor in home:
                    raise ToolflowError(f"tensor '{tensor}' must take part in one concat only")
                home[tensor] = (root, offset)
                offset += layouts[tensor].words
    home.setdefault(graph.input_name, (graph.input_name, 0))
    for node in graph.nodes:  # views: what only renames or re-reads another tensor's words
        if node.op.hardware.is_view:
            home[node.name] = home[node.inputs[0]]
    return home


def _lives(graph: QuantisedGraph, home: Mapping[str, tuple[str, int]], in_result: str) -> dict[str, tuple[int, int]]:
    """Return for each root the first and the last instruction that touches it."""
    lives: dict[str, tuple[int, int]] = {}

    def touch(tensor: str, time: int) -> None:
        root = home[tensor][0]
        first, last = lives.get(root, (time, time))
        lives[root] = (min(first, time), max(last, time))

    touch(graph.input_name, -1)
    for time, node in enumerate(graph.nodes):
        if node.op.hardware.is_free:
            continue
        if node.name != in_result:
            touch(node.name, time)
        for tensor in node.inputs:
            touch(tensor, time)
    return lives


def pack(lives: Mapping[Name, tuple[int, int]], sizes: Mapping[Name, int]) -> dict[Name, int]:
    """Place intervals greedily, largest map first, at the lowest words free over its whole life."""
    bases: dict[Name, int] = {}
    for root in sorted(lives, key=lambda name: (-sizes[name], lives[name], name)):
        first, last = lives[root]
        others = sorted((bases[o], bases[o] + sizes[o]) for o in bases if lives[o][0] <= last and first <= lives[o][1])
        base = 0
        for start, end in others:
            if base + sizes[root] <= start:
                break
            base = max(base, end)
        bases[root] = base
    return bases


def image_last(
    lives: Mapping[Name, tuple[int, int]], sizes: Mapping[Name, int], image: Name, times: Sequence[int], words: int
) -> tuple[dict[Name, int], int] | None:
    """Place the image behind all maps that live with it or at the end of the pass, in so many words.

    Return the bases, and the earliest time from which on no other map reaches the image's words; None if the image is
    part of another map, or if there is no such time.
    """
    if image not in lives:
        return None
    bases = pack({root: life for root, life in lives.items() if root != image}, sizes)
    first, last = lives[image]
    ends = {root: bases[root] + sizes[root] for root in bases}
    if max(ends.values(), default=0) > words:
        return None
    beside = max((ends[o] for o in bases if lives[o][0] <= last and first <= lives[o][1]), default=0)
    for time in times:
        base = max([beside, *(ends[o] for o in bases if lives[o][1] >= time)])
        if time > last and base + sizes[image] <= words:
            return {**bases, image: base}, time
    return None
