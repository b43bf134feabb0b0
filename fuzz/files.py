"""The jobs that damage an input or a project and run a command on it as a user would."""

from __future__ import annotations

import json
import random
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from typer.testing import Result

from fuzz.campaign import Campaign, Job
from fuzz.damage import Edit, apply_edit, draw_edit
from fuzz.notebook import DEFECT, DIFFERENCE, EQUAL, REFUSED, UNHELPFUL, Entry
from fuzz.originals import FAST, SHAPE, originals, project_files, toolflow

INPUTS = ("model.onnx", "weights.safetensors", "weights.pt", "images.npz", "board.yaml", "pruned.safetensors")
DOCUMENTED = (0, 2, 3, 4)  # exit codes
# read by a level, a bench or the host: verification must not pass if one of these files is changed
CHECKED = ("weights/", "vectors/", "graphs/", "plan.json", "calibration.json", "cascade.json")
TEXT = 1200


@dataclass(frozen=True)
class Damage:
    """Changes of one file and the command that reads it.

    Attributes:
        file: the damaged file, relative to the originals; "project/…" for a file of the project.
        edits: the changes in order; empty if the file is deleted or replaced.
        command: a key of `_COMMANDS`.
        other: the file that replaces the damaged one, "" if it is deleted; None for edits.
    """

    file: str
    edits: tuple[Edit, ...]
    command: str
    other: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the damage as a JSON document."""
        return asdict(self)

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> Damage:
        """Read the output of `as_json`."""
        edits = tuple(Edit.of_json(edit) for edit in document["edits"])
        return cls(document["file"], edits, document["command"], document["other"])


def draw_damage(rng: random.Random, kind: str, folder: Path) -> Damage:
    """Return damage to an input ("file") or to a file of a project ("project")."""
    if kind == "file":
        file = rng.choice(INPUTS)
        command = rng.choice(READERS[file])
    else:
        inside = project_files(folder / "project", rng)
        file = f"project/{inside}"
        command = "disassemble" if inside.endswith(".program.bin") and rng.random() < 0.3 else rng.choice(OF_PROJECTS)
        draw = rng.random()
        if draw < 0.15:
            other = "" if draw < 0.08 else f"project/{project_files(folder / 'project', rng)}"
            return Damage(file, (), command, other)
    content, edits = (folder / file).read_bytes(), []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        edits.append(draw_edit(rng, file, content))
        try:
            content = apply_edit(edits[-1], content)
        except Exception:  # the first edit made the file unreadable
            edits.pop()
            break
    return Damage(file, tuple(edits) or (Edit("flip", rng.random(), value=rng.randrange(8)),), command)


def run_file(campaign: Campaign, job: Job) -> Entry:
    """Draw a job's damage and run it; a find is minimised and kept."""
    folder = originals(campaign.out / "originals")
    damage = draw_damage(campaign.random(job.kind, job.number), job.kind, folder)
    entry = judge_damage(damage, job, folder)
    if entry.outcome in (DEFECT, DIFFERENCE, UNHELPFUL):
        for count in range(len(damage.edits) - 1, 0, -1):
            fewer = replace(damage, edits=damage.edits[:count])
            if judge_damage(fewer, job, folder).outcome == entry.outcome:
                damage = fewer
        document = {"outcome": entry.outcome, "text": entry.text, "damage": damage.as_json()}
        path = campaign.keep / f"{job.kind}-{campaign.seed}-{job.number}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return entry


def judge_damage(damage: Damage, job: Job, folder: Path) -> Entry:
    """Apply damage to a copy of the originals, run the command, and return the result."""
    started = time.perf_counter()
    with _damaged(damage, folder) as (place, changed):
        result = _COMMANDS[damage.command](place)
    outcome, text = _judge(damage, changed, result)
    text = text.replace(f"{place}/", "")
    seconds = {damage.command: round(time.perf_counter() - started, 3)}
    return Entry(job.kind, job.number, outcome, f"{damage.command} of {damage.file}", text[-TEXT:], (), seconds)


