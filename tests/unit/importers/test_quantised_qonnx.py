"""Quantised QONNX files give the integers of their float64 evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.unit.importers.quantised_models import DOMAIN, PIXELS, Qonnx, differing, lowered
from toolflow.importers.load import is_quantised_file
from toolflow.importers.onnx.quantisers import QONNX_DOMAINS
from toolflow.importers.quantised.fit import Rule, fit, is_equal, steps_of_table
from toolflow.interpreter.run import run
from toolflow.ir.errors import ToolflowError

# file of the shared data: mean and deviation of its input
FILES = {
    "resnet8_a8w8": (0.0, 1.0),
    "resnet20_a8w8b16": (0.0, 1.0),
    "mobilenet_v1_vww_a8w8": (0.0, 1.0),
    "vww_small_qonnx": (0.456, 0.225),
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_others_equal_their_evaluation(name: str, shared_data: Path) -> None:
    mean, std = FILES[name]
    path = shared_data / "quantised" / f"{name}.onnx"
    photographs = np.load(shared_data / "cifar10_train4k_lossless.npz")["x"][:2]
    size = lowered(path).graph.input_shape[1]
    images = np.kron(photographs, np.ones((1, size // 32, size // 32, 1), np.uint8))
    wrong, made = differing(path, images, (PIXELS - mean) / std)
    assert wrong == 0
    assert len(made.origin) == len(made.graph.shapes)


def _plain(net: Qonnx) -> str:
    x = net.quant("x", 1 / 128)
    x = net.quant(net.node("Relu", net.conv(x, 4, 2, bias=True)), 1 / 16, signed=0)
    return net.quant(net.conv(x, 3, 4, size=1), 1 / 4)


@pytest.mark.parametrize("domain", QONNX_DOMAINS)
def test_every_spelling_of_the_domain(domain: str, tmp_path: Path) -> None:
    net = Qonnx(domain=domain)
    path = net.saved(_plain(net), tmp_path)
    wrong, made = differing(path)
    assert (wrong, len(made.graph.nodes), made.graph.family, made.notes) == (0, 2, "fixed-point", ())
    assert is_quantised_file(str(path))


def _coarser(net: Qonnx) -> str:
    """Two roundings, which one does not replace."""
    x = net.quant(net.conv(net.quant("x", 1 / 128), 4, 2), 1 / 32)
    return net.quant(net.node("Relu", x), 1 / 4, signed=0)


def _finer(net: Qonnx) -> str:
    x = net.quant(net.conv(net.quant("x", 1 / 128), 4, 2), 1 / 8)
    return net.quant(net.node("Relu", x), 1 / 8, signed=0)


def _pooled_then_coarser(net: Qonnx) -> str:
    x = net.quant(net.conv(net.quant("x", 1 / 128), 4, 2), 1 / 32)
    return net.quant(net.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]), 1 / 8)


def _norm_between(net: Qonnx) -> str:
    x = net.batch_norm(net.quant(net.conv(net.quant("x", 1 / 128), 8, 2), 1 / 16), 8)
    return net.quant(net.node("Relu", x), 1 / 32, signed=0)


def _norm_before(net: Qonnx) -> str:
    x = net.node("Relu", net.batch_norm(net.conv(net.quant("x", 1 / 8, bits=4), 8, 2), 8))
    return net.quant(x, 1 / 4, bits=4, signed=0)


def _residual(net: Qonnx) -> str:
    x = net.quant("x", 1 / 128)
    y = net.quant(net.conv(x, 2, 2), 1 / 32)
    return net.quant(net.node("Relu", net.node("Add", y, x)), 1 / 16, signed=0)


def _averaged(net: Qonnx) -> str:
    x = net.quant(net.conv(net.quant("x", 1 / 128), 4, 2), 1 / 16)
    return net.quant(net.node("GlobalAveragePool", x), 1 / 64)


def _joined(net: Qonnx) -> str:
    x = net.quant("x", 1 / 128)
    a, b = (
        net.quant(net.conv(x, 2, 2), 1 / 16),
        net.quant(net.node("Relu", net.conv(x, 2, 2)), 1 / 16, signed=0, bits=7),
    )
    return net.quant(net.conv(net.node("Concat", a, b, axis=1), 3, 4, size=1), 1 / 4)


def _bipolar(net: Qonnx) -> str:
    x = net.quant("x", 1 / 128)
    weight = net.node("BipolarQuant", net.constant(np.random.default_rng(1).normal(size=(4, 2, 3, 3))),
                      net.constant(0.25), domain=net.domain)  # fmt: skip
    y = net.node("BipolarQuant", net.node("Conv", x, weight), net.constant(0.5), domain=net.domain)
    return net.quant(net.conv(y, 3, 4, size=1), 1 / 8)


def _truncated(net: Qonnx) -> str:
    """The upper 5 of 8 bits, which keep the scale of all bits."""
    x = net.quant(net.conv(net.quant("x", 1 / 128), 4, 2), 1 / 16)
    grid = [net.constant(value) for value in (1 / 16, 0, 8, 5)]
    x = net.node("Trunc", x, *grid, domain=net.domain, rounding_mode="FLOOR")
    return net.quant(net.conv(x, 3, 4, size=1), 1 / 4)


def _narrow(net: Qonnx) -> str:
    return net.quant(net.conv(net.quant("x", 1 / 128), 4, 2), 1 / 64, bits=4, narrow=1)


def _floored(net: Qonnx) -> str:
    return net.quant(net.conv(net.quant("x", 1 / 128, bits=4), 4, 2), 1 / 16, bits=6, mode="FLOOR")


def _per_channel(net: Qonnx) -> str:
    weight = net.weight(4, 2, 3, 3, scale=2.0 ** -np.arange(3, 7).reshape(4, 1, 1, 1))
    return net.quant(net.node("Conv", net.quant("x", 1 / 128), weight), 1 / 32)


def _free_scales(net: Qonnx) -> str:
    weight = net.weight(4, 2, 3, 3, scale=np.array([0.011, 0.013, 0.017, 0.019]).reshape(4, 1, 1, 1), bits=4)
    return net.quant(net.node("Conv", net.quant("x", 0.0667, bits=4), weight), 0.0311, bits=4)


def _two_readers(net: Qonnx) -> str:
    """The layer's tensor is read by an addition as it is, and by a layer after a clip."""
    x = net.quant(net.conv(net.quant("x", 1 / 128), 4, 2), 1 / 16)
    y = net.quant(net.conv(net.quant(x, 1 / 32, bits=6), 4, 4), 1 / 16)
    return net.quant(net.node("Add", x, y), 1 / 8)


