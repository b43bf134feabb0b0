"""A request to explore networks on boards, as typed values that are checked once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from toolflow.flow.engine_parameters import require_engine
from toolflow.flow.precision import Precision
from toolflow.flow.project import QUANTISED
from toolflow.flow.request import Request, Units
from toolflow.flow.source import Source
from toolflow.flow.values import as_path_or_none, as_whole, refused, require_kind
from toolflow.flow.workers import require_workers
from toolflow.ir.errors import ToolflowError
from toolflow.plan.boards.board import Board, board_source, load_board
from toolflow.plan.explore.choose import check_engine
from toolflow.plan.explore.objective import THROUGHPUT, Objective

LEAST_BITS, MOST_BITS = 2, 8


@dataclass(frozen=True)
class ExploreRequest:
    """Networks, and the boards that they may run on.

    Attributes:
        models: ONNX files, PyTorch factories, or folders that `quantise` or `build` made, whose variants are taken.
        boards: names or files of boards.
        calibration: images for the models; folders need none.
        bits: of weights and activations that each model is quantised to; folders have their own.
        engine: fixed parameters of every engine.
        objective: what engines are chosen for.
        workers: processes that plan, or the address of a Dask scheduler.

    Raises:
        ToolflowError: a value is out of its range, there is no such board, or images are missing.
    """

    models: Sequence[str]
    boards: Sequence[str | Path]
    calibration: Path | None = None
    bits: Sequence[int] = (8, 4)
    engine: Mapping[str, int | str] = field(default_factory=dict)
    objective: Objective = THROUGHPUT
    workers: int | str = 1

    def __post_init__(self) -> None:
        for name, given in (("MODEL", self.models), ("--board", self.boards), ("--bits", self.bits)):
            if isinstance(given, str) or not isinstance(given, Sequence) or not given:
                raise refused(name, "one or several", given)
            if len(set(given)) < len(given):
                raise ToolflowError(f"{name} must name each once: {', '.join(map(str, given))}")
        object.__setattr__(self, "calibration", as_path_or_none("--calibration", self.calibration))
        for bits in self.bits:
            as_whole("--bits", bits, LEAST_BITS, MOST_BITS)
        require_engine(self.engine)
        require_kind("objective", self.objective, Objective)
        require_workers(self.workers)
        for board in self.loaded_boards:
            check_engine(self.engine, self.bits, board)
        unquantised = [model for model in self.models if not is_folder(model)]
        if unquantised and self.calibration is None:
            raise ToolflowError(f"--calibration must be given: {unquantised[0]} is not a folder of 'toolflow quantise'")

    @property
    def loaded_boards(self) -> tuple[Board, ...]:
        """The boards."""
        return tuple(load_board(board_source(board)) for board in self.boards)

    def quantising(self, model: str, bits: int) -> Request:
        """Return the request that quantises a model."""
        assert self.calibration is not None
        return Request(Source(model, self.calibration), Precision(high_bits=bits), units=Units.SINGLE)


def is_folder(model: str) -> bool:
    """Return whether a model is a folder of quantised networks."""
    return (Path(model) / QUANTISED).is_file()
