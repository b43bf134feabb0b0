"""Measure every figure, record it and render the tables: `make bench DATA=FOLDER`.

    python benchmarks/everything.py DATA [--work build/bench] [--only NAME ..]

DATA holds the pretrained weights and the images. Each program's output is shown and kept in WORK/NAME.log;
one that fails does not stop the others. The figures go to benchmarks/results.json, the tables to
docs/results-tables.md and README.md. About an hour and a half on two cores, and hours more for `resources`, `clock`
and `ecp5_routing` where their syntheses are not kept from an earlier run.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.results import record, render_pages

ROOT = Path(__file__).resolve().parents[1]
# the steps whose own time is a figure, and the most seconds that they may take
TIMED = {
    "demo": ("`make demo`, every level of both units: time", 300),
    "resnet20_build": ("`toolflow build` of ResNet-20, without verification: time", 120),
}


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
        "resnet20_summary": [python, str(benchmarks / "build_summary.py"), str(resnet20), "--record"],
        "resnet20_engine": [
            python, str(benchmarks / "resnet20_engine.py"), str(resnet20), "--work", str(work / "engine"), "--record",
        ],
        "resnet20_accuracy": [python, str(benchmarks / "resnet20_accuracy.py"), str(data), "--record"],
        "onnx_nodes": [python, str(benchmarks / "onnx_nodes.py"), "--record"],
        "faults": [
            python, str(benchmarks / "faults.py"), str(work / "demo" / "project"),
            "--levels", "program,hls,cosim,rtl", "--work", str(work / "faults"), "--record",
        ],
        "resnet18_quantise": [python, str(benchmarks / "resnet18_quantise.py"), "--record"],
        "squeezenet": [
            python, str(benchmarks / "squeezenet.py"), str(data), "--images", "400", "--exact-images", "2", "--record",
        ],
        "compression": [
            python, str(benchmarks / "compression.py"), "digits", "--work", str(work / "compression"), "--record",
        ],
        "adaptive_bn": [
            python, str(benchmarks / "adaptive_bn.py"), "digits", "--work", str(work / "compression"), "--record",
        ],
        "training_speed": [python, str(benchmarks / "training_speed.py"), "--record"],
        "winograd_accuracy": [python, str(benchmarks / "winograd_accuracy.py"), str(data), "--record"],
        "winograd_accuracy_all": [
            python, str(benchmarks / "winograd_accuracy.py"), str(data), "--all", "--record",
        ],
        "index_sharing": [python, str(benchmarks / "index_sharing.py"), str(data), "--record"],
        "sparse_speed": [python, str(benchmarks / "sparse_speed.py"), str(data), "--record"],
        "winograd_cycles": [
            python, str(benchmarks / "winograd_cycles.py"), "--work", str(work / "winograd_cycles"), "--record",
        ],
        "resources": [python, str(benchmarks / "yosys_resources.py"), "check", "--record"],
        "worst_paths": [python, str(benchmarks / "worst_paths.py"), "--record"],
        "hls_intervals": [python, str(benchmarks / "hls_intervals.py"), "--record"],
        "engine_area": [python, str(benchmarks / "engine_area.py"), "--record"],
        "board_speed": [python, str(benchmarks / "board_speed.py"), "resnet20", str(resnet20), "--rtl", "--record"],
        "board_speed_resnet8": [python, str(benchmarks / "board_speed.py"), "resnet8", "--rtl", "--record"],
        "imagenet_speed": [python, str(benchmarks / "imagenet_speed.py"), "--record"],
        "one_image_speed": [python, str(benchmarks / "one_image_speed.py"), "--data", str(data), "--record"],
        "planner_time": [python, str(benchmarks / "planner_time.py"), "--record"],
        "tile_cost": [python, str(benchmarks / "tile_cost.py"), "--record"],
        "clock": [python, str(benchmarks / "clock.py"), "check", "--record"],
        "ecp5_routing": [
            python, str(benchmarks / "ecp5_routing.py"), "--work", str(work / "ecp5_routing"), "--record",
        ],
    }  # fmt: skip


def main() -> int:
    """Run the programs and return 1 if one failed."""
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
            code = _shown(command, work / f"{name}.log")
            seconds = round(time.monotonic() - started)
            if code:
                failed.append(name)
            elif name in TIMED:
                figure, most = TIMED[name]
                record(figure, seconds, "s", at_most=most, command=_short(command))
            print(f"{name}: {seconds} s", flush=True)
    render_pages()
    if failed:
        print(f"failed: {', '.join(failed)}")
    return int(bool(failed))


def _short(command: list[str]) -> str:
    """Return a command as a user types it: without the Python of this run, paths by their last part."""
    words = [Path(word).name if Path(word).is_absolute() else word for word in command[1:]]
    return " ".join(words).replace("-m cascade_toolflow", "toolflow").replace("-m toolflow", "python -m toolflow")


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