def _unrounded_logits(net: Qonnx) -> str:
    x = net.quant(net.conv(net.quant("x", 1 / 128), 4, 2), 1 / 16)
    flat = net.node("Flatten", x, axis=1)
    return net.node("Gemm", flat, net.weight(5, 144), net.constant(np.arange(5) / 512), transB=1)


def _free_logits(net: Qonnx) -> str:
    """As Brevitas exports by default: the last layer's bias lies on no grid, and nothing rounds its sums."""
    x = net.quant(net.conv(net.quant("x", 1 / 128), 4, 2), 1 / 16)
    return net.node(
        "Gemm", net.node("Flatten", x, axis=1), net.weight(5, 144), net.constant(np.arange(5) / 7), transB=1
    )


# layers that are made, and how many of them only round once more
CASES: dict[str, tuple[Callable[[Qonnx], str], int, int]] = {
    "coarser": (_coarser, 2, 1),
    "finer": (_finer, 1, 0),
    "pooled then coarser": (_pooled_then_coarser, 3, 1),
    "norm between": (_norm_between, 2, 1),
    "norm before": (_norm_before, 1, 0),
    "residual": (_residual, 2, 0),
    "averaged": (_averaged, 2, 0),
    "joined": (_joined, 4, 0),
    "bipolar": (_bipolar, 2, 0),
    "truncated": (_truncated, 3, 1),
    "narrow": (_narrow, 1, 0),
    "floored": (_floored, 1, 0),
    "per channel": (_per_channel, 1, 0),
    "free scales": (_free_scales, 1, 0),
    "two readers": (_two_readers, 4, 1),
    "unrounded logits": (_unrounded_logits, 3, 0),
    "free logits": (_free_logits, 3, 0),
}


@pytest.mark.parametrize("name", CASES)
def test_integers_equal_the_file(name: str, tmp_path: Path) -> None:
    build, layers, added = CASES[name]
    net = Qonnx()
    wrong, made = differing(net.saved(build(net), tmp_path))
    assert wrong == 0
    assert len(made.graph.nodes) == layers
    assert made.logits_off < (0.03 if "logits" in name else 1e-9)
    assert (f"{added} tensor(s)" in " ".join(made.notes)) == bool(added)


def test_one_rounding_would_not_do(tmp_path: Path) -> None:
    """A layer that rounds onto the coarser grid at once gives other integers: the comparison would see it."""
    net = Qonnx()
    made = lowered(net.saved(_coarser(net), tmp_path))
    conv, last = made.graph.nodes
    assert conv.requantise is not None
    assert last.requantise is not None
    rule = replace(conv.requantise, shift=conv.requantise.shift + 3, lower=0, upper=last.requantise.upper)
    merged = replace(made.graph, nodes=(replace(conv, name=last.name, requantise=rule),), output=last.name)
    images = np.random.default_rng(0).integers(0, 256, (16, 6, 6, 2)).astype(np.uint8)
    assert (run(merged, images)[last.name] != run(made.graph, images)[last.name]).any()


