"""Record the longest paths of a set of engines, from which the planner takes its clock, and measure that rule's error.

    python benchmarks/clock.py record --families xc7 xcup     # writes toolflow/plan/clock/record.json
    python benchmarks/clock.py check --families xc7 xcup      # engines that are not in the record, against the rule

Each engine is synthesised as a whole by Yosys (pyosys) for each family, which takes minutes; netlists are kept in the
user's cache by the hash of their sources. `record --only NAME …` replaces these engines of the record alone;
`check --only NAME …` measures these alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from benchmarks.results import add_record_option, record, record_row
from benchmarks.yosys import count_cells
from rtl_sim.timing.paths import TimingGraph
from rtl_sim.timing.report import found_paths
from rtl_sim.timing.synthesis import unit_netlist
from toolflow.engine.config import EngineConfig
from toolflow.plan.boards.board import all_boards
from toolflow.plan.clock.delays import fabrics, part_fabric
from toolflow.plan.clock.estimate import (
    DERATING,
    RECORD_PATH,
    ClockRecord,
    RecordedEngine,
    RecordedPath,
    estimate_clock,
)

Config = Mapping[str, int | str]


def _config(lanes_k: int, lanes_p: int, slots: int, accumulator_bits: int, **more: int | str) -> Config:
    common: dict[str, int | str] = {"bank_depth": 1024, "weight_depth": 256, "bus_bits": 64}
    shape: Config = {"lanes_k": lanes_k, "lanes_p": lanes_p, "slots": slots, "accumulator_bits": accumulator_bits}
    return {**common, **shape, **more}


def _packed(lanes_k: int, lanes_p: int, sub_row: int, primitive: str, chain: int, **more: int | str) -> Config:
    packed: Config = {"dsp_primitive": primitive, "pack_k": 2, "chain": chain, "gather": 0, "bias_bits": 24}
    return _config(lanes_k, lanes_p, 8, 24, sub_row=sub_row, **packed, **more)


RECORDED: Mapping[str, Config] = {
    "8 x 4 x 1": _config(8, 4, 1, 26),
    "8 x 2 x 1 tile 2": _config(8, 2, 1, 30, tile=2, transform_cycles=2, transform_depth=64),
    "8 x 4 x 2 W4A4 in LUTs, S = 16": _config(
        8, 4, 2, 20, drain_k=2, sub_row=16, weight_bits=4, activation_bits=4, multiplier="lut", bus_bits=128
    ),
    "8 x 1 x 1 tile 4": _config(8, 1, 1, 36, drain_k=2, tile=4, transform_cycles=2, transform_depth=144),
    "16 x 8 x 2": _config(16, 8, 2, 26, bus_bits=128),
    "8 x 3 x 8 in pairs of weights, a lane in LUTs": _packed(8, 3, 8, "dsp48e1", 2, fabric_lanes=1),
    "8 x 3 x 8 in pairs of weights, a lane in LUTs, chains of 8": _packed(8, 3, 8, "dsp48e2", 8, fabric_lanes=1),
    # as large as what the planner takes for ResNet-20 on PYNQ-Z2, and half as large as on KV260
    "16 x 4 x 8 in pairs of weights, 2 lanes in LUTs": _packed(
        16, 4, 8, "dsp48e1", 2, drain_k=2, bus_bits=128, fabric_lanes=2
    ),
    "16 x 15 x 8 in pairs of weights, S = 16": _packed(16, 15, 16, "dsp48e2", 8, bus_bits=128, bank_memory="ultra"),
}
BLOCK_FAMILIES = {"dsp48e1": ("xc7",), "dsp48e2": ("xcup",)}  # of engines that are built of such a block
HELD_OUT: Mapping[str, Config] = {
    "12 x 3 x 1 W6A6": _config(12, 3, 1, 24, drain_k=4, sub_row=4, weight_bits=6, activation_bits=6),
    "8 x 2 x 2 tile 2": _config(8, 2, 2, 30, drain_k=4, tile=2, transform_cycles=2, transform_depth=128),
    "16 x 8 x 8 in pairs of weights, S = 16": _packed(16, 8, 16, "dsp48e2", 4, bus_bits=128, bank_memory="ultra"),
    "16 x 4 x 8 in pairs of weights": _packed(16, 4, 8, "dsp48e1", 2, drain_k=2),
    "8 x 2 x 8 with two precisions": _packed(8, 2, 8, "dsp48e2", 4, narrow_bits=4),
    "8 x 4 x 1 with maps in external memory": _config(8, 4, 1, 26, external_maps=1),
}


def families_of(config: Config, families: Sequence[str]) -> Sequence[str]:
    """Return those families on which an engine can be built."""
    able = BLOCK_FAMILIES.get(str(config.get("dsp_primitive")), families)
    return [family for family in families if family in able]


def measure(config: Config, family: str) -> tuple[dict[str, float], dict[str, RecordedPath]]:
    """Return the resources of an engine's netlist, and its longest path on each fabric of a family at the scale 1."""
    netlist = unit_netlist(EngineConfig.model_validate(config), family)
    found = {}
    for name, fabric in fabrics(family).items():
        worst = next(found_paths(TimingGraph(netlist, fabric.delays)))
        path = worst.path
        found[f"{family}/{name}"] = RecordedPath(
            ns=round(path.delay_ns, 3),
            luts=path.luts,
            carries=path.carries,
            start=worst.start.register,
            end=worst.end.register,
        )
    return count_cells(Counter(cell.kind for cell in netlist.cells)).by_name(), found


