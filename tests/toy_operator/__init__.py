"""Two operators that the toolflow lacks, and what adding them takes: a folder each, and a line in each importer.

`space_to_depth` moves integers, `negate` rounds. Their folders are here and not in `toolflow/operators`, and the
lines are set for one test.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

import toolflow.operators
from toolflow.importers.builder import Value
from toolflow.importers.onnx import operators as onnx
from toolflow.importers.onnx.call import Call as OnnxCall
from toolflow.importers.pytorch import operators as pytorch
from toolflow.importers.pytorch.call import Call as TorchCall
from toolflow.ir.operator import Operator

FOLDER = Path(__file__).parent
aten = torch.ops.aten


def add_to_toolflow(patch: pytest.MonkeyPatch) -> None:
    """Add the operators, for as long as `patch` lasts."""
    patch.setattr(toolflow.operators, "__path__", [*toolflow.operators.__path__, str(FOLDER)])
    negate = import_module("toolflow.operators.negate.spec").Negate
    space_to_depth = import_module("toolflow.operators.space_to_depth.spec").SpaceToDepth

    def from_torch(call: TorchCall, op: Operator) -> Value | None:
        return call.build.emit(call.place, op, [call.tensor()])

    def from_onnx(call: OnnxCall, op: Operator) -> Value | None:
        x = call.value(0)
        return None if x is None else call.build.emit(call.place, op, [x])

    torch_lines: dict[Any, Callable[[TorchCall], Value | None]] = {
        aten.neg.default: lambda call: from_torch(call, negate()),
        aten.pixel_unshuffle.default: lambda call: from_torch(call, space_to_depth(call.take("downscale_factor"))),
    }
    onnx_lines: dict[str, Callable[[OnnxCall], Value | None]] = {
        "Neg": lambda call: from_onnx(call, negate()),
        "SpaceToDepth": lambda call: from_onnx(call, space_to_depth(call.attribute("blocksize", 1), blocks_first=True)),
    }
    for module, lines in ((pytorch, torch_lines), (onnx, onnx_lines)):
        for name, line in lines.items():
            patch.setitem(module.OPERATORS, name, line)
