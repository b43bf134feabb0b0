"""Quantisation of layers in the Winograd domain, dense and sub-row-balanced."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from pydantic import ValidationError

from quant.arrangement.forms import transform_node
from quant.config import QuantiseConfig
from quant.exchange.extract import brevitas_integers
from quant.float_network import float_classes, float_logits
from quant.post_training.multipliers import multipliers
from quant.quantise import Variant, quantise
from quant.sparsity.moments import channel_major, moments, tap_major
from quant.sparsity.support import Part, choose_support, refit, round_on_support, solve_layer, with_ridge
from quant.winograd.transforms import transformed
from rtl_sim.verify import ProgramExecutor, Unit, verify_level
from tests.tensors import first_difference
from tests.unit.quant.quantise_networks import NORMALISATION, images, residual_network
from toolflow.engine.config import EngineConfig
from toolflow.interpreter.run import run
from toolflow.ir.errors import ToolflowError
from toolflow.ir.unit import UnitName
from toolflow.numerics.requantise import MAX_RESIDUAL_SHIFT
from toolflow.numerics.srbs import Pattern, obeys, shares_of
from toolflow.numerics.winograd import WINOGRAD
from toolflow.operators import Conv, WinogradConv
from toolflow.operators.winograd.torch_form import sums as winograd_sums
from toolflow.plan.schedule.needs import fit_depths

CALIBRATION = images(48)
HELD_OUT = images(24, seed=9)
TILED = {"a1", "a2", "b2"}


def made(**options: object) -> Variant:
    return quantise(residual_network(), CALIBRATION, NORMALISATION, QuantiseConfig(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize("pads", [(1, 1, 1, 1), (0, 2, 3, 1)])
def test_tiles_convolve(tile: int, pads: tuple[int, int, int, int]) -> None:
    """Against torch's own convolution; odd sizes and one-sided pads."""
    torch.manual_seed(0)
    x, weight = torch.randn(3, 7, 9, 6, dtype=torch.float64), torch.randn(5, 7, 3, 3, dtype=torch.float64)
    found = winograd_sums(WinogradConv(tile, pads), x, transformed(WINOGRAD[tile], weight))
    expected = functional.conv2d(functional.pad(x, (pads[1], pads[3], pads[0], pads[2])), weight)
    torch.testing.assert_close(found, expected)


def test_a_transformed_network_answers_as_the_plain_one() -> None:
    """In float, as after `toolflow prune`: every 3x3 layer of stride 1 by F(4,3), nothing left out."""
    plain = residual_network()
    nodes = tuple(transform_node(node, 4, None) if node.name in TILED else node for node in plain.nodes)
    graph = replace(plain, nodes=nodes)
    expected = float_classes(plain, HELD_OUT, NORMALISATION.apply)
    assert (float_classes(graph, HELD_OUT, NORMALISATION.apply) == expected).all()
    assert len(set(expected.tolist())) > 1


@pytest.mark.parametrize("pattern", [None, Pattern(2, 8)])
@pytest.mark.parametrize("bits", [8, 4])
def test_fixed_point_brevitas_equals_reference(bits: int, pattern: Pattern | None) -> None:
    """Every integer of every tensor, and the layers are those that can be transformed, all but the first."""
    variant = made(weight_bits=bits, activation_bits=bits, family="fixed-point", tile=2, pattern=pattern)
    names = list(variant.graph.shapes)
    found = brevitas_integers(variant.model, HELD_OUT, NORMALISATION)
    assert first_difference(run(variant.graph, HELD_OUT, names), found, names) is None
    assert {n.name for n in variant.graph.nodes if isinstance(n.op, WinogradConv)} == TILED


