"""The engine parameters that a caller may fix, by the names of `EngineConfig`'s fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from toolflow.engine.config import EngineConfig
from toolflow.flow.values import refused
from toolflow.ir.errors import ToolflowError

ENGINE_FIELDS: Mapping[str, object] = {
    name: field.annotation
    for name, field in EngineConfig.model_fields.items()
    # other units follow from the network, and no plan has programs of two precisions
    if (field.annotation is not bool or name == "stripes") and name != "narrow_bits"
}


def is_whole_field(name: str) -> bool:
    """Return whether an engine parameter is a whole number, not a word."""
    kind = ENGINE_FIELDS[name]
    return kind is not bool and all(isinstance(value, int) for value in get_args(kind))


def require_engine_field(name: object) -> None:
    """Require the name of an engine parameter."""
    if name not in ENGINE_FIELDS:
        raise ToolflowError(f"--engine: a name must be one of {', '.join(ENGINE_FIELDS)}, not '{name}'")


def require_engine(engine: object) -> None:
    """Require engine parameters by name; their ranges are checked where a configuration is made of them."""
    if not isinstance(engine, Mapping):
        raise refused("--engine", "a mapping of parameters to values", engine)
    for name, value in engine.items():
        require_engine_field(name)
        if is_whole_field(name) and (not isinstance(value, int) or isinstance(value, bool)):
            raise refused(f"--engine: {name}", "a whole number", value)
