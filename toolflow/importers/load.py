"""Load a model in any form in which a user can name it."""

from __future__ import annotations

from pathlib import Path

from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph
from toolflow.ir.operator import Shape


def load_model(
    spec: str, weights: Path | None = None, input_shape: Shape | None = None, output: str | None = None
) -> Graph:
    """Import a model as it stands; `passes.pipeline.simplify` comes next.

    Args:
        spec: an ONNX file, or package.module:factory or file.py:factory for PyTorch.
        weights: state dict of a PyTorch model.
        input_shape: (C, H, W), if the model does not define it.
        output: which of several outputs to take: a name in ONNX, a key or position of what a PyTorch module returns.

    Raises:
        ToolflowError: there is no such model, or it cannot be read.
        UnsupportedModelError: some nodes cannot be imported; the error lists all of them.
    """
    path = Path(spec)
    if path.suffix == ".onnx":
        if weights is not None:
            raise ToolflowError(f"an ONNX file holds its own weights; leave out '{weights}'")
        from toolflow.importers.onnx.importer import import_onnx  # torch is not needed here, nor onnx there

        return import_onnx(path, input_shape, output)
    if ":" in spec:
        from toolflow.importers.pytorch.importer import import_torch

        return import_torch(spec, weights, input_shape, output)
    raise ToolflowError(f"a model must be model.onnx, file.py:factory or package.module:factory, not '{spec}'")
