"""Loops of a function, and the body of one as a graph without its way back."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cached_property

from toolflow.emit.ii.ir import Block, Function, Instruction


@dataclass(frozen=True)
class Body:
    """One natural loop.

    Attributes:
        function: the function of the loop.
        header: the first block of an iteration.
        latch: the block that closes the loop.
        blocks: in an order in which each stands behind those that lead to it within an iteration.
        inner: whether other loops lie inside.
    """

    function: Function
    header: str
    latch: str
    blocks: tuple[Block, ...]
    inner: bool

    @cached_property
    def names(self) -> frozenset[str]:
        """Names of the blocks."""
        return frozenset(block.name for block in self.blocks)

    @cached_property
    def order(self) -> dict[str, int]:
        """Place of each block in `blocks`."""
        return {block.name: n for n, block in enumerate(self.blocks)}

    @cached_property
    def predecessors(self) -> dict[str, list[str]]:
        """Blocks that lead to each within an iteration."""
        found: dict[str, list[str]] = {block.name: [] for block in self.blocks}
        for block in self.blocks:
            for name in self.following(block):
                found[name].append(block.name)
        return found

    def following(self, block: Block) -> list[str]:
        """Blocks of the loop that may follow a block within an iteration."""
        return [name for name in block.successors if name in self.names and name != self.header]

    @cached_property
    def instructions(self) -> dict[str, Instruction]:
        """What defines each name of the body."""
        return {i.name: i for block in self.blocks for i in block.instructions if i.name}

    @cached_property
    def reaching(self) -> dict[str, frozenset[str]]:
        """Blocks from which each is reached within an iteration, itself left out."""
        found: dict[str, frozenset[str]] = {}
        for block in self.blocks:
            before = self.predecessors[block.name]
            found[block.name] = frozenset(before).union(*(found[name] for name in before))
        return found

    @cached_property
    def dominators(self) -> dict[str, str]:
        """The nearest block that every way to a block takes; the header's is "" ."""
        found = {self.header: ""}
        for block in self.blocks[1:]:
            before = [name for name in self.predecessors[block.name] if name in found]
            common = before[0]
            for name in before[1:]:
                common = self._common(found, common, name)
            found[block.name] = common
        return found

    def _common(self, found: dict[str, str], a: str, b: str) -> str:
        while a != b:
            if self.order[a] > self.order[b]:
                a = found[a]
            else:
                b = found[b]
        return a

    @cached_property
    def controllers(self) -> dict[str, list[str]]:
        """Blocks whose branch decides directly whether a block is executed in an iteration."""
        end = "end"
        post: dict[str, str] = {}
        place = dict(self.order)
        place[end] = len(self.blocks)

        def after(block: Block) -> list[str]:
            inside = self.following(block)
            return inside + [end] * (len(inside) < len(block.successors) or not inside)

        for block in reversed(self.blocks):
            common = ""
            for name in after(block):
                if not common:
                    common = name
                    continue
                other = name
                while common != other:
                    if place[common] < place[other]:
                        common = post[common]
                    else:
                        other = post[other]
            post[block.name] = common
        found: dict[str, list[str]] = {block.name: [] for block in self.blocks}
        for block in self.blocks:
            if len(set(after(block))) < 2:
                continue
            for name in self.following(block):
                runner = name
                while runner not in (post[block.name], end):
                    if block.name not in found[runner]:
                        found[runner].append(block.name)
                    runner = post[runner]
        return found

    def deciding(self, block: str, values: dict[str, str]) -> list[str]:
        """Blocks whose branch decides which value a phi takes.

        Args:
            block: the block of the phi.
            values: its incoming value of each block that leads to it.
        """
        top = self.dominators[block]
        found, waiting = set[str](), deque(values)
        while waiting:
            name = waiting.popleft()
            if name in found:
                continue
            found.add(name)
            if name != top:
                waiting.extend(self.predecessors[name])
        possible: dict[str, set[str]] = {}  # values that the phi may take after each block
        for name in sorted(found, key=self.order.__getitem__, reverse=True):
            after = self.following(self.function.blocks[name])
            possible[name] = set[str]().union(*(possible[other] for other in after if other in possible))
            if block in after:
                possible[name].add(values[name])
        return [name for name, taken in possible.items() if len(taken) > 1]


def loops_of(function: Function) -> list[Body]:
    """Find the natural loops of a function, outer ones first."""
    order = _reverse_postorder(function)
    place = {name: n for n, name in enumerate(order)}
    before: dict[str, list[str]] = {name: [] for name in order}
    for name in order:
        for successor in function.blocks[name].successors:
            before[successor].append(name)
    bodies: dict[str, tuple[set[str], str]] = {}
    for latch in order:
        for header in function.blocks[latch].successors:
            if place[header] <= place[latch]:  # a way back; clang makes no irreducible loops of structured code
                names, _ = bodies.setdefault(header, ({header}, latch))
                bodies[header] = (names, latch)
                waiting = [latch]
                while waiting:
                    name = waiting.pop()
                    if name not in names:
                        names.add(name)
                        waiting.extend(before[name])
    made = []
    for header, (names, latch) in bodies.items():
        inner = any(other != header and other in names for other in bodies)
        ordered = tuple(function.blocks[name] for name in order if name in names)
        made.append(Body(function, header, latch, ordered, inner))
    return sorted(made, key=lambda body: place[body.header])


def _reverse_postorder(function: Function) -> list[str]:
    first = next(iter(function.blocks))
    seen, order = {first}, list[str]()
    stack = [(first, iter(function.blocks[first].successors))]
    while stack:
        name, successors = stack[-1]
        following = next((s for s in successors if s not in seen), None)
        if following is None:
            order.append(name)
            stack.pop()
        else:
            seen.add(following)
            stack.append((following, iter(function.blocks[following].successors)))
    return order[::-1]
