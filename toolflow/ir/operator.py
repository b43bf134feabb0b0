"""What an operator's specification must offer to the graph."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from toolflow.numerics.requantise import PLAIN_BIAS_BITS

Shape = tuple[int, ...]  # (C, H, W) of a feature map or (F,) of a flat vector; never the batch
Weights = Mapping[str, npt.NDArray[np.generic]]


class Operator(ABC):
    """Attributes, shape rule and arity of one operator; immutable (a frozen dataclass).

    A specification is shared by the float `Graph` and the `QuantisedGraph`; only the weights differ.

    Attributes:
        kind: its name in files and messages.
        rounds: whether a `QuantisedGraph` requantises its sums; False where it only moves or compares integers, None
            where it stands in float graphs alone.
        bias_bits: width of its biases on the engine.
        max_residual_shift: how far the engine shifts its residual to the left.
    """

    kind: ClassVar[str]
    rounds: ClassVar[bool | None] = None
    bias_bits: ClassVar[int] = PLAIN_BIAS_BITS
    max_residual_shift: ClassVar[int] = 0

    @abstractmethod
    def infer_shape(self, inputs: Sequence[Shape], weights: Weights) -> Shape:
        """Return the output's shape.

        Raises:
            ValueError: shapes or weights do not fit the attributes; the text says which.
        """

    def rule_count(self, source: Shape) -> int:
        """Return how many requantisations every channel has, for an input of shape `source`: one, as a rule."""
        return 1
