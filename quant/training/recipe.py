"""How long and how a network is trained; what asks for training need not load torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """How long and how a network is trained.

    Attributes:
        epochs: over all steps; the last step gets seven eighths of them or more.
        batch: images.
        rate: of AdamW at the start; it falls to 0 as a cosine over all steps.
        momentum: of gradients and of their squares.
        decay: of weights, not of biases and norms.
        temperature: by which the dense network's logits are divided.
        taught: share of its answers and maps in the loss; all, if there are no labels.
        matched: weight of each map's error over its energy, beside the answers' divergence.
        flip: whether images may be mirrored.
        seed: of order, crops, flips, and the samples that pruning solves on.
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
