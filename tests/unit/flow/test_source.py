"""A finished stage is reused only while its source gives the same model."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from toolflow.flow import SILENT, Pattern, Progress, PruneRequest, Source, prune

SELF_LOADING = """
import torch
from torch import nn

def net():
    module = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 3))
    module.load_state_dict(torch.load("{weights}"))
    module.input_shape = (2, 8, 8)
    return module
"""
ONES = """
from torch import nn

def net():
    module = nn.Conv2d(1, {channels}, 1)
    nn.init.ones_(module.weight)
    nn.init.zeros_(module.bias)
    module.input_shape = (1, 2, 2)
    return module
"""


class Notes:
    """Events that keep the notes, and the names of the work that is shown."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.shown: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)

    def progress(self, what: str, total: int | None = None) -> AbstractContextManager[Progress]:
        self.shown.append(what)
        return SILENT.progress(what, total)


def _save_weights(path: Path, seed: int) -> None:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 3))
    torch.save(net.state_dict(), path)


def test_a_run_is_reused_until_the_factory_loads_other_weights(tmp_path: Path) -> None:
    """The toolflow does not know this file. One request object is used twice, as in a notebook."""
    weights = tmp_path / "tiny.pt"
    _save_weights(weights, 1)
    (tmp_path / "net.py").write_text(SELF_LOADING.format(weights=weights))
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).integers(0, 256, (40, 8, 8, 2), dtype=np.uint8))
    request = PruneRequest(Source(f"{tmp_path / 'net.py'}:net", tmp_path / "x.npz"), Pattern(1, 2), 0)

    def reused() -> list[str]:
        events = Notes()
        prune(request, tmp_path / "out", events)
        assert events.shown[0] == f"import {tmp_path / 'net.py'}:net", "shown, also if every stage is reused"
        return [text for text in events.said if "reused" in text]

    both = ["measure: unchanged, reused", "prune: unchanged, reused"]
    assert [reused(), reused()] == [[], both]
    pruned = (tmp_path / "out" / "pruned.safetensors").read_bytes()
    _save_weights(weights, 2)
    assert reused() == []
    assert (tmp_path / "out" / "pruned.safetensors").read_bytes() != pruned
    assert reused() == both


def _file(folder: Path, channels: int) -> str:
    (folder / "net.py").write_text(ONES.format(channels=channels))
    return f"{folder / 'net.py'}:net"


def _package(folder: Path, channels: int) -> str:
    (folder / "made_for_reuse.py").write_text(ONES.format(channels=channels) + f"# {'x' * channels}\n")
    module = importlib.import_module("made_for_reuse")
    importlib.reload(module)
    return "made_for_reuse:net"


def _external(folder: Path, channels: int) -> str:
    weight = numpy_helper.from_array(np.full((2, 1, 1, 1), channels, np.float32), "w")
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, count, 2, 2)) for name, count in (("x", 1), ("y", 2))
    )
    graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"])], "g", [x], [y], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    path, data = folder / "net.onnx", folder / "net.data"
    data.unlink(missing_ok=True)
    onnx.save_model(model, path, save_as_external_data=True, location=data.name, size_threshold=0)
    return str(path)


@pytest.mark.parametrize("write", [_file, _package, _external])
def test_the_fingerprint_is_of_what_the_source_gives(
    write: Callable[[Path, int], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    source = Source(write(tmp_path, 2), tmp_path / "x.npz")
    first = source.inputs()
    assert source.anew().inputs() == first
    write(tmp_path, 3)
    assert source.anew().inputs() != first
    write(tmp_path, 2)
    assert source.anew().inputs() == first
