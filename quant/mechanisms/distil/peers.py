"""Networks that teach each other while all are trained: each peer learns from a mean of the peers of its own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import nn

from quant.float_network import float_logits
from quant.training.distillation import TeacherModule
from quant.training.terms import Said
from toolflow.ir.graph import Graph

Tensor = torch.Tensor

SHARED = 8  # features for each one of a query


@dataclass(frozen=True)
class Peers:
    """The last student learns from the mean of the peers before it, each peer from an attention over all peers.

    The weights are those of Chen et al. 2020: softmax over the peers of query · key, both linear in the features.
    Gradients go into the targets.

    Attributes:
        features: for each peer the tensor that its last layer reads.
        width: values of one of these tensors, channels of a map.
        attended: False for equal weights of all peers.
        seed: of the first queries and keys.
    """

    features: tuple[str, ...]
    width: int
    attended: bool = True
    seed: int = 0

    @property
    def graphs(self) -> tuple[Graph, ...]:
        """No other network teaches."""
        return ()

    def begun(self, before: Graph) -> TeacherModule:
        """Return the peers' attention at the start."""
        return PeerAttention(self)


class PeerAttention(TeacherModule):
    """The targets of peers and of their leader."""

    def __init__(self, given: Peers) -> None:
        super().__init__()
        self.features, self.attended = given.features, given.attended
        if given.attended:
            shape = max(given.width // SHARED, 1), given.width
            generator = torch.Generator().manual_seed(given.seed)
            bound = given.width**-0.5
            self.query, self.key = (
                nn.Parameter(torch.empty(shape).uniform_(-bound, bound, generator=generator)) for _ in range(2)
            )

    def weights(self, features: Tensor) -> Tensor:
        """Return how much each peer attends to each, (N, P, P) with rows that sum to 1, from features (N, P, F)."""
        count, peers, _ = features.shape
        if not self.attended:
            return features.new_full((count, peers, peers), 1 / peers)
        return torch.softmax((features @ self.query.T) @ (features @ self.key.T).transpose(1, 2), 2)

    def forward(self, x: Tensor, students: Sequence[Said], reads: Collection[str]) -> Sequence[Said]:
        """Return the targets of the peers and, last, of their leader."""
        *peers, _ = students
        maps = [said.maps[name] for said, name in zip(peers, self.features, strict=True)]
        features = torch.stack([each.flatten(2).mean(2) if each.ndim > 2 else each for each in maps], 1)
        logits = torch.stack([each.logits for each in peers], 1)
        targets = (self.weights(features) @ logits).unbind(1)
        return [Said(each, {}) for each in (*targets, logits.mean(1))]


def diversity(graphs: Sequence[Graph], x: Tensor) -> float:
    """Return the Euclidean distance of two networks' probabilities, the mean over all pairs and images.

    Args:
        graphs: two networks or more.
        x: normalised images (N, C, H, W).
    """
    said = [torch.softmax(float_logits(graph, x).flatten(1), 1) for graph in graphs]
    return float(torch.stack([(one - other).norm(dim=1).mean() for one, other in combinations(said, 2)]).mean())
