"""Entry of the command `toolflow`, outside the package that another distribution may shadow."""

from __future__ import annotations

import importlib.util
import sys


def main() -> int:
    """Run the command line; say what to do where Python finds another package of the same name.

    Returns:
        The exit code, see `toolflow.cli.main`.
    """
    try:
        from toolflow.cli.main import main as run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "toolflow":
            raise
        spec = importlib.util.find_spec("toolflow")
        print(
            f"toolflow: Python finds another package called toolflow, at {spec.origin if spec else 'no place'}, "
            "in front of Cascade Toolflow.\n"
            "Do this: pip uninstall toolflow; pip install --force-reinstall --no-deps cascade-toolflow",
            file=sys.stderr,
        )
        return 2
    return run()
