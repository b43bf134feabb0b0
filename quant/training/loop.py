"""Training in steps: prune to fewer values in a sub-row, and train after each step with the support fixed.

    dense ─ prune 8:16 ─ train ─ prune 5:16 ─ train ─ prune 3:16 ─ train ─ pruned

The dense network is the teacher. The loss is the divergence from its answers, the error of the maps between blocks, and
the cross entropy of the labels if there are labels; the maps help most at the start. A `Distillation` says otherwise.
All random numbers come from the seed, the step and the epoch. So an interrupted run that resumes after an epoch gives
the same weights as an uninterrupted one, on the same machine with as many threads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch

from quant.config import MAX_CALIBRATION_IMAGES, Normalisation
from quant.sparsity.choice import Choice, shaped
from quant.sparsity.prune import prune_graph
from quant.training.checkpoint import Checkpoint
from quant.training.distillation import Distillation, Lesson
from quant.training.images import Images, Labels, TrainingImages, augmented
from quant.training.native.library import COMPILER, WIDEST_LANES, library
from quant.training.recipe import Recipe
from quant.training.steps import epochs_of_steps, gradual, patterns_of
from quant.training.trainable import TrainableNetwork
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph

Tensor = torch.Tensor

NORM_IMAGES = 1024  # from which batch norms take their means and variances, before and after a step's training
NORM_ELEMENTS = 1 << 26  # of one tensor over those images
EVALUATED_AT_ONCE = 256


class Event(TypedDict):
    """The measurement after pruning (epochs 0, no loss) or after training of a step."""

    pattern: str
    epochs: int
    loss: float | None
    accuracy: float


@dataclass(frozen=True)
class Watch:
    """Callbacks of a training run.

    Attributes:
        measure: returns the accuracy of a network on images that training does not see.
        batch: called after each batch with its number of images, and the state in words.
        layer: called with each layer that is pruned.
    """

    measure: Callable[[Graph], float]
    batch: Callable[[int, str], None] = lambda _, __: None
    layer: Callable[[str], None] = lambda _: None


@dataclass(frozen=True)
class Step:
    """Part of a run.

    Attributes:
        what: its patterns, in words.
        epochs: that it trains.
        begin: from the network so far to the one that is trained, batch norms included.
        outline: the latter as it is before a state is loaded.
    """

    what: str
    epochs: int
    begin: Callable[[Graph], TrainableNetwork]
    outline: Callable[[], TrainableNetwork]


def slower_here() -> tuple[str, ...]:
    """Return a sentence where training could be faster on this machine."""
    if torch.cuda.is_available() or library() is not None:
        return ()
    return (f"torch alone trained: with {COMPILER} 12 or newer it takes half of the time",)


def batch_sizes(images: int, batch: int, multiple: int = 1) -> list[int]:
    """Return the sizes of an epoch's batches: equal except for the last, which is at least half as large.

    Args:
        images: number of images.
        batch: requested size.
        multiple: sizes are multiples of this number, unless they are smaller.
    """
    size = batch // multiple * multiple or batch
    full, rest = divmod(images, size)
    if rest == 0 or full == 0:
        return [size] * full or [images]
    return [size] * full + [rest] if 2 * rest >= size else [size] * (full - 1) + [size + rest]


def prune_and_train(
    dense: Graph,
    data: TrainingImages,
    choices: Mapping[str, Choice],
    recipe: Recipe,
    watch: Watch,
    checkpoint: Checkpoint | None = None,
) -> tuple[Graph, list[Event]]:
    """Return the pruned and trained network, and the measurements of each step.

    Steps that would get no epoch are omitted. If the checkpoint's file exists, training continues after its last
    finished epoch.

    Raises:
        ToolflowError: the memory is too small, the loss is no number any more, or the checkpoint cannot be read.
    """
    run = Training(dense, data, recipe, watch, checkpoint)
    steps = gradual(choices)
    planned = zip(steps, epochs_of_steps(len(steps), recipe.epochs), strict=True)
    with enough_memory(recipe):
        return run.of([run.pruning(step, epochs) for step, epochs in planned if epochs or step is steps[-1]])


class Training:
    """The state of one run.

    Args:
        dense: the teacher.
        data: the training images.
        recipe: the training recipe.
        watch: callbacks.
        checkpoint: keeps the state; None to keep none.
        distillation: what is learnt; None for the answers and the maps of the teacher, as the recipe weighs them.
    """

    def __init__(
        self,
        dense: Graph,
        data: TrainingImages,
        recipe: Recipe,
        watch: Watch,
        checkpoint: Checkpoint | None,
        distillation: Distillation | None = None,
    ) -> None:
        self.dense, self.data, self.recipe, self.watch, self.checkpoint = dense, data, recipe, watch, checkpoint
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.lesson = Lesson(distillation or Distillation.of(recipe), dense).to(self.device)
        native = self.device.type == "cpu" and library() is not None
        self.sizes = batch_sizes(len(data.images), recipe.batch, WIDEST_LANES if native else 1)
        self.order = np.random.default_rng(recipe.seed).permutation(len(data.images))
        self.history: list[Event] = []
        self.network: TrainableNetwork | None = None  # that was trained last

    @property
    def sample(self) -> Tensor:
        """Return training images for the statistics of batch norms; they are shifted, as those of batches are."""
        largest = max(int(np.prod(shape)) for shape in self.dense.shapes.values())
        some = self.data.images[self.order[: min(NORM_IMAGES, max(NORM_ELEMENTS // largest, 1))]]
        shifted = augmented(some, np.random.default_rng(self.recipe.seed), self.recipe.flip)
        return self.data.inputs(shifted, torch.device("cpu"))

    def of(self, steps: Sequence[Step]) -> tuple[Graph, list[Event]]:
        """Take the steps, behind those that the checkpoint has; return the network and what was measured."""
        state = None if self.checkpoint is None else self.checkpoint.read()
        graph = self.dense
        done = 0  # epochs
        for number, step in enumerate(steps):
            if state is not None and number < state["step"]:
                done += step.epochs
                continue
            if state is not None:
                network = step.outline()
                network.load_state_dict(state["network"])
                self.lesson.load_state_dict(state["lesson"], strict=False)  # fixed teachers are not kept
                self.history = state["history"]
            else:
                network = step.begin(graph)
            network = network.to(self.device)
            optimiser = self._optimiser(network)
            first = 0
            if state is not None:
                optimiser.load_state_dict(state["optimiser"])
                first = state["epoch"]
                self.watch.batch((done + first) * len(self.data.images), "resumed")
            loss = None if state is None else state["loss"]
            state = None
            for epoch in range(first, step.epochs):
                what = f"{step.what}, epoch {epoch + 1} of {step.epochs}"
                loss = self._epoch(network, optimiser, done + epoch, what)
                self._keep(number, epoch + 1, loss, network, optimiser)
            done += step.epochs
            self.network = network.cpu().with_norms(self.sample)  # running means lag behind the weights
            graph = self.network.trained()
            self._note(graph, step.what, step.epochs, loss)
        return graph, self.history

    def pruning(self, choices: Mapping[str, Choice], epochs: int) -> Step:
        """Return the step that prunes to the choices and trains."""

        def begin(graph: Graph) -> TrainableNetwork:
            images = self.data.images[self.order[:MAX_CALIBRATION_IMAGES]]
            layer = self.watch.layer
            try:
                pruned = prune_graph(graph, images, self.data.normalisation, choices, layer, self.recipe.seed)
            except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]  # values without bounds
                raise self._lost(f"training before {patterns_of(choices)}") from error
            self._note(pruned, patterns_of(choices), 0, None)
            return TrainableNetwork(pruned).with_norms(self.sample)

        def outline() -> TrainableNetwork:
            return TrainableNetwork(shaped(self.dense, choices)).with_norms(None)

        return Step(patterns_of(choices), epochs, begin, outline)

    def _note(self, graph: Graph, what: str, epochs: int, loss: float | None) -> None:
        accuracy = self.watch.measure(graph)
        self.history.append({"pattern": what, "epochs": epochs, "loss": loss, "accuracy": accuracy})

    def _keep(
        self, step: int, epoch: int, loss: float, network: TrainableNetwork, optimiser: torch.optim.Optimizer
    ) -> None:
        if self.checkpoint is None:
            return
        self.checkpoint.write(
            {
                "step": step,
                "epoch": epoch,
                "loss": loss,
                "network": network.state_dict(),
                "lesson": self.lesson.learnt(),
                "optimiser": optimiser.state_dict(),
                "history": [dict(event) for event in self.history],
            }
        )

    def _optimiser(self, network: TrainableNetwork) -> torch.optim.Optimizer:
        """AdamW: what moves a transformed tap's weights differs much from tap to tap."""
        trained = [p for p in (*network.parameters(), *self.lesson.parameters()) if p.requires_grad]
        weights, others = [p for p in trained if p.ndim > 1], [p for p in trained if p.ndim == 1]
        groups = [{"params": weights, "weight_decay": self.recipe.decay}, {"params": others, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=self.recipe.rate, betas=self.recipe.momentum)

    def _epoch(self, network: TrainableNetwork, optimiser: torch.optim.Optimizer, epoch: int, what: str) -> float:
        """Train for one epoch, the `epoch`-th of all, and return the mean loss."""
        network.train()
        rng = np.random.default_rng([self.recipe.seed, epoch])
        total, started, seen = 0.0, time.monotonic(), 0
        for index, some in enumerate(np.split(rng.permutation(len(self.data.images)), np.cumsum(self.sizes)[:-1])):
            progress = (epoch + index / len(self.sizes)) / self.recipe.epochs
            for group in optimiser.param_groups:
                group["lr"] = self.recipe.rate * (1 + math.cos(math.pi * progress)) / 2
            x = self.data.inputs(augmented(self.data.images[some], rng, self.recipe.flip), self.device)
            labels = None if self.data.labels is None else torch.as_tensor(self.data.labels[some], device=self.device)
            loss = self.lesson(network, x, labels, progress)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise self._lost(what)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            network.hold_gains()
            total, seen = total + value * len(some), seen + len(some)
            speed = seen / (time.monotonic() - started)
            self.watch.batch(len(some), f"{what}, loss {total / seen:.3f}, {speed:.0f} images/s")
        return total / seen

    def _lost(self, what: str) -> ToolflowError:
        return ToolflowError(f"the network was lost in {what}: the learning rate must be below {self.recipe.rate}")


def classes_of(graph: Graph, images: Images, normalisation: Normalisation) -> Labels:
    """Return the class that a float network answers for each image, int64 (N,)."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network, data = TrainableNetwork(graph).to(device).eval(), TrainingImages(images, None, normalisation)
    found = []
    with torch.no_grad():
        for start in range(0, len(images), EVALUATED_AT_ONCE):
            x = data.inputs(images[start : start + EVALUATED_AT_ONCE], device)
            found.append(network(x).argmax(1).cpu().numpy().astype(np.int64))
    return np.concatenate(found)


@contextmanager
def enough_memory(recipe: Recipe) -> Iterator[None]:
    """Say in one sentence that the memory is too small; torch has an error of its own for each device."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        short = isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)
        if not short:
            raise
        raise ToolflowError(
            f"training with batches of {recipe.batch} images needs more memory than there is: give a smaller batch"
        ) from error
