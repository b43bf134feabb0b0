"""A unit's C++ as LLVM IR: types of exact width, every call inlined, loops unrolled as the pragmas say.

The sources are compiled from a copy in which `UNROLL` is what clang calls it; a loop inside a pipelined one is
unrolled too, as an HLS compiler does. Lines stay where they are, so that debug information leads back to the sources.
The target is SPIR, since others pass the members of a small struct as one integer. Stores of several branches stay
apart, since one store to a chosen address would look like an access to every part of a memory.
clang comes with the wheel `ziglang`; it needs neither the network nor a cache.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from toolflow.emit.cxx import Function, Loop, Pragma, Unit
from toolflow.emit.ii.memories import place_of
from toolflow.emit.render import resource
from toolflow.ir.errors import VerificationError

UNROLL = '_Pragma("clang loop unroll(full)") '
TOP = "every_call_inlined.cpp"
_TOP_TEXT = """\
#include <stdint.h>
#include "ap_int.h"
#include "hls_stream.h"
#pragma clang attribute push(__attribute__((always_inline)), apply_to = function)
#include "{source}"
#pragma clang attribute pop
"""
_FLAGS = (
    "--target=spir64-unknown-unknown", "-Xclang", "-fexperimental-max-bitint-width=8192", "-S", "-emit-llvm", "-O1",
    "-g", "-std=c++17", "-w", "-D__SYNTHESIS__", "-nostdinc", "-nostdinc++", "-fno-builtin", "-fno-exceptions",
    "-fno-unroll-loops", "-fno-vectorize", "-fno-slp-vectorize", "-fno-discard-value-names", "-Xclang",
    "-fexperimental-assignment-tracking=disabled", "-mllvm", "-indvars-widen-indvars=false", "-mllvm",
    "-sink-common-insts=false",
)  # fmt: skip


def unit_to_ir(unit: Unit, cache: Path | None = None) -> str:
    """Compile a unit and return its IR.

    Args:
        unit: the parsed source.
        cache: folder that keeps IR by the hash of what it is made of; None to keep nothing.

    Raises:
        VerificationError: the sources do not compile with types of exact width.
    """
    source = unit.source
    copies = copies_of(unit)
    headers = [Path(str(resource("hls_templates", folder))) for folder in ("exact", "portable")]
    digest = hashlib.sha256(repr((_FLAGS, _TOP_TEXT, version("ziglang"))).encode())
    for header in sorted(path for folder in headers for path in folder.glob("*.h")):
        digest.update(header.read_bytes())
    for path, text in copies.items():
        digest.update(f"{path}\n{text}".encode())
    kept = None if cache is None else cache / f"{source.stem}-{digest.hexdigest()[:16]}.ll"
    if kept is not None and kept.is_file():
        return kept.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="cascade-ii-") as made_here:
        folder = Path(made_here)
        for path, text in copies.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "ziglang",
            "clang",
            *_FLAGS,
            *(f"-I{h}" for h in headers),
            TOP,
            "-o",
            "unit.ll",
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[-500:])
            raise VerificationError(f"'{source}' must compile with types of exact width, not fail: {first}")
        made = (folder / "unit.ll").read_text(encoding="utf-8")
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        for stale in kept.parent.glob(f"{source.stem}-*.ll"):
            stale.unlink()
        kept.write_text(made, encoding="utf-8")
    return made


def copies_of(unit: Unit) -> dict[str, str]:
    """Return the sources by path, as they are compiled, and the file that includes them."""
    files = {unit.source, *(f.file for f in unit.functions), *(p.file for p in unit.pragmas)}
    files |= {found for path, _, name in unit.includes if (found := (path.parent / name).resolve()).is_file()}
    copies = {}
    for path in sorted(files):
        functions = [function for function in unit.functions if function.file == path]
        copies[str(path.relative_to(unit.folder))] = _copy(path, functions, unit.folder)
    return {**copies, TOP: _TOP_TEXT.format(source=unit.source.name)}


def _copy(path: Path, functions: list[Function], folder: Path) -> str:
    text = path.read_bytes()
    places = {loop.cursor.extent.start.offset for f in functions for loop in f.loops if _is_unrolled(loop, f)}
    for place in sorted(places, reverse=True):
        text = text[:place] + UNROLL.encode() + text[place:]
    lines = text.decode().split("\n")
    for function in functions:
        for pragma in function.pragmas:
            if (marker := _marker(pragma, function, folder)) is not None:
                lines[pragma.line - 1] = marker
    return "\n".join(lines)


def _is_unrolled(loop: Loop, function: Function) -> bool:
    around = [o for o in function.loops if o.first_line <= loop.first_line and loop.last_line <= o.last_line]
    piped = any(p.is_hls("PIPELINE") for o in around if o is not loop for p in o.pragmas)
    return piped or any(pragma.is_hls("UNROLL") for pragma in loop.pragmas)


def _marker(pragma: Pragma, function: Function, folder: Path) -> str | None:
    """Return a statement that tells in the IR that a pragma holds, and its factor, if the configuration decides."""
    in_loop = any(loop.first_line < pragma.line <= loop.last_line for loop in function.loops)
    factor = pragma.option("factor")
    if in_loop or not pragma.option("variable") or not (function.is_conditional(pragma) or factor):
        return None
    value = factor or "0"
    return f'asm volatile("hls_pragma {place_of(pragma, folder)} {pragma.option("factor")} %0" : : "i"(int({value})));'


def markers_of(text: str) -> tuple[frozenset[str], dict[str, int]]:
    """Return the places of the pragmas that hold, and their factors by place and name."""
    found = re.findall(r'asm sideeffect "hls_pragma (\S+) (\S*) \$0", "[^"]*"\(i32 (-?\d+)\)', text)
    return frozenset(place for place, _, _ in found), {f"{place}:{name}": int(value) for place, name, value in found}
