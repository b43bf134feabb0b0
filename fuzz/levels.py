"""Run a case: import, quantise, compile, execute, and compare every integer with the reference."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from fuzz.case import Case, draw_images
from fuzz.engines import UNIT, Builds
from quant.config import Normalisation, QuantiseConfig
from quant.float_network import model_output
from quant.quantise import Variant, quantise
from rtl_sim.simulate.job import RunOptions
from rtl_sim.verify import Executor, Unit, locate, verify_level
from toolflow.engine.config import EngineConfig
from toolflow.importers.images.pixels import PixelMap
from toolflow.importers.images.plausible import unusable
from toolflow.importers.load import load_model
from toolflow.ir.errors import ToolflowError
from toolflow.ir.graph import Graph
from toolflow.ir.quantised import QuantisedGraph, verify_quantised
from toolflow.numerics.confidence import ConfidenceRule
from toolflow.passes.check import require_engine
from toolflow.passes.pipeline import simplify
from toolflow.plan.boards.board import load_board
from toolflow.plan.explore.choose import best_single, timed_engines

FLOAT_TOLERANCE = 1e-4
UInt8Array = npt.NDArray[np.uint8]


class DifferenceError(Exception):
    """Two levels differ."""


@dataclass
class Progress:
    """The progress of a case.

    Attributes:
        stage: the current stage, or the one that failed.
        seconds: wall time of each stage.
        equal: the levels that were compared and are equal.
        relative_error: error energy over signal energy of the quantised output.
    """

    stage: str = "draw"
    seconds: dict[str, float] = field(default_factory=dict)
    equal: list[str] = field(default_factory=list)
    relative_error: float | None = None

    @contextmanager
    def at(self, stage: str) -> Iterator[None]:
        """Measure the time of a stage."""
        self.stage = stage
        started = time.process_time(), time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - started[1], 3)


def run_case(case: Case, builds: Builds, progress: Progress) -> None:
    """Run a case on all of its levels.

    Raises:
        DifferenceError: two levels differ; the message says where.
        ToolflowError: the toolflow refuses the case.
    """
    shape = case.network.shape
    calibration = draw_images(*case.calibration, shape, case.seed)
    images = draw_images(*case.images, shape, case.seed + 1)
    pixels = PixelMap((case.mean,) * shape[0], (case.std,) * shape[0])
    with progress.at("import"):
        graph = _imported(case, Normalisation(mean=pixels.mean, std=pixels.std).apply(images))
        mapped = pixels.then(graph.input_map)
        if (problem := unusable(mapped)) is not None:
            raise ToolflowError(problem)
    normalisation = Normalisation(mean=mapped.mean, std=mapped.std, scale=mapped.scale)
    with progress.at("quantise"):
        made = quantise(graph, calibration, normalisation, QuantiseConfig.model_validate(case.quantise), UNIT)
        verify_quantised(made.graph)
        progress.relative_error = _output_error(made)
    with progress.at("plan"):
        config = _engine(case, made.graph)
    unit = Unit(UNIT, made.graph, config, None if case.rule is None else ConfidenceRule(*case.rule))
    options = RunOptions(seed=case.seed, stall_probability=case.stalls)
    for name in case.levels:
        with progress.at(name):
            executor = builds.executor(name, config, options)
            _compare(name, unit, executor, images, traced=name != "rtl" or case.seed % 2 == 0)
        progress.equal.append(name)


def _imported(case: Case, x: npt.NDArray[np.float64]) -> Graph:
    """Import the network and compare it with onnxruntime, as imported and as simplified."""
    model = case.network.to_onnx()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        path = Path(name) / "fuzzed.onnx"
        path.write_bytes(model.SerializeToString())
        imported = load_model(str(path))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # without fusion: a pad fused with an average pool in ceil mode counts other elements than the two operators alone
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    wanted = np.asarray(session.run(None, {session.get_inputs()[0].name: x.astype(np.float32)})[0])
    require_engine(imported)
    graph = simplify(imported)
    both = np.concatenate([np.zeros_like(wanted), wanted], axis=1) if graph.binary else wanted
    scale = max(float(np.abs(wanted).max()), 1e-6)
    for what, one, expected in (("as imported", imported, wanted), ("as simplified", graph, both)):
        with torch.no_grad():
            found = model_output(one, torch.from_numpy(x).double()).numpy()
        if found.shape != expected.shape:
            raise DifferenceError(
                f"the network {what} has an output of shape {found.shape}, onnxruntime {expected.shape}"
            )
        error = float(np.abs(found - expected).max()) / scale
        if not error <= FLOAT_TOLERANCE:
            raise DifferenceError(f"the network {what} differs from onnxruntime by {error:.2g} of the largest value")
    return graph


def _output_error(made: Variant) -> float | None:
    errors = [layer.relative_error for layer in made.report.layers]
    return float(errors[-1]) if errors else None


def _engine(case: Case, graph: QuantisedGraph) -> EngineConfig:
    """Return the engine as the case's program sees it; without one, that which the planner chooses for its board."""
    if case.engine is not None:
        return EngineConfig.model_validate(case.engine).of(case.narrow)
    board = load_board(case.board)
    bits = max(case.quantise["weight_bits"], case.quantise["activation_bits"])
    timed = timed_engines(graph, bits, {}, board, alone=True, batch=case.batch)
    return best_single(timed, board, "the network").config


def _compare(name: str, unit: Unit, executor: Executor, images: UInt8Array, *, traced: bool) -> None:
    """Compare all results of a level with the reference; if `traced`, all feature maps too."""
    difference = verify_level(unit, executor, images).difference
    if difference is None and traced:
        difference = locate(unit, executor, images)
    if difference is not None:
        raise DifferenceError(f"{name}: {difference}")


def refusal_lacks(error: ToolflowError, case: Case) -> str:
    """Return what is missing in a refusal for the user to act on it, or "" if nothing is."""
    text = str(error)
    names = [f"'{step.name}" for step in case.network.steps]
    resources = ("depth", "bits", "lanes", "LUTs", "DSPs", "block", "words", "--", "images", "input channels")
    if not any(name in text for name in [*names, *resources]):
        return "it names no node, no resource and no option"
    if not any(
        word in text
        for word in ("must", "allowed", "needs", "take ", "use ", "scale its", "remove ", "at least", "up to", "only ")
    ):
        return "it does not say what is allowed"
    return ""
