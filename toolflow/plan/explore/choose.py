"""Choose the engines to build: shapes that fit the board, ranked by predicted time per image.

Every shape that the parameters allow is ranked by the network's demand; the fastest of several budgets are
timed by the cycle model and held against the memory's bandwidth. A pair takes the two candidates that fit
together and finish an image first: both units run at once, the high-precision one on the forwarded share,
and share the memory, so an image takes max(t_low, p·t_high, (bytes_low + p·bytes_high) / bandwidth).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

from toolflow.engine.config import MAX_ACTIVATION_BITS, EngineConfig
from toolflow.engine.cycles import CycleReport, predict
from toolflow.ir.errors import DoesNotFitError
from toolflow.ir.quantised import QuantisedGraph
from toolflow.plan.boards.board import Board, all_boards
from toolflow.plan.explore.estimate import amounts_on, schedule_on
from toolflow.plan.explore.objective import THROUGHPUT, Objective
from toolflow.plan.explore.ranking import rank_shapes, worth_timing
from toolflow.plan.explore.shapes import (
    SizedEngine,
    UnitRequest,
    allowed_shapes,
    smallest_engines,
)
from toolflow.plan.explore.weights_ahead import with_weights_ahead
from toolflow.plan.resources.count import ResourceCount
from toolflow.plan.resources.estimate import estimate_resources
from toolflow.plan.resources.family import family_of
from toolflow.plan.schedule.schedule import Schedule

__all__ = [
    "Candidate", "UnitRequest", "best_pair", "best_single", "bounds", "candidate_of", "candidates", "check_engine",
    "explain", "require_room", "size_of", "smallest_of_fastest", "timed_engines",
]  # fmt: skip

SLACK = 1.02  # among designs this close to the fastest, the smallest is taken, first among those without UltraRAM
Design = TypeVar("Design")
_BOUNDS = ("dsps", "luts", "block_rams")
LUT_BITS = 8  # multipliers in LUTs are tried up to this width


@dataclass(frozen=True)
class Candidate:
    """An engine that runs the network.

    Attributes:
        config: the engine's parameters, with the memory depths that the network needs.
        report: predicted cycles of one start, with a memory that does not stall.
        resources: predicted resources.
        memory_cycles: cycles per image of the traffic to and from external memory at the board's sustained bandwidth.
    """

    config: EngineConfig
    report: CycleReport
    resources: ResourceCount
    memory_cycles: float

    @property
    def cycles_per_image(self) -> float:
        """Predicted cycles per image on the board: engine and memory work in parallel, the slower one counts."""
        return max(self.report.cycles_per_image, self.memory_cycles)


def timed_engines(
    graph: QuantisedGraph,
    bits: int,
    fixed: Mapping[str, int | str],
    board: Board,
    progress: Callable[[int], None] = lambda _: None,
    alone: bool = False,
    batch: int | None = None,
) -> list[Candidate]:
    """Return engines that run the network, with predicted times; narrow multipliers are tried in LUTs too.

    Arrays of three widths are tried: `bits`; the width of the layers inside the network, if they have fewer bits; and
    that of the widest layer. On the first two, wider layers run in digits. The third is the fastest if these layers,
    often the first, are most of the work.

    Args:
        graph: the network.
        bits: requested bits of its inner layers.
        fixed: engine parameters that the user fixed.
        board: the board that the engines must fit.
        progress: called for each engine.
        alone: omit engines that would leave room for another unit.
        batch: images of a start to choose the engines for; None for full passes.
    """
    ends = graph.input_name, graph.output
    layers = [node for node in graph.nodes if node.op.has_weights]
    inner = [node.weight_bits for node in layers if not {node.name, *node.inputs} & {*ends}]
    held = [kind.integer.bits for name, kind in graph.types.items() if name not in ends]
    needed = min(max(inner, default=bits), bits), min(max(held, default=bits), bits)
    widths_held = (kind.integer.bits for kind in graph.types.values())
    carried = [width for width in widths_held if width <= MAX_ACTIVATION_BITS]  # wider ones are results
    widest = max(bits, *(node.weight_bits for node in layers)), max(bits, *carried)
    widths = dict.fromkeys([(bits, bits), *([needed, widest] if "weight_bits" not in fixed else [])])
    wanted = [UnitRequest(graph, *each, _multipliers(max(each)), fixed, batch, alone) for each in widths]
    return [candidate for each in wanted for candidate in candidates(each, board, progress)]


def require_room(
    graph: QuantisedGraph, bits: int, fixed: Mapping[str, int | str], board: Board, what: str, dense: bool = True
) -> None:
    """Refuse a network that the smallest engines cannot hold, by the sizes of its maps and weights.

    Args:
        graph: the network, or an outline of it.
        bits: bits of its inner layers.
        fixed: engine parameters that the user fixed.
        board: the board to fit.
        what: name of the network in the message.
        dense: whether all weights are kept; otherwise their memory is not counted.

    Raises:
        DoesNotFitError: as `best_single`.
    """
    smallest = smallest_engines(graph, bits, _multipliers(bits), fixed, board, dense)
    if all(shape.resources.over(board.usable) for shape in smallest):
        raise DoesNotFitError(_shortage(smallest, board, what))


def check_engine(fixed: Mapping[str, int | str], widths: Iterable[int], board: Board) -> None:
    """Refuse engine parameters that no unit of these widths can have, before anything is computed.

    Raises:
        ToolflowError: a parameter is wrong; the message names it.
    """
    for bits in widths:
        allowed_shapes(bits, bits, _multipliers(bits), fixed, board)


def _multipliers(bits: int) -> tuple[str, ...]:
    return ("dsp", "lut") if bits <= LUT_BITS else ("dsp",)


def candidates(request: UnitRequest, board: Board, progress: Callable[[int], None]) -> list[Candidate]:
    """Return engines with predicted times: the fastest of several budgets, or the closest if none fits.

    Raises:
        ToolflowError: no shape is allowed by the fixed parameters, or no engine runs the network.
    """
    timed = []
    ranked = rank_shapes(request, board)
    layouts = [[shape for shape in ranked if shape.column.stripes is stripes] for stripes in (False, True)]
    for shapes in filter(None, layouts):
        fastest = worth_timing(shapes, board.usable, alone=True)
        for shape in worth_timing(shapes, board.usable, request.alone):
            schedules = [schedule_on(request.graph, shape, board)]
            if shape in fastest:
                schedules += _well_fed(request, shape, board, schedules[0])
            timed += [candidate_of(each, board, request.batch) for each in schedules]
            progress(1)
    return timed


def _well_fed(request: UnitRequest, shape: EngineConfig, board: Board, schedule: Schedule) -> Iterator[Schedule]:
    """Yield a shape that has a board for itself with weights that run ahead, and through two memory ports."""
    images = Objective(batch=request.batch).images(schedule.config.lanes_p)
    yield from with_weights_ahead(schedule, board, images)
    fixed = "bus_bits" in (request.fixed or {}) or shape.bus_bits < board.axi_data_bits
    if not fixed and board.flow == "zynq":
        wide = schedule_on(request.graph, shape.model_copy(update={"bus_bits": 2 * shape.bus_bits}), board)
        yield wide
        yield from with_weights_ahead(wide, board, images)


def best_single(timed: Sequence[Candidate], board: Board, what: str) -> Candidate:
    """Return the fastest candidate that fits the board.

    Raises:
        DoesNotFitError: none fits; the message names the resource, both amounts, and the smallest change that helps.
    """
    fitting = [c for c in timed if not c.resources.over(board.usable)]
    if not fitting:
        raise DoesNotFitError(_shortage(timed, board, what))
    return smallest_of_fastest(fitting, lambda c: c.cycles_per_image, lambda c: size_of(c.resources))


def _of_two_ports(timed: Sequence[Candidate], board: Board) -> Sequence[Candidate]:
    """Return the candidates that leave two of a processing system's memory ports to another unit, if any do."""
    return [c for c in timed if c.config.bus_bits <= board.axi_data_bits] or timed


