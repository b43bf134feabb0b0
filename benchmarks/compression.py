"""Compression recipes beside their controls: as many training images, the same teacher, one set of settings.

    python benchmarks/compression.py digits [--recipe NAME]... [--seed N]... [--work build/compression]
    python benchmarks/compression.py cifar10 --data DATA ..

`digits` are those of scikit-learn; `cifar10` is ResNet-20 on all 50,000 training images of DATA, a tenth of which judge
candidates. The settings are those of `compression.yaml`. The test images are read once, at the end of each arm. An
interrupted program continues where it stopped. A row is recorded if all seeds of a recipe ran and its arms are equal.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.torch
import yaml
from scipy.stats import t as student_t

from benchmarks import digits_vgg
from benchmarks.compression_controls import (
    EndToEnd,
    FisherPruned,
    MagnitudeChannels,
    ObservedGeneCai,
    RandomSearch,
    ReluStudent,
    TrainedAlone,
    UniformPeers,
    UniformRate,
    UniformStudent,
)
from benchmarks.prune_training import WEIGHTS, cifar10
from benchmarks.resnet20_accuracy import EXAMPLE, NORMALISATION
from benchmarks.results import add_record_option, record_row
from examples import digits
from quant.config import Normalisation
from quant.recipes.blockwise import Blockwise
from quant.recipes.combine_net import CombineNet
from quant.recipes.genetic_channels import GeneticChannels
from quant.recipes.hakd import Hakd
from quant.recipes.multi_segment import MultiSegment
from quant.recipes.okddip import OkdDip
from quant.recipes.recipe import CompressionRecipe
from quant.training.loop import classes_of
from toolflow.flow import CompressRequest, Source, compress
from toolflow.flow.records import CompressionRecord
from toolflow.flow.stages.compress import NETWORK
from toolflow.importers.load import load_model

SETTINGS = Path(__file__).with_suffix(".yaml")
ARMS: dict[str, tuple[type[CompressionRecipe], ...]] = {  # the recipe, and its controls
    "combine-net": (CombineNet, UniformRate),
    "genetic-channels": (GeneticChannels, MagnitudeChannels),
    "hakd": (Hakd, UniformStudent, FisherPruned),
    "genecai": (ObservedGeneCai, RandomSearch),
    "blockwise": (Blockwise, EndToEnd),
    "multi-segment": (MultiSegment, ReluStudent),
    "okddip": (OkdDip, TrainedAlone, UniformPeers),
}
AT_ITS_CYCLES = {UniformRate, UniformStudent, FisherPruned}  # controls that get the share that the recipe reached
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Task:
    """A network, its images, and the board.

    Attributes:
        name: of the part of the settings.
        source: the network, and the images to train on.
        test: images to report on.
        given: the part of the settings.
    """

    name: str
    source: Source
    test: Path
    given: Mapping[str, Any]

    def digest(self, recipe: str) -> str:
        """Return the SHA-256 of a recipe's settings, in short."""
        mine = {**self.given, "recipes": self.given["recipes"][recipe]}
        return hashlib.sha256(json.dumps(mine, sort_keys=True).encode()).hexdigest()[:8]

    def tested(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], Normalisation]:
        """Return the images to report on, their classes, and how the network takes them."""
        with np.load(self.test) as arrays:
            normalisation = Normalisation(mean=arrays["mean"], std=arrays["std"])
            return arrays["x"], arrays["y"].astype(np.int64), normalisation


@dataclass(frozen=True)
class Arm:
    """What one arm gave with one seed.

    Attributes:
        record: of the compression.
        right: for each test image, whether the network answers it rightly.
        seconds: of all runs.
    """

    record: CompressionRecord
    right: npt.NDArray[np.bool_]
    seconds: float

    @property
    def share(self) -> float:
        """The share of the cycles that remain."""
        return self.record.cost["after"].cycles / self.record.cost["before"].cycles

    @property
    def images(self) -> int:
        """How many images were trained on, each as often as it was."""
        return sum(step.images for step in self.record.steps)

    @property
    def judged(self) -> int:
        """How many candidates were judged."""
        return sum(step.judged for step in self.record.steps)


