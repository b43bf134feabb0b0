"""Debug information of a module: the source line of an instruction, and the type of a variable."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

from toolflow.emit.ii.ir import Module

_FIELD = re.compile(r'(\w+): (!\d+|"[^"]*"|[-\w. |]+)')
_LIST = re.compile(r"!\d+")


@dataclass(frozen=True)
class Place:
    """A line of the sources."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Type:
    """The layout of a variable.

    Attributes:
        bytes: size in bytes.
        count: elements of an array's outermost dimension, 0 for other types.
        element: the type of an array's elements.
        members: of a struct: (name, offset in bytes, type).
    """

    bytes: int
    count: int = 0
    element: Type | None = None
    members: tuple[tuple[str, int, Type], ...] = ()


@dataclass(frozen=True)
class Variable:
    """A variable of the sources."""

    name: str
    place: Place
    type: Type


@dataclass
class Debug:
    """The debug information of a module.

    Attributes:
        module: the module.
        own: files of the unit, as they are compiled; others are headers of the compiler.
    """

    module: Module
    own: frozenset[str]
    _types: dict[str, Type] = field(default_factory=dict)

    def place(self, location: str) -> Place | None:
        """Return where a DILocation stands in the unit's files; of what a header does, where it is called."""
        while "DILocation(" in self.module.metadata.get(location, ""):
            fields = self._fields(location)
            place = Place(self._file(fields["scope"]), int(fields.get("line", "0")))
            if place.file in self.own:
                return place
            location = fields.get("inlinedAt", "")
        return None

    def loop_start(self, loop: str) -> Place | None:
        """Return where the `for` of a loop's metadata stands."""
        for number in _LIST.findall(self.module.metadata.get(loop, ""))[1:]:
            place = self.place(number)
            if place is not None:
                return place
        return None

    def variable(self, number: str) -> Variable | None:
        """Return a local or global variable."""
        node = self.module.metadata.get(number, "")
        if "DIGlobalVariableExpression(" in node:
            return self.variable(self._fields(number)["var"])
        if "Variable(" not in node:
            return None
        fields = self._fields(number)
        if "name" not in fields or "file" not in fields:
            return None
        place = Place(self._file_name(fields["file"]), int(fields.get("line", "0")))
        return Variable(fields["name"], place, self.type(fields["type"]))

    def type(self, number: str) -> Type:
        """Return the layout of a type; for a reference, the layout of the type that it refers to."""
        if number not in self._types:
            self._types[number] = self._type(number)
        return self._types[number]

    def _type(self, number: str) -> Type:
        fields = self._fields(number)
        size = int(fields.get("size", "0")) // 8
        tag = fields.get("tag", "")
        if tag in ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type", "DW_TAG_reference_type"):
            return self.type(fields["baseType"]) if "baseType" in fields else Type(size)
        if tag == "DW_TAG_array_type":
            counts = [int(self._fields(n).get("count", "0")) for n in self._list(fields["elements"])]
            made = self.type(fields["baseType"])
            for count in reversed(counts):
                made = Type(count * made.bytes, count, made)
            return made
        if tag in ("DW_TAG_structure_type", "DW_TAG_class_type") and "elements" in fields:
            members = []
            for member in self._list(fields["elements"]):
                if "DW_TAG_member" in self.module.metadata[member]:
                    own = self._fields(member)
                    if "flags" in own and "StaticMember" in own["flags"]:
                        continue
                    members.append((own["name"], int(own.get("offset", "0")) // 8, self.type(own["baseType"])))
            # An integer of stated width is one thing, not a struct.
            return Type(size, members=() if fields.get("name", "").startswith("ap_") else tuple(members))
        return Type(size)

    def _list(self, number: str) -> list[str]:
        return _LIST.findall(self.module.metadata[number])

    def _fields(self, number: str) -> dict[str, str]:
        if number not in self._parsed:
            node = self.module.metadata.get(number, "")
            self._parsed[number] = {key: value.strip('"') for key, value in _FIELD.findall(node)}
        return self._parsed[number]

    @cached_property
    def _parsed(self) -> dict[str, dict[str, str]]:
        return {}

    @cached_property
    def _files(self) -> dict[str, str]:
        return {}

    def _file(self, scope: str) -> str:
        """File of a scope: of a lexical block, a subprogram."""
        if scope not in self._files:
            self._files[scope] = self._file_name(self._fields(scope)["file"])
        return self._files[scope]

    def _file_name(self, number: str) -> str:
        name = self._fields(number).get("filename", "")
        return name.removeprefix("./")
