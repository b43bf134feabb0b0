"""Parse emitted C++ into functions, loops, pragmas and tokens, for the checks of `synthesisable.py`.

clang parses the sources with `__SYNTHESIS__` defined, as a synthesis tool does. The vendor's headers are replaced by
`hls_templates/portable`, which declares only what every HLS compiler supports.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from clang import cindex

from toolflow.emit.render import resource
from toolflow.ir.errors import ToolflowError

Kind = cindex.CursorKind
FUNCTIONS = {Kind.FUNCTION_DECL, Kind.FUNCTION_TEMPLATE, Kind.CXX_METHOD, Kind.CONSTRUCTOR}
_PRAGMA = re.compile(r"\s*#\s*pragma\s+(.*)")
_CONDITION = re.compile(r"\s*#\s*(ifdef|ifndef|if|elif|else|endif)\b(.*)")


@dataclass(frozen=True)
class Token:
    """One token outside preprocessor lines; `name` is true for an identifier."""

    text: str
    name: bool
    offset: int
    line: int


@dataclass(frozen=True)
class Pragma:
    """One `#pragma` that a synthesis tool reads: its text after `#pragma`, and its place."""

    file: Path
    line: int
    text: str

    @property
    def words(self) -> list[str]:
        """The words of the pragma, with "HLS" and the kind."""
        return self.text.split()

    def is_hls(self, kind: str) -> bool:
        """Return whether this is `#pragma HLS kind`, in upper or lower case."""
        return [word.upper() for word in self.words[:2]] == ["HLS", kind]

    def option(self, key: str) -> str:
        """Return the value of `key=`, or "" if the option is missing."""
        return next((word.split("=", 1)[1] for word in self.words if word.startswith(f"{key}=")), "")


@dataclass
class Loop:
    """A `for` statement: its cursor, the tokens of its three clauses and of its body, and the body's pragmas."""

    cursor: cindex.Cursor
    variable: str
    clauses: tuple[list[Token], list[Token], list[Token]]
    body: list[Token]
    first_line: int
    last_line: int
    pragmas: list[Pragma] = field(default_factory=list)


@dataclass
class Function:
    """A function that has a body."""

    cursor: cindex.Cursor
    file: Path
    name: str
    parameters: list[str]
    template_values: set[str]
    body: cindex.Cursor
    tokens: list[Token]
    first_line: int
    last_line: int
    loops: list[Loop] = field(default_factory=list)
    pragmas: list[Pragma] = field(default_factory=list)
    variables: dict[str, cindex.Cursor] = field(default_factory=dict)
    branches: list[tuple[int, int]] = field(default_factory=list)  # first and last line of each `if`

    def is_conditional(self, pragma: Pragma) -> bool:
        """Return whether a pragma is in an `if` outside all loops, so that the configuration decides about it."""
        in_loop = any(loop.first_line < pragma.line <= loop.last_line for loop in self.loops)
        return not in_loop and any(first < pragma.line <= last for first, last in self.branches)


@dataclass(frozen=True)
class Unit:
    """A parsed unit: everything in its source file and in the headers of the same folder."""

    source: Path
    folder: Path
    diagnostics: list[tuple[Path, int, str]]
    includes: list[tuple[Path, int, str]]
    pragmas: list[Pragma]
    functions: list[Function]
    constants: set[str]
    cursors: list[cindex.Cursor]


def parse_unit(source: Path) -> Unit:
    """Parse one source file, and the headers that it includes from its folder.

    Raises:
        ToolflowError: the file cannot be read.
    """
    if not source.is_file():
        raise ToolflowError(f"'{source}' must be a readable file")
    source = source.resolve()
    folder = source.parent
    headers = Path(str(resource("hls_templates", "portable", "ap_int.h"))).parent
    arguments = ["-std=c++17", "-D__SYNTHESIS__", "-nostdinc", "-nostdinc++", f"-I{headers}"]
    option = cindex.TranslationUnit.PARSE_DETAILED_PROCESSING_RECORD
    parsed = cindex.Index.create().parse(str(source), args=arguments, options=option)
    own = [c for c in parsed.cursor.walk_preorder() if (path := _file(c)) is not None and folder in path.parents]
    files = sorted({source, *(path for c in own if (path := _file(c)) is not None)})
    pragmas = [pragma for path in files for pragma in _pragmas(path)]
    functions = [_function(c) for c in own if c.kind in FUNCTIONS and _body(c) is not None]
    _place(pragmas, functions)
    return Unit(
        source=source,
        folder=folder,
        diagnostics=[
            (Path(str(d.location.file)), d.location.line, d.spelling)
            for d in parsed.diagnostics
            if d.severity >= cindex.Diagnostic.Error
        ],
        includes=[
            (path, c.location.line, c.spelling)
            for c in own
            if c.kind is Kind.INCLUSION_DIRECTIVE and (path := _file(c)) is not None
        ],
        pragmas=pragmas,
        functions=functions,
        constants={c.spelling for c in own if c.kind is Kind.VAR_DECL and _global_constant(c)},
        cursors=own,
    )


