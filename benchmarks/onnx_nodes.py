"""Import the standard's example of every ONNX operator, and compare what imports with the expected output.

    python benchmarks/onnx_nodes.py [--record]

The examples are those of `onnx.backend.test`. The float graph is run, as imported and simplified, in float64.
"""

from __future__ import annotations

import argparse
import logging
import re
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

from benchmarks.results import add_record_option, record, record_row
from tests.oracles.onnx_nodes import Outcome, examples, outcome
from toolflow.importers.onnx.operators import OPERATORS

TABLE = "onnx_nodes"
SHOWN = 4  # reasons in a row


def main() -> None:
    """Print a row for each operator that imports, and one for all others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_record_option(parser)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    found: dict[str, list[Outcome]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for example in examples():
            found[example.operator].append(outcome(example, Path(folder)))
    for operator in sorted(OPERATORS.keys() & found.keys()):
        row = _row(found[operator])
        print(operator, row)
        if arguments.record:
            record_row(TABLE, operator, row)
    others = [each for operator, outcomes in found.items() if operator not in OPERATORS for each in outcomes]
    print(len(found.keys() - OPERATORS.keys()), "other operators", _row(others))
    differ = sum(each.imports and bool(each.reason) for outcomes in found.values() for each in outcomes)
    imported = sum(each.imports for outcomes in found.values() for each in outcomes)
    print(f"{imported} examples import, {differ} of them differ")
    if arguments.record:
        record_row(TABLE, f"{len(found.keys() - OPERATORS.keys())} other operators", _row(others))
        record(
            f"Examples of ONNX operators, {imported} that import: those that differ from the expected output",
            differ,
            at_most=0,
        )


def _row(outcomes: list[Outcome]) -> dict[str, int | str]:
    reasons = Counter(_short(each.reason) for each in outcomes if not each.imports)
    shown = [f"{reason} ({count})" for reason, count in reasons.most_common(SHOWN)]
    return {
        "examples": len(outcomes),
        "import": sum(each.imports for each in outcomes),
        "right": sum(each.imports and not each.reason for each in outcomes),
        "why the others do not import": "; ".join(shown) + ("; …" if len(reasons) > SHOWN else ""),
    }


def _short(reason: str) -> str:
    """Return a reason without the names of nodes and the list of what is handled."""
    named = re.match(r"(?P<operator>\S+) '[^']*': (?P<rest>.*?) is not handled", reason, flags=re.DOTALL)
    if named is None:
        return re.sub(r"'[^']*'", "…", reason).partition(";")[0].replace("|", "/")
    rest = named["rest"].replace("|", "/")
    return f"operator {named['operator']}" if rest == "the operator" else rest


if __name__ == "__main__":
    main()
