"""Check that emitted C++ uses only what Vitis HLS and PandA-Bambu accept.

The declarations of `hls_templates/portable` define which parts of the vendor's classes may be used; other uses do not
parse. The rules here check the language and the pragmas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clang.cindex import Type, TypeKind

from toolflow.emit.cxx import Function, Kind, Loop, Token, Unit, parse_unit
from toolflow.emit.hls import top_function
from toolflow.ir.errors import VerificationError

ALLOWED_INCLUDES = ("ap_int.h", "hls_stream.h", "stdint.h")

# Pragma -> options that it may have, with or without a value.
PRAGMAS: dict[str, frozenset[str]] = {
    "INTERFACE": frozenset({"m_axi", "s_axilite", "port", "bundle", "offset", "depth", "latency"})
    | {"max_read_burst_length", "max_write_burst_length", "num_read_outstanding", "num_write_outstanding"},
    "DATAFLOW": frozenset(),
    "STREAM": frozenset({"variable", "depth"}),
    "PIPELINE": frozenset({"II"}),
    "UNROLL": frozenset(),
    "INLINE": frozenset({"off"}),
    "ALLOCATION": frozenset({"function", "instances", "limit"}),
    "ARRAY_PARTITION": frozenset(["variable", "complete", "cyclic", "block", "factor", "dim"]),
    "AGGREGATE": frozenset({"variable"}),
    "BIND_OP": frozenset(["variable", "op", "impl"]),
    "BIND_STORAGE": frozenset(["variable", "type", "impl"]),
    "DEPENDENCE": frozenset(["variable", "inter", "intra", "RAW", "WAR", "WAW", "distance", "true", "false"]),
    "LOOP_TRIPCOUNT": frozenset({"min", "max"}),
}

_FORBIDDEN = {
    Kind.WHILE_STMT: ("loop", "a loop must be a counted `for`, not `while`"),
    Kind.DO_STMT: ("loop", "a loop must be a counted `for`, not `do`"),
    Kind.CXX_FOR_RANGE_STMT: ("loop", "a loop must be a counted `for`, not a range-based one"),
    Kind.GOTO_STMT: ("loop", "control flow must be structured, not `goto`"),
    Kind.CXX_NEW_EXPR: ("heap", "memory must be static or local, not from `new`"),
    Kind.CXX_DELETE_EXPR: ("heap", "memory must be static or local, not freed by `delete`"),
    Kind.LAMBDA_EXPR: ("lambda", "a function must have a name, not be a lambda"),
    Kind.CXX_THROW_EXPR: ("exception", "an error must be a return value, not an exception"),
    Kind.CXX_TRY_STMT: ("exception", "an error must be a return value, not an exception"),
}
_STORAGE = ("ARRAY_PARTITION", "BIND_STORAGE", "AGGREGATE")
_ASSIGNMENTS = {"=", "+=", "-=", "*=", "/=", "%=", "<<=", ">>=", "&=", "|=", "^="}
_COMPARISONS = {"<", "<=", ">", ">=", "!="}


@dataclass(frozen=True, order=True)
class Finding:
    """One place that breaks a rule."""

    file: str
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text} [{self.rule}]"


def check_synthesisable(folder: Path, unit: str) -> list[Finding]:
    """Return the broken rules of a unit's sources in `folder`, sorted by file and line; [] if there are none.

    Raises:
        ToolflowError: the unit's source file does not exist.
    """
    return check_parsed(parse_unit(folder / f"{top_function(unit)}.cpp"))


def check_parsed(parsed: Unit) -> list[Finding]:
    """Return the broken rules of a parsed unit, sorted by file and line; [] if there are none."""
    found = [finding for rule in _RULES for finding in rule(parsed)]
    found += _top(parsed, parsed.source.stem)
    return sorted(set(found))


def require_synthesisable(folder: Path, unit: str) -> None:
    """Raise VerificationError with all findings if a unit's sources break a rule."""
    found = check_synthesisable(folder, unit)
    if found:
        lines = "\n".join(f"  {finding}" for finding in found)
        raise VerificationError(f"the HLS C++ in '{folder}' must be synthesisable, not break these rules:\n{lines}")


def _finding(unit: Unit, file: Path, line: int, rule: str, text: str) -> Finding:
    inside = unit.folder in file.resolve().parents
    return Finding(str(file.resolve().relative_to(unit.folder)) if inside else file.name, line, rule, text)


def _subset(unit: Unit) -> Iterator[Finding]:
    """Find what the portable headers do not declare: containers, printf, named streams, wide conversions."""
    for file, line, text in unit.diagnostics:
        yield _finding(unit, file, line, "subset", f"the C++ must parse with the portable headers: {text}")


