"""A pruned float network as one safetensors file; the metadata hold tiles, patterns and history."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from quant.arrangement.arrange import arrange
from quant.arrangement.forms import cannot_carry, convolution, free_layers, is_direct, with_pattern
from quant.sparsity.choice import Choice, choice_of
from quant.sparsity.steps import PruneStep
from toolflow.ir.artefacts import Part, PatternText, Record
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph, Node
from toolflow.numerics.srbs import Pattern, obeys
from toolflow.numerics.winograd import KERNEL, WINOGRAD
from toolflow.operators import WinogradConv

FORMAT = "cascade-toolflow pruned network"  # the metadata's only key: of several the order in the file is random

Arrays = dict[str, npt.NDArray[np.float32]]


class _StoredChoice(Part):
    """A layer's tile and its pattern."""

    tile: int
    pattern: PatternText | None

    @property
    def choice(self) -> Choice:
        return Choice(self.tile, self.pattern)


class PrunedNetwork(Record):
    """What a pruned file holds beside the weights.

    Attributes:
        network: SHA-256 of the network's names and shapes (`network_digest`).
        layers: tile and pattern of each convolution.
        steps: of its making, where they are known.
    """

    remedy: ClassVar[str] = "prune again"
    schema_version: Literal[1] = 1
    network: str
    layers: dict[str, _StoredChoice]
    steps: tuple[PruneStep, ...] = ()

    @property
    def choices(self) -> dict[str, Choice]:
        """The tile and the pattern of each convolution."""
        return {name: stored.choice for name, stored in self.layers.items()}


def save_pruned(graph: Graph, path: Path, steps: Sequence[PruneStep] = ()) -> None:
    """Write a pruned network; the file is there as a whole or not at all.

    Args:
        graph: a simplified network whose convolutions have the tiles and patterns that they are to have.
        path: the .safetensors file.
        steps: of its making.
    """
    arrays: Arrays = {}
    layers = {}
    for node in graph.nodes:
        if not node.op.has_weights:
            continue
        for name in ("weight", "bias"):
            arrays[f"{node.name}.{name}"] = np.ascontiguousarray(node.weights[name], dtype=np.float32)
        if node.op.convolves:
            choice = choice_of(node.op)
            layers[node.name] = _StoredChoice(tile=choice.tile, pattern=choice.pattern)
    history = tuple(PruneStep(pattern=step.pattern, epochs=step.epochs, accuracy=step.accuracy) for step in steps)
    record = PrunedNetwork(network=network_digest(graph), layers=layers, steps=history)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(save(arrays, {FORMAT: json.dumps(record.model_dump(mode="json"))}))
    partial.replace(path)


def load_pruned(graph: Graph, path: Path, tile: int | None = None, pattern: Pattern | None = None) -> Graph:
    """Return the network with a pruned file's operators and weights.

    Args:
        graph: the simplified network that was pruned.
        path: what `save_pruned` wrote.
        tile: that its 3 × 3 layers of stride 1 must have, 0 if they must be direct, None for any.
        pattern: that its sparse layers must have, None for any.

    Raises:
        ToolflowError: the file is no pruned network, one of another network, of another tile or pattern than asked for,
            or its weights do not obey their pattern.
    """
    record, arrays = _read(path)
    layers = record.choices
    if record.network != network_digest(graph):
        raise ToolflowError(
            f"{path} must be a pruned {graph.name}, not another network: its layers' names or shapes differ"
        )
    free = free_layers(arrange(graph)) if tile is not None else {}
    nodes = []
    for node in graph.nodes:
        if not node.op.has_weights:
            nodes.append(node)
            continue
        choice = layers.get(node.name, Choice(0, None))
        if tile is not None and node.name in free and choice.tile != tile:
            form = f"F({choice.tile},3)" if choice.tile else "direct"
            raise ToolflowError(f"{path} must hold layers of tile {tile}, but '{node.name}' is {form} there")
        if pattern is not None and choice.pattern not in (None, pattern):
            raise ToolflowError(
                f"{path} must hold layers of pattern {pattern}, but '{node.name}' was pruned to {choice.pattern}"
            )
        nodes.append(_replaced(node, choice, arrays, path))
    return replace(graph, nodes=tuple(nodes))


def pruning_steps(path: Path) -> tuple[PruneStep, ...]:
    """Return how a pruned file was made, where it says.

    Raises:
        ToolflowError: it is none.
    """
    return _read(path)[0].steps


def has_tiles(path: Path) -> bool:
    """Return whether a pruned file has Winograd layers.

    Raises:
        ToolflowError: it is none.
    """
    return any(choice.tile for choice in _read(path)[0].choices.values())


def network_digest(graph: Graph) -> str:
    """Return the SHA-256 of the nodes' names and shapes, whatever their tiles, patterns and weights are."""
    nodes = []
    for node in graph.nodes:
        kernel = node.weights["weight"].shape if node.op.has_weights else ()
        if node.op.tile:
            kernel = (*kernel[:2], KERNEL, KERNEL)
        nodes.append([node.name, list(node.inputs), list(graph.shapes[node.name]), list(kernel)])
    text = json.dumps([graph.input_name, list(graph.input_shape), nodes])
    return hashlib.sha256(text.encode()).hexdigest()


def _read(path: Path) -> tuple[PrunedNetwork, Arrays]:
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # the file is no dict
    except (OSError, SafetensorError, ValueError) as error:
        raise ToolflowError(f"{path} cannot be read as a pruned network ({error}): prune again") from error
    if FORMAT not in metadata:
        raise ToolflowError(f"{path} must be a pruned network that 'toolflow prune' wrote, not other safetensors")
    return PrunedNetwork.parse(metadata[FORMAT], path), arrays


def _replaced(node: Node, choice: Choice, arrays: Arrays, path: Path) -> Node:
    """Return the node with its pruned operator and weights."""
    weights = dict(node.weights)
    shape = weights["weight"].shape
    pattern = choice.pattern
    made = node
    if is_direct(node) and (choice.tile or pattern is not None):
        problem = cannot_carry(node.op, shape, pattern)
        if choice.tile and (choice.tile not in WINOGRAD or shape[2:] != (KERNEL, KERNEL)):
            problem = f"it has no Winograd form of tile {choice.tile}"
        if problem is not None:
            raise ToolflowError(f"{path} is damaged: '{node.name}' cannot be as it says, {problem}")
        made = with_pattern(node, pattern)
        if choice.tile:
            op = convolution(node)
            made = replace(node, op=WinogradConv(choice.tile, op.pads, pattern, op.activation))
            shape = (*shape[:2], WINOGRAD[choice.tile].taps, WINOGRAD[choice.tile].taps)
    for name, wanted in (("weight", shape), ("bias", shape[:1])):
        array = arrays.get(f"{node.name}.{name}")
        if array is None or array.shape != wanted or not np.isfinite(array).all():
            found = "missing" if array is None else f"{array.shape}, or not finite"
            raise ToolflowError(f"{path} is damaged: '{node.name}.{name}' must be finite numbers {wanted}, not {found}")
        weights[name] = array
    if pattern is not None and not obeys(weights["weight"], pattern, shared=choice.tile > 0):
        raise ToolflowError(
            f"{path}: the weights of '{node.name}' must obey its pattern {pattern}, but sub-rows hold more values"
        )
    return replace(made, weights=weights)
