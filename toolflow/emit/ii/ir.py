"""Parse the parts of LLVM's textual IR that the check needs: functions, blocks, instructions, types, metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

_NAME = r'[%@](?:"[^"]*"|[-\w$.]+)'
_FUNCTION = re.compile(rf"define [^@]*({_NAME})\((.*)\)[^()]*\{{$")
_LABEL = re.compile(r'("[^"]*"|[-\w$.]+):')
_INSTRUCTION = re.compile(rf"  (?:({_NAME}) = )?(?:(?:tail|musttail|notail) )?([a-z]+)(.*)")
_METADATA = re.compile(r",? ?!(\w+(?:\.\w+)?) (!\d+)")
_LOCAL = re.compile(r'%(?:"[^"]*"|[-\w$.]+)')
_OPERAND = re.compile(rf"{_NAME}|-?\d+|true|false|null|undef|poison|zeroinitializer")
_DECLARE = re.compile(r"\s+#dbg_(?:declare|value)\((?:ptr )(%\S+|@\S+), (!\d+),")
_NODE = re.compile(r"(!\d+) = (.*)")
_BINARY = frozenset(["add", "sub", "mul", "udiv", "sdiv", "urem", "srem", "shl", "lshr", "ashr", "and", "or", "xor"])
_CASTS = frozenset(["zext", "sext", "trunc", "bitcast", "freeze", "ptrtoint", "inttoptr"])


@dataclass(eq=False)
class Instruction:
    """One instruction.

    Attributes:
        name: the name that it defines, "" if nothing.
        opcode: LLVM's word; "asm" for an assembly statement, the function's name for a call.
        flags: words between the opcode and the type, the predicate of a comparison included.
        type: the type of the result; for a store, of the stored value.
        operands: names and constants. phi: incoming values; br and switch: the condition, if there is one.
        labels: phi: incoming blocks; br and switch: targets.
        location: its DILocation's number, "" if it has none.
        loop: number of the loop's metadata, at the branch that closes a loop.
        text: the line, without metadata.
    """

    name: str
    opcode: str
    flags: tuple[str, ...] = ()
    type: str = ""
    operands: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    location: str = ""
    loop: str = ""
    text: str = ""


@dataclass
class Block:
    """A basic block; its last instruction is its terminator."""

    name: str
    instructions: list[Instruction] = field(default_factory=list)

    @property
    def successors(self) -> tuple[str, ...]:
        """Names of the blocks that may follow."""
        return tuple(dict.fromkeys(self.instructions[-1].labels))


@dataclass
class Function:
    """A function with a body."""

    name: str
    blocks: dict[str, Block]
    declared: list[tuple[str, str]]  # of debug records: (pointer, metadata of the variable that it is)

    @cached_property
    def definitions(self) -> dict[str, Instruction]:
        """The instruction that defines each name."""
        return {i.name: i for block in self.blocks.values() for i in block.instructions if i.name}


@dataclass
class Module:
    """A translation unit."""

    types: dict[str, str]
    globals: dict[str, tuple[str, str]]  # name -> (definition, number of its debug variable)
    functions: list[Function]
    metadata: dict[str, str]

    def size(self, text: str) -> int:
        """Bytes that a value of a type takes in an array."""
        return self._layout(text.strip())[0]

    def _layout(self, text: str) -> tuple[int, int]:
        """Size and alignment."""
        if text == "ptr":
            return 8, 8
        if text[0] == "i":
            bits = int(text[1:])
            size = 1 << max((bits + 7) // 8 - 1, 0).bit_length()
            return size, min(size, 16)
        if text[0] == "%":
            return self._layout(self.types[text])
        if text[0] == "[":
            count, element = text[1:-1].split(" x ", 1)
            size, alignment = self._layout(element.strip())
            return int(count) * size, alignment
        packed = text.startswith("<")
        offset, largest = 0, 1
        for member in split_top(text.strip("<>")[1:-1]):
            size, alignment = self._layout(member)
            alignment = 1 if packed else alignment
            offset = -(-offset // alignment) * alignment + size
            largest = max(largest, alignment)
        return -(-offset // largest) * largest, largest


def split_top(text: str) -> list[str]:
    """Split at the commas that stand in no bracket."""
    parts, depth, begin = [], 0, 0
    for n, letter in enumerate(text):
        depth += (letter in "([{<") - (letter in ")]}>")
        if letter == "," and depth == 0:
            parts.append(text[begin:n].strip())
            begin = n + 1
    last = text[begin:].strip()
    return [*parts, last] if last else parts


def bits_of(text: str) -> int:
    """Width of an integer type, 64 for others."""
    return int(text[1:]) if text[:1] == "i" and text[1:].isdigit() else 64


def parse_module(text: str) -> Module:
    """Parse a module as clang prints it."""
    module = Module({}, {}, [], {})
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("define "):
            module.functions.append(_function(line, lines))
        elif line.startswith("!"):
            if (node := _NODE.match(line)) is not None:
                module.metadata[node[1]] = node[2]
        elif line.startswith("@"):
            name, _, definition = line.partition(" = ")
            variable = re.search(r"!dbg (!\d+)", definition)
            module.globals[name] = (definition, variable[1] if variable else "")
        elif line.startswith("%") and " = type " in line:
            name, _, definition = line.partition(" = type ")
            module.types[name] = definition
    return module


def _function(head: str, lines: Iterator[str]) -> Function:
    match = _FUNCTION.match(head)
    assert match is not None, head
    function = Function(match[1], {}, [])
    block = Block("%entry")
    for line in lines:
        if line == "}":
            break
        if line.startswith(" "):
            if "#dbg_" in line:
                if (declared := _DECLARE.match(line)) is not None:
                    function.declared.append((declared[1], declared[2]))
                continue
            if line.strip().startswith("#"):
                continue
            text = line
            while text.rstrip().endswith("[") or (text.lstrip().startswith("switch") and "]" not in text):
                text += " " + next(lines).strip()
            block.instructions.append(_instruction(text))
            function.blocks.setdefault(block.name, block)
        elif (label := _LABEL.match(line)) is not None:
            block = Block("%" + label[1])
    return function


def _instruction(line: str) -> Instruction:
    metadata = dict(_METADATA.findall(line))
    end = line.find(", !")
    text = line if end < 0 else line[:end]
    match = _INSTRUCTION.match(text)
    assert match is not None, line
    name, opcode, rest = match[1] or "", match[2], match[3].strip()
    made = Instruction(name, opcode, location=metadata.get("dbg", ""), loop=metadata.get("llvm.loop", ""), text=text)
    if opcode in _BINARY or opcode == "icmp":
        head, second = split_top(rest)[-2:]
        words = head.split(" ")
        made.flags, made.type, made.operands = tuple(words[:-2]), words[-2], (words[-1], second)
    elif opcode in _CASTS:
        source, _, to = rest.partition(" to ")
        words = source.split(" ")
        made.flags, made.type, made.operands = (words[-2],), to or words[-2], (words[-1],)
    elif opcode == "select":
        chosen = split_top(rest)
        made.type, made.operands = chosen[1].rsplit(" ", 1)[0], tuple(part.rsplit(" ", 1)[1] for part in chosen)
    elif opcode == "phi":
        begin = rest.index("[")
        pairs = [split_top(part.strip("[] ")) for part in split_top(rest[begin:])]
        made.type = rest[:begin].split()[-1]
        made.operands, made.labels = tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)
    elif opcode in ("br", "switch"):
        made.labels = tuple(re.findall(rf"label ({_LOCAL.pattern})", rest))
        condition = rest.split(",")[0].split(" ")
        made.operands = () if condition[0] == "label" else (condition[1],)
    elif opcode == "load":
        parts = split_top(rest)
        made.type, made.operands = parts[0], (_value(parts[1]),)
    elif opcode == "store":
        value, pointer = split_top(rest)[:2]
        made.type, stored = value.rsplit(" ", 1)
        made.operands = (stored, _value(pointer))
    elif opcode == "getelementptr":
        made.type, made.operands = address_of(rest)
    elif opcode == "call":
        _call(made, rest)
    elif opcode not in ("ret", "unreachable", "alloca"):
        made.operands = tuple(_OPERAND.findall(rest))
    return made


def _call(made: Instruction, rest: str) -> None:
    if " asm " in f" {rest}":
        made.opcode = "asm"
        made.flags = tuple(re.findall(r'"(hls_stream_\w+)"', rest))
        made.operands = tuple(re.findall(rf"({_NAME})\)", rest)[-1:])
        return
    called = re.search(r"(@[-\w$.]+)\((.*)\)", rest)
    kind = re.match(r"(?:\w+\(?\w*\)? )*?(i\d+|void|ptr) ", rest)
    made.type = kind[1] if kind else ""
    if called is not None:
        made.opcode = called[1][1:]
        made.operands = tuple(_value(part) for part in split_top(called[2]))


def address_of(text: str) -> tuple[str, tuple[str, ...]]:
    """Cut what stands behind getelementptr, as an instruction or as a constant: element type, (base, indices)."""
    parts = split_top(re.sub(r"^((inbounds|nuw|nusw) )*", "", text.strip()))
    return parts[0], tuple(_value(part) for part in parts[1:])


def _value(text: str) -> str:
    """Return the value of an operand with its type: a name, a constant, or a whole constant expression."""
    begin = text.find("getelementptr")
    return text[begin:] if begin >= 0 else text.rsplit(" ", 1)[-1]
