"""The resource model: predict what an engine configuration uses on a family of devices.

Memories and DSP blocks follow from geometry; LUTs and flip-flops are sums of the terms of `features.py` and `tile.py`,
with coefficients fitted to Yosys (`benchmarks/yosys_resources.py`, which writes `fit.json` and says how far the model
is off on configurations that the fit has not seen). The additions of engines with tiles are fitted on xc7 and xcup.
ECP5 takes those of xc7, with LUTs scaled by the ratio of engines without tiles.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from toolflow.engine.config import COLUMNS, EngineConfig
from toolflow.plan.resources.count import ResourceCount
from toolflow.plan.resources.family import family_of
from toolflow.plan.resources.features import MODULES, as_built, dsps, memories
from toolflow.plan.resources.memory import map_memory

FIT_FILE = "fit.json"
_PROBED_LANES = (2, 66)  # packings of lanes divide both
Coefficients = Mapping[str, Mapping[str, Mapping[str, float]]]


@dataclass(frozen=True)
class ResourceEstimate:
    """Predicted resources of one engine.

    Attributes:
        family: name of the device's family.
        parts: amounts of each part, largest number of LUTs first.
    """

    family: str
    parts: Mapping[str, ResourceCount]

    @property
    def total(self) -> ResourceCount:
        """The whole engine, in whole LUTs and flip-flops."""
        total = sum(self.parts.values(), ResourceCount())
        return ResourceCount(round(total.luts), round(total.flip_flops), total.dsps, total.block_rams, total.urams)


@cache
def fitted_coefficients() -> Mapping[str, Coefficients]:
    """Return LUTs and flip-flops per unit of each term: family → module → resource → term → amount."""
    text = resources.files("toolflow.plan.resources").joinpath(FIT_FILE).read_text(encoding="utf-8")
    coefficients: Mapping[str, Coefficients] = json.loads(text)["coefficients"]
    return coefficients


class LaneAmounts:
    """What engines take that differ in their lanes alone: `ResourceEstimate.total` of some tells that of all others.

    From two lanes on, every part of an engine is there once, or once for each lane. A memory as wide as all lanes, as
    fold and transposer have, is rounded to whole blocks: with tiles the amounts are within 1 %.

    Attributes:
        fixed: what is there once.
        per_lane: what every lane takes.
        in_fabric: what a lane takes more, and less than 0 of DSP blocks, if its products are made of LUTs; None if they
            cannot be.
    """

    def __init__(self, config: EngineConfig, family: str) -> None:
        """Estimate the engines; `config` is one of them, with any lanes."""
        least, most = _PROBED_LANES

        def total(lanes_p: int, fabric_lanes: int = 0) -> ResourceCount:
            lanes = {"lanes_p": lanes_p, "fabric_lanes": fabric_lanes}
            return estimate_resources(config.model_copy(update=lanes), family).total

        few, more, each = total(least), total(most), 1 / (most - least)
        self.per_lane = (more + few * -1) * each
        self.fixed = few + self.per_lane * -least
        self.in_fabric = None
        if config.dsp_primitive in COLUMNS and not config.narrow_bits:
            self.in_fabric = (total(most, most - least) + more * -1) * each

    def of(self, lanes_p: int, fabric_lanes: int = 0) -> ResourceCount:
        """Return what the engine with so many lanes takes; of a single lane, or by rounding, a few LUTs more."""
        amounts = self.fixed + self.per_lane * lanes_p
        return amounts + self.in_fabric * fabric_lanes if self.in_fabric and fabric_lanes else amounts


def module_amounts(name: str, config: EngineConfig, family: str) -> ResourceCount:
    """Return the LUTs and flip-flops of a module of `features.MODULES` in an engine."""
    terms, fitted = MODULES[name].terms(config), fitted_coefficients()[family][name]
    return ResourceCount(
        **{
            resource: sum(per_unit * terms[term] for term, per_unit in fitted[resource].items())
            for resource in ("luts", "flip_flops")
        }
    )


def read_split_amounts(bus_bits: int) -> ResourceCount:
    """Return what `cascade_read_split` takes on xc7 and xcup, read off Yosys at 256 bits: 385 LUTs, 470 flip-flops."""
    return ResourceCount(luts=130 + bus_bits, flip_flops=214 + bus_bits, block_rams=2 * -(-(bus_bits + 3) // 72))


def estimate_resources(config: EngineConfig, family: str) -> ResourceEstimate:
    """Return what `config` takes on `family`."""
    parts: dict[str, ResourceCount] = defaultdict(ResourceCount)
    config = as_built(config, family)
    for name, module in MODULES.items():
        parts[module.part] += module_amounts(name, config, family)
    for use in memories(config):
        mapped = map_memory(family, use.words, use.piece_bits, use.pieces, ultra=use.ultra, distributed=use.distributed)
        parts[use.part] += mapped.count * use.copies
    if config.confidence:
        parts["confidence"] += ResourceCount(block_rams=family_of(family).exponent_table_blocks)
    for name, blocks in dsps(config, family).items():
        parts[name] += ResourceCount(dsps=blocks)
    return ResourceEstimate(family, dict(sorted(parts.items(), key=lambda item: -item[1].luts)))
