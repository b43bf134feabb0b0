"""Layers in C++ against torch in double precision, and the fallback if the library cannot be built."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import quant.training.native.layer as native
import quant.training.native.library
import quant.training.trainable
from quant.float_network import accumulate, apply_activation
from quant.sparsity.choice import choose_layers
from quant.sparsity.prune import prune_graph
from quant.training.loop import batch_sizes, slower_here
from quant.training.native.layer import NativeLayer, blocked, can_run, infer, plain, train
from quant.training.native.library import FLAGS, WIDEST_LANES, lanes, library
from quant.training.trainable import TrainableNetwork
from tests.unit.quant.quantise_networks import NORMALISATION, images, residual_network
from toolflow.numerics.srbs import Pattern, project
from toolflow.operators import Activation, Conv, WinogradConv

Layer = Conv | WinogradConv

SAME = (1, 1, 1, 1)
LAYERS: dict[str, tuple[Layer, tuple[int, ...], Pattern | None]] = {
    "3 x 3": (Conv(pads=SAME), (5, 3, 3, 3), None),
    "1 x 1, sparse": (Conv(), (6, 16, 1, 1), Pattern(3, 8)),
    "strided, uneven pads": (Conv(stride=(2, 3), pads=(0, 2, 1, 1)), (4, 6, 3, 3), None),
    "dilated": (Conv(dilation=(2, 3), pads=(2, 3, 2, 3)), (4, 3, 3, 3), None),
    "grouped": (Conv(groups=3, pads=SAME), (6, 2, 3, 3), None),
    "depthwise": (Conv(groups=8, stride=(2, 2), pads=SAME), (8, 1, 3, 3), None),
    "wide kernel, sparse": (Conv(pads=(2, 2, 2, 2)), (3, 16, 5, 4), Pattern(1, 16)),
    "F2": (WinogradConv(2, SAME), (5, 3, 4, 4), None),
    "F2, sparse": (WinogradConv(2, (1, 0, 2, 1), pattern=Pattern(3, 16)), (6, 20, 4, 4), Pattern(3, 16)),
    "F4": (WinogradConv(4, SAME), (3, 5, 6, 6), None),
    "F4, sparse": (WinogradConv(4, (0, 1, 1, 0), pattern=Pattern(1, 4, 2)), (6, 9, 6, 6), Pattern(1, 4, 2)),
}
SIZES = [(7, 9), (8, 8), (5, 4)]


@pytest.fixture(params=list(LAYERS))
def layer(request: pytest.FixtureRequest) -> tuple[Layer, torch.Tensor, torch.Tensor]:
    """A layer with its float32 weight and the parts that it has."""
    op, shape, pattern = LAYERS[request.param]
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    kept = np.ones(shape, dtype=bool) if pattern is None else project(weight.abs().numpy(), pattern)
    mask = torch.as_tensor(kept)
    return op, weight * mask, mask


@pytest.fixture(params=[1, 3], ids=["1 thread", "3 threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture(params=[8, 16], ids=["8 lanes", "16 lanes"], scope="module")
def width(request: pytest.FixtureRequest) -> Iterator[int]:
    """The library for one register width; every variant runs on every processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quant.training.native.library, "FLAGS", (*FLAGS, f"-DVECTOR_LANES={request.param}"))
        library.cache_clear()
        yield request.param
    library.cache_clear()