def best_pair(
    low: Sequence[Candidate],
    high: Sequence[Candidate],
    board: Board,
    forwarded_share: float,
    objective: Objective = THROUGHPUT,
) -> tuple[Candidate, Candidate] | None:
    """Return the two candidates that fit together and are fastest, or None if no two fit."""
    usable = board.usable
    fitting = []
    for first, second in product(_of_two_ports(low, board), _of_two_ports(high, board)):
        together = first.resources + second.resources
        if not together.over(usable):
            memory = first.memory_cycles + forwarded_share * second.memory_cycles
            time = max(objective.pair_cycles(first.cycles_per_image, second.cycles_per_image, forwarded_share), memory)
            fitting.append((time, size_of(together), first, second))
    if not fitting:
        return None
    _, _, first, second = smallest_of_fastest(fitting, lambda found: found[0], lambda found: found[1])
    return first, second


def smallest_of_fastest(
    designs: Sequence[Design], time: Callable[[Design], float], size: Callable[[Design], tuple[float, float]]
) -> Design:
    """Return the smallest of the designs whose time is within `SLACK` of the fastest."""
    best = min(map(time, designs))
    return min((design for design in designs if time(design) <= SLACK * best), key=size)


def bounds(units: Sequence[Candidate], board: Board, timed: Sequence[Candidate] = ()) -> str:
    """Return what bounds a design, in a fixed order: DSPs, LUTs, block RAM, clock, and the ports to the memory.

    Of the ports it is the share of cycles in which they are busy if all units work all the time. The two programs of a
    morphing pair work in turn, on one engine. Then comes the layout of the images, with its reason if another one was
    timed.

    Args:
        units: of the design.
        board: the board.
        timed: the engines among which a single unit was chosen.
    """
    built = units[:1] if is_morphing(units) else units
    shares = sum((unit.resources for unit in built), start=ResourceCount()).shares(board.usable)
    others = sorted(set(shares) - set(_BOUNDS), key=list(shares).index)
    used = [f"{_resource_name(name, board)} {shares[name]:.0%}" for name in (*_BOUNDS, *others) if shares[name]]
    busy = [unit.memory_cycles / unit.cycles_per_image for unit in units]
    memory = max(busy) if is_morphing(units) else sum(busy)
    layout = _layout(units, board, timed)
    return f"{', '.join(used)} of what is usable; clock {board.clock_mhz} MHz; memory ports {memory:.0%} busy{layout}"


