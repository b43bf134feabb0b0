"""Run a quantised graph on images: the definition that every other level must equal."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from toolflow.ir.errors import ToolflowError
from toolflow.ir.quantised import QuantisedGraph
from toolflow.operators.folders import reference_of
from toolflow.operators.integers import Integers

Int64Array = npt.NDArray[np.int64]

CHUNK_IMAGES = 8
BATCH_IMAGES = 256  # images between two progress reports


def run(graph: QuantisedGraph, images: npt.NDArray[np.uint8], keep: Collection[str] = ()) -> dict[str, Int64Array]:
    """Return integer tensors of the graph for uint8 images (N, H, W, C).

    The output is always returned, the tensors named in `keep` too; maps as (N, C, H, W), int64.
    Images are taken in chunks, one thread per core: the result does not depend on the chunking.

    Raises:
        ToolflowError: the images' shape or type is not the graph's.
    """
    channels, height, width = graph.input_shape
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (height, width, channels):
        raise ToolflowError(
            f"images must be uint8 of shape (N, {height}, {width}, {channels}), not {images.dtype} {images.shape}"
        )
    wanted = {graph.output, *keep}
    unknown = sorted(wanted - set(graph.shapes))
    if unknown:
        raise ToolflowError(f"tensors to keep must be in the graph, not {unknown}")
    chunks = [images[i : i + CHUNK_IMAGES] for i in range(0, len(images), CHUNK_IMAGES)]
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        parts = list(pool.map(lambda chunk: _run_chunk(graph, chunk, wanted), chunks))
    empty = {name: np.zeros((0, *graph.shapes[name]), np.int64) for name in wanted}
    return {name: np.concatenate([part[name] for part in parts]) if parts else empty[name] for name in wanted}


def _run_chunk(graph: QuantisedGraph, images: npt.NDArray[np.uint8], wanted: set[str]) -> dict[str, Int64Array]:
    last_use = {tensor: index for index, node in enumerate(graph.nodes) for tensor in node.inputs}
    table = graph.input_table.astype(np.float32)
    x: Integers = table[np.arange(table.shape[0]), images]
    live: dict[str, Integers] = {graph.input_name: x}
    kept = {name: _channels_first(live[name]) for name in wanted & {graph.input_name}}
    for index, node in enumerate(graph.nodes):
        live[node.name] = reference_of(node.op.kind)(node, [live[t] for t in node.inputs], graph.types)
        if node.name in wanted:
            kept[node.name] = _channels_first(live[node.name])
        for tensor in dict.fromkeys(node.inputs):
            if last_use[tensor] == index:
                del live[tensor]
    return kept


def _channels_first(x: Integers) -> Int64Array:
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2) if x.ndim == 4 else x).astype(np.int64)


def logits_of(
    graph: QuantisedGraph, images: npt.NDArray[np.uint8], progress: Callable[[int], None] = lambda _: None
) -> Int64Array:
    """Return the graph's integer outputs for uint8 images (N, H, W, C) as (N, K).

    Args:
        graph: one unit's network.
        images: what it takes, before its input table.
        progress: called with the number of images after each chunk.

    Raises:
        ToolflowError: the images' shape or type is not the graph's.
    """
    parts = [np.zeros((0, int(np.prod(graph.shapes[graph.output]))), np.int64)]
    for start in range(0, len(images), BATCH_IMAGES):
        batch = images[start : start + BATCH_IMAGES]
        parts.append(run(graph, batch)[graph.output].reshape(len(batch), -1))
        progress(len(batch))
    return np.concatenate(parts)
