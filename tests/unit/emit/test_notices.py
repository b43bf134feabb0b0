"""Emitted files state their licence and name all third-party code that they need."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

from toolflow.emit.notices import NOTICES, emit_notices

REPOSITORY = Path(__file__).resolve().parents[3]
PACKAGES = ("toolflow", "quant", "rtl_sim", "hls_templates", "boards")
# of the C and the C++ standard library, and of Linux
STANDARD = {
    "array", "cerrno", "chrono", "cstddef", "cstdint", "cstdio", "cstring", "fcntl.h", "fstream", "iterator", "map",
    "memory", "stdexcept", "stdint.h", "stdio.h", "stdlib.h", "string", "sys/mman.h", "unistd.h", "vector",
}  # fmt: skip


def _notices() -> str:
    return (REPOSITORY / "hls_templates/project/THIRD_PARTY_NOTICES.md").read_text(encoding="utf-8")


def test_a_project_gets_the_licence_and_the_notices(tmp_path: Path) -> None:
    emit_notices(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(NOTICES)
    assert (tmp_path / "LICENSE").read_bytes() == (REPOSITORY / "LICENSE").read_bytes()
    assert (tmp_path / "THIRD_PARTY_NOTICES.md").read_text(encoding="utf-8") == _notices()


def test_the_notices_name_every_header_and_module_of_others() -> None:
    templates = REPOSITORY / "hls_templates"
    emitted = [*templates.glob("*.j2"), *templates.glob("lib/*"), *templates.glob("host/*")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in emitted)
    headers = set(re.findall(r'#include [<"]([^>"{]+)[>"]', text))
    headers -= {path.name.removesuffix(".j2") for path in emitted} | {f"lib/{path.name}" for path in emitted}
    tree = ast.parse((templates / "host/cascade_pynq.py").read_text(encoding="utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    needed = (headers - STANDARD) | {name for name in modules if name.split(".")[0] not in sys.stdlib_module_names}
    assert needed == {"ap_int.h", "hls_stream.h", "numpy", "pynq"}
    assert {name for name in needed if f"`{name}`" not in _notices()} == set()


def test_no_file_of_the_wheel_carries_a_copyright_of_others() -> None:
    files = [path for package in PACKAGES for path in (REPOSITORY / package).rglob("*") if path.is_file()]
    marked = {
        path.relative_to(REPOSITORY).as_posix()
        for path in files
        if "__pycache__" not in path.parts
        and re.search(rb"copyright|all rights reserved|licensed under", path.read_bytes(), re.I)
    }
    page = "toolflow/report/page/vega_licences.txt"  # stands in each report.html, with the libraries that are there
    assert marked == {page, *(f"hls_templates/project/{name}" for name in NOTICES)}
