"""Parse the texts of options into values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolflow.flow.engine_parameters import is_whole_field, require_engine_field
from toolflow.flow.precision import AUTO, Auto, read_pattern
from toolflow.ir.errors import ToolflowError
from toolflow.numerics.srbs import Pattern

if TYPE_CHECKING:
    from toolflow.flow.finetuning import Finetuning
    from toolflow.flow.request import Units

_WIDTHS = {str(bits) for bits in range(2, 9)}


def parse_model(model: str | None, low: Path | None, high: Path | None) -> str:
    """Return the model: MODEL, or the file of --high.

    Raises:
        ToolflowError: both or neither is given, or --low without --high.
    """
    if low is not None and high is None:
        raise ToolflowError("--low must come with --high: the same network, quantised with more bits")
    if (model is None) == (high is None):
        given = "both" if model is not None else "neither"
        raise ToolflowError(
            f"a build must have either MODEL or --high FILE (with --low FILE for a cascade), not {given}"
        )
    return str(high) if model is None else model


def parse_engine(text: str | None) -> dict[str, int | str]:
    """Return the engine parameters that `--engine` fixes, by the names of `EngineConfig`'s fields.

    Raises:
        ToolflowError: the text is no list of NAME=VALUE, a name is unknown or given twice, or a
            value is of the wrong kind. Ranges are checked where the configuration is made.
    """
    fixed: dict[str, int | str] = {}
    for part in text.split(",") if text else ():
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value:
            raise ToolflowError(f"--engine must be NAME=VALUE,NAME=VALUE,.. , not '{text}'")
        require_engine_field(name)
        if name in fixed:
            raise ToolflowError(f"--engine: {name} must be given once, not twice")
        if not is_whole_field(name):
            fixed[name] = value
        elif re.fullmatch(r"-?[0-9]+", value):
            fixed[name] = int(value)
        else:
            raise ToolflowError(f"--engine: {name} must be a whole number, not '{value}'")
    return fixed


def parse_layer_bits(text: str | None) -> dict[str, tuple[int, int]] | Auto:
    """Return {layer: (weight bits, activation bits)} of `--layer-bits`, or AUTO.

    Raises:
        ToolflowError: the text is no list of NAME=W/A, a layer is given twice, or bits are not 2 to 8.
    """
    if text == AUTO:
        return AUTO
    bits: dict[str, tuple[int, int]] = {}
    for part in text.split(",") if text else ():
        name, _, widths = (piece.strip() for piece in part.rpartition("="))
        numbers = [number.strip() for number in widths.split("/")]
        if part.strip() == "auto":
            raise ToolflowError("--layer-bits auto must stand alone, not beside bits of single layers")
        if not name or len(numbers) != 2 or not all(number in _WIDTHS for number in numbers):
            raise ToolflowError(f"--layer-bits must be NAME=W/A,.. with bits from 2 to 8, not '{part.strip()}'")
        if name in bits:
            raise ToolflowError(f"--layer-bits: layer '{name}' must be given once, not twice")
        bits[name] = int(numbers[0]), int(numbers[1])
    return bits


def parse_settings(option: str, text: str | None) -> dict[str, str]:
    """Return {name: value} of a list of settings, the values as texts.

    Raises:
        ToolflowError: the text is no list of NAME=VALUE, or a name is given twice.
    """
    return _by_name(option, text, "NAME=VALUE,..", "setting")


def parse_workers(text: str) -> int | str:
    """Return a number of workers, or an address as it is."""
    return int(text) if text.isascii() and text.isdecimal() else text


def parse_bits(text: str) -> tuple[int, ...]:
    """Return the widths of a list such as 8,4.

    Raises:
        ToolflowError: a part is no whole number.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() for part in parts):
        raise ToolflowError(f"--bits must be whole numbers, for example 8,4, not '{text}'")
    return tuple(map(int, parts))


def parse_names(text: str | None) -> tuple[str, ...] | None:
    """Return the names of a list such as `--levels`, None if none is given."""
    return None if text is None else tuple(name.strip() for name in text.split(","))


