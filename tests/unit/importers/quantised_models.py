"""Tiny QONNX files for the tests of quantised networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from tests.oracles.qonnx_float64 import evaluate
from toolflow.importers.load import load_quantised_file
from toolflow.importers.quantised.lower import Lowered, lower
from toolflow.interpreter.run import run

Array = npt.NDArray[Any]
DOMAIN = "qonnx.custom_op.general"
PIXELS = np.arange(256)[None] / 255.0


class Qonnx:
    """Builds a QONNX file node by node; every method returns the name of a tensor."""

    def __init__(self, shape: tuple[int, int, int] = (2, 6, 6), domain: str = DOMAIN) -> None:
        self.shape = shape
        self.domain = domain
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, Array] = {}
        self._rng = np.random.default_rng(5)

    def constant(self, value: Any) -> str:
        """Store a constant as float32."""
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value, np.float32)
        return name

    def node(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node."""
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name, domain=domain, **attributes))
        return name

    def quant(
        self,
        x: str,
        scale: Any,
        bits: float = 8,
        signed: int = 1,
        narrow: int = 0,
        zero: float = 0,
        mode: str = "ROUND",
    ) -> str:
        """Add Quant."""
        grid = [self.constant(value) for value in (scale, zero, bits)]
        return self.node("Quant", x, *grid, domain=self.domain, signed=signed, narrow=narrow, rounding_mode=mode)

    def weight(self, *shape: int, scale: Any = 0.03125, bits: float = 8) -> str:
        """Add quantised random weights."""
        return self.quant(self.constant(self._rng.normal(size=shape) * np.asarray(scale) * 30), scale, bits, narrow=1)

    def conv(self, x: str, outputs: int, channels: int, size: int = 3, bias: bool = False, **attributes: Any) -> str:
        """Add a convolution with quantised weights."""
        weight = self.weight(outputs, channels, size, size)
        biases = [self.constant(self._rng.integers(-999, 999, outputs) / 2.0**12)] if bias else []
        return self.node("Conv", x, weight, *biases, pads=[size // 2] * 4, **attributes)

    def batch_norm(self, x: str, channels: int) -> str:
        """Add a batch norm of which some factors are negative."""
        arrays = [*self._rng.normal(size=(3, channels)), self._rng.uniform(0.5, 2, channels)]
        return self.node("BatchNormalization", x, *[self.constant(array) for array in arrays], epsilon=1e-5)

    def model(self, output: str) -> onnx.ModelProto:
        """Return the model."""
        graph = helper.make_graph(
            self.nodes,
            "tiny",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, *self.shape])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        sets = [helper.make_opsetid("", 13), helper.make_opsetid(self.domain, 1)]
        return helper.make_model(graph, opset_imports=sets, ir_version=8)

    def saved(self, output: str, folder: Path, name: str = "tiny") -> Path:
        """Write the model."""
        path = folder / f"{name}.onnx"
        onnx.save(self.model(output), str(path))
        return path


def lowered(path: Path, pixels: npt.NDArray[np.float64] = PIXELS) -> Lowered:
    """Import a file and lower it."""
    graph = load_quantised_file(str(path))
    return lower(graph, np.broadcast_to(pixels, (graph.input_shape[0], 256)), "high")


def differing(
    path: Path, images: npt.NDArray[np.uint8] | None = None, pixels: npt.NDArray[np.float64] = PIXELS
) -> tuple[int, Lowered]:
    """Return how many numbers of all tensors differ from the file in float64, and the integers."""
    made = lowered(path, pixels)
    channels, height, width = made.graph.input_shape
    if images is None:
        images = np.random.default_rng(0).integers(0, 256, (16, height, width, channels)).astype(np.uint8)
    table = np.broadcast_to(pixels, (channels, 256))
    x = np.stack([table[c][images[..., c]] for c in range(channels)], axis=1)
    model = onnx.load(str(path))
    tensors = {node.name: node.output[0] for node in model.graph.node}
    expected, found = evaluate(model, x), run(made.graph, images, keep=list(made.origin))
    wrong = 0
    for name, origin in made.origin.items():
        origin = origin.removesuffix(".flatten")
        if origin not in tensors:  # a step inside a Trunc
            continue
        values = expected[tensors[origin]]
        if name == made.graph.output and made.logits_off:  # the file does not round them
            real = found[name].reshape(values.shape) * made.graph.types[name].scale
            wrong += int((np.abs(real - values) > made.logits_off).sum())
            continue
        wrong += int((found[name].reshape(values.shape) * made.graph.types[name].scale != values).sum())
    return wrong, made