def _close(ours: torch.Tensor | None, theirs: torch.Tensor | None) -> None:
    """Compare within the rounding error of float32 sums of this size."""
    assert ours is not None
    assert theirs is not None
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=2e-5 * float(theirs.detach().abs().max()))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.usefixtures("width", "threads")
def test_training_is_that_of_torch(layer: tuple[Layer, torch.Tensor, torch.Tensor], size: tuple[int, int]) -> None:
    """Outputs, statistics and every gradient, with a residual and each activation."""
    op, weight, mask = layer
    torch.manual_seed(2)
    channels = weight.shape[1] * (op.groups if isinstance(op, Conv) else 1)
    for activation, count in zip(Activation, (WIDEST_LANES, 2 * WIDEST_LANES, 4 * WIDEST_LANES), strict=True):
        norm = nn.BatchNorm2d(len(weight))
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        given = [torch.randn(count, channels, *size), weight.clone()]
        exact = [value.double() for value in given]
        given.append(torch.randn_like(accumulate(op, given[0], given[1])))
        exact.append(given[2].double())
        for value in (*given, *exact):
            value.requires_grad_()
        described = NativeLayer(op, tuple(weight.shape), mask.numpy())
        ours = plain(train(described, given[0], given[1], norm, given[2], activation))
        oracle = nn.BatchNorm2d(len(weight)).double()
        oracle.load_state_dict(norm.state_dict())
        oracle.reset_running_stats()
        theirs = apply_activation(activation, oracle(accumulate(op, exact[0], exact[1])) + exact[2])
        _close(ours, theirs)
        _close(norm.running_mean, oracle.running_mean)
        _close(norm.running_var, oracle.running_var)
        direction = torch.randn_like(ours)
        torch.autograd.backward((ours * direction).sum())
        torch.autograd.backward((theirs * direction.double()).sum())
        _close(given[0].grad, exact[0].grad)
        assert exact[1].grad is not None
        _close(given[1].grad, exact[1].grad * mask)
        _close(given[2].grad, exact[2].grad)
        _close(norm.weight.grad, oracle.weight.grad)
        _close(norm.bias.grad, oracle.bias.grad)


@pytest.mark.usefixtures("width", "threads")
def test_inference_is_that_of_torch(layer: tuple[Layer, torch.Tensor, torch.Tensor]) -> None:
    op, weight, mask = layer
    torch.manual_seed(3)
    x = torch.randn(3 * WIDEST_LANES, weight.shape[1] * (op.groups if isinstance(op, Conv) else 1), 7, 6)
    scale, shift = torch.randn(2, len(weight))
    sums = accumulate(op, x.double(), weight.double())
    residual = torch.randn_like(sums).float()
    described = NativeLayer(op, tuple(weight.shape), mask.numpy())
    scaled = sums * scale.view(-1, 1, 1).double() + shift.view(-1, 1, 1).double()
    for activation in Activation:
        with_residual = infer(described, x, weight, scale, shift, residual, activation)
        _close(plain(with_residual), apply_activation(activation, scaled + residual.double()))
        _close(plain(infer(described, x, weight, scale, shift, None, activation)), apply_activation(activation, scaled))


def test_what_is_no_number_stays_so() -> None:
    """A diverged training must be visible, even if a clamp follows."""
    x = torch.randn(WIDEST_LANES, 2, 4, 4)
    x[0, 0, 0, 0] = torch.nan
    layer, weight = NativeLayer(Conv(pads=SAME), (3, 2, 3, 3), None), torch.ones(3, 2, 3, 3)
    assert train(layer, x, weight, nn.BatchNorm2d(3), None, Activation.RELU).isnan().all()
    found = plain(infer(layer, x, weight, torch.ones(3), torch.zeros(3), None, Activation.RELU6))
    assert found[0, :, :2, :2].isnan().all()
    assert not found[1:].isnan().any()


def test_maps_in_blocks(width: int) -> None:
    assert lanes() == width
    x = torch.arange(2.0 * lanes() * 3 * 4 * 5).view(2 * lanes(), 3, 4, 5)
    assert torch.equal(blocked(x)[1, 2, 3, 4], x[lanes() :, 2, 3, 4])
    assert torch.equal(plain(blocked(x)), x)
    assert can_run(x)
    assert can_run(blocked(x))
    assert not can_run(x[1:])
    assert not can_run(x.double())


def _never(_: torch.Tensor) -> bool:
    return False


