"""A summary as tables for a terminal; no figure is computed here."""

from __future__ import annotations

from collections.abc import Iterable

from quant.cascade.artefacts import Measure
from quant.cascade.decide import Alternative, Decision
from quant.cascade.thresholds import ThresholdTable
from toolflow.ir.unit import DesignKind
from toolflow.numerics.confidence import ALWAYS, NEVER, THRESHOLD_ONE
from toolflow.plan.boards.board import clock_text
from toolflow.report.summary import (
    Cascade,
    Finetuned,
    Resources,
    Run,
    Search,
    Summary,
    Unit,
    Variant,
)
from toolflow.report.table import Table, new_table

RESOURCE_NAMES = {
    "luts": "LUTs",
    "flip_flops": "flip-flops",
    "dsps": "DSPs",
    "block_rams": "block RAMs",
    "urams": "URAMs",
}


def summary_tables(summary: Summary, layers: bool = False) -> tuple[Table | str, ...]:
    """Return what the end of a build shows, in order.

    Args:
        summary: the data.
        layers: also each layer's cycles.
    """
    shown: list[Table | str] = [accuracy_table(summary)]
    if summary.cascade is not None:
        shown.append(cascade_table(summary.cascade, built=len(summary.units) > 1))
    if summary.decision is not None:
        shown.append(decision_table(summary.decision, summary.board.clock_mhz))
        if summary.decision.thresholds is not None:
            shown.append(threshold_table(summary.decision.thresholds))
    shown.append(speed_table(summary))
    if layers:
        shown += [layer_table(unit.unit, run) for unit in summary.units for run in unit.runs[-1:]]
    shown.append(resource_table(summary))
    shown += list(remarks(summary))
    return tuple(shown)


def accuracy_table(summary: Summary) -> Table:
    """Accuracy of every network at every level."""
    table = new_table(f"{summary.model.name}: accuracy", "network", "level", "images>", "accuracy>")
    for row in summary.accuracy:
        right = percent(row.accuracy) + ("" if row.labelled else " (agreement)")
        table.add_row(row.unit, row.level, f"{row.images:,}", right)
    return table


def cascade_table(cascade: Cascade, built: bool = True) -> Table:
    """The rule, on the images that chose it and on the others."""
    title = f"{'cascade' if built else 'cascade, not built'}: {rule_sentence(cascade)}"
    held = cascade.held_out
    table = new_table(title, "", "calibration>", *(["held out>"] if held else []))
    measures = [cascade.calibration, *([held] if held else [])]
    what = "accuracy" if cascade.calibration.labelled else "agreement with the high unit"
    table.add_row("images", *(f"{m.images:,}" for m in measures))
    if any(m.float_accuracy is not None for m in measures):
        values = (m.float_accuracy for m in measures)
        table.add_row(f"{what}, float", *("" if value is None else percent(value) for value in values))
    table.add_row(f"{what}, high unit", *(percent(m.high_accuracy) for m in measures))
    table.add_row(f"{what}, low unit", *(percent(m.low_accuracy) for m in measures))
    table.add_row(f"{what}, cascade", *(percent(m.cascade_accuracy) for m in measures))
    table.add_row(f"lost (allowed {points(cascade.tolerance)})", *(loss_text(m) for m in measures))
    table.add_row("forwarded", *(share_text(m.forwarded_share, m.forwarded_interval) for m in measures))
    return table


def rule_sentence(cascade: Cascade) -> str:
    """Return when the low unit's answer is accepted."""
    if cascade.threshold in (ALWAYS, NEVER):
        return f"the low unit's answer is {'always' if cascade.threshold == ALWAYS else 'never'} accepted"
    confidence = f"gBvSB<{cascade.m},{cascade.n}> = {_probabilities(cascade.m, cascade.n)}"
    return f"the low unit's answer is accepted if {confidence} >= {cascade.threshold_share:.4f}"


def _probabilities(m: int, n: int) -> str:
    """Return the confidence in words of the classes' probabilities, p1 being the largest: p1 + .. + pm − .. − pn."""
    return " + ".join(f"p{i}" for i in range(1, m + 1)) + "".join(f" − p{i}" for i in range(m + 1, n + 1))


def decision_table(decision: Decision, clock_mhz: float) -> Table:
    """Every design that fits: its speed, its accuracy on held-out images, and whether it was built."""
    table = new_table("designs compared, accuracy on held-out images", "design", "images/s>", "accuracy>", "lost>", "")
    for each in decision.alternatives:
        low, high = each.loss_interval
        is_reference = each.design is DesignKind.SINGLE_HIGH
        lost = "" if is_reference else f"{points(each.loss)} ({100 * low:.2f} … {100 * high:.2f})"
        speed = f"{clock_mhz * 1e6 / each.cycles_per_image:,.0f}"
        table.add_row(each.design, speed, percent(each.accuracy), lost, design_verdict(each, decision))
    return table


