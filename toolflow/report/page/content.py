"""What the page says, as texts and numbers that its templates only lay out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from toolflow.ir.unit import UnitName
from toolflow.report.page.network import Edge, NetworkNode, long_edges
from toolflow.report.summary import LayerCycles, LevelAccuracy, Summary, Unit, Variant
from toolflow.report.table import Table, new_table
from toolflow.report.tables import RESOURCE_NAMES, percent, points, share_text

_GUTTER = 96  # pixels for the lanes of edges, at most
_LANE = 14
ROW_HEIGHT = 44


@dataclass(frozen=True)
class Figure:
    """One of the figures at the head of the page."""

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class DrawnNode:
    """A row of the network.

    Attributes:
        node: the tensor.
        widths: "W4 A8": bits of the weights and of the tensor.
        form: tile and pattern, "" for a direct dense layer.
        cycles: of its instructions in a pass; None if it needs none.
        share: of the cycles of a pass.
        bound: what bounds the longest of its instructions, "" if it needs none.
        utilisation: of the multipliers, "" if it multiplies nothing.
    """

    node: NetworkNode
    widths: str
    form: str
    cycles: int | None
    share: float
    bound: str
    utilisation: str


@dataclass(frozen=True)
class DrawnNetwork:
    """A unit's network, with its edges as paths of an SVG.

    Attributes:
        unit: the engine.
        images: of the pass that the cycles are of.
        rows: the nodes.
        paths: of the edges that pass over other rows.
        gutter: pixels left of the rows.
        height: pixels of all rows.
    """

    unit: UnitName
    images: int
    rows: tuple[DrawnNode, ...]
    paths: tuple[str, ...]
    gutter: int
    height: int

    @property
    def bounds(self) -> set[str]:
        """What bounds some row."""
        return {row.bound for row in self.rows}


def verdict(summary: Summary) -> tuple[str, str]:
    """Return the state ("equal", "different" or "open") and the sentence of all checks together."""
    ran = [check for check in summary.verification if check.equal is not None]
    if not ran:
        return "open", "not verified yet"
    wrong = sum(not check.equal for check in ran)
    if wrong:
        return "different", f"{wrong} of {len(ran)} checks DIFFERENT"
    return "equal", f"all {len(ran)} checks equal the integer reference"


def figures(summary: Summary) -> list[Figure]:
    """Return the figures at the head: speed, accuracy, forwarded share, and what bounds the design."""
    simulated = any(run.simulated_cycles is not None for unit in summary.units for run in unit.runs)
    counted = "counted in simulation" if simulated else "predicted"
    found = [
        Figure(
            "images/s",
            f"{summary.images_per_second:,.0f}",
            f"{summary.cycles_per_image:,.0f} cycles an image, {counted}, at {summary.board.clock_mhz:g} MHz",
        )
    ]
    row = _accuracy_of_the_design(summary)
    if row is not None:
        label = "accuracy" if row.labelled else "agreement with the float model"
        lower, upper = row.interval
        detail = f"{100 * lower:.1f} … {100 * upper:.1f} % on {row.images:,} held-out images"
        found.append(Figure(label, percent(row.accuracy), detail))
    pair = len(summary.units) > 1
    if pair and summary.cascade is not None:
        measure = summary.cascade.held_out or summary.cascade.calibration
        found.append(
            Figure(
                "forwarded",
                percent(measure.forwarded_share),
                f"accuracy lost: {points(measure.loss)}, allowed {points(summary.cascade.tolerance)}",
            )
        )
    elif summary.units[0].runs:
        run = summary.units[0].runs[-1]
        detail = f"{summary.units[0].multipliers:,} multipliers, batch of {run.images}"
        found.append(Figure("utilisation", percent(run.utilisation), detail))
    share, name = max(
        (
            sum(getattr(unit.predicted, key) for unit in summary.engines.values()) / getattr(summary.board.usable, key),
            label,
        )
        for key, label in RESOURCE_NAMES.items()
        if getattr(summary.board.usable, key)
    )
    found.append(Figure(f"{name} used", f"{share:.0%}", "the fullest resource, of what a design may use"))
    return found


def _accuracy_of_the_design(summary: Summary) -> LevelAccuracy | None:
    wanted = "cascade" if len(summary.units) > 1 else summary.units[0].unit
    return next((row for row in summary.accuracy if row.level == "reference" and row.unit == wanted), None)


def interval_table(summary: Summary) -> Table:
    """Every level's accuracy with its interval."""
    table = new_table("", "network", "level", "images>", "accuracy (95 % interval)>")
    for row in summary.accuracy:
        text = share_text(row.accuracy, row.interval) + ("" if row.labelled else ", agreement")
        table.add_row(row.unit, row.level, f"{row.images:,}", text)
    return table


