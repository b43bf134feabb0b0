"""Load a model in any form in which a user can name it."""

from __future__ import annotations

from pathlib import Path

from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph
from toolflow.ir.operator import Shape

REFUSED_FILES = {
    ".pt2": "loading a .pt2 file can run code that it carries; export the module with torch.onnx.export, or give its "
    "factory as file.py:factory",
    ".tflite": "its requantisation needs multipliers of 24 bits and zero points of outputs, where the engine has "
    "multipliers of 16 bits and none; give the float model as ONNX, or the network quantised as QONNX",
}


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
    if path.suffix in REFUSED_FILES:
        raise ToolflowError(f"'{spec}' is not read: {REFUSED_FILES[path.suffix]}")
    raise ToolflowError(f"a model must be model.onnx, file.py:factory or package.module:factory, not '{spec}'")


def is_quantised_file(spec: str) -> bool:
    """Return whether a model is an ONNX file that was quantised elsewhere."""
    path = Path(spec)
    if path.suffix != ".onnx" or not path.is_file():
        return False
    from toolflow.importers.onnx.importer import is_quantised_onnx

    return is_quantised_onnx(path)


def load_quantised_file(
    spec: str, weights: Path | None = None, input_shape: Shape | None = None, output: str | None = None
) -> Graph:
    """Import an ONNX file that was quantised elsewhere, with a node for each rounding.

    Args:
        spec: the file.
        weights: must be None, as the file holds them.
        input_shape: as for `load_model`.
        output: as for `load_model`.

    Raises:
        ToolflowError: as `load_model`.
        UnsupportedModelError: as `load_model`.
    """
    if weights is not None:
        raise ToolflowError(f"an ONNX file holds its own weights; leave out '{weights}'")
    from toolflow.importers.onnx.importer import import_quantised_onnx
    from toolflow.passes.fold_pad import fold_pad
    from toolflow.passes.two_logits import two_logits

    return two_logits(fold_pad(import_quantised_onnx(Path(spec), input_shape, output)))
