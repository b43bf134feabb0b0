"""Quantised graphs survive the disk; damage is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from toolflow.interpreter.run import run
from toolflow.ir.errors import ToolflowError
from toolflow.ir.store import digest, load_quantised, save_quantised
from toolflow.operators import BY_KIND
from toolflow.operators.cases import ALL_CASES


@pytest.mark.parametrize("name", ALL_CASES)
def test_round_trip(name: str, tmp_path: Path) -> None:
    """The graph that comes back has the same integers and gives the same results."""
    builder, output = ALL_CASES[name].build(8, 8, 2, False)
    graph = builder.build(output)
    save_quantised(graph, tmp_path / "high", source="abc")
    back = load_quantised(tmp_path / "high", BY_KIND)
    assert digest(back) == digest(graph)
    assert back.types == graph.types
    assert [node.op for node in back.nodes] == [node.op for node in graph.nodes]
    images = builder.images(2)
    np.testing.assert_array_equal(run(back, images)[output], run(graph, images)[output])


def test_digest_sees_one_weight(tmp_path: Path) -> None:
    """Another integer is another digest."""
    builder, output = ALL_CASES["linear/(2,1,1)->()->3"].build(8, 8, 2, False)
    graph = builder.build(output)
    before = digest(graph)
    graph.nodes[-1].weights["weight"][0, 0] += 1
    assert digest(graph) != before


@pytest.mark.parametrize("damage", ["missing", "truncated", "version"])
def test_damage_is_said(damage: str, tmp_path: Path) -> None:
    """A missing, truncated or foreign file ends in one message."""
    builder, output = ALL_CASES["linear/(2,1,1)->()->3"].build(8, 8, 2, False)
    text, data = save_quantised(builder.build(output), tmp_path / "low")
    if damage == "missing":
        data.unlink()
    elif damage == "truncated":
        data.write_bytes(data.read_bytes()[:100])
    else:
        text.write_text(text.read_text().replace('"schema_version": 1', '"schema_version": 9'))
    with pytest.raises(ToolflowError, match="build it again"):
        load_quantised(tmp_path / "low", BY_KIND)
