"""Choose the folder in which simulators are built: make and the shell must accept its path.

GNU make splits a path at a space and ends it at '#', and '$', '%', ':' and quotes mean something to it or to the shell.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path

_BUILDABLE = re.compile(r"[A-Za-z0-9_./+,@-]+")


def is_buildable(path: Path) -> bool:
    """Return whether make can build below an absolute path."""
    return _BUILDABLE.fullmatch(str(path)) is not None


def work_folder(project: Path) -> Path:
    """Return the folder, made if missing, in which a project's simulators are built and kept between runs.

    It lies beside the project and not inside it; where make cannot build or nothing can be written there, in the cache
    folder, under a hash of the project's path.
    """
    project = project.resolve()
    folder = project.with_name(f"{project.name}.simulators")
    if is_buildable(folder) and os.access(folder if folder.exists() else folder.parent, os.W_OK | os.X_OK):
        folder.mkdir(exist_ok=True)
        return folder
    folder = cache_folder() / "projects" / hashlib.sha256(os.fsencode(project)).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def cache_folder() -> Path:
    """Return the user's folder for what every build shares: cascade-toolflow in $XDG_CACHE_HOME or ~/.cache.

    Where that cannot be written, or make cannot build there, it is one in the folder of temporary files: nothing is
    shared beyond this machine's next reboot.

    Raises:
        OSError: none of them can be written.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").resolve()
    own = f"cascade-toolflow-{os.getuid()}"
    temporary = (Path(tempfile.gettempdir()).resolve() / own, Path("/tmp") / own, Path("/var/tmp") / own)
    candidates = [path for path in (base / "cascade-toolflow", *temporary) if is_buildable(path)]
    for folder in candidates[:-1]:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK | os.X_OK) and (folder.stat().st_uid == os.getuid()):
            return folder
    candidates[-1].mkdir(exist_ok=True)
    return candidates[-1]
