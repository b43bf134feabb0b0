"""What a recipe works with: images, a judge, the board's prices, training, and the record of its steps.

A recipe that was cut short is run again from its start. What it asks of the workbench is then there: judged candidates
are in the store, and trainings continue at their checkpoints. So a recipe must draw random numbers from `rng` alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from quant.mechanisms.cost import Cost, Pricing
from quant.mechanisms.finetune import checkpoint_in, fine_tuned
from quant.mechanisms.judge import Judge, Trial, sampled
from quant.mechanisms.rewrite.channels import ChannelMap
from quant.mechanisms.search.executor import Executor
from quant.mechanisms.search.store import Store
from quant.training.distillation import Distillation
from quant.training.images import TrainingImages
from quant.training.recipe import Recipe
from toolflow.ir.graph import Graph


@dataclass(frozen=True)
class Step:
    """A step of a recipe.

    Attributes:
        what: what was done, in words.
        accuracy: on the judge's images.
        cost: of the network after it.
        judged: candidates that were judged since the step before.
        images: that were trained on since the step before, each as often as it was.
    """

    what: str
    accuracy: float
    cost: Cost
    judged: int
    images: int


@dataclass
class Workbench:
    """What a recipe works with.

    Attributes:
        teacher: the network before any recipe.
        data: the training images.
        judge: accuracies on images of its own.
        pricing: cycles on the board's engine.
        executor: judges candidates, here or elsewhere.
        store: what was judged.
        budget: share of the cycles that may remain, None if the recipe decides.
        seed: of all choices.
        batch: images of an optimiser step.
        flip: whether to train on mirrored images too.
        folder: for checkpoints, None to keep none.
        told: called with amounts of work and the current work.
        steps: the steps so far.
    """

    teacher: Graph
    data: TrainingImages
    judge: Judge
    pricing: Pricing
    executor: Executor
    store: Store
    budget: float | None = None
    seed: int = 0
    batch: int = 64
    flip: bool = False
    folder: Path | None = None
    told: Callable[[int, str], None] = lambda _, __: None
    steps: list[Step] = field(default_factory=list)
    _judged: int = field(default=0, init=False)
    _images: int = field(default=0, init=False)

    def rng(self, purpose: str) -> np.random.Generator:
        """Return random numbers for one purpose: the same in each run with the same seed."""
        return np.random.default_rng([self.seed, *purpose.encode()])

    def sample(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return training images as the network takes them, float32 (n, C, H, W), and their labels (n,) if any."""
        some = sampled(self.teacher, self.data.images, self.seed)
        x = self.data.inputs(self.data.images[some], torch.device("cpu")).contiguous()
        return x, None if self.data.labels is None else torch.as_tensor(self.data.labels[some])

    def held_out(self) -> torch.Tensor:
        """Return the judge's images as the network takes them, float32 (n, C, H, W)."""
        return self.data.inputs(self.judge.images, torch.device("cpu")).contiguous()

    def accuracies(self, candidates: Sequence[Trial], what: str = "judge") -> list[float]:
        """Return the accuracy of each candidate; those in the store are not judged again."""
        self._judged += len(candidates)
        keys = [candidate.digest for candidate in candidates]
        known = {key: self.store.get(key) for key in keys}
        places = {key: place for place, key in enumerate(keys) if known[key] is None}
        missing = list(places.values())
        for done, (index, accuracy) in enumerate(self.executor.results([candidates[place] for place in missing]), 1):
            known[keys[missing[index]]] = accuracy
            self.store.put(keys[missing[index]], accuracy)
            self.told(0, f"{what}, {done} of {len(missing)}")
        return [float(known[key]) for key in keys]

    def accuracy(self, network: Graph) -> float:
        """Return the accuracy of one network."""
        return self.accuracies([Trial(network)])[0]

    def without(self, channels: ChannelMap, removed: set[int]) -> Trial:
        """Return a candidate without classes of channels, whose statistics will be adapted."""
        kept = channels.masks(removed)
        made = channels.without(removed)
        names = [node.name for node in made.nodes if node.op.convolves and node.name in self.judge.wanted]
        wanted = self.judge.wanted
        return Trial(made, {name: kept[name] for name in names if len(wanted[name].mean) == len(kept[name])})

    def schedule(self, epochs: int, rate: float, taught: float = 0.9, matched: float = 0.0) -> Recipe:
        """Return a training schedule with this batch, mirroring and seed.

        Args:
            epochs: passes over the images.
            rate: learning rate at the start.
            taught: share of what the teacher says in the loss; all of it if there are no labels.
            matched: weight of the errors of maps.
        """
        return Recipe(epochs, self.batch, rate, taught=taught, matched=matched, flip=self.flip, seed=self.seed)

    def trained(
        self,
        network: Graph,
        what: str,
        recipe: Recipe,
        distillation: Distillation | None = None,
        deployed: Callable[[Graph], Graph] = lambda network: network,
        only: Sequence[str] | None = None,
    ) -> Graph:
        """Return a trained network, and record the step.

        Args:
            network: the network.
            what: the step, in words.
            recipe: the training recipe.
            distillation: what is learnt; None for the answers and maps of the network before any recipe.
            deployed: from the trained network to the one that is recorded.
            only: names of the layers that are trained, None for all.
        """
        settings = json.dumps([asdict(recipe), repr(distillation), only], sort_keys=True)
        others = () if distillation is None else distillation.teacher.graphs
        networks = " ".join(Trial(graph).digest for graph in (network, self.teacher, *others))
        origin = hashlib.sha256(f"{networks} {settings}".encode()).hexdigest()
        checkpoint = checkpoint_in(self.folder, origin[:16], origin)

        def told(images: int, state: str) -> None:
            self.told(0, f"{what}, {state}")

        found = fine_tuned(network, self.teacher, self.data, recipe, distillation, checkpoint, only, told)
        self._images += recipe.epochs * len(self.data.images)
        self.record(what, deployed(found))
        return found

    def record(self, what: str, network: Graph) -> None:
        """Record a step with the accuracy and the cost of the network after it."""
        judged, images = self._judged, self._images
        self.steps.append(Step(what, self.accuracy(network), self.pricing.cost(network), judged, images))
        self._judged = self._images = 0
        self.told(0, what)
