"""Networks that were quantised elsewhere: from QONNX files through the commands to equal levels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quant.config import Normalisation, QuantiseConfig
from quant.exchange.qonnx import export_qonnx
from quant.quantise import quantise
from tests.end_to_end.projects import SMALL_ENGINE, toolflow
from tests.unit.importers.quantised_models import Qonnx, lowered
from toolflow.flow.project import read_quantised
from toolflow.importers.quantised import rules
from toolflow.importers.quantised.fit import exact_rule
from toolflow.interpreter.run import run
from toolflow.ir.graph import Graph, Node
from toolflow.ir.unit import VariantName
from toolflow.operators import Activation, Conv, Linear
from toolflow.operators.flatten.spec import Flatten


def _network(folder: Path, name: str, bits: int, scale: float, outputs: int = 6) -> Path:
    net = Qonnx((1, 8, 8))
    x = net.quant(net.conv(net.quant("x", 1 / 128), outputs, 1, bias=True), 1 / 64)
    x = net.quant(net.node("Relu", x), scale, bits=bits, signed=0)
    x = net.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    return net.saved(net.quant(net.conv(x, 4, outputs, size=1), 1 / 2), folder, name)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "images.npz"
    x = np.random.default_rng(0).integers(0, 256, (96, 8, 8, 1)).astype(np.uint8)
    np.savez(path, x=x)
    return path


def _build(images: Path, out: Path, *arguments: str | Path) -> str:
    result = toolflow(
        "build", *arguments, "--board", "ulx3s-85f", "--calibration", images, "--engine", SMALL_ENGINE, "--out", out
    )
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_one_file_is_a_single_unit(images: Path, tmp_path: Path) -> None:
    path = _network(tmp_path, "w8", 4, 1 / 4)
    said = _build(images, tmp_path / "out", path)
    assert "the network was quantised before: its weights, scales and bits are taken over as they are" in said
    assert "the file rounds 1 tensor(s) once more than the layers before them can" in said
    (variant,) = read_quantised(tmp_path / "out").variants.values()
    assert variant.file is not None
    assert (variant.file.images, variant.file.tensors, variant.brevitas.differing) == (32, 5, 0)
    checked = toolflow("verify", tmp_path / "out", "--levels", "brevitas,program", "--images", "8")
    assert checked.exit_code == 0, checked.output
    listed = toolflow("check", path)
    assert "a layer of its own, as the file rounds twice here" in " ".join(listed.output.split())


@pytest.mark.parametrize("command", [("prune", "--pattern", "2:4", "--tile", "0"), ("quantise",)])
def test_commands_that_change_a_network_refuse_a_quantised_one(
    command: tuple[str, ...], images: Path, tmp_path: Path
) -> None:
    path = _network(tmp_path, "w8", 4, 1 / 4)
    result = toolflow(command[0], path, "--calibration", images, "--out", tmp_path / "out", *command[1:])
    assert result.exit_code == 2
    assert "w8.onnx' is quantised already" in " ".join(result.output.split())
    assert not (tmp_path / "out").exists()


def test_two_files_are_a_cascade(images: Path, tmp_path: Path) -> None:
    low, high = _network(tmp_path, "w4", 2, 1 / 2), _network(tmp_path, "w8", 4, 1 / 4)
    _build(images, tmp_path / "out", "--low", low, "--high", high, "--cascade")
    assert list(read_quantised(tmp_path / "out").variants) == list(VariantName)
    checked = toolflow("verify", tmp_path / "out", "--levels", "program", "--images", "8")
    assert checked.exit_code == 0, checked.output


def test_a_wrong_integer_is_found_before_anything_is_written(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bias that is one too large does not pass the comparison with the file."""
    path = _network(tmp_path, "w8", 4, 1 / 4)
    monkeypatch.setattr(rules, "exact_rule", lambda slope, bias: exact_rule(slope, bias + 1))
    out = tmp_path / "out"
    result = toolflow("build", path, "--board", "ulx3s-85f", "--calibration", images, "--out", out)
    assert result.exit_code == 2
    assert "must equal the file, but" in " ".join(result.output.split())
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["FILE", "--low-bits", "3"], "is quantised already and is taken over as it is: leave out bits, scales"),
        (["FILE", "--high", "FILE"], "a build must have either MODEL or --high FILE"),
        ([], "a build must have either MODEL or --high FILE (with --low FILE for a cascade), not neither"),
        (["FILE", "--low", "FILE"], "--low must come with --high"),
        (["--low", "FLOAT", "--high", "FILE"], "must both be ONNX files that are quantised already, but --low is"),
        (["--low", "OTHER", "--high", "FILE"], "must be one network at two precisions, but conv 'Conv"),
    ],
)  # fmt: skip
def test_what_contradicts_a_quantised_file_is_refused(
    images: Path, tmp_path: Path, arguments: list[str], text: str
) -> None:
    net = Qonnx((1, 8, 8))
    weight = net.constant(np.ones((4, 1, 3, 3)))
    files = {
        "FILE": _network(tmp_path, "w8", 4, 1 / 4),
        "OTHER": _network(tmp_path, "other", 4, 1 / 4, outputs=5),
        "FLOAT": net.saved(net.node("Conv", "x", weight), tmp_path, "float"),
    }
    given = [files.get(argument, argument) for argument in arguments]
    result = toolflow("build", *given, "--board", "ulx3s-85f", "--calibration", images, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert text in " ".join(result.output.split())
    assert not (tmp_path / "out").exists()


def test_a_file_of_the_toolflow_comes_back(tmp_path: Path) -> None:
    """What `toolflow quantise` writes as QONNX gives the logits of the network that it was made of."""
    rng = np.random.default_rng(3)
    nodes = (
        Node("conv", Conv(pads=(1, 1, 1, 1), activation=Activation.RELU), ("x",),
             {"weight": rng.normal(size=(6, 2, 3, 3)), "bias": rng.normal(size=6)}),
        Node("flat", Flatten(), ("conv",)),
        Node("fc", Linear(), ("flat",), {"weight": rng.normal(size=(5, 384)) / 20, "bias": rng.normal(size=5)}),
    )  # fmt: skip
    images = rng.integers(0, 256, (64, 8, 8, 2)).astype(np.uint8)
    normalisation = Normalisation()
    made = quantise(
        Graph("net", "x", (2, 8, 8), nodes, "fc"), images, normalisation, QuantiseConfig(family="fixed-point")
    )
    export_qonnx(made.model, tmp_path / "net.onnx")
    back = lowered(tmp_path / "net.onnx", normalisation.table(2)).graph
    expected, found = run(made.graph, images)["fc"], run(back, images)[back.output]
    scales = made.graph.types["fc"].scale, back.types[back.output].scale
    assert np.array_equal(expected * scales[0], found.reshape(expected.shape) * scales[1])
