"""LUTs of gather and transforms for each multiplier of the array, beside those of the multipliers that they replace.

    python benchmarks/tile_cost.py --family xcup        # prints the table

Each unit is synthesised alone, flattened, with the parameters that it has in the engine ENGINE; results are kept as
those of `yosys_resources.py`. Gather is what the array takes more than one whose words have a single channel; a
multiplier is what the array takes more where multipliers are in LUTs and not in DSP blocks.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.results import add_record_option, record, record_row
from benchmarks.yosys import count_cells, run_yosys
from toolflow.emit.rtl import with_default_engine
from toolflow.engine.config import EngineConfig
from toolflow.numerics.srbs import SHARING
from toolflow.numerics.winograd import KERNEL, WINOGRAD

RTL = Path(__file__).resolve().parent.parent / "rtl_sim" / "rtl"
ENGINE = EngineConfig(lanes_k=16, lanes_p=2, slots=1, drain_k=2, bank_depth=1024)
SUB_ROWS = (4, 8, 16)
ACCUMULATOR_BITS = {0: 32, 2: 32, 4: 36}
KEPT = 0.5  # weights of a sparse layer


def engine(tile: int, sub_row: int, index_k: int = 1) -> EngineConfig:
    """Return the engine with a tile size: its transform as slow as layers that keep half of their weights allow.

    Args:
        tile: its largest tile, 0 for none.
        sub_row: channels of a word.
        index_k: output channels that share an index.
    """
    cycles = max(int(sub_row * KEPT / ENGINE.slots), 1) if tile else 1
    changes = {
        "tile": tile,
        "sub_row": sub_row,
        "index_k": index_k,
        "input_lanes": min(sub_row, ENGINE.input_lanes),
        "accumulator_bits": ACCUMULATOR_BITS[tile],
        "transform_cycles": cycles,
        "transform_depth": (tile + KERNEL - 1) ** 2 * 64 // sub_row if tile else 1,
    }
    return EngineConfig.model_validate(ENGINE.model_dump() | changes)


def luts(module: str, config: EngineConfig, family: str) -> float:
    """Return the LUTs, as logic or as memory, of one module of an engine."""
    files = sorted(RTL.glob("cascade_*.sv"), key=lambda file: not file.name.endswith("_pkg.sv"))
    text = with_default_engine("".join(path.read_text(encoding="utf-8") for path in files), config)
    top = f"cascade_{module}"
    commands = [
        f"read_slang --threads 1 all.sv --top {top}",
        f"synth_xilinx -family {family} -top {top} -noiopad",
    ]
    statistics = run_yosys(commands, text, f"{module} of {config.signature:016x} for {family}")
    return count_cells(statistics["design"]["num_cells_by_type"]).luts


def array_luts(config: EngineConfig, sub_row: int, multiplier: str, family: str) -> float:
    """Return the LUTs of the array of `config` with words of `sub_row` channels."""
    return luts("array", config.model_copy(update={"sub_row": sub_row, "multiplier": multiplier}), family)


def gather_luts(config: EngineConfig, family: str) -> float:
    """Return the LUTs of the array's multiplexers."""
    return array_luts(config, config.sub_row, "dsp", family) - array_luts(config, 1, "dsp", family)


def multiplier_luts(tile: int, family: str) -> float:
    """Return the LUTs of one multiplier of an engine with a tile size."""
    config = engine(tile, SUB_ROWS[0])
    more = array_luts(config, 1, "lut", family) - array_luts(config, 1, "dsp", family)
    return more / config.multipliers


def table(family: str, *, recorded: bool) -> None:
    """Print the table, per multiplier."""
    print(
        "| form | S | gather | input transform | fold | together | its multiplier | dense: replaces | LUTs "
        "| half kept: replaces | LUTs |\n|---|---|---|---|---|---|---|---|---|---|---|"
    )
    direct = multiplier_luts(0, family)
    for tile, index_k in (*((0, index_k) for index_k in SHARING), *((tile, 1) for tile in WINOGRAD)):
        name = (f"F({tile},3)" if tile else "direct") + (f", indices shared by {index_k}" if index_k > 1 else "")
        saving = WINOGRAD[tile].tile ** 2 * KERNEL**2 / WINOGRAD[tile].taps ** 2 if tile else 1.0
        own = multiplier_luts(tile, family)
        for sub_row in SUB_ROWS:
            config = engine(tile, sub_row, index_k)
            costs = [gather_luts(config, family)]
            costs += [luts(module, config, family) if tile else 0.0 for module in ("tile_input", "fold")]
            each = [cost / config.multipliers for cost in costs]
            print(
                f"| {name} | {sub_row} | "
                + " | ".join(f"{cost:.1f}" for cost in (*each, sum(each), own))
                + f" | {saving:g} | {saving * direct:.0f} | {saving / KEPT:g} | {saving / KEPT * direct:.0f} |",
                flush=True,
            )
            if not recorded:
                continue
            names = ("gather", "input transform", "fold", "together", "its multiplier")
            row: dict[str, float] = dict(zip(names, (round(cost, 1) for cost in (*each, sum(each), own)), strict=True))
            replaced: dict[str, float] = {
                "dense: replaces": round(saving * direct),
                "half kept: replaces": round(saving / KEPT * direct),
            }
            record_row("tile_cost", f"{name}, S = {sub_row}", row | replaced)
            if tile and sub_row == SUB_ROWS[-1]:
                for share, more in (("half of the weights kept", saving / KEPT), ("dense", saving)):
                    figure = f"{name}, {share}, S = {sub_row}: LUTs of gather and transforms for each multiplier"
                    record(figure, round(sum(each), 1), "LUTs", at_most=round(more * direct - own))


def main() -> int:
    """Print the table of one family."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=["xc7", "xcup"], default="xcup")
    add_record_option(parser)
    arguments = parser.parse_args()
    table(arguments.family, recorded=arguments.record)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
