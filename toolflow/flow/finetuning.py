"""Finetuning of the integers that the quantise stage found, on images that the user gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from toolflow.flow.manifest import fingerprint
from toolflow.flow.values import as_number, as_path
from toolflow.importers.images.calibration_file import require_apart
from toolflow.ir.errors import ToolflowError
from toolflow.ir.unit import VariantName

if TYPE_CHECKING:
    from quant.config import QuantiseConfig
    from quant.quantise import Variant
    from toolflow.flow.events import Progress
    from toolflow.flow.source import Source
    from toolflow.importers.images.calibration_file import CalibrationImages
    from toolflow.ir.graph import Graph

FULL_BITS = 8  # with so many bits in every layer, training has nothing to recover

Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Finetuning:
    """The settings of finetuning.

    Attributes:
        file: training images, in the format of the calibration file.
        epochs: passes over the images.
        rate: learning rate at the start.
        batch: images of an optimiser step.
        flip: whether to train on mirrored images too.
    """

    file: Path
    epochs: int = 2
    rate: float = 0.0003
    batch: int = 64
    flip: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "file", as_path("--finetune", self.file))
        for name in ("epochs", "rate", "batch"):
            as_number(f"--finetune-recipe: {name}", getattr(self, name))
        if self.epochs < 1 or self.batch < 2 or not 0 < self.rate < 1:
            raise ToolflowError(
                "fine-tuning must have 1 epoch or more, 2 images a step or more and a rate above 0 and below 1, not "
                f"{self.epochs}, {self.batch} and {self.rate}"
            )

    def inputs(self) -> dict[str, Any]:
        """Return the values that the stage's fingerprint covers."""
        return {"finetune": self.file, "finetune_recipe": [self.epochs, self.rate, self.batch, self.flip]}

    def images(self, source: Source, graph: Graph, data: CalibrationImages) -> CalibrationImages:
        """Read the images.

        Args:
            source: the model and its calibration file.
            graph: the float network.
            data: the images of the calibration file.

        Raises:
            ToolflowError: the images do not match those of the calibration file, or some are in both files.
        """
        found = replace(source, calibration=self.file).images(graph)
        require_apart(found, self.file, data, source.calibration)
        return found

    def apply(
        self,
        variants: Mapping[VariantName, Variant],
        teacher: Graph,
        images: CalibrationImages,
        ranges: Images,
        progress: Progress,
        checkpoint: Path,
        inputs: Mapping[str, Any],
    ) -> dict[VariantName, Variant]:
        """Return the narrow variants, finetuned.

        Args:
            variants: the variants by name.
            teacher: the float network, simplified and not pruned.
            images: the training images.
            ranges: the images that ranges come from.
            progress: the progress of the stage.
            checkpoint: file for the state of a variant; `*` stands for the variant's name.
            inputs: the inputs of the variants, for the checkpoint's fingerprint.

        Raises:
            ToolflowError: training failed.
        """
        from quant.config import Normalisation
        from quant.training.checkpoint import Checkpoint
        from quant.training.finetune import finetune
        from quant.training.images import TrainingImages
        from quant.training.recipe import Recipe

        pixels = images.pixels
        normalisation = Normalisation(mean=pixels.mean, std=pixels.std, scale=pixels.scale)
        data = TrainingImages(images.images, images.labels, normalisation)
        recipe = Recipe(self.epochs, self.batch, self.rate, flip=self.flip)
        narrow = {name: variant for name, variant in variants.items() if is_narrow(variant.report.config)}
        progress.expect(len(narrow) * self.epochs * len(data.images))
        made = {}
        for name, variant in narrow.items():

            def told(count: int, what: str, name: str = name) -> None:
                progress.advance(count, f"{name}, {what}")

            origin = fingerprint({**inputs, "variant": name})
            state = Checkpoint(checkpoint.with_name(checkpoint.name.replace("*", name)), origin)
            made[name] = finetune(variant, teacher, ranges, data, recipe, told, state)
        return made


def is_narrow(config: QuantiseConfig) -> bool:
    """Return whether any layer of a network has so few bits that finetuning can help."""
    bits = [config.weight_bits, config.activation_bits, config.first_last_bits]
    return min(*bits, *(each for pair in config.overrides.values() for each in pair)) < FULL_BITS


def require_finetuning(graph: Graph, configs: Iterable[QuantiseConfig]) -> None:
    """Raise a ToolflowError if a network cannot be finetuned, before anything is computed."""
    from quant.arrangement.arrange import arrange
    from quant.training.finetune import require_finetuning as require

    for config in configs:
        require(sorted(arrange(graph, narrow=config.activation_bits < config.first_last_bits).inserted), config)
