"""What a recipe is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

from toolflow.ir.errors import ToolflowError

if TYPE_CHECKING:
    from quant.recipes.workbench import Workbench
    from toolflow.ir.graph import Graph


def setting(default: float, least: float, most: float | None = None) -> Any:
    """Return a field with a default, and the range that its value must lie in, both ends included."""
    return field(default=default, metadata={"least": least, "most": most})


@dataclass(frozen=True)
class CompressionRecipe(ABC):
    """A way to make a network smaller: a frozen dataclass whose fields are its settings, each with a default.

    Raises:
        ToolflowError: a setting is out of its range.

    Attributes:
        name: of the recipe, lower case with hyphens.
        sentence: what it does.
        paper: where it was published.
        gives: what it makes of a network.
        needs_labels: whether the training images must have labels.
        takes_budget: whether it obeys a budget of cycles.
        builds: whether an engine runs what it makes.
    """

    name: ClassVar[str]
    sentence: ClassVar[str]
    paper: ClassVar[str]
    gives: ClassVar[str]
    needs_labels: ClassVar[bool] = False
    takes_budget: ClassVar[bool] = False
    builds: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for each in fields(self):
            least, most = each.metadata.get("least"), each.metadata.get("most")
            value = getattr(self, each.name)
            if least is not None and not least <= value <= (value if most is None else most):  # no NaN either
                allowed = f"{least} or more" if most is None else f"{least} to {most}"
                raise ToolflowError(f"--settings: {each.name} of {self.name} must be {allowed}, not {value}")

    @abstractmethod
    def run(self, network: Graph, bench: Workbench) -> Graph:
        """Return the smaller network.

        Args:
            network: the float network, through the passes.
            bench: images, the judge, prices and training; it records the steps.

        Raises:
            ToolflowError: the network cannot be treated; says why.
        """
