"""Fit the resource model to Yosys, and measure it on configurations that the fit has not seen.

    python benchmarks/yosys_resources.py fit --families xc7 xcup ecp5     # writes toolflow/plan/resources/fit.json
    python benchmarks/yosys_resources.py check --families xc7 xcup        # prints both and keeps Yosys' amounts
    python benchmarks/yosys_resources.py check --kept                     # compares with the amounts that were kept

`fit` synthesises each configuration of FIT module by module (hierarchy kept, copies of one module once, modules
that only the bus width and the confidence unit change left out where these repeat) and fits every module's
LUTs and flip-flops to its terms by non-negative least squares on relative errors; then, of the engines with tiles in
FIT_TILE, what is left over beside these to the terms that only engines with tiles have (`--only-tiles`: only this).
ECP5's of the latter are not fitted but taken from xc7: `fit --families ecp5 --tiles-of xc7`.
`check` synthesises each configuration of HELD_OUT and HELD_OUT_TILE as a whole, flattened, as a user would, and
compares. One run takes minutes; results are kept in build/yosys by the hash of sources and script.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from benchmarks.results import add_record_option, record, record_row
from benchmarks.yosys import CACHE, count_cells, label, made, modules_of, run_yosys, synthesise, yosys_command
from rtl_sim.primitives import models
from rtl_sim.timing.synthesis import unit_netlist
from toolflow.emit.rtl import emit_rtl, with_default_engine
from toolflow.engine.config import EngineConfig
from toolflow.plan.clock.estimate import RECORD_PATH, ClockRecord
from toolflow.plan.resources.count import ResourceCount
from toolflow.plan.resources.estimate import FIT_FILE, estimate_resources, fitted_coefficients
from toolflow.plan.resources.family import family_of
from toolflow.plan.resources.features import MODULES

REPOSITORY = Path(__file__).resolve().parent.parent
RECORD = REPOSITORY / "benchmarks" / "yosys_resources.json"
FIT_PATH = REPOSITORY / "toolflow" / "plan" / "resources" / FIT_FILE
TOLERANCE = 0.10
Kept = Mapping[str, Mapping[str, Any]]
NAMES = {
    "luts": "LUTs",
    "flip_flops": "flip-flops",
    "dsps": "DSPs",
    "block_rams": "block RAMs",
    "urams": "UltraRAMs",
}
COMMON = {"bank_depth": 1024, "weight_depth": 256}


def _config(
    lanes_k: int, lanes_p: int, slots: int, drain_k: int, sub_row: int, bits: tuple[int, int, int], **more: Any
) -> EngineConfig:
    names = ("weight_bits", "activation_bits", "accumulator_bits")
    shape = {"lanes_k": lanes_k, "lanes_p": lanes_p, "slots": slots, "drain_k": drain_k, "sub_row": sub_row}
    return EngineConfig(**{**COMMON, **shape, **dict(zip(names, bits, strict=True)), **more})


FIT = (
    _config(8, 4, 1, 1, 8, (8, 8, 32)),
    _config(4, 2, 4, 2, 16, (8, 8, 26)),
    _config(16, 4, 1, 4, 8, (4, 4, 18), bus_bits=64, confidence=False),
    _config(8, 2, 2, 1, 8, (4, 4, 18), bus_bits=64, multiplier="lut"),
    _config(6, 3, 1, 2, 4, (5, 6, 21), multiplier="lut"),
    _config(2, 2, 8, 1, 8, (8, 8, 28), bus_bits=256, table_words=2),
)
# synthesised without anything but the array, which dominates large engines and has most terms
FIT_ARRAY = (
    _config(4, 4, 1, 1, 8, (8, 8, 24)),
    _config(8, 8, 1, 1, 8, (8, 8, 24)),
    _config(4, 2, 2, 1, 8, (8, 8, 26)),
    _config(4, 2, 8, 1, 16, (8, 8, 27)),
    _config(8, 4, 1, 1, 4, (6, 6, 24)),
    _config(4, 4, 2, 1, 8, (4, 4, 16)),
    _config(4, 4, 1, 1, 8, (8, 4, 20)),
    _config(4, 4, 1, 1, 8, (4, 4, 20), multiplier="lut"),
    _config(4, 2, 8, 1, 8, (4, 4, 16), multiplier="lut"),
    _config(4, 4, 4, 1, 16, (4, 4, 16), multiplier="lut"),
    _config(4, 4, 2, 1, 8, (3, 3, 14), multiplier="lut"),
)
# of these only the module cascade_fabric, which engines whose array names no DSP block do not have
_PAIRS = {"dsp_primitive": "dsp48e2", "gather": False}
FIT_FABRIC = (
    _config(4, 4, 4, 1, 8, (8, 8, 26), **_PAIRS, pack_k=2, chain=2, fabric_lanes=2),
    _config(16, 2, 4, 1, 8, (8, 8, 26), **_PAIRS, chain=2, fabric_lanes=1),
    _config(16, 4, 4, 1, 8, (4, 4, 20), **_PAIRS, chain=4, fabric_lanes=2),
    _config(4, 4, 4, 1, 8, (4, 4, 20), dsp_primitive="dsp48e2", chain=4, fabric_lanes=2),
)
# engines with two precisions: what they have beside the engine that narrow programs see is fitted to the difference
_TWO = {**_PAIRS, "pack_k": 2, "narrow_bits": 4}
_TWO_CHAINS = {"xc7": 2, "xcup": 8}
FIT_PRECISIONS = (
    _config(8, 4, 4, 1, 8, (8, 8, 26), **_TWO, chain=4),
    _config(16, 4, 2, 2, 8, (8, 8, 26), **_TWO, chain=2),
    _config(8, 8, 4, 1, 8, (8, 8, 26), **_TWO, chain=4),
)
# engines with maps in external memory: what they have beside the engine without is fitted to the difference
FIT_MAPS = tuple(_config(4, 2, 1, 2, 8, (8, 8, 24), bus_bits=bits, external_maps=True) for bits in (64, 128, 256))
MAP_MODULES = ("load", "store", "decode", "sequencer", "walker", "engine")
# engines with one image in all lanes likewise; the last one is held out
FIT_STRIPES = tuple(
    _config(4, lanes_p, 2, 1, sub_row, (8, 8, 32), bus_bits=64, external_maps=True, gather=False, stripes=True)
    for lanes_p, sub_row in ((2, 8), (6, 8), (4, 4))
)
HELD_OUT_STRIPES = _config(4, 9, 2, 1, 8, (8, 8, 32), bus_bits=64, external_maps=True, gather=False, stripes=True)
STRIPES_MODULES = (*MAP_MODULES, "maxpool", "stripes")
# engines with tiles: what they have beside the others is fitted to what those terms leave over
FIT_TILE = (
    _config(4, 1, 1, 1, 4, (8, 8, 40)),  # of this one only the requantiser, whose sums are wide here too
    _config(8, 2, 1, 2, 8, (8, 8, 30), tile=2, transform_depth=64),
    _config(4, 1, 2, 1, 4, (8, 8, 26), tile=2, transform_depth=64),
    _config(16, 1, 1, 4, 16, (4, 4, 22), tile=2, transform_cycles=4, transform_depth=64, multiplier="lut"),
    _config(8, 1, 1, 2, 8, (10, 8, 36), tile=4, transform_cycles=2, transform_depth=144),
    _config(4, 2, 1, 1, 4, (8, 8, 34), tile=4, transform_depth=144),
    _config(8, 1, 2, 4, 16, (8, 6, 32), tile=4, transform_cycles=4, transform_depth=144),
)
# small ones first; the last is the engine of the main example, 256 multipliers
HELD_OUT = (
    _config(12, 3, 1, 4, 4, (6, 6, 24), bus_bits=64),
    _config(4, 4, 2, 4, 16, (8, 8, 27), bank_depth=2048),
    _config(16, 1, 8, 4, 8, (8, 8, 25)),
    _config(16, 8, 1, 2, 8, (4, 4, 20), multiplier="lut"),
    _config(16, 8, 2, 1, 8, (8, 8, 26)),
)
HELD_OUT_TILE = (
    _config(8, 2, 2, 4, 8, (8, 8, 30), tile=2, transform_cycles=2, transform_depth=128),
    _config(12, 1, 1, 2, 4, (8, 8, 36), tile=4, transform_cycles=2, transform_depth=288, bus_bits=64),
)
# products that Xilinx' synthesis leaves in LUTs; synth_ecp5 puts them into multiplier blocks
HELD_OUT_NARROW = (_config(8, 4, 1, 1, 8, (3, 3, 16), bus_bits=64),)

# modules that grow with nothing else of an engine with tiles than the tile
TILE_STEADY = ("decode", "sequencer", "requantise", "tile_reader", "tile_walker")
# modules that depend on nothing but the bus width and on whether there is a confidence unit
STEADY = (
    *("control", "fetch", "decode", "sequencer", "walker", "confidence", "exponent"),
    *("share", "axi_read", "axi_write", "fifo"),
)


def fit(
    families: Sequence[str],
    *,
    only_tiles: bool = False,
    only_fabric: bool = False,
    only_precisions: bool = False,
    only_maps: bool = False,
    only_stripes: bool = False,
) -> None:
    """Fit every module of every family, or only some, and write the coefficients."""
    document = json.loads(FIT_PATH.read_text(encoding="utf-8")) if FIT_PATH.exists() else {"coefficients": {}}
    for family in families:
        alone = {"precisions": only_precisions, "fabric": only_fabric, "maps": only_maps, "stripes": only_stripes}
        if any(alone.values()):
            (module,) = (name for name, only in alone.items() if only)
            measured = MEASURE[module](family)
            document["coefficients"][family][module] = {
                resource: _fit_terms(module, resource, [(c, a.by_name()[resource]) for c, a in measured], None)
                for resource in ("luts", "flip_flops")
            }
            continue
        if not only_tiles:
            fitted = _fit_modules(_measure(family), {})
            others = {name: document["coefficients"][family][name] for name in MEASURE}
            document["coefficients"][family] = {**fitted, **others}
        document["coefficients"][family] = _fit_modules(_measure_tiles(family), document["coefficients"][family])
    document["made_by"] = "benchmarks/yosys_resources.py fit"
    document["yosys"] = subprocess.run(
        [yosys_command(), "-V"], check=True, capture_output=True, text=True
    ).stdout.strip()
    document["configurations"] = [label(config) for config in (*FIT, *FIT_ARRAY, *FIT_TILE)]
    FIT_PATH.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def borrow(families: Sequence[str], source: str) -> None:
    """Write what engines with tiles add on `source` for families on which none was synthesised.

    LUTs are multiplied by what the engines of FIT take on the family for each LUT that they take on `source`.
    """
    document = json.loads(FIT_PATH.read_text(encoding="utf-8"))
    for family in families:
        totals = [sum(estimate_resources(config, name).total.luts for config in FIT) for name in (family, source)]
        for name in MODULES:
            plain, borrowed = _plain_terms(name), document["coefficients"][source][name]
            for resource, factor in (("luts", totals[0] / totals[1]), ("flip_flops", 1.0)):
                own = document["coefficients"][family].setdefault(name, {}).setdefault(resource, {})
                others = {term: round(factor * per, 6) for term, per in borrowed[resource].items() if term not in plain}
                document["coefficients"][family][name][resource] = {t: own[t] for t in own if t in plain} | others
    FIT_PATH.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _fit_modules(
    measured: Sequence[tuple[EngineConfig, dict[str, ResourceCount]]], fitted: Mapping[str, Any]
) -> dict[str, Any]:
    """Return every module's coefficients: those of terms of engines without tiles, or, beside these, the others."""
    coefficients: dict[str, Any] = {}
    for name in MODULES:
        coefficients[name] = {}
        for resource in ("luts", "flip_flops"):
            amounts = [(config, m[name].by_name()[resource]) for config, m in measured if name in m]
            known = dict(fitted.get(name, {}).get(resource, {}))
            known = {term: amount for term, amount in known.items() if term in _plain_terms(name)}
            coefficients[name][resource] = known | _fit_terms(name, resource, amounts, known if fitted else None)
    return coefficients


