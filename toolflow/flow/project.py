"""What lies where in a built project, and how its units are read back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from quant.cascade.artefacts import Calibration, CascadeReport, load_artefact
from rtl_sim.verify import Unit
from toolflow.engine.config import EngineConfig
from toolflow.ir.arrays import read_arrays
from toolflow.ir.errors import ToolflowError
from toolflow.ir.quantised import QuantisedGraph
from toolflow.ir.store import load_quantised
from toolflow.operators.folders import by_kind
from toolflow.plan.boards.board import Board, load_board
from toolflow.plan.explore.objective import Goal, Objective
from toolflow.plan.resources.count import ResourceCount

SCHEMA_VERSION = 1
PLAN, CALIBRATION, REPORT, DECISION = "plan.json", "calibration.json", "cascade.json", "decision.json"
CURVE = "cascade.svg"
GRAPHS, QONNX, WEIGHTS, VECTORS, SUMMARY = "graphs", "qonnx", "weights", "vectors", "summary.json"
LOGITS = f"{GRAPHS}/logits.npz"  # of every variant on the held-out images
CHECK_IMAGES = f"{VECTORS}/images.npz"


class PlannedUnit(BaseModel):
    """One engine of a plan.

    Attributes:
        engine: its parameters.
        graph: the stored network that it runs, "low" or "high".
        cycles_per_image: predicted at the batch that was planned for, or at `lanes_p` images.
        resources: predicted amounts by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: EngineConfig
    graph: str = Field(pattern="^(low|high)$")
    cycles_per_image: float
    resources: dict[str, float]

    @field_validator("resources")
    @classmethod
    def _amounts(cls, resources: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(resources) - {each.name for each in fields(ResourceCount)})
        if unknown:
            raise ValueError(f"there is no resource {unknown[0]}")
        return resources

    @property
    def amounts(self) -> ResourceCount:
        """The predicted amounts."""
        return ResourceCount(**self.resources)


class PlanFile(BaseModel):
    """The plan of a build, as `plan.json` holds it.

    Attributes:
        board: name or path, as the user gave it.
        goal, batch: what the engines were chosen for (`Objective`).
        units: by name.
        bound: what bounds the design.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    board: str
    goal: Goal = "throughput"
    batch: int | None = Field(default=None, ge=1)
    units: dict[Annotated[str, Field(pattern="^(single|low|high)$")], PlannedUnit] = Field(min_length=1)
    bound: str = ""

    @property
    def objective(self) -> Objective:
        """What the engines were chosen for."""
        return Objective(self.goal, self.batch)


@dataclass(frozen=True)
class BinaryPaths:
    """The files of one unit that every level and the host read."""

    program: Path
    weights: Path

    @classmethod
    def of(cls, folder: Path, unit: str) -> BinaryPaths:
        """Return the paths inside a project."""
        return cls(folder / WEIGHTS / f"{unit}.program.bin", folder / WEIGHTS / f"{unit}.weights.bin")


@dataclass(frozen=True)
class Vectors:
    """The user's images that are kept in a project for verification.

    Attributes:
        images: uint8 (N, H, W, C).
        labels: int64 (N,), or None.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64] | None

    def first(self, count: int) -> Vectors:
        """Return the first images, with their labels."""
        return Vectors(self.images[:count], None if self.labels is None else self.labels[:count])


@dataclass(frozen=True)
class Project:
    """A built project.

    Attributes:
        folder: where it lies.
        plan: the engines.
        board: what they were planned for.
        calibration: the cascade's rule, None for a single unit.
    """

    folder: Path
    plan: PlanFile
    board: Board
    calibration: Calibration | None

    def graph(self, name: str) -> QuantisedGraph:
        """Return a stored network."""
        return load_quantised(self.folder / GRAPHS / name, by_kind())

    def unit(self, name: str) -> Unit:
        """Return an engine with its network and rule."""
        planned = self.plan.units[name]
        rule = self.calibration.rule if self.calibration is not None and name == "low" else None
        return Unit(name, self.graph(planned.graph), planned.engine, rule)

    def needed(self) -> list[str]:
        """Return the files that every level reads, by path inside the project."""
        needed = [CHECK_IMAGES]
        for name, planned in self.plan.units.items():
            needed += [f"{WEIGHTS}/{name}.program.bin", f"{WEIGHTS}/{name}.weights.bin"]
            needed += [f"{GRAPHS}/{planned.graph}.json", f"{GRAPHS}/{planned.graph}.npz"]
        return needed

    def vectors(self) -> Vectors:
        """Return the images that are kept for verification.

        Raises:
            ToolflowError: the file is damaged, or holds no images of the network's input.
        """
        path = self.folder / CHECK_IMAGES
        arrays = read_arrays(path, "x")
        x, y = arrays["x"], arrays.get("y")
        channels, height, width = self.graph(next(iter(self.plan.units.values())).graph).input_shape
        if x.dtype != np.uint8 or x.shape[1:] != (height, width, channels) or not len(x):
            raise ToolflowError(
                f"{path} must hold images 'x' of uint8 (N, {height}, {width}, {channels}), not {x.dtype} {x.shape}: "
                "build again"
            )
        if y is not None and (y.dtype.kind not in "iu" or y.shape != x.shape[:1]):
            raise ToolflowError(f"{path} must hold a label 'y' for each of {len(x)} images, not {y.dtype} {y.shape}")
        return Vectors(x, y)


def open_project(folder: Path) -> Project:
    """Read a built project.

    Raises:
        ToolflowError: the folder is no complete build, or a file in it is damaged.
    """
    path = folder / PLAN
    if not path.is_file():
        raise ToolflowError(f"{folder} must be a folder that 'toolflow build' made: it holds no {PLAN}")
    try:
        plan = PlanFile.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ToolflowError(f"{path} cannot be read ({error}): build again") from error
    except ValidationError as error:
        raise ToolflowError(f"{path} is damaged ({error.errors()[0]['msg']}): build again") from error
    if plan.schema_version != SCHEMA_VERSION:
        raise ToolflowError(
            f"{path} must be of schema version {SCHEMA_VERSION}, not {plan.schema_version}: build again, or use the "
            "toolflow that made it"
        )
    calibration = folder / CALIBRATION
    if "low" in plan.units and not calibration.is_file():
        raise ToolflowError(
            f"{folder} lacks {CALIBRATION}, the rule of the low unit: run the same 'toolflow build' again"
        )
    return Project(
        folder,
        plan,
        load_board(plan.board),
        load_artefact(Calibration, calibration) if calibration.exists() else None,
    )


def read_report(folder: Path) -> CascadeReport:
    """Read the held-out report."""
    return load_artefact(CascadeReport, folder / REPORT)


def write_json(path: Path, model: BaseModel) -> None:
    """Write a pydantic model as indented JSON."""
    path.write_text(model.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_document(path: Path) -> dict[str, object]:
    """Read a JSON document of an earlier stage.

    Raises:
        ToolflowError: it is missing or none.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ToolflowError(f"{path} cannot be read ({error}): make the folder again") from error
    if not isinstance(document, dict):
        raise ToolflowError(f"{path} is damaged, it holds no JSON object: make the folder again")
    return document


@contextmanager
def damaged(path: Path) -> Iterator[None]:
    """Say that a document is damaged where what is read from it is not there.

    Raises:
        ToolflowError: so.
    """
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ToolflowError(f"{path} is damaged ({error!r}): make the folder again") from error
