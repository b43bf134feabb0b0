"""The longest paths of a netlist: arrival times in topological order over nets, then the worst path of each end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rtl_sim.timing.arcs import CellTiming
from rtl_sim.timing.cells import cell_timing, is_lut
from rtl_sim.timing.netlist import Cell, Netlist, Pin, pins
from toolflow.ir.errors import ToolflowError
from toolflow.plan.clock.delays import Delays

_SHOWN = 8  # cells of a loop that an error lists


@dataclass(frozen=True)
class Step:
    """One cell of a path: the pin that the path enters by, the one it leaves by, and its net and cell delays.

    The first step enters by no pin and the last one leaves by none.
    """

    cell: Cell | None
    enters: Pin | None
    leaves: Pin | None
    net: int | None
    fan_out: int
    net_ns: float
    cell_ns: float


@dataclass(frozen=True)
class Path:
    """A path from a register, RAM or input port to a register, RAM or output port.

    Attributes:
        delay_ns: clock to output, nets, cells and set-up time.
        steps: start, cells, end.
    """

    delay_ns: float
    steps: tuple[Step, ...]

    @property
    def luts(self) -> int:
        """LUTs on the path, those of LUT RAMs that are read too; of wide multiplexers none."""
        return sum(1 for step in self.steps[1:-1] if step.cell and step.cell.kind[:3] in ("LUT", "INV", "RAM", "SRL"))

    @property
    def carries(self) -> int:
        """Carry blocks of four bits on the path."""
        return sum(1 for step in self.steps[1:-1] if step.cell and step.cell.kind.startswith("CARRY"))


@dataclass(frozen=True)
class _Edge:
    """From a node to another: through a net into a cell's pin, and on through the cell."""

    source: int
    cell: int
    enters: Pin
    leaves: Pin | None  # None: an end
    net_ns: float
    cell_ns: float

    @property
    def delay(self) -> float:
        return self.net_ns + self.cell_ns


@dataclass
class _Graph:
    """Nodes are nets and inner nodes of cells; an end is an edge that leads nowhere."""

    into: dict[int, list[_Edge]] = field(default_factory=dict)
    ends: list[_Edge] = field(default_factory=list)
    start_ns: dict[int, tuple[float, int | None, Pin]] = field(default_factory=dict)


