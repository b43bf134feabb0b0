"""The command line of the timing estimate; see --help."""

from __future__ import annotations

import argparse
import json
import sys
from itertools import islice

from pydantic import ValidationError

from rtl_sim.timing.paths import TimingGraph
from rtl_sim.timing.report import derated_mhz, distinct_paths, path_line, path_lines, worst_by_module
from rtl_sim.timing.synthesis import FAMILIES, check_family, module_netlist, unit_netlist
from toolflow.engine.config import EngineConfig
from toolflow.ir.errors import ToolflowError
from toolflow.plan.clock.delays import grade_delays, part_delays

DESCRIPTION = """\
Estimate the longest register-to-register paths of a unit, or of one module, on AMD devices.

  python -m rtl_sim.timing --engine lanes_k=8,lanes_p=4,bus_bits=64,bank_depth=1024,weight_depth=256 --family xc7
  python -m rtl_sim.timing --engine lanes_k=8,lanes_p=2,tile=2,transform_depth=64 --part xck26-sfvc784-2LV-c --modules
  python -m rtl_sim.timing --top cascade_walker --engine lanes_k=8,lanes_p=4,bus_bits=64 --family xc7

Yosys (pyosys) synthesises the unit, which takes one to three minutes for a small engine. Netlists are kept in the
user's cache by the hash of the sources: asking again takes seconds. The delays are in boards/delays. Ports count as
registers beside the unit. Levels are exact for this netlist; nanoseconds are a model, ±30 %.

A path is shown cell by cell. LUTs have no names after synthesis: the signals are listed that a LUT reads beside the
path. --modules lists by the file of the register: "walker" is cascade_walker.sv, "bank.ram" the memory of a bank.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m rtl_sim.timing", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--engine", default="", help="fields of EngineConfig that differ from its defaults: NAME=VALUE,…"
    )
    parser.add_argument("--top", help="a module of rtl_sim/rtl instead of the whole unit")
    parser.add_argument(
        "-G", dest="parameters", action="append", default=[], metavar="NAME=VALUE", help="parameter of --top"
    )
    parser.add_argument("--family", help=f"{' or '.join(FAMILIES)} (with --grade)")
    parser.add_argument("--grade", help="speed grade, as 1, 2 or 2LV (default: 1 of xc7, 2 of xcup)")
    parser.add_argument("--part", help="a full part number instead of --family and --grade")
    parser.add_argument(
        "--modules", action="store_true", help="also the worst path that ends in each module and the worst within it"
    )
    parser.add_argument("--paths", type=int, default=10, help="how many paths to list (default: 10)")
    parser.add_argument("--detail", type=int, default=1, help="how many of these to show cell by cell (default: 1)")
    options = parser.parse_args(arguments)
    try:
        _run(options)
    except ToolflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _run(options: argparse.Namespace) -> None:
    family = options.family or ("xc7" if (options.part or "").lower().startswith("xc7") else "xcup")
    if not options.family and not options.part:
        raise ToolflowError("one of --family and --part must be given")
    check_family(family)
    delays = part_delays(family, options.part) if options.part else grade_delays(family, _grade(options, family))
    config = _engine(options.engine)
    parameters = dict(_pair(each, "-G") for each in options.parameters)
    if options.top:
        netlist = module_netlist(config, family, options.top, parameters)
    elif parameters:
        raise ToolflowError("-G sets parameters of the module that --top names; --engine those of the unit")
    else:
        netlist = unit_netlist(config, family)
    graph = TimingGraph(netlist, delays)
    listed = list(islice(distinct_paths(graph), max(options.paths, 1)))
    if not listed:
        print("no path")
        return
    worst = listed[0].path.delay_ns
    print(f"{worst:.2f} ns by the estimate ({1000 / worst:.0f} MHz), {derated_mhz(worst):.0f} MHz to plan with\n")
    for number, found in enumerate(listed):
        print(path_line(found))
        if number < options.detail:
            print("\n".join(path_lines(netlist, found)))
    if options.modules:
        print("\nworst path that ends in each module, and worst within it")
        for module, paths in worst_by_module(graph).items():
            print("\n  ".join([module, *map(path_line, paths)]))


def _grade(options: argparse.Namespace, family: str) -> str:
    return options.grade or {"xc7": "1", "xcup": "2"}[family]


def _engine(text: str) -> EngineConfig:
    fields = dict(_pair(each, "--engine") for each in text.split(",") if each)
    try:
        return EngineConfig.model_validate_json(_json(fields))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ToolflowError(f"--engine: {problems}") from error


def _json(fields: dict[str, str]) -> str:
    plain = {"true": True, "false": False}
    return json.dumps({k: int(v) if v.isdigit() else plain.get(v.lower(), v) for k, v in fields.items()})


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ToolflowError(f"{option} must hold NAME=VALUE, not '{text}'")
    return name.strip(), value.strip()


if __name__ == "__main__":
    sys.exit(main())
