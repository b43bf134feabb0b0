"""Which channels of an operator's result hang on which channels of its operands, and the operator without some of them.

The folder of an operator has a module `channels` with two functions, `ChannelRule`. An operator without one keeps all
channels that it reads and makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from toolflow.ir.operator import Operator, Shape, Weights

Classes = npt.NDArray[np.int64]  # (C,): the class of each channel
Mask = npt.NDArray[np.bool_]  # (C,): whether each channel stays


class Ties:
    """Classes of channels: the channels of a class are removed together, or stay together."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._fixed: set[int] = set()

    def fresh(self, count: int) -> Classes:
        """Return `count` new classes."""
        first = len(self._parent)
        self._parent.extend(range(first, first + count))
        return np.arange(first, first + count, dtype=np.int64)

    def tie(self, one: Classes, other: Classes) -> None:
        """Make each class of `one` the same as the class of `other` in its place."""
        for a, b in zip(self.roots(one), self.roots(other), strict=True):
            self._parent[max(a, b)] = int(min(a, b))

    def fix(self, classes: Iterable[int]) -> None:
        """Say that channels of these classes must stay."""
        self._fixed.update(map(int, classes))

    def roots(self, classes: Classes) -> Classes:
        """Return one number for each class, the same for classes that were tied."""
        return np.array([self._root(int(each)) for each in classes], dtype=np.int64)

    @property
    def fixed(self) -> frozenset[int]:
        """The roots of the classes that must stay."""
        return frozenset(map(self._root, self._fixed))

    def _root(self, number: int) -> int:
        while self._parent[number] != number:
            number = self._parent[number]
        return number


class ChannelRule(Protocol):
    """What the module `channels` of an operator's folder holds."""

    def tied(
        self, op: Operator, inputs: Sequence[Classes], shapes: Sequence[Shape], weights: Weights, ties: Ties
    ) -> Classes:
        """Return the class of each channel of the result, and tie classes of the operands that depend on each other.

        Args:
            op: the operator.
            inputs: classes of each operand's channels.
            shapes: of the operands.
            weights: of the operator.
            ties: all classes.
        """

    def narrowed(
        self, op: Operator, inputs: Sequence[Mask], output: Mask, weights: Weights
    ) -> tuple[Operator, Weights]:
        """Return the operator and its weights with the channels that stay.

        Args:
            op: the operator.
            inputs: for each operand, whether each channel stays.
            output: the same for the result.
            weights: of the operator.
        """
