"""From which step of a pass over one image on the next image may be loaded: the words that it takes are free then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from toolflow.engine.config import EngineConfig
from toolflow.engine.places import BankPlace
from toolflow.engine.positions import row_cycles
from toolflow.engine.steps import Compute, Fill, Load, Pool, Shift, Spill, Step, moved_rows


def with_load_ahead(steps: Sequence[Step], config: EngineConfig) -> tuple[Step, ...]:
    """Return steps whose load names the first step beside which, and beside all later ones, the next image may come.

    There must be one load, and behind that step no map may move (PROGRAM.md). The steps must take as long as the image,
    of which a word comes in every second cycle.
    """
    loads = [step for step in steps if isinstance(step, Load)]
    first, names = None, Counter(step.name for step in steps if isinstance(step, Compute | Pool))
    cycles = 0.0
    for step in reversed(steps) if len(loads) == 1 else ():
        if isinstance(step, Load | Fill | Spill) or _end(step, config) > loads[0].out.base:
            break
        if isinstance(step, Compute | Pool):
            weights = step.weight_bytes(config) / config.bus_bytes if isinstance(step, Compute) else 0.0
            cycles += max(row_cycles(config, step) * step.region.height, weights)
            first = step if names[step.name] == 1 else first
    if first is None or cycles < 2 * _loaded_words(loads[0], config):
        return (*steps,)
    return tuple(replace(step, ahead=first.name) if isinstance(step, Load) else step for step in steps)


def _loaded_words(load: Load, config: EngineConfig) -> int:
    return moved_rows(load, config.lanes_p) * load.out.width * load.out.words


def _end(step: Step, config: EngineConfig) -> int:
    """Return the word after the last one of the banks that a step reads or writes."""
    if not isinstance(step, Compute | Pool | Shift):
        return 0
    ends = [step.source.end + (step.overrun(config) if isinstance(step, Compute) else 0)]
    if isinstance(step.out, BankPlace):
        ends.append(step.out.end)
    if isinstance(step, Compute) and step.residual is not None:
        ends.append(step.residual.source.end)
    return max(ends)
