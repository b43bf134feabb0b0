"""Entry of the command `toolflow`, outside the package that another distribution may shadow."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path


def main() -> int:
    """Run the command line; say what to do where Python finds another package of the same name.

    Returns:
        The exit code, see `toolflow.cli.main`.
    """
    # Threads of torch that wait by spinning take the processor from those of the library that trains layers
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        from toolflow.flow.signals import guarded

        return guarded(_run)
    except ImportError as error:
        place = _foreign_package()
        if place is None:
            raise
        print(
            f"toolflow: Python finds another package called toolflow, at {place}, in front of Cascade Toolflow "
            f"({error}).\nDo this: pip uninstall toolflow; pip install --force-reinstall --no-deps cascade-toolflow",
            file=sys.stderr,
        )
        return 2


def _run() -> int:
    from toolflow.cli.main import main as run

    return run()


def _foreign_package() -> Path | None:
    """Return the file of the package `toolflow` that Python finds, or None if it is ours or there is none."""
    try:
        package = importlib.import_module("toolflow")
    except ImportError:
        return None
    place = Path(package.__file__ or next(iter(package.__path__), ""))
    ours = hasattr(package, "__version__") and (place.parent / "cli/main.py").is_file()
    return None if ours else place


if __name__ == "__main__":
    sys.exit(main())