class TimingGraph:
    """A netlist with its delays, ready to be asked for paths."""

    def __init__(self, netlist: Netlist, delays: Delays) -> None:
        """Compute all arrival times.

        Raises:
            ToolflowError: a cell is not known, registers have several clocks, or there is a combinational loop.
        """
        self.netlist = netlist
        self.delays = delays
        self._timings = [cell_timing(cell, delays) for cell in netlist.cells]
        self._clock = _single_clock(netlist, self._timings)
        self._through = _absorbed(netlist)
        self._fan_out = self._count_pins()
        self._nodes: dict[tuple[int, Pin], int] = {}
        self._graph = self._build()
        self._arrival: dict[int, float] = {}
        self._best: dict[int, _Edge] = {}
        self._propagate()

    def paths(self) -> Iterator[Path]:
        """Yield the worst path of every end that has one, longest first."""
        reached = [end for end in self._graph.ends if end.source in self._arrival]
        for end in sorted(reached, key=lambda end: -self._arrival[end.source] - end.delay):
            yield Path(self._arrival[end.source] + end.delay, tuple(self._steps(end)))

    def _steps(self, end: _Edge) -> Iterator[Step]:
        chain = [end]
        while (edge := self._best.get(chain[-1].source)) is not None:
            chain.append(edge)
        chain.reverse()
        delay, cell, pin = self._graph.start_ns[chain[0].source]
        yield Step(self._cell(cell), None, pin, None, 0, 0.0, delay)
        for edge in chain:
            net = edge.source if edge.source >= 0 else None
            fan_out = self._fan_out.get(edge.source, 1)
            yield Step(self._cell(edge.cell), edge.enters, edge.leaves, net, fan_out, edge.net_ns, edge.cell_ns)

    def _cell(self, number: int | None) -> Cell | None:
        return self.netlist.cells[number] if number is not None and number >= 0 else None

    def _count_pins(self) -> dict[int, int]:
        """Return the pins that each net drives, those of clocks apart, with inverters absorbed."""
        count: dict[int, int] = {}
        for cell in self.netlist.cells:
            for _, bit in pins(cell.inputs):
                net = self._source(cell, bit)
                count[net] = count.get(net, 0) + 1
        for cell in self.netlist.cells:  # an inverter that LUTs absorbed is no pin of its own
            if cell.kind == "INV":
                inner = cell.inputs["I"][0]
                outer = cell.outputs["O"][0]
                if inner is not None and outer is not None and outer in self._through and not count.get(outer):
                    count[inner] -= 1
        for _, bit in pins(self.netlist.outputs):
            count[bit] = count.get(bit, 0) + 1
        return count

    def _source(self, cell: Cell, bit: int) -> int:
        """Return the net that feeds a pin: for a LUT, the one in front of an inverter."""
        return self._through.get(bit, bit) if is_lut(cell.kind) else bit

    def _node(self, cell: int, pin: Pin) -> int:
        """Return the node of an output pin, which is its net, or of an inner place: a number below zero."""
        if not pin[0].startswith("#"):
            bit = self.netlist.cells[cell].outputs[pin[0]][pin[1]]
            assert bit is not None
            return bit
        return self._nodes.setdefault((cell, pin), -1 - len(self._nodes))

    def _build(self) -> _Graph:
        graph = _Graph()
        for _, bit in pins(self.netlist.inputs):
            if bit != self._clock:
                graph.start_ns[bit] = (self.delays.flip_flop.output, None, ("port", 0))
        for number, (cell, timing) in enumerate(zip(self.netlist.cells, self._timings, strict=True)):
            for pin, delay in timing.launches:
                if pin[0].startswith("#") or _is_connected(cell.outputs, pin):
                    graph.start_ns[self._node(number, pin)] = (delay, number, pin)
            for start, to, delay in timing.arcs:
                if to[0].startswith("#") or _is_connected(cell.outputs, to):
                    node = self._node(number, to)
                    graph.into.setdefault(node, []).append(self._edge(number, start, to, delay))
            graph.ends += [self._edge(number, pin, None, delay) for pin, delay in timing.captures]
        setup = self.delays.flip_flop.data
        for pin, bit in pins(self.netlist.outputs):
            graph.ends.append(_Edge(bit, -1, pin, None, self.delays.net.of(self._fan_out.get(bit, 1)), setup))
        return graph

    def _edge(self, number: int, enters: Pin, leaves: Pin | None, delay: float) -> _Edge:
        cell = self.netlist.cells[number]
        if enters[0].startswith("#"):
            return _Edge(self._node(number, enters), number, enters, leaves, 0.0, delay)
        bit = cell.inputs[enters[0]][enters[1]]
        assert bit is not None
        source = self._source(cell, bit)
        if cell.kind == "INV" and self._driver_kind(source).startswith("LUT"):
            return _Edge(source, number, enters, leaves, 0.0, 0.0)  # the LUT in front takes it
        if cell.kind.startswith("CARRY") and enters[0] == "S" and not _is_any_lut(self._driver_kind(source)):
            delay += self.delays.lut  # S is reached through a LUT only
        return _Edge(source, number, enters, leaves, self._net_ns(source, cell, enters), delay)

    def _driver_kind(self, net: int) -> str:
        found = self.netlist.driver.get(net)
        return self.netlist.cells[found[0]].kind if found else ""

    def _net_ns(self, net: int, cell: Cell, pin: Pin) -> float:
        """Return the delay of a net up to a pin: none where both ends share a slice or a dedicated wire joins them."""
        driver, port, kind = self._driver_kind(net), pin[0], cell.kind
        fan_out = self._fan_out.get(net, 1)
        if kind.startswith("CARRY") and (
            (port == "CI" and driver.startswith("CARRY")) or (port == "S" and _is_any_lut(driver))
        ):
            return 0.0
        if kind.startswith("MUXF") and port != "S" and fan_out == 1:
            return 0.0
        if kind.startswith("FD") and port == "D" and fan_out == 1 and shares_slice(driver):
            return 0.0
        if kind.startswith("DSP") and port in ("PCIN", "ACIN", "BCIN", "CARRYCASCIN"):
            return 0.0
        return self.delays.net.of(fan_out)

    def _propagate(self) -> None:
        """Compute arrivals in topological order.

        Raises:
            ToolflowError: there is a combinational loop.
        """
        graph = self._graph
        after: dict[int, list[int]] = {}
        waits: dict[int, int] = {}
        for node, edges in graph.into.items():
            waits[node] = len(edges)
            for edge in edges:
                after.setdefault(edge.source, []).append(node)
        ready = [node for node in after if node not in waits]
        while ready:
            node = ready.pop()
            self._arrive(node)
            for reached in after.get(node, ()):
                waits[reached] -= 1
                if not waits[reached]:
                    ready.append(reached)
        for node in graph.start_ns:
            if node not in waits:
                self._arrive(node)
        if stuck := {node for node, count in waits.items() if count}:
            raise ToolflowError(f"the netlist has a combinational loop: {_loop_text(self._loop(stuck))}")

    def _arrive(self, node: int) -> None:
        start = self._graph.start_ns.get(node)
        best, arrival = None, start[0] if start else None
        for edge in self._graph.into.get(node, ()):
            before = self._arrival.get(edge.source)
            if before is not None and (arrival is None or before + edge.delay > arrival):
                best, arrival = edge, before + edge.delay
        if arrival is not None:
            self._arrival[node] = arrival
            if best is not None:
                self._best[node] = best

    def _loop(self, stuck: set[int]) -> Sequence[str]:
        """Return the cells of one loop among nodes that wait for each other."""
        node, seen, names = min(stuck), [], []
        while node not in seen:
            seen.append(node)
            edge = next(e for e in self._graph.into[node] if e.source in stuck)
            names.append(f"{self.netlist.cells[edge.cell].kind} '{self.netlist.cells[edge.cell].name}'")
            node = edge.source
        return names[seen.index(node) :]


