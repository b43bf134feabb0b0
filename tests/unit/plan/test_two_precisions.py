"""Two networks on one engine with two precisions: depths for both, and pairs that cannot share an engine."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conformance.casebook import SAME, NetworkBuilder, finish
from toolflow.engine.config import EngineConfig
from toolflow.engine.cycles import predict
from toolflow.engine.executor import run_program
from toolflow.interpreter.run import run
from toolflow.ir.errors import DoesNotFitError, ToolflowError
from toolflow.ir.quantised import QuantisedGraph
from toolflow.plan.lower.lower import compile_program
from toolflow.plan.schedule.needs import fit_depths
from toolflow.plan.schedule.two_precisions import fit_both

ENGINE = EngineConfig(
    lanes_k=8, lanes_p=4, slots=4, narrow_bits=4, dsp_primitive="dsp48e2", pack_k=2, chain=4, gather=False
)
IMAGE = (3, 6, 6)


def network(bits: int, shape: tuple[int, int, int] = IMAGE, channels: int = 12, classes: int = 5) -> QuantisedGraph:
    b = NetworkBuilder(shape, bits, bits, 8, bits, False)
    stem = b.conv("stem", "image", channels, pads=SAME)
    builder, output = finish(b, b.conv("next", stem, channels, pads=SAME, residual=stem), classes)
    return builder.build(output)


def test_one_engine_holds_both_networks() -> None:
    wide, narrow = network(8, channels=24), network(4)
    engine = fit_both(wide, narrow, ENGINE)
    images = np.random.default_rng(1).integers(0, 256, (5, 6, 6, 3), dtype=np.uint8)
    passes = []
    for graph, seen in zip((wide, narrow), engine.precisions, strict=True):
        compiled = compile_program(graph, seen)
        raw = run_program(engine, compiled.program, compiled.weights, compiled.pack_images(images), len(images))
        np.testing.assert_array_equal(compiled.unpack_results(raw, 5).logits, run(graph, images)[graph.output])
        passes.append(predict(seen, compiled.schedule.steps, 5).passes)
    assert passes == [3, 2]
    alone = [fit_depths(graph, seen) for graph, seen in zip((wide, narrow), ENGINE.precisions, strict=True)]
    for name in ("weight_depth", "bank_depth", "accumulator_bits", "bias_bits", "result_depth"):
        assert getattr(engine, name) == max(getattr(each, name) for each in alone)
    assert alone[0].bank_depth != alone[1].bank_depth


def test_a_layer_costs_the_same_in_both_precisions_if_no_value_is_wider() -> None:
    """So twice the images a pass are twice the speed; the first and last layers of 8 bits run in digits."""
    cycles = []
    for graph, seen in zip((network(8), network(4)), fit_both(network(8), network(4), ENGINE).precisions, strict=True):
        report = predict(seen, compile_program(graph, seen).schedule.steps, seen.lanes_p)
        cycles.append({one.name: one.cycles for one in report.instructions})
    assert cycles[0]["next"] == cycles[1]["next"]
    assert cycles[0]["stem"] < cycles[1]["stem"]


@pytest.mark.parametrize(
    ("narrow", "message"),
    [
        (
            network(4, shape=(3, 5, 6)),
            "the two networks of an engine with two precisions must read images of one shape, not 3x6x6 ('case-8', "
            "single) and 3x5x6 ('case-4', single): quantise both from one network, or give each its own engine",
        ),
        (
            network(4, classes=7),
            "the two networks of an engine with two precisions must have results of one shape, not 5 ('case-8', "
            "single) and 7 ('case-4', single): quantise both from one network, or give each its own engine",
        ),
    ],
)
def test_networks_that_differ_are_refused(narrow: QuantisedGraph, message: str) -> None:
    with pytest.raises(ToolflowError) as error:
        fit_both(network(8), narrow, ENGINE)
    assert str(error.value) == message


def test_a_network_too_wide_for_narrow_programs_is_refused() -> None:
    with pytest.raises(DoesNotFitError, match=r"holds at most 4 bits there: .* or run it as a wide program"):
        fit_both(network(8), network(8), ENGINE)
    with pytest.raises(ToolflowError, match="needs an engine with two precisions"):
        fit_both(network(8), network(4), EngineConfig())


def test_a_schedule_is_of_one_precision() -> None:
    with pytest.raises(ValueError, match=r"must be given as its programs see it: config\.of\(narrow\)"):
        compile_program(network(8), ENGINE)