def _plain_terms(name: str) -> set[str]:
    """Return the terms of a module in engines without tiles."""
    return {
        term
        for config in (*FIT, *FIT_FABRIC, *FIT_PRECISIONS, *FIT_MAPS, *FIT_STRIPES)
        for term, amount in MODULES[name].terms(config).items()
        if amount
    }


def _measure(family: str) -> list[tuple[EngineConfig, dict[str, ResourceCount]]]:
    """Return the amounts of every module that was synthesised, for each configuration of the fit."""
    seen: set[tuple[int, bool]] = set()
    measured = []
    for config in FIT:
        known = (config.bus_bits, config.confidence) in seen
        seen.add((config.bus_bits, config.confidence))
        left_out = STEADY if known else ()
        found = modules_of(synthesise(config, family, by_module=True, without=left_out))
        present = [name for name in MODULES if name not in left_out]
        measured.append((config, {name: found.get(name, ResourceCount()) for name in present}))
    others = sorted({*MODULES, "ram"} - {"array", "engine"})
    for config in FIT_ARRAY:
        found = modules_of(synthesise(config, family, by_module=True, without=others))
        measured.append((config, {"array": found["array"]}))
    return measured


def _measure_fabric(family: str) -> list[tuple[EngineConfig, ResourceCount]]:
    """Return the amounts of cascade_fabric alone; families without columns of DSP blocks have none."""
    if family == "ecp5":
        return []
    measured = []
    for config in FIT_FABRIC:
        with tempfile.TemporaryDirectory(dir=made(CACHE)) as name:
            package, *files = emit_rtl(config, "single", Path(name) / "rtl")
            engine = with_default_engine(package.read_text(encoding="utf-8"), config)
            text = engine + "".join(path.read_text(encoding="utf-8") for path in [*files, *models()])
        commands = [
            "read_slang --threads 1 all.sv --top cascade_fabric",
            f"synth_xilinx -family {family} -top cascade_fabric -noiopad -flatten",
        ]
        statistics = run_yosys(commands, text, f"the products in LUTs of {label(config)} for {family}")
        measured.append((config, count_cells(statistics["design"]["num_cells_by_type"])))
    return measured


