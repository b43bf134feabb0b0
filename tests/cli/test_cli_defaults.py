"""A default that signatures, data classes, help texts and documents state is the same value in all of them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from quant.cascade.calibrate import CalibrationOptions
from quant.config import QuantiseConfig
from quant.training.recipe import Recipe
from toolflow.cli import parsing
from toolflow.cli.build import build
from toolflow.cli.prune import DEFAULT_EPOCHS, prune
from toolflow.cli.quantise import quantise
from toolflow.cli.verify import verify
from toolflow.flow.finetuning import Finetuning
from toolflow.flow.precision import Precision
from toolflow.flow.pruning import PruneRequest
from toolflow.flow.request import Request
from toolflow.flow.runs.verify import DEFAULT_IMAGES
from toolflow.flow.runs.verify import verify as run_levels
from toolflow.flow.search import SEARCH_LOSS, Search
from toolflow.plan.explore.objective import THROUGHPUT

DOCS = Path(__file__).resolve().parents[2] / "docs"


def _defaults(signed: Callable[..., Any]) -> dict[str, Any]:
    """Return the default of each parameter that has one."""
    found = inspect.signature(signed).parameters.values()
    return {each.name: each.default for each in found if each.default is not inspect.Parameter.empty}


def _option(command: Callable[..., Any], name: str) -> Any:
    """Return the arguments that an option is declared with."""
    return inspect.signature(command).parameters[name].annotation.__metadata__[0]


def _page(name: str) -> str:
    return " ".join((DOCS / f"{name}.md").read_text(encoding="utf-8").split())


@pytest.mark.parametrize("command", [build, quantise])
def test_a_command_and_precision_have_the_same_defaults(command: Callable[..., Any]) -> None:
    given = _defaults(command)
    given["tile"] = parsing.parse_tile(given["tile"])
    given["layer_bits"] = parsing.parse_layer_bits(given["layer_bits"])
    assert Precision(**{field.name: given[field.name] for field in fields(Precision)}) == Precision()


def test_the_quantiser_has_the_same_defaults() -> None:
    asked, config = Precision(), QuantiseConfig()
    for name in ("first_last_bits", "ranges", "percentile", "rounding", "equalise", "tile", "pattern"):
        assert getattr(config, name) == getattr(asked, name), name
    assert config.family == asked.scales


def test_build_has_the_defaults_of_its_request() -> None:
    given, asked = _defaults(build), {field.name: field.default for field in fields(Request)}
    assert given["tolerance"] == asked["tolerance"] == CalibrationOptions().tolerance
    assert (given["objective"], given["batch"]) == (THROUGHPUT.goal, THROUGHPUT.batch)
    assert asked["objective"] is THROUGHPUT
    assert parsing.parse_units(given["single"], given["cascade"], given["morphing"]) is asked["units"]


def test_the_help_states_the_recipe_of_finetuning() -> None:
    for command in (build, quantise):
        stated = re.findall(r"(\w+=[\w.]*\w)", _option(command, "finetune_recipe").help)
        assert len(stated) == len(fields(Finetuning)) - 1  # all but the file
        assert parsing.parse_finetuning(Path("x.npz"), ",".join(stated)) == Finetuning(Path("x.npz"))


def test_the_help_states_the_recipe_of_pruning() -> None:
    recipe = {field.name: field.default for field in fields(Recipe)} | {"epochs": DEFAULT_EPOCHS}
    assert next(field for field in fields(Recipe) if field.name == "epochs").default is MISSING
    recipe["flip"] = "flip" if recipe["flip"] else "no-flip"
    for name in ("epochs", "batch", "rate", "flip"):
        assert str(_option(prune, name).help).endswith(f"; default: {recipe[name]}."), name
    listed = f"{recipe['epochs']} epochs, batches of {recipe['batch']}, rate {recipe['rate']}, mirrored images"
    assert listed in _page("winograd-and-sparsity")
    seeds = {_defaults(prune)["seed"], _defaults(PruneRequest)["seed"], recipe["seed"], QuantiseConfig().seed}
    assert len(seeds) == 1


@pytest.mark.parametrize(
    "text",
    [
        *(_option(command, "search_loss").help for command in (build, quantise, prune)),
        inspect.getdoc(Request),
        inspect.getdoc(PruneRequest),
        _page("search"),
    ],
    ids=["build", "quantise", "prune", "Request", "PruneRequest", "search.md"],
)
def test_the_loss_of_a_search_is_stated(text: str) -> None:
    (stated,) = re.findall(r"(?:default:|The default|search may lose.*None for) (\d\.\d+)\b", text)
    assert float(stated) == SEARCH_LOSS == _defaults(Search)["loss"]
    points = re.findall(r"which is ([\d.]+) points|is ([\d.]+) points", text)
    assert all(float(a or b) == pytest.approx(100 * SEARCH_LOSS) for a, b in points)


def test_verify_has_the_defaults_of_the_function() -> None:
    given, function = _defaults(verify), _defaults(run_levels)
    assert {name: given[name] for name in ("levels", "images", "seed")} == {
        name: function[name] for name in ("levels", "images", "seed")
    }
    assert f"None for {DEFAULT_IMAGES}." in str(inspect.getdoc(run_levels))
    assert f"images of each level; {DEFAULT_IMAGES} by default" in _page("verification")
