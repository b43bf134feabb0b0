"""The toolflow in Python: what importing it loads, and the values that it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import toolflow.flow
from toolflow.flow import AUTO, Finetuning, Objective, Pattern, Precision, PruneRequest, Request, Source, Units, build
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
    assert {"Request", "build", "check", "estimate", "prune", "quantise", "verify"} <= set(dir(toolflow.flow))


@pytest.mark.parametrize("board", [None, "zcu104"])
def test_a_folder_of_another_kind_is_not_estimated(tmp_path: Path, board: str | None) -> None:
    with pytest.raises(ToolflowError, match=r"was not made by 'toolflow quantise' or 'toolflow build'$"):
        toolflow.flow.estimate(tmp_path, board)


def test_a_star_takes_every_name_of_the_api() -> None:
    taken: dict[str, Any] = {}
    exec("from toolflow.flow import *", taken)
    assert taken["build"] is build
    assert issubclass(taken["DoesNotFitError"], taken["ToolflowError"])
    assert taken.keys() - {"__builtins__"} == set(toolflow.flow.__all__)


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match=r"module 'toolflow\.flow' has no attribute 'quantize'"):
        _ = toolflow.flow.quantize


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tolerance": 1.0}, "the tolerance must be above 0 and below 1"),
        ({"engine": {"slots": 2}}, "--engine must come with --board"),
        ({"search_loss": 0.1}, "--search-loss must come with a search"),
        ({"search_loss": 2.0, "precision": Precision(tile=AUTO)}, "--search-loss must be from 0 to 1, not 2.0"),
        ({"source": PRUNED, "precision": Precision(tile=AUTO)}, "--tile auto must not be given with --pruned"),
    ],
)
def test_wrong_values_are_refused_when_the_request_is_made(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolflowError, match=message):
        Request(**{"source": SOURCE, **values})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"units": "nonsense"}, "units must be one of fastest, cascade, morphing, single, not 'nonsense'"),
        ({"source": "model.onnx"}, "source must be a Source, not 'model.onnx'"),
        ({"precision": {"low_bits": 3}}, r"precision must be a Precision, not {'low_bits': 3}"),
        ({"finetuning": "x.npz"}, "finetuning must be a Finetuning, not 'x.npz'"),
        ({"tolerance": "0.1"}, "--tolerance must be a number, not '0.1'"),
        ({"board": 3}, "--board must be a board's name or file, not 3"),
        ({"board": "zcu104", "engine": {"lane_k": 8}}, "--engine: a name must be one of lanes_k, .*, not 'lane_k'"),
        ({"board": "zcu104", "engine": {"lanes_k": "8"}}, "--engine: lanes_k must be a whole number, not '8'"),
        ({"board": "zcu104", "engine": "lanes_k=8"}, "--engine must be a mapping of parameters to values, not"),
        ({"objective": 3}, "the objective must be one of throughput, latency, not 3"),
        ({"precision": Precision(tile=AUTO), "search_loss": "1"}, "--search-loss must be a number, not '1'"),
        ({"units": None}, "units must be one of fastest, cascade, morphing, single, not None"),
        ({"objective": "speed"}, "the objective must be one of throughput, latency, not 'speed'"),
    ],
)
def test_values_of_another_form_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolflowError, match=message):
        Request(**{"source": SOURCE, **values})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"pattern": (4, 8)},
            r"--pattern must be a Pattern or a text n:S or n:SxG, for example 3:16 or 4:16x2, not \(4, 8\)",
        ),
        ({"pattern": "dense"}, "--pattern: a pattern must be n:S or n:SxG, for example 3:16 or 4:16x2, not 'dense'"),
        ({"pattern": "4:7"}, "--pattern: S of a pattern n:S must be a power of two, not 7"),
        ({"layer_bits": "conv1=4/4"}, "--layer-bits must be AUTO or a mapping of layers to .*, not 'conv1=4/4'"),
        ({"low_bits": 1}, "--low-bits must be a whole number from 2 to 8, not 1"),
        ({"low_bits": "3"}, "--low-bits must be a whole number from 2 to 8, not '3'"),
        ({"high_bits": 9}, "--high-bits must be a whole number from 2 to 8, not 9"),
        ({"first_last_bits": 8.0}, "--first-last-bits must be a whole number from 2 to 8, not 8.0"),
        ({"tile": 3}, "--tile must be 0, 2, 4 or auto, not 3"),
        ({"tile": "all"}, "--tile must be 0, 2, 4 or auto, not 'all'"),
        ({"scales": "fixed"}, "--scales must be one of multiplier, fixed-point, not 'fixed'"),
        ({"ranges": "max"}, "--ranges must be one of mse, percentile, not 'max'"),
        ({"rounding": None}, "--rounding must be one of gptq, nearest, not None"),
        ({"ranges": "percentile", "percentile": 50}, "--percentile must be above 50 and at most 100, not 50"),
        ({"percentile": 60.0}, "--percentile must come with --ranges percentile: it changes nothing else"),
        ({"layer_bits": {"a": 4}}, r"--layer-bits a must be \(weight bits, activation bits\), not 4"),
        ({"layer_bits": {"a": (4, 9)}}, "--layer-bits a must be a whole number from 2 to 8, not 9"),
        ({"layer_bits": None}, "--layer-bits must be AUTO or a mapping of layers to .*, not None"),
    ],
)
def test_precisions_of_another_form_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolflowError, match=message):
        Precision(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pattern": "auto"}, "--pattern: a pattern must be n:S or n:SxG, for example 3:16 or 4:16x2, not 'auto'"),
        ({"pattern": None}, "--pattern must be a Pattern or a text n:S or n:SxG, for example 3:16 or 4:16x2, not None"),
        ({"source": "model.onnx"}, "source must be a Source, not 'model.onnx'"),
        ({"seed": -1}, "--seed must be a whole number of 0 or more, not -1"),
        ({"test": 3}, "--test must be a path, not 3"),
        ({"layer_tiles": "a=2"}, "--layer-tile must be a mapping of layers to values, not 'a=2'"),
        ({"recipe": {"epochs": 3}}, r"recipe must be a Recipe, not {'epochs': 3}"),
        ({"tile": 7}, "--tile must be 0, 2, 4 or auto, not 7"),
        ({"tile": "2"}, "--tile must be 0, 2, 4 or auto, not '2'"),
        ({"layer_patterns": {"conv1": 4}}, "--layer-pattern conv1 must be a Pattern or a text n:S or n:SxG, .*, not 4"),
        ({"layer_tiles": {"conv1": 3}}, "--layer-tile conv1 must be 0, 2 or 4, not 3"),
        ({"board": "zcu104"}, "--board must come with a search"),
        ({"engine": {"slots": 2}, "tile": AUTO}, "--engine must come with --board"),
    ],
)
def test_wrong_values_of_a_pruning_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolflowError, match=message):
        PruneRequest(**{"source": SOURCE, "pattern": Pattern(4, 8), "tile": 2, **values})


def test_texts_are_read_as_the_values_that_they_name() -> None:
    """A value that is compared by identity must not pass as its text."""
    texts: dict[str, Any] = {"tile": "auto", "pattern": "auto", "layer_bits": "auto"}
    asked = Precision(**texts)
    assert (asked.tile, asked.pattern, asked.layer_bits) == (AUTO, AUTO, AUTO)
    assert all(value is AUTO for value in (asked.tile, asked.pattern, asked.layer_bits))
    sparse: dict[str, Any] = {"pattern": "4:8"}
    request = Request(SOURCE, Precision(**sparse))
    assert request.precision == Precision(pattern=Pattern(4, 8))
    assert [request.search.config(name).pattern for name in request.variants] == [Pattern(4, 8)] * 2

    small: dict[str, Any] = {"units": "single", "objective": "latency"}
    request = Request(SOURCE, **small)
    assert request.units is Units.SINGLE
    assert request.variants == ("high",)
    assert request.objective == Objective("latency", 1)

    pruning: dict[str, Any] = {"pattern": "4:8", "tile": "auto", "layer_patterns": {"a": "1:4", "b": None}}
    pruned = PruneRequest(SOURCE, **pruning)
    assert pruned.pattern == Pattern(4, 8)
    assert pruned.layer_patterns == {"a": Pattern(1, 4), "b": None}
    assert pruned.is_searched


class Tiny:
    """An object of a type that the API does not accept."""


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": Tiny()}, "model must be 'file.py:factory', .* or an ONNX file, not an object of class Tiny"),
        ({"calibration": None}, "--calibration must be a path, not None"),
        ({"weights": Tiny()}, "--weights must be a path, not an object of class Tiny"),
        (
            {"input_shape": (8,)},
            r"--input-shape must be \(C, H, W\) or \(C, length\) in positive whole numbers, not \(8,\)",
        ),
        ({"input_shape": (1, 0, 8)}, "--input-shape must be a whole number of 1 or more, not 0"),
        ({"mean": 0.5}, "--mean must be numbers, one or one for each channel, not 0.5"),
        ({"pixel_scale": "1"}, "--pixel-scale must be a number, not '1'"),
    ],
)
def test_wrong_values_of_a_source_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolflowError, match=message):
        Source(**{"model": "model.onnx", "calibration": "images.npz", **values})


@pytest.mark.parametrize(
    ("call", "values", "message"),
    [
        ("verify", {"images": 0}, "--images must be a whole number of 1 or more, not 0"),
        ("verify", {"images": -1}, "--images must be a whole number of 1 or more, not -1"),
        ("verify", {"seed": -1}, "--seed must be a whole number of 0 or more, not -1"),
        ("verify", {"levels": ()}, r"levels must be a sequence of one or more names, .*, not \(\)"),
        ("verify", {"levels": "program"}, "levels must be a sequence of one or more names, .*, not 'program'"),
        ("verify", {"folder": 3}, "folder must be a path, not 3"),
        ("verify", {}, "must be a folder that 'toolflow build' made"),
        ("estimate", {"forwarded_share": 2}, "--forwarded must be from 0 to 1, not 2"),
        ("estimate", {"objective": "speed"}, "the objective must be one of throughput, latency, not 'speed'"),
        ("estimate", {"batch": 0}, "--batch must be a whole number of 1 or more, not 0"),
        ("estimate", {"engine": {"lane_k": 8}}, "--engine: a name must be one of lanes_k, .*, not 'lane_k'"),
        ("estimate", {}, "was not made by 'toolflow quantise' or 'toolflow build'"),
        ("check", {"model": Tiny()}, "model must be 'file.py:factory', .*, not an object of class Tiny"),
    ],
)
def test_wrong_arguments_are_refused(call: str, values: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Folders are given as text."""
    place = {} if call == "check" else {"folder": str(tmp_path)}
    with pytest.raises(ToolflowError, match=message):
        getattr(toolflow.flow, call)(**{**place, **values})


