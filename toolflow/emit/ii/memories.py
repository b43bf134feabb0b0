"""Memories of the sources behind the IR's pointers: how they are cut and bound, and what a loop's accesses touch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from toolflow.emit.cxx import Function as Source
from toolflow.emit.cxx import Pragma, Unit
from toolflow.emit.ii.debug import Debug, Place, Variable
from toolflow.emit.ii.ir import Function, Instruction, Module, address_of, split_top

_THROUGH = frozenset(["zext", "sext", "trunc", "freeze"])  # an address in range is not changed by them
REGISTERS = "registers"


@dataclass(frozen=True)
class Form:
    """A sum: a constant, and values with their factors."""

    constant: int = 0
    terms: tuple[tuple[str, int], ...] = ()

    def plus(self, other: Form, factor: int = 1) -> Form:
        """Return this and `factor` times another."""
        terms = dict(self.terms)
        for name, own in other.terms:
            terms[name] = terms.get(name, 0) + own * factor
        kept = tuple(sorted((name, own) for name, own in terms.items() if own))
        return Form(self.constant + other.constant * factor, kept)


@dataclass(frozen=True)
class Offset:
    """Bytes from a variable's begin: a constant, and indices of elements of as many bytes each.

    The element's size says which dimension an index belongs to, even where it could run past the dimension's end.
    """

    constant: int = 0
    indices: tuple[tuple[int, Form], ...] = ()

    def moved(self, count: int) -> Offset:
        """Return this and `count` bytes."""
        return Offset(self.constant + count, self.indices)

    def indexed(self, index: Form, size: int) -> Offset:
        """Return this and an index of elements of `size` bytes."""
        moved = self.moved(index.constant * size)
        return Offset(moved.constant, (*self.indices, (size, Form(0, index.terms)))) if index.terms else moved

    def plus(self, other: Offset) -> Offset:
        """Return the sum."""
        return Offset(self.constant + other.constant, (*self.indices, *other.indices))

    @property
    def bytes(self) -> Form:
        """The offset as one sum."""
        total = Form(self.constant)
        for size, index in self.indices:
            total = total.plus(index, size)
        return total

    def divided(self, size: int) -> tuple[Form, Offset]:
        """Cut into an index of elements of `size` bytes and the offset inside one."""
        if size <= 0:
            return Form(), self
        index = Form(self.constant // size)
        for own, form in self.indices:
            if own >= size:
                index = index.plus(form, own // size)
        return index, Offset(self.constant % size, tuple(entry for entry in self.indices if entry[0] < size))


@dataclass(frozen=True)
class Access:
    """One load or store of the IR at one memory.

    Attributes:
        instruction: the load or store.
        block: its block.
        writes: whether it is a store.
        memory: the variable, as the sources name it.
        part: index of the part along each cut dimension, None if it is known at run time only.
        address: distinguishes the words of a part.
        choices: registers among which a run-time index chooses; 1 if there is nothing to choose.
        storage: the kind of memory: a type of BIND_STORAGE, "" if the compiler chooses, "registers",
            "stream", "port" for external memory, "rom".
    """

    instruction: Instruction
    block: str
    writes: bool
    memory: str
    part: tuple[int | None, ...]
    address: tuple[Form, ...]
    choices: int
    storage: str

    @property
    def word(self) -> tuple[object, ...]:
        """What tells it apart from accesses to other words of the memory."""
        return self.part, self.address

    @property
    def is_fixed(self) -> bool:
        """Whether the word is the same in every iteration, and known."""
        return None not in self.part and not any(form.terms for form in self.address)

    def may_meet(self, other: Access) -> bool:
        """Return whether two accesses of one memory can touch the same part."""
        return all(a is None or b is None or a == b for a, b in zip(self.part, other.part, strict=False))


@dataclass(frozen=True)
class _Layout:
    """What pragmas say of a variable: cuts[(member, dimension)], dimension 0 for all, and its binding."""

    cuts: dict[tuple[str, int], tuple[str, int]]
    binding: str


@dataclass
class Memories:
    """The memories of one function of the IR."""

    module: Module
    function: Function
    debug: Debug
    unit: Unit
    active: frozenset[str]  # pragmas under a condition of the configuration that holds, as "file:line"
    _forms: dict[str, Form] = field(default_factory=dict)
    _layouts: dict[str, _Layout] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Find what each pointer is called, as a variable of its own and as a parameter of functions."""
        self.variables: dict[str, Variable] = {}
        self.aliases: dict[tuple[str, str], set[str]] = {}  # (name, "file:first line" of its function) -> bases
        for name, (_, number) in self.module.globals.items():
            variable = self.debug.variable(number) if number else None
            if variable is not None:
                self.variables[name] = variable
                self._alias(variable, name)
        for pointer, number in self.function.declared:
            definition = self.function.definitions.get(pointer)
            variable = self.debug.variable(number)
            if variable is None:
                continue
            for base, offset in self.bases(pointer):
                if pointer == base and definition is not None and definition.opcode == "alloca":
                    self.variables.setdefault(base, variable)
                if offset == Offset():
                    self._alias(variable, base)

    def _alias(self, variable: Variable, base: str) -> None:
        source = self.source(variable.place)
        if source is not None:
            key = (variable.name, f"{source.file}:{source.first_line}")
            self.aliases.setdefault(key, set()).add(base)

    def source(self, place: Place | None) -> Source | None:
        """Return the innermost function of the sources that holds a place."""
        if place is None:
            return None
        file = (self.unit.folder / place.file).resolve()
        around = [f for f in self.unit.functions if f.file == file and f.first_line <= place.line <= f.last_line]
        return min(around, key=lambda f: f.last_line - f.first_line, default=None)

    def named(self, name: str, source: Source) -> set[str]:
        """Return the bases that a name in a function of the sources stands for."""
        return self.aliases.get((name, f"{source.file}:{source.first_line}"), set())

    # Pointers and indices

    def form(self, value: str) -> Form:
        """Return an integer value as a sum of others, as far as additions and constant factors lead."""
        if value not in self._forms:
            self._forms[value] = Form(0, ((value, 1),))  # of a loop's own value: itself
            self._forms[value] = self._form(value)
        return self._forms[value]

    def _form(self, value: str) -> Form:
        if value.lstrip("-").isdigit():
            return Form(int(value))
        i = self.function.definitions.get(value)
        itself = Form(0, ((value, 1),))
        if i is None:
            return itself
        if i.opcode in _THROUGH:
            return self.form(i.operands[0])
        if i.opcode == "add" or (i.opcode == "or" and "disjoint" in i.flags):
            return self.form(i.operands[0]).plus(self.form(i.operands[1]))
        if i.opcode == "sub":
            return self.form(i.operands[0]).plus(self.form(i.operands[1]), -1)
        if i.opcode in ("shl", "mul") and i.operands[1].isdigit():
            factor = int(i.operands[1]) if i.opcode == "mul" else 1 << int(i.operands[1])
            return Form().plus(self.form(i.operands[0]), factor)
        if i.opcode == "and" and i.operands[1].lstrip("-").isdigit() and (mask := int(i.operands[1])) != 0:
            factor = mask & -mask  # a multiple of the lowest bit that the mask leaves
            return Form(0, ((f"{value} / {factor}", factor),)) if factor > 1 else itself
        return itself

    def bases(self, pointer: str, depth: int = 0) -> list[tuple[str, Offset]]:
        """Return (variable, offset) of a pointer; of a chosen one, of each choice."""
        if pointer.startswith("getelementptr"):
            inside = pointer[pointer.index("(") + 1 : pointer.rindex(")")]
            return self._moved(*address_of(inside), depth)
        i = self.function.definitions.get(pointer)
        if i is not None and i.opcode == "getelementptr":
            return self._moved(i.type, i.operands, depth)
        if i is not None and i.opcode in ("phi", "select") and depth < 8:
            choices = i.operands if i.opcode == "phi" else i.operands[1:]
            chosen = Offset(0, ((1, Form(0, ((pointer, 1),))),))
            return [(base, chosen) for choice in choices for base, _ in self.bases(choice, depth + 1)]
        return [(pointer, Offset())]

    def _moved(self, element: str, operands: tuple[str, ...], depth: int) -> list[tuple[str, Offset]]:
        offset = Offset()
        kind = element
        for n, index in enumerate(operands[1:]):
            if n:
                if kind[0] == "%":
                    kind = self.module.types[kind]
                if kind[0] in "{<":
                    members = split_top(kind.strip("<>")[1:-1])
                    position = int(index)
                    struct = "{ " + ", ".join(members[: position + 1]) + " }"
                    before = self.module.size(struct) - self.module.size(members[position])
                    offset, kind = offset.moved(before), members[position]
                    continue
                kind = kind[1:-1].split(" x ", 1)[1].strip()
            offset = offset.indexed(self.form(index), self.module.size(kind))
        return [(base, before.plus(offset)) for base, before in self.bases(operands[0], depth)]

    # Accesses

    def accesses(self, instruction: Instruction, block: str) -> Iterator[Access]:
        """Yield what an instruction reads and writes."""
        if instruction.opcode == "load":
            pointers = [(instruction.operands[0], False)]
        elif instruction.opcode == "store":
            pointers = [(instruction.operands[1], True)]
        elif instruction.opcode.startswith("llvm.memcpy"):
            pointers = [(instruction.operands[1], False), (instruction.operands[0], True)]
        elif instruction.opcode.startswith("llvm.memset"):
            pointers = [(instruction.operands[0], True)]
        elif instruction.opcode == "asm" and instruction.operands:
            ((base, _),) = self.bases(instruction.operands[0])
            name = self.variables[base].name if base in self.variables else base
            writes = "hls_stream_write" in instruction.flags
            yield Access(instruction, block, writes, name, (), (), 1, "stream")
            return
        else:
            return
        for pointer, writes in pointers:
            for base, offset in self.bases(pointer):
                access = self._access(instruction, block, writes, base, offset)
                if access is not None:
                    yield access

    def _access(self, instruction: Instruction, block: str, writes: bool, base: str, offset: Offset) -> Access | None:
        variable = self.variables.get(base)
        if variable is None:
            is_argument = base[0] == "%" and base not in self.function.definitions
            if is_argument:
                return Access(instruction, block, writes, base[1:], (), (offset.bytes,), 1, "port")
            return Access(instruction, block, writes, base.split(".")[0][1:], (), (offset.bytes,), 1, REGISTERS)
        if any(name == "slot" for name, _, _ in variable.type.members):
            return None  # of a stream: what is read and written there is counted at its assembly statement
        return self._located(instruction, block, writes, base, variable, offset)

    def _located(
        self, instruction: Instruction, block: str, writes: bool, base: str, variable: Variable, offset: Offset
    ) -> Access:
        layout = self._layout(base, variable)
        part: list[int | None] = []
        address: list[Form] = []
        choices, inside_element = 1, False
        member, dimension = "", 0
        kind, rest = variable.type, offset
        while kind.count or kind.members:
            if kind.members:
                found = [m for m in kind.members if m[1] <= rest.constant < m[1] + max(m[2].bytes, 1)]
                if not found:
                    break
                name, begin, inner = found[-1]
                if dimension == 0:
                    member = f"{member}.{name}" if member else name
                    address.append(Form(begin))
                else:
                    inside_element = True  # a word of several members is read as a whole
                kind, rest = inner, rest.moved(-begin)
                continue
            element = kind.element
            assert element is not None
            index, rest = rest.divided(element.bytes)
            if inside_element:
                choices *= kind.count if index.terms else 1
                kind = element
                continue
            dimension += 1
            how, factor = layout.cuts.get((member, dimension), layout.cuts.get((member, 0), ("", 0)))
            if how == "complete":
                part.append(None if index.terms else index.constant)
                choices *= kind.count if index.terms else 1
            elif how:
                aligned = how == "cyclic" and all(own % factor == 0 for _, own in index.terms)
                part.append(index.constant % factor if aligned else None)
                address.append(index)
            else:
                address.append(index)
            kind = element
        storage = layout.binding
        whole = all((member, n) in layout.cuts for n in range(1, dimension + 1)) or (member, 0) in layout.cuts
        cuts = [layout.cuts.get((member, n), layout.cuts.get((member, 0), ("", 0)))[0] for n in range(1, dimension + 1)]
        if dimension == 0 or (whole and all(cut == "complete" for cut in cuts)):
            storage = REGISTERS
        elif not storage and " constant " in self.module.globals.get(base, ("", ""))[0]:
            storage = "rom"
        label = f"{variable.name}.{member}" if member else variable.name
        return Access(instruction, block, writes, label, tuple(part), tuple(address), choices, storage)

    def _layout(self, base: str, variable: Variable) -> _Layout:
        if base not in self._layouts:
            cuts: dict[tuple[str, int], tuple[str, int]] = {}
            binding = ""
            for name, pragma in self._pragmas(base):
                member = name.partition(".")[2]
                if pragma.is_hls("ARRAY_PARTITION"):
                    how = next((w for w in ("complete", "cyclic", "block") if w in _values(pragma)), "complete")
                    dimension = int(pragma.option("dim") or 1)
                    cuts[member, dimension] = (how, self._number(pragma.option("factor"), pragma))
                if pragma.is_hls("BIND_STORAGE"):
                    binding = pragma.option("type").upper()
            self._layouts[base] = _Layout(cuts, binding)
        return self._layouts[base]

    def _pragmas(self, base: str) -> Iterator[tuple[str, Pragma]]:
        """Pragmas of a variable, under whichever name."""
        for source in self.unit.functions:
            for pragma in source.pragmas:
                name = pragma.option("variable")
                if not name or base not in self.named(name.split(".")[0], source):
                    continue
                if not source.is_conditional(pragma) or place_of(pragma, self.unit.folder) in self.active:
                    yield name, pragma

    def _number(self, text: str, pragma: Pragma) -> int:
        """A factor: a number, or a constant of the configuration, whose value the compiler has printed."""
        if not text or text.isdigit():
            return int(text or 0)
        return self.constants[f"{place_of(pragma, self.unit.folder)}:{text}"]

    constants: dict[str, int] = field(default_factory=dict)


def place_of(pragma: Pragma, folder: Path) -> str:
    """A pragma's place, relative to the unit's folder."""
    return f"{pragma.file.relative_to(folder)}:{pragma.line}"


def _values(pragma: Pragma) -> set[str]:
    return {word.split("=")[-1].lower() for word in pragma.words}