def _includes(unit: Unit) -> Iterator[Finding]:
    for file, line, name in unit.includes:
        if name not in ALLOWED_INCLUDES and not (file.parent / name).is_file():
            allowed = ", ".join(ALLOWED_INCLUDES)
            yield _finding(unit, file, line, "include", f"a header must be the project's or {allowed}, not {name}")


def _language(unit: Unit) -> Iterator[Finding]:
    for cursor in unit.cursors:
        if cursor.kind in _FORBIDDEN:
            rule, text = _FORBIDDEN[cursor.kind]
            yield _finding(unit, Path(cursor.location.file.name), cursor.location.line, rule, text)
        if cursor.kind is Kind.CXX_METHOD and cursor.is_virtual_method():
            text = f"a method must be called directly, not be virtual: {cursor.spelling}"
            yield _finding(unit, Path(cursor.location.file.name), cursor.location.line, "virtual", text)


def _pragmas(unit: Unit) -> Iterator[Finding]:
    owned = {pragma: function for function in unit.functions for pragma in function.pragmas}
    for pragma in unit.pragmas:
        words = pragma.words
        if words == ["once"]:
            continue
        kind = words[1].upper() if len(words) > 1 and words[0] == "HLS" else ""
        if kind not in PRAGMAS:
            text = f"a pragma must be HLS {', '.join(PRAGMAS)}, not '{pragma.text}'"
            yield _finding(unit, pragma.file, pragma.line, "pragma", text)
            continue
        for word in words[2:]:
            if word.split("=")[0] not in PRAGMAS[kind]:
                text = f"an option of {kind} must be one of {', '.join(sorted(PRAGMAS[kind]))}, not '{word}'"
                yield _finding(unit, pragma.file, pragma.line, "pragma", text)
        if pragma not in owned:
            text = f"a pragma must be inside a function, not outside: '{pragma.text}'"
            yield _finding(unit, pragma.file, pragma.line, "pragma", text)
            continue
        name = pragma.option("variable") or pragma.option("port")
        function = owned[pragma]
        known = {*function.parameters, *function.variables, "return"}
        if name and name.split(".")[0] not in known:
            text = f"a pragma must name a variable of its function, not '{name}'"
            yield _finding(unit, pragma.file, pragma.line, "pragma", text)


def _loops(unit: Unit) -> Iterator[Finding]:
    for function in unit.functions:
        for loop in function.loops:
            problem = _loop_problem(unit, function, loop)
            if problem:
                yield _finding(unit, function.file, loop.first_line, "loop", problem)


def _loop_problem(unit: Unit, function: Function, loop: Loop) -> str:
    """Return the problem of a `for` loop, or "" if its bound is constant or given by LOOP_TRIPCOUNT."""
    variable, (_, condition, step) = loop.variable, loop.clauses
    if not variable:
        return "a loop must begin by setting one counter"
    if len(condition) < 3 or condition[0].text != variable or condition[1].text not in _COMPARISONS:
        return f"a loop's condition must first compare the counter '{variable}' with its bound"
    steps = [token.text for token in step]
    constant_step = len(steps) == 3 and steps[:2] in ([variable, "+="], [variable, "-="])
    if steps not in ([variable, "++"], [variable, "--"], ["++", variable], ["--", variable]) and not (
        constant_step and _constant(unit, function, step[2:])
    ):
        return f"a loop must count '{variable}' up or down by a constant"
    bound = _until(condition[2:], "&&")
    assigned = _assigned(loop.body)
    changed = [token.text for token in bound if token.name and token.text in assigned]
    if variable in assigned or changed:
        return f"a loop must not change its counter or its bound: {', '.join(changed) or variable}"
    if not _constant(unit, function, bound) and not any(p.is_hls("LOOP_TRIPCOUNT") for p in loop.pragmas):
        return "a loop's bound must be a constant, or LOOP_TRIPCOUNT must give its range"
    return ""


def _until(tokens: Sequence[Token], end: str) -> list[Token]:
    texts = [token.text for token in tokens]
    return list(tokens[: texts.index(end)] if end in texts else tokens)


def _assigned(tokens: Sequence[Token]) -> set[str]:
    """Return the names of the plain variables that an assignment, ++ or -- changes."""
    found = set()
    for n, token in enumerate(tokens):
        before = tokens[n - 1].text if n else ""
        after = tokens[n + 1].text if n + 1 < len(tokens) else ""
        if token.name and before not in (".", "->", "::"):
            declares = n > 0 and (tokens[n - 1].name or before in ("int", "unsigned", "long", "bool", ">", "&"))
            if (after in _ASSIGNMENTS and not declares) or "++" in (before, after) or "--" in (before, after):
                found.add(token.text)
    return found


