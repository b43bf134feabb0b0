"""Measure every figure of docs/results.md, one program after the other: `make bench DATA=FOLDER`.

    python benchmarks/everything.py DATA [--work build/bench] [--only NAME ..]

DATA holds the pretrained weights and the images. Each program's output is shown and kept in WORK/NAME.log;
one that fails does not stop the others. About an hour and a half on two cores, and hours more for `resources`
where its syntheses are not kept from an earlier run.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def steps(data: Path, work: Path) -> dict[str, list[str]]:
    """Return every program's command by the name of its log, in order."""
    python, toolflow = sys.executable, [sys.executable, "-m", "cascade_toolflow"]
    benchmarks, resnet20 = ROOT / "benchmarks", work / "resnet20"
    return {
        "demo": [python, "-m", "toolflow.cli.demo", "--out", str(work / "demo")],
        "resnet20_build": [
            *toolflow, "build", f"{ROOT / 'examples' / 'resnet20.py'}:resnet20",
            "--weights", str(data / "cifar10_resnet20_jpeg75_finetuned.safetensors"),
            "--calibration", str(data / "cifar10_test_jpeg75.npz"),
            "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225",
            "--board", "zcu104", "--low-bits", "4", "--high-bits", "8", "--tolerance", "0.005", "--out", str(resnet20),
        ],
        "resnet20_verify_32": [
            *toolflow, "verify", str(resnet20), "--levels", "brevitas,hls4ml,program,hls", "--images", "32",
        ],
        "resnet20_verify_16": [*toolflow, "verify", str(resnet20), "--levels", "cosim,rtl", "--images", "16"],
        "resnet20_engine": [
            python, str(benchmarks / "resnet20_engine.py"), str(resnet20), "--work", str(work / "engine"),
        ],
        "resnet20_accuracy": [python, str(benchmarks / "resnet20_accuracy.py"), str(data)],
        "faults": [
            python, str(benchmarks / "faults.py"), str(work / "demo" / "project"),
            "--levels", "program,hls,cosim,rtl", "--work", str(work / "faults"),
        ],
        "squeezenet": [
            python, str(benchmarks / "squeezenet.py"), str(data), "--images", "400", "--exact-images", "2",
        ],
        "training_speed": [python, str(benchmarks / "training_speed.py")],
        "winograd_accuracy": [python, str(benchmarks / "winograd_accuracy.py"), str(data)],
        "winograd_cycles": [python, str(benchmarks / "winograd_cycles.py"), "--work", str(work / "winograd_cycles")],
        "resources": [python, str(benchmarks / "yosys_resources.py"), "check", "--families", "xc7", "xcup"],
        "tile_cost": [python, str(benchmarks / "tile_cost.py")],
    }  # fmt: skip


def main() -> int:
    """Run the programs and return 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build/bench"))
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=list(steps(Path(), Path())))
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        parser.error(f"DATA must be the folder of pretrained weights and images, not {arguments.data}")
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    failed = []
    for name, command in steps(arguments.data.resolve(), work).items():
        if arguments.only is None or name in arguments.only:
            print(f"$ {shlex.join(command)}", flush=True)
            started = time.monotonic()
            if _shown(command, work / f"{name}.log"):
                failed.append(name)
            print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return int(bool(failed))


def _shown(command: list[str], log: Path) -> int:
    """Run a command, show and keep what it prints, and return its exit code."""
    with (
        log.open("w", encoding="utf-8") as kept,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running,
    ):
        for line in running.stdout or ():
            print(line, end="", flush=True)
            kept.write(line)
    return running.returncode


if __name__ == "__main__":
    sys.exit(main())
