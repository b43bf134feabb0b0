"""What a recipe is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from quant.recipes.workbench import Workbench
    from toolflow.ir.graph import Graph


@dataclass(frozen=True)
class CompressionRecipe(ABC):
    """A way to make a network smaller: a frozen dataclass whose fields are its settings, each with a default.

    Attributes:
        name: of the recipe, lower case with hyphens.
        sentence: what it does.
        paper: where it was published.
        gives: what it makes of a network.
        needs_labels: whether the training images must have labels.
        takes_budget: whether it obeys a budget of cycles.
    """

    name: ClassVar[str]
    sentence: ClassVar[str]
    paper: ClassVar[str]
    gives: ClassVar[str]
    needs_labels: ClassVar[bool] = False
    takes_budget: ClassVar[bool] = False

    @abstractmethod
    def run(self, network: Graph, bench: Workbench) -> Graph:
        """Return the smaller network.

        Args:
            network: the float network, through the passes.
            bench: images, the judge, prices and training; it records the steps.

        Raises:
            ToolflowError: the network cannot be treated; says why.
        """