def _constant(unit: Unit, function: Function, tokens: Sequence[Token]) -> bool:
    """Return whether an expression is constant when the hardware is built."""
    return not _unknown(unit, function, tokens)


def _unknown(unit: Unit, function: Function, tokens: Sequence[Token]) -> list[str]:
    """Return an expression's names that are not constant. Counters of unrolled loops around it are constant."""
    found = []
    offset = tokens[0].offset if tokens else 0
    qualified_until = 0  # end of a template's name before "::"
    for n, token in enumerate(tokens):
        end = _past_angles(tokens, n + 1)
        if end > n + 1 and end < len(tokens) and tokens[end].text == "::":
            qualified_until = end
        if n < qualified_until:
            continue
        neighbours = (tokens[n - 1].text if n else "", tokens[n + 1].text if n + 1 < len(tokens) else "")
        if not token.name or "::" in neighbours or token.text.endswith("_t"):
            continue
        if token.text in unit.constants or token.text in function.template_values:
            continue
        if token.text in {loop.variable for loop in function.loops if _unrolled(loop) and _holds(loop, offset)}:
            continue
        is_member = neighbours[0] in (".", "->")  # not the variable of this name, which it may be the value of
        variable = None if is_member else function.variables.get(token.text)
        if variable is not None and variable.type.is_const_qualified():
            value = [
                t for t in function.tokens if variable.extent.start.offset <= t.offset < variable.extent.end.offset
            ]
            texts = [t.text for t in value]
            if "=" in texts:  # a const variable is constant if its value is
                found += _unknown(unit, function, value[texts.index("=") + 1 :])
                continue
        found.append(token.text)
    return found


def _unrolled(loop: Loop) -> bool:
    return any(pragma.is_hls("UNROLL") for pragma in loop.pragmas)


def _holds(loop: Loop, offset: int) -> bool:
    return bool(loop.cursor.extent.start.offset <= offset < loop.cursor.extent.end.offset)


def _bit_positions(unit: Unit) -> Iterator[Finding]:
    """Check that bits of wide integers are selected at constant positions, also if a parameter gives the position."""
    constant_parameters: set[tuple[str, int]] = set()
    for _ in unit.functions:  # each round adds the callers of the functions of the round before
        size = len(constant_parameters)
        for function in unit.functions:
            for _, expression in _positions(function, constant_parameters):
                for name in _unknown(unit, function, expression):
                    if name in function.parameters:
                        constant_parameters.add((function.name, function.parameters.index(name)))
        if len(constant_parameters) == size:
            break
    for function in unit.functions:
        for line, expression in _positions(function, constant_parameters):
            unknown = [n for n in _unknown(unit, function, expression) if n not in function.parameters]
            if unknown:
                text = f"a bit position must be constant when unrolled, not depend on {', '.join(unknown)}"
                yield _finding(unit, function.file, line, "bits", text)


def _positions(function: Function, constant_parameters: set[tuple[str, int]]) -> Iterator[tuple[int, list[Token]]]:
    """Yield (line, expression) of every argument that must be constant."""
    for name, before, arguments, line in _calls(function.tokens):
        for index, argument in enumerate(arguments):
            if (name == "range" and before == ".") or (name, index) in constant_parameters:
                yield line, argument


def _calls(tokens: Sequence[Token]) -> Iterator[tuple[str, str, list[list[Token]], int]]:
    """Yield (name, token before, arguments, line) of each call-like sequence, without template arguments."""
    for n, token in enumerate(tokens):
        if not token.name:
            continue
        at = _past_angles(tokens, n + 1)
        if at < len(tokens) and tokens[at].text == "(":
            yield token.text, tokens[n - 1].text if n else "", _arguments(tokens, at), token.line


def _past_angles(tokens: Sequence[Token], at: int) -> int:
    """Return the index after a list of template arguments that begins at `at`, or `at` if none begins there."""
    if at >= len(tokens) or tokens[at].text != "<":
        return at
    depth = 0
    for n in range(at, len(tokens)):
        depth += {"<": 1, ">": -1, ">>": -2}.get(tokens[n].text, 0)
        if tokens[n].text in (";", "{", "&&", "||"):
            return at
        if depth <= 0:
            return n + 1
    return at


