"""The standard's own examples: whatever imports gives the expected output."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.oracles.onnx_nodes import examples, outcome
from toolflow.importers.onnx import importer
from toolflow.importers.onnx.call import Call
from toolflow.importers.onnx.operators import OPERATORS

# operators without an example that is a network of one image: the examples are vectors, or two of them
NONE = frozenset(
    {"Div", "Max", "Mean", "Min", "Mul", "PRelu", "Pad", "ReduceMax", "ReduceMean", "Shape", "Sigmoid", "Sum"}
)


def test_every_example_that_imports_is_right(tmp_path: Path) -> None:
    found = [(example, outcome(example, tmp_path)) for example in examples(OPERATORS)]
    assert {example.name: each.reason for example, each in found if each.imports and each.reason} == {}
    taken = {example.operator for example, each in found if each.imports}
    assert {example.operator for example, _ in found} - taken <= NONE
    assert sum(each.imports for _, each in found) >= 156


@pytest.mark.parametrize(("operator", "other"), [("LeakyRelu", "Relu"), ("Concat", "Identity"), ("Neg", "Abs")])
def test_a_wrong_handler_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operator: str, other: str) -> None:
    def wrong(call: Call) -> object:
        call.attributes.clear()
        for index in [*call.inputs][1:]:
            del call.inputs[index]
        return OPERATORS[other](call)

    monkeypatch.setattr(importer, "OPERATORS", {**OPERATORS, operator: wrong})
    found = [outcome(example, tmp_path) for example in examples({operator})]
    assert any(each.imports and each.reason for each in found)
