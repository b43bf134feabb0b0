"""The measured results: `results.json`, and the pages that are rendered from it.

    python benchmarks/results.py            # writes docs/results-tables.md and the table in README.md

A benchmark calls `record` for a single figure and `record_row` for a row of a table. An entry replaces the earlier
entry of the same name, and holds the command, the commit and the day. `TABLES` gives each table its title and text.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "results-tables.md"
README = ROOT / "README.md"
FIGURES, SILICON = "figures", "silicon"  # the tables of single figures
BEGIN, END = "<!-- written by benchmarks/results.py -->", "<!-- end -->"

Value = float | int | str
Entry = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """A table's title, and the sentences that a reader needs to understand its columns."""

    title: str
    text: str


TABLES = {
    FIGURES: Table(
        "Figures with a bound",
        "A figure outside its bound is marked **missed**; [results.md](results.md) says what was tried.",
    ),
    SILICON: Table(
        "Area, clock and speed of the engine",
        "*Before* is commit fb484ae, before products were packed into DSP blocks and paths were cut. Areas are of "
        "whole units by Yosys 0.70, paths by the timing estimate. Images/s are at its clock ÷ 1.15, unless one is "
        "named. "
        "A figure outside its bound is marked **missed**; [results.md](results.md) says what was tried.",
    ),
    "board_speed": Table(
        "Dense 8-bit units that have a board for themselves",
        "The planner's engine with an image in every lane, four passes a start. *Bounds* are shares of what is usable "
        "of the board.",
    ),
    "imagenet_speed": Table(
        "Networks for images of 224 × 224",
        "The planner's engine for a network of seeded 8-bit integers, with an image in every lane or, where that is "
        "faster, with the rows of one image in all lanes. Maps that a board does not hold are filled from external "
        "memory and spilled to it in bands of rows, while the array waits.",
    ),
    "one_image_speed": Table(
        "One image after the other",
        "The planner's engine with the rows of one image in all lanes, a start for each image, cycles of the cycle "
        "model. *Bound by products*: images/s if every multiplier of the engine were always busy; *by weights*: if "
        "nothing but the weights, once an image, went through their port.",
    ),
    "planner_time": Table(
        "Time of the planner",
        "Processor time, in seconds, in which the planner finds an engine that has a board for itself: for latency, "
        "and for throughput. The networks are those for images of 224 × 224, of seeded 8-bit integers.",
    ),
    "board_cascade": Table(
        "Designs of ResNet-20 by board",
        "Every design that fits, images/s at the board's estimated clock with the share that held-out images forward; "
        "*chosen* is the fastest that keeps 0.5 points on calibration images.",
    ),
    "cascade": Table(
        "Cascade of ResNet-20 on the ZCU104",
        "`toolflow build` with the 10,000 test images as calibration file, tolerance 0.005. Accuracies are of the "
        "4,488 held-out images.",
    ),
    "sparse_speed": Table(
        "Sparse 8-bit ResNet-20 beside the dense one",
        "The planner's engine with an image in every lane, at the board's estimated clock. Integers, all 10,000 test "
        "images, which no choice has seen. *Not trained* is pruned on 1,024 training images.",
    ),
    "cycles": Table(
        "Cycles of ResNet-20 on the ZCU104",
        "Images/s are at 115 MHz; the board's estimated clock is 217 MHz today. No vendor tool has routed the design.",
    ),
    "winograd_accuracy": Table(
        "Accuracy of ResNet-20 by tile, without training",
        "Integers, all 10,000 test images; the float network answers 88.07 %.",
    ),
    "index_sharing": Table(
        "Accuracy of ResNet-20 by how many output channels share an index, without training",
        "`prune` on 1,024 training images, all 3×3 layers of stride 1 but the first; all 10,000 test images, of which "
        "the float network answers 88.07 %.",
    ),
    "tile_search": Table(
        "Search of tiles for the ZCU104",
        "Judged on the first 4,000 test images, accuracy on the other 6,000. Cycles are predicted for an image with "
        "every lane busy, each network on the best engine for it alone.",
    ),
    "form_search": Table(
        "Search of tiles and patterns together",
        "ResNet-20, 8 bits, `--tile auto --pattern auto`, 0.3 points allowed. Judged on 4,488 test images, accuracy "
        "on 4,488 others, where the float network answers 87.95 %.",
    ),
    "training": Table(
        "Pruned networks, trained",
        "CIFAR-10, all 50,000 training images, float accuracy on the 10,000 test images. A row with several steps "
        "gives the accuracy after pruning and after training of each step.",
    ),
    "finetuning": Table(
        "Bit-widths searched, then finetuned",
        "ResNet-20, F(2,3), 4:16 with 4 values at every tap, 4,488 held-out images (float 86.12 %).",
    ),
    "compression": Table(
        "Compression recipes beside their controls",
        "`compression.yaml` holds the settings; *settings* is the hash of the recipe's part. Both arms see as many "
        "training images and have the same teacher, if any; `blockwise` starts from a deeper network. Float accuracy "
        "on the test images, means over the seeds; the difference with "
        "its paired 95 % interval over images and seeds. Cycles are shares of the network before, on "
        "the engine that the planner chose for it; a control at the recipe's cycles has as many or fewer. *Judged* are "
        "the candidates of recipe and control. Seconds are of a machine with other jobs.",
    ),
    "adaptive_bn": Table(
        "Adaptive BN's judgement of pruned networks",
        "Spearman's rank correlation of a candidate's accuracy before fine-tuning, on images that only judge, with its "
        "accuracy after it on the test images. The interval is of draws of the candidates. A tenth of the training "
        "images judges.",
    ),
    "training_speed": Table(
        "Training speed",
        "Images a second, forward and backward, on one core with AVX-512 beside two other jobs.",
    ),
    "vgg16": Table(
        "VGG-16, layer by layer in RTL",
        "Batch of 32, 256 multipliers (8 × 32 × 1, S = 16, drain 4), the cycles of the layer's CONV. The share is the "
        "ideal (kept values × valid tiles ÷ multipliers) over the cycles.",
    ),
    "digits_of_weights": Table(
        "Weights wider than the multipliers",
        "conv2_1 of VGG-16 with F(4,3) on 8 × 4 × 1 multipliers of 4-bit weights, batch of 4, in RTL.",
    ),
    "resources": Table(
        "Resource model against Yosys",
        "`synth_xilinx` of Yosys 0.70, each engine of the clock's record as a whole, flattened; no row was used to fit "
        "the model. An engine is lanes_k × lanes_p × slots; block RAMs are of 36 Kb.",
    ),
    "clock_paths": Table(
        "Longest paths by the estimate",
        "Delay models of `boards/delays` on netlists of Yosys 0.70; no vendor's tool has routed a design. The clock to "
        "plan with is the estimate divided by 1.15.",
    ),
    "clock_rule": Table(
        "The planner's clock against an engine's own netlist",
        "Engines that are not in the record. *Rule* is the longest path that the planner takes for the board.",
    ),
    "ecp5_routing": Table(
        "Units on the ULX3S-85F",
        "Yosys 0.70 and nextpnr-ecp5, LFE5U-85F-6, each unit alone and without pins.",
    ),
    "tile_cost": Table(
        "LUTs of gather and transforms",
        "LUTs for each multiplier of the array, Yosys 0.70 for xcup, each unit alone. *Replaces* is the LUTs of the "
        "multipliers of a dense direct engine that one multiplier stands for.",
    ),
    "faults": Table(
        "Injected faults",
        "100 random faults in weights, biases, multipliers, shifts, indices and instruction words; 16 images. A fault "
        "that stays green is judged by the executor on 400 images.",
    ),
    "onnx_nodes": Table(
        "Examples of ONNX operators",
        "The examples of `onnx.backend.test` 1.22, each as a network of one image; the float graph, as imported and "
        "simplified, against the expected output. The reason names what the importer refuses.",
    ),
    "fuzz": Table(
        "Fuzzing",
        "`make fuzz` with random networks, options, engines and boards, and damaged files and projects.",
    ),
    "squeezenet": Table(
        "SqueezeNet on the ImageNet sample",
        "96 images for quantisation, 400 others reported. They are probably from the training split: read the "
        "accuracies as relative.",
    ),
}
# rows of the table in README.md: the entry's name, and what it is compared with
README_ROWS = {
    "ResNet-20, W8A8: accuracy lost": "float network",
    "ResNet-20, W4A4 without training: accuracy lost": "float network",
    "ResNet-20, 4:16 direct layers, trained: accuracy lost": "dense network, trained as long",
    "ResNet-20, 4:16, F(2,3) throughout, best of five trainings: accuracy lost": "dense network, trained as long",
    "VGG-16, 3:16 with Winograd: speed-up over direct layers": "dense direct layers on the same multipliers",
    "ResNet-20, W8A8, dense, best batch, KV260: images/s": "nn2fpga on this board: 7,601, with a batch of 1",
    "ResNet-20, W8A8, dense, best batch, ZCU104: images/s": "13,600: every DSP busy at 200 MHz; lanes in LUTs add",
    "ResNet-20, batch of 8, 256 multipliers: error of the cycle model": "RTL simulation",
    "Resource model, xcup: largest error of LUTs": "Yosys, engines not used for the fit",
    "Integer reference of ResNet-20: speed": "torch float on the same images: 1,391 images/s",
    "Random networks, reference against program and HLS: integers that differ": "1,003 networks from `make fuzz`",
}


