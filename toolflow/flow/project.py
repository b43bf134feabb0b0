"""The layout of a project, and reading its units."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from quant.cascade.artefacts import Calibration, CascadeReport
from rtl_sim.verify import Unit
from toolflow.flow.records import DecisionRecord, PlanRecord, QuantiseRecord
from toolflow.ir.arrays import read_arrays
from toolflow.ir.artefacts import load_record
from toolflow.ir.errors import ToolflowError
from toolflow.ir.quantised import QuantisedGraph
from toolflow.ir.store import load_quantised
from toolflow.ir.unit import UnitName, VariantName
from toolflow.operators.folders import by_kind
from toolflow.plan.boards.board import Board, load_board

PLAN, CALIBRATION, REPORT, DECISION = "plan.json", "calibration.json", "cascade.json", "decision.json"
CURVE = "cascade.svg"
GRAPHS, QONNX, WEIGHTS, VECTORS, SUMMARY = "graphs", "qonnx", "weights", "vectors", "summary.json"
QUANTISED = f"{GRAPHS}/quantise.json"
LOGITS = f"{GRAPHS}/logits.npz"  # of every variant on the held-out images
CHECK_IMAGES = f"{VECTORS}/images.npz"


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
        folder: its path.
        plan: the engines.
        board: the board that they were planned for.
        calibration: the cascade's rule, None for a single unit.
    """

    folder: Path
    plan: PlanRecord
    board: Board
    calibration: Calibration | None

    def graph(self, name: VariantName) -> QuantisedGraph:
        """Return a stored network."""
        return load_quantised(self.folder / GRAPHS / name, by_kind())

    def unit(self, name: UnitName) -> Unit:
        """Return a network with its rule, and the engine as its programs see it."""
        rule = self.calibration.rule if self.calibration is not None and name == UnitName.LOW else None
        graph = self.graph(self.plan.units[name].graph)
        return Unit(name, graph, self.plan.seen(name), rule, self.plan.engine_name(name))

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
    plan = load_record(PlanRecord, path)
    calibration = folder / CALIBRATION
    if UnitName.LOW in plan.units and not calibration.is_file():
        raise ToolflowError(
            f"{folder} lacks {CALIBRATION}, the rule of the low unit: run the same 'toolflow build' again"
        )
    return Project(
        folder,
        plan,
        _board(plan),
        load_record(Calibration, calibration) if calibration.exists() else None,
    )


def _board(plan: PlanRecord) -> Board:
    """Return the board at the clock that the engines were planned for."""
    board = load_board(plan.board)
    if plan.clock is None:
        return board.with_tile(max(unit.engine.tile for unit in plan.units.values()))
    return board.at_clock(plan.clock.mhz, plan.clock.basis, plan.clock.path)


def read_report(folder: Path) -> CascadeReport:
    """Read the held-out report."""
    return load_record(CascadeReport, folder / REPORT)


def read_quantised(folder: Path) -> QuantiseRecord:
    """Read how the variants were quantised."""
    return load_record(QuantiseRecord, folder / QUANTISED)


def read_decision(folder: Path) -> DecisionRecord | None:
    """Read why the design was chosen; None for a build of one variant, which compares none."""
    path = folder / DECISION
    return load_record(DecisionRecord, path) if path.exists() else None
