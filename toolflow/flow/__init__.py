"""The Python API of the toolflow: build, verify, estimate, compress and the other commands as functions.

    from pathlib import Path
    from toolflow.flow import Precision, Request, Source, build

    source = Source("resnet20.onnx", Path("cifar.npz"))
    summary = build(Request(source, Precision(low_bits=3), board="zcu104"), Path("build/resnet20"))

Importing this package loads nothing else; each name is loaded when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolflow.flow.compression import CompressRequest as CompressRequest
    from toolflow.flow.events import SILENT as SILENT
    from toolflow.flow.events import Events as Events
    from toolflow.flow.events import Progress as Progress
    from toolflow.flow.exploration import ExploreRequest as ExploreRequest
    from toolflow.flow.finetuning import Finetuning as Finetuning
    from toolflow.flow.precision import AUTO as AUTO
    from toolflow.flow.precision import Precision as Precision
    from toolflow.flow.pruning import PruneRequest as PruneRequest
    from toolflow.flow.request import Request as Request
    from toolflow.flow.request import Units as Units
    from toolflow.flow.runs.build import build as build
    from toolflow.flow.runs.check import ModelCheck as ModelCheck
    from toolflow.flow.runs.check import check as check
    from toolflow.flow.runs.compare_boards import BoardSpeed as BoardSpeed
    from toolflow.flow.runs.compare_boards import compare_boards as compare_boards
    from toolflow.flow.runs.compress import compress as compress
    from toolflow.flow.runs.estimate import estimate as estimate
    from toolflow.flow.runs.explore import Exploration as Exploration
    from toolflow.flow.runs.explore import explore as explore
    from toolflow.flow.runs.prune import prune as prune
    from toolflow.flow.runs.quantise import Quantised as Quantised
    from toolflow.flow.runs.quantise import quantise as quantise
    from toolflow.flow.runs.report import report as report
    from toolflow.flow.runs.verify import Verification as Verification
    from toolflow.flow.runs.verify import verify as verify
    from toolflow.flow.source import Source as Source
    from toolflow.ir.errors import DoesNotFitError as DoesNotFitError
    from toolflow.ir.errors import NotRunError as NotRunError
    from toolflow.ir.errors import ToolflowError as ToolflowError
    from toolflow.ir.errors import VerificationError as VerificationError
    from toolflow.numerics.srbs import Pattern as Pattern
    from toolflow.plan.explore.objective import Objective as Objective

_HOMES = {
    "check": "toolflow.flow.runs.check",
    "build": "toolflow.flow.runs.build",
    "quantise": "toolflow.flow.runs.quantise",
    "prune": "toolflow.flow.runs.prune",
    "compress": "toolflow.flow.runs.compress",
    "verify": "toolflow.flow.runs.verify",
    "estimate": "toolflow.flow.runs.estimate",
    "explore": "toolflow.flow.runs.explore",
    "Exploration": "toolflow.flow.runs.explore",
    "ExploreRequest": "toolflow.flow.exploration",
    "compare_boards": "toolflow.flow.runs.compare_boards",
    "BoardSpeed": "toolflow.flow.runs.compare_boards",
    "report": "toolflow.flow.runs.report",
    "ModelCheck": "toolflow.flow.runs.check",
    "Quantised": "toolflow.flow.runs.quantise",
    "Verification": "toolflow.flow.runs.verify",
    "Request": "toolflow.flow.request",
    "PruneRequest": "toolflow.flow.pruning",
    "CompressRequest": "toolflow.flow.compression",
    "Units": "toolflow.flow.request",
    "Source": "toolflow.flow.source",
    "Precision": "toolflow.flow.precision",
    "AUTO": "toolflow.flow.precision",
    "Pattern": "toolflow.numerics.srbs",
    "Objective": "toolflow.plan.explore.objective",
    "Finetuning": "toolflow.flow.finetuning",
    "Events": "toolflow.flow.events",
    "Progress": "toolflow.flow.events",
    "SILENT": "toolflow.flow.events",
    "ToolflowError": "toolflow.ir.errors",
    "DoesNotFitError": "toolflow.ir.errors",
    "VerificationError": "toolflow.ir.errors",
    "NotRunError": "toolflow.ir.errors",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
