"""The expected loss of accepting the low-precision unit's answer, for each image.

Where the two units disagree, a label says 1 (only the high-precision unit is right), −1 (only the other) or 0.
Near the threshold a few dozen such images decide, and their luck decides with them. Both units' logits hold more:
stacked, softmax(a·high + b·low) with a and b fitted to the labels by maximum likelihood (temperature scaling,
C. Guo et al., "On calibration of modern neural networks", ICML 2017, with a second classifier), they give
the probability of either answer, so every image counts with its expectation instead of one draw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

PRIOR_DEVIATION = 10.0
MAX_STEPS = 50


@dataclass(frozen=True)
class ExpectedLosses:
    """What is expected of a label not seen, for each image, (N,): 0 if both units answer the same.

    Attributes:
        loss: P(high-precision answer right) − P(low-precision answer right), within [−1, 1].
        square: expectation of the square of that 1, −1 or 0: the sum of both probabilities.
    """

    loss: FloatArray
    square: FloatArray


def expected_losses(low: Int64Array, high: Int64Array, labels: np.ndarray) -> ExpectedLosses:
    """Return what accepting the low-precision answer is expected to cost on each image.

    Args:
        low: integer logits of the low-precision unit, (N, K); their scale does not matter.
        high: the same of the high-precision unit.
        labels: class of each image, (N,).
    """
    features = np.stack([_standardised(high), _standardised(low)])
    weights = fit_stack(features, labels)
    probabilities = _softmax(np.tensordot(weights, features, axes=1))
    images, high_class, low_class = np.arange(len(low)), high.argmax(axis=1), low.argmax(axis=1)
    of_high, of_low = probabilities[images, high_class], probabilities[images, low_class]
    return ExpectedLosses(of_high - of_low, np.where(high_class == low_class, 0.0, of_high + of_low))


def fit_stack(features: FloatArray, labels: np.ndarray) -> FloatArray:
    """Return the weights w, (F,), for which softmax(Σ w_f·features_f) gives the labels the highest likelihood.

    Newton's method with halved steps; the problem is convex. A normal prior of deviation `PRIOR_DEVIATION` keeps
    the weights finite where every label is answered rightly.

    Args:
        features: logits of F classifiers, (F, N, K).
        labels: (N,).
    """
    count = features.shape[1]
    ridge = 1 / (PRIOR_DEVIATION**2 * count)
    right = features[:, np.arange(count), labels]

    def cost(weights: FloatArray) -> float:
        scores = np.tensordot(weights, features, axes=1)
        peak = scores.max(axis=1)
        likelihood = weights @ right - peak - np.log(np.exp(scores - peak[:, None]).sum(axis=1))
        return float(ridge / 2 * weights @ weights - likelihood.mean())

    weights = np.zeros(len(features))
    value = cost(weights)
    for _ in range(MAX_STEPS):
        p = _softmax(np.tensordot(weights, features, axes=1))
        mean = (p * features).sum(axis=2)
        gradient = (mean - right).mean(axis=1) + ridge * weights
        spread = np.einsum("nk,fnk,gnk->fg", p, features, features) / count - mean @ mean.T / count
        step = np.linalg.solve(spread + ridge * np.eye(len(weights)), gradient)
        size = 1.0
        while (reached := cost(weights - size * step)) > value and size > 1e-6:
            size /= 2
        if not reached < value:
            break
        weights, improvement, value = weights - size * step, value - reached, reached
        if improvement < 1e-12:
            break
    return np.asarray(weights, dtype=np.float64)


def _standardised(logits: Int64Array) -> FloatArray:
    deviation = float((logits - logits.mean(axis=1, keepdims=True)).std())
    return np.asarray(logits / (deviation or 1.0), dtype=np.float64)


def _softmax(scores: FloatArray) -> FloatArray:
    values = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(values / values.sum(axis=1, keepdims=True), dtype=np.float64)
