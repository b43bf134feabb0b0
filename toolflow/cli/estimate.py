"""`toolflow estimate`: cycles, utilisation and resources of quantised networks on a board, in seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Table

from toolflow.cli import options
from toolflow.cli.command import command
from toolflow.cli.parsing import parse_engine
from toolflow.cli.terminal import Step, Terminal
from toolflow.ir.errors import DoesNotFitError, ToolflowError
from toolflow.plan.explore.objective import Goal

if TYPE_CHECKING:
    from toolflow.engine.config import EngineConfig
    from toolflow.ir.quantised import QuantisedGraph
    from toolflow.plan.boards.board import Board
    from toolflow.plan.explore.objective import Objective
    from toolflow.plan.resources.count import ResourceCount
    from toolflow.report.summary import Run

_PANEL = "Board and engine"

Folder = Annotated[
    Path,
    typer.Argument(
        metavar="DIR", help="A folder of 'toolflow quantise' or 'toolflow build'.", exists=True, file_okay=False
    ),
]
OtherBoard = Annotated[
    str | None,
    typer.Option("--board", metavar="B", help="A board's name or file; else the build's own.", rich_help_panel=_PANEL),
]
OtherGoal = Annotated[
    Goal | None,
    typer.Option(
        "--objective",
        help="What engines are searched to be fast at, as in 'toolflow build'; else the build's own, or throughput.",
        rich_help_panel=_PANEL,
    ),
]
Forwarded = Annotated[
    float | None,
    typer.Option(
        "--forwarded",
        metavar="SHARE",
        min=0.0,
        max=1.0,
        help="Share of images that the low unit forwards, to estimate both together; else the build's own.",
        rich_help_panel=_PANEL,
    ),
]


@dataclass(frozen=True)
class UnitEstimate:
    """One engine: its parameters, starts by batch, predicted amounts, and cycles per image of the last of them."""

    unit: str
    config: EngineConfig
    runs: tuple[Run, ...]
    resources: ResourceCount
    cycles_per_image: float


@dataclass(frozen=True)
class Design:
    """Engines that share a device.

    Attributes:
        name: "single low", "single high", "resident pair", or "as built".
        units: the engines.
        cycles_per_image: at the batch planned for, over both units and the forwarded share.
        bound: the resource that is used most.
    """

    name: str
    units: tuple[UnitEstimate, ...]
    cycles_per_image: float
    bound: str


@command
def estimate(
    terminal: Terminal,
    folder: Folder,
    board: OtherBoard = None,
    engine: options.Engine = None,
    objective: OtherGoal = None,
    batch: options.StartBatch = None,
    forwarded: Forwarded = None,
) -> None:
    """Predict cycles per layer, utilisation and resources, and say what bounds them.

    For a build, and no other board, engine or objective: the engines that it holds. Else the best engines for each
    quantised network alone and, where the forwarded share is known, for both together.

    Examples:

        toolflow estimate build/resnet20

        toolflow estimate build/resnet20 --board kv260 --engine lanes_k=16,lanes_p=8,slots=2 --forwarded 0.2
    """
    fixed = parse_engine(engine)
    with terminal.progress("load the toolflow"):
        from toolflow.flow.project import PLAN, open_project
        from toolflow.plan.boards.board import load_board
        from toolflow.plan.explore.objective import Objective

        built = open_project(folder) if (folder / PLAN).exists() else None
    if board is None and built is None:
        raise ToolflowError(f"--board must be given: {folder} holds no plan for a board")
    target = built.board if built is not None and board is None else load_board(str(board))
    own = Objective() if built is None else built.plan.objective
    if objective is not None:
        own = Objective.of(objective, None)
    wanted = own if batch is None else Objective(own.goal, batch)
    if built is not None and board is None and not fixed and forwarded is None and objective is None:
        designs = [_as_built(folder, wanted)]
    else:
        with terminal.progress(f"search engines for {target.name}") as step:
            designs = _searched(terminal, folder, target, fixed, wanted, forwarded, step)
    terminal.result(_document(target, designs), *_tables(target, designs))


def _as_built(folder: Path, objective: Objective) -> Design:
    from toolflow.flow.project import DECISION, damaged, open_project, read_document

    project = open_project(folder)
    units = tuple(
        _unit(name, project.graph(unit.graph), unit.engine, unit.amounts, project.board, objective)
        for name, unit in project.plan.units.items()
    )
    share = 0.0
    if len(units) > 1:
        with damaged(folder / DECISION):
            share = float(str(read_document(folder / DECISION)["forwarded_share"]))
    return Design("as built", units, _cycles(units, share, objective), project.plan.bound)


def _searched(
    terminal: Terminal,
    folder: Path,
    board: Board,
    fixed: Mapping[str, int | str],
    objective: Objective,
    forwarded: float | None,
    step: Step,
) -> list[Design]:
    """Return the fastest design of every kind that fits; say of the others what they lack."""
    from quant.cascade.artefacts import Calibration, load_artefact
    from toolflow.flow.graphs import load_graph
    from toolflow.flow.project import CALIBRATION, GRAPHS, REPORT, damaged, read_document, read_report
    from toolflow.plan.explore.choose import best_pair, best_single, bound_by, timed_engines

    document = folder / GRAPHS / "quantise.json"
    recorded: Any = read_document(document)
    with damaged(document):
        bits = {name: int(made["config"]["weight_bits"]) for name, made in recorded["variants"].items()}
    graphs = {name: load_graph(folder, name) for name in bits}
    timed = {
        name: timed_engines(graphs[name], bits[name], fixed, board, step.advance, batch=objective.batch)
        for name in bits
    }
    designs: list[Design] = []
    refused: list[DoesNotFitError] = []
    for name, found in timed.items():
        try:
            best = best_single(found, board, f"the {name}-precision network alone")
        except DoesNotFitError as error:
            refused.append(error)
            continue
        unit = _unit(name, graphs[name], best.config, best.resources, board, objective)
        designs.append(Design(f"single {name}", (unit,), unit.cycles_per_image, bound_by(best.resources, board)))
    if not designs:
        raise refused[-1]
    for shortage in refused:
        terminal.note(str(shortage))
    share, planned_share = forwarded, forwarded
    if forwarded is None and (folder / REPORT).exists():
        share = read_report(folder).measure.forwarded_share
        calibration = load_artefact(Calibration, folder / CALIBRATION)
        planned_share = calibration.measure.forwarded_interval[1]  # as a build plans
    if share is None or planned_share is None or len(timed) < 2:
        return designs
    pair = best_pair(timed["low"], timed["high"], board, planned_share, objective)
    if pair is None:
        terminal.note(f"no pair of units fits {board.name}")
        return designs
    units = tuple(
        _unit(name, graphs[name], found.config, found.resources, board, objective)
        for name, found in zip(("low", "high"), pair, strict=True)
    )
    bound = bound_by(pair[0].resources + pair[1].resources, board)
    return [*designs, Design(f"resident pair, {share:.1%} forwarded", units, _cycles(units, share, objective), bound)]


def _cycles(units: Sequence[UnitEstimate], forwarded_share: float, objective: Objective) -> float:
    """Return the expected cycles an image of one unit, or of a pair."""
    first, *second = (unit.cycles_per_image for unit in units)
    return objective.pair_cycles(first, second[0], forwarded_share) if second else first


def _unit(
    name: str, graph: QuantisedGraph, config: EngineConfig, amounts: ResourceCount, board: Board, objective: Objective
) -> UnitEstimate:
    from toolflow.plan.explore.estimate import estimate as predict
    from toolflow.report.from_artefacts import run_section

    batches = (1, config.lanes_p) if objective.batch is None else (objective.batch,)
    reports = [predict(graph, config, images)[1] for images in dict.fromkeys(batches)]
    runs = tuple(run_section(report, config.multipliers, board.clock_mhz) for report in reports)
    return UnitEstimate(name, config, runs, amounts, reports[-1].cycles_per_image)


def _document(board: Board, designs: Sequence[Design]) -> dict[str, Any]:
    return {
        "board": board.name,
        "clock_mhz": board.clock_mhz,
        "clock_basis": board.clock_basis,
        "usable": board.usable.by_name(),
        "designs": [
            {
                "design": design.name,
                "cycles_per_image": design.cycles_per_image,
                "images_per_second": board.clock_mhz * 1e6 / design.cycles_per_image,
                "bound": design.bound,
                "units": [
                    {
                        "unit": unit.unit,
                        "engine": unit.config.model_dump(),
                        "resources": unit.resources.by_name(),
                        "runs": [run.model_dump(mode="json") for run in unit.runs],
                    }
                    for unit in design.units
                ],
            }
            for design in designs
        ],
    }


def _tables(board: Board, designs: Sequence[Design]) -> list[RenderableType]:
    from toolflow.report.tables import grouped_sentences, layer_table

    shown: list[RenderableType] = []
    for design in designs:
        shown += [layer_table(f"{design.name}: {unit.unit}", unit.runs[-1]) for unit in design.units]
    shown += [_speed(board, designs), _amounts(board, designs)]
    for design in designs:
        shown += [f"{design.name}, {s}" for unit in design.units for s in grouped_sentences(unit.unit, unit.runs[-1])]
    shown += [f"{design.name}: scarcest resource: {design.bound}" for design in designs]
    return shown


def _speed(board: Board, designs: Sequence[Design]) -> Table:
    from toolflow.report.tables import percent

    table = Table(title=f"predicted speed on {board.name} at {board.clock}", title_justify="left")
    for column in ("design", "unit", "lanes_k × lanes_p × slots", "batch", "cycles/image", "utilisation", "images/s"):
        table.add_column(column, justify="left" if column in ("design", "unit") else "right")
    for design in designs:
        for unit in design.units:
            shape = f"{unit.config.lanes_k} × {unit.config.lanes_p} × {unit.config.slots}"
            for run in unit.runs:
                each = f"{run.cycles / run.images:,.0f}"
                speed = f"{run.images_per_second:,.0f}"
                table.add_row(design.name, unit.unit, shape, f"{run.images}", each, percent(run.utilisation), speed)
        if len(design.units) > 1:
            together = f"{board.clock_mhz * 1e6 / design.cycles_per_image:,.0f}"
            table.add_row(design.name, "both", "", "", f"{design.cycles_per_image:,.0f}", "", together)
    return table


def _amounts(board: Board, designs: Sequence[Design]) -> Table:
    from toolflow.report.tables import RESOURCE_NAMES

    usable = board.usable.by_name()
    names = [name for name in RESOURCE_NAMES if usable[name]]
    table = Table(title=f"predicted resources on {board.name}", title_justify="left")
    for column in ("design", "unit", *(RESOURCE_NAMES[name] for name in names)):
        table.add_column(column, justify="left" if column in ("design", "unit") else "right")
    for design in designs:
        for unit in design.units:
            amounts = unit.resources.by_name()
            cells = (f"{amounts[name]:,.10g} ({amounts[name] / usable[name]:.0%})" for name in names)
            table.add_row(design.name, unit.unit, *cells)
    table.add_section()
    table.add_row("usable", "", *(f"{usable[name]:,.10g}" for name in names))
    return table
