"""The recipe of a training run; it can be used without loading torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """The recipe of a training run.

    Attributes:
        epochs: epochs of all steps; the last step gets at least seven eighths of them.
        batch: images of a batch.
        rate: learning rate of AdamW at the start; it falls to 0 as a cosine over all steps.
        momentum: decay rates of the averages of gradients and of their squares.
        decay: weight decay, not for biases and norms.
        temperature: divisor of the dense network's logits.
        taught: share of the teacher's answers and maps in the loss; 1 if there are no labels.
        matched: weight of each map's relative error, compared with the divergence of the answers.
        flip: whether to mirror images.
        seed: seed of order, crops, flips, and the samples that pruning solves on.
    """

    epochs: int
    batch: int = 64
    rate: float = 0.002
    momentum: tuple[float, float] = (0.9, 0.99)
    decay: float = 0.01
    temperature: float = 4.0
    taught: float = 0.9
    matched: float = 2.0
    flip: bool = True
    seed: int = 0