def _arguments(tokens: Sequence[Token], opening: int) -> list[list[Token]]:
    arguments: list[list[Token]] = [[]]
    depth = 0
    for token in tokens[opening:]:
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(token.text, 0)
        if depth == 0:
            break
        if token.text == "," and depth == 1:
            arguments.append([])
        elif token.text != "(" or depth > 1:
            arguments[-1].append(token)
    return [argument for argument in arguments if argument]


def _arrays(unit: Unit) -> Iterator[Finding]:
    """Each array of a function says whether it is registers or a memory, also where it is a member."""
    for function in unit.functions:
        told = {p.option("variable") for p in function.pragmas if any(p.is_hls(kind) for kind in _STORAGE)}
        for name, variable in function.variables.items():
            arrays = _arrays_of(name, variable.type)
            missing = ", ".join(array for array in arrays if name not in told and array not in told)
            if missing:
                text = f"an array must be partitioned or bound to a memory ({', '.join(_STORAGE)}): {missing}"
                yield _finding(unit, function.file, variable.location.line, "array", text)


def _is_array(kind: Type) -> bool:
    return kind.get_canonical().kind in (TypeKind.CONSTANTARRAY, TypeKind.DEPENDENTSIZEDARRAY)


def _arrays_of(name: str, kind: Type) -> list[str]:
    """Return a variable's name, if it is an array, or the names of its members that are."""
    if _is_array(kind):
        return [name]
    members = kind.get_canonical().get_declaration().get_children()
    return [f"{name}.{c.spelling}" for c in members if c.kind is Kind.FIELD_DECL and _is_array(c.type)]


def _recursion(unit: Unit) -> Iterator[Finding]:
    names = {function.name for function in unit.functions}
    calls = {name: set[str]() for name in names}
    for function in unit.functions:
        calls[function.name] |= {name for name, *_ in _calls(function.tokens) if name in names}
    reached = {name: set(called) for name, called in calls.items()}
    for _ in names:
        for name in names:
            for called in tuple(reached[name]):
                reached[name] |= reached[called]
    for function in unit.functions:
        if function.name in reached[function.name]:
            text = f"a function must not call itself, directly or through others: {function.name}"
            yield _finding(unit, function.file, function.first_line, "recursion", text)


def _dataflow(unit: Unit) -> Iterator[Finding]:
    """Check that a dataflow region has only calls and streams, each with a depth, one producer and one consumer."""
    for function in unit.functions:
        streams = {n for n, v in function.variables.items() if v.type.spelling.startswith("hls::stream")}
        depths = {p.option("variable") for p in function.pragmas if p.is_hls("STREAM") and p.option("depth")}
        for name in sorted(streams - depths):
            line = function.variables[name].location.line
            yield _finding(unit, function.file, line, "dataflow", f"a stream must have a STREAM depth: {name}")
        if not any(pragma.is_hls("DATAFLOW") for pragma in function.pragmas):
            continue
        for statement in function.body.get_children():
            if statement.kind not in (Kind.DECL_STMT, Kind.CALL_EXPR, Kind.UNEXPOSED_EXPR):
                text = "a dataflow region must hold declarations and calls only"
                yield _finding(unit, function.file, statement.location.line, "dataflow", text)
        for name in sorted(streams):
            users = sum(
                any(t.text == name for a in arguments for t in a) for *_, arguments, _ in _calls(function.tokens)
            )
            if users != 2:
                line = function.variables[name].location.line
                text = f"a stream must have one producer and one consumer, not {users} users: {name}"
                yield _finding(unit, function.file, line, "dataflow", text)


def _top(unit: Unit, top: str) -> Iterator[Finding]:
    tops = [function for function in unit.functions if function.name == top]
    if len(tops) != 1:
        yield _finding(unit, unit.folder / f"{top}.cpp", 1, "top", f"there must be one function {top}, not {len(tops)}")
        return
    function = tops[0]
    if function.cursor.mangled_name != top or function.cursor.semantic_parent.kind is Kind.NAMESPACE:
        text = f'{top} must be extern "C", outside of namespaces'
        yield _finding(unit, function.file, function.first_line, "top", text)
    covered = {p.option("port") for p in function.pragmas if p.is_hls("INTERFACE") and "s_axilite" in p.words}
    for name in (*function.parameters, "return"):
        if name not in covered:
            text = f"every argument of {top} must have a control register (INTERFACE s_axilite); '{name}' has none"
            yield _finding(unit, function.file, function.first_line, "top", text)


_RULES: tuple[Callable[[Unit], Iterator[Finding]], ...] = (
    _subset,
    _includes,
    _language,
    _pragmas,
    _loops,
    _bit_positions,
    _arrays,
    _recursion,
    _dataflow,
)