def test_a_network_trains_alike_with_the_library_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole gradients of a pruned network with residuals, strides and pools."""
    dense = residual_network()
    pruned = prune_graph(dense, images(64), NORMALISATION, choose_layers(dense, 2, Pattern(1, 4), {})[0])
    x = torch.as_tensor(NORMALISATION.apply(images(2 * WIDEST_LANES, seed=5))).float()
    direction = torch.randn(len(x), 1, generator=torch.Generator().manual_seed(4))
    found = []
    for runs in (can_run, _never):
        monkeypatch.setattr(quant.training.trainable, "can_run", runs)
        network = TrainableNetwork(pruned).with_norms(x).train()
        answers = network(x)
        torch.autograd.backward((answers * direction).sum())
        gradients = {name: one.grad for name, one in network.named_parameters() if one.grad is not None}
        found.append((answers.detach(), gradients, network.eval()(x).detach()))
        with torch.no_grad():
            torch.testing.assert_close(network(x), found[-1][2], rtol=1e-4, atol=1e-4)
    ours, theirs = found
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-4, atol=1e-4)
    assert ours[1].keys() == theirs[1].keys()
    for name, gradient in theirs[1].items():
        assert (ours[1][name] - gradient).norm() <= 1e-3 * gradient.norm() + 1e-5, name


def test_a_layer_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed allocation in the library raises a Python error and does not end the process."""
    layer, weight = NativeLayer(Conv(), (1, 1, 1, 1), None), torch.ones(1, 1, 1, 1)
    described = NativeLayer.described

    def huge(self, x):  # type: ignore[no-untyped-def]
        found, out = described(self, x)
        found.columns = 1 << 50
        return found, out

    monkeypatch.setattr(NativeLayer, "described", huge)
    x = torch.ones(4 * WIDEST_LANES, 1, 2, 2)  # a group of images for each thread
    for threads in (1, 3):
        torch.set_num_threads(threads)
        with pytest.raises(MemoryError, match="1 to 1 channels"):
            infer(layer, x, weight, torch.ones(1), torch.zeros(1), None, Activation.NONE)
    torch.set_num_threads(1)


def test_wide_dense_layers_stay_with_torch() -> None:
    graph = residual_network()
    pruned = prune_graph(graph, images(8), NORMALISATION, choose_layers(graph, 2, Pattern(1, 4), {})[0])
    assert all(layer.native for layer in TrainableNetwork(pruned).convolutions())
    assert not any(layer.native for layer in TrainableNetwork(graph).convolutions())
    for name, wide in (("WIDEST_DIRECT", Conv), ("WIDEST_TILED", WinogradConv)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(quant.training.trainable, name, 0)
            for layer in TrainableNetwork(pruned).convolutions():
                assert layer.native == (layer.mask is not None or not isinstance(layer.op, wide))


def test_batches() -> None:
    assert batch_sizes(50_000, 64, WIDEST_LANES) == [64] * 780 + [80]
    assert batch_sizes(50_000, 48, WIDEST_LANES) == [48] * 1041 + [32]
    assert batch_sizes(100, 40, WIDEST_LANES) == [32, 32, 36]
    assert batch_sizes(100, 40) == [40, 40, 20]
    assert batch_sizes(20, 8, WIDEST_LANES) == [8, 8, 4]
    assert batch_sizes(19, 8) == [8, 11]
    for count, batch in ((1, 1), (1, 64), (17, 16), (33, 16), (1000, 48)):
        sizes = batch_sizes(count, batch, WIDEST_LANES)
        assert sum(sizes) == count
        assert min(sizes) >= min(count, batch // 2)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty cache folder, and a library that is not yet loaded."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    library.cache_clear()
    yield tmp_path / "cache" / "cascade-toolflow"
    library.cache_clear()


def test_the_library_is_built_once(fresh: Path) -> None:
    assert library() is not None
    (built,) = fresh.iterdir()
    written = built.stat().st_mtime_ns
    library.cache_clear()
    assert library() is not None
    assert [path.stat().st_mtime_ns for path in fresh.iterdir()] == [written]


def test_a_broken_file_is_built_again(fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library()
    (built,) = fresh.iterdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))  # a path that this process has not loaded
    broken = tmp_path / "other" / fresh.name / built.name
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"no library")
    library.cache_clear()
    assert library() is not None
    assert broken.stat().st_size == built.stat().st_size


def test_a_home_that_cannot_be_written(fresh: Path) -> None:
    fresh.parent.mkdir(parents=True)
    fresh.write_text("a file, not a folder")
    assert isinstance(library(), ctypes.CDLL)


def test_without_a_compiler_torch_does_it(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(fresh))
    assert library() is None
    assert not native.can_run(torch.zeros(WIDEST_LANES, 1, 1, 1))
    assert "g++ 12" in slower_here()[0]


@pytest.mark.parametrize("home", [True, False])
def test_a_compiler_that_fails(fresh: Path, home: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not home:
        fresh.parent.write_text("no folder")
    compiler = tmp_path / "bin" / "g++"
    compiler.parent.mkdir()
    compiler.write_text('#!/bin/sh\ncase "$*" in *fsyntax*) exit 0;; esac\nexit 1\n')  # fails at the source alone
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", str(compiler.parent))
    assert library() is None
