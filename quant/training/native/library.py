"""Build the C++ of this folder with g++ for this processor on first use, and cache it."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from toolflow.numerics.winograd import WINOGRAD

COMPILER = "g++"
FLAGS = ("-std=c++20", "-O3", "-march=native", "-mprefer-vector-width=512", "-pthread")
FLAGS_OF_X86 = ("-mprefer-vector-width=512",)
SOURCES = ("layer.cpp", "block.hpp", "vector.hpp")
HERE = Path(__file__).parent
WIDEST_LANES = 16  # batches are multiples of it on every processor, so that they are the same ones


@cache
def library() -> ctypes.CDLL | None:
    """Return the library, or None if g++ is missing or fails: torch then computes the same, more slowly."""
    compiler = shutil.which(COMPILER)
    if compiler is None:
        return None
    try:
        flags = _flags(compiler)
        return None if flags is None else _compiled(compiler, flags)
    except (OSError, subprocess.CalledProcessError):
        return None


def lanes() -> int:
    """Return how many images the library computes on at once: as many as fit a register of this processor."""
    found = library()
    assert found is not None
    return int(found.layer_lanes())


def _compiled(compiler: str, flags: Sequence[str]) -> ctypes.CDLL:
    matrices = transforms_header()
    digest = hashlib.sha256("\n".join([compiler, *flags, matrices]).encode())
    for name in SOURCES:
        digest.update((HERE / name).read_bytes())
    digest.update(_processor(compiler))
    name = f"layer-{digest.hexdigest()[:16]}.so"

    def build(path: Path) -> None:
        _build(path, compiler, flags, matrices)

    try:
        return _kept(_kept_folder() / name, build)
    except (OSError, RuntimeError):  # no home, or one that cannot be written
        with tempfile.TemporaryDirectory(prefix="toolflow-native-") as scratch:
            return _kept(Path(scratch) / name, build)


def _kept(path: Path, build: Callable[[Path], None]) -> ctypes.CDLL:
    """Return the library at a path; it is built if the file is missing or invalid."""
    if path.is_file():
        try:
            return ctypes.CDLL(str(path))
        except OSError:
            path.unlink(missing_ok=True)
    build(path)
    return ctypes.CDLL(str(path))


def transforms_header() -> str:
    """Return the C++ of the Winograd matrices."""

    def matrix(name: str, rows: Sequence[Sequence[int]]) -> str:
        cells = ", ".join("{" + ", ".join(str(int(v)) for v in row) + "}" for row in rows)
        return f"inline constexpr float {name}[{len(rows)}][{len(rows[0])}] = {{{cells}}};\n"

    parts = ["#pragma once\n"]
    for tile, form in WINOGRAD.items():
        body = matrix("input", form.input.tolist()) + matrix("output", form.output.tolist())
        parts.append(f"namespace tile_{tile} {{\n{body}}}\n")
    return "".join(parts)


def _kept_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "cascade-toolflow"


def _flags(compiler: str) -> tuple[str, ...] | None:
    """Return the flags that the compiler takes here, None if it cannot compile at all."""
    for flags in (FLAGS, tuple(flag for flag in FLAGS if flag not in FLAGS_OF_X86)):
        tried = [compiler, *flags, "-x", "c++", "-fsyntax-only", os.devnull]
        if subprocess.run(tried, capture_output=True, check=False).returncode == 0:
            return flags
    return None


def _processor(compiler: str) -> bytes:
    """Return the processor that -march=native means here: several machines may share a home folder."""
    asked = [compiler, "-march=native", "-Q", "--help=target"]
    return subprocess.run(asked, capture_output=True, check=False).stdout


def _build(path: Path, compiler: str, flags: Sequence[str], matrices: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="toolflow-native-") as scratch:
        (Path(scratch) / "transforms.hpp").write_text(matrices, encoding="utf-8")
        fresh = path.with_suffix(f".{os.getpid()}")
        sources = [str(HERE / name) for name in SOURCES if name.endswith(".cpp")]
        command = [compiler, *flags, "-shared", "-fPIC", f"-I{HERE}", f"-I{scratch}", *sources, "-o", str(fresh)]
        try:
            subprocess.run(command, capture_output=True, text=True, check=True)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
