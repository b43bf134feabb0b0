"""Detect networks that do not classify: one class for all images, or answers no better than chance."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from quant.cascade.statistics import normal_quantile, wilson_bounds
from toolflow.ir.unit import VariantName

Int64Array = npt.NDArray[np.int64]

CONFIDENCE = 0.95
REMEDIES = {
    "float": (
        "check that the images are normalised as in training (mean, std, scale, --reverse-channels), that the weights "
        "are the trained ones, and that labels count the classes in the network's order"
    ),
    VariantName.LOW: "give it more bits (--low-bits, --layer-bits)",
    VariantName.HIGH: "give it more bits (--high-bits, --layer-bits)",
}


def answer_warnings(
    network: Literal["float"] | VariantName, answers: Int64Array, labels: Int64Array | None, float_doubted: bool = False
) -> tuple[str, ...]:
    """Say where a network's answers show that it does not classify the images.

    Answers that are independent of the labels are right by chance: with q_c the share of class c among the answers and
    p_c among the labels, for a share Σ q_c·p_c of the images (J. Cohen, "A coefficient of agreement for nominal
    scales", Educational and Psychological Measurement 20 (1960) 37–46). Where the interval of the accuracy reaches down
    to that share, the labels do not show that the network does better. Labels of one class show nothing.

    Args:
        network: "float", or a variant's name.
        answers: class of each image, (N,), N >= 1.
        labels: (N,), or None.
        float_doubted: whether the float network has such warnings: then the number of bits is not to blame.
    """
    remedy = "fix the float network first" if float_doubted else REMEDIES[network]
    name = network if network == "float" else f"{network}-precision"
    given = None if labels is None or len(np.unique(labels)) == 1 else labels
    found = np.unique(answers)
    right = None if given is None else float((answers == given).mean())
    said = "" if right is None else f", {100 * right:.2f} % of them correctly"
    if len(found) == 1 and len(answers) > 1:
        if labels is not None and given is None and labels[0] == found[0]:
            return ()
        return (f"the {name} network answers class {found[0]} for all {len(answers):,} images{said}: {remedy}",)
    if given is None or right is None:
        return ()
    chance = _share_by_chance(answers, given)
    hits = int((answers == given).sum())
    if float(wilson_bounds(hits, len(answers), normal_quantile(CONFIDENCE))[0]) > chance:
        return ()
    return (
        f"the {name} network answers {100 * right:.2f} % of {len(answers):,} images correctly, which is not shown to "
        f"be better than chance ({100 * chance:.2f} % for such answers and labels): {remedy}",
    )


def _share_by_chance(answers: Int64Array, labels: Int64Array) -> float:
    classes = int(max(answers.max(), labels.max())) + 1
    counts = [np.bincount(each, minlength=classes) / len(each) for each in (answers, labels)]
    return float(counts[0] @ counts[1])
