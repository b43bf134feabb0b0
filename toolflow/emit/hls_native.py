"""Build the emitted C++ with g++ and the ap_types headers of hls4ml, and run it on files."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from toolflow.emit.hls import emit_hls, top_function
from toolflow.emit.render import write_if_changed
from toolflow.engine.config import EngineConfig
from toolflow.ir.errors import NotRunError, ToolflowError, VerificationError

COMPILER = "g++"
FLAGS = ("-std=c++17", "-O2", "-Wall", "-Wextra", "-DCASCADE_BOUNDS")
EXACT_TYPES = "-DCASCADE_AP_TYPES"
SHOWN_LINES = 20

# Exit codes of the emitted test bench.
_ENDED, _ENGINE_ERROR = 0, 3
_KILLED = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT)


def ap_types_folder() -> Path:
    """Return the folder of ap_int.h and hls_stream.h.

    Raises:
        ToolflowError: hls4ml, whose copy is used, is not installed.
    """
    found = importlib.util.find_spec("hls4ml")
    for place in (found.submodule_search_locations or ()) if found else ():
        folder = Path(place) / "templates" / "vivado" / "ap_types"
        if (folder / "ap_int.h").is_file():
            return folder
    raise ToolflowError(
        "the ap_types headers of the package hls4ml must be installed to build HLS C++ with g++: pip install hls4ml"
    )


def build_native(
    folder: Path, config: EngineConfig, unit: str, *, exact_types: bool = False, work: Path | None = None
) -> Path:
    """Compile one unit's C++ and test bench and return the program.

    Sources in `folder` are compiled as they are; if there are none, they are emitted first.
    Nothing is compiled if sources, compiler and flags have not changed since the last compilation.

    Args:
        folder: holds, or gets, what `emit_hls` writes.
        config: the engine; sources in `folder` must be for the same one.
        unit: "low", "high" or "single".
        exact_types: use the synthesis' ap_int types throughout: the same bits, much slower.
        work: where the program goes, `folder`/build if it is None.

    Raises:
        ToolflowError: g++ or the headers are missing, or the sources are for another engine.
        NotRunError: the sources do not compile.
    """
    top = top_function(unit)
    compiler = _compiler()
    if not (folder / f"{top}.cpp").is_file():
        emit_hls(config, unit, folder)
    _check_signature(folder / f"{top}.hpp", config)
    flags = [*FLAGS, *([EXACT_TYPES] if exact_types else []), f"-I{ap_types_folder()}"]
    binary = (work or folder / "build") / (f"{top}_exact" if exact_types else top)
    stamp = binary.with_suffix(".stamp")
    key = _key(folder, compiler, flags)
    if binary.is_file() and stamp.is_file() and stamp.read_text(encoding="utf-8") == key:
        return binary
    binary.parent.mkdir(parents=True, exist_ok=True)
    fresh = binary.with_suffix(f".{os.getpid()}")
    command = [compiler, *flags, f"{top}.cpp", f"{top}_tb.cpp", "-o", str(fresh.resolve())]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        fresh.unlink(missing_ok=True)
        raise NotRunError(f"{COMPILER} must compile {folder / top}.cpp, it says:\n{_relevant(result.stderr)}")
    fresh.replace(binary)
    write_if_changed(stamp, key)
    return binary


def run_native(
    binary: Path,
    program: bytes,
    weights: bytes,
    images: bytes,
    image_count: int,
    result_bytes: int,
    *,
    limit_s: float = 3600.0,
) -> tuple[int, bytes]:
    """Run a program of `build_native` and return (error code of PROGRAM.md, the results region's bytes).

    An access outside the buffers ends the program like a bus error: 6 for a read, 7 for a write.

    Raises:
        VerificationError: the program crashed, wrote past the results or took longer than `limit_s`.
    """
    with tempfile.TemporaryDirectory(prefix="toolflow-hls-") as name:
        folder = Path(name)
        for stem, data in (("program", program), ("weights", weights), ("images", images)):
            (folder / f"{stem}.bin").write_bytes(data)
        command = [str(binary.resolve()), name, str(image_count), str(result_bytes)]
        try:
            result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit_s)
        except subprocess.TimeoutExpired as late:
            raise VerificationError(f"{binary.name} must end within {limit_s:g} s, not run on") from late
        if result.returncode in _KILLED:
            raise NotRunError(f"{binary.name} was ended from outside (signal {-result.returncode}): run it again")
        if result.returncode not in (_ENDED, _ENGINE_ERROR):
            raise VerificationError(
                f"{binary.name} must end well, not with {result.returncode}: {_relevant(result.stderr)}"
            )
        error = int(result.stdout.split()[-1])
        return error, (folder / "results.bin").read_bytes()


def _compiler() -> str:
    found = shutil.which(COMPILER)
    if found is None:
        raise ToolflowError(f"{COMPILER} must be on PATH to run HLS C++; on Debian: apt install g++")
    return found


def _check_signature(header: Path, config: EngineConfig) -> None:
    try:
        text = header.read_text(encoding="utf-8")
    except OSError as error:
        raise ToolflowError(f"'{header}' must be readable: {error.strerror}") from error
    if f"{config.signature:016x}" not in text:
        raise ToolflowError(f"'{header}' must be for engine {config.signature:016x}: emit the project again")


def _key(folder: Path, compiler: str, flags: list[str]) -> str:
    """Hash everything that the program is made of."""
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout
    digest = hashlib.sha256("\n".join([compiler, version, *flags]).encode())
    for path in sorted([*folder.glob("*.[ch]pp"), *(folder / "lib").glob("*.hpp")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _relevant(text: str) -> str:
    """Return the lines of a compiler's or program's output that tell what is wrong."""
    lines = text.strip().splitlines()
    telling = [line for line in lines if "error" in line] or lines
    return "\n".join(telling[:SHOWN_LINES])