def digits_task(work: Path, given: Mapping[str, Any], recipe: str | None = None) -> Task:
    """Return the digits, with the example's network or with the one that a recipe's settings name."""
    network, train, test = (work / name for name in ("digits.safetensors", "train.npz", "test.npz"))
    if not test.exists():
        safetensors.torch.save_file(digits.train(), network)
        parts = digits.split()
        x, y = (np.concatenate([parts[name][each] for name in ("train", "calibration")]) for each in (0, 1))
        mean, std = np.array([digits.MEAN]), np.array([digits.STD])
        np.savez(train, x=x, y=y, mean=mean, std=std)
        np.savez(test, x=parts["test"][0], y=parts["test"][1], mean=mean, std=std)
    if recipe is not None and given["recipes"][recipe].get("network") == "vgg":
        deeper = work / "vgg.onnx"
        if not deeper.exists():
            digits_vgg.write(deeper)
        return Task("digits", Source(str(deeper), train), test, given)
    return Task("digits", Source(f"{digits.__file__}:digits", train, weights=network), test, given)


def cifar10_task(work: Path, given: Mapping[str, Any], data: Path) -> Task:
    """Return ResNet-20 and the JPEG copies of CIFAR-10."""
    train, test = work / "train.npz", work / "test.npz"
    for part, path in (("train", train), ("test", test)):
        if not path.exists():
            x, y = cifar10(data, part)
            np.savez(path, x=x, y=y, mean=NORMALISATION.mean, std=NORMALISATION.std)
    return Task("cifar10", Source(f"{EXAMPLE}:resnet20", train, weights=data / WEIGHTS["resnet20"]), test, given)


def run_arm(task: Task, kind: type[CompressionRecipe], name: str, seed: int, budget: float | None, work: Path) -> Arm:
    """Run one arm with one seed, or continue it."""
    out = work / f"{kind.name}-{seed}"
    settings = dict(task.given["recipes"][name]["settings"])
    if issubclass(kind, ObservedGeneCai):
        settings["log"] = str(out.with_suffix(".candidates"))
        if not out.exists():  # an interrupted run tells all its candidates again
            Path(settings["log"]).unlink(missing_ok=True)
    started = time.monotonic()
    request = CompressRequest(
        task.source,
        [kind(**settings)],
        board=task.given["board"],
        budget=budget,
        test=task.test,
        batch=task.given["batch"],
        flip=task.given["flip"],
        seed=seed,
    )
    record = compress(request, out)
    images, classes, normalisation = task.tested()
    right = classes_of(load_model(str(out / NETWORK), None), images, normalisation) == classes
    if abs(float(right.mean()) - record.accuracy["after"]) > 1e-9:
        raise RuntimeError(f"{out}: {right.mean()} of the test images, not {record.accuracy['after']}")
    taken = out.with_suffix(".seconds")  # kept, since a run that is there already takes no time
    if not taken.exists():
        taken.write_text(f"{time.monotonic() - started:.1f}")
    return Arm(record, right, float(taken.read_text()))


def run_recipe(task: Task, name: str, seeds: Sequence[int], work: Path) -> dict[str, list[Arm]]:
    """Return the arms of one recipe: for each the results of all seeds.

    Raises:
        RuntimeError: arms saw other numbers of training images.
    """
    found: dict[str, list[Arm]] = {kind.name: [] for kind in ARMS[name]}
    for seed in seeds:
        share = None
        for kind in ARMS[name]:
            given = task.given["recipes"][name].get("budget")
            budget = share if kind in AT_ITS_CYCLES else given
            arm = run_arm(task, kind, name, seed, budget, work)
            share = arm.share if share is None else share
            found[kind.name].append(arm)
            before, after = (100 * arm.record.accuracy[when] for when in ("before", "after"))
            print(
                f"{task.name}, {kind.name}, seed {seed}: {before:.2f} → {after:.2f} %, {arm.share:.4f} of the cycles, "
                f"{arm.images:,} images trained, {arm.judged:,} judged, {arm.seconds:.0f} s; "
                f"{arm.record.steps[-1].what}",
                flush=True,
            )
        counts = {kind: arms[-1].images for kind, arms in found.items()}
        if len(set(counts.values())) > 1:
            raise RuntimeError(f"{name}, seed {seed}: the arms saw other numbers of training images: {counts}")
    return found


