"""A new operator is one folder and a line in each importer: networks of two run on every level (CONTRIBUTING.md)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch import nn

from quant.config import Normalisation, QuantiseConfig
from quant.exchange.extract import brevitas_integers
from quant.float_network import model_output
from quant.quantise import Variant, quantise
from rtl_sim.levels import find_levels
from tests.tensors import first_difference
from tests.toy_operator import add_to_toolflow
from tests.unit.importers.import_tools import onnx_model, random_array, run_onnx, saved
from toolflow.flow import Precision, Request, Source, Units, build, verify
from toolflow.importers.load import load_model
from toolflow.importers.onnx import operators as onnx_operators
from toolflow.importers.pytorch import operators as pytorch_operators
from toolflow.importers.pytorch.importer import import_module
from toolflow.interpreter.run import run
from toolflow.ir.graph import Graph
from toolflow.ir.store import load_quantised, save_quantised
from toolflow.operators.folders import by_kind
from toolflow.passes.check import Status, check
from toolflow.passes.pipeline import simplify

SHAPE = (3, 8, 6)
IMAGES = np.random.default_rng(3).integers(0, 256, (12, 8, 6, 3), dtype=np.uint8)
NORMALISATION = Normalisation(mean=(0.5,) * 3, std=(0.25,) * 3)
SIMULATED = ["cosim", "rtl"]
QUICK = [name for name, level in find_levels().items() if level.selectable and name not in SIMULATED]
PACKAGES = ("toolflow", "quant", "rtl_sim")
MOST_FILES = 4
ENGINE = {"lanes_k": 4, "lanes_p": 2, "slots": 1}


class Network(nn.Module):
    """A network whose rectifier after `blocks` must move before it, to the convolution."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.second = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(20, 6, 1)
        self.blocks, self.last = nn.PixelUnshuffle(2), nn.Linear(72, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.blocks(self.first(x)))
        x = -torch.relu(self.second(x))
        out: torch.Tensor = self.last(torch.flatten(x, 1))
        return out


def onnx_network() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("SpaceToDepth", ["a"], ["b"], "blocks", blocksize=2),
        helper.make_node("Relu", ["b"], ["c"], "relu"),
        helper.make_node("Conv", ["c", "w2"], ["d"], "second"),
        helper.make_node("Neg", ["d"], ["n"], "negate"),
        helper.make_node("Flatten", ["n"], ["e"], "flat"),
        helper.make_node("Gemm", ["e", "w3"], ["y"], "last"),
    ]
    weights = {"w1": (5, 3, 3, 3), "w2": (6, 20, 1, 1), "w3": (72, 4)}
    return onnx_model(
        nodes, {n: random_array(*shape, seed=len(shape)) / 4 for n, shape in weights.items()}, ("N", *SHAPE)
    )


def _tables() -> dict[int, dict[object, int]]:
    """Return the keys and values of every table in a module of the toolflow, each by its identity."""
    modules = [module for name, module in list(sys.modules.items()) if name.split(".")[0] in PACKAGES]
    values = [value for module in modules for value in vars(module).values() if isinstance(value, dict)]
    return {id(value): {key: id(entry) for key, entry in value.items()} for value in values}


@pytest.fixture(scope="module", autouse=True)
def changed_tables() -> Iterator[set[int]]:
    """Add the operators to the toolflow, and yield the identities of the tables that changed."""
    before = _tables()
    with pytest.MonkeyPatch.context() as patch:
        add_to_toolflow(patch)
        after = _tables()
        yield {table for table, entries in before.items() if after[table] != entries}


@pytest.fixture(scope="module", params=["pytorch", "onnx"])
def imported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """The imported network. Its outputs equal those of the framework that it comes from."""
    x = random_array(2, *SHAPE)
    if request.param == "pytorch":
        module = Network().eval()
        graph, wanted = import_module(module, SHAPE), module(torch.from_numpy(x)).detach().numpy()
    else:
        model = onnx_network()
        graph, wanted = load_model(str(saved(model, tmp_path_factory.mktemp("onnx")))), run_onnx(model, x)
    np.testing.assert_allclose(model_output(graph, torch.from_numpy(x)).numpy(), wanted, rtol=1e-4, atol=1e-4)
    return graph


@pytest.fixture(scope="module")
def variant(imported: Graph) -> Variant:
    """The network in integers."""
    return quantise(simplify(imported), IMAGES, NORMALISATION, QuantiseConfig(family="fixed-point"))


def test_every_node_runs_on_the_engine(imported: Graph) -> None:
    reports = {report.operator: report for report in check(imported)}
    assert reports["space_to_depth"].status is reports["negate"].status is Status.ENGINE
    assert Status.IMPORTS_ONLY not in {report.status for report in reports.values()}
    kinds = [node.op.kind for node in simplify(imported).nodes]
    assert kinds == ["conv", "space_to_depth", "conv", "negate", "flatten", "linear"]


def test_brevitas_and_the_stored_graph_answer_as_the_reference(variant: Variant, tmp_path: Path) -> None:
    names = list(variant.graph.shapes)
    expected = run(variant.graph, IMAGES, names)
    assert first_difference(expected, brevitas_integers(variant.model, IMAGES, NORMALISATION), names) is None
    save_quantised(variant.graph, tmp_path / "graph")
    stored = run(load_quantised(tmp_path / "graph", by_kind()), IMAGES, names)
    assert first_difference(expected, stored, names) is None


def test_outside_its_folder_an_operator_touches_at_most_four_files(changed_tables: set[int]) -> None:
    """Each table is in one file, and the conformance cases are in one more."""
    assert changed_tables == {id(pytorch_operators.OPERATORS), id(onnx_operators.OPERATORS)}
    assert len(changed_tables) + 1 <= MOST_FILES


@pytest.fixture
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    """A file of the network, and of random labelled images."""
    images, every = tmp_path / "images.npz", np.random.default_rng(4).integers(0, 256, (40, 8, 6, 3), dtype=np.uint8)
    np.savez(images, x=every, y=np.arange(len(every)) % 4, mean=NORMALISATION.mean, std=NORMALISATION.std)
    if request.param == "onnx":
        return Source(str(saved(onnx_network(), tmp_path)), images)
    return Source(f"{__name__}:Network", images, input_shape=SHAPE)


@pytest.mark.parametrize(
    ("source", "levels"),
    [("onnx", ["brevitas", "program"]), ("pytorch", QUICK), *(("pytorch", [level]) for level in SIMULATED)],
    indirect=["source"],
)
def test_a_project_is_equal_on_every_level(source: Source, levels: list[str], tmp_path: Path) -> None:
    """Levels that need a simulator have their own test because building it takes long."""
    precision = Precision(scales="fixed-point")
    build(Request(source, precision, "ulx3s-85f", ENGINE, units=Units.SINGLE), tmp_path / "project")
    found = verify(tmp_path / "project", levels, images=4)
    equal = {name: True if name != "hls4ml" else None for name, level in find_levels().items() if level.runs(levels)}
    assert {check.level: check.equal for check in found.checks} == equal, found.checks
    assert not found.not_run
