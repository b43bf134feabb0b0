"""Networks of the shapes of ImageNet with one image in all lanes, whole and in bands of rows, against the reference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.conformance.imagenet import mobilenet_v2, resnet18, resnet50, vgg16
from toolflow.engine.config import EngineConfig
from toolflow.engine.executor import run_program
from toolflow.interpreter.run import run
from toolflow.ir.quantised import QuantisedGraph
from toolflow.numerics.confidence import ACCEPT_ALL
from toolflow.plan.lower.lower import lower
from toolflow.plan.schedule.needs import fitted
from toolflow.plan.schedule.schedule import Scheduler

ENGINE = EngineConfig(
    lanes_k=32, slots=8, drain_k=4, sub_row=16, dsp_primitive="dsp48e2", pack_k=2, chain=8, gather=False, stripes=True
)


@pytest.mark.parametrize(
    ("network", "side", "lanes_p", "share"),
    [
        (mobilenet_v2, 64, 14, 1.0),
        pytest.param(lambda side: vgg16(side, classes=10, hidden=64), 64, 7, 0.4, id="vgg16-64-7-0.4"),
        (resnet50, 64, 7, 1.0),
        (resnet18, 224, 14, 1.0),
        (resnet18, 224, 14, 0.4),
    ],
)
def test_one_image_in_all_lanes(
    network: Callable[[int], QuantisedGraph], side: int, lanes_p: int, share: float
) -> None:
    """`share` is that of the words which hold all maps that the banks have."""
    graph = network(side)
    scheduler = Scheduler(graph, ENGINE.model_copy(update={"lanes_p": lanes_p}))
    schedule = fitted(scheduler.schedule(int(share * scheduler.words)))
    assert schedule.images_of_pass == 1
    in_stripes = sum(step.out_stripes is not None for step in schedule.computes)
    assert in_stripes > 0.8 * len(schedule.computes)
    compiled = lower(schedule, ACCEPT_ALL)
    images = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    raw = run_program(compiled.config, compiled.program, compiled.weights, compiled.pack_images(images), 1)
    logits = compiled.unpack_results(raw, 1).logits
    assert len(np.unique(logits)) > 5
    np.testing.assert_array_equal(logits, run(graph, images)[graph.output].reshape(logits.shape))