@pytest.mark.parametrize("tile", [0, 2, 4])
@pytest.mark.parametrize("pattern", [None, Pattern(3, 8), Pattern(3, 8, 2)])
def test_the_program_runs_what_was_quantised(tile: int, pattern: Pattern | None) -> None:
    """Weights obey the pattern, no output is far from the float one, and the executor gives the reference's bits."""
    variant = made(tile=tile, pattern=pattern)
    for node in variant.graph.nodes:
        if node.name in TILED and pattern is not None:
            assert isinstance(node.op, Conv | WinogradConv)
            assert node.op.pattern == pattern
            assert obeys(node.weights["weight"], pattern, shared=isinstance(node.op, WinogradConv))
    logits = run(variant.graph, HELD_OUT)[variant.graph.output] * variant.graph.types[variant.graph.output].scale
    exact = float_logits(residual_network(), torch.as_tensor(NORMALISATION.apply(HELD_OUT)).float()).numpy()
    error = np.square(logits - exact).sum() / np.square(exact - exact.mean(axis=0)).sum()
    assert error < (0.02 if pattern is None else 0.5)
    config = fit_depths(variant.graph, EngineConfig(lanes_k=8, lanes_p=2, tile=tile, drain_k=2))  # type: ignore[arg-type]
    verdict = verify_level(Unit(UnitName.SINGLE, variant.graph, config), ProgramExecutor(), HELD_OUT[:4])
    assert verdict.equal, str(verdict.difference)


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize("pattern", [None, Pattern(3, 8)])
def test_weights_wider_than_the_multipliers_run_in_digits(tile: int, pattern: Pattern | None) -> None:
    """U of 8 bits where multipliers take 4: every integer is the reference's."""
    graph = made(weight_bits=8, activation_bits=4, tile=tile, pattern=pattern).graph
    narrow = EngineConfig(lanes_k=8, lanes_p=2, weight_bits=4, activation_bits=4, tile=tile, drain_k=2)  # type: ignore[arg-type]
    verdict = verify_level(Unit(UnitName.SINGLE, graph, fit_depths(graph, narrow)), ProgramExecutor(), HELD_OUT[:4])
    assert verdict.equal, str(verdict.difference)


def test_layers_may_have_tiles_and_patterns_of_their_own() -> None:
    variant = made(tile=2, tiles={"a1": 4, "a2": 0}, pattern=Pattern(2, 4), patterns={"a1": None, "b2": Pattern(1, 8)})
    forms = {}
    for node in variant.graph.nodes:
        if node.name in TILED:
            assert isinstance(node.op, Conv | WinogradConv)
            forms[node.name] = node.op.tile if isinstance(node.op, WinogradConv) else 0, node.op.pattern
    assert forms == {"a1": (4, None), "a2": (0, Pattern(2, 4)), "b2": (2, Pattern(1, 8))}


