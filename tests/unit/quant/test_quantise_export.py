"""QONNX files of both families, run by qonnx, and networks that hls4ml must refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pytest
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx

from quant.config import QuantiseConfig
from quant.exchange.hls4ml_level import check_expressible, hls4ml_logits
from quant.exchange.qonnx import export_qonnx
from quant.quantise import Variant, quantise
from tests.unit.quant.quantise_networks import NORMALISATION, images, residual_network
from toolflow.interpreter.run import run
from toolflow.ir.errors import ToolflowError

HELD_OUT = images(6, seed=5)


def variant(family: Literal["multiplier", "fixed-point"], bits: int = 4) -> Variant:
    config = QuantiseConfig(weight_bits=bits, activation_bits=bits, family=family)
    return quantise(residual_network(), images(32), NORMALISATION, config)


def executed(path: Path, made: Variant) -> np.ndarray:
    model = ModelWrapper(str(path))
    x = NORMALISATION.apply(HELD_OUT).astype(np.float32)
    rows = [execute_onnx(model, {"image": x[i : i + 1]})["logits"] for i in range(len(x))]
    return np.rint(np.concatenate(rows) / made.graph.types[made.graph.output].scale).astype(np.int64)


@pytest.mark.parametrize(("family", "bits"), [("fixed-point", 4), ("fixed-point", 8), ("multiplier", 4)])
def test_qonnx_executes_to_the_reference(
    family: Literal["multiplier", "fixed-point"], bits: int, tmp_path: Path
) -> None:
    made = variant(family, bits)
    export_qonnx(made.model, tmp_path / "network.onnx")
    expected = run(made.graph, HELD_OUT)[made.graph.output]
    found = executed(tmp_path / "network.onnx", made)
    if family == "fixed-point":
        assert np.array_equal(found, expected)
    else:  # float32 breaks ties of the float64 model elsewhere; a step in one map moves logits a little
        assert np.abs(found - expected).max() < 0.05 * np.ptp(expected)
        assert np.array_equal(found.argmax(1), expected.argmax(1))


def test_a_wrong_weight_in_the_file_is_seen(tmp_path: Path) -> None:
    made = variant("fixed-point")
    model = export_qonnx(made.model, tmp_path / "network.onnx")
    weights = next(t for t in model.graph.initializer if list(t.dims) == [5, 16])
    changed = onnx.numpy_helper.to_array(weights).copy()
    changed[2] = -changed[2]
    weights.CopyFrom(onnx.numpy_helper.from_array(changed, weights.name))
    onnx.save(model, str(tmp_path / "wrong.onnx"))
    expected = run(made.graph, HELD_OUT)[made.graph.output]
    assert not np.array_equal(executed(tmp_path / "wrong.onnx", made), expected)


def test_the_file_holds_the_widths(tmp_path: Path) -> None:
    model = export_qonnx(variant("fixed-point").model, tmp_path / "network.onnx")
    values = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    widths = {float(values[n.input[3]]) for n in model.graph.node if n.op_type == "Quant"}
    assert widths == {4, 8, 16, 32}
    assert all(t.data_type != onnx.TensorProto.DOUBLE for t in model.graph.initializer)
    assert model.opset_import[0].domain == ""


def test_hls4ml_refuses_what_ap_fixed_cannot_hold(tmp_path: Path) -> None:
    free = variant("multiplier")
    with pytest.raises(ToolflowError, match="--scales must be fixed-point, not multiplier"):
        hls4ml_logits(free.graph, HELD_OUT, tmp_path)
    with pytest.raises(ToolflowError, match="no average pooling, not \\['pool'\\]"):
        check_expressible(variant("fixed-point").graph)
