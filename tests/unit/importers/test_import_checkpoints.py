"""Checkpoints in every form that training scripts write, and files that are no checkpoints."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from toolflow.importers.load import load_model
from toolflow.ir.errors import ToolflowError

FACTORY = """
from torch import nn
class Net(nn.Module):
    input_shape = (3, 4, 4)
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.bn = nn.BatchNorm2d(2)
    def forward(self, x):
        return self.bn(self.conv(x))
def wrong(): return 3
def fails(): raise KeyError("inside")
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(FACTORY)
    return path


def state() -> dict[str, torch.Tensor]:
    return {
        "conv.weight": torch.arange(6.0).view(2, 3, 1, 1), "conv.bias": torch.zeros(2), "bn.weight": torch.ones(2),
        "bn.bias": torch.zeros(2), "bn.running_mean": torch.zeros(2), "bn.running_var": torch.ones(2),
    }  # fmt: skip


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state().items()}


def zeros() -> dict[str, torch.Tensor]:
    return {name: torch.zeros_like(tensor) for name, tensor in state().items()}


def momentum() -> dict[str, object]:
    """Return an optimiser's state dict: it also holds tensors, under numeric keys."""
    model = torch.nn.Conv2d(3, 2, 1)
    optimiser = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    model(torch.zeros(1, 3, 4, 4)).sum().backward()
    optimiser.step()
    return optimiser.state_dict()


SAVERS: dict[str, Callable[[Path], object]] = {
    "w.safetensors": lambda path: safetensors.torch.save_file(state(), path),
    "w.pt": lambda path: torch.save(state(), path),
    "nested.pth": lambda path: torch.save({"state_dict": state(), "epoch": 3}, path),
    "tutorial.pt": lambda path: torch.save(
        {"epoch": 3, "model_state_dict": state(), "optimizer_state_dict": momentum(), "loss": torch.tensor(0.2)}, path
    ),
    "model.pt": lambda path: torch.save({"model": prefixed("module._orig_mod."), "args": {"lr": 0.1}}, path),
    "net.pt": lambda path: torch.save({"net": state(), "acc": 93.1}, path),
    "lightning.ckpt": lambda path: torch.save({"state_dict": prefixed("model."), "hyper_parameters": {}}, path),
    "compiled.safetensors": lambda path: safetensors.torch.save_file(prefixed("_orig_mod."), path),
    "compiled_inside.pt": lambda path: torch.save(
        {name.replace(".", "._orig_mod.", 1): tensor for name, tensor in state().items()}, path
    ),
    "averaged.pt": lambda path: torch.save({"model_ema": zeros(), "model": state()}, path),
    "twice.pt": lambda path: torch.save({"last": state(), "best": state()}, path),
    "prepared.pt": lambda path: torch.save({**state(), "conv.activation_post_process.scale": torch.ones(1)}, path),
    "parallel.pt": lambda path: torch.save({f"module.{name}": tensor for name, tensor in state().items()}, path),
}


@pytest.mark.parametrize("name", SAVERS)
def test_state_dicts(net: Path, name: str) -> None:
    weights = net.parent / name
    SAVERS[name](weights)
    graph = load_model(f"{net}:Net", weights)
    np.testing.assert_array_equal(graph.nodes[0].weights["weight"].ravel(), np.arange(6))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("w.pt", []),
        ("tutorial.pt", ["the weights are checkpoint['model_state_dict'] in"]),
        ("model.pt", ["the weights are checkpoint['model'] without 'module._orig_mod.' before every name in"]),
        ("compiled.safetensors", ["the weights are the file without '_orig_mod.' before every name in"]),
        ("prepared.pt", ["holds beside the weights, and not used: conv.activation_post_process.scale"]),
        (
            "averaged.pt",
            [
                "holds other weights that fit the model too, which are not used: checkpoint['model_ema']",
                "the weights are checkpoint['model'] in",
            ],
        ),
    ],
)
def test_where_the_weights_were_found_is_said(
    net: Path, caplog: pytest.LogCaptureFixture, name: str, said: list[str]
) -> None:
    SAVERS[name](net.parent / name)
    load_model(f"{net}:Net", net.parent / name)
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("toolflow")]
    assert len(messages) == len(said)
    assert all(text in message for text, message in zip(said, messages, strict=True))


