"""Find recipes: those of this package by their names, a user's own by its file."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

import quant.recipes
from quant.recipes.recipe import CompressionRecipe
from toolflow.ir.errors import ToolflowError

OWN_MODULE = "toolflow_user_recipe_"  # in front of the name of a user's file


@cache
def catalogue() -> Mapping[str, type[CompressionRecipe]]:
    """Return the recipes of this package by their names, in order."""
    modules = (import_module(f"{quant.recipes.__name__}.{each.name}") for each in iter_modules(quant.recipes.__path__))
    found = [recipe for module in modules for recipe in recipes_in(module)]
    return {recipe.name: recipe for recipe in sorted(found, key=lambda recipe: recipe.name)}


def recipes_in(module: ModuleType) -> list[type[CompressionRecipe]]:
    """Return the recipes that a module defines itself."""
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, CompressionRecipe) and value.__module__ == module.__name__
        and value is not CompressionRecipe
    ]  # fmt: skip


def find_recipe(text: str) -> CompressionRecipe:
    """Return the recipe of a name, or of a Python file that defines one, with its default settings.

    Raises:
        ToolflowError: there is none, or the file cannot be run.
    """
    if text.endswith(".py"):
        return _own_recipe(Path(text))
    if text not in catalogue():
        raise ToolflowError(
            f"--recipe must be one of {', '.join(catalogue())}, or a Python file with a recipe, not '{text}'"
        )
    return catalogue()[text]()


def with_settings(recipe: CompressionRecipe, settings: Mapping[str, str]) -> tuple[CompressionRecipe, set[str]]:
    """Return a recipe with those settings that it has, and their names.

    Raises:
        ToolflowError: a value is of another kind than the setting's default.
    """
    known = {field.name: getattr(recipe, field.name) for field in fields(recipe)}
    given = {name: _as_kind(recipe.name, name, text, known[name]) for name, text in settings.items() if name in known}
    return replace(recipe, **given), set(given)


def _as_kind(recipe: str, name: str, text: str, default: Any) -> Any:
    kind = type(default)
    try:
        if kind is bool:
            return {"yes": True, "no": False}[text]
        return kind(text)
    except (ValueError, KeyError, TypeError):
        wanted = {bool: "yes or no", int: "a whole number", float: "a number"}.get(kind, kind.__name__)
        raise ToolflowError(f"--settings: {name} of {recipe} must be {wanted}, not '{text}'") from None


def _own_recipe(path: Path) -> CompressionRecipe:
    name = f"{OWN_MODULE}{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise ToolflowError(f"--recipe {path} must be a Python file; there is none")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for it
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ToolflowError(f"--recipe {path} cannot be run: {type(error).__name__}: {error}") from error
    found = recipes_in(module)
    if len(found) != 1 or not is_dataclass(found[0]):
        names = ", ".join(each.__name__ for each in found) or "none"
        raise ToolflowError(
            f"--recipe {path} must define one frozen dataclass that derives from CompressionRecipe, not {names}"
        )
    lacking = [each for each in ("name", "sentence", "paper", "gives") if not hasattr(found[0], each)]
    if lacking:
        raise ToolflowError(f"--recipe {path}: {found[0].__name__} must have {', '.join(lacking)}")
    try:
        return found[0]()
    except TypeError as error:
        raise ToolflowError(
            f"--recipe {path}: {found[0].__name__} must have defaults for its settings: {error}"
        ) from error
