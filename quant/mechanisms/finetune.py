"""Fine-tune a float network, or train it from the start, with or without a teacher."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from quant.training.checkpoint import Checkpoint
from quant.training.distillation import Distillation
from quant.training.images import TrainingImages
from quant.training.loop import Step, Training, Watch, enough_memory
from quant.training.recipe import Recipe
from quant.training.trainable import TrainableNetwork
from toolflow.ir.graph import Graph


def fine_tuned(
    graph: Graph,
    teacher: Graph,
    data: TrainingImages,
    recipe: Recipe,
    distillation: Distillation | None = None,
    checkpoint: Checkpoint | None = None,
    only: Collection[str] | None = None,
    told: Callable[[int, str], None] = lambda _, __: None,
) -> Graph:
    """Return a network with its weights trained.

    Args:
        graph: the network.
        teacher: the network before, whose answers and maps are learnt.
        data: the training images.
        recipe: the schedule.
        distillation: what is learnt; None for the teacher's answers and maps, as the recipe weighs them.
        checkpoint: keeps the state after each epoch; with the last state of this run in it nothing is trained again.
        only: names of the layers that are trained, None for all.
        told: called as `Watch.batch`.

    Raises:
        ToolflowError: the memory is too small, or the loss is no number any more.
    """
    run = Training(teacher, data, recipe, Watch(lambda _: float("nan"), told), checkpoint, distillation)
    step = Step(
        "fine-tune",
        recipe.epochs,
        lambda _: TrainableNetwork(graph).training_only(only).with_norms(run.sample),
        lambda: TrainableNetwork(graph).training_only(only).with_norms(None),
    )
    with enough_memory(recipe):
        return run.of([step])[0]


def fresh(graph: Graph, seed: int) -> Graph:
    """Return the network with new random weights (He et al. 2015), as if it had never been trained."""
    rng = np.random.default_rng(seed)
    nodes = []
    for node in graph.nodes:
        if node.op.has_weights:
            shape = node.weights["weight"].shape
            weight = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
            node = replace(node, weights={**node.weights, "weight": weight, "bias": np.zeros(shape[0])})
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def checkpoint_in(folder: Path | None, name: str, origin: str) -> Checkpoint | None:
    """Return the checkpoint of one training of a stage, None without a folder."""
    return None if folder is None else Checkpoint(folder / f"training.{name}.checkpoint", origin)
