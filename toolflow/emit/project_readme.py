"""Write the README of a project: its design, its files, and the next commands for its board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolflow import __version__
from toolflow.emit.hls import adapter_block_rams
from toolflow.emit.render import render, write_if_changed
from toolflow.emit.scripts import HlsVectors, UnitSources, control_addresses
from toolflow.ir.errors import ToolflowError
from toolflow.ir.unit import UnitName
from toolflow.plan.boards.board import Board

README = "README.md"
_PACKAGE = "hls_templates"


@dataclass(frozen=True)
class ReadmeModel:
    """The network as the README names it.

    Attributes:
        input_shape: (C, H, W).
        vector_images: how many images are kept in the project.
        reason: why this design was chosen, "" if nothing was compared.
        notes: sentences about the network and its images that the user must know.
    """

    name: str
    input_shape: tuple[int, int, int]
    classes: int
    vector_images: int
    reason: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReadmeUnit:
    """One network: the emitted sources of its engine, and the widths that it was quantised to."""

    name: UnitName
    sources: UnitSources
    weight_bits: int
    activation_bits: int
    first_last_bits: int


def emit_project_readme(
    board: Board, model: ReadmeModel, units: Sequence[ReadmeUnit], buffer_bytes: int, folder: Path
) -> Path:
    """Write `folder`/README.md and return it; it describes the files that are in the folder by then.

    Args:
        board: decides which tools and hosts are described.
        model: the network.
        units: the low-precision one first.
        buffer_bytes: memory that the C++ program of the host allocates.
        folder: the project's folder.

    Raises:
        ToolflowError: a unit has no vectors, or the file cannot be written.
    """
    engines = list({unit.sources.unit: unit.sources for unit in units}.values())
    addresses = control_addresses(board, [engine.unit for engine in engines])
    configs = [unit.sources.config.model_dump() for unit in units]
    channels, height, width = model.input_shape
    text = render(
        _PACKAGE,
        f"project/{README}.j2",
        version=__version__,
        board=board,
        zynq=board.flow == "zynq",
        model={**vars(model), "channels": channels, "height": height, "width": width},
        units=[{**vars(unit), "multipliers": unit.sources.config.multipliers} for unit in units],
        engines=[_described(engine, addresses[engine.unit]) for engine in engines],
        parameters=[(name, [_shown(config[name]) for config in configs]) for name in configs[0]],
        present={path.name for path in folder.iterdir()},
        buffer_bytes=buffer_bytes,
    )
    write_if_changed(folder / README, text)
    return folder / README


def _described(sources: UnitSources, control_base: int) -> dict[str, Any]:
    return {
        "name": sources.unit,
        "top": sources.top,
        "bus_bits": sources.config.bus_bits,
        "adapter_block_rams": adapter_block_rams(sources.config),
        "control_base": control_base,
        "hls_include": sources.hls_include,
        "sources": (*sources.hls_sources, *sources.hls_bench),
        "vectors": _vectors(sources),
    }


def _vectors(sources: UnitSources) -> tuple[HlsVectors, ...]:
    if not sources.vectors or not sources.hls_bench:
        raise ToolflowError(f"unit '{sources.unit}' must have a test bench and vectors to be described")
    return sources.vectors


def _shown(value: object) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)
