"""Progressive blockwise distillation: one block after the other becomes narrower and learns what it gave before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from quant.mechanisms.judge import Trial
from quant.mechanisms.receptive import receptive_fields
from quant.mechanisms.rewrite.blocks import BEFORE, chains, with_halved_block
from quant.recipes.recipe import CompressionRecipe, setting
from quant.recipes.workbench import Workbench
from quant.training.distillation import Distillation, Networks
from quant.training.schedules import Constant
from quant.training.terms import MatchedMaps
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph

Block = tuple[str, ...]  # the layers of a block, in order


@dataclass(frozen=True)
class Blockwise(CompressionRecipe):
    """Progressive blockwise knowledge distillation (Wang, Zhao, Li, Tan 2018).

    From the image on, each block is exchanged for the same convolutions with half of the filters and a 1×1
    convolution that restores the width, and this block alone is trained: on the error of the map behind it, and on the
    labels through the layers above, which stay as they were.

    Our reading: a block is a chain of convolutions between pools, additions and other operators, each read by the next
    one alone. A block that would not save cycles on the board stays. A new block begins with the filters of the
    largest norms. The batch norms of the layers above are adapted before and after a block's training. The error of
    the map is divided by the map's energy.

    Attributes:
        keep: share of the filters of a block that stay.
        epochs: of each block's training.
        rate: learning rate at the start of each.
        local: weight of the error of the map behind the block, beside the labels' cross entropy.
    """

    name: ClassVar[str] = "blockwise"
    sentence: ClassVar[str] = "Halve the filters of one block after the other and train it below the old layers."
    paper: ClassVar[str] = "Wang, Zhao, Li, Tan, IJCAI 2018"
    gives: ClassVar[str] = "fewer channels inside blocks, 1×1 convolutions behind them"
    needs_labels: ClassVar[bool] = True

    keep: float = setting(0.5, 0.01, 1)
    epochs: int = setting(4, 1)
    rate: float = setting(0.002, 1e-6, 1)
    local: float = setting(1.0, 0)

    def run(self, network: Graph, bench: Workbench) -> Graph:
        """Return the network with narrow blocks."""
        if bench.data.labels is None:
            raise ToolflowError("blockwise needs labels: the training images must have an array y")
        blocks = self.blocks(network, bench)
        if not blocks:
            raise ToolflowError(
                f"'{network.name}' must have a block, a chain of convolutions that takes fewer cycles with {self.keep} "
                "of its filters and a 1×1 convolution behind: there is none"
            )
        return self.distilled(network, blocks, bench)

    def blocks(self, network: Graph, bench: Workbench) -> list[Block]:
        """Return the blocks that save cycles, in order."""
        whole = bench.pricing.cycles(network)
        return [block for block in chains(network) if bench.pricing.cycles(self.exchanged(network, block)) < whole]

    def distilled(self, network: Graph, blocks: Sequence[Block], bench: Workbench) -> Graph:
        """Return the network with these blocks exchanged and trained."""
        before = network
        for number, block in enumerate(blocks, 1):
            name = f"block {number} of {len(blocks)}, up to {block[-1]}, receptive field {_field(network, block)}"

            def recalibrated(trained: Graph, block: Block = block) -> Graph:
                return _adapted(trained, block, bench, above=True)

            started = self.started(network, block, bench)
            schedule = bench.schedule(self.epochs, self.rate)
            trained = bench.trained(
                started, name, schedule, self.lesson(before, [block]), recalibrated, only=new_layers(block)
            )
            network = recalibrated(trained)
        return network

    def lesson(self, network: Graph, blocks: Sequence[Block]) -> Distillation:
        """Return what blocks learn from a network: the maps behind them, beside the labels."""
        ends = tuple(block[-1] for block in blocks)
        terms = (MatchedMaps(self.local, ends),)
        return Distillation(terms, Constant(1), Constant(1), Networks((network,)), reads=ends)

    def started(self, network: Graph, block: Block, bench: Workbench) -> Graph:
        """Return the network with one block narrower, before it is trained."""
        return _adapted(self.exchanged(network, block), block, bench, above=False)

    def exchanged(self, network: Graph, block: Block) -> Graph:
        """Return the network with one block narrower."""
        made = with_halved_block(network, block, self.keep)
        before, after = _field(network, block), _field(made, block)
        if before != after:
            raise AssertionError(f"the receptive field of {block[-1]} was {before} and is {after}")
        return made


def new_layers(block: Block) -> tuple[str, ...]:
    """Return the names of a block's layers after it is exchanged."""
    return (*block[:-1], f"{block[-1]}{BEFORE}", block[-1])


def _field(network: Graph, block: Block) -> str:
    height, width = receptive_fields(network)[block[-1]]
    return f"{height}×{width}"


def _adapted(network: Graph, block: Block, bench: Workbench, *, above: bool) -> Graph:
    """Return the network with the statistics of the network before, in the layers above a block or from its end on."""
    end = next(place for place, node in enumerate(network.nodes) if node.name == block[-1])
    layers = [node.name for node in network.nodes[end + above :] if node.op.convolves]
    wanted = bench.judge.wanted
    return bench.judge.adapted(Trial(network, {name: np.ones(len(wanted[name].mean), dtype=bool) for name in layers}))