def tokens_of(cursor: cindex.Cursor) -> list[Token]:
    """Return a cursor's tokens without preprocessor lines and comments."""
    tokens: list[Token] = []
    directive = -1
    for token in cursor.get_tokens():
        line = token.location.line
        if token.spelling == "#" and (not tokens or tokens[-1].line != line):
            directive = line
        if line == directive or token.kind is cindex.TokenKind.COMMENT:
            continue
        is_name = token.kind is cindex.TokenKind.IDENTIFIER
        tokens.append(Token(token.spelling, is_name, token.extent.start.offset, line))
    return tokens


def active_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield (number, line) of the lines that are compiled if __SYNTHESIS__ is defined.

    A condition on other macros counts as true, and so does its `#else` branch.
    """
    stack: list[tuple[bool, bool]] = []  # for each open condition: is it true, does it depend on __SYNTHESIS__
    for number, line in enumerate(text.splitlines(), 1):
        directive = _CONDITION.match(line)
        if directive is None:
            if all(holds for holds, _ in stack):
                yield number, line
        elif directive[1] == "endif":
            stack.pop()
        elif directive[1] in ("else", "elif"):
            holds, decided = stack.pop()
            stack.append((not holds if decided else True, decided))
        else:
            stack.append((_holds(directive[1], directive[2]), "__SYNTHESIS__" in line))


def _holds(word: str, condition: str) -> bool:
    if "__SYNTHESIS__" not in condition:
        return True
    if word != "if":
        return word == "ifdef"
    negated = re.search(r"!\s*(defined\s*\(?\s*)?__SYNTHESIS__", condition) is not None
    return not negated or "||" in condition


def _file(cursor: cindex.Cursor) -> Path | None:
    place = cursor.location.file
    return None if place is None else _resolved(place.name)


@cache
def _resolved(name: str) -> Path:
    return Path(name).resolve()


def _body(cursor: cindex.Cursor) -> cindex.Cursor | None:
    return next((child for child in cursor.get_children() if child.kind is Kind.COMPOUND_STMT), None)


def _global_constant(cursor: cindex.Cursor) -> bool:
    inside = cursor.semantic_parent.kind in FUNCTIONS
    return not inside and cursor.type.is_const_qualified()


def _pragmas(path: Path) -> Iterator[Pragma]:
    for number, line in active_lines(path.read_text(encoding="utf-8")):
        if (found := _PRAGMA.match(line)) is not None:
            yield Pragma(path, number, found[1].strip())


def _function(cursor: cindex.Cursor) -> Function:
    body = _body(cursor)
    path = _file(cursor)
    assert body is not None
    assert path is not None
    children = list(cursor.get_children())
    function = Function(
        cursor=cursor,
        file=path,
        name=cursor.spelling,
        parameters=[c.spelling for c in children if c.kind is Kind.PARM_DECL],
        template_values={c.spelling for c in children if c.kind is Kind.TEMPLATE_NON_TYPE_PARAMETER},
        body=body,
        tokens=tokens_of(body),
        first_line=cursor.extent.start.line,
        last_line=cursor.extent.end.line,
    )
    for inner in body.walk_preorder():
        if inner.kind is Kind.VAR_DECL:
            function.variables[inner.spelling] = inner
        if inner.kind is Kind.FOR_STMT:
            function.loops.append(_loop(inner))
        if inner.kind is Kind.IF_STMT:
            function.branches.append((inner.extent.start.line, inner.extent.end.line))
    return function


def _loop(cursor: cindex.Cursor) -> Loop:
    tokens = tokens_of(cursor)
    depth = itertools.accumulate({"(": 1, ")": -1}.get(token.text, 0) for token in tokens)
    head_end = next(n for n, level in enumerate(depth) if n > 1 and level == 0)
    head, body = tokens[2:head_end], tokens[head_end + 1 :]
    parts: list[list[Token]] = [[]]
    for token in head:
        if token.text == ";":
            parts.append([])
        else:
            parts[-1].append(token)
    first, condition, step = (*parts, [], [])[:3]
    names = [a.text for a, b in itertools.pairwise(first) if b.text == "="]
    return Loop(
        cursor=cursor,
        variable=names[0] if len(names) == 1 else "",
        clauses=(first, condition, step),
        body=body,
        first_line=cursor.extent.start.line,
        last_line=cursor.extent.end.line,
    )


def _place(pragmas: list[Pragma], functions: list[Function]) -> None:
    """Add each pragma to its function and to the innermost loop around it."""
    for pragma in pragmas:
        around = [f for f in functions if f.file == pragma.file and f.first_line <= pragma.line <= f.last_line]
        if not around:
            continue
        function = min(around, key=lambda f: f.last_line - f.first_line)
        function.pragmas.append(pragma)
        loops = [loop for loop in function.loops if loop.first_line < pragma.line <= loop.last_line]
        if loops:
            min(loops, key=lambda loop: loop.last_line - loop.first_line).pragmas.append(pragma)
