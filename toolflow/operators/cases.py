"""All conformance cases, under "operator/case", and those of one engine."""

from __future__ import annotations

from toolflow.engine.config import EngineConfig
from toolflow.operators.add.cases import CASES as ADD
from toolflow.operators.avg_pool.cases import CASES as AVG_POOL
from toolflow.operators.casebook import Case
from toolflow.operators.concat.cases import CASES as CONCAT
from toolflow.operators.conv.cases import CASES as CONV
from toolflow.operators.linear.cases import CASES as LINEAR
from toolflow.operators.max_pool.cases import CASES as MAX_POOL
from toolflow.operators.winograd.cases import CASES as WINOGRAD
from toolflow.operators.winograd.sweep import sweep

ALL_CASES: dict[str, Case] = {
    f"{operator}/{case.name}": case
    for operator, cases in (
        ("add", ADD),
        ("avg_pool", AVG_POOL),
        ("concat", CONCAT),
        ("conv", CONV),
        ("linear", LINEAR),
        ("max_pool", MAX_POOL),
        ("winograd", WINOGRAD),
    )
    for case in cases
}


def cases_of(config: EngineConfig) -> dict[str, Case]:
    """Return the cases that an engine has the units for, and the sweep of its modes and patterns."""
    return {name: case for name, case in ALL_CASES.items() if case.tile <= config.tile} | sweep_of(config)


def sweep_of(config: EngineConfig) -> dict[str, Case]:
    """Return the networks that sweep modes, patterns and widths of weights on an engine."""
    return {f"winograd/{case.name}": case for case in sweep(config.sub_row, config.tile)}
