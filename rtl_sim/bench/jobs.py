"""cocotb side of `cascade_bench.sv`: posts jobs, waits for their end, and writes down what the bench counted.

Runs inside the simulator. `CASCADE_JOBS` names a JSON file with a list of {signal: value}; the answers, one
{signal: value} a job, go to `CASCADE_OUTCOMES`. Python runs once per job, never per clock cycle.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import cocotb
from cocotb.handle import HierarchyObject
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
    jobs: list[dict[str, int]] = json.loads(Path(os.environ["CASCADE_JOBS"]).read_text())
    outcomes = Path(os.environ["CASCADE_OUTCOMES"])
    answers: list[dict[str, int]] = []
    for number, job in enumerate(jobs, start=1):
        await Timer(1, "ns")
        for signal, value in job.items():
            getattr(bench, signal).value = value
        bench.request.value = number
        await ValueChange(bench.served)
        await ReadOnly()
        answers.append({signal: int(getattr(bench, signal).value) for signal in OUTCOME_SIGNALS})
        outcomes.write_text(json.dumps(answers))
        if answers[-1]["ending"] != ENDING_DONE:
            break
