"""Which engines to build: shapes that fit the board, ranked by predicted time per image.

Candidates come from a fixed list of shapes, largest array first; each is given the depths that the
network needs, counted by the resource model and timed by the cycle model. A pair takes the two
candidates that fit together and finish an image first: both units run at once, the high-precision one
on the forwarded share, so an image takes max(t_low, p·t_high).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from pydantic import ValidationError

from toolflow.engine.config import EngineConfig
from toolflow.engine.cycles import CycleReport
from toolflow.ir.errors import DoesNotFitError, ToolflowError
from toolflow.ir.quantised import QuantisedGraph
from toolflow.plan.boards import Board
from toolflow.plan.estimate import estimate
from toolflow.plan.resources import estimate_resources
from toolflow.plan.resources_count import BLOCK_RAM_NAMES, ResourceCount

LANES_K = (4, 8, 12, 16, 24, 32, 48, 64)
LANES_P = (1, 2, 4, 8, 16)
SLOTS = (1, 2, 4, 8, 16)
SUB_ROWS = (8, 16)
DRAIN_K = (1, 2, 4, 8)
SLACK = 1.03  # of designs within so much of the fastest, the smallest is taken
LARGEST, SMALLER = 48, 48  # shapes that are timed per unit: seconds, not minutes


@dataclass(frozen=True)
class Candidate:
    """An engine that runs the network.

    Attributes:
        config: with the depths that the network needs.
        report: predicted cycles of a batch of `lanes_p` images.
        resources: predicted amounts.
    """

    config: EngineConfig
    report: CycleReport
    resources: ResourceCount

    @property
    def cycles_per_image(self) -> float:
        """Predicted, at a full batch."""
        return self.report.cycles_per_image


@dataclass(frozen=True)
class UnitRequest:
    """What one unit must run.

    Attributes:
        graph: the network.
        weight_bits, activation_bits: the array's widths.
        multipliers: kinds of multiplier to try.
        fixed: engine parameters that the user fixes.
    """

    graph: QuantisedGraph
    weight_bits: int
    activation_bits: int
    multipliers: tuple[str, ...] = ("dsp",)
    fixed: Mapping[str, int | str] | None = None


def candidates(request: UnitRequest, board: Board, progress: Callable[[int], None]) -> list[Candidate]:
    """Return the engines that run the network, whether they fit or not, in the order of the search."""
    limit = board.usable
    timed = []
    for shape in _spread(_shapes(request, board, limit)):
        timed.append(_candidate(request.graph, shape, board))
        progress(1)
    return timed


def _spread(shapes: Sequence[EngineConfig]) -> Sequence[EngineConfig]:
    """Return the largest shapes, and some of every smaller size."""
    if len(shapes) <= LARGEST + SMALLER:
        return shapes
    rest = shapes[LARGEST:]
    return (*shapes[:LARGEST], *(rest[index * len(rest) // SMALLER] for index in range(SMALLER)))


def best_single(timed: Sequence[Candidate], board: Board, what: str) -> Candidate:
    """Return the fastest candidate that fits the board.

    Raises:
        DoesNotFitError: none fits; names the resource, both amounts, and what would help.
    """
    fitting = [c for c in timed if not c.resources.over(board.usable)]
    if not fitting:
        raise DoesNotFitError(_shortage(timed, board, what))
    best = min(c.cycles_per_image for c in fitting)
    return min((c for c in fitting if c.cycles_per_image <= SLACK * best), key=lambda c: c.resources.luts)


def best_pair(
    low: Sequence[Candidate], high: Sequence[Candidate], board: Board, forwarded_share: float
) -> tuple[Candidate, Candidate] | None:
    """Return the two candidates that fit together and take least per image, None where no two fit."""
    usable = board.usable
    fitting = []
    for first, second in product(low, high):
        together = first.resources + second.resources
        if not together.over(usable):
            time = max(first.cycles_per_image, forwarded_share * second.cycles_per_image)
            fitting.append((time, together.luts, first, second))
    if not fitting:
        return None
    best = min(time for time, *_ in fitting)
    _, _, first, second = min((f for f in fitting if f[0] <= SLACK * best), key=lambda f: f[1])
    return first, second


def bound_by(amounts: ResourceCount, board: Board) -> str:
    """Return which of the board's resources a design uses most, as text."""
    shares = amounts.shares(board.usable)
    name = max(shares, key=lambda key: shares[key])
    return f"{_resource_name(name, board)}: {shares[name]:.0%} of what is usable"


def _shapes(request: UnitRequest, board: Board, limit: ResourceCount) -> Sequence[EngineConfig]:
    """Return shapes by descending number of multipliers, those first whose array alone could fit."""
    fixed = dict(request.fixed or {})
    base = {"weight_bits": request.weight_bits, "activation_bits": request.activation_bits}
    base["bus_bits"] = min(board.axi_data_bits, 128)
    found: list[EngineConfig] = []
    refused: ValidationError | None = None
    for k, p, slots, s, kind in product(LANES_K, LANES_P, SLOTS, SUB_ROWS, request.multipliers):
        drains = [d for d in DRAIN_K if s % d == 0 and k % d == 0 and d <= max(1, slots // 2)][-1:] or [1]
        for drain in drains:
            values = {"lanes_k": k, "lanes_p": p, "slots": slots, "sub_row": s, "drain_k": drain, "multiplier": kind}
            values = {**base, **values, **fixed}
            try:
                found.append(EngineConfig(**values))  # type: ignore[arg-type]  # checked by the model
            except ValidationError as error:
                refused = error
    if not found and refused is not None:
        raise ToolflowError(f"--engine: {refused.errors()[0]['msg']}") from refused
    unique = dict.fromkeys(found)
    possible = [c for c in unique if fixed or not estimate_resources(c, board.family).total.over(limit)]
    if not possible:
        possible = sorted(unique, key=lambda c: c.multipliers)[:1]
    return sorted(possible, key=lambda c: (-c.multipliers, c.lanes_p, c.slots))


def _candidate(graph: QuantisedGraph, shape: EngineConfig, board: Board) -> Candidate:
    config, report = estimate(graph, shape, shape.lanes_p)
    return Candidate(config, report, estimate_resources(config, board.family).total)


def _shortage(timed: Iterable[Candidate], board: Board, what: str) -> str:
    """Describe the candidate that comes nearest, and what it lacks."""
    usable = board.usable

    def excess(candidate: Candidate) -> float:
        return max(candidate.resources.shares(usable).values())

    nearest = min(timed, key=excess)
    parts = [
        f"{needed:,.0f} {_resource_name(name, board)} of {have:,.0f} usable"
        for name, (needed, have) in nearest.resources.over(usable).items()
    ]
    shape = f"lanes_k={nearest.config.lanes_k}, lanes_p={nearest.config.lanes_p}, slots={nearest.config.slots}"
    return (
        f"{what} does not fit {board.name}: the nearest engine ({shape}) needs {' and '.join(parts)}. "
        "Take a larger board, fewer bits, smaller images or a smaller network"
    )


def _resource_name(name: str, board: Board) -> str:
    names = {"luts": "LUTs", "flip_flops": "flip-flops", "dsps": "DSPs", "urams": "URAMs"}
    return names.get(name, BLOCK_RAM_NAMES[board.family])
