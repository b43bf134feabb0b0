"""The timing report of a netlist: its worst paths, those of each module, and how the clock follows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from rtl_sim.timing.naming import End, path_end, short_name, without_index
from rtl_sim.timing.netlist import Netlist
from rtl_sim.timing.paths import Path, Step, TimingGraph
from rtl_sim.timing.synthesis import check_family, unit_netlist
from toolflow.engine.config import EngineConfig
from toolflow.plan.clock.delays import part_delays
from toolflow.plan.clock.estimate import DERATING

_SIDE_INPUTS = 3


class Found(NamedTuple):
    """A path and its ends."""

    path: Path
    start: End
    end: End


def derated_mhz(delay_ns: float) -> float:
    """Return the clock that is planned with: the estimate's, divided by `DERATING`."""
    return 1000.0 / delay_ns / DERATING


@dataclass(frozen=True)
class UnitTiming:
    """The longest path of a unit: its delay, and the path in words, cell by cell."""

    path_ns: float
    lines: tuple[str, ...]


def unit_timing(config: EngineConfig, family: str, part: str) -> UnitTiming:
    """Return the longest path of a unit's own netlist on a part; the synthesis takes minutes.

    Raises:
        ToolflowError: as `unit_netlist` and `part_delays`.
    """
    check_family(family)
    delays = part_delays(family, part)
    graph = TimingGraph(unit_netlist(config, family), delays)
    worst = next(found_paths(graph))
    return UnitTiming(worst.path.delay_ns, (path_line(worst), *path_lines(graph.netlist, worst)))


def found_paths(graph: TimingGraph) -> Iterator[Found]:
    """Yield the worst path of each end, longest first, with the names of its ends."""
    for path in graph.paths():
        first, last = path.steps[0], path.steps[-1]
        start = path_end(graph.netlist, first.cell, first.leaves, path.steps[1].net)
        yield Found(path, start, path_end(graph.netlist, last.cell, last.enters, last.net))


def distinct_paths(graph: TimingGraph) -> Iterator[Found]:
    """Yield the worst path of each pair of a starting and an ending register, longest first; bits count as one."""
    seen: set[tuple[str, str]] = set()
    for found in found_paths(graph):
        pair = (found.start.register, found.end.register)
        if pair not in seen:
            seen.add(pair)
            yield found


def worst_by_module(graph: TimingGraph) -> Mapping[str, Sequence[Found]]:
    """Return for each module the worst path that ends in it and the worst that stays in it, if that is another."""
    ending: dict[str, Found] = {}
    inside: dict[str, Found] = {}
    for found in found_paths(graph):
        ending.setdefault(found.end.module, found)
        if found.start.module == found.end.module:
            inside.setdefault(found.end.module, found)
    return {
        module: [found, *([inside[module]] if module in inside and inside[module] is not found else [])]
        for module, found in ending.items()
    }


def path_line(found: Found) -> str:
    """Return one line: delay, levels, start and end."""
    path = found.path
    levels = f"{path.luts} LUTs" + (f" + {path.carries} carry" if path.carries else "")
    last = path.steps[-1]
    pin = f".{last.enters[0]}" if last.enters and last.cell and last.enters[0] != "D" else ""
    return f"{path.delay_ns:6.2f} ns  {levels:18}  {found.start.text} → {found.end.text}{pin}"


def path_lines(netlist: Netlist, found: Found) -> Sequence[str]:
    """Return a path cell by cell: arrival, the net's and the cell's delay, fan-out, primitive, names."""
    lines = ["   arrival     net    cell  fan-out  cell        name"]
    arrival = 0.0
    last = len(found.path.steps) - 1
    for number, step in enumerate(found.path.steps):
        arrival += step.net_ns + step.cell_ns
        fan_out = f"{step.fan_out:7}" if step.net is not None else "       "
        kind = step.cell.kind if step.cell else "port"
        port = step.enters[0] if step.enters else ""
        named = f"{kind}.{port}" if number == last and port != "D" else kind
        name = {0: found.start.text, last: found.end.text}.get(number) or _cell_name(netlist, step)
        lines.append(
            f"  {arrival:8.2f}  {step.net_ns:6.2f}  {step.cell_ns:6.2f}  {fan_out}  {named:10}  {name}".rstrip()
        )
    return lines


def _cell_name(netlist: Netlist, step: Step) -> str:
    """Return what tells a cell to its designer: its output's name, or the registers beside the path that it reads."""
    assert step.cell is not None
    if step.leaves is not None and not step.leaves[0].startswith("#"):
        output = step.cell.outputs[step.leaves[0]][step.leaves[1]]
        if output is not None and (names := netlist.names.get(output)):
            return short_name(min(names, key=len))
    beside = {
        without_index(short_name(min(names, key=len)))
        for port, bits in step.cell.inputs.items()
        for index, bit in enumerate(bits)
        if bit is not None and (port, index) != step.enters and (names := netlist.names.get(bit))
    }
    return f"with {', '.join(islice(sorted(beside), _SIDE_INPUTS))}" if beside else ""