def design_verdict(design: Alternative, decision: Decision) -> str:
    """Return whether a design was built, and why not."""
    if design.design == decision.choice:
        return "built"
    if not design.keeps:
        return "tolerance not shown on calibration images"
    if design.cycles_per_image >= decision.cycles_per_image:
        return "not faster"
    return f"faster, but a {decision.choice} was requested" if decision.requested else "faster on held-out images only"


def threshold_table(thresholds: ThresholdTable) -> Table:
    """The design that was built with other thresholds, and the threshold of the build marked."""
    title = f"other thresholds, on {thresholds.images:,} held-out images"
    what = "accuracy" if thresholds.labelled else "agreement with the high unit"
    table = new_table(title, "threshold>", f"{what}>", "forwarded>", "images/s>", "")
    for row in thresholds.rows:
        table.add_row(
            threshold_text(row.threshold),
            percent(row.accuracy),
            percent(row.forwarded_share),
            f"{row.images_per_second:,.0f}",
            "chosen" if row.chosen else "",
        )
    return table


def threshold_text(threshold: int) -> str:
    """Return a threshold as text."""
    return {ALWAYS: "accept all", NEVER: "forward all"}.get(threshold, f"{threshold / THRESHOLD_ONE:.4f}")


def speed_table(summary: Summary) -> Table:
    """Cycles of every unit at every batch, and of the whole design."""
    columns = ("batch>", "predicted>", "simulated>", "cycles/image>", "utilisation>", "ms a start>", "images/s>")
    batch = "full passes" if summary.batch is None else f"batches of {summary.batch}"
    chosen = f"engines chosen for {summary.objective} at {batch}"
    clock = clock_text(summary.board.clock_mhz, summary.board.clock_basis)
    table = new_table(f"speed at {clock}; {chosen}", "unit", *columns)
    for unit in summary.units:
        for run in unit.runs:
            table.add_row(
                unit.unit,
                f"{run.images}",
                f"{run.predicted_cycles:,}",
                "" if run.simulated_cycles is None else f"{run.simulated_cycles:,}",
                f"{run.cycles / run.images:,.0f}",
                percent(run.utilisation),
                f"{1e3 * run.images / run.images_per_second:,.2f}",
                f"{run.images_per_second:,.0f}",
            )
    if len(summary.units) > 1:
        table.add_section()
        each = f"{summary.cycles_per_image:,.0f}"
        table.add_row("cascade", "", "", "", each, "", "", f"{summary.images_per_second:,.0f}")
    return table


def layer_table(unit: str, run: Run) -> Table:
    """Cycles of every instruction of one pass."""
    simulated = any(layer.simulated_cycles is not None for layer in run.layers)
    columns = ("predicted>", *(["simulated>"] if simulated else []), "bound by", "utilisation>")
    table = new_table(f"{unit} unit, last pass of a batch of {run.images}", "layer", "operation", *columns)
    for layer in run.layers:
        cycles = [f"{layer.predicted_cycles:,}"]
        if simulated:
            cycles.append("" if layer.simulated_cycles is None else f"{layer.simulated_cycles:,}")
        few = f", {layer.reads} channel{'s'[: layer.reads > 1]} an output" if layer.reads else ""
        busy = percent(layer.utilisation) if layer.macs else ""
        table.add_row(layer.name, layer.operation, *cycles, f"{layer.bound}{few}", busy)
    return table


def resource_table(summary: Summary) -> Table:
    """Resources of every engine by the model, and what the board offers."""
    names = [name for name in RESOURCE_NAMES if getattr(summary.board.usable, name)]
    table = new_table(f"resources on {summary.board.name}", "", *(f"{RESOURCE_NAMES[name]}>" for name in names))
    for name, unit in summary.engines.items():
        table.add_row(f"{name}, predicted", *_amounts(unit.predicted, names))
    table.add_section()
    table.add_row("usable", *_amounts(summary.board.usable, names))
    return table