def test_of_two_sets_of_weights_none_is_guessed(net: Path) -> None:
    weights = net.parent / "two.pt"
    torch.save({"best": state(), "last": zeros()}, weights)
    with pytest.raises(ToolflowError, match=r"one set of weights for the model, not 2: checkpoint\['best'\], "):
        load_model(f"{net}:Net", weights)


@pytest.mark.parametrize(
    "checkpoint",
    [
        {"model": state(), "ema": {"state_dict": zeros()}},
        {"callbacks": {"EMA": {"state_dict": zeros()}}, "state_dict": state()},
        {"best": {"ema": zeros(), "net": state()}},
    ],
)
def test_of_two_sets_the_usual_one_is_taken(net: Path, checkpoint: object) -> None:
    weights = net.parent / "two.pt"
    torch.save(checkpoint, weights)
    np.testing.assert_array_equal(load_model(f"{net}:Net", weights).nodes[0].weights["weight"].ravel(), np.arange(6))


@pytest.mark.parametrize("other", ["teacher", "ema"])
def test_a_usual_name_within_another_is_no_reason(net: Path, other: str) -> None:
    weights = net.parent / "two.pt"
    torch.save({other: {"state_dict": zeros()}, "student": state()}, weights)
    with pytest.raises(
        ToolflowError, match=rf"not 2: checkpoint\['{other}'\]\['state_dict'\], checkpoint\['student'\]"
    ):
        load_model(f"{net}:Net", weights)


def test_weights_twice_under_one_name(net: Path) -> None:
    weights = net.parent / "w.pt"
    torch.save({**prefixed("_orig_mod."), **zeros()}, weights)
    with pytest.raises(ToolflowError, match=r"'_orig_mod.bn.bias' is not in the model"):
        load_model(f"{net}:Net", weights)


def quantised_weight() -> torch.Tensor:
    return torch.quantize_per_tensor(state()["conv.weight"], 0.1, 0, torch.qint8)


STORED: dict[str, tuple[Callable[[], torch.Tensor], str]] = {
    "integers": (lambda: state()["conv.weight"].to(torch.int8), "torch.int8 (torch.strided)"),
    "complex": (lambda: state()["conv.weight"].to(torch.complex64), "torch.complex64 (torch.strided)"),
    "quantised": (quantised_weight, "torch.qint8 (torch.strided)"),
    "sparse": (lambda: state()["conv.weight"].to_sparse(), "torch.float32 (torch.sparse_coo)"),
    "no data": (lambda: state()["conv.weight"].to("meta"), "torch.float32 (no data)"),
}


@pytest.mark.parametrize("kind", STORED)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_weights_that_are_no_plain_floats(net: Path, kind: str) -> None:
    weights, (made, said) = net.parent / "w.pt", STORED[kind]
    torch.save({**state(), "conv.weight": made()}, weights)
    text = f"'conv.weight' must hold floating-point numbers, each stored, not {said}"
    with pytest.raises(ToolflowError, match=re.escape(text)):
        load_model(f"{net}:Net", weights)


def test_the_nearest_names_are_shown(net: Path) -> None:
    weights = net.parent / "w.pt"
    renamed = {name.replace("bn.", "norm."): tensor for name, tensor in prefixed("module.").items()}
    torch.save({"epoch": 1, "state_dict": renamed}, weights)
    with pytest.raises(ToolflowError) as caught:
        load_model(f"{net}:Net", weights)
    head, *lines = str(caught.value).splitlines()
    nearest = "checkpoint['state_dict'] without 'module.' before every name"
    assert head.endswith(f"(it holds epoch, state_dict; what is nearest to it, {nearest}):")
    assert lines[0] == "  missing 'bn.bias'; the nearest in the file is 'norm.bias' of shape (2,)"


