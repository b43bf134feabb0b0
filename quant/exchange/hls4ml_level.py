"""The hls4ml level: hls4ml emulates the fixed-point network and must compute the same logits.

QONNX goes through qonnx' own transformations to hls4ml, whose g++ emulation computes in ap_fixed:
activations with the widths of the QONNX quantisers, AP_RND_CONV and AP_SAT, weights and biases in
a type that holds each of them exactly, sums in the types that hls4ml infers from those.
"""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from quant.exchange.brevitas_level import rebuilt_model
from quant.exchange.brevitas_model import BrevitasModel
from quant.exchange.qonnx import export_qonnx
from toolflow.ir.errors import ToolflowError
from toolflow.ir.quantised import QuantisedGraph
from toolflow.operators import AvgPool

INTEGER_BITS = 24


def hls4ml_logits(graph: QuantisedGraph, images: npt.NDArray[np.uint8], folder: Path) -> npt.NDArray[np.int64]:
    """Return the integer logits (N, K) of hls4ml's emulation.

    Args:
        graph: a variant; its input table makes the images' integers.
        images: uint8 (N, H, W, C).
        folder: for the QONNX file, the emitted project and its library; made if missing.

    Raises:
        ToolflowError: the network cannot be expressed there, with the reason.
    """
    check_expressible(graph)
    model = rebuilt_model(graph)
    export_qonnx(model, folder / "network.onnx")
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            emulation = _convert(folder, _fraction_bits(model))
            emulation.compile()
            kind = graph.types[graph.input_name]
            pixels = graph.input_table[np.arange(graph.input_shape[0]), images]
            found = emulation.predict(np.ascontiguousarray(pixels * kind.scale, dtype=np.float32))
    except Exception as error:  # whatever a foreign tool raises is its reason
        raise ToolflowError(f"hls4ml does not take this network: {type(error).__name__}: {error}") from error
    logits = np.asarray(found, dtype=np.float64).reshape(len(images), -1)
    return np.rint(logits / graph.types[graph.output].scale).astype(np.int64)


def check_expressible(graph: QuantisedGraph) -> None:
    """Refuse what ap_fixed arithmetic cannot express exactly.

    Raises:
        ToolflowError: scales are free, or a pool averages with a rounding of its own.
    """
    if graph.family != "fixed-point":
        raise ToolflowError(
            f"hls4ml's ap_fixed types hold powers of two only: --scales must be fixed-point, not {graph.family}"
        )
    tiles = [node.name for node in graph.nodes if node.op.tile]
    if tiles:
        raise ToolflowError(f"QONNX has no Winograd convolution, so there must be none, not {', '.join(tiles)}")
    pools = [node.name for node in graph.nodes if isinstance(node.op, AvgPool)]
    if pools:
        raise ToolflowError(
            "hls4ml rounds twice in average pooling, the reference once: the network must have no average pooling, not "
            f"{pools}"
        )


def _convert(folder: Path, fraction_bits: int):  # type: ignore[no-untyped-def]  # hls4ml has no types
    import hls4ml
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.transformation.channels_last import ConvertToChannelsLastAndClean
    from qonnx.transformation.fold_constants import FoldConstants
    from qonnx.transformation.gemm_to_matmul import GemmToMatMul
    from qonnx.util.cleanup import cleanup_model

    model = cleanup_model(ModelWrapper(onnx.load(str(folder / "network.onnx"))))
    model = model.transform(ConvertToChannelsLastAndClean(make_input_channels_last=True))
    model = model.transform(GemmToMatMul())
    model = cleanup_model(model.transform(FoldConstants(exclude_op_types=[])))
    precision = f"ap_fixed<{INTEGER_BITS + fraction_bits},{INTEGER_BITS}>"
    config = hls4ml.utils.config_from_onnx_model(
        model, granularity="name", backend="Vitis", default_precision=precision
    )
    return hls4ml.converters.convert_from_onnx_model(
        model, output_dir=str(folder / "hls4ml"), io_type="io_stream", backend="Vitis", hls_config=config
    )


def _fraction_bits(model: BrevitasModel) -> int:
    """Return the fraction bits that the finest weight or bias step of the network needs."""
    steps = [kind.scale for kind in model.types.values()]
    for node in model.graph.nodes:
        if node.name in model.numbers:
            finest = float(model.numbers[node.name].weight_scale.min())
            steps += [finest, finest * model.types[node.inputs[0]].scale]
    return max(1 - math.frexp(min(steps))[1], 0)
