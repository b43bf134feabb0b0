"""The problem of a search: a network, its options, and the accuracy that must be kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from quant.arrangement.arrange import Arrangement, arrange
from quant.config import Normalisation, QuantiseConfig
from quant.search.prices import Target
from quant.search.sensitivity import Space
from quant.sparsity.choice import Choice, shaped
from toolflow.ir.graph import Graph

MAX_JUDGED = 2000  # images, of those that are used otherwise too
TILE_BITS = 8  # at which tiles alone are searched


@dataclass(frozen=True)
class Answered:
    """Images uint8 (N, H, W, C), and the class of each, int64 (N,)."""

    images: npt.NDArray[np.uint8]
    classes: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Problem:
    """Find the cheapest configuration that loses at most the allowed accuracy against the plainest one.

    Attributes:
        graph: the float network, through the passes.
        images: calibration images, uint8 (N, H, W, C).
        normalisation: from pixel to the network's input.
        config: the configuration of everything that is not searched.
        space: the options to choose from.
        judged: other images, on which accuracies are measured.
        allowed: accuracy that may be lost, as a share of the judged images.
        target: the board whose engines' cycles count. None to count bit-operations, or multiplications if all widths
            are fixed.
    """

    graph: Graph
    images: npt.NDArray[np.uint8]
    normalisation: Normalisation
    config: QuantiseConfig
    space: Space
    judged: Answered
    allowed: float
    target: Target | None = None

    @cached_property
    def arrangement(self) -> Arrangement:
        """The float network, ready to be quantised."""
        return arrange(self.graph, narrow=self.config.activation_bits < self.config.first_last_bits)


def tile_problem(
    graph: Graph,
    given: Answered,
    normalisation: Normalisation,
    choices: Mapping[str, Choice],
    allowed: float,
    fixed: Collection[str] = (),
) -> Problem:
    """Return the search for the tiles of a network that is pruned without training, at `TILE_BITS`.

    Direct layers are the plainest; multiplications count.

    Args:
        graph: the float network, through the passes.
        given: at most half of the images, up to `MAX_JUDGED`, are judged on; the others calibrate.
        normalisation: from pixel to the network's input.
        choices: how layers are to be computed; those that have a tile may get another one, or none; all others are
            judged as chosen.
        allowed: accuracy that may be lost.
        fixed: layers that keep the tile of their choice; those that have none stay direct and dense.
    """
    judged = min(len(given.images) // 2, MAX_JUDGED)
    searched = {name for name, choice in choices.items() if choice.tile} - set(fixed)
    patterns = {name: choices[name].pattern for name in choices if name in searched}
    others = {name: choice for name, choice in choices.items() if name not in searched}
    direct = dict.fromkeys(sorted(set(fixed) - set(choices)), 0)  # and dense: such layers have no choice
    return Problem(
        graph=shaped(graph, others),
        images=given.images[judged:],
        normalisation=normalisation,
        config=QuantiseConfig(tiles=direct, patterns=patterns),  # type: ignore[arg-type]  # checked by the model
        space=Space((0, 2, 4), (None,), (TILE_BITS,), (TILE_BITS,)),
        judged=Answered(given.images[:judged], given.classes[:judged]),
        allowed=allowed,
    )