def shares_slice(driver: str) -> bool:
    """Return whether a cell's output reaches a flip-flop of its own slice without a net."""
    return driver.startswith(("LUT", "CARRY", "MUXF", "RAM32", "RAM64", "SRL", "INV"))


def _is_any_lut(kind: str) -> bool:
    """Return whether a cell becomes a LUT: an inverter does where no LUT absorbs it."""
    return is_lut(kind) or kind == "INV"


def _loop_text(names: Sequence[str]) -> str:
    return " ← ".join(names[:_SHOWN]) + (f" … ({len(names)} cells)" if len(names) > _SHOWN else "")


def _is_connected(ports: object, pin: Pin) -> bool:
    bits = ports.get(pin[0]) if isinstance(ports, dict) else None
    return bits is not None and pin[1] < len(bits) and bits[pin[1]] is not None


def _absorbed(netlist: Netlist) -> dict[int, int]:
    """Return the net in front of each inverter by the net behind it: a LUT that it feeds takes the inverter in."""
    through: dict[int, int] = {}
    for cell in netlist.cells:
        if cell.kind == "INV":
            inner, outer = cell.inputs["I"][0], cell.outputs["O"][0]
            if inner is not None and outer is not None:
                through[outer] = inner
    return through


def _single_clock(netlist: Netlist, timings: Sequence[CellTiming]) -> int | None:
    """Return the net that clocks every register, in front of its buffer.

    Raises:
        ToolflowError: there are two.
    """
    clocks: dict[int, str] = {}
    for cell, timing in zip(netlist.cells, timings, strict=True):
        for port, index in timing.clocks:
            bit = cell.inputs.get(port, [None])[index]
            if bit is None:
                continue
            while bit in netlist.driver and netlist.cells[netlist.driver[bit][0]].kind.startswith("BUFG"):
                inner = netlist.cells[netlist.driver[bit][0]].inputs["I"][0]
                assert inner is not None
                bit = inner
            clocks.setdefault(bit, cell.name)
    if len(clocks) > 1:
        names = ", ".join(f"'{name}'" for name in list(clocks.values())[:3])
        raise ToolflowError(f"the unit must have one clock, not {len(clocks)}: of {names}")
    return next(iter(clocks), None)
