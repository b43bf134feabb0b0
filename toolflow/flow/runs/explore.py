"""Explore networks on boards: the accuracy, speed and area of engines, and which of them no other surpasses."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from toolflow import __version__
from toolflow.engine.config import EngineConfig
from toolflow.flow.events import SILENT, Events
from toolflow.flow.exploration import ExploreRequest, is_folder
from toolflow.flow.graphs import load_graph
from toolflow.flow.manifest import source_digest
from toolflow.flow.project import read_quantised
from toolflow.flow.runs.quantise import measured, quantise
from toolflow.flow.values import as_path, require_kind
from toolflow.flow.workers import executor_of
from toolflow.ir.errors import DoesNotFitError, ToolflowError
from toolflow.ir.quantised import QuantisedGraph
from toolflow.plan.boards.board import Board
from toolflow.plan.explore.choose import timed_engines
from toolflow.plan.explore.objective import Objective
from toolflow.plan.explore.pareto import on_front
from toolflow.plan.explore.shapes import engine_tile
from toolflow.report.page.front import FrontPoint, write_front_page

NOTEBOOK, RESULT, TABLE, PAGE = "explore.notebook", "explore.json", "explore.csv", "explore.html"
SHARES = (1.0, 0.5, 0.25)  # of a board that engines are planned for: smaller ones are slower
_NETWORKS = "networks"  # folder of the quantised models


@dataclass(frozen=True)
class Network:
    """A quantised network.

    Attributes:
        name: of the model and its variant.
        bits: of its inner layers.
        graph: its integers.
        accuracy: on held-out images.
        labelled: whether these have labels; otherwise accuracy is agreement with the float network.
    """

    name: str
    bits: int
    graph: QuantisedGraph
    accuracy: float
    labelled: bool


@dataclass(frozen=True)
class Exploration:
    """The result.

    Attributes:
        points: the engines that fit, in the order of networks and boards, the fastest first.
        lacks: (network, board, why) where none fits.
    """

    points: tuple[FrontPoint, ...]
    lacks: tuple[tuple[str, str, str], ...]

    @property
    def front(self) -> tuple[FrontPoint, ...]:
        """The points that no other surpasses in accuracy, images/s and area together."""
        return tuple(point for point in self.points if point.on_front)

    def document(self) -> dict[str, Any]:
        """Return the result as a JSON document."""
        lacks = [dict(zip(("network", "board", "lacks"), each, strict=True)) for each in self.lacks]
        return {"points": [asdict(point) for point in self.points], "lacks": lacks}


class Job(NamedTuple):
    """A plan to make: of a network, by its place, for a share of a board."""

    network: int
    board: Board
    share: float


@dataclass(frozen=True)
class Planning:
    """The work of a worker: engines of one network on one board; it travels with the networks' integers."""

    networks: tuple[tuple[QuantisedGraph, int], ...]
    engine: Mapping[str, int | str]
    objective: Objective

    def __call__(self, job: Job) -> dict[str, Any]:
        """Return the engines that fit, as JSON can hold them, or what is short."""
        graph, bits = self.networks[job.network]
        board = job.board.with_tile(engine_tile([graph], self.engine))
        try:
            timed = timed_engines(
                graph, bits, self.engine, board.share(job.share), alone=True, batch=self.objective.batch
            )
        except ToolflowError as error:
            return {"lacks": str(error)}
        hz = board.clock_mhz * 1e6
        found: dict[EngineConfig, dict[str, Any]] = {}
        for each in sorted(timed, key=lambda each: each.cycles_per_image):
            if not each.resources.over(board.share(job.share).usable):
                shares = each.resources.shares(board.usable)
                found[each.config] = {
                    "images_per_second": hz / each.cycles_per_image,
                    "latency_ms": 1e3 * max(each.report.total_cycles, each.cycles_per_image) / hz,
                    "batch": each.report.images,
                    "area": max(shares.values()),
                    "shares": shares,
                    "engine": each.config.model_dump(mode="json"),
                }
        return {"engines": list(found.values())} if found else {"lacks": "no engine that was timed fits"}


