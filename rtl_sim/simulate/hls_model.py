"""Turn the emitted HLS C++ into a DPI model: streams with their depths, processes that run concurrently.

The C++ is taken as it is, except for dataflow regions. There

    hls::stream<Word> words;
    #pragma HLS STREAM variable=words depth=4
    produce(words);
    consume(words);

becomes

    hls::stream<Word> words;
    words.declare("words", 4);
    cascade_model::Region region;
    region.process("produce", [&] { produce(words); });
    region.process("consume", [&] { consume(words); });
    region.join();
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from rtl_sim.simulate.simulator import files_digest, toolchain_digest, unless_built
from toolflow.emit.hls_native import ap_types_folder
from toolflow.ir.errors import NotRunError, ToolflowError

MODEL = Path(__file__).resolve().parents[2] / "hls_templates" / "dpi"
LIBRARY = "libcascade_model.so"
FLAGS = ("-std=c++17", "-O2", "-shared", "-fPIC")
COMPILER = "g++"

_DATAFLOW = re.compile(r"#pragma\s+HLS\s+dataflow\b", re.IGNORECASE)
_DEPTH = re.compile(r"#pragma\s+HLS\s+stream\s+variable=(\w+)\s+depth=(.+)", re.IGNORECASE)
_STREAM = re.compile(r"hls::stream<.*>\s+(\w+)", re.DOTALL)
_TYPE_NAME = re.compile(r"(typedef|using)\b.*", re.DOTALL)
_CALL = re.compile(r"(\w+)\s*(<.*>)?\s*\(.*\)", re.DOTALL)
_TOP_CALL = re.compile(r"cascade::run<(\w+)>\(")


def build_model(folder: Path, sources: Path, top: str) -> Path:
    """Compile one unit's C++ in `sources` and the model around it to a shared library in `folder`.

    Nothing is compiled where the library that is there was made from the same content.

    Raises:
        ToolflowError: the sources lack the unit, or a dataflow region holds something else than calls.
        NotRunError: the C++ does not compile.
    """
    folder = folder.resolve()
    library = folder / LIBRARY
    files = sorted([*sources.rglob("*.hpp"), *sources.glob("*.cpp"), *MODEL.glob("*.*")])
    with unless_built(folder, files_digest(files, f"{toolchain_digest()} {FLAGS} {top}")) as needed:
        if needed:
            _compile(folder, sources, top, library)
    return library


def _compile(folder: Path, sources: Path, top: str, library: Path) -> None:
    if shutil.which(COMPILER) is None:
        raise ToolflowError(f"{COMPILER} must be installed to simulate HLS C++")
    emitted = sources / f"{top}.cpp"
    call = _TOP_CALL.search(emitted.read_text(encoding="utf-8"))
    if call is None:
        raise ToolflowError(f"'{emitted}' must call cascade::run<...> in its top function")
    for header in (*sources.glob("*.hpp"), *sources.glob("lib/*.hpp")):
        copy = folder / "concurrent" / header.relative_to(sources)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(concurrent(header.read_text(encoding="utf-8"), header.name), encoding="utf-8")
    defines = (f'-DCASCADE_HEADER="{top}.hpp"', f"-DCASCADE_CONFIG={call[1]}")
    includes = (f"-I{path}" for path in (folder / "concurrent", MODEL, ap_types_folder()))
    command = [COMPILER, *FLAGS, *defines, *includes, *map(str, sorted(MODEL.glob("*.cpp"))), "-o", str(library)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        lines = [line for line in result.stderr.splitlines() if "error" in line][:20]
        raise NotRunError(f"{COMPILER} must compile {emitted}, it says:\n" + "\n".join(lines))


def concurrent(text: str, name: str) -> str:
    """Return C++ in which every process of a dataflow region runs by itself.

    Args:
        text: one source file.
        name: its name, for messages.

    Raises:
        ToolflowError: a region holds a statement that is neither a stream, the name of a type nor a call.
    """
    done = ""
    while (pragma := _DATAFLOW.search(text)) is not None:
        begin = _enclosing_brace(text, pragma.start()) + 1
        end = _closing_brace(text, begin)
        done += text[:begin] + _region(text[begin:end], name)
        text = text[end:]
    return done + text


def _region(body: str, name: str) -> str:
    lines = body.splitlines()
    depths = {match[1]: match[2].strip() for line in lines if (match := _DEPTH.search(line))}
    code = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    code = re.sub(r"//[^\n]*|/\*.*?\*/", "", code, flags=re.DOTALL)
    streams: list[str] = []
    calls: list[str] = []
    for statement in (part.strip() for part in code.split(";")):
        if stream := _STREAM.fullmatch(statement):
            streams.append(f"{statement};")
            if stream[1] in depths:
                streams.append(f'{stream[1]}.declare("{stream[1]}", {depths.pop(stream[1])});')
            else:
                streams.append(f'{stream[1]}.declare("{stream[1]}", 2);')
        elif _TYPE_NAME.fullmatch(statement):
            streams.append(f"{statement};")
        elif call := _CALL.fullmatch(statement):
            calls.append(f'region.process("{call[1]}", [&] {{ {statement}; }});')
        elif statement:
            raise ToolflowError(
                f"{name}: a dataflow region must hold streams, names of types and calls only, "
                f"not '{' '.join(statement.split())}'"
            )
    if depths:
        raise ToolflowError(f"{name}: STREAM pragmas must name a stream of their region, not {', '.join(depths)}")
    return "\n".join(["", *streams, "cascade_model::Region region;", *calls, "region.join();", ""])


def _enclosing_brace(text: str, place: int) -> int:
    """Return where the block that holds `place` opens."""
    depth = 0
    for index in range(place - 1, -1, -1):
        depth += {"}": 1, "{": -1}.get(text[index], 0)
        if depth < 0:
            return index
    raise ToolflowError("a dataflow pragma must stand in a function")


def _closing_brace(text: str, place: int) -> int:
    """Return where the block that holds `place` closes."""
    depth = 0
    for index in range(place, len(text)):
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if depth < 0:
            return index
    raise ToolflowError("a dataflow region must end")
