"""The state of a training run on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from toolflow.ir.errors import ToolflowError


@dataclass(frozen=True)
class Checkpoint:
    """The file that keeps the state after each epoch.

    Attributes:
        path: the file.
        origin: fingerprint of all inputs of the run; a state with another origin is not used.
    """

    path: Path
    origin: str

    def write(self, state: Mapping[str, Any]) -> None:
        """Replace the file in one step."""
        partial = self.path.with_name(f"{self.path.name}.partial")
        torch.save({"origin": self.origin, **state}, partial)
        partial.replace(self.path)

    def read(self) -> dict[str, Any] | None:
        """Return the state, or None if there is none with this origin."""
        if not self.path.is_file():
            return None
        try:
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises what its readers raise
            raise ToolflowError(f"{self.path} cannot be read ({error}): delete it to train from the start") from error
        return state if state.get("origin") == self.origin else None
