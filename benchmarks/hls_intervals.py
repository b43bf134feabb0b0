"""The initiation intervals of the emitted C++'s loops, of an engine without and one with tiles, by the IR's analysis.

    python benchmarks/hls_intervals.py [--record]

No vendor's tool has confirmed them. What was before are the same analysis' intervals of an earlier library, whose drain
stored to the banks before the array's words were read.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.results import SILICON, add_record_option, record
from toolflow.emit.cxx import parse_unit
from toolflow.emit.hls import emit_hls, top_function
from toolflow.emit.ii.analyse import Interval, analyse_unit
from toolflow.emit.ii.delays import XC7, XCUP, budget_ns
from toolflow.engine.config import EngineConfig

ENGINES = {
    "direct": EngineConfig(lanes_k=16, lanes_p=4),
    "tile 4": EngineConfig(lanes_k=6, lanes_p=2, slots=2, drain_k=2, transform_cycles=2, tile=4, weight_bits=10),
}
DEVICES = {"7 series -1": (XC7, 100.0), "UltraScale+": (XCUP, 200.0)}
# by engine and device: the interval of CONV and the longest one of the other loops, before
BEFORE = {
    ("direct", "7 series -1"): (14, 4),
    ("direct", "UltraScale+"): (10, 3),
    ("tile 4", "7 series -1"): (9, 4),
    ("tile 4", "UltraScale+"): (7, 3),
}
CONV = "convolve_group"


def main() -> None:
    """Print every loop's interval and chain, and record the longest ones if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_record_option(parser)
    arguments = parser.parse_args()
    for (engine, device), (before_conv, before_others) in BEFORE.items():
        delays, clock_mhz = DEVICES[device]
        with tempfile.TemporaryDirectory() as folder:
            emit_hls(ENGINES[engine], "single", Path(folder))
            unit = parse_unit(Path(folder) / f"{top_function('single')}.cpp")
            loops = [loop for loop in analyse_unit(unit, delays, clock_mhz) if loop.wanted]
        print(f"{engine}, {device}, {clock_mhz:g} MHz, {budget_ns(clock_mhz):.2f} ns for a chain:")
        print(*(f"  {loop.function}:{loop.line}: II = {loop.found}, {loop.chain_ns} ns" for loop in loops), sep="\n")
        if arguments.record:
            name = f"HLS, {engine}, {device} at {clock_mhz:g} MHz: interval of"
            conv = [loop for loop in loops if loop.function == CONV]
            others = [loop for loop in loops if loop.function != CONV]
            record(f"{name} CONV", _longest(conv), at_most=1, before=before_conv, table=SILICON)
            record(f"{name} the other loops", _longest(others), at_most=1, before=before_others, table=SILICON)


def _longest(loops: list[Interval]) -> int:
    return max(loop.found for loop in loops)


if __name__ == "__main__":
    main()