@pytest.mark.parametrize(("call", "kind"), [("build", "Request"), ("quantise", "Request"), ("prune", "PruneRequest")])
def test_a_run_refuses_the_request_of_another(call: str, kind: str, tmp_path: Path) -> None:
    other: Any = PruneRequest(SOURCE, Pattern(1, 2), 0) if kind == "Request" else Request(SOURCE)
    with pytest.raises(ToolflowError, match=f"request must be a {kind}, not an object of class {type(other).__name__}"):
        getattr(toolflow.flow, call)(other, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_texts_are_read_as_paths() -> None:
    texts: dict[str, Any] = {"calibration": "x.npz", "weights": "w.pt", "pruned": "p.safetensors"}
    source = Source("model.onnx", **texts)
    assert (source.calibration, source.weights, source.pruned) == (Path("x.npz"), Path("w.pt"), Path("p.safetensors"))
    finetuning: dict[str, Any] = {"file": "x.npz"}
    assert Finetuning(**finetuning).file == Path("x.npz")


def test_wrong_values_of_a_training_are_refused() -> None:
    with pytest.raises(ToolflowError, match="fine-tuning must have 1 epoch or more"):
        Finetuning(Path("x.npz"), epochs=0)


def test_a_build_needs_a_board(tmp_path: Path) -> None:
    with pytest.raises(ToolflowError, match="a board must be given to build for"):
        build(Request(SOURCE), tmp_path / "out")
    assert not (tmp_path / "out").exists()
