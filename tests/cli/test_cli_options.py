"""Option texts are parsed into values, or refused with one clear message."""

from __future__ import annotations

import pytest

from toolflow.cli.parsing import parse_engine, parse_layer_bits, parse_names, parse_per_channel, parse_shape
from toolflow.engine.config import EngineConfig
from toolflow.ir.errors import ToolflowError


def test_engine_parameters_are_those_of_the_configuration() -> None:
    fixed = parse_engine("lanes_k=16, lanes_p=8,slots=2,multiplier=lut")
    assert fixed == {"lanes_k": 16, "lanes_p": 8, "slots": 2, "multiplier": "lut"}
    config = EngineConfig.model_validate(fixed)
    assert (config.lanes_k, config.lanes_p, config.slots, config.multiplier) == (16, 8, 2, "lut")
    assert EngineConfig.model_validate(parse_engine("stripes=true")).stripes
    assert parse_engine(None) == {}
    assert parse_engine("slots=-4") == {"slots": -4}  # refused with its range, where that is known


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lanes_k", "--engine must be NAME=VALUE,NAME=VALUE,.. , not 'lanes_k'"),
        ("lanes_k=", "--engine must be NAME=VALUE"),
        ("lanes=8", "a name must be one of lanes_k, lanes_p, .*, not 'lanes'"),
        ("slots=1,slots=2", "slots must be given once, not twice"),
        ("slots=two", "slots must be a whole number, not 'two'"),
        ("slots=²", "slots must be a whole number, not '²'"),
        ("slots=-", "slots must be a whole number, not '-'"),
        ("slots=1.5", "slots must be a whole number, not '1.5'"),
        ("slots=1,", "--engine must be NAME=VALUE"),
    ],
)
def test_a_wrong_engine_text_is_refused(text: str, message: str) -> None:
    with pytest.raises(ToolflowError, match=message):
        parse_engine(text)


def test_bits_of_single_layers() -> None:
    assert parse_layer_bits("layer1.conv1=6/5, fc = 8/8") == {"layer1.conv1": (6, 5), "fc": (8, 8)}
    assert parse_layer_bits(None) == {}


@pytest.mark.parametrize("text", ["conv1", "conv1=4", "conv1=4/9", "conv1=1/4", "=4/4", "conv1=4/4/4", "conv1=4/4,"])
def test_wrong_bits_of_a_layer_are_refused(text: str) -> None:
    with pytest.raises(ToolflowError, match=r"--layer-bits must be NAME=W/A,.* with bits from 2 to 8, not"):
        parse_layer_bits(text)


def test_a_layer_given_twice_is_refused() -> None:
    with pytest.raises(ToolflowError, match="layer 'a' must be given once"):
        parse_layer_bits("a=4/4,a=5/5")


def test_names_are_cut_at_commas() -> None:
    assert parse_names("rtl, program") == ("rtl", "program")
    assert parse_names(None) is None


def test_shape() -> None:
    assert parse_shape("3,32,32") == (3, 32, 32)
    assert parse_shape("2,128") == (2, 128)
    assert parse_shape(None) is None


@pytest.mark.parametrize("text", ["3", "3,32,32,1", "3,0,32", "3,a,32", "", "-3,32,32"])
def test_a_wrong_shape_is_refused(text: str) -> None:
    with pytest.raises(ToolflowError, match="--input-shape must be C,H,W or C,LENGTH in positive whole numbers"):
        parse_shape(text)


def test_numbers_per_channel() -> None:
    assert parse_per_channel("--mean", "0.485, 0.456,0.406") == (0.485, 0.456, 0.406)
    assert parse_per_channel("--mean", None) is None


@pytest.mark.parametrize(("text", "message"), [("a,b", "must be numbers"), ("nan", "finite"), ("1,inf", "finite")])
def test_wrong_numbers_are_refused(text: str, message: str) -> None:
    with pytest.raises(ToolflowError, match=f"--std .*{message}|--std must be {message}"):
        parse_per_channel("--std", text)
