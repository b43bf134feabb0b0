"""The cost of layer options, against networks that are quantised in this form."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from quant.arrangement.arrange import arrange
from quant.config import QuantiseConfig
from quant.quantise import quantise
from quant.search.prices import BitOperations, Multiplications, Target, cycles
from quant.search.sensitivity import Option, Space, fullness, measure
from quant.search.stand_in import as_full
from tests.unit.quant.quantise_networks import NORMALISATION, Builder, images, residual_network
from toolflow.numerics.srbs import Pattern, fullest, obeys, project, share_taps, worth_of
from toolflow.operators import Activation, AvgPool, Conv, Flatten
from toolflow.plan.boards.board import load_board
from toolflow.plan.explore.estimate import estimate, layer_cycles

BOARD, CALIBRATION = load_board("pynq-z2"), images(48)


def test_operations_are_counted() -> None:
    option = Option(2, None, 5, 100, {8: 11, 4: 6}, 0.0)
    assert Multiplications().of("p", option, 4) == (100,)
    assert BitOperations().of("p", option, 4) == (100 * 5 * 6,)
    assert BitOperations().of("p", option, 8) == (100 * 5 * 11,)


def test_options_cost_the_cycles_of_networks_in_their_form() -> None:
    """Against networks quantised in each form, layer by layer; patterns save cycles where the array bounds them."""
    graph, plain = residual_network(), QuantiseConfig()
    space = Space((0, 2, 4), (None, Pattern(1, 4)), (8, 4), (8,))
    arrangement = arrange(graph)
    x = torch.as_tensor(NORMALISATION.apply(CALIBRATION[:8])).float()
    with torch.no_grad():
        found = measure(arrangement, x, plain, space)
    base = quantise(graph, CALIBRATION[:8], NORMALISATION, plain).graph
    shape: dict[str, int | str] = {"lanes_k": 4, "lanes_p": 1, "slots": 1, "sub_row": 8, "drain_k": 4}
    fixed = shape | {"tile": 4, "transform_cycles": 1, "gather": True}
    engines = cycles(found, arrangement, base, plain, Target(BOARD, 8, fixed))
    assert len(engines) == 1
    engine = engines[0].engine
    assert engine is not None
    seen = set()
    for tile, pattern, bits in itertools.product(space.tiles, space.patterns, space.weight_bits):
        config = QuantiseConfig(tile=tile, pattern=pattern, weight_bits=bits, activation_bits=8)  # type: ignore[arg-type]
        made = layer_cycles(quantise(graph, CALIBRATION[:8], NORMALISATION, config).graph, engine, BOARD)
        assert made is not None
        for name, options in found.layers.items():
            for option in options:
                if (option.tile, option.pattern, option.weight_bits) in ((tile, pattern, bits), (None, None, bits)):
                    counted, moved = engines[0].of(name, option, 8)
                    assert counted == pytest.approx(made.engine[name], rel=0.01)
                    assert moved == pytest.approx(made.memory[name], rel=0.01)
                    seen.add((name, tile, pattern, counted))
        others = sum(n for name, n in made.engine.items() if name not in found.layers)
        assert engines[0].rest[0] == pytest.approx(made.engine_rest + others, rel=0.01)
    by = {(tile, pattern): count for name, tile, pattern, count in seen if name == "a2"}
    assert by[0, Pattern(1, 4)] < 0.5 * by[0, None]
    assert by[2, Pattern(1, 4)] < 0.5 * by[2, None] < 0.5 * by[0, None]


@pytest.mark.parametrize("pattern", [Pattern(8, 16), Pattern(6, 16), Pattern(4, 16), Pattern(3, 8, 2), Pattern(2, 4)])
def test_patterns_cost_what_their_fullest_words_take(pattern: Pattern) -> None:
    """On engines of other words than the sub-rows: against networks with the support that was solved for."""
    b = Builder(3)
    x = b.conv("stem", "image", (32, 3, 3, 3), Conv(activation=Activation.RELU, pads=(1, 1, 1, 1)))
    x = b.conv("a", x, (12, 32, 3, 3), Conv(activation=Activation.RELU, pads=(1, 1, 1, 1)))
    x = b.node("pool", AvgPool((12, 12), (12, 12)), x)
    graph = b.graph(b.linear("linear", b.node("flat", Flatten(), x), (5, 12)))
    arrangement, plain = arrange(graph), QuantiseConfig()
    x_float = torch.as_tensor(NORMALISATION.apply(CALIBRATION)).float()
    with torch.no_grad():
        found = measure(arrangement, x_float, plain, Space((0, 2), (pattern,), (8,), (8,)))
    base = quantise(graph, CALIBRATION, NORMALISATION, plain).graph
    for sub_row in (8, 16):
        fixed: dict[str, int | str] = {"lanes_k": 4, "lanes_p": 1, "slots": 1, "sub_row": sub_row, "drain_k": 4}
        target = Target(load_board("zcu104"), 8, fixed | {"tile": 2, "transform_cycles": 1})
        (prices,) = cycles(found, arrangement, base, plain, target)
        assert prices.engine is not None
        for option in found.layers["a"]:
            config = QuantiseConfig(tile=option.tile or 0, pattern=pattern)  # type: ignore[arg-type]
            made = quantise(graph, CALIBRATION, NORMALISATION, config).graph
            real = estimate(made, prices.engine, 1)[1]
            counted = next(i.cycles for i in real.instructions if i.name == "a")
            # the support that was measured alone is not quite the whole network's: a tap's fullest word may differ
            assert prices.of("a", option, 8)[0] == pytest.approx(counted, rel=0.1)


@pytest.mark.parametrize(
    "pattern", [Pattern(8, 16), Pattern(5, 16), Pattern(2, 8, 2), Pattern(3, 4), Pattern(9, 32, 4)]
)
@pytest.mark.parametrize("channels", [16, 32, 40, 52])
def test_a_stand_in_is_as_full_as_what_it_stands_for(pattern: Pattern, channels: int) -> None:
    """With random supports, words of 8 and of 16 channels hold no more values than in the pattern."""
    rng = np.random.default_rng(channels)
    for outputs, shared in itertools.product((4, 30), (False, True)):
        saliency = rng.random((outputs, channels, 3, 3)) * (rng.random((3, 3)) if shared else 1)
        shares = share_taps(worth_of(saliency, pattern.sub_row), pattern) if shared else None
        support = project(saliency, pattern, shares)
        option = Option(2 if shared else 0, None, 8, 1, {8: 8}, 0.0, *fullness(support, pattern))
        made = as_full(support.shape, pattern, option)
        assert obeys(made, pattern, shared)
        np.testing.assert_array_equal(fullest(made, 8, pattern.outputs), fullest(support, 8))
        if outputs == 30 and pattern.sub_row == 16:
            np.testing.assert_array_equal(fullest(made, 16), fullest(support, 16))
