"""All conformance cases, under "operator/case", and those of one engine; every module here has those of an operator.

They are not in the operators' folders because they build networks with `casebook`, which only tests need.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from tests.conformance.casebook import Case
from tests.conformance.sweep import sweep
from toolflow.engine.config import EngineConfig

ALL_CASES: dict[str, Case] = {
    f"{operator}/{case.name}": case
    for operator in sorted(module.name for module in iter_modules(__path__))
    for case in import_module(f"{__name__}.{operator}").CASES
}


def cases_of(config: EngineConfig) -> dict[str, Case]:
    """Return the cases that an engine has the units for, and the sweep of its modes and patterns."""
    return {name: case for name, case in ALL_CASES.items() if case.tile <= config.tile} | sweep_of(config)


def sweep_of(config: EngineConfig) -> dict[str, Case]:
    """Return the networks that sweep modes, patterns and widths of weights on an engine."""
    return {f"winograd/{case.name}": case for case in sweep(config.sub_row, config.tile)}