def paired_interval(differences: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean of differences (seeds, images), and half of its 95 % interval over images and seeds.

    The variances of the seeds' means and of the images' means add, each with the quantile of Student's t.
    """
    seeds, images = differences.shape
    by_seed, by_image = differences.mean(1), differences.mean(0)
    quantile = (1 + CONFIDENCE) / 2
    of_seeds = student_t.ppf(quantile, seeds - 1) ** 2 * by_seed.var(ddof=1) / seeds if seeds > 1 else np.inf
    of_images = student_t.ppf(quantile, images - 1) ** 2 * by_image.var(ddof=1) / images
    return float(differences.mean()), float(np.sqrt(of_seeds + of_images))


def front(path: Path) -> list[tuple[float, float]]:
    """Return the candidates (cycles, accuracy) of a log that no other one is better than, by cycles."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    best, found = -1.0, []
    for cycles, accuracy in sorted({(cycles, accuracy) for _, accuracy, cycles in lines}, key=lambda p: (p[0], -p[1])):
        if accuracy > best:
            best = accuracy
            found.append((cycles, accuracy))
    return found


def row(arms: Mapping[str, Sequence[Arm]], control: str) -> dict[str, float | int | str]:
    """Return what is recorded of a recipe and one of its controls: means over the seeds."""
    recipe = next(iter(arms.values()))
    other = arms[control]
    differences = np.stack([a.right.astype(np.float64) - b.right for a, b in zip(recipe, other, strict=True)])
    mean, half = paired_interval(differences)

    def average(values: Sequence[float]) -> float:
        return float(np.mean(values))

    first = recipe[0].record
    verdict = "tie" if abs(mean) <= half else "win" if mean > 0 else "loss"
    return {
        "before %": round(100 * first.accuracy["before"], 2),
        "recipe %": round(100 * average([arm.right.mean() for arm in recipe]), 2),
        "control %": round(100 * average([arm.right.mean() for arm in other]), 2),
        "difference, points": f"{100 * mean:+.2f} ± {100 * half:.2f}: {verdict}",
        "cycles, share": round(average([arm.share for arm in recipe]), 3),
        "control's": round(average([arm.share for arm in other]), 3),
        "parameters": f"{first.cost['before'].parameters:,} → {average([_parameters(arm) for arm in recipe]):,.0f}",
        "stored bits": f"{first.cost['before'].stored_bits:,} → {average([_bits(arm) for arm in recipe]):,.0f}",
        "images trained": recipe[0].images,
        "judged": f"{average([arm.judged for arm in recipe]):,.0f} / {average([arm.judged for arm in other]):,.0f}",
        "seeds": len(recipe),
        "s an arm": round(average([arm.seconds for arm in recipe])),
        "control's s": round(average([arm.seconds for arm in other])),
    }


def _parameters(arm: Arm) -> float:
    return arm.record.cost["after"].parameters


def _bits(arm: Arm) -> float:
    return arm.record.cost["after"].stored_bits


def main() -> None:
    """Run the arms and print their results."""
    settings = yaml.safe_load(SETTINGS.read_text(encoding="utf-8"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=list(settings))
    parser.add_argument("--data", type=Path, help="the folder of pretrained weights and images, for cifar10")
    parser.add_argument("--recipe", action="append", choices=list(ARMS))
    parser.add_argument("--seed", action="append", type=int, help="in place of those of the settings; not recorded")
    parser.add_argument("--work", type=Path, default=Path("build/compression"))
    add_record_option(parser)
    arguments = parser.parse_args()
    given = settings[arguments.task]
    work = arguments.work.resolve() / arguments.task
    work.mkdir(parents=True, exist_ok=True)
    if arguments.task == "cifar10" and arguments.data is None:
        parser.error("cifar10 needs --data, the folder of pretrained weights and images")
    for name in arguments.recipe or ARMS:
        digit = arguments.task == "digits"
        task = digits_task(work, given, name) if digit else cifar10_task(work, given, arguments.data)
        arms = run_recipe(task, name, arguments.seed or given["seeds"], work)
        for control in list(arms)[1:]:
            values = row(arms, control)
            print(f"{name} against {control}: {values}", flush=True)
            if arguments.record and arguments.seed is None:
                record_row(
                    "compression", f"{task.name}, {name} against {control}", {**values, "settings": task.digest(name)}
                )
        if name == "genecai":
            for kind in arms:
                points = [front((work / f"{kind}-{seed}").with_suffix(".candidates")) for seed in given["seeds"][:1]]
                print(f"front of {kind}: {points}", flush=True)


if __name__ == "__main__":
    main()
