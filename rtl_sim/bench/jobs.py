"""cocotb side of `cascade_bench.sv`: posts jobs, waits for their end, and writes down what the bench counted.

Runs inside the simulator. `CASCADE_JOBS` names a JSON file with a list of {signal: value}; the answers, one
{signal: value} a job, go to `CASCADE_OUTCOMES`. Python runs once per job, never per clock cycle.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import cast

import cocotb
from cocotb.handle import HierarchyObject, LogicArrayObject
from cocotb.triggers import ReadOnly, Timer, ValueChange

OUTCOME_SIGNALS = (
    "ending",
    "error_code",
    "error_valid",
    "cycles_reported",
    "cycles_seen",
    "weight_stalls",
    "signature",
    "violations",
    "reset_in_flight",
    "read_beats_0",
    "read_beats_1",
    "written_beats",
    "outside_reads_0",
    "outside_reads_1",
    "outside_writes",
    "outside_address",
    "retired",
    "channels",
)
ENDING_DONE = 0


@cocotb.test()
async def run_jobs(bench: HierarchyObject) -> None:
    """Run every job; stop after the first that does not end by itself."""

    def signal(name: str) -> LogicArrayObject:
        return cast(LogicArrayObject, bench[name])

    jobs: list[dict[str, int]] = json.loads(Path(os.environ["CASCADE_JOBS"]).read_text())
    outcomes = Path(os.environ["CASCADE_OUTCOMES"])
    answers: list[dict[str, int]] = []
    for number, job in enumerate(jobs, start=1):
        await Timer(1, "ns")
        for name, value in job.items():
            signal(name).value = value
        signal("request").value = number
        await ValueChange(signal("served"))
        await ReadOnly()
        answers.append({name: int(signal(name).value) for name in OUTCOME_SIGNALS})
        outcomes.write_text(json.dumps(answers))
        if answers[-1]["ending"] != ENDING_DONE:
            break
