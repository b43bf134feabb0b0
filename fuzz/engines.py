"""The engines of a campaign. They follow from its seed, so that a later run finds them built."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from rtl_sim.levels import engine_level
from rtl_sim.simulate.job import RunOptions
from rtl_sim.verify import Executor
from toolflow.emit.hls import emit_hls
from toolflow.emit.rtl import emit_rtl
from toolflow.engine.config import EngineConfig
from toolflow.ir.unit import UnitName
from toolflow.numerics.packing import PRIMITIVES

UNIT = UnitName.SINGLE
# (weight bits, activation bits) of the multipliers, taken in turn; so are the tiles
WIDTHS = (
    (8, 8), (4, 4), (8, 8), (2, 2), (6, 6), (3, 3), (4, 8), (8, 5), (5, 5), (7, 7), (8, 4), (2, 8), (3, 6), (10, 8),
)  # fmt: skip
TILES = (0, 2, 4, 0, 4)
TILED_ACCUMULATOR_BITS = 40


@dataclass(frozen=True)
class Builds:
    """The compiled programs and simulators: a folder for each engine, named by a hash of its parameters."""

    folder: Path

    def executor(self, name: str, config: EngineConfig, options: RunOptions) -> Executor:
        """Return the executor of a level, which builds what it needs when it first runs.

        Args:
            name: name of an engine level of `rtl_sim.levels`.
            config: the engine.
            options: options of the bench.
        """
        parameters = hashlib.sha256(config.built.model_dump_json().encode()).hexdigest()
        level, place = engine_level(name), self.folder / parameters[:16]
        if level.sources:
            emit = emit_rtl if name == "rtl" else emit_hls
            emit(config, UNIT, place / level.sources.format(unit=UNIT))
        return level.executor(place, UNIT, place / "build", options)


def draw_engines(seed: int, count: int) -> list[EngineConfig]:
    """Return `count` engines. Widths and tiles are taken in turn, all other parameters at random.

    Two of three are built of instantiated DSP blocks, one of eight has two precisions.
    """
    rng = random.Random(f"engines {seed}")
    found: list[EngineConfig] = []
    while len(found) < count:
        widths, tile = WIDTHS[len(found) % len(WIDTHS)], TILES[len(found) % len(TILES)]
        two = len(found) % 8 == 6
        try:
            config = _draw_two(rng) if two else _draw(rng, widths, tile, packed=len(found) % 3 > 0)
        except ValidationError:
            continue
        found.append(config)
    return found


def _draw(rng: random.Random, widths: tuple[int, int], tile: int, packed: bool) -> EngineConfig:
    sub_row = rng.choice([1, 2, 4, 8, 8, 8, 16, 16, 32])
    lanes_k = rng.choice([1, 2, 3, 4, 5, 6, 8, 8, 12, 16, 20])
    slots = rng.choice([1, 1, 2, 4, 8, 16])
    multiplier = "lut" if max(widths) <= 5 and not packed and rng.random() < 0.7 else "dsp"
    return EngineConfig.model_validate(
        {
            "lanes_k": lanes_k,
            "lanes_p": rng.choice([1, 1, 2, 2, 3, 4, 8]),
            "slots": slots,
            "drain_k": rng.choice([1, 1, 2, 4, 8]),
            "sub_row": sub_row,
            "weight_bits": widths[0],
            "activation_bits": widths[1],
            "accumulator_bits": TILED_ACCUMULATOR_BITS if tile else rng.choice([32, 34, 36]),
            "bus_bits": rng.choice([64, 128, 128, 256, 512]),
            "bank_depth": rng.randint(3000, 5000),
            "weight_depth": rng.randint(2000, 4000),
            "result_depth": rng.randint(500, 700),
            "input_lanes": rng.choice([1, 2, 4, 4, 4, 8, sub_row, sub_row]),
            "table_words": rng.choice([1, 2, 4, 8]),
            "tile": tile,
            "transform_cycles": rng.choice([1, 1, 2, 4]) if tile else 1,
            "transform_depth": rng.randint(300, 1200) if tile else 1,
            "multiplier": multiplier,
            **(_draw_packing(rng, slots) if packed else _draw_indices(rng, 1)),
            "bank_memory": rng.choice(["block", "block", "ultra"]),
            "weight_memory": rng.choice(["block", "block", "ultra"]),
            "rows_ahead": rng.choice([0, 0, 1, rng.randint(2, 3000)]),
            "parameter_sets": rng.choice([2, 2, 4, 16]),
            "confidence": rng.random() < 0.7,
            **_draw_layout(rng),
        }
    )


def _draw_layout(rng: random.Random) -> dict[str, object]:
    """Return whether one image fills all lanes, and whether maps may lie outside, as changes of layout need."""
    stripes = rng.random() < 0.25
    return {"stripes": stripes, "external_maps": stripes or rng.random() < 0.5}


def _draw_two(rng: random.Random) -> EngineConfig:
    """Return an engine with two precisions, which not every draw can have."""
    one = {**_draw(rng, (8, 8), 0, packed=False).model_dump(), "stripes": False}
    primitive, chain = rng.choice(["dsp48e1", "dsp48e2"]), rng.choice([1, 2, 4, 8])
    two = {"narrow_bits": 4, "dsp_primitive": primitive, "pack_k": 2, "chain": chain, "gather": False}
    return EngineConfig.model_validate({**one, **two})


def _draw_packing(rng: random.Random, slots: int) -> dict[str, object]:
    """Return how products share a DSP block, which not every block takes."""
    pack_k = rng.choice([1, 2])
    return {
        "dsp_primitive": rng.choice(list(PRIMITIVES)),
        "pack_k": pack_k,
        "pack_p": rng.choice([1, 2, 2]),
        "chain": rng.choice([chain for chain in (1, 2, 4, 8) if chain <= slots]),
        "fabric_lanes": rng.choice([0, 0, 1, 2]),
        **_draw_indices(rng, pack_k),
    }


def _draw_indices(rng: random.Random, pack_k: int) -> dict[str, object]:
    """Return whether rows carry indices, and how many output channels share one."""
    gather = rng.random() < 0.6
    return {"gather": gather, "index_k": rng.choice([pack_k, 2, 4]) if gather else 1}
