"""Every operator's folder holds what its traits promise, in functions of the form that callers expect."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import ModuleType

import pytest

import toolflow.operators
from tests.conformance.cases import ALL_CASES
from toolflow.ir.operator import HardwareForm, Operator
from toolflow.operators.folders import by_kind, kinds, part

REFERENCE = ["node", "inputs", "types"]
HARDWARE = ["node", "source"]
SELECTION = ["op", "source"]
VALUE = ["op", "inputs", "weights"]
UNDIVIDED = ["op", "x"]
SUMS = ["op", "x", "weight"]


def functions(module: ModuleType) -> dict[str, list[str]]:
    """Return the parameters of every public function that a module defines."""
    return {
        name: list(inspect.signature(value).parameters)
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }


def found(kind: str, name: str) -> dict[str, list[str]]:
    try:
        return functions(part(kind, name))
    except ModuleNotFoundError:
        return {}


def test_every_folder_is_an_operator() -> None:
    assert len(kinds()) >= 12
    assert list(by_kind()) == list(kinds())
    assert {operator.kind: operator for operator in by_kind().values()} == by_kind()


@pytest.mark.parametrize("kind", kinds())
def test_parts_are_those_that_the_traits_promise(kind: str) -> None:
    operator = by_kind()[kind]
    assert (found(kind, "reference").get("reference") == REFERENCE) == (operator.rounds is not None)
    assert (operator.rounds is None) == (operator.hardware is HardwareForm.NONE)
    hardware = found(kind, "hardware")
    assert (hardware.get("hardware") == HARDWARE) == (operator.hardware is HardwareForm.CONVOLUTION)
    assert (hardware.get("window") == ["op"]) == (operator.hardware is HardwareForm.POOLING)
    assert (hardware.get("sampling") == ["op"]) == (operator.hardware is HardwareForm.SAMPLING)
    selects = operator.hardware in (HardwareForm.SAMPLING, HardwareForm.SELECTION)
    assert (hardware.get("selection") == SELECTION) == selects
    assert hardware.get("edges", HARDWARE) == HARDWARE
    torch_form = found(kind, "torch_form")
    assert (torch_form.get("sums") == SUMS) == operator.has_weights
    assert (torch_form.get("value") == VALUE) == (not operator.has_weights)
    assert (torch_form.get("undivided") == UNDIVIDED) == (operator.divisors is not Operator.divisors)


@pytest.mark.parametrize("kind", kinds())
def test_traits_agree_with_each_other(kind: str) -> None:
    operator = by_kind()[kind]
    assert not (operator.convolves and not operator.has_weights)
    assert not (operator.has_weights and operator.keeps_sign)
    if operator.rounds is False:
        assert operator.keeps_sign
        assert not operator.has_weights
        assert operator.hardware is not HardwareForm.CONVOLUTION


def test_every_operator_of_integer_networks_has_conformance_cases() -> None:
    built = [case.build(8, 8, 1, False)[0] for case in ALL_CASES.values()]
    covered = {node.op.kind for builder in built for node in builder.nodes}
    assert {operator.kind for operator in by_kind().values() if operator.rounds is not None} <= covered


@pytest.mark.parametrize(("folder", "defined"), [("empty", []), ("misnamed", ["other"]), ("twice", ["twice", "twice"])])
def test_a_folder_must_define_one_operator_of_its_name(
    folder: str, defined: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes = [f"class Number{i}(Operator):\n    kind = '{kind}'" for i, kind in enumerate(defined)]
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "__init__.py").touch()
    (tmp_path / folder / "spec.py").write_text("\n".join(["from toolflow.ir.operator import Operator", *classes]))
    monkeypatch.setattr(toolflow.operators, "__path__", [str(tmp_path)])
    with pytest.raises(TypeError, match=rf"{folder}\.spec must define one operator of kind '{folder}', not \["):
        by_kind()