def _layout(units: Sequence[Candidate], board: Board, timed: Sequence[Candidate]) -> str:
    """Return where the images lie and how fast the best engine with the other layout is; "" if nothing was compared."""
    striped = any(unit.config.stripes for unit in units)
    layouts = {False: "an image lies in each lane", True: "the rows of one image lie in all lanes"}
    others = [c for c in timed if c.config.stripes is not striped and not c.resources.over(board.usable)]
    if not others:
        return f"; {layouts[striped]}" if striped else ""
    here, there = (board.clock_mhz * 1e6 / min(unit.cycles_per_image for unit in of) for of in (units, others))
    return f"; {layouts[striped]}: {here:,.0f} images/s, {there:,.0f} where {layouts[not striped]}"


def explain(candidate: Candidate, board: Board) -> str:
    """Return the bottlenecks of an engine as text: its cycles, its memory traffic, and its `bounds`."""
    cycles: Counter[str] = Counter()
    for instruction in candidate.report.instructions:
        cycles[instruction.bound] += instruction.cycles
    total = max(sum(cycles.values()), 1)
    spent = ", ".join(f"{name} {share / total:.0%}" for name, share in cycles.most_common() if share / total >= 0.01)
    bandwidth = candidate.memory_cycles / candidate.cycles_per_image
    limit = "the external memory bounds it" if bandwidth >= 1 else f"external memory {bandwidth:.0%} busy"
    return f"cycles: {spent}; {limit}; {bounds([candidate], board)}"


def is_morphing(units: Sequence[Candidate]) -> bool:
    """Return whether units are the programs of one engine with two precisions."""
    return all(unit.config.built.narrow_bits for unit in units)