def test_wide_layers_are_solved_a_few_channels_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four channels at once: patterns hold over whole layers, and the outputs stay near the float ones."""
    monkeypatch.setattr("quant.sparsity.support.MAX_COLUMNS", 64)
    variant = made(tile=2, pattern=Pattern(3, 4))
    for node in variant.graph.nodes:
        if node.name in TILED:
            assert obeys(node.weights["weight"], Pattern(3, 4), shared=True)
    assert max(layer.relative_error for layer in variant.report.layers) < 0.1


def test_what_cannot_be_transformed_is_refused() -> None:
    with pytest.raises(ValidationError, match="576, which is no power of two"):
        QuantiseConfig(family="fixed-point", tile=4)
    with pytest.raises(
        ToolflowError,
        match="behind the first layer can have their own tile, not b1, stem; these layers can: a1, a2, b2",
    ):
        made(tiles={"b1": 2, "stem": 2})
    with pytest.raises(ToolflowError, match=r"only .* can have their own pattern, not b1; these layers can: "):
        made(patterns={"b1": Pattern(2, 4)})
    with pytest.raises(ValidationError, match="power of two"):
        made(patterns={"a1": (2, 6)})
    with pytest.raises(ToolflowError, match=r"'a1' cannot carry the pattern 2:64: .* fewer than the 64 of a sub-row"):
        made(patterns={"a1": Pattern(2, 64)})
    with pytest.raises(ToolflowError, match=r"no layer of network can carry the pattern 2:64: a 3x3 convolution"):
        made(pattern=Pattern(2, 64))


def test_layers_that_stay_dense_are_named() -> None:
    """Those with fewer channels than a sub-row."""
    graph = residual_network()
    channels = {node.name: node.weights["weight"].shape[1] for node in graph.nodes if node.name in TILED}
    assert len(set(channels.values())) > 1
    sub_row = max(channels.values())
    variant = made(pattern=Pattern(2, sub_row))
    narrow = [name for name, count in channels.items() if count < sub_row]
    assert [note.split("'")[1] for note in variant.report.notes if "stayed dense" in note] == narrow


@pytest.mark.parametrize("about_mean", [True, False])
def test_moments_in_the_winograd_domain_are_those_of_the_outputs(about_mean: bool) -> None:
    """wᵀ C w is the variance of the layer's output, or its mean square, whichever the form of the layer."""
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(8, 6, 8, 8) + 1, torch.randn(3, 6, 3, 3, dtype=torch.float64)
    plain = Conv(pads=(1, 1, 1, 1))
    outputs = functional.conv2d(x.double(), weight, padding=1)
    by_channel = outputs.transpose(0, 1).flatten(1)
    expected = by_channel.var(1, correction=0) if about_mean else by_channel.pow(2).mean(1)
    for op, u in (
        (plain, weight),
        (WinogradConv(2, plain.pads), transformed(WINOGRAD[2], weight)),
        (WinogradConv(4, plain.pads), transformed(WINOGRAD[4], weight)),
    ):
        found = moments(op, (3, 3), x, x, generator, about_mean)
        columns = tap_major(u)
        torch.testing.assert_close(channel_major(columns, (u.shape[2], u.shape[3])), u)
        # V is held in float32: F(4,3) multiplies inputs by up to 25 before it divides by 576
        torch.testing.assert_close((columns @ found.covariance * columns).sum(1), expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize("outputs", [1, 2, 4])
def test_output_channels_that_share_places_keep_those_of_the_greatest_sum(outputs: int) -> None:
    """Of inputs that do not correlate a value's saliency is its square; 6 channels leave a last group of 2 for 4."""
    weight = torch.randn(6, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    mask = choose_support(weight, torch.eye(64, dtype=torch.float64), Pattern(2, 8, outputs), np.full((2, 2), 2))
    for k, word in np.ndindex(6, 8):
        first = k // outputs * outputs
        squares = (weight[first : first + outputs, 8 * word : 8 * word + 8] ** 2).sum(0)
        kept = mask[k, 8 * word : 8 * word + 8]
        assert kept.sum() == 2
        assert squares[kept].min() > squares[~kept].max()


def test_a_support_by_compensation_beats_magnitudes() -> None:
    """On correlated inputs: the kept values, solved again, leave less error than those of greatest magnitude."""
    torch.manual_seed(1)
    spread = torch.logspace(-1, 1, 64, dtype=torch.float64)
    mixed = torch.randn(400, 64, dtype=torch.float64) * spread + torch.randn(400, 1, dtype=torch.float64)
    hessian, weight = with_ridge(mixed.T @ mixed / 400), torch.randn(5, 64, dtype=torch.float64)
    mask = choose_support(weight, hessian, Pattern(2, 8), np.full((2, 2), 2))
    assert (mask.reshape(5, 8, 8).sum(2) == 2).all()
    largest = weight.abs().reshape(5, 8, 8).topk(2, dim=2).indices
    magnitude = torch.zeros(5, 8, 8, dtype=torch.bool).scatter(2, largest, value=True).reshape(5, 64)

    def error(support: torch.Tensor) -> float:
        off = refit(weight @ hessian, hessian, support) - weight
        return float(((off @ hessian) * off).sum())

    assert error(mask) < error(magnitude)
    solved = refit(weight @ hessian, hessian, mask)
    for k in range(5):  # least squares of one output channel at a time
        kept = mask[k]
        alone = torch.linalg.solve(hessian[kept][:, kept], (weight @ hessian)[k, kept])
        torch.testing.assert_close(solved[k, kept], alone)
    steps = torch.full_like(weight, 0.1)
    both = torch.stack([steps, 4 * steps])
    integers, coarse = round_on_support(solved, both, [(-127, 127), (-3, 2)], hessian, mask)
    torch.testing.assert_close(round_on_support(solved, both[1:], [(-3, 2)], hessian, mask)[0], coarse)
    assert (coarse.min(), coarse.max()) == (-3, 2)
    assert (integers[~mask] == 0).all()

    def rounding(values: torch.Tensor) -> float:
        off = values * 0.1 - solved
        return float(((off @ hessian) * off).sum())

    assert rounding(integers) < rounding(torch.round(solved / 0.1))


def _solved(op: WinogradConv, x: torch.Tensor, kernel: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Return U solved on x, and the energy of its outputs' error over that of the outputs."""
    weight = transformed(WINOGRAD[op.tile], kernel)
    parts = solve_layer(op, weight, x, x, torch.Generator().manual_seed(0))
    taps = weight.shape[2], weight.shape[3]
    solved = torch.cat([channel_major(part.weight, taps) for part in parts], 1)
    wanted = functional.conv2d(x.double(), kernel, padding=1)
    off = winograd_sums(op, x.double(), solved) - wanted
    return solved, float(off.pow(2).sum() / wanted.pow(2).sum())


@pytest.mark.parametrize("channels", [16, 24, 32])
@pytest.mark.parametrize("at_once", [16 * 16, 16 * 64])
def test_taps_share_in_every_part(channels: int, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer that is solved a few channels at a time has the same shares everywhere, n on average."""
    monkeypatch.setattr("quant.sparsity.support.MAX_COLUMNS", at_once)
    torch.manual_seed(2)
    smooth = functional.avg_pool2d(torch.randn(40, channels, 14, 14), 3, 1).float()  # as maps are: low taps matter more
    kernel = torch.randn(6, channels, 3, 3, dtype=torch.float64)
    solved, error = _solved(WinogradConv(2, (1, 1, 1, 1), Pattern(2, 8)), smooth, kernel)
    shares = shares_of(solved.numpy(), 8)
    assert shares.mean() == 2
    assert shares[1, 1] == shares.max() > 3
    assert shares.min() == 1
    assert obeys(solved.numpy(), Pattern(2, 8), shared=True)
    monkeypatch.setattr(
        "quant.sparsity.support.share_taps", lambda worth, pattern: np.full(worth.shape[1:], pattern.kept)
    )
    alike, worse = _solved(WinogradConv(2, (1, 1, 1, 1), Pattern(2, 8)), smooth, kernel)
    assert (shares_of(alike.numpy(), 8) == 2).all()
    assert error < 0.7 * worse


def test_saliencies_are_what_removals_cost() -> None:
    """Against least squares solved again without each value, all of them and those of a support."""
    torch.manual_seed(3)
    mixed = torch.randn(60, 12, dtype=torch.float64) + torch.randn(60, 1, dtype=torch.float64)
    hessian, dense = with_ridge(mixed.T @ mixed / 60), torch.randn(3, 12, dtype=torch.float64)
    part = Part(dense @ hessian, hessian, dense)
    support = torch.rand(3, 12).topk(7, dim=1).indices
    mask = torch.zeros(3, 12, dtype=torch.bool).scatter(1, support, value=True)

    def error(kept: torch.Tensor) -> torch.Tensor:
        off = refit(part.wanted, hessian, kept) - dense
        return ((off @ hessian) * off).sum(1)

    for before in (torch.ones_like(mask), mask):
        found = part.saliency(None if before.all() else before)
        assert (found[~before] == 0).all()
        for k, f in before.nonzero().tolist():
            without = before[k : k + 1].clone()
            without[0, f] = False
            alone = refit(part.wanted[k : k + 1], hessian, without) - dense[k : k + 1]
            cost = ((alone @ hessian) * alone).sum() - error(before)[k]
            torch.testing.assert_close(found[k, f], cost)


@pytest.mark.parametrize("residual", [0.01, 1.0, 900.0])
def test_a_shifted_residual_keeps_both_ratios(residual: float) -> None:
    """A millionth beside one: 16 bits of both; without the shift the small one would be nothing."""
    ratio = np.array([3e-6, 1.7e-5, 2e-4])
    found = multipliers("conv", ratio, residual, MAX_RESIDUAL_SHIFT)
    assert found.residual is not None
    assert found.residual_shift is not None
    multiplier, shift, factor, left = found.multiplier, found.shift, found.residual, found.residual_shift
    np.testing.assert_allclose(
        multiplier / 2.0**shift, ratio, rtol={0.01: 2.0**-15, 1.0: 2.0**-12, 900.0: 0.1}[residual]
    )
    np.testing.assert_allclose(factor * 2.0**left / 2.0**shift, residual, rtol=2.0**-14)
    assert left.max() <= 15
    with pytest.raises(ToolflowError, match=r"'conv': a step of output channel 0's sums .* its residual 900;"):
        multipliers("conv", ratio, 900.0)
