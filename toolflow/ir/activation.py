"""The activations that an operator may apply to its own output."""

from __future__ import annotations

from enum import Enum


class Activation(Enum):
    """What is applied after bias and residual."""

    NONE = "none"
    RELU = "relu"
    RELU6 = "relu6"

    @property
    def upper(self) -> float | None:
        """The largest value that passes, None if there is no bound."""
        return 6.0 if self is Activation.RELU6 else None
