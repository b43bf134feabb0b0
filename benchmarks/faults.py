"""Random faults on every level: each must turn the comparison red, or be shown to be unobservable.

    python benchmarks/faults.py PROJECT [--unit high] [--faults 100] [--levels program,hls,rtl] [--work FOLDER]

PROJECT is what `toolflow build` made; its own images are used.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from benchmarks.results import add_record_option, record_row
from rtl_sim.faults import KINDS, campaign, draw_faults
from rtl_sim.levels import engine_level
from rtl_sim.simulate.executors import SimulationExecutor
from rtl_sim.simulate.job import RunOptions
from toolflow.flow.graphs import Images
from toolflow.flow.project import open_project
from toolflow.ir.unit import UnitName
from toolflow.plan.lower.lower import compile_program

RUN_IMAGES, MORE_IMAGES = 16, 1000
LIMIT_CYCLES = 2_000_000  # a fault may ask for a walk of billions of steps; that counts as red


def main() -> None:
    """Print a table per level and every fault that stayed green."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("--unit", type=UnitName, default=UnitName.HIGH)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--levels", default="program,hls,rtl")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("build/faults"))
    add_record_option(parser)
    arguments = parser.parse_args()
    project = open_project(arguments.project)
    unit = project.unit(arguments.unit)
    images = project.vectors().images[:RUN_IMAGES]
    more = Images.read(project.folder).images[:MORE_IMAGES]
    faults = draw_faults(compile_program(unit.graph, unit.config, unit.rule), arguments.faults, arguments.seed)
    print(f"{len(faults)} faults, {len(images)} images; green ones judged by the executor on {len(more)} images")
    for name in arguments.levels.split(","):
        options = RunOptions(seed=3, stall_probability=0.1, limit_cycles=LIMIT_CYCLES, watchdog_cycles=20_000)
        executor = engine_level(name).executor(project.folder, unit.engine, arguments.work, options)
        if isinstance(executor, SimulationExecutor):
            executor.faults_end_it = True
        outcomes = campaign(unit, executor, images, faults, more)
        red = Counter(o.fault.kind for o in outcomes if o.red)
        hidden = [o for o in outcomes if not o.red and o.unobservable]
        missed = [o for o in outcomes if not o.red and not o.unobservable]
        print(
            f"\n{name}: {sum(red.values())} red, {len(hidden)} unobservable, {len(missed)} seen on further images only"
        )
        if arguments.record:
            amounts = {
                "red": sum(red.values()),
                "unobservable": len(hidden),
                "seen on further images only": len(missed),
            }
            record_row("faults", f"{unit.graph.name}, {unit.name} unit: {name}", amounts)
        print("  red by kind: " + ", ".join(f"{kind} {red[kind]}" for kind in KINDS))
        for title, group in (("unobservable", hidden), ("seen on further images only", missed)):
            for outcome in group:
                print(f"  {title}: {outcome.fault.kind}: {outcome.fault.place}")


if __name__ == "__main__":
    main()
