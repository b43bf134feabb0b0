"""The network's shapes before quantisation need the same memory as the quantised network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from quant.config import Normalisation, QuantiseConfig
from quant.post_training.outline import outline
from quant.quantise import quantise
from toolflow.engine.config import EngineConfig
from toolflow.flow.stages.plan import require_room_for_one
from toolflow.importers.load import load_model
from toolflow.ir.errors import DoesNotFitError
from toolflow.ir.graph import Graph
from toolflow.ir.unit import VariantName
from toolflow.passes.pipeline import simplify
from toolflow.plan.boards.board import load_board
from toolflow.plan.schedule.needs import fit_depths

MODEL = """
import torch
from torch import nn


class Branches(nn.Module):
    input_shape = (3, {height}, {width})

    def __init__(self):
        super().__init__()
        self.stem, self.a = nn.Conv2d(3, 12, 3, padding=1), nn.Conv2d(12, 12, 3, padding=1)
        self.b, self.fc = nn.Conv2d(24, 8, 3, stride=2), nn.Linear(8, 5)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        x = torch.cat([torch.relu(x + self.a(x)), x], 1)
        return self.fc(torch.relu(self.b(nn.functional.max_pool2d(x, 2))).mean((2, 3)))
"""


def branches(folder: Path, height: int, width: int) -> Graph:
    """Return a network with residual, concat, pooling and strides, which the memory map must place."""
    torch.manual_seed(0)
    (folder / "model.py").write_text(MODEL.format(height=height, width=width))
    return simplify(load_model(f"{folder / 'model.py'}:Branches", None, None))


@pytest.mark.parametrize("sub_row", [4, 8])
def test_depths_are_those_of_the_quantised_network(tmp_path: Path, sub_row: int) -> None:
    graph = branches(tmp_path, 14, 14)
    images = np.random.default_rng(0).integers(0, 256, (16, 14, 14, 3), dtype=np.uint8)
    made = quantise(graph, images, Normalisation(), QuantiseConfig(rounding="nearest"), "high").graph
    shape = EngineConfig(lanes_k=8, lanes_p=1, sub_row=sub_row)
    found, wanted = (fit_depths(each, shape) for each in (outline(graph, 8), made))
    depths = ("bank_depth", "weight_depth", "result_depth", "input_lanes", "table_words")
    assert {name: getattr(found, name) for name in depths} == {name: getattr(wanted, name) for name in depths}
    assert found.accumulator_bits <= wanted.accumulator_bits


def test_a_board_needs_room_for_one_of_the_variants(tmp_path: Path) -> None:
    """The row that a layer reads and the one that it writes take 65,536 words, which the URAM of a KV260 holds."""
    graph = branches(tmp_path, 64, 32_768)
    require_room_for_one(graph, load_board("kv260"), {VariantName.HIGH: 4}, {}, dense=True)
    with pytest.raises(DoesNotFitError, match=r"^the network at 8 bits does not fit PYNQ-Z2: "):
        require_room_for_one(graph, load_board("pynq-z2"), {VariantName.LOW: 4, VariantName.HIGH: 8}, {}, dense=True)
