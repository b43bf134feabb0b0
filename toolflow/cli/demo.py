"""`make demo`: the handwritten digits from training to simulated RTL, with the commands that a user would type.

python -m toolflow.cli.demo --out build/demo
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "digits.py"
BOARD = "ulx3s-85f"
ENGINE = "lanes_k=8,lanes_p=4,slots=2"  # small enough to be compiled and simulated in a minute


def commands(out: Path) -> list[list[str]]:
    """Return the demo's commands: train, build, verify."""
    toolflow = [sys.executable, "-m", "cascade_toolflow"]
    data = out / "digits"
    return [
        [sys.executable, str(EXAMPLE), str(data)],
        [
            *toolflow, "build", f"{EXAMPLE}:digits", "--weights", str(data / "digits.safetensors"),
            "--calibration", str(data / "calibration.npz"), "--board", BOARD, "--low-bits", "3", "--high-bits", "8",
            "--scales", "fixed-point", "--cascade", "--engine", ENGINE, "--out", str(out / "project"),
        ],
        [*toolflow, "verify", str(out / "project"), "--images", "16"],
    ]  # fmt: skip


def main() -> int:
    """Run the commands one after the other and return the first exit code that is not 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/demo"))
    out = parser.parse_args().out
    started = time.monotonic()
    for command in commands(out):
        print(f"$ {shlex.join(command)}", flush=True)
        code = subprocess.run(command, check=False).returncode
        if code:
            return code
    place = out / "project"
    print(f"the demo took {time.monotonic() - started:.0f} s; the next commands: {place / 'README.md'}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