def explore(request: ExploreRequest, out: str | Path, events: Events = SILENT) -> Exploration:
    """Plan every network for every board, and find the engines that no other surpasses.

    Args:
        request: the networks and boards.
        out: the output folder: explore.json, explore.csv and explore.html, and in networks/ the quantised models. What
            was planned is kept in explore.notebook: the same command goes on from there after an interruption.
        events: receives notes and progress.

    Raises:
        ToolflowError: a model cannot be quantised, `out` holds something else, or the workers have gone.
        DoesNotFitError: no network fits any board.
    """
    from quant.mechanisms.search.store import Store

    require_kind("request", request, ExploreRequest)
    out = _opened(as_path("--out", out))
    networks = [network for model in request.models for network in _networks(model, request, out, events)]
    store = Store(out / NOTEBOOK)
    boards = request.loaded_boards
    jobs = [Job(place, board, share) for place in range(len(networks)) for board in boards for share in SHARES]
    keys = [_key(networks[job.network], job, request) for job in jobs]
    todo = [number for number, key in enumerate(keys) if store.get(key) is None]
    if len(todo) < len(jobs):
        events.note(f"{len(jobs) - len(todo)} of {len(jobs)} plans are kept from an earlier run")
    if todo:
        work = Planning(tuple((n.graph, n.bits) for n in networks), dict(request.engine), request.objective)
        executor = executor_of(work, request.workers)
        try:
            with events.progress("plan networks for boards", len(todo)) as progress:
                for place, found in executor.results([jobs[number] for number in todo]):
                    store.put(keys[todo[place]], found)
                    job = jobs[todo[place]]
                    progress.advance(1, f"{networks[job.network].name} on {job.share:.0%} of {job.board.name}")
        finally:
            executor.close()
    found = _collected(networks, jobs, [store.get(key) for key in keys])
    _write(out, found, networks)
    if not found.points:
        first, name, why = found.lacks[0]
        raise DoesNotFitError(f"no network fits any of the boards; {first} on {name}: {why}")
    return found


def _opened(out: Path) -> Path:
    """Return the output folder, new or of an earlier exploration."""
    if out.exists() and not out.is_dir():
        raise ToolflowError(f"the output must be a folder, not the file {out}; choose another --out")
    if out.is_dir() and any(out.iterdir()) and not (out / NOTEBOOK).is_file():
        raise ToolflowError(f"{out} is neither empty nor an earlier exploration; it was left as it is")
    out.mkdir(parents=True, exist_ok=True)
    (out / NOTEBOOK).touch()
    return out


def _networks(model: str, request: ExploreRequest, out: Path, events: Events) -> list[Network]:
    """Return the networks of a model, which are quantised first, or of a folder."""
    if is_folder(model):
        return _variants(Path(model), Path(model).name)
    path = Path(model)
    name = path.stem if path.suffix == ".onnx" else model.rpartition(":")[2]
    tag = hashlib.sha256(model.encode()).hexdigest()[:6]  # two models may have one name
    found = []
    for bits in request.bits:
        folder = out / _NETWORKS / f"{name}-{tag}-{bits}"
        quantise(request.quantising(model, bits), folder, events)
        found += _variants(folder, name)
    return found


def _variants(folder: Path, name: str) -> list[Network]:
    made, networks = measured(folder), []
    for variant, held in read_quantised(folder).variants.items():
        bits = max(held.config.weight_bits, held.config.activation_bits)
        graph = load_graph(folder, variant)
        networks.append(Network(f"{name}, {bits} bits", bits, graph, made.accuracy[variant], made.labelled))
    return networks


def _key(network: Network, job: Job, request: ExploreRequest) -> str:
    """Return what a plan depends on, as a hash."""
    sha = hashlib.sha256(source_digest().encode())
    for value in (
        network.bits,
        job.board.model_dump_json(),
        job.share,
        sorted(request.engine.items()),
        request.objective,
    ):
        sha.update(repr(value).encode())
    sha.update(_digest(network.graph).encode())
    return sha.hexdigest()


def _digest(graph: QuantisedGraph) -> str:
    """Return the hash of a network's layers and integers."""
    sha = hashlib.sha256(repr(replace(graph, nodes=())).encode())
    for node in graph.nodes:
        sha.update(repr((node.name, node.op, node.inputs)).encode())
        for name, values in sorted(node.weights.items()):
            sha.update(repr((name, values.dtype, values.shape)).encode())
            sha.update(values.tobytes())
    return sha.hexdigest()


def _collected(networks: Sequence[Network], jobs: Sequence[Job], results: Sequence[Mapping[str, Any]]) -> Exploration:
    points: list[FrontPoint] = []
    lacks = []
    for job, result in zip(jobs, results, strict=True):
        network, board = networks[job.network], job.board
        if "lacks" in result and job.share == 1:
            lacks.append((network.name, board.name, str(result["lacks"])))
        engines = result.get("engines", ())
        points += [FrontPoint(network.name, board.name, network.accuracy, **engine) for engine in engines]
    front = on_front([(point.accuracy, point.images_per_second, -point.area) for point in points])
    marked = (replace(point, on_front=best) for point, best in zip(points, front, strict=True))
    return Exploration(tuple(marked), tuple(lacks))


def _write(out: Path, found: Exploration, networks: Sequence[Network]) -> None:
    document = {"made_by": f"cascade-toolflow {__version__}", **found.document()}
    (out / RESULT).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    columns = ["network", "board", "accuracy", "images_per_second", "latency_ms", "batch", "area", "on_front"]
    with (out / TABLE).open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(columns)
        rows.writerows([getattr(point, column) for column in columns] for point in found.points)
    write_front_page(found.points, found.lacks, all(n.labelled for n in networks), out / PAGE)
