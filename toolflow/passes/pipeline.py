"""The passes of every imported model in their order, with the reason for each place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from toolflow.ir.graph import Graph, verify_graph
from toolflow.passes.complete_windows import complete_windows
from toolflow.passes.express_shortcuts import express_shortcuts
from toolflow.passes.fold_batch_norm import fold_batch_norm
from toolflow.passes.fold_input import fold_input
from toolflow.passes.fold_pad import fold_pad
from toolflow.passes.fuse_relu import fuse_relu
from toolflow.passes.hoist_relu import hoist_relu
from toolflow.passes.merge_shortcuts import merge_shortcuts
from toolflow.passes.two_logits import two_logits


@dataclass(frozen=True)
class Step:
    """One pass of the pipeline.

    Attributes:
        run: the pass.
        does: what it did to a removed node, for `toolflow check`.
        order: the reason for its place.
    """

    run: Callable[[Graph], Graph]
    does: str
    order: str


PIPELINE: tuple[Step, ...] = (
    Step(
        fold_input,
        "part of the input table",
        "first: no other pass may turn these nodes into a layer or give their constants to one",
    ),
    Step(
        complete_windows,
        "written without ceil mode",
        "before the others, which read a pool's pads and need them exact",
    ),
    Step(
        merge_shortcuts,
        "merged into a sub-sampling shortcut",
        "before fold_pad, which must not see channel padding; 1×1 pools go before anything reads them as pools",
    ),
    Step(
        hoist_relu,
        "moved in front of an operator that it commutes with",
        "before fold_pad, so that a max pool's input is known to be non-negative, and before fuse_relu",
    ),
    Step(
        fold_batch_norm,
        "folded into the weights of the layer next to it",
        "before fuse_relu: a layer that already rectifies can no longer be scaled",
    ),
    Step(
        fold_pad,
        "folded into the operator that reads it",
        "after hoist_relu, and before fuse_relu so that a pad that stays, now a convolution, can rectify",
    ),
    Step(
        fuse_relu,
        "applied by the operator before it",
        "after everything that makes convolutions which a rectifier may follow",
    ),
    Step(
        express_shortcuts,
        "replaced by an operator that stands alone",
        "only now is it certain which tensors additions read",
    ),
    Step(
        two_logits,
        "given a second logit",
        "last: the layer that gives the only logit has its batch norm and its rectifier by now",
    ),
)


def simplify(graph: Graph) -> Graph:
    """Return an equal graph of conv, linear, pools, add, concat, flatten and shortcut only.

    Raises:
        ToolflowError: the imported graph is not sound.
    """
    verify_graph(graph)
    for step in PIPELINE:
        graph = step.run(graph)
        verify_graph(graph)
    return graph
