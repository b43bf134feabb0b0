"""The quantise stage: a float graph and images in, integer networks out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from quant.arrangement.arrange import Arrangement, arrange
from quant.config import MAX_CALIBRATION_IMAGES, MAX_TENSOR_ELEMENTS, Normalisation, QuantiseConfig
from quant.exchange.brevitas_model import BrevitasModel
from quant.exchange.extract import to_quantised_graph
from quant.post_training.equalise import equalise
from quant.post_training.quality import LayerQuality
from quant.post_training.solution import Held, Solution
from quant.post_training.walk import solve
from toolflow.ir.errors import Problem, ToolflowError, UnsupportedModelError
from toolflow.ir.graph import Graph
from toolflow.ir.quantised import QuantisedGraph
from toolflow.ir.unit import VariantName

Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class QuantiseReport:
    """What was done to one variant.

    Attributes:
        config: what was asked for.
        images: calibration images used.
        first, last: layers with `first_last_bits`.
        layers: widths, types and relative error of everything that rounds.
        notes: unified scales, inserted layers, layers treated otherwise than asked.
    """

    variant: str
    config: QuantiseConfig
    images: int
    first: tuple[str, ...]
    last: tuple[str, ...]
    layers: tuple[LayerQuality, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Variant:
    """One quantised network: its integers, the Brevitas model they came from, and how it was made."""

    graph: QuantisedGraph
    model: BrevitasModel
    report: QuantiseReport


@dataclass(frozen=True)
class Pair:
    """The low- and the high-precision network of one model."""

    low: Variant
    high: Variant


def quantise(
    graph: Graph,
    images: Images,
    normalisation: Normalisation,
    config: QuantiseConfig,
    variant: str = "single",
    progress: Callable[[str], None] = lambda _: None,
) -> Variant:
    """Quantise a float graph that has been through the passes.

    Args:
        graph: the float network.
        images: calibration images, uint8 (N, H, W, C); the first 1,024 are used, fewer where the
            network's maps would not fit the memory (the report says how many).
        normalisation: from pixel to the network's input.
        config: widths, family and means.
        variant: what the result is called.
        progress: is told each layer as it is begun.

    Raises:
        ToolflowError: the images do not fit, a layer named in the overrides does not exist, or an
            operator cannot be quantised.
    """
    _check_images(graph, images)
    _check_operators(graph)
    arrangement = _arranged(equalise(graph) if config.equalise else graph, config)
    x, reach = _inputs(graph, images, normalisation)
    solution = solve(arrangement, x, reach, config, progress)
    return _variant(arrangement, solution, normalisation, config, variant, len(x))


def requantise(
    graph: Graph, images: Images, normalisation: Normalisation, config: QuantiseConfig, variant: str, held: Held
) -> Variant:
    """Round a network again that was trained with its scales.

    Args:
        graph: the float network, its layers in the forms that they were trained in.
        images: as for `quantise`; they give the report its errors.
        normalisation: from pixel to the network's input.
        config: widths and family.
        variant: what the result is called.
        held: the scales.

    Raises:
        ToolflowError: as `quantise`.
    """
    _check_images(graph, images)
    arrangement = _arranged(graph, config)
    x, reach = _inputs(graph, images, normalisation)
    solution = solve(arrangement, x, reach, config, held=held)
    return _variant(arrangement, solution, normalisation, config, variant, len(x))


def _inputs(graph: Graph, images: Images, normalisation: Normalisation) -> tuple[torch.Tensor, float]:
    """Return the images that are used, float32 (N, C, H, W), and the largest magnitude that a pixel can have."""
    used = min(len(images), MAX_CALIBRATION_IMAGES, max(MAX_TENSOR_ELEMENTS // _largest(graph), 1))
    x = torch.as_tensor(normalisation.apply(images[:used])).float()
    return x, float(np.abs(normalisation.table(graph.input_shape[0])).max())


def _arranged(graph: Graph, config: QuantiseConfig) -> Arrangement:
    arrangement = arrange(graph, narrow=config.activation_bits < config.first_last_bits)
    _check_overrides(arrangement, config)
    return arrangement


def _variant(
    arrangement: Arrangement,
    solution: Solution,
    normalisation: Normalisation,
    config: QuantiseConfig,
    variant: str,
    images: int,
) -> Variant:
    model = BrevitasModel(solution.graph, solution.types, solution.layers)
    report = QuantiseReport(
        variant=variant,
        config=config,
        images=images,
        first=tuple(sorted(arrangement.first)),
        last=tuple(sorted(arrangement.last)),
        layers=solution.qualities,
        notes=(*arrangement.notes, *solution.notes),
    )
    return Variant(to_quantised_graph(model, normalisation, config.family, variant), model, report)


def make_pair(
    graph: Graph,
    images: Images,
    normalisation: Normalisation,
    low: QuantiseConfig,
    high: QuantiseConfig,
    progress: Callable[[str], None] = lambda _: None,
) -> Pair:
    """Quantise the low- and the high-precision network of one model.

    The image and the first and last layer have the same widths in both; they are cut for the
    narrower multiplier, so that the low-precision engine runs them exactly.

    Raises:
        ToolflowError: as `quantise`; or first and last layer's widths, or the family, differ.
    """
    for name in ("first_last_bits", "family"):
        if getattr(low, name) != getattr(high, name):
            raise ToolflowError(
                f"{name} must be the same in both variants, not {getattr(low, name)} and {getattr(high, name)}"
            )
    digit_bits = min(low.weight_bits, low.activation_bits)
    low, high = (config.model_copy(update={"digit_bits": digit_bits}) for config in (low, high))
    return Pair(
        quantise(graph, images, normalisation, low, VariantName.LOW, lambda layer: progress(f"low, {layer}")),
        quantise(graph, images, normalisation, high, VariantName.HIGH, lambda layer: progress(f"high, {layer}")),
    )


def _largest(graph: Graph) -> int:
    return max(int(np.prod(shape)) for shape in graph.shapes.values())


def _check_images(graph: Graph, images: Images) -> None:
    channels, height, width = graph.input_shape
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (height, width, channels):
        raise ToolflowError(
            f"calibration images must be uint8 of shape (N, {height}, {width}, {channels}), "
            f"not {images.dtype} {images.shape}"
        )
    if len(images) == 0:
        raise ToolflowError("there must be at least 1 calibration image, not 0")


def _check_operators(graph: Graph) -> None:
    problems = [
        Problem(
            node.name,
            node.op.kind,
            "",
            node.op.kind,
            "conv, linear, pools, add, concat, flatten, pad and shortcut",
            node.op.remedy,
        )
        for node in graph.nodes
        if node.op.rounds is None
    ]
    if problems:
        raise UnsupportedModelError(problems)


def _check_overrides(arrangement: Arrangement, config: QuantiseConfig) -> None:
    names = [n.name for n in arrangement.graph.nodes if n.op.rounds]
    unknown = sorted(set(config.overrides) - set(names))
    if unknown:
        raise ToolflowError(
            f"overrides (--layer-bits) must name layers of the network, not {', '.join(unknown)}; "
            f"its layers are {', '.join(names)}"
        )
