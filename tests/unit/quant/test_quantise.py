"""Quantisation: Brevitas' inference equals the integer reference, and widths and notes are as requested."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import pytest
import torch

from quant.arrangement.arrange import arrange
from quant.config import Normalisation, QuantiseConfig
from quant.exchange.extract import brevitas_integers
from quant.float_network import float_logits
from quant.post_training.equalise import equalise
from quant.quantise import Variant, make_pair, quantise
from rtl_sim.verify import ProgramExecutor, Unit, verify_level
from tests.tensors import first_difference
from tests.unit.quant.quantise_networks import (
    NETWORKS,
    NORMALISATION,
    image_network,
    images,
    residual_network,
    wide_network,
)
from toolflow.engine.config import EngineConfig
from toolflow.interpreter.run import run
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph
from toolflow.ir.unit import UnitName
from toolflow.operators import AvgPool, Conv
from toolflow.passes.pipeline import simplify
from toolflow.plan.schedule.needs import fit_depths

CALIBRATION = images(48)
HELD_OUT = images(24, seed=9)


def difference(variant: Variant) -> tuple[str, int, int] | None:
    names = list(variant.graph.shapes)
    expected = run(variant.graph, HELD_OUT, names)
    return first_difference(expected, brevitas_integers(variant.model, HELD_OUT, NORMALISATION), names)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("weight_bits", "activation_bits"), [(8, 8), (4, 4), (3, 5), (2, 2)])
@pytest.mark.parametrize("rounding", ["gptq", "nearest"])
def test_fixed_point_brevitas_equals_reference_in_every_integer_of_every_tensor(
    network: str, weight_bits: int, activation_bits: int, rounding: Literal["gptq", "nearest"]
) -> None:
    config = QuantiseConfig(
        weight_bits=weight_bits, activation_bits=activation_bits, family="fixed-point", rounding=rounding
    )
    variant = quantise(NETWORKS[network](), CALIBRATION, NORMALISATION, config)
    assert difference(variant) is None
    for kind in variant.graph.types.values():
        assert np.frexp(kind.scale)[0] == 0.5
    for node in variant.graph.nodes:
        if node.requantise is not None and not isinstance(node.op, AvgPool):
            assert not (node.requantise.multiplier & (node.requantise.multiplier - 1)).any()


def test_the_comparison_sees_one_wrong_weight() -> None:
    config = QuantiseConfig(weight_bits=4, activation_bits=4, family="fixed-point")
    variant = quantise(residual_network(), CALIBRATION, NORMALISATION, config)
    node = variant.graph.by_name["a1"]
    weight = node.weights["weight"].copy()
    weight[3, 2, 1, 1] += 1 if weight[3, 2, 1, 1] < 7 else -1
    wrong = dataclasses.replace(node, weights={"weight": weight})
    nodes = tuple(wrong if n.name == "a1" else n for n in variant.graph.nodes)
    changed = dataclasses.replace(variant, graph=dataclasses.replace(variant.graph, nodes=nodes))
    found = difference(changed)
    assert found is not None
    assert found[0] == "a1"


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("bits", [8, 4])
def test_multiplier_family_differs_from_brevitas_in_ties_only(network: str, bits: int) -> None:
    variant = quantise(
        NETWORKS[network](), CALIBRATION, NORMALISATION, QuantiseConfig(weight_bits=bits, activation_bits=bits)
    )
    names = list(variant.graph.shapes)
    expected = run(variant.graph, HELD_OUT, names)
    found = brevitas_integers(variant.model, HELD_OUT, NORMALISATION)
    differing = sum(int((expected[n] != found[n]).sum()) for n in names)
    assert differing <= 1e-3 * sum(expected[n].size for n in names)
    first = "top" if network == "image" else "stem"  # read the image alone: nothing is rounded before them
    assert np.array_equal(expected[first], found[first])


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("family", ["multiplier", "fixed-point"])
def test_eight_bits_stay_near_the_float_network(network: str, family: Literal["multiplier", "fixed-point"]) -> None:
    graph = NETWORKS[network]()
    variant = quantise(graph, CALIBRATION, NORMALISATION, QuantiseConfig(family=family))
    exact = float_logits(graph, torch.as_tensor(NORMALISATION.apply(HELD_OUT)).float()).numpy()
    output = variant.graph.output
    ours = run(variant.graph, HELD_OUT)[output] * variant.graph.types[output].scale
    limit = {"multiplier": 2e-3, "fixed-point": 1e-2}[family]
    assert ((ours - exact) ** 2).mean() < limit * exact.var()


def test_gptq_is_nearer_than_rounding_each_weight() -> None:
    errors = {}
    for rounding in ("gptq", "nearest"):
        config = QuantiseConfig(weight_bits=3, activation_bits=8, rounding=rounding)
        report = quantise(residual_network(), CALIBRATION, NORMALISATION, config).report
        errors[rounding] = report.layers[-1].relative_error
    assert errors["gptq"] < 0.7 * errors["nearest"]


def test_input_table_is_one_rounding_of_the_normalised_pixel() -> None:
    variant = quantise(residual_network(), CALIBRATION, NORMALISATION, QuantiseConfig())
    scale = variant.graph.types["image"].scale
    mean, std = np.array(NORMALISATION.mean)[:, None], np.array(NORMALISATION.std)[:, None]
    exact = (np.arange(256) / 255 - mean) / std / scale
    assert np.abs(variant.graph.input_table - exact).max() <= 0.5 + 1e-9
    assert np.abs(variant.graph.input_table).max() == 119


def test_wide_integers_fit_the_digits_of_the_narrow_multiplier() -> None:
    low = QuantiseConfig(weight_bits=4, activation_bits=4)
    pair = make_pair(residual_network(), CALIBRATION, NORMALISATION, low, QuantiseConfig())
    for variant in (pair.low, pair.high):
        for name in ("stem", "linear"):
            node = variant.graph.by_name[name]
            assert node.weight_bits == 8
            assert np.abs(node.weights["weight"]).max() <= 119
        assert variant.graph.types["image"].integer.bits == 8
        assert variant.graph.types[variant.graph.output].integer.bits == 16
    assert np.array_equal(pair.low.graph.input_table, pair.high.graph.input_table)
    assert pair.low.graph.by_name["a1"].weight_bits == 4
    assert pair.low.graph.types["a1"].integer.bits == 4
    assert QuantiseConfig(digit_bits=3).integer_range(8) == (-127, 127)
    assert QuantiseConfig(digit_bits=2).integer_range(8) == (-85, 85)
    assert QuantiseConfig(digit_bits=4).integer_range(4) == (-8, 7)
    assert QuantiseConfig(digit_bits=8).integer_range(8) == (-128, 127)


def test_overrides_name_layers() -> None:
    config = QuantiseConfig(weight_bits=4, activation_bits=4, overrides={"b1": (6, 5)})
    graph = quantise(residual_network(), CALIBRATION, NORMALISATION, config).graph
    assert graph.by_name["b1"].weight_bits == 6
    assert graph.types["b1"].integer.bits == 5
    with pytest.raises(
        ToolflowError, match=r"overrides \(--layer-bits\) must name layers of the network, not nowhere; its"
    ):
        quantise(residual_network(), CALIBRATION, NORMALISATION, QuantiseConfig(overrides={"nowhere": (4, 4)}))
    with pytest.raises(ValueError, match="bits of layer 'b1' must be 2 to 8, not \\(9, 4\\)"):
        QuantiseConfig(overrides={"b1": (9, 4)})


def test_concat_unifies_scales_and_says_what_it_inserted() -> None:
    variant = quantise(wide_network(), CALIBRATION, NORMALISATION, QuantiseConfig(weight_bits=4, activation_bits=4))
    types = variant.graph.types
    assert types["left"] == types["right"] == types["both"] == types["seen"] == types["seen.1.requantise"]
    assert types["left"].integer.signed
    assert types["image"] != types["seen"]
    assert variant.graph.by_name["left"].requantise is not None
    assert variant.graph.by_name["left"].requantise.lower == 0
    notes = "\n".join(variant.report.notes)
    assert "concat 'both': its 3 operands share one scale" in notes
    assert "concat 'seen' reads a requantised copy of the image's 'image'" in notes


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("bits", [8, 4, 3])
@pytest.mark.parametrize("sub_row", [8, 16])
def test_every_network_runs_on_an_engine_of_its_width(network: str, bits: int, sub_row: int) -> None:
    config = QuantiseConfig(weight_bits=bits, activation_bits=bits, digit_bits=bits)
    graph = quantise(simplify(NETWORKS[network]()), CALIBRATION, NORMALISATION, config).graph
    shape = EngineConfig(lanes_k=8, lanes_p=2, sub_row=sub_row, weight_bits=bits, activation_bits=bits)
    verdict = verify_level(Unit(UnitName.SINGLE, graph, fit_depths(graph, shape)), ProgramExecutor(), HELD_OUT[:4])
    assert verdict.equal, str(verdict.difference)


def test_narrow_activations_read_a_copy_of_the_image() -> None:
    notes = arrange(simplify(image_network()), narrow=True).notes
    for reader in ("conv 'same'", "max_pool 'top'", "avg_pool 'mean'", "shortcut 'small'"):
        assert f"{reader} reads a requantised copy of the image's 'image'" in notes
    assert not [note for note in arrange(simplify(image_network())).notes if "copy of the image" in note]


def test_arrange_leaves_an_output_of_its_own() -> None:
    arrangement = arrange(wide_network())
    assert arrangement.graph.output == "flat"
    assert arrangement.last == {"last"}
    assert arrangement.first == {"stem", "seen.1.requantise"}


def test_relu6_bounds_the_integers() -> None:
    graph = quantise(wide_network(), CALIBRATION, NORMALISATION, QuantiseConfig()).graph
    rule = graph.by_name["stem"].requantise
    assert rule is not None
    assert rule.upper == min(255, round(6 / graph.types["stem"].scale))


def test_equalise_changes_no_output() -> None:
    graph = residual_network()
    balanced = equalise(graph)
    x = torch.as_tensor(NORMALISATION.apply(HELD_OUT))
    assert torch.allclose(float_logits(graph, x), float_logits(balanced, x), rtol=1e-9)
    assert not np.allclose(graph.by_name["a1"].weights["weight"], balanced.by_name["a1"].weights["weight"])
    weights = [np.abs(balanced.by_name[name].weights["weight"]) for name in ("a1", "a2")]
    ratio = weights[0].max((1, 2, 3)) / weights[1].max((0, 2, 3))
    assert ratio.max() / ratio.min() < 1.01


@pytest.mark.parametrize("option", [{"ranges": "percentile"}, {"equalise": True}, {"bias_correction": False}])
def test_every_means_gives_a_network(option: dict[str, object]) -> None:
    config = QuantiseConfig.model_validate({"weight_bits": 4, "activation_bits": 4, "family": "fixed-point", **option})
    assert difference(quantise(residual_network(), CALIBRATION, NORMALISATION, config)) is None


def test_a_dead_channel_and_a_huge_one_are_quantised() -> None:
    graph = residual_network()
    weight = graph.by_name["a2"].weights["weight"].copy()
    weight[0] = 0
    weight[1] *= 1e-7
    weight[2] *= 300
    nodes = tuple(
        dataclasses.replace(n, weights={**n.weights, "weight": weight}) if n.name == "a2" else n for n in graph.nodes
    )
    for family in ("multiplier", "fixed-point"):
        config = QuantiseConfig.model_validate({"family": family})
        variant = quantise(dataclasses.replace(graph, nodes=nodes), CALIBRATION, NORMALISATION, config)
        found = difference(variant)
        assert found is None or found[1] < 1e-3 * found[2]


def test_mistakes_get_one_clear_message() -> None:
    graph = residual_network()
    with pytest.raises(ToolflowError, match=r"must be uint8 of shape \(N, 12, 12, 3\), not uint8 \(4, 8, 8, 3\)"):
        quantise(graph, images(4, size=8), NORMALISATION, QuantiseConfig())
    with pytest.raises(ToolflowError, match="must be at least 1 calibration image"):
        quantise(graph, CALIBRATION[:0], NORMALISATION, QuantiseConfig())
    with pytest.raises(ToolflowError, match="mean must have 1 or 3 values"):
        quantise(graph, CALIBRATION, Normalisation(mean=(0.1, 0.2)), QuantiseConfig())
    with pytest.raises(ValueError, match="std must not be 0"):
        Normalisation(std=(0.0,))
    with pytest.raises(ToolflowError, match="first_last_bits must be the same in both variants, not 6 and 8"):
        make_pair(graph, CALIBRATION, NORMALISATION, QuantiseConfig(first_last_bits=6), QuantiseConfig())


def test_a_conv_that_is_first_and_last_keeps_its_bits() -> None:
    stem = residual_network().nodes[0]
    graph = Graph("one", "image", (3, 12, 12), (stem,), "stem")
    variant = quantise(graph, CALIBRATION, NORMALISATION, QuantiseConfig(weight_bits=2, activation_bits=2))
    assert isinstance(variant.graph.by_name["stem"].op, Conv)
    assert variant.graph.by_name["stem"].weight_bits == 8
    assert variant.graph.types["stem"].integer.bits == 16


def test_large_maps_bound_the_calibration_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quant.quantise.MAX_TENSOR_ELEMENTS", 10 * 8 * 12 * 12)
    assert quantise(residual_network(), CALIBRATION, NORMALISATION, QuantiseConfig()).report.images == 10
