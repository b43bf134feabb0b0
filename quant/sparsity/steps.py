"""The steps by which a network was pruned."""

from __future__ import annotations

from toolflow.ir.artefacts import Part


class PruneStep(Part):
    """What `toolflow prune` did to the network, and the accuracy of the float network afterwards.

    Attributes:
        pattern: "n:S" or "n:SxG" of its layers; several patterns are separated by commas.
        epochs: epochs of training; 0 for a step that only pruned.
        accuracy: accuracy on images that pruning did not see. Without labels, agreement with the dense network.
    """

    pattern: str
    epochs: int
    accuracy: float
