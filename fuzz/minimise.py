"""Minimise a failing case: remove steps, channels, pixels and options while it still fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from fuzz.case import CALIBRATION_IMAGES, Case
from fuzz.network import IMAGE, InvalidNetworkError, Network, Numbers, Step

PLAIN_QUANTISE = {
    "weight_bits": 8, "activation_bits": 8, "first_last_bits": 8, "tile": 0, "pattern": None, "family": "multiplier",
    "ranges": "mse", "rounding": "nearest", "bias_correction": False, "equalise": False,
}  # fmt: skip
PLAIN_NUMBERS: Numbers = {
    "strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 0, 0), "groups": (1,), "ceil": (0,), "count_pads": (1,),
    "kernel": (1, 1),
}  # fmt: skip


def minimise(case: Case, fails: Callable[[Case], bool], limit_s: float = 60.0) -> Case:
    """Return the smallest failing case that is found.

    Args:
        case: a failing case.
        fails: returns whether a smaller case fails in the same way.
        limit_s: after this time the smallest case so far is returned.
    """
    end = time.monotonic() + limit_s
    found = True
    while found and time.monotonic() < end:
        found = False
        for smaller in _smaller(case):
            if time.monotonic() > end:
                break
            if _is_sound(smaller.network) and fails(smaller):
                case, found = smaller, True
                break
    return case


def _is_sound(network: Network) -> bool:
    try:
        network.shapes()
    except InvalidNetworkError:
        return False
    return True


def _smaller(case: Case) -> Iterator[Case]:
    """Yield cases with one simplification each, the largest first."""
    for network in _smaller_networks(case.network):
        yield replace(case, network=network)
    for levels in ((case.levels[-1],), case.levels[:1]):
        if levels != case.levels:
            yield replace(case, levels=levels)
    for name, value in PLAIN_QUANTISE.items():
        if case.quantise.get(name, value) != value:
            yield replace(case, quantise={**case.quantise, name: value})
    plain: dict[str, Any] = {
        "rule": None, "stalls": 0.0, "mean": 0.0, "std": 1.0, "images": ("noise", 1), "batch": None,
        "calibration": ("noise", CALIBRATION_IMAGES),
    }  # fmt: skip
    for name, value in plain.items():
        if getattr(case, name) != value:
            yield replace(case, **{name: value})


def _smaller_networks(network: Network) -> Iterator[Network]:
    yield from (replace(network, steps=network.steps[: i + 1]).without_unread() for i in range(len(network.steps) - 1))
    yield from (_without(network, step) for step in network.steps)
    for step in network.steps:
        for changed in _smaller_steps(step):
            steps = tuple(changed if other is step else other for other in network.steps)
            yield replace(network, steps=steps).without_unread()
    for axis in range(3):
        for size in _less(network.shape[axis]):
            yield replace(network, shape=(*network.shape[:axis], size, *network.shape[axis + 1 :]))


def _without(network: Network, gone: Step) -> Network:
    """Return the network without a step; the steps that read it now read its first input."""
    source = gone.inputs[0]
    steps = [
        replace(step, inputs=tuple(source if name == gone.name else name for name in step.inputs))
        for step in network.steps
        if step is not gone
    ]
    return replace(network, steps=tuple(steps)).without_unread() if steps else replace(network, steps=())


def _smaller_steps(step: Step) -> Iterator[Step]:
    if len(step.inputs) > 1:  # join fewer tensors, or replace one by the image
        for i in range(len(step.inputs)):
            yield replace(step, inputs=step.inputs[:i] + step.inputs[i + 1 :])
        for i, name in enumerate(step.inputs):
            if name != IMAGE:
                yield replace(step, inputs=(*step.inputs[:i], IMAGE, *step.inputs[i + 1 :]))
    elif step.inputs != (IMAGE,):
        yield replace(step, inputs=(IMAGE,))
    if step.style != "normal":
        yield replace(step, style="normal")
    for name, values in step.numbers.items():
        plain = PLAIN_NUMBERS.get(name)
        if plain is not None and values != plain:
            yield replace(step, numbers={**step.numbers, name: plain})
        for i, value in enumerate(values):
            least = 0 if name in ("pads", "ceil", "count_pads") else 1
            for less in _less(value, least):
                yield replace(step, numbers={**step.numbers, name: (*values[:i], less, *values[i + 1 :])})


def _less(value: int, least: int = 1) -> Iterator[int]:
    """Yield smaller values, the smallest first."""
    yield from dict.fromkeys(v for v in (least, value // 2, value - 1) if least <= v < value)
