"""The toolflow in Python: what importing it loads, and the values that it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import toolflow.flow
from toolflow.flow import AUTO, Finetuning, Precision, Request, Source, build
from toolflow.ir.errors import ToolflowError

SOURCE = Source("model.onnx", Path("images.npz"))
PRUNED = Source("model.onnx", Path("images.npz"), pruned=Path("pruned.safetensors"))


def _loaded(script: str) -> list[str]:
    """Return which of the heavy packages a script loads."""
    code = f"{script}\nimport sys\nprint(sorted({{'torch', 'brevitas', 'typer', 'rich', 'numpy'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found: list[str] = json.loads(done.stdout.splitlines()[-1].replace("'", '"'))
    return found


def test_importing_the_flow_loads_neither_torch_nor_the_command_line() -> None:
    assert _loaded("import toolflow.flow") == []
    every = "import toolflow.flow as flow\nfor name in dir(flow): getattr(flow, name)"
    assert _loaded(every) == ["numpy"]


def test_the_names_of_the_api_are_listed() -> None:
    assert {"Request", "build", "estimate", "prune", "quantise", "verify"} <= set(dir(toolflow.flow))


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match=r"module 'toolflow\.flow' has no attribute 'quantize'"):
        _ = toolflow.flow.quantize


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tolerance": 1.0}, "the tolerance must lie between 0 and 1"),
        ({"engine": {"slots": 2}}, "--engine must come with --board"),
        ({"search_loss": 0.1}, "--search-loss must come with a search"),
        ({"search_loss": 2.0, "precision": Precision(tile=AUTO)}, "--search-loss must be from 0 to 1, not 2.0"),
        ({"precision": Precision(low_bits=1)}, "weight_bits: Input should be greater than or equal to 2, not 1"),
        ({"precision": Precision(tile=3)}, "tile: Input should be 0, 2 or 4, not 3"),
        ({"source": PRUNED, "precision": Precision(tile=AUTO)}, "--tile auto must not be given with --pruned"),
    ],
)
def test_wrong_values_are_refused_when_the_request_is_made(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolflowError, match=message):
        Request(**{"source": SOURCE, **values})


def test_wrong_values_of_a_training_are_refused() -> None:
    with pytest.raises(ToolflowError, match="fine-tuning must have 1 epoch or more"):
        Finetuning(Path("x.npz"), epochs=0)


def test_a_build_needs_a_board(tmp_path: Path) -> None:
    with pytest.raises(ToolflowError, match="a board must be given to build for"):
        build(Request(SOURCE), tmp_path / "out")
    assert not (tmp_path / "out").exists()