def remarks(summary: Summary) -> Iterable[str]:
    """Return the sentences below the tables: the decision, warnings, notes."""
    yield from (f"warning: {warning}" for warning in summary.warnings)
    if summary.decision is not None:
        yield f"built: {summary.decision.choice}: {summary.decision.reason}"
        yield from (f"warning: {warning}" for warning in summary.decision.warnings)
    for variant in summary.variants:
        if variant.search is not None:
            yield search_sentence(f"{variant.unit} unit", variant.search)
        if variant.finetuned is not None:
            yield finetuned_sentence(f"{variant.unit} unit", variant.finetuned)
    for unit in summary.units:
        yield from bound_sentences(unit)
        for run in unit.runs[-1:]:
            yield from grouped_sentences(unit.unit, run)
        yield from word_sentences(unit, summary.variants)
    for note in summary.notes:
        yield f"note: {note}"


def bound_sentences(unit: Unit) -> Iterable[str]:
    """Report how many layers wait for transform or drain: there a sparser pattern saves no cycle."""
    layers = [layer for layer in unit.runs[-1].layers if layer.macs] if unit.runs else []
    waiting = sum(layer.bound in ("transform", "drain") for layer in layers)
    if waiting:
        yield (
            f"{unit.unit} unit: in {waiting} of {len(layers)} layers the input transform or the drain is the "
            "bottleneck: fewer multiplications would not make them faster"
        )


def grouped_sentences(unit: str, run: Run) -> Iterable[str]:
    """Report the cost of layers whose outputs read few channels: the array uses only these of a word of S channels."""
    grouped = [layer for layer in run.layers if layer.reads]
    cycles = sum(layer.cycles for layer in grouped)
    if not cycles:
        return
    share = cycles / sum(layer.cycles for layer in run.layers)
    work = sum(layer.macs for layer in grouped) / max(sum(layer.macs for layer in run.layers), 1)
    busy = sum(layer.utilisation * layer.cycles for layer in grouped) / cycles
    one = len(grouped) == 1
    layers, read, take = ("1 layer", "reads", "takes") if one else (f"{len(grouped)} layers", "read", "take")
    yield (
        f"{unit} unit: {layers} {read} few channels for each output (depthwise or grouped convolution, average "
        f"pooling) and {take} {percent(share)} of the cycles of a pass for "
        f"{percent(work)} of its multiplications, at a utilisation of {percent(busy)}"
    )


def word_sentences(unit: Unit, variants: Iterable[Variant]) -> Iterable[str]:
    """Report how many layers have sub-rows longer than the engine's words: each waits for its fullest word."""
    word = unit.engine.sub_row
    layers = [layer for variant in variants if variant.unit == unit.unit for layer in variant.layers]
    longer = [layer for layer in layers if layer.pattern is not None and layer.pattern.sub_row > word]
    if longer:
        yield (
            f"{unit.unit} unit: {len(longer)} layers have patterns longer than the engine's words of {word} channels "
            f"and wait for the fullest word of each sub-row: a pattern n:{word} would take n of every {word} cycles"
        )


def search_sentence(unit: str, search: Search) -> str:
    """Return the result of a search of layers' forms."""
    plain, taken = search.trials[0], search.trials[search.chosen]
    judged = "1 network" if len(search.trials) == 1 else f"{len(search.trials)} networks"
    return (
        f"{unit}: the search chose layers that take {percent(taken.cost)} of the {search.saves}, at an accuracy of "
        f"{percent(taken.accuracy)} ({percent(plain.accuracy)} without the search; {judged} judged, on calibration "
        "images; reported accuracies are of other images)"
    )


def finetuned_sentence(unit: str, trained: Finetuned) -> str:
    """Return the result of training the integers."""
    epochs = "once" if trained.epochs == 1 else f"{trained.epochs} times"
    sentence = (
        f"{unit}: integers trained on {trained.images:,} images, {epochs} each: {percent(trained.after)} accuracy on "
        f"held-out images, {percent(trained.before)} before"
    )
    if trained.after < trained.before:
        sentence += "; the accuracy did not improve: omit --finetune, or use more epochs or a lower rate"
    return sentence


def percent(share: float) -> str:
    """Return a share as text, two digits after the point."""
    return f"{100 * share:.2f} %"


def points(share: float) -> str:
    """Return a difference of shares as text."""
    return f"{100 * share:.2f} points"


def loss_text(measure: Measure) -> str:
    """Return a cascade's loss and its interval as text."""
    low, high = measure.loss_interval
    return f"{points(measure.loss)} ({100 * low:.2f} … {100 * high:.2f})"


def share_text(share: float, interval: tuple[float, float]) -> str:
    """Return a share and its interval as text."""
    return f"{percent(share)} ({100 * interval[0]:.1f} … {100 * interval[1]:.1f})"


def _amounts(resources: Resources, names: Iterable[str]) -> list[str]:
    return [f"{getattr(resources, name):,.10g}" for name in names]
