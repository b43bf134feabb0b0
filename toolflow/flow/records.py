"""The JSON records of the stages: how a network was quantised, which engines run it, and why."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from quant.cascade.decide import Decision
from quant.config import QuantiseConfig
from quant.mechanisms.cost import Cost
from quant.post_training.quality import LayerQuality
from quant.sparsity.steps import PruneStep
from quant.training.recipe import Recipe
from toolflow.engine.config import EngineConfig
from toolflow.flow.precision import Auto
from toolflow.importers.images.pixels import InputStatistics, PixelMap
from toolflow.ir.artefacts import Part, PatternText, Record
from toolflow.ir.unit import UnitName, VariantName
from toolflow.plan.explore.objective import Goal, Objective, in_turn_cycles
from toolflow.plan.resources.count import ResourceCount
from toolflow.report.summary import Finetuned, Search


def _is_none(value: object) -> bool:
    return value is None


def _without(section: Any, key: str) -> Any:
    return {name: value for name, value in section.items() if name != key} if isinstance(section, dict) else section


class BrevitasCheck(Part):
    """Brevitas' own inference compared with the integer reference.

    Attributes:
        images: compared.
        tensors: compared in each image.
        differing: elements that differ, over all of them.
        accuracy: of Brevitas' answers; None without labels.
    """

    images: int
    tensors: int
    differing: int
    accuracy: float | None


class FileCheck(Part):
    """A network that was quantised elsewhere: every integer equals its file, evaluated in float64.

    Attributes:
        path: of the file, as the user gave it.
        images: compared.
        tensors: compared in each image.
    """

    path: str
    images: int
    tensors: int


class QuantisedVariant(Part):
    """How one variant was quantised.

    Attributes:
        config: what was asked for, or found by a search, or what a quantised file holds.
        images: from which ranges and weights come.
        first, last: layers with `first_last_bits`.
        notes: what a reader of the figures should know.
        layers: of everything that rounds.
        brevitas: the comparison with Brevitas.
        search: how the forms of the layers were chosen; None if the user fixed them.
        finetuned: training of the integers; None if there was none.
        file: the quantised file whose integers were taken over; None if the toolflow quantised.
    """

    config: QuantiseConfig
    images: int
    first: tuple[str, ...]
    last: tuple[str, ...]
    notes: tuple[str, ...]
    layers: tuple[LayerQuality, ...]
    brevitas: BrevitasCheck
    search: Search | None = Field(default=None, exclude_if=_is_none)
    finetuned: Finetuned | None = Field(default=None, exclude_if=_is_none)
    file: FileCheck | None = Field(default=None, exclude_if=_is_none)


class QuantiseRecord(Record):
    """What `graphs/quantise.json` holds: how the variants of a network were made.

    Attributes:
        name: of the network.
        input_shape: (C, H, W).
        parameters: numbers in the float network.
        normalisation: from pixels to the network's input.
        first_input: what reaches the first layer; None if it was not measured.
        binary: whether the network gives one logit.
        notes, warnings: sentences about the network and its images.
        pruning: the steps by which the network was pruned.
        variants: by name.
    """

    remedy: ClassVar[str] = "make the folder again"
    schema_version: Literal[3] = 3
    name: str
    input_shape: tuple[int, int, int]
    parameters: int
    normalisation: PixelMap
    first_input: InputStatistics | None
    binary: bool
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    pruning: tuple[PruneStep, ...]
    variants: dict[VariantName, QuantisedVariant] = Field(min_length=1)

    @property
    def is_taken_over(self) -> bool:
        """Whether the network was quantised before: there is no float network then."""
        return any(variant.file is not None for variant in self.variants.values())

    @classmethod
    def migrated(cls, document: dict[str, Any], version: int) -> dict[str, Any]:
        """Files without a version may lack what later ones measured, and say how long each variant took.

        Version 2 knew no networks that were quantised elsewhere.
        """
        known = {"first_input": None, "binary": False, "warnings": [], "pruning": [], **document}
        if isinstance(known.get("variants"), dict):
            known["variants"] = {name: _without(made, "seconds") for name, made in known["variants"].items()}
        return known


class PlannedUnit(Part):
    """A network of a plan and the engine that runs it.

    Attributes:
        engine: parameters of the engine, the same for both units of a morphing pair.
        graph: the stored network that it runs.
        cycles_per_image: predicted at the batch that was planned for.
        resources: predicted amounts by name.
    """

    engine: EngineConfig
    graph: VariantName
    cycles_per_image: float
    resources: dict[str, float]

    @field_validator("resources")
    @classmethod
    def _amounts(cls, resources: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(resources) - {each.name for each in fields(ResourceCount)})
        if unknown:
            raise ValueError(f"there is no resource {unknown[0]}")
        return resources

    @property
    def amounts(self) -> ResourceCount:
        """The predicted amounts."""
        return ResourceCount(**self.resources)


class PlannedClock(Part):
    """A clock, where it comes from, and the path that limits it; "" for what is not known."""

    mhz: int = Field(ge=1)
    basis: str
    path: str


class PlanRecord(Record):
    """What `plan.json` holds: the engines of a build.

    Attributes:
        board: name or path, as the user gave it.
        clock: the clock that they were planned for; None in files of earlier versions.
        goal, batch: what the engines were chosen for (`Objective`).
        units: by name.
        bound: what bounds the design (`bounds`).
    """

    schema_version: Literal[7] = 7
    board: str
    clock: PlannedClock | None = None
    goal: Goal
    batch: Annotated[int, Field(ge=1)] | None
    units: dict[UnitName, PlannedUnit] = Field(min_length=1)
    bound: str

    @classmethod
    def migrated(cls, document: dict[str, Any], version: int) -> dict[str, Any]:
        """Files of version 1 may be from before engines were chosen for a batch and a goal; up to 3, no clock."""
        return {"goal": "throughput", "batch": None, "bound": "", **document}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        engines = [unit.engine for unit in self.units.values()]
        if self.is_morphing and (set(self.units) != {UnitName.LOW, UnitName.HIGH} or engines[0] != engines[1]):
            raise ValueError("an engine with two precisions must be that of a low and of a high unit")
        return self

    @property
    def objective(self) -> Objective:
        """What the engines were chosen for."""
        return Objective(self.goal, self.batch)

    @property
    def is_morphing(self) -> bool:
        """Whether the units are two programs of one engine with two precisions."""
        return any(unit.engine.narrow_bits for unit in self.units.values())

    @property
    def engines(self) -> dict[UnitName, EngineConfig]:
        """The engines by name: one for each unit, or that of a morphing pair."""
        return {self.engine_name(name): unit.engine for name, unit in self.units.items()}

    def engine_name(self, unit: UnitName) -> UnitName:
        """Return the name of the engine that runs a unit's program."""
        return UnitName.SINGLE if self.is_morphing else unit

    def seen(self, unit: UnitName) -> EngineConfig:
        """Return the engine as the programs of a unit see it: the low one of a morphing pair has narrow programs."""
        return self.units[unit].engine.of(narrow=self.is_morphing and unit == UnitName.LOW)

    def cycles_per_image(self, low: float, high: float, forwarded_share: float) -> float:
        """Return the cycles per image of a pair, from the cycles of each unit and the forwarded share."""
        if self.is_morphing:
            return in_turn_cycles(low, high, forwarded_share)
        return self.objective.pair_cycles(low, high, forwarded_share)


