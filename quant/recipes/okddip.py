"""OKDDip: peers that share a stem teach each other with weights of their own, and one of them teaches the leader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quant.mechanisms.distil.peers import Peers, diversity
from quant.mechanisms.finetune import fresh
from quant.mechanisms.rewrite.branches import Branched
from quant.recipes.recipe import CompressionRecipe, setting
from quant.recipes.workbench import Workbench
from quant.training.distillation import Distillation
from quant.training.schedules import Constant, RampUp
from quant.training.terms import SoftAnswers
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph

TEMPERATURE = 3.0


@dataclass(frozen=True)
class OkdDip(CompressionRecipe):
    """Online knowledge distillation with diverse peers (Chen, Mei, Wang, Feng, Chen 2020).

    Three peers and a leader share the stem and have copies of the last stage. Each peer learns from a mean of the
    peers with weights of its own, the leader from their plain mean. The leader is kept.

    Our reading: the last stage are the layers whose maps are as large as the last convolution's. The features of a peer
    are what its last layer reads, averaged over positions. Targets get gradients, the leader's too.

    Attributes:
        peers: beside the leader.
        epochs: of the training, from random weights.
        rate: learning rate at the start.
        rise: share of the training in which the weight of the peers rises to 1.
    """

    name: ClassVar[str] = "okddip"
    sentence: ClassVar[str] = "Train fresh copies of the last stage that teach each other, and keep their leader."
    paper: ClassVar[str] = "Chen, Mei, Wang, Feng, Chen, AAAI 2020, arXiv 1912.00350"
    gives: ClassVar[str] = "new weights"
    needs_labels: ClassVar[bool] = True

    peers: int = setting(3, 2)
    epochs: int = setting(60, 1)
    rate: float = setting(0.004, 1e-6, 1)
    rise: float = setting(80 / 300, 0.01, 1)

    def run(self, network: Graph, bench: Workbench) -> Graph:
        """Return the leader."""
        if bench.data.labels is None:
            raise ToolflowError("okddip needs labels: the training images must have an array y")
        branched = Branched.of(network, self.peers + 1)
        start = fresh(branched.graph, bench.seed)
        schedule = bench.schedule(self.epochs, self.rate)
        leader, *peers = (self.peers, *range(self.peers))
        together = bench.trained(
            start,
            f"train {self.peers} peers and a leader behind {len(branched.stem)} shared nodes",
            schedule,
            self.distillation(branched, bench),
            deployed=lambda trained: branched.branch(trained, leader),
        )
        apart = diversity([branched.branch(together, peer) for peer in peers], bench.held_out())
        kept = branched.branch(together, leader)
        bench.record(f"keep the leader; the peers' answers are {apart:.3f} apart", kept)
        return kept

    def distillation(self, branched: Branched, bench: Workbench) -> Distillation:
        """Return what the peers and the leader learn."""
        teacher = self.teacher(branched, bench)
        return Distillation(
            terms=(SoftAnswers(Constant(TEMPERATURE)),),
            taught=RampUp(1, self.rise),
            labelled=Constant(1),
            teacher=teacher,
            reads=teacher.features,
            members=branched.count,
        )

    def teacher(self, branched: Branched, bench: Workbench) -> Peers:
        """Return how the peers teach each other."""
        features = last_features(branched.whole)
        names = tuple(branched.name(features, peer) for peer in range(self.peers))
        return Peers(names, branched.whole.shapes[features][0], seed=bench.seed)


def last_features(graph: Graph) -> str:
    """Return the tensor that the last layer with weights reads."""
    return next(node for node in reversed(graph.nodes) if node.op.has_weights).inputs[0]
