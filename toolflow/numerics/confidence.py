"""The cascade's confidence: integers only, no division.

Normative for the reference, the program executor, the HLS engine and the RTL engine. For one image
with K logits (int16), class i's logit being l[i]:

1.  max   = largest l[i]; class = the lowest i with l[i] = max.
2.  d[i]  = max − l[i]                       unsigned, 16 bits (at most 32767 + 32768 = 65535)
3.  P[i]  = d[i]·k                           unsigned, 32 bits (16 × 16); k is unsigned, 16 bits
4.  x[i]  = P[i] >> 12                       unsigned, 20 bits: 12 integer bits, 8 fraction bits; truncated
5.  n[i]  = x[i] >> 8, f[i] = x[i] & 255     n: 12 bits, f: 8 bits
6.  e[i]  = 0 if n[i] >= 16 else TABLE[f[i]] >> n[i]        unsigned, 16 bits; e = 65535 where d = 0
7.  order = classes by descending logit, on a tie the lowest index first
8.  top   = Σ of e over the first M of the order            unsigned, 19 bits (at most 8·65535)
    next  = Σ of e over places M+1 .. N of the order        unsigned, 19 bits
    total = Σ of e over all K classes                       unsigned, 16 + ceil(log2 K) bits: 26 for K <= 1024
    Places beyond K count as 0.
9.  numerator = top − next                                  signed, 20 bits
10. confident = numerator·2^16 >= threshold·total
                left: signed, 36 bits; right: 32-bit signed threshold × total, 58 bits signed for K <= 1024

TABLE[f] = round(2^16 · 2^(−f/256)), TABLE[0] clipped to 65535: 256 entries of 16 bits (`EXPONENT_TABLE`).
Neither k nor a logit can overflow anything: every product above has the full width of its operands.

e depends on the logit alone and never rises where the logit falls. So equal logits may be taken in any
order, the sums of step 8 are also those over the N largest *e*, and the order matters for `class` only.

k = round(scale·log2(e)·2^20 / temperature), from 1 to 65535, where scale is the real value of one logit
step and the temperature (1 in a plain softmax) belongs to the calibration. A logit scale of 2^-12 gives
k = 369, one of 2^-8 gives 5909; 0.043 is the largest that fits without flattening the softmax.

threshold is a share of the total in units of 2^-16. As |numerator| <= total, -65536 and below accept
every image and 65537 and above accept none; 65536 accepts only numerator = total.

M <= N <= 8. M = N = 0 makes numerator 0: with a threshold of 0 or below the unit then accepts every image
(`ACCEPT_ALL`), which is what a program without a rule carries.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

LOGIT_BITS = 16
K_BITS = 16
K_FRACTION_BITS = 20
PRODUCT_SHIFT = 12
X_FRACTION_BITS = 8
EXPONENTIAL_BITS = 16
MAX_N = 8
THRESHOLD_ONE = 1 << 16
ALWAYS = -THRESHOLD_ONE
NEVER = THRESHOLD_ONE + 1
CHUNK_ELEMENTS = 1 << 20

EXPONENT_TABLE: Int64Array = np.array(
    [min(round(2.0 ** (EXPONENTIAL_BITS - f / 256)), (1 << EXPONENTIAL_BITS) - 1) for f in range(256)],
    dtype=np.int64,
)


@dataclass(frozen=True)
class ConfidenceRule:
    """What a program's header tells the confidence unit.

    Attributes:
        k: logit step in units of 2^-20 octaves, unsigned 16 bits (`confidence_k`).
        m: M, places of the order that count for the answer.
        n: N, last place that counts at all; places M+1 .. N count against the answer.
        threshold: int32, units of 2^-16 of the total.
    """

    k: int
    m: int
    n: int
    threshold: int

    def __post_init__(self) -> None:
        if not 0 <= self.k < 1 << K_BITS:
            raise ValueError(f"k must lie within [0, {(1 << K_BITS) - 1}], not {self.k}")
        if not 0 <= self.m <= self.n <= MAX_N:
            raise ValueError(f"M and N must be 0 <= M <= N <= {MAX_N}, not M = {self.m}, N = {self.n}")
        if not -(1 << 31) <= self.threshold < 1 << 31:
            raise ValueError(f"threshold must fit 32 signed bits, not {self.threshold}")


ACCEPT_ALL = ConfidenceRule(k=0, m=0, n=0, threshold=ALWAYS)


@dataclass(frozen=True)
class ConfidenceResult:
    """What the unit computes for each image; every array has shape (N,).

    Attributes:
        klass: index of the largest logit, int64.
        confident: whether the answer stands, bool.
        numerator, total: both sides of the test, int64.
    """

    klass: Int64Array
    confident: BoolArray
    numerator: Int64Array
    total: Int64Array


def confidence_k(scale: float, temperature: float = 1.0) -> int:
    """Return k for logits of real value integer · `scale`, limited to 1 .. 65535.

    Raises:
        ValueError: scale or temperature is not positive and finite.
    """
    for what, value in (("a logit scale", scale), ("a temperature", temperature)):
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{what} must be positive and finite, not {value}")
    wanted = round(math.ldexp(scale * math.log2(math.e) / temperature, K_FRACTION_BITS))
    return min(max(wanted, 1), (1 << K_BITS) - 1)


def exponentials(logits: Int64Array, k: int) -> Int64Array:
    """Return e, steps 1 to 6: int64 of the logits' shape (N, K), K >= 1.

    Raises:
        ValueError: the logits are not a matrix of int16 values with at least one column.
    """
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ValueError(f"logits must have shape (N, K) with K >= 1, not {logits.shape}")
    bound = 1 << (LOGIT_BITS - 1)
    if logits.size and (logits.min() < -bound or logits.max() >= bound):
        raise ValueError(f"logits must fit {LOGIT_BITS} signed bits, not [{logits.min()}, {logits.max()}]")
    wide = logits.astype(np.int64)
    distance = wide.max(axis=1, keepdims=True) - wide
    x = (distance * k) >> PRODUCT_SHIFT
    whole = np.minimum(x >> X_FRACTION_BITS, EXPONENTIAL_BITS)  # TABLE >> 16 is 0 as well
    return np.asarray(EXPONENT_TABLE[x & ((1 << X_FRACTION_BITS) - 1)] >> whole, dtype=np.int64)


def leading(logits: Int64Array, k: int) -> tuple[Int64Array, Int64Array]:
    """Return the MAX_N largest e of each image in descending order, (N, 8), zeros beyond K, and total (N,)."""
    count, classes = logits.shape
    places = np.zeros((count, MAX_N), dtype=np.int64)
    total = np.zeros(count, dtype=np.int64)
    rows = max(CHUNK_ELEMENTS // max(classes, 1), 1)
    for start in range(0, count, rows):
        part = slice(start, start + rows)
        values = exponentials(logits[part], k)
        total[part] = values.sum(axis=1)
        kept = min(MAX_N, classes)
        largest = values if kept == classes else np.partition(values, classes - kept, axis=1)[:, -kept:]
        places[part, :kept] = np.sort(largest, axis=1)[:, ::-1]
    return places, total


def numerators(places: Int64Array, m: int, n: int) -> Int64Array:
    """Return top − next, steps 8 and 9, from `leading`'s places (N, 8)."""
    return np.asarray(places[:, :m].sum(axis=1) - places[:, m:n].sum(axis=1), dtype=np.int64)


def accepts(numerator: Int64Array, total: Int64Array, threshold: int) -> BoolArray:
    """Return the test of step 10, arrays (N,)."""
    return np.asarray(numerator * THRESHOLD_ONE >= np.int64(threshold) * total)


def evaluate(logits: Int64Array, rule: ConfidenceRule) -> ConfidenceResult:
    """Apply `rule` to int64 logits (N, K).

    Raises:
        ValueError: the logits are not a matrix of int16 values with at least one column.
    """
    places, total = leading(logits, rule.k)
    numerator = numerators(places, rule.m, rule.n)
    klass = np.asarray(logits.argmax(axis=1), dtype=np.int64) if len(logits) else np.zeros(0, dtype=np.int64)
    return ConfidenceResult(klass, accepts(numerator, total, rule.threshold), numerator, total)
