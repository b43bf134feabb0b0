"""Networks for images of 224 × 224: every board gets an engine, and a whole image equals the reference."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conformance.imagenet import NETWORKS
from toolflow.engine.executor import run_program
from toolflow.interpreter.run import run
from toolflow.plan.boards.board import load_board
from toolflow.plan.explore.choose import best_single, timed_engines
from toolflow.plan.lower.lower import compile_program

BOARDS = ("kv260", "zcu104", "pynq-z2", "ulx3s-85f")
RUN = {"ResNet-18": "zcu104", "ResNet-50": "ulx3s-85f", "MobileNet-v2": "pynq-z2"}


@pytest.mark.long
@pytest.mark.parametrize("name", NETWORKS)
def test_every_board_runs_it(name: str) -> None:
    graph = NETWORKS[name]()
    for board in map(load_board, BOARDS):
        chosen = best_single(timed_engines(graph, 8, {}, board, alone=True), board, name)
        compiled = compile_program(graph, chosen.config)
        assert compiled.header.map_bytes == compiled.schedule.map_bytes > 0
        if RUN.get(name) == board.name.lower():
            images = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), dtype=np.uint8)
            raw = run_program(compiled.config, compiled.program, compiled.weights, compiled.pack_images(images), 1)
            logits = compiled.unpack_results(raw, 1).logits
            assert len(np.unique(logits)) > 100
            np.testing.assert_array_equal(logits, run(graph, images)[graph.output].reshape(logits.shape))
