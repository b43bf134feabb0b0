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

from toolflow.engine.config import EngineConfig
from toolflow.plan.resources.count import ResourceCount
from toolflow.plan.resources.family import family_of
from toolflow.plan.resources.features import MODULES, as_built, dsps, memories
from toolflow.plan.resources.memory import map_memory

FIT_FILE = "fit.json"
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


def estimate_resources(config: EngineConfig, family: str) -> ResourceEstimate:
    """Return what `config` takes on `family`."""
    parts: dict[str, ResourceCount] = defaultdict(ResourceCount)
    config = as_built(config, family)
    fitted = fitted_coefficients()[family]
    for name, module in MODULES.items():
        terms = module.terms(config)
        amounts = {
            resource: sum(per_unit * terms[term] for term, per_unit in fitted[name][resource].items())
            for resource in ("luts", "flip_flops")
        }
        parts[module.part] += ResourceCount(**amounts)
    for use in memories(config):
        mapped = map_memory(family, use.words, use.piece_bits, use.pieces, ultra=use.ultra, distributed=use.distributed)
        parts[use.part] += mapped.count * use.copies
    if config.confidence:
        parts["confidence"] += ResourceCount(block_rams=family_of(family).exponent_table_blocks)
    for name, blocks in dsps(config, family).items():
        parts[name] += ResourceCount(dsps=blocks)
    return ResourceEstimate(family, dict(sorted(parts.items(), key=lambda item: -item[1].luts)))
