"""The wheel carries everything that a user needs, and works from outside the checkout."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[3]
PACKAGES = ("toolflow", "quant", "rtl_sim", "hls_templates", "boards")


def _run(*arguments: str | Path, folder: Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(argument) for argument in arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources."""
    source = tmp_path_factory.mktemp("source")
    for package in PACKAGES:
        shutil.copytree(REPOSITORY / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "THIRD_PARTY_NOTICES.md", "cascade_toolflow.py"):
        shutil.copyfile(REPOSITORY / name, source / name)
    out = tmp_path_factory.mktemp("wheel")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", out)
    _run(sys.executable, "-m", "pip", "wheel", *options, source, folder=out)
    (built,) = out.glob("cascade_toolflow-*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the wheel is installed; its dependencies come from this environment."""
    target = tmp_path_factory.mktemp("site")
    options = ("--no-deps", "--no-index", "--quiet", "--target", target)
    _run(sys.executable, "-m", "pip", "install", *options, wheel, folder=target)
    return target


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    carried = set(zipfile.ZipFile(wheel).namelist())
    present = {
        path.relative_to(REPOSITORY).as_posix()
        for package in PACKAGES
        for path in (REPOSITORY / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert present - carried == set()
    assert {f"{package}/py.typed" for package in ("toolflow", "quant", "rtl_sim")} <= carried
    assert {path.partition("/")[0] for path in carried if ".dist-info" not in path} == {
        *PACKAGES,
        "cascade_toolflow.py",
    }


def test_the_licence_and_the_notices_go_with_it(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    for text in ("LICENSE", "THIRD_PARTY_NOTICES.md"):
        (carried,) = [name for name in archive.namelist() if name.endswith(f".dist-info/licenses/{text}")]
        assert archive.read(carried) == (REPOSITORY / text).read_bytes()
    (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    assert "License-Expression: Apache-2.0" in archive.read(metadata).decode()


def test_the_command_works_outside_the_checkout(site: Path, tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(site)}
    out = _run(sys.executable, site / "bin/toolflow", "boards", "--json", folder=tmp_path, environment=environment)
    names = {board["name"] for board in json.loads(out)["boards"]}
    assert {"ZCU104", "PYNQ-Z2", "ULX3S-85F"} <= names
    where = _run(
        sys.executable,
        "-P",
        "-c",
        "import toolflow; print(toolflow.__file__)",
        folder=tmp_path,
        environment=environment,
    )
    assert Path(where.strip()).is_relative_to(site)


def test_every_package_that_is_imported_is_a_dependency() -> None:
    """A function may also import a package of an extra, which its users install."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = {name: texts for name, texts in project["optional-dependencies"].items() if name != "dev"}
    declared = {canonicalize_name(Requirement(text).name) for text in project["dependencies"]}
    optional = {canonicalize_name(Requirement(text).name) for texts in extras.values() for text in texts}
    owners = importlib.metadata.packages_distributions()
    undeclared = {
        f"{path.relative_to(REPOSITORY)}: {module}"
        for package in PACKAGES
        if package != "hls_templates"  # what is emitted runs on the board, with the board's packages
        for path in (REPOSITORY / package).rglob("*.py")
        for module in _imported(path) - sys.stdlib_module_names - {*PACKAGES, "cascade_toolflow"}
        if not (declared if module in _imported(path, at_load=True) else declared | optional)
        & {canonicalize_name(owner) for owner in owners.get(module, ())}
    }
    assert undeclared == set()


def _asked() -> list[Requirement]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    return [Requirement(text) for text in (*project["dependencies"], *project["optional-dependencies"]["dev"])]


def _constraints() -> dict[str, str]:
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pinned.items()}


def _needed() -> set[str]:
    """Return the packages that this project needs, and those that they need, but the parts of CUDA."""
    found: set[str] = set()
    left = _asked()
    while left:
        wanted = left.pop()
        name = canonicalize_name(wanted.name)
        if name in found or name.startswith(("cuda-", "nvidia-", "triton")):
            continue
        found.add(name)
        for text in importlib.metadata.requires(name) or ():
            more = Requirement(text)
            if more.marker is None or any(more.marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras)):
                left.append(more)
    return found


def test_the_constraints_are_within_the_ranges_that_were_tried() -> None:
    pinned = _constraints()
    assert [str(one) for one in _asked() if pinned[canonicalize_name(one.name)] not in one.specifier] == []
    assert [one.name for one in _asked() if not one.specifier] == ["pydantic-core"]


def test_the_constraints_are_what_the_tests_run_with() -> None:
    """The constraints also cover the dependencies of all packages."""
    installed = {name: importlib.metadata.version(name).partition("+")[0] for name in _needed()}
    assert installed == _constraints()


def _imported(path: Path, at_load: bool = False) -> set[str]:
    """Return the top-level names that a module imports, anywhere in it or when it is loaded."""
    names: set[str] = set()
    tree = ast.parse(path.read_text())
    for node in tree.body if at_load else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def test_the_wheel_emits_a_design(site: Path, tmp_path: Path) -> None:
    emit = (
        "from pathlib import Path\n"
        "from toolflow.emit.hls import emit_hls\n"
        "from toolflow.emit.notices import emit_notices\n"
        "from toolflow.emit.rtl import emit_rtl\n"
        "from toolflow.engine.config import EngineConfig\n"
        "emit_rtl(EngineConfig(), 'single', Path('rtl'))\n"
        "emit_hls(EngineConfig(), 'single', Path('hls'))\n"
        "emit_notices(Path('.'))\n"
    )
    _run(sys.executable, "-P", "-c", emit, folder=tmp_path, environment={"PYTHONPATH": str(site)})
    top = (tmp_path / "rtl/cascade_single.sv").read_text()
    assert "module cascade_single" in top
    assert any("cascade_single" in path.read_text() for path in (tmp_path / "hls").rglob("*.cpp"))
    assert (tmp_path / "LICENSE").read_bytes() == (REPOSITORY / "LICENSE").read_bytes()