def _measure_precisions(family: str) -> list[tuple[EngineConfig, ResourceCount]]:
    """Return what engines with two precisions take beside the model's other terms, by pyosys' netlists.

    It is the difference from the engine with one precision whose lanes, banks and blocks they have.
    """
    measured = []
    for config in () if family == "ecp5" else FIT_PRECISIONS:
        chain = min(config.chain, _TWO_CHAINS[family])
        engine = EngineConfig(
            **{**config.model_dump(), "dsp_primitive": family_of(family).dsp.primitive, "chain": chain}
        )
        seen = {"narrow_bits": 0, "weight_bits": 4, "activation_bits": 4, "pack_p": 2}
        plain = EngineConfig(**{**engine.model_dump(), **seen})
        terms = MODULES["precisions"].terms(engine)
        fitted = fitted_coefficients()[family]["precisions"].items()
        own = ResourceCount(**{name: sum(per * terms[term] for term, per in each.items()) for name, each in fitted})
        model = estimate_resources(engine, family).total + (estimate_resources(plain, family).total + own) * -1
        found = [
            count_cells(Counter(cell.kind for cell in unit_netlist(each, family).cells)) for each in (engine, plain)
        ]
        measured.append((engine, found[0] + (found[1] + model) * -1))
    return measured


def _measure_maps(family: str) -> list[tuple[EngineConfig, ResourceCount]]:
    """Return what engines with maps in external memory take beside those without."""
    return [(config, _added(config, "external_maps", MAP_MODULES, family)) for config in FIT_MAPS]


