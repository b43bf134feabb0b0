"""The jobs that run networks, on an engine of the campaign or on an engine that the planner chooses."""

from __future__ import annotations

import json
import traceback
from dataclasses import replace
from functools import cache
from pathlib import Path

from fuzz.campaign import Campaign, Job
from fuzz.case import Case, draw_case, draw_planned_case
from fuzz.engines import Builds, draw_engines
from fuzz.levels import DifferenceError, Progress, refusal_lacks, run_case
from fuzz.minimise import minimise
from fuzz.notebook import DEFECT, DIFFERENCE, EQUAL, FINDS, REFUSED, UNHELPFUL, Entry, kind_of
from rtl_sim.simulate.job import SimulationError
from toolflow.engine.config import EngineConfig
from toolflow.ir.errors import ToolflowError
from toolflow.plan.boards.board import all_boards

TRACE_LINES = 6


@cache
def _engines(seed: int, count: int) -> list[EngineConfig]:
    return draw_engines(seed, count)


def case_of(campaign: Campaign, job: Job) -> Case:
    """Return the case of a job."""
    rng = campaign.random(job.kind, job.number)
    if job.kind == "planned":
        return draw_planned_case(rng, tuple(sorted(all_boards())))
    engine = _engines(campaign.seed, campaign.engines)[job.number % campaign.engines]
    return draw_case(rng, engine, campaign.on_rtl(job.number))


def run_network(campaign: Campaign, job: Job) -> Entry:
    """Draw a job's case and run it; a find is minimised and kept."""
    case, builds = case_of(campaign, job), Builds(campaign.out / "engines")
    entry = judge(case, job, builds)
    if entry.outcome in FINDS:
        smallest = minimise(case, lambda smaller: alike(judge(smaller, job, builds), entry))
        keep(smallest, entry, campaign.keep / f"{job.kind}-{campaign.seed}-{job.number}.json")
    return entry


def keep(case: Case, entry: Entry, path: Path) -> None:
    """Write a case as a regression: `tests/end_to_end/test_fuzz.py` runs all files in `tests/regressions`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"outcome": entry.outcome, "stage": entry.stage, "text": entry.text, "case": case.as_json()}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def judge(case: Case, job: Job, builds: Builds) -> Entry:
    """Run a case and return the result."""
    progress = Progress()
    try:
        run_case(case, builds, progress)
        entry = Entry(job.kind, job.number, EQUAL, "end")
    except (DifferenceError, SimulationError) as error:  # SimulationError: the design hangs or breaks a protocol
        entry = Entry(job.kind, job.number, DIFFERENCE, progress.stage, str(error))
    except ToolflowError as error:
        lacks = refusal_lacks(error, case)
        text = f"{error}" + (f"\n  {lacks}" if lacks else "")
        entry = Entry(job.kind, job.number, UNHELPFUL if lacks else REFUSED, progress.stage, text)
    except Exception as error:
        entry = _unexpected(job, progress.stage, error)
    engine = "" if case.engine is None else f"{EngineConfig.model_validate(case.engine).signature:016x}"
    return replace(
        entry,
        levels=tuple(progress.equal),
        seconds=progress.seconds,
        engine=engine,
        relative_error=progress.relative_error,
    )


def _unexpected(job: Job, stage: str, error: BaseException) -> Entry:
    """Return the entry of an unexpected error."""
    lines = traceback.format_exception(error)[-TRACE_LINES:]
    return Entry(job.kind, job.number, DEFECT, stage, "".join(lines).strip())


def alike(one: Entry, other: Entry) -> bool:
    """Return whether two entries are the same failure: equal outcome, stage, and text without numbers and names."""
    return (one.outcome, one.stage, kind_of(one.text)) == (other.outcome, other.stage, kind_of(other.text))
