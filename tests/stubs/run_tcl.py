"""A vendor tool's command line over the Tcl stubs: python run_tcl.py TOOL ARGUMENTS...

Takes only the arguments that the real tool takes. The Tcl interpreter is Python's own (tkinter's `Tcl`, which
needs no display) or tclsh.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

STUBS = Path(__file__).resolve().parent
FILES = {
    "vitis-run": ("common.tcl", "vitis_hls.tcl"),
    "vitis_hls": ("common.tcl", "vitis_hls.tcl"),
    "vivado": ("common.tcl", "vivado.tcl", "vivado_bd.tcl"),
}


def parse(tool: str, arguments: list[str]) -> tuple[str, list[str]]:
    """Return the script and its arguments."""
    parser = argparse.ArgumentParser(prog=tool, allow_abbrev=False)
    if tool == "vitis-run":
        parser.add_argument("--mode", choices=["hls"], required=True)
        parser.add_argument("--tcl", dest="script", required=True)
    elif tool == "vitis_hls":
        parser.add_argument("-f", dest="script", required=True)
    else:
        parser.add_argument("-mode", choices=["batch"], required=True)
        parser.add_argument("-nojournal", action="store_true")
        parser.add_argument("-source", dest="script", required=True)
        parser.add_argument("-tclargs", nargs="*", default=[])
    found = parser.parse_args(arguments)
    return found.script, getattr(found, "tclargs", [])


def preamble(tool: str, script: str, arguments: list[str]) -> str:
    """Return Tcl that loads the stubs and runs the script."""
    lines = [f"source {{{STUBS / name}}}" for name in FILES[tool]]
    lines += [f"set argv [list {' '.join(arguments)}]", f"set argc {len(arguments)}"]
    lines += [f"if {{[catch {{source {{{script}}}}} message]}} {{puts stderr $message; exit 9}}"]
    return "\n".join(lines)


def main() -> int:
    """Run the tool's script; its own `exit` ends this process."""
    tool, *arguments = sys.argv[1:]
    text = preamble(tool, *parse(tool, arguments))
    try:
        from tkinter import Tcl
    except ImportError:
        with tempfile.NamedTemporaryFile("w", suffix=".tcl") as file:
            file.write(text)
            file.flush()
            return subprocess.run(["tclsh", file.name], check=False).returncode
    interpreter = Tcl()

    def leave(status: str = "0") -> None:
        interpreter.eval("flush stdout")
        os._exit(int(status))

    interpreter.createcommand("exit", leave)  # tkinter's interpreter has none
    interpreter.eval(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