def _measure_stripes(family: str) -> list[tuple[EngineConfig, ResourceCount]]:
    """Return what engines with one image in all lanes take beside those without."""
    return [(config, _added(config, "stripes", STRIPES_MODULES, family)) for config in FIT_STRIPES]


def _added(config: EngineConfig, parameter: str, modules: Sequence[str], family: str) -> ResourceCount:
    """Return what modules of an engine take more than without a parameter."""
    amounts = []
    for engine in (config, EngineConfig(**{**config.model_dump(), parameter: False})):
        others = sorted({*MODULES, "ram"} - {*modules})
        found = modules_of(synthesise(engine, family, by_module=True, without=others))
        amounts.append(sum((found.get(name, ResourceCount()) for name in modules), ResourceCount()))
    return amounts[0] + amounts[1] * -1


MEASURE = {
    "fabric": _measure_fabric, "precisions": _measure_precisions, "maps": _measure_maps, "stripes": _measure_stripes
}  # fmt: skip


def _measure_tiles(family: str) -> list[tuple[EngineConfig, dict[str, ResourceCount]]]:
    """Return the amounts of the modules that engines with tiles add or change."""
    tile_modules = {name for name, module in MODULES.items() if set(module.terms(FIT_TILE[0])) - _plain_terms(name)}
    everything = {*MODULES, "ram"} - {"engine"}
    seen: set[int] = set()
    measured = []
    for config in FIT_TILE:
        present = tile_modules - set(TILE_STEADY) if config.tile in seen else tile_modules
        seen.add(config.tile)
        if config.tile == 0:
            present = {"requantise"}
        left_out = everything - present - {"drain"}  # which holds the requantisers
        found = modules_of(synthesise(config, family, by_module=True, without=sorted(left_out)))
        measured.append((config, {name: found.get(name, ResourceCount()) for name in present}))
    return measured


