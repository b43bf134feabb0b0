"""Write CIFAR-10 images as `.npz` files that toolflow reads: x uint8 (N, 32, 32, 3) and y.

    python benchmarks/cifar10_images.py cifar10_full_jpeg75_streams.npz OUT.npz [--part train|test] [--images N]

The input holds JPEG streams one behind the other, {part}_jpeg, where each begins, {part}_offset (N + 1), and {part}_y.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
from PIL import Image


def main() -> None:
    """Decode the streams and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("streams", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--part", choices=["train", "test"], default="train")
    parser.add_argument("--images", type=int, metavar="N", help="the first N alone")
    arguments = parser.parse_args()
    with np.load(arguments.streams, allow_pickle=False) as archive:
        jpeg, offset, y = (archive[f"{arguments.part}_{name}"] for name in ("jpeg", "offset", "y"))
    count = len(y) if arguments.images is None else min(arguments.images, len(y))
    streams = (io.BytesIO(jpeg[offset[i] : offset[i + 1]].tobytes()) for i in range(count))
    x = np.stack([np.asarray(Image.open(stream)) for stream in streams])
    np.savez_compressed(arguments.out, x=x, y=y[:count])
    print(f"{arguments.out}: {count:,} {arguments.part} images of {x.shape[1:]}")


if __name__ == "__main__":
    main()
