"""Record what `summary.json` says of the built and verified ResNet-20: its cascade, and the cycles of its units.

python benchmarks/build_summary.py PROJECT --record
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.results import add_record_option, record_row
from quant.cascade.artefacts import Measure
from toolflow.report.summary import Summary, read_summary


def cascade_rows(measure: Measure) -> dict[str, dict[str, float | str]]:
    """Return the accuracies of the units and of their cascade on the held-out images."""
    networks = {
        "float": measure.float_accuracy,
        "high unit": measure.high_accuracy,
        "low unit": measure.low_accuracy,
        "cascade": measure.cascade_accuracy,
    }
    rows: dict[str, dict[str, float | str]] = {
        name: {"accuracy %": round(100 * accuracy, 2)} for name, accuracy in networks.items() if accuracy is not None
    }
    rows["cascade"] |= {
        "lost, points": _with_interval(measure.loss, measure.loss_interval),
        "forwarded, %": _with_interval(measure.forwarded_share, measure.forwarded_interval),
    }
    return rows


def _with_interval(share: float, interval: tuple[float, float]) -> str:
    return f"{100 * share:.2f} ({100 * interval[0]:.2f} … {100 * interval[1]:.2f})"


def cycle_rows(summary: Summary) -> dict[str, dict[str, float | str]]:
    """Return cycles, utilisation and speed of each unit and batch."""
    rows: dict[str, dict[str, float | str]] = {}
    for unit in summary.units:
        engine = unit.engine
        shape = f"{engine.lanes_k} × {engine.lanes_p} × {engine.slots}"
        for run in unit.runs:
            row: dict[str, float | str] = {"cycles, predicted": run.predicted_cycles}
            if run.simulated_cycles is not None:
                row["cycles, RTL"] = run.simulated_cycles
            taken = run.simulated_cycles or run.predicted_cycles
            row |= {"cycles an image": round(taken / run.images), "utilisation %": round(100 * run.utilisation, 2)}
            rows[f"{unit.unit} unit, {shape}, batch of {run.images}"] = row | {"images/s": round(run.images_per_second)}
    return rows


def main() -> None:
    """Print the rows, and record them if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path)
    add_record_option(parser)
    arguments = parser.parse_args()
    summary = read_summary(arguments.project / "summary.json")
    tables = {"cycles": cycle_rows(summary)}
    if summary.cascade is not None and summary.cascade.held_out is not None:
        tables["cascade"] = cascade_rows(summary.cascade.held_out)
    for table, rows in tables.items():
        for name, values in rows.items():
            print(f"{table}: {name}: {values}")
            if arguments.record:
                record_row(table, name, values)


if __name__ == "__main__":
    main()
