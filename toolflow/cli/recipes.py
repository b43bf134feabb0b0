"""`toolflow recipes`: the recipes of `toolflow compress`."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from toolflow.cli.command import command
from toolflow.cli.terminal import Terminal


@command
def recipes(terminal: Terminal) -> None:
    """List the recipes of 'toolflow compress': what each does, needs and gives, its paper and its settings.

    Examples:

        toolflow recipes

        toolflow recipes --json
    """
    with terminal.progress("load the toolflow"):
        from dataclasses import asdict

        from quant.recipes.catalogue import catalogue

    table = Table(title="Recipes")
    for column in ("recipe", "what it does", "needs", "gives", "settings", "paper"):
        table.add_column(column)
    documents = []
    for recipe in (kind() for kind in catalogue().values()):
        needs = [*(["labels"] if recipe.needs_labels else []), *(["a budget"] if recipe.takes_budget else [])]
        settings = asdict(recipe)
        shown = ", ".join(f"{name}={value}" for name, value in settings.items())
        texts = (recipe.name, recipe.sentence, ", ".join(needs) or "images", recipe.gives, shown, recipe.paper)
        table.add_row(*map(escape, texts))
        documents.append(
            {
                "name": recipe.name,
                "sentence": recipe.sentence,
                "paper": recipe.paper,
                "gives": recipe.gives,
                "needs_labels": recipe.needs_labels,
                "takes_budget": recipe.takes_budget,
                "settings": settings,
            }
        )
    terminal.result({"recipes": documents}, table)
