"""Brevitas' and hls4ml's verdict on stored networks: they agree, and they see a wrong reference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from quant.config import QuantiseConfig
from quant.quantise import quantise
from rtl_sim.levels.oracles import ask_oracle
from tests.unit.quant.quantise_networks import NETWORKS, NORMALISATION, images, residual_network
from toolflow.ir.errors import ToolflowError
from toolflow.ir.quantised import QuantisedGraph
from toolflow.ir.store import load_quantised, save_quantised
from toolflow.numerics.requantise import Requantise
from toolflow.operators.folders import by_kind

HELD_OUT = images(12, seed=5)
Family = Literal["multiplier", "fixed-point"]


def stored(network: str, family: Family, folder: Path) -> QuantisedGraph:
    """Quantise a network at 4 bits and read it back from its file."""
    config = QuantiseConfig(weight_bits=4, activation_bits=4, family=family)
    made = quantise(NETWORKS[network](), images(32), NORMALISATION, config)
    save_quantised(made.graph, folder / "network")
    return load_quantised(folder / "network", by_kind())


def with_rule(graph: QuantisedGraph, name: str, rule: Requantise) -> QuantisedGraph:
    nodes = tuple(replace(node, requantise=rule) if node.name == name else node for node in graph.nodes)
    return replace(graph, nodes=nodes)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("family", ["multiplier", "fixed-point"])
def test_brevitas_agrees_with_what_is_stored(network: str, family: Family, tmp_path: Path) -> None:
    verdict = ask_oracle("brevitas", stored(network, family, tmp_path), HELD_OUT, tmp_path)
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
    verdict = ask_oracle("brevitas", wrong, HELD_OUT, tmp_path)
    assert verdict.equal is False
    assert f"the first in '{node.name}'" in verdict.detail


def test_hls4ml_says_why_it_does_not_run(tmp_path: Path) -> None:
    verdict = ask_oracle("hls4ml", stored("residual", "multiplier", tmp_path), HELD_OUT, tmp_path)
    assert verdict.equal is None
    assert "--scales must be fixed-point, not multiplier" in verdict.detail


def test_unknown_oracles_are_refused(tmp_path: Path) -> None:
    graph = quantise(residual_network(), images(32), NORMALISATION, QuantiseConfig()).graph
    with pytest.raises(ToolflowError, match="must be one of brevitas, hls4ml, not 'finn'"):
        ask_oracle("finn", graph, HELD_OUT, tmp_path)
