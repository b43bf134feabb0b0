"""LUTs and DSP blocks for each product of whole engines, of the smallest engine and of one requantiser, by Yosys.

    python benchmarks/engine_area.py [--only NAME ..] [--record]
    python benchmarks/engine_area.py --only quads sparse_16 --model --record   # seconds: by the resource model

Every engine is synthesised as a whole and flattened, which takes up to hours and 20 GB of memory for one of 1,024
products; netlists are kept in the user's cache by the hash of their sources. With --model nothing is synthesised: the
figure is that of the resource model, which composes modules measured by Yosys, and its name says so. `drain_k` is the
smallest with which the drain lengthens ResNet-20's layers by at most 5 % of its cycles.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.results import SILICON, add_record_option, record
from benchmarks.yosys import count_cells
from rtl_sim.timing.synthesis import module_netlist, unit_netlist
from toolflow.engine.config import EngineConfig
from toolflow.plan.resources.count import ResourceCount
from toolflow.plan.resources.estimate import estimate_resources

# Accumulators and biases as wide as the 8-bit layers of ResNet-20 need at most, and its 4-bit ones.
_LARGE: Mapping[str, Any] = {
    "bank_depth": 1024, "weight_depth": 256, "bus_bits": 128, "accumulator_bits": 24, "bias_bits": 24,
}  # fmt: skip
_DENSE: Mapping[str, Any] = {**_LARGE, "lanes_k": 16, "lanes_p": 8, "slots": 8, "gather": False}
_PAIRS: Mapping[str, Any] = {"dsp_primitive": "dsp48e2", "pack_p": 2}
_FOUR_BITS: Mapping[str, Any] = {"weight_bits": 4, "activation_bits": 4, "accumulator_bits": 18, "bias_bits": 18}


@dataclass(frozen=True)
class Area:
    """An engine whose area is a figure.

    Attributes:
        title: of the figure.
        family: of devices.
        config: parameters of the engine.
        luts, dsps: the most of each for a product, or of the whole engine.
        before: LUTs and DSP blocks before, in words.
        whole: whether the engine counts as a whole.
    """

    title: str
    family: str
    config: Mapping[str, Any]
    luts: float | None
    dsps: float | None
    before: tuple[float | str, float | str]
    whole: bool = False


AREAS = {
    "dense": Area(
        "Dense engine, 1,024 products, W8A8, 16 × 8 × 8, pairs of positions in chains of 4, drain 1",
        "xcup", {**_DENSE, **_PAIRS, "chain": 4}, 40, 0.55, (105, 1.0),
    ),
    "dense_weights": Area(
        "Dense engine, 1,024 products, W8A8, 16 × 8 × 8, pairs of weights in chains of 4, drain 1",
        "xcup", {**_DENSE, "dsp_primitive": "dsp48e2", "pack_k": 2, "chain": 4}, 40, 0.55, (105, 1.0),
    ),
    "quads": Area(
        "Dense engine, 2,048 products, W4A4, 16 × 16 × 8, quads in chains of 8, drain 1",
        "xcup", {**_DENSE, **_FOUR_BITS, **_PAIRS, "lanes_p": 16, "pack_k": 2, "chain": 8}, None, 0.3,
        ("LUT multipliers", "LUT multipliers"),
    ),
    "sparse_8": Area(
        "Sparse engine, any n:8, 1,024 products, W8A8, 16 × 8 × 8, pairs of positions in chains of 4, drain 1",
        "xcup", {**_DENSE, **_PAIRS, "chain": 4, "gather": True}, 65, None, (105, 1.0),
    ),
    "sparse_16": Area(
        "Sparse engine, any n:16, 1,024 products, W8A8, 16 × 8 × 8, pairs of positions in chains of 4, drain 1",
        "xcup", {**_DENSE, **_PAIRS, "chain": 4, "gather": True, "sub_row": 16}, 100, None, ("about 140", 1.0),
    ),
    "smallest": Area(
        "Smallest engine, 4 × 1 × 1, W8A8, S = 8, bus 64, with confidence",
        "xc7",
        {**_LARGE, "lanes_k": 4, "lanes_p": 1, "bus_bits": 64},
        8000, None, ("about 12,000", ""), whole=True,
    ),
}  # fmt: skip
REQUANTISER = "requantiser"
REQUANTISER_FAMILIES = ("xc7", "xcup")


def measure(config: EngineConfig, family: str) -> ResourceCount:
    """Return the resources of a whole engine's netlist."""
    return count_cells(Counter(cell.kind for cell in unit_netlist(config, family).cells))


def show(area: Area, *, modelled: bool, recorded: bool) -> None:
    """Print what an engine takes beside the model of resources, or by the model alone, and record its figures."""
    config = EngineConfig.model_validate(area.config)
    model = estimate_resources(config, area.family).total
    found = model if modelled else measure(config, area.family)
    products = 1 if area.whole else config.multipliers
    print(
        f"{area.title}, {area.family}: {found.luts:,.0f} LUTs (model {model.luts:,.0f}), {found.dsps:,.0f} DSPs (model "
        f"{model.dsps:,.0f}), {found.flip_flops:,.0f} flip-flops, {found.block_rams:g} block RAMs; for each of "
        f"{config.multipliers:,} products {found.luts / config.multipliers:.1f} LUTs and "
        f"{found.dsps / config.multipliers:.3f} DSPs",
        flush=True,
    )
    if not recorded:
        return
    each = "" if area.whole else " for each product"
    name, digits = f"{area.title}, {area.family}", 0 if area.whole else 1
    name += ", by the resource model" if modelled else ""
    luts = round(found.luts / products, digits)
    record(
        f"{name}: LUTs{each}", int(luts) if area.whole else luts, at_most=area.luts, before=area.before[0],
        table=SILICON,
    )  # fmt: skip
    if not area.whole:
        dsps = round(found.dsps / products, 3)
        record(f"{name}: DSPs{each}", dsps, at_most=area.dsps, before=area.before[1], table=SILICON)


def show_requantiser(family: str, *, recorded: bool) -> None:
    """Print and record the LUTs of one requantiser with a 16-bit multiplier."""
    config = EngineConfig.model_validate(AREAS["smallest"].config)
    netlist = module_netlist(config, family, "cascade_requantise", {"AccumulatorBits": "24", "BiasBits": "24"})
    found = count_cells(Counter(cell.kind for cell in netlist.cells))
    print(f"requantiser, {family}: {found.luts:,.0f} LUTs, {found.dsps:,.0f} DSPs, {found.flip_flops:,.0f} flip-flops")
    if recorded:
        name = f"One requantiser, 16-bit multiplier, accumulator and bias of 24 bits, {family}: LUTs"
        record(name, int(found.luts), at_most=250, before=680, table=SILICON)


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[REQUANTISER, *AREAS], default=[REQUANTISER, *AREAS])
    parser.add_argument("--model", action="store_true", help="take the resource model's figure, synthesise nothing")
    add_record_option(parser)
    arguments = parser.parse_args()
    for name in arguments.only:
        if name == REQUANTISER:
            for family in REQUANTISER_FAMILIES:
                show_requantiser(family, recorded=arguments.record)
        else:
            show(AREAS[name], modelled=arguments.model, recorded=arguments.record)


if __name__ == "__main__":
    main()