def add_record_option(parser: argparse.ArgumentParser) -> None:
    """Add `--record` to a benchmark's options."""
    parser.add_argument("--record", action="store_true", help="write the figures to benchmarks/results.json")


def record(
    name: str,
    value: Value,
    unit: str = "",
    *,
    at_most: float | None = None,
    at_least: float | None = None,
    before: Value | None = None,
    table: str = FIGURES,
    command: str | None = None,
) -> None:
    """Record a single figure.

    Args:
        name: of the figure.
        value: what was measured.
        unit: of the value and its bounds.
        at_most: the most that it may be.
        at_least: the least that it may be.
        before: what it was before, in the same unit, or in words.
        table: FIGURES, or SILICON, which shows what was before.
        command: None for the running program's.
    """
    given = (("at_most", at_most), ("at_least", at_least), ("before", before))
    more = {key: number for key, number in given if number is not None}
    _store({"table": table, "row": name, "values": {"value": value}, "unit": unit, **more}, command)


def record_row(table: str, row: str, values: Mapping[str, Value]) -> None:
    """Record a row of a table: values by the column's title, which names the unit."""
    if table not in TABLES or table in (FIGURES, SILICON):
        raise ValueError(f"table must be one of {', '.join(TABLES)} with columns, not {table}")
    _store({"table": table, "row": row, "values": dict(values)}, None)


