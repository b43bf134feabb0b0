"""Layers with tiny, huge or zero weights, biases or outputs: equal results, or a refusal that names the layer."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
import torch

from quant.config import QuantiseConfig
from quant.exchange.extract import brevitas_integers
from quant.float_network import float_logits
from quant.quantise import Variant, quantise
from rtl_sim.verify import ProgramExecutor, Unit, verify_level
from tests.tensors import first_difference
from tests.unit.quant.quantise_networks import NORMALISATION, RELU, SAME, Builder, images
from toolflow.engine.config import EngineConfig
from toolflow.interpreter.run import logits_of, run
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph
from toolflow.ir.quantised import QuantisedGraph, verify_quantised
from toolflow.ir.unit import UnitName
from toolflow.numerics.requantise import PLAIN_BIAS_BITS, TILE_BIAS_BITS
from toolflow.numerics.winograd import WINOGRAD
from toolflow.operators import Add, AvgPool, Conv, Flatten, WinogradConv
from toolflow.plan.schedule.needs import fit_depths

CALIBRATION = images(32)
HELD_OUT = images(4, seed=9)
FAMILIES = [("multiplier", 0), ("fixed-point", 0), ("multiplier", 4), ("fixed-point", 2)]
Scale = tuple[float, float | None]  # of a layer's weights, and its biases; None for those that it has


def network(layer: str, scale: Scale, *, residual: bool = False) -> Graph:
    """Return stem, mid (and mid2, to which the stem is added), mean and fc, one of them scaled."""
    b = Builder(5)
    stem = b.conv("stem", "image", (8, 3, 3, 3), Conv(activation=RELU, pads=SAME))
    x = b.conv("mid", stem, (8, 8, 3, 3), Conv(activation=RELU, pads=SAME))
    if residual:
        x = b.node("add", Add(RELU), b.conv("mid2", x, (8, 8, 3, 3), Conv(pads=SAME)), stem)
    pooled = b.node("pool", AvgPool((12, 12), (12, 12)), x)
    graph = b.graph(b.linear("fc", b.node("flat", Flatten(), pooled), (5, 8)))
    return scaled(graph, layer, scale)


def scaled(graph: Graph, layer: str, scale: Scale) -> Graph:
    """Return the graph with one layer's weights multiplied and its biases replaced."""
    node = graph.by_name[layer]
    weight, bias = node.weights["weight"].astype(np.float64) * scale[0], node.weights["bias"]
    if scale[1] is not None:
        bias = np.full(len(bias), scale[1])
    changed = dataclasses.replace(node, weights={"weight": weight, "bias": bias})
    return dataclasses.replace(graph, nodes=tuple(changed if n.name == layer else n for n in graph.nodes))


def quantised(graph: Graph, family: Literal["multiplier", "fixed-point"], tile: int, bits: int = 8) -> Variant:
    config = QuantiseConfig.model_validate(
        {"family": family, "tile": tile, "weight_bits": bits, "activation_bits": bits}
    )
    return quantise(graph, CALIBRATION, NORMALISATION, config)


def program_equals(graph: QuantisedGraph, tile: int) -> bool:
    shape = EngineConfig(lanes_k=4, lanes_p=2, tile=tile)  # type: ignore[arg-type]
    return verify_level(Unit(UnitName.SINGLE, graph, fit_depths(graph, shape)), ProgramExecutor(), HELD_OUT[:2]).equal


