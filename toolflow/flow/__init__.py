"""The toolflow in Python: from a request to a project folder, as the command line does it.

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
    from toolflow.flow.events import SILENT as SILENT
    from toolflow.flow.events import Events as Events
    from toolflow.flow.events import Progress as Progress
    from toolflow.flow.finetuning import Finetuning as Finetuning
    from toolflow.flow.precision import AUTO as AUTO
    from toolflow.flow.precision import Precision as Precision
    from toolflow.flow.request import Request as Request
    from toolflow.flow.request import Units as Units
    from toolflow.flow.runs.build import build as build
    from toolflow.flow.runs.estimate import estimate as estimate
    from toolflow.flow.runs.quantise import Quantised as Quantised
    from toolflow.flow.runs.quantise import quantise as quantise
    from toolflow.flow.runs.verify import Verification as Verification
    from toolflow.flow.runs.verify import verify as verify
    from toolflow.flow.source import Source as Source

_HOMES = {
    "Request": "request",
    "Units": "request",
    "Source": "source",
    "Precision": "precision",
    "AUTO": "precision",
    "Finetuning": "finetuning",
    "Events": "events",
    "Progress": "events",
    "SILENT": "events",
    "build": "runs.build",
    "quantise": "runs.quantise",
    "Quantised": "runs.quantise",
    "estimate": "runs.estimate",
    "verify": "runs.verify",
    "Verification": "runs.verify",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
