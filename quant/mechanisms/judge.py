"""The judge of candidates: their accuracy on images of its own, with adapted statistics if channels were removed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from quant.config import Normalisation
from quant.mechanisms.rewrite.statistics import Moments, adapted, statistics
from quant.training.loop import classes_of
from toolflow.ir.graph import Graph
from toolflow.operators.channels import Mask

Images = npt.NDArray[np.uint8]

SAMPLE = 512  # images that statistics and saliencies are taken over
SAMPLE_ELEMENTS = 1 << 26  # of one tensor over these images


@dataclass(frozen=True)
class Trial:
    """A candidate.

    Attributes:
        graph: the network.
        kept: for each convolution that is adapted before it is judged, which channels of the network before stay.
    """

    graph: Graph
    kept: Mapping[str, Mask] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The SHA-256 of everything that its accuracy depends on."""
        sha = hashlib.sha256(repr((self.graph.input_name, self.graph.input_shape, self.graph.output)).encode())
        for node in self.graph.nodes:
            sha.update(repr((node.name, node.op, node.inputs)).encode())
            for name, values in sorted(node.weights.items()):
                sha.update(repr((name, values.dtype, values.shape)).encode() + np.ascontiguousarray(values).tobytes())
        for name, mask in sorted(self.kept.items()):
            sha.update(name.encode() + mask.tobytes())
        return sha.hexdigest()


@dataclass(frozen=True)
class Judge:
    """Measures accuracies; it can be sent to other processes.

    Attributes:
        images: images that are neither trained nor reported on, uint8 (N, H, W, C).
        classes: of these images, int64 (N,).
        normalisation: from pixel to the network's input.
        sample: training images whose statistics adapted networks get.
        wanted: the statistics of the network before on them.
    """

    images: Images
    classes: npt.NDArray[np.int64]
    normalisation: Normalisation
    sample: Images
    wanted: Mapping[str, Moments]

    @classmethod
    def of(
        cls,
        graph: Graph,
        images: Images,
        classes: npt.NDArray[np.int64],
        normalisation: Normalisation,
        sample: Images,
    ) -> Judge:
        """Return the judge of a network's descendants."""
        return cls(images, classes, normalisation, sample, statistics(graph, _inputs(normalisation, sample)))

    def adapted(self, trial: Trial) -> Graph:
        """Return a candidate with the statistics of the network before."""
        if not trial.kept:
            return trial.graph
        wanted = {name: self.wanted[name].kept(mask) for name, mask in trial.kept.items()}
        return adapted(trial.graph, _inputs(self.normalisation, self.sample), wanted)

    def accuracy(self, trial: Trial) -> float:
        """Return the accuracy of a candidate; by one thread, so that it is the same in every process."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            found = classes_of(self.adapted(trial), self.images, self.normalisation)
        finally:
            torch.set_num_threads(threads)
        return float((found == self.classes).mean())


def sampled(graph: Graph, images: Images, seed: int) -> npt.NDArray[np.int64]:
    """Return the places of some images, as many as statistics are taken over and as the memory holds."""
    largest = max(int(np.prod(shape)) for shape in graph.shapes.values())
    count = min(SAMPLE, max(SAMPLE_ELEMENTS // largest, 1))
    return np.random.default_rng(seed).permutation(len(images))[:count]


def _inputs(normalisation: Normalisation, images: Images) -> torch.Tensor:
    return torch.as_tensor(normalisation.apply(images)).float()