def _fit_terms(
    name: str, resource: str, measured: Sequence[tuple[EngineConfig, float]], known: Mapping[str, float] | None
) -> dict[str, float]:
    """Fit a module's terms, or, where some are `known`, those of engines with tiles to what these leave over."""
    if not measured:
        return {}
    terms = [MODULES[name].terms(config) for config, _ in measured]
    plain = _plain_terms(name)
    names = [n for n in getattr(MODULES[name], resource) or terms[0] if (n in plain) == (known is None)]
    if not names:
        return {}
    weight = 1 / np.maximum(np.array([amount for _, amount in measured], dtype=float), 1)
    left = [
        amount - sum(per * t[n] for n, per in (known or {}).items())
        for (_, amount), t in zip(measured, terms, strict=True)
    ]
    amounts = np.array(left, dtype=float)
    matrix = np.array([[t[n] for n in names] for t in terms], dtype=float)
    scale = np.maximum(matrix.max(axis=0), 1e-9)
    solution, _ = nnls(matrix / scale * weight[:, None], amounts * weight)
    return {n: round(float(v / s), 6) for n, v, s in zip(names, solution, scale, strict=True) if v / s > 1e-6}


def check(families: Sequence[str], configs: Sequence[EngineConfig], *, kept: Kept | None, recorded: bool) -> bool:
    """Print predicted and synthesised amounts side by side; return whether all are within the tolerance.

    With `kept`, nothing is synthesised: it holds the amounts of engines by family and label.
    """
    errors: dict[tuple[str, str], list[float]] = defaultdict(list)
    amounts: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    if kept is not None:
        amounts = dict(kept)
    print("| family | configuration | resource | model | Yosys | error |\n|---|---|---|---|---|---|")
    for family in families:
        for config in configs:
            key = f"{family} {label(config)}"
            if kept is not None and key not in amounts:
                continue
            if kept is None:
                found = count_cells(synthesise(config, family, by_module=False)["design"]["num_cells_by_type"])
                amounts[key] = {"family": family, "config": config.model_dump(), "amounts": found.by_name()}
            model = estimate_resources(config, family).total.by_name()
            row: dict[str, float | str] = {}
            for resource, amount in amounts[key]["amounts"].items():
                error = model[resource] / amount - 1 if amount else float(model[resource] != 0)
                errors[family, resource].append(abs(error))
                if amount or model[resource]:
                    mark = "" if abs(error) <= TOLERANCE else " **missed**"
                    text = f"{100 * error:+.1f} %"
                    print(f"| {key} | {resource} | {model[resource]:g} | {amount:g} | {text}{mark} |", flush=True)
                    name = NAMES[resource]
                    row |= {f"{name}, model": _amount(model[resource]), f"{name}, Yosys": _amount(amount)}
                    row[f"{name}, error"] = text
            if recorded:
                record_row("resources", key, row)
            if configs is not FIT and kept is None:
                RECORD.write_text(json.dumps(amounts, indent=1) + "\n", encoding="utf-8")
    if recorded:
        for (family, resource), found_errors in errors.items():
            name = f"Resource model, {family}: largest error of {NAMES[resource]}"
            record(name, round(100 * max(found_errors), 1), "%", at_most=round(100 * TOLERANCE))
    return max(max(each) for each in errors.values()) <= TOLERANCE


