"""A quantised network as a QONNX file, written by Brevitas."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from brevitas.export import export_qonnx as brevitas_export_qonnx
from onnx import numpy_helper

from quant.exchange.brevitas_model import BrevitasModel

_DOUBLE, _FLOAT = onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT


def export_qonnx(model: BrevitasModel, path: Path) -> onnx.ModelProto:
    """Write a network as QONNX for one image (1, C, H, W) as its first layer reads it, and return what was written.

    Brevitas exports its float64 model; the file holds float32, as no runtime convolves float64.
    There powers of two and integers stay exact while accumulators are below 2^24: the fixed-point
    family gives the reference's integers, the multiplier family the same up to float32's rounding.
    """
    example = torch.zeros((1, *model.graph.input_shape), dtype=torch.float64)
    path.parent.mkdir(parents=True, exist_ok=True)
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            brevitas_export_qonnx(
                model,
                args=example,
                export_path=str(path),
                input_names=["image"],
                output_names=["logits"],
                verbose=False,
            )
    finally:
        quiet.setLevel(level)
    exported = single_precision(onnx.load(str(path)))
    onnx.save(exported, str(path))
    path.with_name(f"{path.name}.data").unlink(missing_ok=True)  # the exporter's own weights file, now inside
    return exported


def single_precision(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with float32 in place of float64, and without the exporter's notes on each node.

    ONNX' own operator set comes first, as qonnx takes the first one for it.
    """
    graph = model.graph
    sets = sorted(((entry.domain, entry.version) for entry in model.opset_import), key=lambda entry: entry[0] != "")
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(domain, version) for domain, version in sets)
    for initializer in graph.initializer:
        if initializer.data_type == _DOUBLE:
            initializer.CopyFrom(_narrowed(initializer))
    for node in graph.node:
        del node.metadata_props[:]
        for attribute in node.attribute:
            if attribute.name == "to" and attribute.i == _DOUBLE:
                attribute.i = _FLOAT
            elif attribute.HasField("t") and attribute.t.data_type == _DOUBLE:
                attribute.t.CopyFrom(_narrowed(attribute.t))
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == _DOUBLE:
            value.type.tensor_type.elem_type = _FLOAT
    return model


def _narrowed(tensor: onnx.TensorProto) -> onnx.TensorProto:
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)
