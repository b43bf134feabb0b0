"""The stage that writes binaries, sources, scripts and host code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rtl_sim.verify import Unit
from toolflow.emit.hls import emit_hls
from toolflow.emit.host import HostUnit, buffer_bytes, emit_host
from toolflow.emit.notices import NOTICES, emit_notices
from toolflow.emit.project_readme import README, ReadmeModel, ReadmeUnit, emit_project_readme
from toolflow.emit.rtl import emit_rtl
from toolflow.emit.scripts import HlsVectors, UnitSources, emit_scripts
from toolflow.emit.synthesisable import require_synthesisable
from toolflow.engine.config import EngineConfig
from toolflow.engine.executor import run_program
from toolflow.flow.events import Progress
from toolflow.flow.graphs import Images
from toolflow.flow.project import (
    CHECK_IMAGES,
    VECTORS,
    WEIGHTS,
    BinaryPaths,
    Project,
    open_project,
    read_decision,
    read_quantised,
)
from toolflow.flow.request import Request
from toolflow.flow.stages.stage import Stage
from toolflow.interpreter.run import run
from toolflow.ir.arrays import read_arrays
from toolflow.ir.unit import UnitName
from toolflow.plan.lower.compiled import CompiledProgram
from toolflow.plan.lower.lower import compile_program

VECTOR_IMAGES = 64
SIMULATED_IMAGES = 2  # of the vendor's C++ and RTL simulation


def emit(folder: Path, _request: Request, progress: Progress) -> None:
    """Write weights/, vectors/, hls/, rtl/, scripts/, host/, README.md and the notices of the plan."""
    project = open_project(folder)
    _write_vectors(project)
    hosted: dict[str, HostUnit] = {}
    vectors: dict[UnitName, list[HlsVectors]] = {}  # of the programs of each engine
    for name in project.plan.units:
        unit = project.unit(name)
        compiled = compile_program(unit.graph, unit.config, unit.rule)
        binaries = _write_binaries(folder, unit, compiled)
        batch = project.plan.objective.images(unit.config.lanes_p)
        hosted[name] = HostUnit(
            compiled, _inside(folder, binaries.program), _inside(folder, binaries.weights), batch, unit.engine
        )
        vectors.setdefault(unit.engine, []).append(_write_expected(folder, unit.name, compiled, binaries))
        progress.advance()
    engines = {
        name: _write_sources(folder, name, config, tuple(vectors[name]))
        for name, config in project.plan.engines.items()
    }
    emit_scripts(project.board, list(engines.values()), folder)
    emit_host(project.board, hosted, folder)
    emit_notices(folder)
    _write_readme(project, engines, hosted)


STAGE: Stage[Request] = Stage(
    "emit",
    emit,
    outputs=lambda _: (WEIGHTS, VECTORS, "hls", "rtl", "scripts", "host", README, *NOTICES),
    inputs=lambda _: {},
    after=("quantise", "calibrate", "plan"),
)


def _write_vectors(project: Project) -> None:
    """Keep the first held-out images for verification."""
    data = Images.read(project.folder)
    folder = project.folder / VECTORS
    folder.mkdir(exist_ok=True)
    labels = data.labels_of(data.split.held_out)
    arrays: dict[str, np.ndarray] = {"x": data.images[data.split.held_out[:VECTOR_IMAGES]]}
    if labels is not None:
        arrays["y"] = labels[:VECTOR_IMAGES]
    np.savez_compressed(project.folder / CHECK_IMAGES, **arrays)  # type: ignore[arg-type]


def _write_binaries(folder: Path, unit: Unit, compiled: CompiledProgram) -> BinaryPaths:
    paths = BinaryPaths.of(folder, unit.name)
    paths.program.parent.mkdir(exist_ok=True)
    paths.program.write_bytes(compiled.program)
    paths.weights.write_bytes(compiled.weights)
    images = read_arrays(folder / CHECK_IMAGES, "x")["x"]
    (folder / VECTORS / f"{unit.name}.images.bin").write_bytes(compiled.pack_images(images))
    logits = run(unit.graph, images)[unit.graph.output]
    np.save(folder / VECTORS / f"{unit.name}.logits.npy", logits)
    return paths


def _write_expected(folder: Path, unit: str, compiled: CompiledProgram, binaries: BinaryPaths) -> HlsVectors:
    """Write the results of the first images as the engine must write them, for the C++ test bench."""
    images = folder / VECTORS / f"{unit}.images.bin"
    raw = images.read_bytes()
    count = min(SIMULATED_IMAGES, len(raw) // compiled.header.image_pitch_bytes)
    results = run_program(compiled.config, compiled.program, compiled.weights, raw, count)
    expected = folder / VECTORS / f"{unit}.expected.bin"
    expected.write_bytes(results)
    return HlsVectors(
        name=unit,
        program=_inside(folder, binaries.program),
        weights=_inside(folder, binaries.weights),
        images=_inside(folder, images),
        expected=_inside(folder, expected),
        count=count,
        image_bytes=compiled.header.image_pitch_bytes,
        result_bytes=len(results),
        map_bytes=compiled.header.map_bytes,
    )


def _write_sources(
    folder: Path, engine: UnitName, config: EngineConfig, vectors: tuple[HlsVectors, ...]
) -> UnitSources:
    """Write the sources of an engine, with the vectors of each of its programs."""
    hls = emit_hls(config, engine, folder / "hls", _port_bytes(folder, vectors))
    require_synthesisable(folder / "hls", engine)
    rtl = emit_rtl(config, engine, folder / "rtl" / engine)
    top = f"cascade_{engine}"
    return UnitSources(
        unit=engine,
        config=config,
        hls_sources=tuple(_inside(folder, path) for path in hls if path.name == f"{top}.cpp"),
        hls_include="hls",
        rtl_sources=tuple(_inside(folder, path) for path in rtl if path.suffix == ".sv"),
        hls_bench=tuple(_inside(folder, path) for path in hls if path.name == f"{top}_tb.cpp"),
        vectors=vectors,
    )


def _port_bytes(folder: Path, vectors: Sequence[HlsVectors]) -> dict[str, int]:
    """Return the bytes behind each port in co-simulation, of the program that has most."""
    sizes = [
        {
            "program": (folder / each.program).stat().st_size,
            "weights": (folder / each.weights).stat().st_size,
            "images": each.count * each.image_bytes,
            "results": each.result_bytes,
            "maps": each.map_bytes,
        }
        for each in vectors
    ]
    return {port: max(size[port] for size in sizes) for port in sizes[0]}


def _write_readme(project: Project, engines: Mapping[UnitName, UnitSources], hosted: Mapping[str, HostUnit]) -> None:
    quantised, decision = read_quantised(project.folder), read_decision(project.folder)
    model = ReadmeModel(
        name=quantised.name,
        input_shape=quantised.input_shape,
        classes=next(iter(hosted.values())).compiled.header.classes,
        vector_images=len(project.vectors().images),
        reason="" if decision is None else decision.reason,
        notes=quantised.notes,
    )
    described = []
    for name, planned in project.plan.units.items():
        config = quantised.variants[planned.graph].config
        sources = engines[project.plan.engine_name(name)]
        described.append(ReadmeUnit(name, sources, config.weight_bits, config.activation_bits, config.first_last_bits))
    emit_project_readme(project.board, model, described, buffer_bytes(hosted.values()), project.folder)


def _inside(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()
