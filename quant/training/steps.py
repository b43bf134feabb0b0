"""The steps of gradual pruning: the patterns on the way, and how long each step trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from quant.sparsity.choice import Choice
from toolflow.numerics.srbs import Pattern

STEP_SHRINKS = 0.6  # of the values that a sub-row keeps, from one step to the next


def gradual(choices: Mapping[str, Choice]) -> list[dict[str, Choice]]:
    """Return the choices of every step: half of each sub-row first, then 0.6 of what was kept, down to the pattern."""
    kept = {name: _descent(choice.pattern) for name, choice in choices.items()}
    count = max((len(values) for values in kept.values()), default=1)
    steps = []
    for index in range(count):
        step = {}
        for name, choice in choices.items():
            pattern = choice.pattern
            if pattern is not None:
                pattern = replace(pattern, kept=kept[name][min(index, len(kept[name]) - 1)])
            step[name] = Choice(choice.tile, pattern)
        steps.append(step)
    return steps


def _descent(pattern: Pattern | None) -> list[int]:
    if pattern is None:
        return []
    values = [max(pattern.sub_row // 2, pattern.kept)]
    while values[-1] > pattern.kept:
        values.append(max(round(STEP_SHRINKS * values[-1]), pattern.kept))
    return values


def epochs_of_steps(steps: int, epochs: int) -> list[int]:
    """Return how long each step trains: the last at least seven eighths of it all, the others equally long."""
    each = epochs // (8 * (steps - 1)) if steps > 1 else 0
    return [*[each] * (steps - 1), epochs - each * (steps - 1)]


def patterns_of(choices: Mapping[str, Choice]) -> str:
    """Return the patterns of a step, the commonest first."""
    patterns = [str(choice.pattern) for choice in choices.values() if choice.pattern is not None]
    return ", ".join(sorted(dict.fromkeys(patterns), key=lambda name: (-patterns.count(name), name)))
