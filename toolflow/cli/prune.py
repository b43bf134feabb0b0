"""`toolflow prune`: from a model and images to Winograd weights that obey a sub-row-balanced pattern."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import typer
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from toolflow.cli import options
from toolflow.cli.command import command
from toolflow.cli.parsing import parse_per_channel, parse_search_engine, parse_shape
from toolflow.cli.terminal import Terminal
from toolflow.flow.events import Progress
from toolflow.flow.folder import CHECKPOINTS, notebook_in, open_build
from toolflow.flow.pruning import Wanted, one_pattern, parse_layer_patterns, parse_layer_tiles
from toolflow.flow.search import SAVES_MULTIPLICATIONS, allowed_loss
from toolflow.importers.images.calibration_file import require_apart
from toolflow.ir.errors import ToolflowError
from toolflow.plan.boards.board import board_source

if TYPE_CHECKING:
    from quant.sparsity.choice import Choice
    from quant.training.recipe import Recipe
    from toolflow.flow.source import Source
    from toolflow.importers.images.calibration_file import CalibrationImages
    from toolflow.ir.graph import Graph

SCHEMA_VERSION = 1
PRUNED, REPORT, HELD_OUT = "pruned.safetensors", "prune.json", "held_out.npz"
CHECKPOINT = CHECKPOINTS.replace("*", "pruned")
TRAINING_SHARE = 0.9  # of the images, where they are to train on and none are given to test on
DEFAULT_EPOCHS = 12

_PANEL, _DATA, _TRAINING = "Pattern", "Images", "Training"

PatternText = Annotated[
    str,
    typer.Option("--pattern", metavar="n:S", help="Kept values of every S input channels.", rich_help_panel=_PANEL),
]
Tile = Annotated[
    Literal["0", "2", "4", "auto"],
    typer.Option(
        "--tile",
        help="Winograd tile of the 3x3 layers of stride 1, 0 for direct convolution; auto to search each layer's.",
        rich_help_panel=_PANEL,
    ),
]
LayerPatterns = Annotated[
    str | None,
    typer.Option(
        "--layer-pattern",
        metavar="NAME=n:S,..",
        help="Patterns of single layers, 1x1 and strided ones among them, or 'dense'.",
        rich_help_panel=_PANEL,
    ),
]
LayerTiles = Annotated[
    str | None,
    typer.Option(
        "--layer-tile",
        metavar="NAME=TILE,..",
        help="Tiles of single layers, 0 for direct convolution; no search changes them.",
        rich_help_panel=_PANEL,
    ),
]
Train = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.npz",
        help="Images to train on, as in a calibration file; labels help.",
        exists=True,
        dir_okay=False,
        rich_help_panel=_DATA,
    ),
]
Unlabelled = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        metavar="FILE.npz",
        help="Images to prune on without training.",
        exists=True,
        dir_okay=False,
        rich_help_panel=_DATA,
    ),
]
Test = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.npz",
        help="Images to read the accuracy on; else some of the others are held out.",
        exists=True,
        dir_okay=False,
        rich_help_panel=_DATA,
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        min=1, show_default=str(DEFAULT_EPOCHS), help="Times that each image is trained on.", rich_help_panel=_TRAINING
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(min=2, show_default="64", help="Images in a step of the optimiser.", rich_help_panel=_TRAINING),
]
Rate = Annotated[
    float | None,
    typer.Option(show_default="0.002", help="Learning rate at the start.", rich_help_panel=_TRAINING),
]
Flip = Annotated[
    bool | None,
    typer.Option(
        "--flip/--no-flip", show_default="flip", help="Train on mirrored images too.", rich_help_panel=_TRAINING
    ),
]
Seed = Annotated[int, typer.Option(metavar="N", min=0, help="Seed of everything random.", rich_help_panel=_TRAINING)]


@command
def prune(
    terminal: Terminal,
    model: options.Model,
    pattern: PatternText,
    tile: Tile,
    out: options.Out,
    train: Train = None,
    calibration: Unlabelled = None,
    test: Test = None,
    layer_pattern: LayerPatterns = None,
    layer_tile: LayerTiles = None,
    search_loss: options.SearchLoss = None,
    board: options.SearchBoard = None,
    engine: options.Engine = None,
    epochs: Epochs = None,
    batch: Batch = None,
    rate: Rate = None,
    flip: Flip = None,
    seed: Seed = 0,
    weights: options.Weights = None,
    input_shape: options.InputShape = None,
    output: options.Output = None,
    mean: options.Mean = None,
    std: options.Std = None,
    pixel_scale: options.PixelScale = None,
    reverse_channels: options.ReverseChannels = False,
) -> None:
    """Prune a model's convolutions to n of every S channels, in the Winograd domain where they have a tile.

    With --calibration each layer is solved on the images alone. With --train the network is pruned and then trained,
    where there are epochs enough (16 for 3:16) in steps, each trained before the next; a run that was interrupted goes
    on behind the last epoch that it finished. DIR gets pruned.safetensors (the weights) and prune.json (the accuracy
    after each step, what each layer saves). --tile auto chooses tiles by networks that are not trained.

    Examples:

        toolflow prune resnet20.onnx --pattern 8:16 --tile 4 --calibration cifar.npz --out build/half

        toolflow prune resnet20.onnx --pattern 3:16 --tile 2 --train cifar.npz --epochs 30 --out build/sparse
    """
    wanted = Wanted(
        None if tile == "auto" else int(tile),
        one_pattern("--pattern", pattern),
        parse_layer_patterns(layer_pattern),
        parse_layer_tiles(layer_tile),
        allowed_loss(search_loss, tile == "auto"),
        None if board is None else board_source(board),
        tuple(sorted(parse_search_engine(board, engine, tile).items())),
    )
    images = train or calibration
    if images is None or (train is not None and calibration is not None):
        given = "both" if images is not None else "neither"
        raise ToolflowError(f"one of --train and --calibration must be given, not {given}")
    training = {"epochs": epochs, "batch": batch, "rate": rate, "flip": flip}
    given_for_training = {name: value for name, value in training.items() if value is not None}
    if calibration is not None and given_for_training:
        raise ToolflowError(f"--{next(iter(given_for_training))} must come with --train")
    if rate is not None and not 0 < rate < 1:
        raise ToolflowError(f"--rate must be above 0 and below 1, not {rate}")
    with terminal.progress("load the toolflow"):
        from quant.training.recipe import Recipe
        from toolflow.flow.manifest import fingerprint
        from toolflow.flow.source import Source

    wanted.target()  # a wrong board or engine must not cost the time of a measurement
    if tile == "auto" and board is None:
        terminal.note(SAVES_MULTIPLICATIONS)
    source = Source(
        model,
        images,
        weights=weights,
        input_shape=parse_shape(input_shape),
        output=output,
        mean=parse_per_channel("--mean", mean),
        std=parse_per_channel("--std", std),
        pixel_scale=pixel_scale,
        reverse_channels=reverse_channels,
    )
    asked = {"epochs": DEFAULT_EPOCHS, "seed": seed, **given_for_training}
    recipe = Recipe(**asked) if train is not None else None  # type: ignore[arg-type]  # by name
    inputs = {**source.inputs(), "test": test, **wanted.inputs(), "seed": seed, "training": recipe and asdict(recipe)}
    job = Job(source, test, wanted, recipe, seed, fingerprint(inputs))
    with open_build(out, terminal, "measure", [*source.files, test]) as folder:
        folder.stage("measure", job.measure(terminal.note), outputs=[HELD_OUT], inputs=inputs)
        folder.stage("prune", job.prune(), outputs=[PRUNED, REPORT], inputs=inputs, after=["measure"])
    document = json.loads((out / REPORT).read_text(encoding="utf-8"))
    terminal.result(document, *_tables(document))
    terminal.note(f"pruned into {out / PRUNED}")


@dataclass(frozen=True)
class Job:
    """One run of the command.

    Attributes:
        source: the model, and the images to prune or train on.
        test: images to measure on, or None to hold some of the others out.
        wanted: patterns and tiles.
        recipe: of training, None without.
        seed: of the samples that layers are solved on.
        origin: fingerprint of all of it.
    """

    source: Source
    test: Path | None
    wanted: Wanted
    recipe: Recipe | None
    seed: int
    origin: str

    def measure(self, note: Callable[[str], None]) -> Callable[[Path, Progress], None]:
        """Return the stage that holds images out and asks the float network about them."""

        def make(folder: Path, progress: Progress) -> None:
            from quant.training.loop import classes_of
            from toolflow.flow.stages.quantise import output_notes

            graph = self.source.graph()
            self.wanted.choices(graph)  # bad patterns end here
            data = self.source.images(graph)
            for sentence in (*data.notes, *output_notes(graph), *(f"warning: {text}" for text in data.warnings)):
                note(sentence)
            held_out = self._held_out(data)
            tested = self._tested(graph, data, held_out)
            answers = classes_of(graph, tested.images, _normalisation(tested))
            np.savez_compressed(folder / HELD_OUT, held_out=held_out, float=answers)

        return make

    def prune(self) -> Callable[[Path, Progress], None]:
        """Return the stage that makes the pruned network and its report."""

        def make(folder: Path, progress: Progress) -> None:
            from quant.sparsity.pruned_file import save_pruned
            from quant.training.loop import classes_of, slower_here

            graph = self.source.graph()
            choices, notes = self.wanted.choices(graph)
            data = self.source.images(graph)
            with np.load(folder / HELD_OUT, allow_pickle=False) as archive:
                held_out, floats = archive["held_out"], archive["float"]
            tested = self._tested(graph, data, held_out)
            truth = floats if tested.labels is None else tested.labels

            def accuracy(network: Graph) -> float:
                return float((classes_of(network, tested.images, _normalisation(tested)) == truth).mean())

            used = np.setdiff1d(np.arange(len(data.images)), held_out)
            search = None
            if self.wanted.tile is None:
                choices, search = self._searched(graph, choices, _of(data, used), progress, notebook_in(folder))
            pruned, steps = self._pruned(graph, choices, _of(data, used), accuracy, folder, progress)
            save_pruned(pruned, folder / PRUNED, steps)
            document = {
                "schema_version": SCHEMA_VERSION,
                "name": graph.name,
                "tile": "auto" if self.wanted.tile is None else self.wanted.tile,
                "search": search,
                "pattern": str(self.wanted.pattern),
                "images": {"used": len(used), "tested": len(truth), "labelled": tested.labels is not None},
                "training": None if self.recipe is None else asdict(self.recipe),
                "accuracy": {"float": float((floats == truth).mean()), "pruned": steps[-1]["accuracy"]},
                "steps": steps,
                "layers": _layers(graph, pruned),
                "notes": [*notes, *(slower_here() if self.recipe else ())],
            }
            (folder / REPORT).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")

        return make

    def _searched(
        self, graph: Graph, choices: Mapping[str, Choice], data: CalibrationImages, progress: Progress, notebook: Path
    ) -> tuple[dict[str, Choice], dict[str, Any]]:
        """Return the choices with the tiles that a search finds, pruned without training, and what it judged."""
        from quant.search.problem import Answered, tile_problem
        from quant.search.search import search
        from quant.training.loop import classes_of
        from toolflow.flow.stages.quantise import search_section

        floats = classes_of(graph, data.images, _normalisation(data))
        truth = floats if data.labels is None else data.labels
        given, fixed = Answered(data.images, truth), self.wanted.tiles.keys()
        problem = tile_problem(graph, given, _normalisation(data), choices, self.wanted.search_loss, fixed)
        problem = replace(problem, target=self.wanted.target())
        found = search(problem, lambda what: progress.advance(0, f"search, {what}"), notebook)
        tiles = {**found.config.tiles, **self.wanted.tiles}
        changed = {name: replace(one, tile=tiles.get(name, 0)) for name, one in choices.items()}
        return changed, search_section(found).model_dump(mode="json")

    def _pruned(
        self,
        graph: Graph,
        choices: Mapping[str, Any],
        data: CalibrationImages,
        accuracy: Callable[[Graph], float],
        folder: Path,
        progress: Progress,
    ) -> tuple[Graph, list[Any]]:
        from quant.sparsity.prune import prune_graph
        from quant.training.checkpoint import Checkpoint
        from quant.training.images import TrainingImages
        from quant.training.loop import Watch, prune_and_train
        from quant.training.steps import patterns_of

        def told(layer: str) -> None:
            progress.advance(0, f"solve {layer}")

        if self.recipe is None:
            progress.expect(len(graph.nodes))
            pruned = prune_graph(
                graph, data.images, _normalisation(data), choices, lambda layer: progress.advance(1, layer), self.seed
            )
            steps = [{"pattern": patterns_of(choices), "epochs": 0, "loss": None, "accuracy": accuracy(pruned)}]
            return pruned, steps
        progress.expect(self.recipe.epochs * len(data.images))
        images = TrainingImages(data.images, data.labels, _normalisation(data))
        checkpoint = Checkpoint(folder / CHECKPOINT, self.origin)
        return prune_and_train(graph, images, choices, self.recipe, Watch(accuracy, progress.advance, told), checkpoint)

    def _held_out(self, data: CalibrationImages) -> Any:
        """Return the indices of the images that nothing but the accuracy sees."""
        from quant.cascade.split import stratified_split
        from toolflow.flow.graphs import split_images

        if self.test is not None:
            return np.zeros(0, dtype=np.int64)
        if self.recipe is not None:
            return stratified_split(len(data.images), data.labels, TRAINING_SHARE)[1]
        split = split_images(len(data.images), data.labels)
        return np.sort(np.concatenate([split.rule, split.held_out]))

    def _tested(self, graph: Graph, data: CalibrationImages, held_out: Any) -> CalibrationImages:
        """Return the images to read the accuracy on.

        Raises:
            ToolflowError: they are not like those that the network is pruned on, or some of those.
        """
        if self.test is None:
            return _of(data, held_out)
        found = replace(self.source, calibration=self.test).images(graph)
        require_apart(found, self.test, data, self.source.calibration)
        return found


def _of(data: CalibrationImages, some: Any) -> CalibrationImages:
    return replace(data, images=data.images[some], labels=None if data.labels is None else data.labels[some])


def _normalisation(data: CalibrationImages) -> Any:
    from quant.config import Normalisation

    return Normalisation(mean=data.pixels.mean, std=data.pixels.std, scale=data.pixels.scale)


def _layers(graph: Graph, pruned: Graph) -> list[dict[str, Any]]:
    """Return what became of each layer: form, density, and multiplications for one image."""
    from quant.arrangement.forms import multiplications_by_layer

    direct, now = multiplications_by_layer(graph), multiplications_by_layer(pruned)
    layers = []
    for node in pruned.nodes:
        if node.name not in now:
            continue
        op, weight = node.op, node.weights["weight"]
        layers.append(
            {
                "name": node.name,
                "tile": op.tile,
                "pattern": str(op.pattern) if op.pattern else None,
                "density": float(np.count_nonzero(weight) / weight.size),
                "multiplications": now[node.name],
                "saved": 1 - now[node.name] / direct[node.name],
            }
        )
    return layers


def _tables(document: Mapping[str, Any]) -> list[RenderableType]:
    """Return the accuracies and the layers."""
    from toolflow.report.summary import Search
    from toolflow.report.tables import percent, search_sentence

    images = document["images"]
    what = "accuracy" if images["labelled"] else "agreement with the float model"
    title = f"{escape(document['name'])}: {images['tested']:,} unseen images"
    steps = Table(title=title, title_justify="left")
    for column in ("network", "epochs", "loss", what):
        steps.add_column(column, justify="left" if column == "network" else "right")
    steps.add_row("float", "", "", percent(document["accuracy"]["float"]))
    for event in document["steps"]:
        loss = "" if event["loss"] is None else f"{event['loss']:.3f}"
        made = "trained" if event["epochs"] else "pruned"
        steps.add_row(f"{made} {event['pattern']}", str(event["epochs"] or ""), loss, percent(event["accuracy"]))
    layers = Table(title="layers: multiplications for one image, against direct convolution", title_justify="left")
    for column in ("layer", "tile", "pattern", "density", "multiplications", "saved"):
        layers.add_column(column, justify="left" if column == "layer" else "right")
    for layer in document["layers"]:
        layers.add_row(
            escape(layer["name"]),
            f"F({layer['tile']},3)" if layer["tile"] else "direct",
            layer["pattern"] or "dense",
            f"{layer['density']:.3f}",
            f"{layer['multiplications']:,}",
            percent(layer["saved"]),
        )
    searched = [search_sentence("float", Search.model_validate(document["search"]))] if document["search"] else []
    return [steps, layers, *searched, *(f"note: {note}" for note in document["notes"])]