def form_table(unit: Unit, variant: Variant) -> Table:
    """Every instruction of a pass: its form, and cycles predicted beside simulated."""
    forms = {layer.name: layer for layer in variant.layers}
    run = unit.runs[-1]
    simulated = any(layer.simulated_cycles is not None for layer in run.layers)
    columns = ["layer", "operation", "weight bits>", "tile>", "pattern", "predicted>"]
    columns += ["simulated>", "difference>"] if simulated else []
    table = new_table("", *columns, "bound by", "utilisation>")
    for layer in run.layers:
        form = forms.get(layer.name)
        how = ["", "", ""]
        if form is not None:
            how = [str(form.weight_bits), f"F({form.tile},3)" if form.tile else "direct", str(form.pattern or "dense")]
        cycles = [f"{layer.predicted_cycles:,}"]
        if simulated:
            seen = layer.simulated_cycles
            cycles += ["", ""] if seen is None else [f"{seen:,}", f"{layer.predicted_cycles - seen:+,}"]
        busy = percent(layer.utilisation) if layer.macs else ""
        table.add_row(layer.name, layer.operation, *how, *cycles, layer.bound, busy)
    return table


def drawn_network(unit: Unit, variant: Variant, nodes: Sequence[NetworkNode]) -> DrawnNetwork:
    """Return a unit's network with the cycles of its last run."""
    run = unit.runs[-1]
    costs: dict[str, list[LayerCycles]] = {}
    for layer in run.layers:
        costs.setdefault(layer.name, []).append(layer)
    forms = {layer.name: layer for layer in variant.layers}
    total = sum(layer.cycles for layer in run.layers) or 1
    rows = []
    for node in nodes:
        own = [layer for name in dict.fromkeys(node.instructions) for layer in costs.get(name, ())]
        longest = max(own, key=lambda layer: layer.cycles, default=None)
        cycles = sum(layer.cycles for layer in own)
        form = forms.get(node.name)
        texts = [] if form is None else [f"F({form.tile},3)" if form.tile else "", str(form.pattern or "")]
        rows.append(
            DrawnNode(
                node,
                f"A{node.bits}" if form is None else f"W{form.weight_bits} A{node.bits}",
                " ".join(text for text in texts if text),
                cycles if own else None,
                cycles / total,
                "" if longest is None else longest.bound,
                "" if longest is None or not longest.macs else percent(longest.utilisation),
            )
        )
    edges = long_edges(nodes)
    lanes = max((edge.lane for edge in edges), default=-1) + 1
    step = min(_LANE, _GUTTER / max(lanes, 1))
    gutter = round(step * lanes) + 8
    paths = tuple(_path(edge, gutter, step) for edge in edges)
    return DrawnNetwork(unit.unit, run.images, tuple(rows), paths, gutter, ROW_HEIGHT * len(rows))


def _path(edge: Edge, gutter: int, step: float) -> str:
    """Return an edge as the path of an SVG: out of its source, down its lane, into its target."""
    x = gutter - 8 - step * edge.lane - step / 2
    top, bottom = (ROW_HEIGHT * row + ROW_HEIGHT / 2 for row in (edge.source, edge.target))
    return f"M{gutter} {top + 5}H{x + 5:g}q-5 0 -5 5V{bottom - 10:g}q0 5 5 5H{gutter}"


def next_commands(summary: Summary, flow: str) -> list[tuple[str, str]]:
    """Return the next commands, each with its purpose, to run in the project's folder.

    Args:
        summary: decides whether the project is still to be verified.
        flow: of the board, "zynq" or "nextpnr".
    """
    found = [] if summary.verified else [("run every level and compare each integer", "toolflow verify .")]
    found.append(("predict cycles, utilisation and resources again, also on another board", "toolflow estimate ."))
    if flow == "zynq":
        found += [
            ("synthesise the C++ with Vitis HLS", "make -C scripts hls"),
            ("make a bitstream from the SystemVerilog with Vivado", "make -C scripts bitstream-rtl"),
        ]
    else:
        found += [
            ("synthesise every unit with Yosys", "make -C scripts yosys"),
            ("place and route each unit with nextpnr", "make -C scripts route"),
        ]
    return found


def split_warnings(sentences: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the warnings, without the word, and the other sentences but the decision, which the page's head has."""
    every = [text for text in sentences if not text.startswith("built: ")]
    warnings = [text.removeprefix("warning: ") for text in every if text.startswith("warning: ")]
    return warnings, [text.removeprefix("note: ") for text in every if not text.startswith("warning: ")]