class DecisionRecord(Record, Decision):
    """What `decision.json` holds: the design that was built, and why.

    Up to version 1 without other thresholds, up to version 2 without morphing pairs.
    """

    schema_version: Literal[3] = 3


class PrunedImages(Part):
    """The images of a pruning.

    Attributes:
        used: to prune and train on.
        tested: to read accuracies on.
        labelled: whether these have labels; else accuracies are agreement with the float network.
    """

    used: int
    tested: int
    labelled: bool


class MeasuredStep(PruneStep):
    """A step with what its training ended with.

    Attributes:
        loss: of the last epoch; None without training.
    """

    loss: float | None


class PrunedLayer(Part):
    """What became of a layer.

    Attributes:
        name: of the layer.
        tile: of its Winograd form, 0 for direct convolution.
        pattern: None for dense.
        density: share of its weights that are not 0 (of its taps, if it is transformed).
        multiplications: of one image.
        saved: share of the multiplications of direct convolution.
    """

    name: str
    tile: int
    pattern: PatternText | None
    density: float
    multiplications: int
    saved: float


class PruneRecord(Record):
    """What `prune.json` holds: what a network was pruned to, and what it lost.

    Attributes:
        name: of the network.
        tile, pattern: as they were asked for.
        search: how the tiles were chosen; None if the user fixed them.
        images: of the pruning.
        training: the recipe, None without.
        accuracy: of the "float" and the "pruned" network.
        steps: in order.
        layers: those with weights, in order.
        notes: sentences about the network and the machine.
    """

    remedy: ClassVar[str] = "prune again"
    schema_version: Literal[1] = 1
    name: str
    tile: Auto | int
    search: Search | None
    pattern: PatternText
    images: PrunedImages
    training: Recipe | None
    accuracy: dict[Literal["float", "pruned"], float]
    steps: tuple[MeasuredStep, ...]
    layers: tuple[PrunedLayer, ...]
    notes: tuple[str, ...]


