"""Activations that both importers make of rectifiers, constants for each channel and sums.

    leaky_relu(x, a)   =>   a·x + relu((1 − a)·x)
    clip(x, a, b)      =>   relu6((x − a)·f) / f + a, with f = 6 / (b − a)

Each part is an operator that the engine has, so that its integers are exact on every level. A function notes a problem
and returns None if it cannot say what is meant.
"""

from __future__ import annotations

import numpy as np

from toolflow.importers import vocabulary
from toolflow.importers.builder import Array, GraphBuilder, Place, Value
from toolflow.operators import Relu

UNBOUNDED = 3e38  # exporters write the largest float32 where they mean no bound


def clip(build: GraphBuilder, place: Place, x: Value | None, lower: float | None, upper: float | None) -> Value | None:
    """Return min(max(x, lower), upper); None and infinite bounds bound nothing."""
    lower = None if lower is not None and lower <= -UNBOUNDED else lower
    upper = None if upper is not None and upper >= UNBOUNDED else upper
    if x is None or (lower is None and upper is None):
        return x
    if lower is None:
        turned = clip(build, place, _linear(build, place, x, -1.0, upper), 0.0, None)
        return _linear(build, place, turned, -1.0, upper)
    if lower == 0 and upper in (None, 6):
        return build.emit(place, Relu(upper), [x])
    if upper is None:
        return _linear(build, place, clip(build, place, _linear(build, place, x, 1.0, -lower), 0.0, None), 1.0, lower)
    if not lower < upper:
        build.problem(place, "bounds", f"[{lower}, {upper}]", "a lower bound below the upper one")
        return None
    factor = 6 / (upper - lower)
    bounded = clip(build, place, _linear(build, place, x, factor, -lower * factor), 0.0, 6.0)
    return _linear(build, place, bounded, 1 / factor, lower)


def leaky_relu(build: GraphBuilder, place: Place, x: Value, slope: Array) -> Value | None:
    """Return x where it is positive, else slope·x; any slope, one number or one for each channel."""
    bend = 1 - slope
    line = vocabulary.scale_shift(build, place, x, slope)
    scaled = vocabulary.scale_shift(build, place, x, np.abs(bend))
    part = None if scaled is None else build.emit(place, Relu(), [scaled])
    if part is not None and (bend < 0).any():
        part = vocabulary.scale_shift(build, place, part, np.where(bend < 0, -1.0, 1.0))
    return None if line is None or part is None else vocabulary.add(build, place, line, part)


def larger(build: GraphBuilder, place: Place, a: Value, b: Value, sign: float = 1.0) -> Value | None:
    """Return the larger of two maps, element by element, a + relu(b − a); the smaller if the sign is −1."""
    difference = vocabulary.add(build, place, b, a, -1.0) if sign > 0 else vocabulary.add(build, place, a, b, -1.0)
    part = None if difference is None else build.emit(place, Relu(), [difference])
    return None if part is None else vocabulary.add(build, place, a, part, sign)


def hard_sigmoid(build: GraphBuilder, place: Place, x: Value, slope: float, middle: float) -> Value | None:
    """Return min(max(slope·x + middle, 0), 1)."""
    return clip(build, place, _linear(build, place, x, slope, middle), 0.0, 1.0)


def _linear(build: GraphBuilder, place: Place, x: Value | None, factor: float, summand: float | None) -> Value | None:
    if x is None or (factor == 1 and not summand):
        return x
    return vocabulary.scale_shift(build, place, x, np.full(1, factor), np.full(1, summand or 0.0))