def test_a_checkpoint_without_weights_says_what_it_holds(net: Path) -> None:
    weights = net.parent / "w.pt"
    torch.save({"epoch": 1, "loss": 0.5}, weights)
    with pytest.raises(ToolflowError, match="must hold a state dict: tensors under their names, not epoch, loss"):
        load_model(f"{net}:Net", weights)


class Attack:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_carries_code_is_refused(net: Path) -> None:
    weights, trace = net.parent / "attack.pt", net.parent / "harm"
    torch.save({"conv.weight": Attack(trace)}, weights)
    plain = net.parent / "plain.pt"
    plain.write_bytes(pickle.dumps(Attack(trace)))
    for path in (weights, plain):
        with pytest.raises(ToolflowError, match=r"was refused, because loading it could run foreign code"):
            load_model(f"{net}:Net", path)
    assert not trace.exists()


def test_weights_that_do_not_fit_are_listed(net: Path) -> None:
    weights = net.parent / "w.pt"
    wrong = state()
    del wrong["bn.bias"]
    torch.save({**wrong, "conv.weight": torch.zeros(2, 3, 3, 3), "extra": torch.zeros(1)}, weights)
    with pytest.raises(ToolflowError) as caught:
        load_model(f"{net}:Net", weights)
    text = str(caught.value)
    assert "missing 'bn.bias'" in text
    assert "'extra' is not in the model" in text
    assert "'conv.weight' must have the shape (2, 3, 1, 1), not (2, 3, 3, 3)" in text
    assert "more" not in text


def test_of_weights_of_another_model_the_first_names_are_listed(net: Path) -> None:
    weights = net.parent / "w.pt"
    torch.save({**state(), **{f"layer{i}.weight": torch.zeros(1) for i in range(13)}}, weights)
    with pytest.raises(ToolflowError) as caught:
        load_model(f"{net}:Net", weights)
    head, *lines = str(caught.value).splitlines()
    assert head.endswith("do not fit the model:")
    first = [f"  'layer{i}.weight' is not in the model" for i in (0, 1, 10, 11, 12)]
    assert lines == [*first, "  and 8 more"]


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
@pytest.mark.parametrize(
    "content", [b"", b"{}", bytes(range(1, 99)), b"\xff" * 40], ids=["empty", "json", "counting", "ones"]
)
def test_weight_files_that_are_none(net: Path, name: str, content: bytes) -> None:
    (net.parent / name).write_bytes(content)
    with pytest.raises(ToolflowError, match=r"not a readable|refused"):
        load_model(f"{net}:Net", net.parent / name)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("{}/net.py:wrong", "must return a torch.nn.Module, not int"),
        ("{}/net.py:fails", r"failed: KeyError: 'inside'"),
        ("{}/net.py:none", "must have a function 'none'"),
        ("{}/missing.py:Net", "there is no file"),
        ("{}/net.py:", "must be given as file.py:factory"),
        ("no.such.package:Net", "cannot be imported: ModuleNotFoundError"),
        ("{}/broken.py:Net", "cannot be imported: SyntaxError"),
        ("{}/leaves.py:Net", "cannot be imported: SystemExit"),
        ("{}/model.pb", "must be model.onnx, file.py:factory or package.module:factory"),
    ],
)
def test_models_that_are_none(net: Path, spec: str, text: str) -> None:
    (net.parent / "broken.py").write_text("def (")
    (net.parent / "leaves.py").write_text("raise SystemExit(3)")
    with pytest.raises(ToolflowError, match=text):
        load_model(spec.format(net.parent))


def test_an_onnx_file_takes_no_weights(tmp_path: Path) -> None:
    with pytest.raises(ToolflowError, match="holds its own weights"):
        load_model("model.onnx", tmp_path / "w.pt")


def test_a_package_is_found_from_the_current_folder(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(net.parent)
    (net.parent / "toolflow_test_net.py").write_text(FACTORY)
    assert load_model("toolflow_test_net:Net").name == "Net"
    with pytest.raises(ToolflowError, match="there is no weight file"):
        load_model("toolflow_test_net:Net", Path("none.pt"))
