"""Two networks as the wide and the narrow programs of one engine."""

from __future__ import annotations

from toolflow.engine.config import FITTED, EngineConfig
from toolflow.ir.errors import ToolflowError
from toolflow.ir.quantised import QuantisedGraph
from toolflow.plan.schedule.needs import fit_depths


def fit_both(wide: QuantisedGraph, narrow: QuantisedGraph, engine: EngineConfig) -> EngineConfig:
    """Return an engine with two precisions, with depths and widths just large enough for both of its networks.

    `compile_program` takes `engine.of(narrow=False)` for the first of them and `engine.of(narrow=True)` for the other.

    Args:
        wide: the network of the wide programs.
        narrow: the network of the narrow ones, for the same images and classes.
        engine: with `narrow_bits`.

    Raises:
        ToolflowError: the engine has one precision, the networks differ in their images or results, or the graph of one
            holds something that its precision of the engine does not run.
    """
    precisions = engine.of(narrow=True), engine.of(narrow=False)
    require_alike(wide, narrow)
    fitted = [fit_depths(graph, seen) for graph, seen in zip((narrow, wide), precisions, strict=True)]
    return engine.fitted({name: max(getattr(each, name) for each in fitted) for name in FITTED})


def require_alike(wide: QuantisedGraph, narrow: QuantisedGraph) -> None:
    """Refuse two networks that cannot answer for the same image.

    Raises:
        ToolflowError: their images or their results differ in shape.
    """
    for what, shapes in (
        ("read images of one shape", (wide.input_shape, narrow.input_shape)),
        ("have results of one shape", (wide.shapes[wide.output], narrow.shapes[narrow.output])),
    ):
        if shapes[0] != shapes[1]:
            raise ToolflowError(
                f"the two networks of an engine with two precisions must {what}, not {_text(shapes[0])} "
                f"('{wide.name}', {wide.variant}) and {_text(shapes[1])} ('{narrow.name}', {narrow.variant}): quantise "
                "both from one network, or give each its own engine"
            )


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
