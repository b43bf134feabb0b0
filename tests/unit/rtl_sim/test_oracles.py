"""Brevitas and hls4ml judge stored networks: they agree with the reference and detect a wrong one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from quant.config import QuantiseConfig
from quant.quantise import quantise
from rtl_sim.binaries import Binaries
from rtl_sim.level import Subject, Verdict
from rtl_sim.levels import find_levels
from rtl_sim.simulate.job import RunOptions
from rtl_sim.verify import Unit
from tests.unit.quant.quantise_networks import NETWORKS, NORMALISATION, images
from toolflow.engine.config import EngineConfig
from toolflow.ir.quantised import QuantisedGraph
from toolflow.ir.store import load_quantised, save_quantised
from toolflow.ir.unit import UnitName
from toolflow.numerics.requantise import Requantise
from toolflow.operators.folders import by_kind
from toolflow.plan.boards.board import load_board

HELD_OUT = images(12, seed=5)
Family = Literal["multiplier", "fixed-point"]


def stored(network: str, family: Family, folder: Path) -> QuantisedGraph:
    """Quantise a network at 4 bits and read it back from its file."""
    config = QuantiseConfig(weight_bits=4, activation_bits=4, family=family)
    made = quantise(NETWORKS[network](), images(32), NORMALISATION, config)
    save_quantised(made.graph, folder / "network")
    return load_quantised(folder / "network", by_kind())


def ask(oracle: str, graph: QuantisedGraph, work: Path) -> Verdict:
    """Return a level's verdict on the reference. The level reads neither the engine nor the binaries."""
    unit = Unit(UnitName.SINGLE, graph, EngineConfig())
    nothing = Binaries(b"", b"")
    subject = Subject(work, unit, load_board("zcu104"), nothing, HELD_OUT, work, RunOptions(), print)
    return find_levels()[oracle].check(subject)


def with_rule(graph: QuantisedGraph, name: str, rule: Requantise) -> QuantisedGraph:
    nodes = tuple(replace(node, requantise=rule) if node.name == name else node for node in graph.nodes)
    return replace(graph, nodes=nodes)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("family", ["multiplier", "fixed-point"])
def test_brevitas_agrees_with_what_is_stored(network: str, family: Family, tmp_path: Path) -> None:
    verdict = ask("brevitas", stored(network, family, tmp_path), tmp_path)
    assert verdict.equal, verdict.detail
    assert family == "multiplier" or not verdict.detail


@pytest.mark.parametrize("family", ["multiplier", "fixed-point"])
def test_brevitas_sees_a_wrong_residual(family: Family, tmp_path: Path) -> None:
    graph = stored("residual", family, tmp_path)
    node = next(n for n in graph.nodes if n.requantise is not None and n.requantise.residual_multiplier is not None)
    assert node.requantise is not None
    assert node.requantise.residual_multiplier is not None
    halved = replace(node.requantise, residual_multiplier=node.requantise.residual_multiplier // 2)
    wrong = with_rule(graph, node.name, halved)
    verdict = ask("brevitas", wrong, tmp_path)
    assert verdict.equal is False
    assert f"the first in '{node.name}'" in verdict.detail


def test_hls4ml_says_why_it_does_not_run(tmp_path: Path) -> None:
    verdict = ask("hls4ml", stored("residual", "multiplier", tmp_path), tmp_path)
    assert verdict.equal is None
    assert "--scales must be fixed-point, not multiplier" in verdict.detail