def candidate_of(schedule: Schedule, board: Board, batch: int | None) -> Candidate:
    """Return the engine of a schedule, with the predicted time of a start of `batch` images, or of full passes."""
    config = schedule.config
    images = Objective(batch=batch).images(config.lanes_p)
    report = predict(config, schedule.steps, images)
    traffic = report.passes * sum(step.weight_bytes(config) for step in schedule.computes) / images
    traffic += schedule.moved_bytes + schedule.results.out.pitch_bytes
    return Candidate(
        config,
        report,
        amounts_on(config, board),
        traffic / board.sustained_bytes_per_cycle,
    )


def size_of(amounts: ResourceCount) -> tuple[float, float]:
    """Return by what the smaller of two designs is told: its UltraRAM, and then its LUTs."""
    return amounts.urams, amounts.luts


def _shortage(timed: Sequence[Candidate | SizedEngine], board: Board, what: str) -> str:
    """Describe the candidate that comes closest to fitting, what it lacks, and what would fit."""
    usable = board.usable

    def excess(candidate: Candidate | SizedEngine) -> float:
        return max(candidate.resources.shares(usable).values())

    nearest = min(timed, key=excess)
    parts = [
        f"{needed:,.0f} {_resource_name(name, board)} of {have:,.0f} usable"
        for name, (needed, have) in nearest.resources.over(usable).items()
    ]
    return (
        f"{what} does not fit {board.name}: the nearest engine ({_shape(nearest.config)}) needs "
        f"{' and '.join(parts)}. {_nearest_change(nearest.config, board)}"
    )


def _nearest_change(config: EngineConfig, board: Board) -> str:
    """Return the smallest change that fits: fewer lanes, a smaller map memory, or another board."""
    smaller = [
        _repacked(config.model_copy(update={"lanes_p": p, "lanes_k": k, "slots": s, "drain_k": 1}))
        for p, k, s in product(_halves(config.lanes_p), _halves(config.lanes_k), _halves(config.slots))
    ]
    fitting = [held for held in (_held(c, board) for c in smaller) if held]
    if fitting:
        return f"It fits with {_shape(max(fitting, key=lambda c: c.multipliers))}"
    others = sorted(all_boards().values(), key=lambda b: (b.flow != board.flow, b.available.luts))
    for other in others:
        if other.name != board.name and _held(config, other):
            return f"It fits {other.name}; else take fewer bits, smaller images or a smaller network"
    depth = config.bank_depth
    while depth > 1:
        depth //= 2
        if _held(config.model_copy(update={"bank_depth": depth}), board):
            return (
                f"No shipped board holds it; banks of {depth} words of {config.sub_row} channels, not "
                f"{config.bank_depth}, would fit here: take smaller images or a smaller network"
            )
    return "No shipped board holds it: take fewer bits, smaller images or a smaller network"


def _repacked(config: EngineConfig) -> EngineConfig:
    """Return an engine whose chains and pairs are no larger than its slots, channels and lanes allow."""
    return config.model_copy(
        update={
            "chain": min(config.chain, config.slots),
            "pack_k": math.gcd(config.pack_k, config.lanes_k),
            "pack_p": math.gcd(config.pack_p, config.lanes_p),
            "index_k": math.gcd(config.index_k, config.lanes_k),
            "fabric_lanes": 0,
        }
    )


def _held(config: EngineConfig, board: Board) -> EngineConfig | None:
    """Return the engine that fits the board, with its banks in UltraRAM if block RAM is too small, or None."""
    for memory in ("block", "ultra"):
        variant = config.model_copy(update={"bank_memory": memory})
        if not estimate_resources(variant, board.family).total.over(board.usable):
            return variant
    return None


def _halves(value: int) -> list[int]:
    """Return value, half of it, and so on, down to 1."""
    return [value, *_halves(value // 2)] if value > 1 else [value]


def _shape(config: EngineConfig) -> str:
    more = f", fabric_lanes={config.fabric_lanes}" if config.fabric_lanes else ""
    more += ", bank_memory=ultra" if config.bank_memory == "ultra" else ""
    return f"lanes_k={config.lanes_k}, lanes_p={config.lanes_p}, slots={config.slots}, drain_k={config.drain_k}{more}"


def _resource_name(name: str, board: Board) -> str:
    names = {"luts": "LUTs", "flip_flops": "flip-flops", "dsps": "DSPs", "urams": "URAMs"}
    return names.get(name, family_of(board.family).block_ram.name)
