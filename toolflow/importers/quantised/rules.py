"""The requantisation of a layer's sums that equals what the file does with them, proven."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from toolflow.importers.quantised.fit import Rule, Steps, exact_rule, fit, steps_of_line, steps_of_table
from toolflow.importers.quantised.grids import common_step
from toolflow.importers.quantised.pointwise import affine, evaluate, last_step
from toolflow.importers.quantised.sums import Signal, Sums
from toolflow.ir.graph import Node
from toolflow.numerics.accumulator import FLOAT32_EXACT
from toolflow.numerics.requantise import Requantise
from toolflow.numerics.scales import multipliers
from toolflow.numerics.types import IntegerType, smallest_signed_bits
from toolflow.operators import BatchNorm, Relu
from toolflow.operators.fake_quant.spec import FakeQuant

Int64Array = npt.NDArray[np.int64]

LARGEST_FACTOR = 127


@dataclass(frozen=True)
class Rounded:
    """Integers with their rule.

    Attributes:
        weight: int64 (K, ..), the sums' weights, some channels multiplied.
        rule: from sums to integers.
        unit: real value of one integer.
        lower, upper: of the integers.
    """

    weight: Int64Array
    rule: Requantise
    unit: Fraction
    lower: int
    upper: int


def round_sums(sums: Sums, chain: Sequence[Node]) -> Rounded | None:
    """Return the rounding of a layer's sums by a chain of nodes as one requantisation; None if it is not one.

    Batch norms in front of the first rounding become part of the sums. What follows the first rounding must change no
    integer but by clipping.
    """
    first = next((i for i, node in enumerate(chain) if isinstance(node.op, FakeQuant)), None)
    if first is None:
        return None
    quant = chain[first].op
    assert isinstance(quant, FakeQuant)
    lower, upper = quant.lower, quant.upper
    clipped = False
    for node in chain[:first]:
        if isinstance(node.op, BatchNorm):
            if clipped:
                return None
            sums = sums.scaled(*affine(node))
        elif isinstance(node.op, Relu):
            clipped = True
            bounds = evaluate([chain[first]], np.array([[0.0, node.op.upper or 0.0]]))[0] / quant.step
            lower = max(lower, int(np.rint(bounds[0])))
            upper = upper if node.op.upper is None else min(upper, int(np.rint(bounds[1])))
    kept = _clipped_only(chain[first + 1 :], quant.step, lower, upper)
    if kept is None:
        return None
    lower, upper = kept
    if quant.bipolar:
        if clipped:
            return None
        return _round(sums, quant, -1, 1)
    return _round(sums, quant, lower, upper)


def _clipped_only(rest: Sequence[Node], step: float, lower: int, upper: int) -> tuple[int, int] | None:
    """Return the bounds that a chain clips integers of a step to; None if it changes them otherwise."""
    before = np.arange(lower, upper + 1, dtype=np.float64) * step
    channels = next((len(node.weights["scale"]) for node in rest if isinstance(node.op, BatchNorm)), 1)
    after = evaluate(rest, np.broadcast_to(before, (channels, len(before)))) / step
    found = np.rint(after)
    if (found != after).any() or (found != found[:1]).any():
        return None
    low, high = int(found[0, 0]), int(found[0, -1])
    if (found[0] != np.clip(np.arange(lower, upper + 1), low, high)).any():
        return None
    return low, high


def _round(sums: Sums, quant: FakeQuant, lower: int, upper: int) -> Rounded | None:
    unit = Fraction(quant.step)
    rules: list[Rule] = []
    smallest, largest = sums.bounds
    for k, (step, bias) in enumerate(zip(sums.step, sums.bias, strict=True)):
        slope = step / unit
        exact = exact_rule(slope, bias) if quant.rounding == "ROUND" and not quant.bipolar else None
        if quant.single and (exact is None or _reach(smallest[k], largest[k], exact.bias) >= FLOAT32_EXACT):
            return None
        if exact is not None and abs(exact.bias) < 1 << 31:
            rules.append(exact)
            continue
        reach = int(smallest[k]), int(largest[k])
        if quant.bipolar:
            steps = _sign_steps(bias, reach)
        else:
            steps = steps_of_line(slope, bias, (lower, upper), reach, quant.rounding)
        found = fit(steps, range(1, sums.most(k) + 1))
        if found is None:
            return None
        rules.append(found)
    return _rounded(sums, rules, unit, lower, upper)


def _reach(smallest: int, largest: int, bias: int) -> int:
    return max(abs(int(smallest) + bias), abs(int(largest) + bias)) + abs(bias)


def _sign_steps(bias: Fraction, reach: tuple[int, int]) -> Steps:
    """Return the steps of the sign of v + bias, 1 at 0."""
    begins = -(bias.numerator // bias.denominator)
    line = 2.0, 1.0 - 2.0 * begins
    if reach[0] < begins <= reach[1]:
        last, result = np.array([begins - 1] * 2), np.array([-1, 0])
        return Steps.of(last, result, reach, (-1, 1), (-1, 1), line)
    end = 1 if begins <= reach[0] else -1
    return Steps.of(np.zeros(0, np.int64), np.zeros(0, np.int64), reach, (end, end), (-1, 1), line)


def _rounded(sums: Sums, rules: list[Rule], unit: Fraction, lower: int, upper: int) -> Rounded:
    factors = np.array([rule.factor for rule in rules], dtype=np.int64)
    weight = sums.weight * factors.reshape(-1, *[1] * (sums.weight.ndim - 1))
    bias, multiplier, shift = np.array([(r.bias, r.multiplier, r.shift) for r in rules], dtype=np.int64).T.copy()
    return Rounded(weight, Requantise(bias, multiplier, shift, lower, upper), unit, lower, upper)


def raw_sums(sums: Sums, bits: int) -> Rounded | None:
    """Return the sums as they are, on one grid for all channels; None if `bits` signed bits do not hold them."""
    unit = common_step(sums.step)
    factors = [int(step / unit) for step in sums.step]
    if any(bias.denominator != 1 for bias in sums.bias) or max(factors) >= 1 << 16:
        return None
    smallest, largest = sums.bounds
    ends = [
        ((int(low) + int(bias)) * m, (int(high) + int(bias)) * m)
        for low, high, bias, m in zip(smallest, largest, sums.bias, factors, strict=True)
    ]
    held = smallest_signed_bits(min(low for low, _ in ends), max(high for _, high in ends))
    if held > bits:
        return None
    kind = IntegerType(held, signed=True)
    rules = [Rule(1, int(bias), m, 0) for bias, m in zip(sums.bias, factors, strict=True)]
    return _rounded(sums, rules, unit, kind.lower, kind.upper)


def nearest_logits(sums: Sums, bits: int) -> tuple[Rounded, float]:
    """Return sums that the file does not round as signed integers of `bits` bits, and how far they may be off.

    Raises:
        RatioError: the channels' steps are too different.
    """
    smallest, largest = sums.bounds
    steps, biases = (np.array([float(value) for value in column]) for column in (sums.step, sums.bias))
    bias = np.rint(biases)
    reach = np.maximum(np.abs(smallest + bias), np.abs(largest + bias))
    kind = IntegerType(bits, signed=True)
    unit = float((reach * steps).max()) / kind.upper or 1.0
    held = multipliers(steps / unit)
    off = np.abs(steps / unit - np.ldexp(held.multiplier.astype(np.float64), -held.shift)) * reach
    bound = float((0.5 * unit + off * unit + np.abs(biases - bias) * steps).max()) * (1 + 1e-9)
    given = zip(bias, held.multiplier, held.shift, strict=True)
    rules = [Rule(1, int(b), int(m), int(s)) for b, m, s in given]
    return _rounded(sums, rules, Fraction(unit), kind.lower, kind.upper), bound


def round_signal(signal: Signal, chain: Sequence[Node], identity: Sums) -> Rounded | Signal | None:
    """Return what a chain makes of a tensor: the tensor itself, one layer, or None if one layer cannot.

    Args:
        signal: the tensor.
        chain: the nodes.
        identity: the layer that passes each channel on.
    """
    operands = np.arange(signal.lower, signal.upper + 1, dtype=np.int64)
    if any(isinstance(node.op, BatchNorm) for node in chain) and any(getattr(n.op, "single", False) for n in chain):
        return None
    values = operands * float(signal.unit)
    channels = len(identity.weight) if any(isinstance(node.op, BatchNorm) for node in chain) else 1
    results = evaluate(chain, np.broadcast_to(values, (channels, len(values))))
    if (results == values).all():
        return signal
    step = last_step(chain)
    if step is None:
        step = float(signal.unit)
    integers = np.rint(results / step)
    if (integers * step != results).any():
        return None
    table = integers.astype(np.int64)
    clip = int(table.min()), int(table.max())
    found: dict[bytes, tuple[int, Rule] | None] = {}
    rules = []
    for k, row in enumerate(table):
        if row.tobytes() not in found:
            found[row.tobytes()] = _fit_row(operands, row, clip, _line(chain, signal, step, k))
        sign_and_rule = found[row.tobytes()]
        if sign_and_rule is None:
            return None
        sign, rule = sign_and_rule
        rules.append(replace(rule, factor=rule.factor * sign))
    rules *= len(identity.weight) // channels
    return _rounded(identity, rules, Fraction(step), *clip)


def _fit_row(
    operands: Int64Array, row: Int64Array, clip: tuple[int, int], line: tuple[float, float]
) -> tuple[int, Rule] | None:
    """Return -1 if the function of one channel falls, 1 if not, and its rule; None if none was found."""
    falls = bool(row[0] > row[-1])
    if falls:
        operands, row = -operands[::-1], row[::-1]
        line = -line[0], line[1]
    if (np.diff(row) < 0).any():
        return None
    rises = np.flatnonzero(np.diff(row))
    slope, offset = 1.0, 0.0
    if len(rises) > 1:
        slope, offset = np.polyfit(operands[rises] + 0.5, (row[rises] + row[rises + 1]) / 2, 1)
    elif len(rises):
        offset = float(row[rises[0]] + 0.5 - operands[rises[0]] - 0.5)
    for given in dict.fromkeys([line, (float(slope), float(offset))]):
        if given[0] > 0:
            rule = fit(steps_of_table(operands, row, clip, given), _factors())
            if rule is not None:
                return (-1 if falls else 1), rule
    return None


def _factors() -> list[int]:
    return [1, 2, 4, *range(LARGEST_FACTOR, 4, -1), 3]


def _line(chain: Sequence[Node], signal: Signal, step: float, channel: int) -> tuple[float, float]:
    """Return slope and offset, in results, of the line that a chain rounds first."""
    factor, summand = Fraction(1), Fraction(0)
    for node in chain:
        if isinstance(node.op, FakeQuant):
            break
        if isinstance(node.op, BatchNorm):
            factors, summands = affine(node)
            factor, summand = factor * factors[channel], summand * factors[channel] + summands[channel]
    return float(factor * signal.unit) / step, float(summand) / step
