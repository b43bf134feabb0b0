"""Boards: data files under boards/, read strictly; their fields are checked against each other."""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator, model_validator

from toolflow.ir.errors import ToolflowError
from toolflow.plan.boards.checks import device_problems, memory_problems
from toolflow.plan.clock.delays import part_fabric
from toolflow.plan.clock.estimate import ClockEstimate, estimate_clock
from toolflow.plan.resources.count import ResourceCount
from toolflow.plan.resources.family import families, family_of

BOARDS_FOLDER = Path(__file__).resolve().parents[3] / "boards"
MAX_CLOCK_MHZ = 1000
CLOCK_GIVEN = "given with --clock"
_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True)


class Resources(BaseModel):
    """What the device holds. Block RAM is given in the family's own unit: bram36 (xc7, xcup) or bram18 (ecp5)."""

    model_config = _STRICT

    luts: int = Field(gt=0)
    flip_flops: int = Field(gt=0)
    dsps: int = Field(gt=0)
    bram36: int | None = Field(default=None, gt=0)
    bram18: int | None = Field(default=None, gt=0)
    uram: int = Field(default=0, ge=0)


class UsableShares(BaseModel):
    """Share of each resource that a design may use and still be expected to route and close timing."""

    model_config = _STRICT

    luts: float = Field(default=0.70, gt=0, le=1)
    flip_flops: float = Field(default=0.50, gt=0, le=1)
    dsps: float = Field(default=0.80, gt=0, le=1)
    block_rams: float = Field(default=0.80, gt=0, le=1)
    urams: float = Field(default=0.80, gt=0, le=1)


class ExternalMemory(BaseModel):
    """The memory that the design's AXI masters reach.

    Attributes:
        kind: for reports.
        port: "ps" behind a Zynq's processing system, "pl" on pins of the programmable logic.
        data_bits, megatransfers_per_s: width and rate of its interface.
        external_memory_bytes: its size.
        external_bandwidth_bytes_per_s: its peak.
        efficiency: share of the peak that long sequential bursts reach.
    """

    model_config = _STRICT

    kind: str
    port: Literal["ps", "pl"]
    data_bits: int = Field(gt=0)
    megatransfers_per_s: int = Field(gt=0)
    external_memory_bytes: int = Field(gt=0)
    external_bandwidth_bytes_per_s: int = Field(gt=0)
    efficiency: float = Field(gt=0, le=1)


class Board(BaseModel):
    """One board; every unit is in its field's name.

    Attributes:
        part: the vendor's full part string.
        board_part: pattern of the Vivado board file, "" if there is none.
        family: name of a file of boards/families, as xc7 (7 series), xcup (UltraScale+) or ecp5.
        flow: "zynq" (Vitis HLS and Vivado, block design) or "nextpnr" (Yosys and nextpnr).
        own_clock_mhz: the clock to plan for, in files `clock_mhz`; None for the one that is estimated.
        own_clock_basis: where that clock comes from, as reports show it, in files `clock_basis`; "" if nobody said.
        axi_data_bits: data width of a port to the external memory.
    """

    model_config = _STRICT

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _-]*$")
    part: str
    board_part: str = ""
    family: str
    flow: Literal["zynq", "nextpnr"]
    own_clock_mhz: int | None = Field(default=None, alias="clock_mhz", gt=0, le=MAX_CLOCK_MHZ)
    own_clock_basis: str = Field(default="", alias="clock_basis", max_length=80, pattern=r"^[^\n|]*$")
    axi_data_bits: Literal[64, 128, 256, 512]
    resources: Resources
    usable_shares: UsableShares = UsableShares()
    memory: ExternalMemory
    _tile: int = PrivateAttr(default=0)  # the largest tile of the engines whose clock is estimated
    _clock_path: str = PrivateAttr(default="")

    @field_validator("family")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in families():
            raise ValueError(f"must be one of {', '.join(sorted(families()))}")
        return name

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        r, m = self.resources, self.memory
        problems = device_problems(self.part, self.family, r.luts, r.flip_flops, r.dsps, r.bram36, r.bram18, r.uram)
        problems += memory_problems(
            self.part,
            self.family,
            m.port,
            m.data_bits,
            m.megatransfers_per_s,
            m.external_bandwidth_bytes_per_s,
        )
        expected_flow = family_of(self.family).flow
        if self.flow != expected_flow:
            problems.append(f"flow must be {expected_flow} for family {self.family}, not {self.flow}")
        if self.own_clock_mhz is None:
            problems += self._clock_problems()
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _clock_problems(self) -> list[str]:
        """Return why no clock can be estimated."""
        if self.own_clock_basis:
            return ["clock_basis says where clock_mhz comes from, and there is no clock_mhz"]
        try:
            part_fabric(self.family, self.part)
        except ToolflowError as error:
            return [f"clock_mhz must be given, since none can be estimated: {error}"]
        return []

    def with_tile(self, tile: int) -> Board:
        """Return the board with the clock of engines with tiles up to `tile`, unless it has its own."""
        changed = self.model_copy()
        changed._tile = tile
        return changed

    def at_clock(self, mhz: int, basis: str, path: str = "") -> Board:
        """Return the board with a clock of its own, its reason, and the path that limits it."""
        changed = self.model_copy(update={"own_clock_mhz": mhz, "own_clock_basis": basis})
        changed._clock_path = path
        return changed

    @property
    def clock_estimate(self) -> ClockEstimate | None:
        """The estimate that the clock follows from; None if the board has its own clock."""
        if self.own_clock_mhz is not None:
            return None
        return estimate_clock(self.family, self.part, self.usable, self._tile)

    @property
    def clock_mhz(self) -> int:
        """The clock that engines are planned for."""
        estimate = self.clock_estimate
        return self.own_clock_mhz or 0 if estimate is None else estimate.planned_mhz

    @property
    def clock_basis(self) -> str:
        """Where the clock comes from, as reports show it; "" if nobody said."""
        estimate = self.clock_estimate
        return self.own_clock_basis if estimate is None else estimate.basis

    @property
    def clock_path(self) -> str:
        """The path that limits the clock, in words; "" if it is not known."""
        estimate = self.clock_estimate
        return self._clock_path if estimate is None else estimate.limit

    @property
    def clock(self) -> str:
        """The clock with its unit and where it comes from, for reports."""
        return clock_text(self.clock_mhz, self.clock_basis)

    @property
    def available(self) -> ResourceCount:
        """All of the device's resources."""
        r = self.resources
        return ResourceCount(r.luts, r.flip_flops, r.dsps, r.bram36 or r.bram18 or 0, r.uram)

    @property
    def usable(self) -> ResourceCount:
        """What a design may use: the usable shares of the device, rounded down."""
        a, s = self.available.by_name(), self.usable_shares
        return ResourceCount(**{name: int(amount * getattr(s, name)) for name, amount in a.items()})

    def share(self, share: float) -> Board:
        """Return the board with that share of what a design may use, the memory's bandwidth left as it is."""
        shares = {name: share * value for name, value in self.usable_shares}
        return self.model_copy(update={"usable_shares": UsableShares(**shares)})

    @property
    def sustained_bytes_per_s(self) -> float:
        """Memory bandwidth that the planner counts on."""
        return self.memory.external_bandwidth_bytes_per_s * self.memory.efficiency

    @property
    def sustained_bytes_per_cycle(self) -> float:
        """The same per cycle of the engine's clock."""
        return self.sustained_bytes_per_s / (self.clock_mhz * 1e6)


