"""The longest path by the timing estimate of an engine without and one with tiles, on 7 series -1 and UltraScale+ -2.

    python benchmarks/worst_paths.py [--only xc7 xcup] [--record]

Each engine is synthesised as a whole, which takes minutes; netlists are kept in the user's cache by the hash of their
sources. Levels of logic are exact for the netlist, nanoseconds are a model (±30 %).
"""

from __future__ import annotations

import argparse
from itertools import islice

from benchmarks.clock import RECORDED
from benchmarks.results import SILICON, add_record_option, record
from rtl_sim.timing.paths import TimingGraph
from rtl_sim.timing.report import distinct_paths, path_line
from rtl_sim.timing.synthesis import unit_netlist
from toolflow.engine.config import EngineConfig
from toolflow.plan.clock.delays import part_delays

ENGINES = {"8 x 4 x 1": "8 × 4 × 1, no tile", "8 x 2 x 1 tile 2": "8 × 2 × 1, tile 2"}
PARTS = {"xc7": ("xc7z020clg400-1", "xc7z020-1"), "xcup": ("xczu7ev-ffvc1156-2-e", "UltraScale+ -2")}
# by family and engine: the longest path before and the most that it may be, both in ns
FIGURES = {
    ("xc7", "8 x 4 x 1"): (17.2, 8.5),
    ("xc7", "8 x 2 x 1 tile 2"): (15.9, 9.5),
    ("xcup", "8 x 4 x 1"): (8.8, 4.3),
    ("xcup", "8 x 2 x 1 tile 2"): (8.3, 4.8),
}
SHOWN = 8  # paths of each engine


def main() -> None:
    """Print the paths, and record the longest ones if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    add_record_option(parser)
    arguments = parser.parse_args()
    for (family, engine), (before, most) in FIGURES.items():
        if family not in arguments.only:
            continue
        part, shown = PARTS[family]
        netlist = unit_netlist(EngineConfig.model_validate(RECORDED[engine]), family)
        found = list(islice(distinct_paths(TimingGraph(netlist, part_delays(family, part))), SHOWN))
        print(f"{ENGINES[engine]}, {shown}", *map(path_line, found), sep="\n  ", flush=True)
        if arguments.record:
            name = f"Longest path, {shown}, {ENGINES[engine]}"
            record(name, round(found[0].path.delay_ns, 2), "ns", at_most=most, before=before, table=SILICON)


if __name__ == "__main__":
    main()
