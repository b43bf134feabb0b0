"""An operator that the toolflow does not have, and all that adding it takes: a folder, and a line in each importer.

The folder `space_to_depth` lies here instead of in `toolflow/operators`, and the two lines are set for one test.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
import torch

import toolflow.operators
from toolflow.importers.builder import Value
from toolflow.importers.onnx import operators as from_onnx
from toolflow.importers.onnx.call import Call as OnnxCall
from toolflow.importers.pytorch import operators as from_pytorch
from toolflow.importers.pytorch.operators import Call as TorchCall

FOLDER = Path(__file__).parent


def add_to_toolflow(patch: pytest.MonkeyPatch) -> None:
    """Add the operator, for as long as `patch` lasts."""
    patch.setattr(toolflow.operators, "__path__", [*toolflow.operators.__path__, str(FOLDER)])
    operator = import_module("toolflow.operators.space_to_depth.spec").SpaceToDepth

    def pytorch(call: TorchCall) -> Value | None:
        return call.build.emit(call.place, operator(call.take("downscale_factor")), [call.tensor()])

    def onnx(call: OnnxCall) -> Value | None:
        x, block = call.value(0), call.attribute("blocksize", 1)
        return None if x is None else call.build.emit(call.place, operator(block, blocks_first=True), [x])

    patch.setitem(from_pytorch.OPERATORS, torch.ops.aten.pixel_unshuffle.default, pytorch)
    patch.setitem(from_onnx.OPERATORS, "SpaceToDepth", onnx)
