"""The initiation intervals of a unit's pipelined loops and their bottlenecks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from toolflow.emit.cxx import Function as Source
from toolflow.emit.cxx import Loop, Unit
from toolflow.emit.ii.body import Body, loops_of
from toolflow.emit.ii.compile import copies_of, markers_of, unit_to_ir
from toolflow.emit.ii.debug import Debug, Place
from toolflow.emit.ii.delays import Delays, budget_ns
from toolflow.emit.ii.ir import parse_module
from toolflow.emit.ii.memories import REGISTERS, Access, Memories
from toolflow.emit.ii.recurrences import Claims, Graph, Recurrence

# Reads, writes and both together that a memory takes in a cycle; None if there is no such bound.
_PORTS: dict[str, tuple[int | None, int | None, int | None]] = {
    "RAM_1P": (None, None, 1),
    "RAM_2P": (None, 1, 2),
    "RAM_S2P": (1, 1, None),
    "RAM_T2P": (None, None, 2),
    "": (None, None, 2),  # a block RAM has two ports
    "rom": (2, None, None),
    "stream": (1, 1, None),
    "port": (1, 1, None),
}


@dataclass(frozen=True, order=True)
class Interval:
    """The initiation interval that one pipelined loop can reach.

    Attributes:
        file, line: the loop, in the unit's folder.
        function: the function of the loop.
        wanted: the interval of its PIPELINE pragma, 0 if the pragma gives none.
        by_ports: the interval that the ports of its memories and streams allow.
        by_memories: the interval that its recurrences through memories allow.
        by_registers: the interval that its other recurrences allow at the clock.
        why: the bottleneck: a memory and its accesses, or a recurrence with its lines; "" if nothing does.
        chain_ns: the longest recurrence of registers, for each iteration that it spans.
    """

    file: str
    line: int
    function: str
    wanted: int
    by_ports: int
    by_memories: int
    by_registers: int
    why: str
    chain_ns: float

    @property
    def found(self) -> int:
        """The interval that can be reached."""
        return max(self.by_ports, self.by_memories, self.by_registers)

    @property
    def misses(self) -> bool:
        """Whether it is longer than wanted."""
        return 0 < self.wanted < self.found

    @property
    def is_mendable(self) -> bool:
        """Whether it is the sources that miss: by ports, or by a recurrence through a memory."""
        return 0 < self.wanted < max(self.by_ports, self.by_memories)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.function} reaches II = {self.found}, not {self.wanted}: {self.why}"


@dataclass(frozen=True)
class PipelinedLoop:
    """A pipelined loop of a unit's IR, before device and clock are known.

    Attributes:
        key: file and line of the loop, in the unit's folder.
        function: the name of its function in the sources.
        wanted: the interval of its PIPELINE pragma, 0 if the pragma gives none.
        body: its blocks.
        accesses: to memories and streams, in order.
        claims: of its DEPENDENCE pragmas.
        by_ports, busiest: the interval that the ports allow, and why it is no shorter.
        debug: leads from IR to the sources.
    """

    key: tuple[str, int]
    function: str
    wanted: int
    body: Body
    accesses: list[Access]
    claims: Claims
    by_ports: int
    busiest: str
    debug: Debug


def analyse_unit(unit: Unit, delays: Delays, clock_mhz: float, cache: Path | None = None) -> list[Interval]:
    """Return the intervals of `intervals_of` for the loops of `pipelined_loops`; arguments and errors as there."""
    return intervals_of(pipelined_loops(unit, cache), delays, clock_mhz)


def intervals_of(loops: Iterable[PipelinedLoop], delays: Delays, clock_mhz: float) -> list[Interval]:
    """Return the interval of each loop on a device at a clock, in order of place.

    A loop that is inlined at several places is listed once, with its longest interval.

    Args:
        loops: of one unit.
        delays: the delays of the board's device.
        clock_mhz: the board's clock.
    """
    worst: dict[tuple[str, int], Interval] = {}
    for loop in loops:
        interval = _interval(loop, delays, clock_mhz)
        if loop.key not in worst or interval.found > worst[loop.key].found:
            worst[loop.key] = interval
    return sorted(worst.values())


def pipelined_loops(unit: Unit, cache: Path | None = None) -> list[PipelinedLoop]:
    """Return the pipelined loops of a parsed unit, but those that the configuration leaves out or that run once.

    Args:
        unit: the parsed source.
        cache: folder for the IR.

    Raises:
        VerificationError: the sources do not compile with types of exact width.
    """
    text = unit_to_ir(unit, cache)
    active, constants = markers_of(text)
    module = parse_module(text)
    debug = Debug(module, frozenset(copies_of(unit)))
    pipelined = {
        (str(function.file.relative_to(unit.folder)), loop.first_line): (function, loop)
        for function in unit.functions
        for loop in function.loops
        if any(pragma.is_hls("PIPELINE") for pragma in loop.pragmas)
    }
    found = []
    for function in module.functions:
        memories = Memories(module, function, debug, unit, active, constants=constants)
        for body in loops_of(function):
            start = debug.loop_start(body.function.blocks[body.latch].instructions[-1].loop)
            key = (start.file, start.line) if start is not None else ("", 0)
            if key in pipelined:
                found.append(_pipelined_loop(body, memories, pipelined[key], key))
    return found


def _pipelined_loop(body: Body, memories: Memories, loop: tuple[Source, Loop], key: tuple[str, int]) -> PipelinedLoop:
    source, cursor = loop
    pragma = next(p for p in cursor.pragmas if p.is_hls("PIPELINE"))
    wanted = int(pragma.option("II") or 0)
    if body.inner:
        why = "a loop inside must have constant bounds, to be unrolled"
        return PipelinedLoop(key, source.name, wanted, body, [], Claims(), 2, why, memories.debug)
    accesses = [a for block in body.blocks for i in block.instructions for a in memories.accesses(i, block.name)]
    claims = _claims(memories, source, cursor, accesses)
    return PipelinedLoop(key, source.name, wanted, body, accesses, claims, *_ports(body, accesses), memories.debug)


def _interval(loop: PipelinedLoop, delays: Delays, clock_mhz: float) -> Interval:
    if loop.body.inner:  # which has no dependences to follow
        return Interval(*loop.key, loop.function, loop.wanted, loop.by_ports, 1, 1, loop.busiest, 0.0)
    ports = loop.by_ports
    cycle_ns = budget_ns(clock_mhz)
    graph = Graph(loop.body, loop.accesses, loop.claims, delays, cycle_ns)
    longest, through = graph.slowest(memories=False), graph.slowest(memories=True)
    register = 1 if longest is None else longest.interval(cycle_ns)
    memory = through.interval(cycle_ns) if through is not None and through.through else 1
    if max(ports, memory, register) == 1:
        why = ""
    elif ports >= max(memory, register):
        why = loop.busiest
    else:
        why = _story(through if memory >= register else longest, loop.debug)
    chain = 0.0 if longest is None else longest.nanoseconds / longest.distance
    return Interval(*loop.key, loop.function, loop.wanted, ports, memory, register, why, round(chain, 2))


def _ports(body: Body, accesses: list[Access]) -> tuple[int, str]:
    """Return the cycles that the busiest memory needs for an iteration, and which it is."""
    groups: dict[str, list[Access]] = {}
    for access in accesses:
        if access.storage != REGISTERS:
            groups.setdefault(access.memory, []).append(access)
    most, busiest = 1, ""
    for memory, group in groups.items():
        reads_most, writes_most, both_most = _PORTS.get(group[0].storage, _PORTS[""])
        counted: dict[object, tuple[int, int, int]] = {}  # parts that are accessed alike are counted once
        for part, own in _by_part(group).items():
            alike = _pattern(own)
            if alike not in counted:
                counted[alike] = (
                    _on_the_longest_way(body, [a for a in own if not a.writes]),
                    _on_the_longest_way(body, [a for a in own if a.writes]),
                    _on_the_longest_way(body, own) if both_most else 0,
                )
            limits = zip(counted[alike], (reads_most, writes_most, both_most), strict=True)
            needed = max(math.ceil(count / limit) for count, limit in limits if limit)
            if needed > most:
                reads, writes, _ = counted[alike]
                name = memory + "".join(f"[{p}]" for p in part if p is not None)
                kind = {"stream": "stream ", "port": "port "}.get(group[0].storage, "memory ")
                most, busiest = needed, f"{kind}{name} has {reads} read(s) and {writes} write(s) an iteration"
    return most, busiest


def _by_part(group: list[Access]) -> dict[tuple[int | None, ...], list[Access]]:
    """Return the accesses that each part of a memory may see; those with an index of run time, in every part."""
    parts: dict[tuple[int | None, ...], list[Access]] = {a.part: [] for a in group if None not in a.part}
    parts = parts or {group[0].part: []}
    for access in group:
        if access.part in parts:
            parts[access.part].append(access)
        else:
            for part, own in parts.items():
                if all(p is None or p == q for p, q in zip(access.part, part, strict=False)):
                    own.append(access)
    return parts


def _pattern(accesses: list[Access]) -> tuple[tuple[str, bool, int], ...]:
    """Return what decides how often accesses meet: their blocks, directions, and which words are the same."""
    words: dict[object, int] = {}
    return tuple((a.block, a.writes, words.setdefault(a.word, len(words))) for a in accesses)


def _on_the_longest_way(body: Body, accesses: list[Access]) -> int:
    """Most words that one iteration can access: over the ways through the body, each word once."""
    of_block: dict[str, list[Access]] = {}
    for access in accesses:
        of_block.setdefault(access.block, []).append(access)
    count: dict[str, int] = {}
    for name in sorted(of_block, key=body.order.__getitem__):
        earlier = [other for other in count if other in body.reaching[name]]
        known = {(a.writes, a.word) for other in earlier for a in of_block[other]}
        own = [(a.writes, a.word) for a in of_block[name]]
        if of_block[name][0].storage != "stream":  # where each access takes a word of its own
            own = list(set(own) - known)
        count[name] = len(own) + max((count[other] for other in earlier), default=0)
    return max(count.values(), default=0)


def _claims(memories: Memories, source: Source, loop: Loop, accesses: list[Access]) -> Claims:
    names: dict[str, str] = {}  # variable -> the accesses' name
    for access in accesses:
        names.setdefault(access.memory.split(".")[0], access.memory)
    intra, inter, distance = set[str](), set[str](), dict[str, int]()
    for pragma in loop.pragmas:
        if not pragma.is_hls("DEPENDENCE"):
            continue
        for base in memories.named(pragma.option("variable"), source):
            own = memories.variables[base].name if base in memories.variables else base
            memory = names.get(own, own)
            if pragma.option("distance"):
                distance[memory] = int(pragma.option("distance"))
            elif "false" in pragma.words:
                (intra if "intra" in pragma.words else inter).add(memory)
    return Claims(frozenset(intra), frozenset(inter), distance)


def _story(recurrence: Recurrence | None, debug: Debug) -> str:
    """Tell a recurrence: its time, its memories, and the lines that it passes."""
    assert recurrence is not None
    lines = _lines(debug.place(i.location) for i in recurrence.operations if i is not None and i.location)
    kind = f"recurrence through {', '.join(recurrence.through)}" if recurrence.through else "recurrence"
    over = f" over {recurrence.distance} iterations" if recurrence.distance > 1 else ""
    return f"{kind} of {recurrence.nanoseconds:.1f} ns{over}: {' → '.join(lines)}"


def _lines(places: Iterable[Place | None]) -> list[str]:
    told: list[str] = []
    for place in places:
        if place is not None and place.line and str(place) not in told:
            told.append(str(place))
    return told
