"""What an operator is in ONNX: nodes, which the module `onnx_form` of its folder returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from toolflow.ir.operator import Operator

if TYPE_CHECKING:
    from onnx import FunctionProto


@dataclass(frozen=True)
class OnnxNode:
    """A node of ONNX.

    Attributes:
        op_type: as ONNX calls it.
        inputs: names of tensors and weights, and constants. The name "" stands for the result of the node before.
        attributes: by name.
        function: of an operator that ONNX lacks, its definition at an operator set; any runtime calls that.
    """

    op_type: str
    inputs: Sequence[str | npt.NDArray[Any]]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    function: Callable[[int], FunctionProto] | None = None


class OnnxForm(Protocol):
    """What the module `onnx_form` of an operator's folder holds."""

    def onnx_nodes(self, op: Operator, name: str, inputs: Sequence[str]) -> Sequence[OnnxNode]:
        """Return a chain of nodes that computes the operator without its residual and its activation.

        Args:
            op: the operator.
            name: of the node; its weight w is the initialiser "name.w".
            inputs: names of the operands.

        Raises:
            ValueError: ONNX has no such operator.
        """


def constant(*values: float) -> npt.NDArray[Any]:
    """Return a constant input: int64 if all values are whole numbers, else float32."""
    whole = all(isinstance(value, int) for value in values)
    return np.array(values, dtype=np.int64 if whole else np.float32)
