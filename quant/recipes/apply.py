"""Apply a recipe to a network; what a recipe of one's own does wrong ends in a sentence."""

from __future__ import annotations

import inspect
import traceback
from pathlib import Path

from quant.recipes.catalogue import OWN_MODULE
from quant.recipes.recipe import CompressionRecipe
from quant.recipes.workbench import Workbench
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph, verify_graph


def applied(recipe: CompressionRecipe, network: Graph, bench: Workbench) -> Graph:
    """Return what a recipe makes of a network.

    Raises:
        ToolflowError: the network cannot be treated; or a recipe of one's own fails, or returns no network with the
            same input and output.
    """
    own = type(recipe).__module__.startswith(OWN_MODULE)
    try:
        made = recipe.run(network, bench)
    except ToolflowError:
        raise
    except Exception as error:
        if not own:
            raise
        raise _failed(recipe, f"line {_line(recipe, error)}: {type(error).__name__}: {error}") from error
    if not isinstance(made, Graph):
        raise _failed(recipe, f"run must return a Graph, not {type(made).__name__}")
    try:
        verify_graph(made)
    except ToolflowError as error:
        raise _failed(recipe, str(error)) from error
    for what, before, after in (
        ("read images", network.input_shape, made.input_shape),
        ("answer", network.shapes[network.output], made.shapes[made.output]),
    ):
        if before != after:
            raise _failed(recipe, f"its network must {what} of shape {before}, not {after}")
    return made


def _failed(recipe: CompressionRecipe, why: str) -> ToolflowError:
    return ToolflowError(f"the recipe {recipe.name} ({Path(inspect.getfile(type(recipe))).name}) failed: {why}")


def _line(recipe: CompressionRecipe, error: Exception) -> int | None:
    """Return the last line of the recipe's file that led to an error."""
    file = inspect.getfile(type(recipe))
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if frame.filename == file), None)
