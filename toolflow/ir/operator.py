"""The interface of an operator's specification."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from toolflow.ir.activation import Activation
from toolflow.numerics.requantise import PLAIN_BIAS_BITS
from toolflow.numerics.srbs import Pattern

Shape = tuple[int, ...]  # (C, H, W) of a feature map or (F,) of a flat vector; never the batch
Weights = Mapping[str, npt.NDArray[np.generic]]


class HardwareForm(Enum):
    """How the engine runs an operator, and which functions the operator's `hardware.py` has for it."""

    CONVOLUTION = "convolution"  # on the array, with weights or with ones: `hardware`, and `edges` if it has any
    POOLING = "pooling"  # words of the banks are compared: `window`
    RENAMING = "renaming"  # no instruction: a reader finds the operand's words
    SAMPLING = "sampling"  # no instruction if a residual's reader can step over the words: `sampling`, `selection`
    JOINING = "joining"  # no instruction: the operands are written side by side
    SELECTION = "selection"  # a convolution with weights of 0 and 1: `selection`
    NONE = "none"  # the operator stands in float graphs alone

    @property
    def is_view(self) -> bool:
        """Whether the result is never written: its words are the operand's."""
        return self in (HardwareForm.RENAMING, HardwareForm.SAMPLING)

    @property
    def is_free(self) -> bool:
        """Whether the operator needs no instruction."""
        return self.is_view or self is HardwareForm.JOINING

    @property
    def keeps_layout(self) -> bool:
        """Whether every channel lies in the result where it lies in the operand."""
        return self in (HardwareForm.POOLING, HardwareForm.RENAMING)


class Operator(ABC):
    """Attributes, traits, shape rule and arity of one operator; immutable (a frozen dataclass).

    A specification is shared by the float `Graph` and the `QuantisedGraph`; only the weights differ. The traits say
    what the rest of the toolflow must know of an operator, so that nothing outside its folder asks for its type.

    Attributes:
        kind: its name in files and messages, and the name of its folder.
        rounds: whether a `QuantisedGraph` requantises its sums; False if it only moves or compares integers, None
            if it stands in float graphs alone.
        keeps_sign: whether its result is never negative if no operand is.
        commutes_with_scale: whether positive factors of its operand's channels become factors of the same channels of
            its result. In a flat result a channel is its positions, one after the other.
        has_weights: whether it multiplies by weights of its own, which are quantised.
        has_curve: whether it applies a function to each value whose parameters are its weights.
        convolves: whether these weights are kernels (K, C/groups, kh, kw) that slide over a map.
        remedy: what to do with a network that holds it, if it stands in float graphs alone.
        hardware: how the engine runs it.
        bias_bits: width of its biases on the engine.
        max_residual_shift: how far the engine shifts its residual to the left.
    """

    kind: ClassVar[str]
    rounds: ClassVar[bool | None] = None
    keeps_sign: ClassVar[bool] = False
    commutes_with_scale: ClassVar[bool] = False
    has_weights: ClassVar[bool] = False
    has_curve: ClassVar[bool] = False
    convolves: ClassVar[bool] = False
    remedy: ClassVar[str] = "run the passes (toolflow.passes.pipeline.simplify) before quantising"
    hardware: ClassVar[HardwareForm] = HardwareForm.NONE
    bias_bits: ClassVar[int] = PLAIN_BIAS_BITS
    max_residual_shift: ClassVar[int] = 0

    @property
    def moves_only(self) -> bool:
        """Whether it only moves or compares integers: its operands and its result share one type."""
        return self.rounds is False

    @property
    def renames(self) -> bool:
        """Whether its result is the operand's integers under another shape."""
        return self.hardware is HardwareForm.RENAMING

    @property
    def joins(self) -> bool:
        """Whether it lays any number of operands side by side."""
        return self.hardware is HardwareForm.JOINING

    @property
    def activation(self) -> Activation:
        """What it applies to its own result."""
        return Activation.NONE

    @property
    def tile(self) -> int:
        """Outputs m in each direction of a tile of the Winograd form F(m, 3), 0 if it computes directly."""
        return 0

    @property
    def pattern(self) -> Pattern | None:
        """n:S or n:SxG if its weights are sub-row-balanced sparse, else None."""
        return None

    @property
    def groups(self) -> int:
        """Channel groups, each of whose outputs reads the inputs of its own group alone."""
        return 1

    @property
    def sum_scale(self) -> int:
        """What its integer sums are multiplied by, beside the integers of operands and weights."""
        return 1

    @abstractmethod
    def infer_shape(self, inputs: Sequence[Shape], weights: Weights) -> Shape:
        """Return the output's shape.

        Raises:
            ValueError: shapes or weights do not fit the attributes; the text says which.
        """

    def divisors(self, source: Shape) -> npt.NDArray[np.int64] | None:
        """Return what the sums of each position are divided by, int64 (H', W'), for an input of shape `source`.

        None if no sum is divided. The `torch_form` of an operator that divides has `undivided`, its sums.
        """
        return None

    def rule_divisors(self, source: Shape) -> tuple[int, ...]:
        """Return the different divisors in ascending order, for an input of shape `source`.

        Each is in a multiplier of its own: every channel has as many requantisations. Where nothing is divided there
        is one, by 1.
        """
        divisors = self.divisors(source)
        return (1,) if divisors is None else tuple(np.unique(divisors).tolist())

    def rule_count(self, source: Shape) -> int:
        """Return how many requantisations every channel has, for an input of shape `source`."""
        return len(self.rule_divisors(source))
