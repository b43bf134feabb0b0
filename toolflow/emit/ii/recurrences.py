"""The dependence graph of a loop body, and its cycle with the largest delay per iteration."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from toolflow.emit.ii.body import Body
from toolflow.emit.ii.delays import Delays, widths_of
from toolflow.emit.ii.ir import Instruction
from toolflow.emit.ii.memories import REGISTERS, Access

EPSILON = 1e-6
Word = tuple[object, ...]


@dataclass(frozen=True)
class Edge:
    """`source` must be there before `target`, in the iteration that comes `distance` later."""

    source: int
    target: int
    delay: float
    distance: int


@dataclass(frozen=True)
class Recurrence:
    """A cycle of dependences.

    Attributes:
        operations: its operations in order; None stands for the conditions of a block.
        delays: nanoseconds of each.
        distance: iterations that a round spans.
        through: memories (no registers) that it passes through.
    """

    operations: tuple[Instruction | None, ...]
    delays: tuple[float, ...]
    distance: int
    through: tuple[str, ...]

    @property
    def nanoseconds(self) -> float:
        """The delay of one round."""
        return sum(self.delays)

    def interval(self, cycle_ns: float) -> int:
        """Return the initiation interval that it allows.

        An operation that fits into a cycle does not cross its end, as in a scheduler. The round begins with the
        operation that leaves the fewest cycles.
        """
        rounds = (self.delays[n:] + self.delays[:n] for n in range(len(self.delays)))
        return max(1, math.ceil(min(_cycles_of(each, cycle_ns) for each in rounds) / self.distance))


@dataclass(frozen=True)
class Claims:
    """What DEPENDENCE pragmas say of each memory: no dependence within an iteration or across, or its distance."""

    no_intra: frozenset[str] = frozenset()
    no_inter: frozenset[str] = frozenset()
    distance: dict[str, int] = field(default_factory=dict)


def _cycles_of(delays: Iterable[float], cycle_ns: float) -> int:
    """Return the cycles of operations one after the other."""
    cycles, used = 0, 0.0  # whole ones, nanoseconds of the one that has begun
    for delay in delays:
        if delay <= cycle_ns < used + delay - EPSILON:
            cycles, used = cycles + 1, 0.0
        used += delay
        whole = max(math.ceil(used / cycle_ns - EPSILON) - 1, 0)
        cycles, used = cycles + whole, used - whole * cycle_ns
    return cycles + 1


class Graph:
    """The dependences of one loop."""

    def __init__(self, body: Body, accesses: Sequence[Access], claims: Claims, delays: Delays, cycle_ns: float) -> None:
        """Build the graph.

        Args:
            body: the loop.
            accesses: the accesses of its instructions to memories and streams, in order.
            claims: the claims of DEPENDENCE pragmas.
            delays: the device's delays.
            cycle_ns: what a chain may take in a cycle; also the time from a store until a load can be issued.
        """
        self.body, self.accesses, self.claims, self.delays, self.cycle_ns = body, accesses, claims, delays, cycle_ns
        self.nodes: list[Instruction | None] = []
        self.edges: list[Edge] = []
        self.by_name: dict[str, int] = {}
        self.number: dict[Instruction, int] = {}
        self.through: dict[tuple[int, int], str] = {}
        ordered = [(i, block.name) for block in body.blocks for i in block.instructions]
        self.widths = widths_of([i for i, _ in ordered])
        self.executed = {block.name: self._node(None) for block in body.blocks}
        for i, _ in ordered:
            self.number[i] = self._node(i)
            if i.name:
                self.by_name[i.name] = self.number[i]
        self.loads = {access.instruction: access for access in accesses if not access.writes}
        for i, name in ordered:
            self._data(i, name)
        self._control()
        self._memory()

    def _node(self, instruction: Instruction | None) -> int:
        self.nodes.append(instruction)
        return len(self.nodes) - 1

    def _edge(self, source: str, target: int, delay: float, distance: int = 0) -> None:
        if source in self.by_name:
            self.edges.append(Edge(self.by_name[source], target, delay, distance))

    def _data(self, i: Instruction, block: str) -> None:
        target = self.number[i]
        if i.opcode == "phi":
            if block == self.body.header:
                for value, label in zip(i.operands, i.labels, strict=True):
                    if label in self.body.names:
                        self._edge(value, target, 0.0, 1)
                return
            self._merge(i, block, target)
            return
        delay = self.delays.of(i, self.widths)
        if i.opcode == "load" and i in self.loads:
            access = self.loads[i]
            # Registers answer at once; of a memory, the address is taken at the end of a cycle.
            delay = self.delays.select_of(access.choices) if access.storage == REGISTERS else self.delays.memory
        for operand in i.operands:
            self._edge(operand, target, delay)

    def _merge(self, i: Instruction, block: str, target: int) -> None:
        """A value that depends on the way taken: a choice among those that differ."""
        if len(set(i.operands)) < 2:
            for value in i.operands:
                self._edge(value, target, 0.0)
            return
        delay = self.delays.of(i, self.widths)
        for value in i.operands:
            self._edge(value, target, delay)
        for name in self.body.deciding(block, dict(zip(i.labels, i.operands, strict=True))):
            for condition in self.body.function.blocks[name].instructions[-1].operands[:1]:
                self._edge(condition, target, delay)

    def _control(self) -> None:
        for block in self.body.blocks:
            own = self.executed[block.name]
            for name in self.body.controllers[block.name]:
                self.edges.append(Edge(self.executed[name], own, self.delays.logic / 2, 0))
                for condition in self.body.function.blocks[name].instructions[-1].operands[:1]:
                    self._edge(condition, own, self.delays.logic / 2)
            for i in block.instructions:
                if i.opcode in ("store", "asm") or i.opcode.startswith("llvm.mem"):
                    self.edges.append(Edge(own, self.number[i], 0.0, 0))
        # The next iteration begins only when it is known that there is one.
        first = self.executed[self.body.header]
        for block in self.body.blocks:
            if any(name not in self.body.names for name in block.successors):
                self.edges.append(Edge(self.executed[block.name], first, 0.0, 1))
                for condition in block.instructions[-1].operands[:1]:
                    self._edge(condition, first, 0.0, 1)

    def _memory(self) -> None:
        """Add the dependences of loads on stores to the same memory, in the same iteration and in later ones."""
        groups: dict[str, list[Access]] = {}
        for access in self.accesses:
            if access.storage != "stream":
                groups.setdefault(access.memory, []).append(access)
        position = {i: n for block in self.body.blocks for n, i in enumerate(block.instructions)}
        for memory, group in groups.items():
            stores = [access for access in group if access.writes]
            if not stores:
                continue
            certain = self._certain(stores)
            of_part: dict[object, list[Access]] = {}
            for store in stores:
                of_part.setdefault(None if None in store.part else store.part, []).append(store)
            for load in (access for access in group if not access.writes):
                meeting = stores if None in load.part else [*of_part.get(load.part, ()), *of_part.get(None, ())]
                meeting = [store for store in meeting if store.may_meet(load)]
                earlier = {
                    store
                    for store in meeting
                    if store.block in self.body.reaching[load.block]
                    or (store.block == load.block and position[store.instruction] < position[load.instruction])
                }
                renewed = certain[load.block] | {store.word for store in earlier if store.block == load.block}
                for store in meeting:
                    self._between(memory, store, load, store in earlier, store.word in renewed)

    def _certain(self, stores: Iterable[Access]) -> dict[str, set[Word]]:
        """Return for each block the words at constant addresses that every way from the header to it has stored."""
        own: dict[str, set[Word]] = {}
        for store in stores:
            if store.is_fixed:
                own.setdefault(store.block, set()).add(store.word)
        arriving: dict[str, set[Word]] = {}
        for block in self.body.blocks:
            ways = [arriving[n] | own.get(n, set()) for n in self.body.predecessors[block.name]]
            arriving[block.name] = set.intersection(*ways) if ways else set()
        return arriving

    def _between(self, memory: str, store: Access, load: Access, before: bool, renewed: bool) -> None:
        """Enter the dependences from a store to a load; `renewed` where the word is stored again before the load."""
        through_memory = store.storage != REGISTERS
        delay = self.cycle_ns if through_memory else 0.0
        delay += self.delays.memory if through_memory else self.delays.select_of(load.choices)
        ends = self.number[store.instruction], self.number[load.instruction]
        distance = _distance(store, load, self._steps)
        if before and memory not in self.claims.no_intra and distance in (None, 0):
            self._depend(ends, delay, 0, memory if through_memory else "")
        if memory in self.claims.no_inter or renewed:
            return
        if memory in self.claims.distance:
            self._depend(ends, delay, self.claims.distance[memory], memory if through_memory else "")
        elif distance is None or distance > 0:
            self._depend(ends, delay, distance or 1, memory if through_memory else "")

    def _depend(self, ends: tuple[int, int], delay: float, distance: int, memory: str) -> None:
        self.edges.append(Edge(*ends, delay, distance))
        if memory:
            self.through[ends] = memory

    @cached_property
    def _steps(self) -> dict[str, int]:
        """Counters of the loop, and by how much each grows."""
        found: dict[str, int] = {}
        for i in self.body.blocks[0].instructions:
            for value, label in zip(i.operands, i.labels, strict=False):
                if i.opcode == "phi" and label in self.body.names and value in self.body.instructions:
                    step = self.body.instructions[value]
                    if step.opcode == "add" and step.operands[0] == i.name and step.operands[1].isdigit():
                        found[i.name] = int(step.operands[1])
        return found

    def slowest(self, memories: bool) -> Recurrence | None:
        """Return the recurrence of the largest delay per iteration, None if the loop has none.

        Args:
            memories: whether it may pass through memories, or through registers only.
        """
        found: tuple[float, list[Edge]] | None = None
        edges = [edge for edge in self.edges if memories or (edge.source, edge.target) not in self.through]
        for component in _components(len(self.nodes), edges):
            cycle = _largest_ratio(component)
            if cycle is not None and (found is None or _ratio(cycle) > found[0]):
                found = _ratio(cycle), cycle
        if found is None or found[0] <= 0:
            return None
        cycle = found[1]
        begin = next(n for n, edge in enumerate(cycle) if edge.distance)  # told from one iteration to the next
        cycle = [*cycle[begin:], *cycle[:begin]]
        names = [self.through.get((edge.source, edge.target), "") for edge in cycle]
        return Recurrence(
            tuple(self.nodes[edge.target] for edge in cycle),
            tuple(edge.delay for edge in cycle),
            sum(edge.distance for edge in cycle),
            tuple(dict.fromkeys(name for name in names if name)),
        )


def _distance(store: Access, load: Access, steps: dict[str, int]) -> int | None:
    """Iterations from a store to the load of the same word; None if that is not known, -1 if it is never."""
    if len(store.address) != len(load.address):
        return None
    distances: set[int] = set()
    for written, read in zip(store.address, load.address, strict=True):
        difference = written.plus(read, -1)
        if difference.terms:
            return None  # of different values: anything
        moving = [(name, own) for name, own in written.terms if name in steps]
        if len(moving) != len(written.terms):
            if difference.constant:
                return None
            continue
        if not moving:
            if difference.constant:
                return -1
            continue
        step = sum(own * steps[name] for name, own in moving)
        if step == 0 or difference.constant % step:
            return -1
        distances.add(difference.constant // step)
    if not distances:
        return None
    return distances.pop() if len(distances) == 1 else -1


def _ratio(cycle: Sequence[Edge]) -> float:
    return sum(edge.delay for edge in cycle) / max(sum(edge.distance for edge in cycle), 1e-9)


def _components(count: int, edges: Sequence[Edge]) -> list[list[Edge]]:
    """Return the edges of each strongly connected part that holds a cycle (Tarjan, without recursion)."""
    following: list[list[int]] = [[] for _ in range(count)]
    for edge in edges:
        following[edge.source].append(edge.target)
    index, low, part = [-1] * count, [0] * count, [-1] * count
    stack: list[int] = []
    counter = parts = 0
    for root in range(count):
        if index[root] >= 0:
            continue
        work = [(root, 0)]
        while work:
            node, at = work.pop()
            if at == 0:
                index[node] = low[node] = counter
                counter += 1
                stack.append(node)
            elif part[following[node][at - 1]] < 0:
                low[node] = min(low[node], low[following[node][at - 1]])
            if at < len(following[node]):
                work.append((node, at + 1))
                if index[following[node][at]] < 0:
                    work.append((following[node][at], 0))
                continue
            if low[node] == index[node]:
                while True:
                    member = stack.pop()
                    part[member] = parts
                    if member == node:
                        break
                parts += 1
    found: dict[int, list[Edge]] = {}
    for edge in edges:
        if part[edge.source] == part[edge.target]:
            found.setdefault(part[edge.source], []).append(edge)
    return list(found.values())


def _largest_ratio(edges: Sequence[Edge]) -> list[Edge] | None:
    """Return the cycle of the largest delay per distance in a strongly connected part (Howard's iteration)."""
    leaving: dict[int, list[Edge]] = {}
    entering: dict[int, list[Edge]] = {}
    for edge in edges:
        leaving.setdefault(edge.source, []).append(edge)
        entering.setdefault(edge.target, []).append(edge)
    policy = {node: max(own, key=lambda edge: edge.delay) for node, own in leaving.items()}
    value: dict[int, float] = dict.fromkeys(leaving, 0.0)
    best: list[Edge] = []
    for _ in range(200):
        best = max(_cycles(policy), key=_ratio)
        ratio = _ratio(best)
        # Values along the policy towards the best cycle; nodes that it does not reach are led there.
        origin = best[0].source
        value[origin] = 0.0
        reached, waiting = {origin}, [origin]
        for led in (False, True):
            waiting = list(reached)
            while waiting:
                target = waiting.pop()
                for edge in entering.get(target, ()):
                    if edge.source not in reached and (led or policy[edge.source] is edge):
                        policy[edge.source] = edge
                        value[edge.source] = edge.delay - ratio * edge.distance + value[target]
                        reached.add(edge.source)
                        waiting.append(edge.source)
        improved = False
        for edge in edges:
            through = edge.delay - ratio * edge.distance + value[edge.target]
            if through > value[edge.source] + EPSILON:
                value[edge.source], policy[edge.source], improved = through, edge, True
        if not improved:
            return best
    return best


def _cycles(policy: dict[int, Edge]) -> list[list[Edge]]:
    """Return the cycles of a graph in which one edge leaves each node."""
    found: list[list[Edge]] = []
    seen: dict[int, int] = {}
    for number, start in enumerate(policy):
        node = start
        while node not in seen:
            seen[node] = number
            node = policy[node].target
        if seen[node] == number:
            cycle = [policy[node]]
            while cycle[-1].target != node:
                cycle.append(policy[cycle[-1].target])
            found.append(cycle)
    return found
