"""Finetuning: train the integers of a quantised network with its rounding in the loop; types do not change.

Training begins at the integers of post-training quantisation. Weights and tensors are on their integer grids, and
gradients pass straight through the rounding. Every layer has a batch norm during training. Folded back, it scales the
steps of a channel's weights, so the integers are the trained ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from quant.arrangement.arrange import IDENTITY
from quant.config import QuantiseConfig
from quant.post_training.solution import Held, LayerNumbers
from quant.quantise import Variant, requantise
from quant.training.checkpoint import Checkpoint
from quant.training.images import TrainingImages
from quant.training.loop import Step, Training, Watch, enough_memory
from quant.training.recipe import Recipe
from quant.training.trainable import TrainableNetwork
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph
from toolflow.ir.quantised import TensorType


def finetune(
    variant: Variant,
    teacher: Graph,
    images: npt.NDArray[np.uint8],
    data: TrainingImages,
    recipe: Recipe,
    told: Callable[[int, str], None] = lambda _, __: None,
    checkpoint: Checkpoint | None = None,
) -> Variant:
    """Return a quantised network with its weights and biases trained.

    Args:
        variant: the network; its widths, its scales of tensors, tiles and patterns are kept.
        teacher: the simplified float network, whose answers and maps are the targets.
        images: calibration images, uint8 (N, H, W, C), for the report.
        data: the training images.
        recipe: the training recipe.
        told: called as `Watch.batch`.
        checkpoint: keeps the state.

    Raises:
        ToolflowError: as `prune_and_train`, or the network cannot be finetuned.
    """
    model, numbers, config = variant.model, variant.model.weights(), variant.report.config
    require_finetuning(numbers, config)
    if config.equalise:  # its maps are scaled channel by channel
        recipe = replace(recipe, matched=0.0)
    start = _of_integers(model.graph, model.types, numbers)
    inner = {name: kind for name, kind in model.types.items() if name != model.graph.output}
    run = Training(teacher, data, recipe, Watch(lambda _: float("nan"), told), checkpoint)

    def outline() -> TrainableNetwork:
        return TrainableNetwork(start).quantised(inner, numbers)

    step = Step(
        "finetune", recipe.epochs, lambda _: outline().with_norms(run.sample), lambda: outline().with_norms(None)
    )
    with enough_memory(recipe):
        trained, _ = run.of([step])
    assert run.network is not None
    held = Held(
        model.types,
        {name: scale.numpy() for name, scale in run.network.weight_scales().items()},
        {name: each.exponent for name, each in numbers.items() if each.exponent is not None},
    )
    report = variant.report
    formed = config.model_copy(update={"tile": 0, "tiles": {}, "pattern": None, "patterns": {}})  # layers are as chosen
    made = requantise(trained, images, data.normalisation, formed, report.variant, held)
    notes = *report.notes, "the layers' errors are those before finetuning"
    return replace(made, report=replace(report, notes=notes))


def require_finetuning(layers: Iterable[str], config: QuantiseConfig) -> None:
    """Raise a ToolflowError if a network with these layers cannot be finetuned."""
    copies = [name for name in layers if name.endswith(IDENTITY)]
    if copies:
        raise ToolflowError(
            f"a network that requantises tensors on its own ({', '.join(copies)}) cannot be finetuned: build it "
            "without --finetune"
        )
    if config.family == "fixed-point":
        raise ToolflowError(
            "the fixed-point family cannot be finetuned, training cannot move scales that are powers of two: build it "
            "without --finetune, or with --scales multiplier"
        )


def _of_integers(graph: Graph, types: Mapping[str, TensorType], numbers: Mapping[str, LayerNumbers]) -> Graph:
    """Return the graph with the real values of its layers' integers."""
    nodes = []
    for node in graph.nodes:
        mine = numbers.get(node.name)
        if mine is None:
            nodes.append(node)
            continue
        source = types[node.inputs[0]].scale / node.op.sum_scale
        arrays = {"weight": mine.weight * mine.steps, "bias": mine.bias * (mine.weight_scale * source)}
        nodes.append(replace(node, weights={**node.weights, **arrays}))
    return replace(graph, nodes=tuple(nodes))
