"""Training of the integers that the quantise stage found, where the user gives images for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from toolflow.cli.manifest import fingerprint
from toolflow.ir.errors import ToolflowError

if TYPE_CHECKING:
    from quant.quantise import Variant
    from toolflow.cli.stages import Source
    from toolflow.cli.terminal import Step
    from toolflow.importers.calibration_file import CalibrationImages

FULL_BITS = 8  # with so many in every layer nothing is lost that training could win back


@dataclass(frozen=True)
class Finetuning:
    """What the user asked of it.

    Attributes:
        images: a file like the calibration file.
        epochs: times that each image is trained on.
        rate: of the optimiser at the start.
    """

    images: Path
    epochs: int
    rate: float

    @classmethod
    def of_options(cls, images: Path | None, epochs: int, rate: float) -> Finetuning | None:
        """Return what the command line's options say, None where nothing is to be trained.

        Raises:
            ToolflowError: the rate is none.
        """
        if not 0 < rate < 1:
            raise ToolflowError(f"--finetune-rate must be above 0 and below 1, not {rate}")
        return None if images is None else cls(images, epochs, rate)

    def inputs(self) -> dict[str, Any]:
        """Return what the stage's fingerprint must cover."""
        return {"finetune": self.images, "finetune_epochs": self.epochs, "finetune_rate": self.rate}

    def apply(
        self,
        variants: Mapping[str, Variant],
        source: Source,
        data: CalibrationImages,
        ranges: npt.NDArray[np.uint8],
        step: Step,
        checkpoint: Path,
        inputs: Mapping[str, Any],
    ) -> tuple[dict[str, Variant], dict[str, dict[str, Any]]]:
        """Return the variants, those that are narrow anywhere finetuned, and what is recorded of each that was.

        Args:
            variants: by name.
            source: of the model; its own weights teach, also where the variants are pruned.
            data: the calibration file.
            ranges: its images that ranges come from.
            step: is told the progress.
            checkpoint: file for the state of a variant, its name put in for `*`.
            inputs: what the variants come from.

        Raises:
            ToolflowError: the images are not like those of the calibration file, or training failed.
        """
        from quant.config import Normalisation
        from quant.finetune import finetune
        from quant.train import Checkpoint, Recipe, TrainingImages

        teacher = replace(source, pruned=None).graph()
        training = replace(source, calibration=self.images).images(teacher)
        if training.pixels != data.pixels:
            raise ToolflowError(
                f"{self.images} must normalise its pixels as {source.calibration} does ({data.pixels}), not as "
                f"{training.pixels}"
            )
        pixels = data.pixels
        normalisation = Normalisation(mean=pixels.mean, std=pixels.std, scale=pixels.scale)
        images = TrainingImages(training.images, training.labels, normalisation)
        recipe = Recipe(self.epochs, rate=self.rate)
        narrow = {name: variant for name, variant in variants.items() if _narrow(variant)}
        step.expect(len(narrow) * self.epochs * len(images.images))
        made, recorded = dict(variants), {}
        for name, variant in narrow.items():

            def told(count: int, what: str, name: str = name) -> None:
                step.advance(count, f"{name}, {what}")

            origin = fingerprint({**inputs, "variant": name})
            state = Checkpoint(checkpoint.with_name(checkpoint.name.replace("*", name)), origin)
            made[name] = finetune(variant, teacher, ranges, images, recipe, told, state)
            recorded[name] = {"images": len(images.images), "epochs": self.epochs, "rate": self.rate}
        return made, recorded


def _narrow(variant: Variant) -> bool:
    config = variant.report.config
    bits = [config.weight_bits, config.activation_bits, *(each for pair in config.overrides.values() for each in pair)]
    return min(bits) < FULL_BITS