def _judge(damage: Damage, changed: bool, result: Result) -> tuple[str, str]:
    error = result.exception
    if error is not None and not isinstance(error, SystemExit):
        return DEFECT, "".join(traceback.format_exception(error)).strip()
    if "defect of the toolflow" in result.stderr or result.exit_code not in DOCUMENTED:
        return DEFECT, f"exit code {result.exit_code}: {result.stderr.strip()}"
    if "Traceback" in result.output:
        return DEFECT, result.output
    if result.exit_code != 0:
        said = result.stderr.strip()
        return (REFUSED, said) if said else (UNHELPFUL, f"exit code {result.exit_code} without a message")
    inside = damage.file.removeprefix("project/")
    if changed and damage.command == "verify" and inside.startswith(CHECKED):
        return DIFFERENCE, f"verify passes although {inside} is damaged"
    return EQUAL, ""


@contextmanager
def _damaged(damage: Damage, folder: Path) -> Iterator[tuple[Path, bool]]:
    """Yield a copy of the originals with the damage, and whether the file's bytes changed."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        place = Path(name) / "files"
        if damage.file.startswith("project/") or damage.command.endswith("board"):
            shutil.copytree(folder, place)
        else:
            place.mkdir()
            for file in (*INPUTS, "models.py"):
                shutil.copy(folder / file, place / file)
        target = place / damage.file
        before = target.read_bytes()
        if damage.other is None:
            content = before
            for edit in damage.edits:
                content = apply_edit(edit, content)
            target.write_bytes(content)
        elif damage.other:
            content = (folder / damage.other).read_bytes()
            target.write_bytes(content)
        else:
            content = b""
            target.unlink()
        yield place, content != before or not target.exists()


def _source(place: Path, weights: str = "weights.safetensors") -> tuple[str | Path, ...]:
    return f"{place / 'models.py'}:residual", "--weights", place / weights, "--input-shape", SHAPE


def _quantise(place: Path, *more: str | Path) -> Result:
    images = "--calibration", place / "images.npz"
    return toolflow(
        "quantise", *_source(place), *images, "--rounding", "nearest", *more, "--single", "--out", place / "out"
    )


_COMMANDS: Mapping[str, Callable[[Path], Result]] = {
    "check onnx": lambda place: toolflow("check", place / "model.onnx"),
    "check safetensors": lambda place: toolflow("check", *_source(place)),
    "check pt": lambda place: toolflow("check", *_source(place, "weights.pt")),
    "quantise": _quantise,
    "quantise onnx": lambda place: toolflow(
        "quantise", place / "model.onnx", "--calibration", place / "images.npz", "--rounding", "nearest", "--single",
        "--out", place / "out",
    ),
    "quantise pruned": lambda place: _quantise(place, "--pruned", place / "pruned.safetensors"),
    "boards": lambda place: toolflow("boards", place / "board.yaml"),
    "estimate board": lambda place: toolflow("estimate", place / "project", "--board", place / "board.yaml"),
    "verify": lambda place: toolflow("verify", place / "project", "--levels", "program", "--images", "3"),
    "estimate": lambda place: toolflow("estimate", place / "project"),
    "disassemble": lambda place: toolflow("disassemble", place / "project/weights/low.program.bin"),
    "build": lambda place: toolflow(
        "build", *_source(place), "--calibration", place / "images.npz", *FAST, "--cascade", "--out", place / "project"
    ),
}  # fmt: skip
READERS: Mapping[str, tuple[str, ...]] = {
    "model.onnx": ("check onnx", "check onnx", "quantise onnx"),
    "weights.safetensors": ("check safetensors", "check safetensors", "quantise"),
    "weights.pt": ("check pt",),
    "images.npz": ("quantise",),
    "board.yaml": ("boards", "boards", "boards", "boards", "estimate board"),
    "pruned.safetensors": ("quantise pruned",),
}
OF_PROJECTS = ("verify",) * 8 + ("estimate",) * 4 + ("build",)