def write_record(families: Sequence[str], only: Sequence[str], recorded: bool) -> None:
    """Measure the engines of the record, or those named, and write it after each; `recorded`: results.json too."""
    known: dict[str, RecordedEngine] = {}
    if RECORD_PATH.exists():
        old = ClockRecord.model_validate_json(RECORD_PATH.read_text(encoding="utf-8"))
        known = {engine.name: engine for engine in old.engines if engine.name in RECORDED}
    for name, config in RECORDED.items():
        if only and name not in only:
            continue
        for family in families_of(config, families):
            same = name in known and known[name].config == config
            amounts, paths = (known[name].amounts, known[name].paths) if same else ({}, {})
            own_amounts, own_paths = measure(config, family)
            known[name] = RecordedEngine(
                name=name,
                tile=int(config.get("tile", 0)),
                config=config,
                amounts={**amounts, family: own_amounts},
                paths={**paths, **own_paths},
            )
            for key, path in own_paths.items():
                print(f"{name}: {key} {path.ns:.2f} ns, {path.text}", flush=True)
            if recorded:
                record_paths(name, family, own_paths)
            engines = tuple(known[each] for each in RECORDED if each in known)
            document = ClockRecord(made_by="benchmarks/clock.py", yosys=f"pyosys {version('pyosys')}", engines=engines)
            text = json.dumps(document.model_dump(mode="json"), indent=1, ensure_ascii=False)
            RECORD_PATH.write_text(text + "\n", encoding="utf-8")


def record_paths(name: str, family: str, paths: Mapping[str, RecordedPath]) -> None:
    """Record the path of an engine on the boards of a family, each part once."""
    seen: set[tuple[str, str]] = set()
    for board in all_boards().values():
        if board.family != family:
            continue
        fabric, grade = part_fabric(family, board.part)
        if (fabric.name, grade) in seen:
            continue
        seen.add((fabric.name, grade))
        path = paths[f"{family}/{fabric.name}"]
        ns = path.ns * fabric.scale(grade, board.part)
        row = {"path": f"{ns:.2f} ns", "estimate": f"{1000 / ns:.0f} MHz"}
        row |= {"to plan with": f"{1000 / ns / DERATING:.0f} MHz", "longest path": path.text}
        record_row("clock_paths", f"{name}, {board.part}", row)


def check(families: Sequence[str], only: Sequence[str], recorded: bool) -> None:
    """Print the path by the rule and by the netlist for held-out engines, or those named, on each board."""
    worst = 0.0
    boards = [board for board in all_boards().values() if board.family in families]
    print("| engine | board | rule | netlist | error | path |\n|---|---|---|---|---|---|")
    for name, config in HELD_OUT.items():
        if only and name not in only:
            continue
        own = {
            key: path for family in families_of(config, families) for key, path in measure(config, family)[1].items()
        }
        for board in boards:
            if f"{board.family}/{part_fabric(board.family, board.part)[0].name}" not in own:
                continue
            fabric, grade = part_fabric(board.family, board.part)
            rule = estimate_clock(board.family, board.part, board.usable, int(config.get("tile", 0)))
            path = own[f"{board.family}/{fabric.name}"]
            ns = path.ns * fabric.scale(grade, board.part)
            worst = max(worst, abs(rule.path_ns / ns - 1))
            row = {"rule": f"{rule.path_ns:.2f} ns", "netlist": f"{ns:.2f} ns"}
            row |= {"error": f"{100 * (rule.path_ns / ns - 1):+.1f} %", "path": path.text}
            print(f"| {name} | {board.name} | {' | '.join(row.values())} |", flush=True)
            if recorded:
                record_row("clock_rule", f"{name}, {board.name}", row)
    if recorded:
        record("Clock rule: largest error of the path, engines not in the record", round(100 * worst, 1), "%")


def main() -> int:
    """Run one of the two commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["record", "check"])
    parser.add_argument("--families", nargs="+", choices=["xc7", "xcup"], default=["xc7", "xcup"])
    parser.add_argument("--only", nargs="+", choices=[*RECORDED, *HELD_OUT], default=[])
    add_record_option(parser)
    arguments = parser.parse_args()
    if arguments.command == "record":
        write_record(arguments.families, arguments.only, arguments.record)
    else:
        check(arguments.families, arguments.only, arguments.record)
    return 0


if __name__ == "__main__":
    sys.exit(main())
