"""The source tree: imports go one way, files stay small, and nothing is unfinished."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import grimp
import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
PACKAGES = ("toolflow", "quant", "rtl_sim", "hls_templates", "boards")
SUFFIXES = {".py", ".sv", ".svh", ".v", ".hpp", ".cpp", ".j2", ".tcl"}
LONGEST_FILE_LINES = 500
LONGEST_COMMAND_LINES = 80  # options apart
UNFINISHED = re.compile("|".join((r"\bTO" r"DO\b", r"\bFIX" r"ME\b", r"\bXX" r"X\b", "NotImplementedError")))


def _sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((REPOSITORY / folder).rglob("*")):
            if path.suffix in SUFFIXES and path.is_file() and "__pycache__" not in path.parts:
                yield path


def _lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the Python sources that a test may change."""
    for package in ("toolflow", "quant", "rtl_sim"):
        for path in (REPOSITORY / package).rglob("*.py"):
            target = tmp_path / path.relative_to(REPOSITORY)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    shutil.copyfile(REPOSITORY / "pyproject.toml", tmp_path / "pyproject.toml")
    return tmp_path


def test_imports_go_one_way() -> None:
    done = _lint_imports(REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("toolflow/numerics/planted.py", "import toolflow.ir.graph", "Imports go one way BROKEN"),
        ("toolflow/ir/planted.py", "import quant", "Imports go one way BROKEN"),
        ("toolflow/flow/planted.py", "import toolflow.cli.terminal", "Imports go one way BROKEN"),
        ("toolflow/flow/planted.py", "import rich", "The flow knows no command line BROKEN"),
        ("toolflow/plan/planted.py", "import torch", "torch is imported by quant and the importers only BROKEN"),
        ("toolflow/operators/planted.py", "import torch", "torch is imported by quant and the importers only BROKEN"),
        (
            "toolflow/operators/conv/reference.py",
            "import toolflow.operators.conv.torch_form",
            "Operators' torch forms are loaded by quant only BROKEN",
        ),
        (
            "toolflow/operators/planted.py",
            "import tests.conformance",
            "What is installed does not import what is not BROKEN",
        ),
        ("quant/sparsity/planted.py", "import quant.post_training.walk", "Inside quant, imports go one way"),
        ("quant/new_folder.py", "import torch", "Inside quant, imports go one way"),
        ("quant/cascade/planted.py", "import quant.config", "The cascade's rule is found from logits alone BROKEN"),
    ],
)
def test_an_import_against_the_order_is_found(copy: Path, module: str, line: str, contract: str) -> None:
    (copy / module).write_text(line + "\n")
    done = _lint_imports(copy)
    assert done.returncode == 1
    assert contract in done.stdout


def test_no_modules_import_each_other() -> None:
    """Not in a circle of any length, imports for type checkers included."""
    graph = grimp.build_graph("toolflow", "quant", "rtl_sim", "fuzz", "benchmarks", cache_dir=None)
    assert len(graph.modules) > 100
    TopologicalSorter({name: graph.find_modules_directly_imported_by(name) for name in graph.modules}).prepare()


def test_every_package_has_its_place_in_the_order() -> None:
    contracts: list[dict[str, Any]] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"][
        "importlinter"
    ]["contracts"]
    order = next(contract for contract in contracts if contract["name"] == "Imports go one way")
    without_torch = next(contract for contract in contracts if contract["name"].startswith("torch is imported"))
    layers = {name.strip(" ()") for layer in order["layers"] for name in layer.split("|")}
    packages = {f"toolflow.{path.parent.name}" for path in (REPOSITORY / "toolflow").glob("*/__init__.py")}
    assert packages <= layers
    assert packages - set(without_torch["source_modules"]) <= {"toolflow.importers"}


def test_files_stay_small() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in _sources(*PACKAGES, "tests")}
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST_FILE_LINES} == {}
    assert len(lengths) > 100


def test_commands_stay_thin() -> None:
    """A command declares options, makes a request, calls the flow and shows the result."""
    lengths = {path.name: _own_lines(path.read_text()) for path in (REPOSITORY / "toolflow" / "cli").glob("*.py")}
    commands = {name: lines for name, lines in lengths.items() if lines is not None}
    assert {name: lines for name, lines in commands.items() if lines > LONGEST_COMMAND_LINES} == {}
    assert len(commands) > 5


def _own_lines(text: str) -> int | None:
    """Return the lines of a command's module without the declarations of its options; None if it has no command."""
    tree, declared, found = ast.parse(text), 0, False
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("Annotated["):
            declared += _lines(node)
        elif isinstance(node, ast.FunctionDef) and any(ast.unparse(each) == "command" for each in node.decorator_list):
            declared += node.body[0].lineno - node.lineno
            found = True
    return len(text.splitlines()) - declared if found else None


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_nothing_is_left_unfinished() -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()}"
        for path in _sources(*PACKAGES)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert found == []