def timed_engines() -> tuple[list[EngineConfig], Kept]:
    """Return the engines of the clock's record, which counts their netlists too, and these amounts."""
    document = ClockRecord.model_validate_json(RECORD_PATH.read_text(encoding="utf-8"))
    engines = [(EngineConfig.model_validate(engine.config), engine.amounts) for engine in document.engines]
    amounts = {
        f"{family} {label(config)}": {"amounts": own} for config, each in engines for family, own in each.items()
    }
    return [config for config, _ in engines], amounts


def _amount(amount: float) -> float:
    """Return an amount to one decimal, a whole one as an integer."""
    return int(amount) if amount == int(amount) else round(amount, 1)


def main() -> int:
    """Run one of the two commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["fit", "check"])
    parser.add_argument("--families", nargs="+", choices=["xc7", "xcup", "ecp5"], default=["xc7", "xcup", "ecp5"])
    parser.add_argument("--only-fabric", action="store_true", help="fit only products of LUTs beside DSP blocks")
    parser.add_argument("--only-precisions", action="store_true", help="fit only what a second precision adds (pyosys)")
    parser.add_argument("--only-maps", action="store_true", help="fit only what maps in external memory add")
    parser.add_argument("--only-stripes", action="store_true", help="fit only what one image in all lanes adds")
    parser.add_argument("--only-tiles", action="store_true", help="fit, or check, only what engines with tiles add")
    parser.add_argument(
        "--tiles-of", choices=["xc7", "xcup", "ecp5"], help="take what tiles add there instead of a fit"
    )
    parser.add_argument("--on-fit", action="store_true", help="check the configurations of the fit instead")
    parser.add_argument("--kept", action="store_true", help="check against the amounts that an earlier check kept")
    parser.add_argument("--timed", action="store_true", help="check against the amounts of the clock's record")
    add_record_option(parser)
    arguments = parser.parse_args()
    if arguments.command == "fit" and arguments.tiles_of:
        borrow(arguments.families, arguments.tiles_of)
        return 0
    if arguments.command == "fit":
        only = {"only_tiles", *(f"only_{name}" for name in MEASURE)}
        fit(arguments.families, **{name: getattr(arguments, name) for name in only})
        return 0
    held_out = HELD_OUT_TILE if arguments.only_tiles else (*HELD_OUT_NARROW, *HELD_OUT, *HELD_OUT_TILE)
    configs: Sequence[EngineConfig] = FIT if arguments.on_fit else held_out
    kept = json.loads(RECORD.read_text(encoding="utf-8")) if arguments.kept else None
    if arguments.timed:
        configs, kept = timed_engines()
    return 0 if check(arguments.families, configs, kept=kept, recorded=arguments.record) else 1


if __name__ == "__main__":
    sys.exit(main())