def clock_text(clock_mhz: float, clock_basis: str) -> str:
    """Return a clock with its unit and where it comes from: "115 MHz (estimated, ..)"."""
    return f"{clock_mhz:g} MHz" + (f" ({clock_basis})" if clock_basis else "")


class _UniqueKeyLoader(yaml.SafeLoader):
    """A YAML loader that refuses a key given twice instead of keeping the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=deep)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def normalise_name(name: str) -> str:
    """Return a board name without case, hyphens, underscores and spaces."""
    return re.sub(r"[-_ ]", "", name).lower()


def read_board_file(path: Path) -> Board:
    """Read and check one board file.

    Raises:
        ToolflowError: the file cannot be read, is no YAML mapping, or breaks the schema or a cross check;
            the text names every offending field.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeyLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise ToolflowError(f"the board file {path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ToolflowError(f"the board file {path} is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise ToolflowError(f"the board file {path} must hold a mapping of fields, not {type(data).__name__}")
    try:
        return Board.model_validate(data)
    except ValidationError as error:
        lines = [line for problem in error.errors() for line in _explain(dict(problem))]
        raise ToolflowError(f"the board file {path} has {len(lines)} problem(s):\n  " + "\n  ".join(lines)) from error


def _explain(problem: dict[str, Any]) -> list[str]:
    """Return what is wrong, one line for each mistake: the cross checks report theirs together."""
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return [f"{where}: no such field; see boards/zcu104.yaml for the fields that there are"]
    text = str(problem["msg"]).removeprefix("Value error, ")
    if not where:
        return text.split("; ")
    shown = "" if problem["type"] == "missing" else f", not {problem['input']!r}"
    return [f"{where}: {text[0].lower()}{text[1:]}{shown}"]


@lru_cache(maxsize=4)
def all_boards(folder: Path = BOARDS_FOLDER) -> Mapping[str, Board]:
    """Return the shipped boards by name, in alphabetical order."""
    boards = [read_board_file(path) for path in sorted(folder.glob("*.yaml"))]
    return MappingProxyType({board.name: board for board in sorted(boards, key=lambda board: board.name)})


def board_source(name_or_path: str | Path) -> str | Path:
    """Return the path if it is one, else the normalised name (lower case, no hyphens, underscores or spaces).

    A text that ends in .yaml or .yml, or that holds a path separator, is a path.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or text.endswith((".yaml", ".yml")) or "/" in text or "\\" in text:
        return Path(text)
    return normalise_name(text)


def load_board(name_or_path: str | Path) -> Board:
    """Return a shipped board by name (case, hyphens and underscores do not matter) or a user's by path.

    Raises:
        ToolflowError: there is no such board (the text lists those that there are), or its file is wrong.
    """
    wanted = board_source(name_or_path)
    if isinstance(wanted, Path):
        return read_board_file(wanted)
    boards = {normalise_name(name): board for name, board in all_boards().items()}
    if wanted in boards:
        return boards[wanted]
    prefixed = [key for key in boards if wanted and key.startswith(wanted)]
    close = prefixed or difflib.get_close_matches(wanted, list(boards), n=1, cutoff=0.4)
    hint = f" Did you mean {boards[close[0]].name}?" if close else ""
    listed = ", ".join(board.name for board in boards.values())
    raise ToolflowError(
        f"the board must be one of {listed}, or the path of a board file (.yaml), not '{name_or_path}'.{hint}"
    )
