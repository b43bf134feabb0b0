"""Maps in external memory: what each holds, and where it lies (PROGRAM.md)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from toolflow.engine.config import EngineConfig
from toolflow.engine.places import ExternalPlace, align
from toolflow.plan.schedule.memory import Homes, as_map, pack


@dataclass(frozen=True)
class ExternalMap:
    """The map of one tensor that a layer writes; the operands of a concat are maps of their own.

    Attributes:
        tensor: whose map it is.
        root: the map of the banks that would hold it.
        offset, words: its words in a pixel of that map.
        place: where it lies.
    """

    tensor: str
    root: str
    offset: int
    words: int
    place: ExternalPlace


def external_maps(homes: Homes, roots: Collection[str], config: EngineConfig, images: int) -> dict[str, ExternalMap]:
    """Return the maps outside, by tensor; maps that do not live at the same time share bytes.

    Args:
        homes: the maps of the network.
        roots: those that lie outside.
        config: the engine.
        images: of a pass.
    """
    graph = homes.graph
    written = [node.name for node in graph.nodes if not node.op.hardware.is_free and homes.home[node.name][0] in roots]
    if graph.input_name in roots:
        written.append(graph.input_name)
    pitches, lives = {}, {}
    for tensor in written:
        root = homes.home[tensor][0]
        _, height, width = as_map(graph.shapes[root])
        pitches[tensor] = height * align(width * homes.layouts[tensor].words * config.sub_row, config.bus_bytes)
        lives[tensor] = homes.lives[root]
    bases = pack(lives, {tensor: images * pitch for tensor, pitch in pitches.items()})
    return {
        tensor: ExternalMap(
            tensor, *homes.home[tensor], homes.layouts[tensor].words, ExternalPlace(bases[tensor], pitches[tensor])
        )
        for tensor in written
    }