class CompressedImages(Part):
    """The images of a compression.

    Attributes:
        trained: to train on.
        judged: that candidates are judged on.
        tested: that accuracies before and after are read on.
        labelled: whether these have labels; else accuracies are agreement with the float network.
    """

    trained: int
    judged: int
    tested: int
    labelled: bool


class RecipeRecord(Part):
    """A recipe as it was used.

    Attributes:
        name: of the recipe.
        paper: where it was published.
        settings: by name.
    """

    name: str
    paper: str
    settings: dict[str, Any]


class CompressionStep(Part):
    """A step of a recipe.

    Attributes:
        recipe: its name.
        what: what was done.
        accuracy: of the network after it, on the images that candidates are judged on.
        cost: of the network after it, on the engine of the network before.
        judged: candidates that were judged since the step before.
        images: that were trained on since the step before, each as often as it was.
    """

    recipe: str
    what: str
    accuracy: float
    cost: Cost
    judged: int
    images: int


class StepsRecord(Record):
    """The steps of one recipe, in order."""

    remedy: ClassVar[str] = "compress again"
    schema_version: Literal[2] = 2
    steps: tuple[CompressionStep, ...]


class CompressionRecord(Record):
    """What `recipe.json` holds: what recipes made of a network.

    Attributes:
        name: of the network.
        board, clock_mhz: the board, and its clock.
        engine: the engine that is best for the network before; costs are counted on it.
        images: of the compression.
        recipes: in order.
        budget: share of the cycles that may remain; None if the recipes decide.
        seed: of all random choices.
        accuracy: of the network "before" and "after", on images that nothing else sees.
        cost: of the network "before" and "after"; "planned anew" on the engine that is best for the network after.
        steps: of all recipes, in order.
    """

    remedy: ClassVar[str] = "compress again"
    schema_version: Literal[2] = 2
    name: str
    board: str
    clock_mhz: int
    engine: EngineConfig
    images: CompressedImages
    recipes: tuple[RecipeRecord, ...]
    budget: float | None
    seed: int
    accuracy: dict[Literal["before", "after"], float]
    cost: dict[Literal["before", "after", "planned anew"], Cost]
    steps: tuple[CompressionStep, ...]