def _store(entry: Entry, command: str | None) -> None:
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    entry |= {"command": command or _command(), "commit": _commit(), "date": day}
    entries = read()
    places = [i for i, old in enumerate(entries) if (old["table"], old["row"]) == (entry["table"], entry["row"])]
    if places:
        entries[places[0]] = entry
    else:
        entries.append(entry)
    write(entries)


def read(path: Path | None = None) -> list[Entry]:
    """Return the entries of a record, by default of the project's own."""
    return list(json.loads((path or RECORD).read_text(encoding="utf-8")))


def write(entries: Sequence[Entry], path: Path | None = None) -> None:
    """Write a record, one entry a line, the tables in the order of `TABLES`."""
    ordered = sorted(entries, key=lambda entry: list(TABLES).index(entry["table"]))
    (path or RECORD).write_text(
        "[\n" + ",\n".join(json.dumps(e, ensure_ascii=False) for e in ordered) + "\n]\n", encoding="utf-8"
    )


def _command() -> str:
    """Return the running command, absolute paths by their last part."""
    program, *arguments = sys.argv
    short = [Path(text).name if Path(text).is_absolute() else text for text in arguments]
    return shlex.join(["python", f"benchmarks/{Path(program).name}", *short])


def _commit() -> str:
    """Return the commit of the sources, with `+` if they differ from it (the record itself aside)."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()

    own = [":!benchmarks/results.json", ":!docs/results-tables.md", ":!README.md"]
    return git("rev-parse", "--short=7", "HEAD") + (
        "+" if git("status", "--porcelain", "-uno", "--", ".", *own) else ""
    )


def met(entry: Entry) -> bool:
    """Return whether a figure keeps its bound; one without a bound does."""
    value = entry["values"]["value"]
    return bool(value <= entry.get("at_most", value) and value >= entry.get("at_least", value))


def render(entries: Sequence[Entry]) -> str:
    """Return the page with every table."""
    parts = [
        "# Measured results\n",
        "Rendered from `benchmarks/results.json` by `python benchmarks/results.py`, which `make bench` runs. "
        "Do not edit this page.\n",
        "Each table names the commands, with the commit and the day. Entries older than `results.json` name the commit "
        "that wrote them down. Read [results.md](results.md) first.\n",
    ]
    for key, table in TABLES.items():
        rows = [entry for entry in entries if entry["table"] == key]
        if not rows:
            continue
        parts += [
            f"## {table.title}\n",
            f"{table.text}\n",
            _figures(rows, key) if key in (FIGURES, SILICON) else _rows(rows),
        ]
    return "\n".join(parts)


def _figures(rows: Sequence[Entry], table: str) -> str:
    commands = list(dict.fromkeys(entry["command"] for entry in rows))
    columns = ["figure", *(["before"] if table == SILICON else []), "bound", "measured", "command", "commit"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for entry in rows:
        mark = "" if met(entry) else " **missed**"
        where = f"[{commands.index(entry['command']) + 1}]"
        before = [_before(entry)] if table == SILICON else []
        measured = _with_unit(entry) + mark
        cells = [entry["row"], *before, _bound(entry), measured, where, f"{entry['commit']}, {entry['date']}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *(f"{n}. `{command}`" for n, command in enumerate(commands, 1)), ""])


def _before(entry: Entry) -> str:
    before = entry.get("before", "")
    return before if isinstance(before, str) else f"{_text(before)} {entry['unit']}".strip()


def _bound(entry: Entry) -> str:
    signs = (("at_most", "≤"), ("at_least", "≥"))
    return " ".join(f"{sign} {_text(entry[key])} {entry['unit']}".strip() for key, sign in signs if key in entry)


def _with_unit(entry: Entry) -> str:
    return f"{_text(entry['values']['value'])} {entry['unit']}".strip()


def _rows(rows: Sequence[Entry]) -> str:
    columns = list(dict.fromkeys(column for entry in rows for column in entry["values"]))
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for entry in rows:
        cells = (_text(entry["values"].get(column, ""), column) for column in columns)
        lines.append(f"| {entry['row']} | {' | '.join(cells)} |")
    states: dict[str, dict[str, None]] = {}
    for entry in rows:
        states.setdefault(entry["command"], {})[f"{entry['commit']}, {entry['date']}"] = None
    sources = (f"- `{command}` ({'; '.join(found)})" for command, found in states.items())
    return "\n".join([*lines, "", "Measured with:", "", *sources, ""])


def _text(value: Value, column: str = "") -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.2f}" if isinstance(value, float) and column.endswith("%") else f"{value:,}"


def render_readme(entries: Sequence[Entry], text: str) -> str:
    """Return README.md with its table of results between the markers written anew."""
    figures = {entry["row"]: entry for entry in entries if entry["table"] in (FIGURES, SILICON)}
    lines = ["| figure | measured | bound | compared with |", "|---|---|---|---|"]
    for name, peer in README_ROWS.items():
        mark = "" if met(figures[name]) else " **missed**"
        lines.append(f"| {name} | {_with_unit(figures[name])}{mark} | {_bound(figures[name])} | {peer} |")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}"


def render_pages() -> None:
    """Write the page of tables, and the table in README.md."""
    entries = read()
    PAGE.write_text(render(entries), encoding="utf-8")
    README.write_text(render_readme(entries, README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    render_pages()