def float_answers(graph: Graph, x: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    return float_logits(graph, torch.as_tensor(NORMALISATION.apply(x))).numpy()


SCALES: Sequence[Scale] = [
    (0, 0), (0, 0.5), (1e-6, -0.5), (1e-20, 0), (1e6, 0), (1, 1e6), (1, -1e9), (0, 1e9),
]  # fmt: skip


@pytest.mark.parametrize(("family", "tile"), FAMILIES)
@pytest.mark.parametrize("layer", ["stem", "mid", "mid2", "fc"])
def test_a_layer_of_any_size_answers_as_the_float_network(
    layer: str, family: Literal["multiplier", "fixed-point"], tile: int
) -> None:
    """Within a few 8-bit steps; Brevitas' integers in the fixed-point family, the executor's in both."""
    for scale in SCALES:
        graph = network(layer, scale, residual=True)
        variant = quantised(graph, family, tile)
        wanted = float_answers(graph, HELD_OUT)
        found = logits_of(variant.graph, HELD_OUT) * variant.graph.types["fc"].scale
        assert np.abs(found - wanted).max() <= 0.05 * np.abs(wanted).max(), scale
        assert program_equals(variant.graph, tile), scale
        if family == "fixed-point":
            names = list(variant.graph.shapes)
            integers = run(variant.graph, HELD_OUT, names)
            assert first_difference(integers, brevitas_integers(variant.model, HELD_OUT, NORMALISATION), names) is None


@pytest.mark.parametrize("family", ["multiplier", "fixed-point"])
@pytest.mark.parametrize("bias", [0.5, -0.5])
def test_weights_of_zero_answer_their_bias(family: Literal["multiplier", "fixed-point"], bias: float) -> None:
    variant = quantised(network("fc", (0, bias)), family, 0)
    step = variant.graph.types["fc"].scale
    np.testing.assert_allclose(logits_of(variant.graph, HELD_OUT) * step, bias, atol=step)


@pytest.mark.parametrize("form", [{}, {"tile": 2}, {"tile": 4}, {"pattern": (4, 8)}, {"pattern": (4, 8), "tile": 4}])
@pytest.mark.parametrize("x", [np.zeros_like(CALIBRATION[:8]), CALIBRATION[:8] // 16 + np.uint8(100)])
def test_weights_keep_the_mean_that_no_bias_makes_up_for(form: dict[str, object], x: npt.NDArray[np.uint8]) -> None:
    """Nearly constant inputs determine only the mean of the output, not the single weights."""
    graph = network("mid", (1, None))
    variant = quantise(graph, x, NORMALISATION, QuantiseConfig.model_validate({"bias_correction": False, **form}))
    for node in variant.graph.nodes:
        if node.requantise is not None and node.name in variant.model.numbers:
            numbers, source = variant.model.numbers[node.name], variant.model.types[node.inputs[0]]
            transform = WINOGRAD[node.op.tile].scale if isinstance(node.op, WinogradConv) else 1
            step = source.scale * numbers.weight_scale / transform
            kept = graph.by_name[node.name].weights["bias"].astype(np.float64)
            assert (np.abs(node.requantise.bias * step - kept) <= 0.51 * step).all(), node.name
    wanted = float_answers(graph, x)
    found = logits_of(variant.graph, x) * variant.graph.types["fc"].scale
    assert np.abs(found - wanted).max() <= 0.02 * np.abs(wanted).max()


@pytest.mark.parametrize("family", ["multiplier", "fixed-point"])
def test_no_bias_of_a_classifier_over_dying_features_is_cut(family: Literal["multiplier", "fixed-point"]) -> None:
    """Depthwise layers of default initialisation, as of a MobileNet: features are a millionth of the biases."""
    b = Builder(7)
    x = b.conv("stem", "image", (8, 3, 3, 3), Conv(activation=RELU, pads=SAME))
    for block in range(4):
        x = b.conv(f"deep{block}", x, (8, 1, 3, 3), Conv(activation=RELU, pads=SAME, groups=8))
        x = b.conv(f"wide{block}", x, (8, 8, 1, 1), Conv(activation=RELU))
    x = b.node("flat", Flatten(), b.node("pool", AvgPool((12, 12), (12, 12)), x))
    graph = b.graph(b.linear("fc", x, (100, 8)))
    for node in graph.nodes:
        if node.name not in ("stem", "fc") and "weight" in node.weights:
            graph = scaled(graph, node.name, (0.05, 0.0))
    variant = quantised(graph, family, 0)
    fc = variant.graph.by_name["fc"]
    assert fc.requantise is not None
    step = variant.model.types["flat"].scale * variant.model.numbers["fc"].weight_scale
    wanted = graph.by_name["fc"].weights["bias"].astype(np.float64)
    np.testing.assert_allclose(fc.requantise.bias * step, wanted, rtol=1e-3)
    wanted = float_answers(graph, HELD_OUT)
    logit_step = variant.graph.types["fc"].scale
    np.testing.assert_allclose(logits_of(variant.graph, HELD_OUT) * logit_step, wanted, atol=2 * logit_step)


def test_what_no_multiplier_holds_is_refused_by_name_before_any_weight_is_rounded() -> None:
    """The sums of both channels cancel almost to zero, so one step of a sum is millions of output steps."""
    graph = network("fc", (1, None))
    weight = np.zeros((5, 8))
    weight[:, 0], weight[:, 1] = 1e14, -1e14
    fc = dataclasses.replace(graph.by_name["fc"], weights={"weight": weight, "bias": np.full(5, 1.0)})
    mid = graph.by_name["mid"]
    kernel, bias = mid.weights["weight"].copy(), mid.weights["bias"].copy()
    kernel[1], bias[1] = kernel[0], bias[0]  # the same twice
    mid = dataclasses.replace(mid, weights={"weight": kernel, "bias": bias})
    nodes = tuple({"fc": fc, "mid": mid}.get(n.name, n) for n in graph.nodes)
    told: list[str] = []
    with pytest.raises(ToolflowError, match=r"^'fc': a step of output channel 0's sums is .* steps of the output; .*"):
        quantise(
            dataclasses.replace(graph, nodes=nodes), CALIBRATION, NORMALISATION, QuantiseConfig(), "x", told.append
        )
    assert told == []


def test_outputs_that_are_no_numbers_name_their_layer() -> None:
    with pytest.raises(ToolflowError, match=r"^'mid': its float outputs .* must be finite, not (inf|-inf|nan): "):
        quantise(network("mid", (1e300, None)), CALIBRATION, NORMALISATION, QuantiseConfig())


def test_a_residual_too_fine_beside_its_sums_is_made_coarser_and_said() -> None:
    """The sums are 1e12 times larger: no 16-bit multipliers over one shift hold both."""
    graph = network("mid2", (1e12, 0), residual=True)
    variant = quantised(graph, "fixed-point", 0)
    assert any("'stem': steps" in note and "so that 'mid2' can add" in note for note in variant.report.notes)


@pytest.mark.parametrize(("op", "bits"), [(Conv(pads=SAME), PLAIN_BIAS_BITS), (WinogradConv(2, SAME), TILE_BIAS_BITS)])
def test_a_bias_or_a_shift_beyond_the_engines_is_refused_in_a_stored_graph(op: Conv | WinogradConv, bits: int) -> None:
    """The engine's own bounds, of each kind of layer: 32 bits and no shift, or 40 bits and 15."""
    tile = 2 if isinstance(op, WinogradConv) else 0
    graph = quantised(network("mid", (1, None), residual=True), "multiplier", tile).graph
    node = graph.by_name["mid2"]
    assert isinstance(node.op, type(op))
    assert node.requantise is not None
    ones = np.ones(8, dtype=np.int64)

    def with_rule(**changes: Any) -> QuantisedGraph:
        assert node.requantise is not None
        changed = dataclasses.replace(node, requantise=dataclasses.replace(node.requantise, **changes))
        return dataclasses.replace(graph, nodes=tuple(changed if n.name == "mid2" else n for n in graph.nodes))

    for bias in ((1 << bits - 1) - 1, -(1 << bits - 1)):
        verify_quantised(with_rule(bias=ones * bias))
    verify_quantised(with_rule(residual_shift=ones * op.max_residual_shift))
    if bits == PLAIN_BIAS_BITS:
        with pytest.raises(
            ToolflowError, match="biases of 'mid2' must fit 32 signed bits, as the engine has in a conv"
        ):
            verify_quantised(with_rule(bias=ones << bits - 1))
        with pytest.raises(ToolflowError, match=r"residual of 'mid2' must be shifted by at most 0, .* not by 1"):
            verify_quantised(with_rule(residual_shift=ones))


@pytest.mark.parametrize("family", ["multiplier", "fixed-point"])
def test_a_layer_that_is_dead_on_the_calibration_images_has_steps_for_what_others_may_show(
    family: Literal["multiplier", "fixed-point"],
) -> None:
    """Sums of a thousandth would round to 0 over steps of 1: the range that the activation hides is 255 steps."""
    graph = scaled(network("stem", (1, None)), "mid", (1e-3, -5.0))
    mid = graph.by_name["mid"]
    linear = (*graph.nodes[:1], dataclasses.replace(mid, op=Conv(pads=SAME)))
    sums = float_answers(dataclasses.replace(graph, nodes=linear, output="mid"), CALIBRATION)
    assert sums.max() < 0
    hidden = (sums.max((0, 2, 3)) - sums.min((0, 2, 3))).max()
    variant = quantised(graph, family, 0)
    assert 1 <= variant.graph.types["mid"].scale * 255 / hidden * 1.001 <= 2.01
