"""A case: a network, its quantisation, its images and its engine. Plain data, stored as JSON."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fuzz.draw import draw_network
from fuzz.network import Network
from toolflow.engine.config import EngineConfig

IMAGE_STYLES = ("noise", "smooth", "constant", "black", "extreme")
CALIBRATION_IMAGES = 32


@dataclass(frozen=True)
class Case:
    """One run of the fuzzer.

    Attributes:
        network: what is imported.
        quantise: fields of `QuantiseConfig`.
        mean, std: normalisation, one value for all channels.
        calibration, images: style and number of the images to quantise with, and to run.
        seed: seed of the images and of the bench's pauses.
        engine: fields of `EngineConfig`; None if the planner chooses.
        narrow: whether the network is a narrow program of an engine with two precisions.
        levels: the levels to run, among "program", "hls" and "rtl".
        stalls: chance of a pause in the simulation.
        rule: (k, m, n, threshold) of the confidence unit, or None.
        board: name of the board that the planner chooses for, or "".
        batch: images of a start that are to be fast; None for throughput.
    """

    network: Network
    quantise: Mapping[str, Any] = field(default_factory=dict)
    mean: float = 0.0
    std: float = 1.0
    calibration: tuple[str, int] = ("noise", CALIBRATION_IMAGES)
    images: tuple[str, int] = ("noise", 2)
    seed: int = 0
    engine: Mapping[str, Any] | None = None
    narrow: bool = False
    levels: tuple[str, ...] = ("program",)
    stalls: float = 0.0
    rule: tuple[int, int, int, int] | None = None
    board: str = ""
    batch: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the case as a JSON document."""
        return {**asdict(self), "network": self.network.as_json()}

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> Case:
        """Read what `as_json` gave."""
        lists = ("calibration", "images", "levels", "rule")
        tuples = {name: tuple(document[name]) for name in lists if document[name] is not None}
        return cls(**{**document, **tuples, "network": Network.of_json(document["network"])})


def draw_images(style: str, count: int, shape: tuple[int, ...], seed: int) -> npt.NDArray[np.uint8]:
    """Return uint8 images (N, H, W, C) for a network of shape (C, H, W)."""
    channels, height, width = shape
    rng = np.random.default_rng(seed)
    size = count, height, width, channels
    match style:
        case "smooth":
            slopes = rng.normal(0, 8, (2, count, 1, 1, channels))
            y, x = np.arange(height).reshape(1, -1, 1, 1), np.arange(width).reshape(1, 1, -1, 1)
            values = rng.uniform(0, 255, (count, 1, 1, channels)) + slopes[0] * y + slopes[1] * x
            return np.asarray(np.clip(values, 0, 255), np.uint8)
        case "constant":
            return np.broadcast_to(rng.integers(0, 256, (count, 1, 1, channels), dtype=np.uint8), size).copy()
        case "black":
            return np.zeros(size, np.uint8)
        case "extreme":
            return rng.integers(0, 2, size, dtype=np.uint8) * np.uint8(255)
        case _:
            return rng.integers(0, 256, size, dtype=np.uint8)


def draw_case(rng: random.Random, engine: EngineConfig, rtl: bool) -> Case:
    """Return a case for one of the campaign's engines."""
    seen = rng.choice(engine.precisions)
    network = draw_network(rng, engine.sub_row, _image_channels(engine))
    count = rng.choice([1, seen.lanes_p, rng.randint(1, 2 * seen.lanes_p + 1)])
    levels = ("program", "hls", "rtl") if rtl else ("program", "hls")
    rule = None
    if engine.confidence and rng.random() < 0.5:
        n = rng.randint(1, 8)
        rule = rng.randint(1, 65535), rng.randint(1, n), n, rng.randint(-70000, 70000)
    return Case(
        network,
        _draw_quantise(rng, seen, network),
        mean=rng.choice([0.0, 0.5, 0.45]),
        std=rng.choice([1.0, 0.25, 0.5]),
        calibration=(rng.choice(["noise", "smooth", "smooth", *IMAGE_STYLES]), CALIBRATION_IMAGES),
        images=(rng.choice(IMAGE_STYLES), count),
        seed=rng.randrange(1 << 30),
        engine=engine.model_dump(mode="json"),
        narrow=seen.narrow,
        levels=levels,
        stalls=rng.choice([0.0, 0.1, 0.3, 0.6]) if rtl else 0.0,
        rule=rule,
    )


def draw_planned_case(rng: random.Random, boards: tuple[str, ...]) -> Case:
    """Return a case whose engine the planner chooses, for a board that is drawn; the program alone is run."""
    bits = rng.randint(2, 8)
    widths = {"weight_bits": bits, "activation_bits": bits}
    engine = EngineConfig.model_validate({**widths, "sub_row": rng.choice([8, 16]), "tile": rng.choice([0, 0, 2, 4])})
    case = draw_case(rng, engine, rtl=False)
    return replace(
        case,
        engine=None,
        levels=("program",),
        rule=None,
        board=rng.choice(boards),
        batch=rng.choice([None, None, 1, 2, 5, 16]),
    )


def _image_channels(engine: EngineConfig) -> int:
    """Return the most channels of an image that the engine's tables cover."""
    return engine.sub_row * engine.table_words if engine.input_lanes == engine.sub_row else engine.input_lanes


def _can_carry(network: Network, sub_row: int) -> bool:
    """Return whether a layer inside the network can have a pattern of S = `sub_row`."""
    shapes, seen = network.shapes(), False
    for step in network.steps[:-1]:
        if step.kind == "conv":
            n = step.numbers
            plain = n["kernel"] == (3, 3) and n["strides"] == n["dilations"] == (1, 1) and n["groups"] == (1,)
            if seen and plain and shapes[step.inputs[0]][0] >= sub_row:
                return True
            seen = True
    return False


def _draw_quantise(rng: random.Random, engine: EngineConfig, network: Network) -> dict[str, Any]:
    tile = rng.choice([t for t in (0, 2, 4, 4) if t <= engine.tile])
    family = "multiplier" if tile == 4 or rng.random() < 0.7 else "fixed-point"
    bits = min(engine.weight_bits, 8) if rng.random() < 0.8 else rng.randint(2, 8)
    sub_row = min(engine.sub_row, 16) if rng.random() < 0.8 else rng.choice([2, 4, 8])
    patterned = sub_row > 1 and rng.random() < 0.6 and _can_carry(network, sub_row)
    return {
        "weight_bits": bits,
        "activation_bits": engine.activation_bits if rng.random() < 0.8 else rng.randint(2, engine.activation_bits),
        "first_last_bits": rng.choice([8, 8, 8, rng.randint(2, 8)]),
        # without the smallest weight where a packing excludes it
        "digit_bits": engine.digit_bits - (engine.packing.weights.lower == -engine.packing.weights.upper),
        "tile": tile,
        "pattern": [rng.randint(1, sub_row), sub_row, rng.choice([1, 1, 2, 4])] if patterned else None,
        "family": family,
        "ranges": rng.choice(["mse", "mse", "percentile"]),
        "rounding": rng.choice(["gptq", "gptq", "nearest"]),
        "bias_correction": rng.random() < 0.8,
        "equalise": rng.random() < 0.2,
    }