def test_a_rule_is_proven_at_both_sides_of_every_step() -> None:
    operands = np.arange(-128, 128)
    results = np.clip(np.rint(operands * 0.7303 + 3.21), 0, 255).astype(np.int64)
    steps = steps_of_table(operands, results, (0, 255), (0.7303, 3.21))
    rule = fit(steps, range(1, 128))
    assert rule is not None
    assert np.array_equal(np.clip(rule.results(operands), 0, 255), results)
    for wrong in (
        replace(rule, bias=rule.bias + rule.factor),
        replace(rule, multiplier=rule.multiplier + (rule.multiplier >> 6) + 1),
        Rule(1, 0, 1, 0),
    ):
        assert not is_equal(wrong, steps)


def _unquantised_weight(net: Qonnx) -> str:
    weight = net.constant(np.random.default_rng(0).normal(size=(4, 2, 3, 3)))
    return net.quant(net.node("Conv", net.quant("x", 1 / 128), weight), 1 / 16)


def _unquantised_image(net: Qonnx) -> str:
    return net.quant(net.conv("x", 4, 2), 1 / 16)


def _unquantised_between(net: Qonnx) -> str:
    return net.quant(net.conv(net.conv(net.quant("x", 1 / 128), 4, 2), 3, 4), 1 / 16)


def _zero_point(net: Qonnx) -> str:
    return net.quant(net.conv(net.quant("x", 1 / 128, zero=3), 4, 2), 1 / 16)


def _computed_scale(net: Qonnx) -> str:
    grid = [net.node("Relu", "x"), net.constant(0), net.constant(8)]
    x = net.node("Quant", "x", *grid, domain=net.domain, signed=1, narrow=0, rounding_mode="ROUND")
    return net.quant(net.conv(x, 4, 2), 1 / 16)


def _inexact(net: Qonnx) -> str:
    weight = net.weight(4, 64, 3, 3, scale=0.0113)
    x = net.quant(net.conv(net.quant("x", 1 / 128), 64, 2), 1 / 16)
    return net.quant(net.node("Conv", x, weight), 0.0371)


def _wide(net: Qonnx) -> str:
    x = net.quant(net.conv(net.quant("x", 1 / 128), 4, 2), 1 / 4096, bits=12)
    return net.quant(net.conv(x, 3, 4), 1 / 16)


def _two_scales(net: Qonnx) -> str:
    x = net.quant("x", 1 / 128)
    a, b = net.quant(net.conv(x, 2, 2), 1 / 16), net.quant(net.conv(x, 2, 2), 1 / 48)
    return net.quant(net.conv(net.node("Concat", a, b, axis=1), 3, 4), 1 / 4)


REFUSED: dict[str, tuple[Callable[[Qonnx], str], str]] = {
    "weight": (
        _unquantised_weight,
        "conv 'Conv_1': the weights of output channel 0 must be integers of at most 12 bits",
    ),
    "image": (_unquantised_image, "the image 'x' must be quantised before the first layer reads it"),
    "between": (_unquantised_between, "conv 'Conv_2': its result must be quantised before another layer reads it"),
    "zero point": (_zero_point, "Quant 'Quant_0': zero point = [3.0] is not handled, allowed: 0"),
    "computed scale": (_computed_scale, "Quant 'Quant_1': input 1 = computed from the image is not handled"),
    "inexact": (
        _inexact,
        "conv 'Conv_5': 'Quant_6' rounds its sums with a scale that no 16-bit multiplier gives exactly",
    ),
    "wide": (_wide, "tensor 'Conv_2' must have at most 8 bits, not 12"),
    "two scales": (_two_scales, "all operands must have one scale, not"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_exact_is_refused_by_name(name: str, tmp_path: Path) -> None:
    build, text = REFUSED[name]
    net = Qonnx()
    path = net.saved(build(net), tmp_path)
    with pytest.raises(ToolflowError) as error:
        lowered(path)
    assert text in str(error.value)


def test_biases_may_be_listed_as_inputs(tmp_path: Path) -> None:
    net = Qonnx()
    path = net.saved(_plain(net), tmp_path)
    model = onnx.load(str(path))
    model.graph.input.extend(
        onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in model.graph.initializer
    )
    onnx.save(model, str(path))
    assert len(lowered(path).graph.nodes) == 2


def test_a_float_file_is_not_quantised(tmp_path: Path) -> None:
    net = Qonnx(domain=DOMAIN)
    weight = net.constant(np.ones((4, 2, 3, 3)))
    assert not is_quantised_file(str(net.saved(net.node("Conv", "x", weight), tmp_path)))
