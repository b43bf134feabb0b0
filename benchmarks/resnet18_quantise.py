"""`toolflow quantise` of a ResNet-18 at 224×224: wall time, processor time and peak memory.

    python benchmarks/resnet18_quantise.py [--images 256]

Weights are drawn as for training (seeded), images are smooth random patterns: the time does not depend on what either
shows. `--images` is the size of the calibration file; `quantise` takes a third of it for ranges and rounding, and
measures accuracies on a third.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch.nn import functional

from benchmarks.results import add_record_option, record
from examples.resnet18 import resnet18

REPOSITORY = Path(__file__).resolve().parents[1]
SIDE, SEED = 224, 1
PATCHES = 28  # random values on a side of an image, before they are interpolated


def images(count: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Return smooth random patterns, uint8 (N, 224, 224, 3)."""
    found = np.empty((count, SIDE, SIDE, 3), np.uint8)
    for index in range(count):
        coarse = torch.as_tensor(rng.integers(0, 256, (1, 3, PATCHES, PATCHES)).astype(np.float32))
        smooth = functional.interpolate(coarse, (SIDE, SIDE), mode="bilinear")
        found[index] = smooth[0].round().numpy().astype(np.uint8).transpose(1, 2, 0)
    return found


def main() -> int:
    """Make the inputs, run the command, print the figures; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--keep", type=Path, help="folder in which the inputs and the result are kept")
    add_record_option(parser)
    arguments = parser.parse_args()
    torch.manual_seed(SEED)
    with tempfile.TemporaryDirectory(prefix="resnet18-") as made:
        folder = arguments.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        weights, calibration = folder / "resnet18.safetensors", folder / "calibration.npz"
        save_file(resnet18().state_dict(), weights)
        np.savez(calibration, x=images(arguments.images, np.random.default_rng(SEED)))
        command = [sys.executable, "-m", "cascade_toolflow", "quantise"]
        command += [f"{REPOSITORY / 'examples' / 'resnet18.py'}:resnet18", "--weights", str(weights)]
        command += ["--calibration", str(calibration), "--out", str(folder / "quantised")]
        start = time.perf_counter()
        code = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}).returncode
        if code == 0 and not (folder / "quantised/graphs/quantise.json").is_file():
            raise RuntimeError("the command ended well, but quantised nothing")
        seconds, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"quantise of ResNet-18, both variants, {arguments.images} images: {seconds:.0f} s, of which the processor "
        f"worked {used.ru_utime:.0f} s for it and {used.ru_stime:.0f} s for the system; "
        f"peak memory {used.ru_maxrss / 2**20:.1f} GiB"
    )
    if arguments.record and code == 0:
        name = f"`toolflow quantise` of ResNet-18 at 224×224, {arguments.images} images"
        record(f"{name}: time", round(seconds), "s", at_most=600)
        record(f"{name}: peak memory", round(used.ru_maxrss / 2**20, 1), "GiB")
    return code


if __name__ == "__main__":
    sys.exit(main())
