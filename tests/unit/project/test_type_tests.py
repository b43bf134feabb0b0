"""Only operators, importers and passes test an operator's type; all other code uses traits."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolflow.operators.folders import kinds

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("toolflow", "quant", "rtl_sim")
MAY_ASK = ("toolflow/operators", "toolflow/importers", "toolflow/passes")
LIMIT = 10  # lower it with every test that goes


def operator_classes() -> set[str]:
    """Return the names of the specifications, and of the base class."""
    files = (ROOT / "toolflow/operators").glob("*/spec.py")
    found = {node.name for file in files for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef)}
    assert len(found) >= 12
    return found | {"Operator", "Layer"}


def sources() -> dict[str, ast.Module]:
    """Return every module that is counted, by its path."""
    found = {}
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            place = file.relative_to(ROOT).as_posix()
            if not place.startswith(MAY_ASK):
                found[place] = ast.parse(file.read_text())
    return found


def names_of(tree: ast.Module, classes: set[str]) -> set[str]:
    """Return the names that stand for classes of operators in a module: imported, or assigned from such names."""
    names = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name in classes
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple | ast.BinOp) and only(node.value, names):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def only(node: ast.AST, names: set[str]) -> bool:
    """Return whether an expression consists of names, all of them in `names`."""
    found = [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]
    return bool(found) and set(found) <= names


def mentions(node: ast.AST | None, names: set[str]) -> bool:
    return node is not None and any(isinstance(part, ast.Name) and part.id in names for part in ast.walk(node))


def is_call_of(node: ast.AST, *functions: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in functions


def is_kind(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "kind"


def names_kind(node: ast.AST) -> bool:
    return any(isinstance(part, ast.Constant) and part.value in kinds() for part in ast.walk(node))


def type_tests(tree: ast.Module, names: set[str]) -> Iterator[int]:
    """Yield the line of every test for an operator's type, and of every table that is keyed by types."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(args=[_, kinds]) if is_call_of(node, "isinstance", "issubclass"):
                found = mentions(kinds, names)
            case ast.MatchClass():
                found = mentions(node.cls, names)
            case ast.Compare():
                sides = (node.left, *node.comparators)
                found = any(is_call_of(side, "type") for side in sides) and any(mentions(s, names) for s in sides)
                found |= any(is_kind(side) for side in sides) and any(names_kind(side) for side in sides)
            case ast.Dict():
                found = any(mentions(key, names) for key in node.keys)
            case ast.Subscript():
                found = is_call_of(node.slice, "type")
            case _:
                found = False
        if found:
            yield node.lineno  # type: ignore[attr-defined]


def counted(trees: dict[str, ast.Module]) -> list[str]:
    """Return "file:line" of every type test; a tuple of types has its name in every module that imports it."""
    names = operator_classes()
    for _ in range(2):
        names |= set().union(*(names_of(tree, names) for tree in trees.values()))
    return [f"{place}:{line}" for place, tree in trees.items() for line in type_tests(tree, names_of(tree, names))]


def test_few_type_tests() -> None:
    found = counted(sources())
    assert len(found) <= LIMIT, "\n".join(found)


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("from toolflow.operators import Conv, Linear\nisinstance(op, Conv | Linear)", [2]),
        ("from toolflow.operators import Layer as Weighted\nnot isinstance(op, Weighted)", [2]),
        ("from toolflow.operators import Add, Pad\nKINDS = (Add, Pad)\nisinstance(op, KINDS)", [3]),
        ("from toolflow.operators import Conv\ntype(op) is Conv\nFORMS = {Conv: 1}\nFORMS[type(op)]", [2, 3, 4]),
        ("op.kind == 'conv'\nop.kind in ('pad', 'add')\nop.kind == other.kind\nfault.kind == 'weight'", [1, 2]),
        ("from toolflow.operators import Pad\nmatch op:\n    case Pad(pads):\n        pass", [3]),
        ("from toolflow.operators import Conv\nisinstance(op, int)\nConv(groups=4)\n{1: Conv}", []),
    ],
)
def test_what_is_counted(source: str, lines: list[int]) -> None:
    assert counted({"example.py": ast.parse(source)}) == [f"example.py:{line}" for line in lines]