def parse_shape(text: str | None) -> tuple[int, ...] | None:
    """Return (C, H, W) of `--input-shape`, or (C, length) of a signal.

    Raises:
        ToolflowError: the text is not two or three positive whole numbers.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if len(parts) not in (2, 3) or not all(part.isascii() and part.isdecimal() and int(part) > 0 for part in parts):
        raise ToolflowError(f"--input-shape must be C,H,W or C,LENGTH in positive whole numbers, not '{text}'")
    return tuple(map(int, parts))


def parse_per_channel(option: str, text: str | None) -> tuple[float, ...] | None:
    """Return the numbers of `--mean` or `--std`, one or one per channel.

    Raises:
        ToolflowError: the text is not a list of finite numbers.
    """
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ToolflowError(f"{option} must be numbers with commas between them, not '{text}'") from None
    if not all(math.isfinite(value) for value in values):
        raise ToolflowError(f"{option} must be finite numbers, not '{text}'")
    return values


def parse_tile(text: str) -> int | Auto:
    """Return the tile of a choice of `--tile`."""
    return AUTO if text == AUTO else int(text)


def parse_pattern_option(option: str, text: str | None) -> Pattern | Auto | None:
    """Return the pattern that an option gives, or AUTO; None if it is not given.

    Raises:
        ToolflowError: the text is no pattern n:S or n:SxG, S is no power of two, or n exceeds it.
    """
    if text is None:
        return None
    return AUTO if text == AUTO else read_pattern(option, text)


def parse_layer_patterns(text: str | None) -> dict[str, Pattern | None]:
    """Return {layer: pattern, None for dense} of `--layer-pattern`.

    Raises:
        ToolflowError: the text is no list of NAME=n:S or NAME=dense, or a layer is given twice.
    """
    given = _by_layer("--layer-pattern", text, "NAME=n:S,.. or NAME=dense")
    return {name: None if each == "dense" else read_pattern("--layer-pattern", each) for name, each in given.items()}


def parse_layer_tiles(text: str | None) -> dict[str, int]:
    """Return {layer: tile, 0 for direct convolution} of `--layer-tile`.

    Raises:
        ToolflowError: the text is no list of NAME=TILE, or a layer is given twice.
    """
    given = _by_layer("--layer-tile", text, "NAME=TILE,.. with tiles of 0, 2 or 4")
    return {name: _tile(each) for name, each in given.items()}


def _by_layer(option: str, text: str | None, form: str) -> dict[str, str]:
    """Return {layer: what it is to have} of a list in the given form."""
    return _by_name(option, text, form, "layer")


def _by_name(option: str, text: str | None, form: str, what: str) -> dict[str, str]:
    named: dict[str, str] = {}
    for part in text.split(",") if text else ():
        name, _, value = (piece.strip() for piece in part.rpartition("="))
        if not name:
            raise ToolflowError(f"{option} must be {form}, not '{part.strip()}'")
        if name in named:
            raise ToolflowError(f"{option}: {what} '{name}' must be given once, not twice")
        named[name] = value
    return named


def _tile(text: str) -> int:
    if text not in ("0", "2", "4"):
        raise ToolflowError(f"--layer-tile: a tile must be 0, 2 or 4, not '{text}'")
    return int(text)


def parse_finetuning(file: Path | None, recipe: str | None) -> Finetuning | None:
    """Return what `--finetune` and `--finetune-recipe` say, None if nothing is to be trained.

    Raises:
        ToolflowError: the recipe is none, or there are no images that it is for.
    """
    from toolflow.flow.finetuning import Finetuning

    if file is not None:
        return Finetuning(file, **_parsed_recipe(recipe))
    if recipe is not None:
        raise ToolflowError("--finetune-recipe must come with --finetune, which says what images to train on")
    return None


def _parsed_recipe(recipe: str | None) -> dict[str, Any]:
    """Return the arguments that NAME=VALUE,.. gives."""
    parsers: dict[str, tuple[Callable[[str], Any], str]] = {
        "epochs": (lambda text: _checked(int(text), int(text) >= 1), "a whole number of 1 or more"),
        "rate": (lambda text: _checked(float(text), 0 < float(text) < 1), "a number above 0 and below 1"),
        "batch": (lambda text: _checked(int(text), int(text) >= 2), "a whole number of 2 or more"),
        "flip": (lambda text: {"yes": True, "no": False}[text], "yes or no"),
    }
    given: dict[str, Any] = {}
    for part in recipe.split(",") if recipe else ():
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in parsers:
            raise ToolflowError(f"--finetune-recipe: a name must be one of {', '.join(parsers)}, not '{name}'")
        if name in given:
            raise ToolflowError(f"--finetune-recipe: {name} must be given once, not twice")
        parse, what = parsers[name]
        try:
            given[name] = parse(value)
        except (ValueError, KeyError) as error:
            raise ToolflowError(f"--finetune-recipe: {name} must be {what}, not '{value}'") from error
    return given


def _checked(value: float, good: bool) -> float:
    if not good:
        raise ValueError(value)
    return value


def parse_units(single: bool, cascade: bool, morphing: bool) -> Units:
    """Return which units `--single`, `--cascade` and `--morphing` ask for.

    Raises:
        ToolflowError: more than one is given.
    """
    from toolflow.flow.request import Units

    asked = {Units.SINGLE: single, Units.CASCADE: cascade, Units.MORPHING: morphing}
    given = [units for units, flag in asked.items() if flag]
    if len(given) > 1:
        raise ToolflowError(f"{' and '.join(f'--{units}' for units in given)} must not be given together")
    return given[0] if given else Units.FASTEST


def images_to_prune_on(train: Path | None, calibration: Path | None, for_training: Mapping[str, object]) -> Path:
    """Return the images to prune on: those to train on, or those to solve on, which take no option of a training."""
    images = train or calibration
    if images is None or (train is not None and calibration is not None):
        given = "both" if images is not None else "neither"
        raise ToolflowError(f"one of --train and --calibration must be given, not {given}")
    if calibration is not None and for_training:
        raise ToolflowError(f"--{next(iter(for_training))} must come with --train")
    return images
