"""Split images into those that choose the rule and those that report on it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from toolflow.ir.errors import ToolflowError

Int64Array = npt.NDArray[np.int64]


def stratified_split(
    images: int, labels: np.ndarray | None, calibration_share: float = 0.5, seed: int = 0
) -> tuple[Int64Array, Int64Array]:
    """Return the indices of calibration and held-out images, both ascending, disjoint, together all images.

    Images are shuffled, sorted by class, and every 1/share-th is taken: each class is split in the same
    proportion to within one image.

    Raises:
        ToolflowError: a part would be empty, or there is not one label for each image.
    """
    if not 0 < calibration_share < 1:
        raise ToolflowError(f"the calibration share must lie between 0 and 1, not {calibration_share}")
    if labels is not None and labels.shape != (images,):
        raise ToolflowError(f"labels must have shape ({images},), one for each image, not {labels.shape}")
    order = np.random.default_rng(seed).permutation(images)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    steps = np.floor(np.arange(images + 1) * calibration_share)
    chosen = np.zeros(images, dtype=bool)
    chosen[order] = np.diff(steps) > 0
    if chosen.all() or not chosen.any():
        raise ToolflowError(
            f"{images} image(s) cannot be split {calibration_share:.0%} to {1 - calibration_share:.0%}: "
            "give more images, so that some can be held out for the report"
        )
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)
