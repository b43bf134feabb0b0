"""`summary.json`: every figure of a build, as data. `docs/summary.md` is made from these docstrings."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from quant.cascade.artefacts import CurvePoint, Measure
from quant.cascade.decide import Decision
from quant.cascade.measure import INTERVAL_CONFIDENCE
from quant.cascade.statistics import normal_quantile, wilson_bounds
from quant.sparsity.steps import PruneStep
from toolflow.engine.config import EngineConfig
from toolflow.ir.artefacts import Part, PatternText, Record, load_record
from toolflow.ir.unit import UnitName


class Section(Part):
    """Base of every section: no key but those described."""


class Model(Section):
    """The network that was built.

    Attributes:
        name: the name that the user gave it.
        source: the file or factory that it came from.
        sha256: hash of that file and of the weights; "" if they have no file.
        input_shape: (C, H, W) of one image.
        classes: number of outputs; 2 for a network with one logit.
        binary: whether the network has one logit z: class 1 if z > 0, otherwise class 0. Its confidence is
            |2·sigmoid(z) − 1|.
        parameters: number of weights and biases of the float network.
        macs: multiply-accumulates of one image if every layer is direct and dense.
        pruning: the pruning steps; empty if the network was not pruned by `toolflow prune`.
    """

    name: str
    source: str
    sha256: str = ""
    input_shape: tuple[int, int, int]
    classes: int
    binary: bool = False
    parameters: int
    macs: int
    pruning: tuple[PruneStep, ...] = ()


class Layer(Section):
    """How one layer with weights is computed.

    Attributes:
        name: name of the layer.
        mode: "direct" or "winograd".
        tile: outputs of a Winograd tile in each direction; 0 for direct layers.
        pattern: "n:S" or "n:SxG" if the weights are sub-row-balanced, otherwise null.
        shares: values of a sub-row that each tap keeps, n on average; only for Winograd layers with a pattern.
        weight_bits: bits of a weight.
        density: share of weights that are not 0; in a Winograd layer, of the transformed weights.
        multiplications: multiplications for one image.
        direct_multiplications: multiplications for one image if the layer were direct and dense.
        storage_bits: bits of all weights: values, and indices if there is a pattern.
        stream_bytes: bytes that a pass reads for the layer from the weight stream: weights, indices, padding and
            parameters. 0 if an earlier version of the toolflow wrote the summary.
    """

    name: str
    mode: Literal["direct", "winograd"]
    tile: int = 0
    pattern: PatternText | None = None
    shares: tuple[int, ...] = ()
    weight_bits: int
    density: float
    multiplications: int
    direct_multiplications: int
    storage_bits: int
    stream_bytes: int = 0


class Trial(Section):
    """A network that a search judged.

    Attributes:
        divergence: sum of the divergences that its choices cause, each applied alone.
        cost: its cost ÷ the cost of the dense direct network of full width.
        accuracy: accuracy of its integers on images of the calibration file that no report uses.
    """

    divergence: float
    cost: float
    accuracy: float


class Search(Section):
    """How the tiles, patterns and bits of a variant's layers were chosen.

    Attributes:
        saves: what the cost counts: "multiplications", "bit-operations", or "cycles" of the cycle model on the best
            engine for the board.
        chosen: index of the trial that was taken.
        trials: all trials in their order; the first is the dense direct network of full width.
        engine: parameters, without memory depths, of the engine that the cycles are for, as if the unit had the board
            alone; null if operations were counted. The engine of the build is planned afterwards.
    """

    saves: Literal["multiplications", "bit-operations", "cycles"]
    chosen: int
    trials: tuple[Trial, ...]
    engine: dict[str, int | str | bool] | None


class Finetuned(Section):
    """How a variant's integers were trained.

    Attributes:
        images: number of training images.
        epochs: number of passes over them.
        rate: learning rate at the start.
        batch: images of an optimiser step.
        flip: whether mirrored images were used too.
        before: accuracy on the held-out images without finetuning.
        after: accuracy on the held-out images with finetuning.
    """

    images: int
    epochs: int
    rate: float
    batch: int
    flip: bool
    before: float
    after: float


class Variant(Section):
    """One quantised form of the network.

    Attributes:
        unit: "low", "high" or "single".
        weight_bits, activation_bits: bits of every layer without an entry below.
        first_last_bits: bits of the image's integers, and of the weights of the first and the last layer.
        overrides: layers with their own widths, as (weight bits, output bits).
        family: "multiplier" or "fixed-point".
        sha256: hash of the integers: weights, biases, multipliers, shifts.
        layers: convolutions and fully connected layers, in order.
        search: the search of their forms; null if the user fixed them.
        finetuned: the training of the integers; null if there was none.
    """

    unit: UnitName
    weight_bits: int
    activation_bits: int
    first_last_bits: int
    overrides: dict[str, tuple[int, int]] = Field(default_factory=dict)
    family: Literal["multiplier", "fixed-point"]
    sha256: str
    layers: tuple[Layer, ...] = ()
    search: Search | None = None
    finetuned: Finetuned | None = None


class LevelAccuracy(Section):
    """The accuracy of one level.

    Attributes:
        level: "float", "brevitas", "reference", "program", "hls", "rtl", …
        unit: the network: a unit, "cascade" for both together, or "model" for the user's float model.
        images: number of images.
        accuracy: share of correct answers. Without labels, agreement with the float model.
        labelled: whether there were labels.
    """

    level: str
    unit: UnitName | Literal["cascade", "model"]
    images: int
    accuracy: float
    labelled: bool

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy on other images of the same kind (Wilson)."""
        lower, upper = wilson_bounds(self.accuracy * self.images, self.images, normal_quantile(INTERVAL_CONFIDENCE))
        return float(lower), float(upper)


class Cascade(Section):
    """The rule by which the low-precision unit keeps or forwards an image, and its effect.

    Attributes:
        m, n, k, threshold: fields of the program header; the threshold is in units of 2^-16 of the sum of the softmax.
        threshold_share: the threshold as a share.
        temperature: the factor by which k divides the logits.
        tolerance: accuracy that may be lost against the high-precision unit.
        margin: one-sided confidence that another set of as many images stays within the tolerance, or null.
        estimate: how the search estimated the loss: "modelled" or "counted".
        expected_loss: this estimate on the calibration images.
        calibration: the cascade on the images that chose the rule.
        held_out: the cascade on images that took no part in the choice; null if none were left.
        curve: accuracy against forwarded share for the thresholds of the rule, on the calibration images.
        warnings: claims that the figures do not support, in sentences.
    """

    m: int
    n: int
    k: int
    threshold: int
    threshold_share: float
    temperature: float
    tolerance: float
    margin: float | None
    estimate: Literal["modelled", "counted"]
    expected_loss: float
    calibration: Measure
    held_out: Measure | None
    curve: tuple[CurvePoint, ...] = ()
    warnings: tuple[str, ...] = ()


class LayerCycles(Section):
    """One instruction of a unit's program, in one pass.

    Attributes:
        name: the layer, or the work of a mover.
        operation: the opcode.
        predicted_cycles: cycles by the cycle model.
        simulated_cycles: cycles counted in the RTL simulation; null if none was run.
        bound: the bottleneck by the model: array, drain, transform, weights, memory or control.
        macs: useful multiply-accumulates of all images of the pass.
        reads: input channels that each output reads, if these are a small part of the layer's channels: depthwise and
            grouped convolutions, average pooling. The other multipliers are idle. 0 for all channels.
        utilisation: macs ÷ (multipliers · cycles), with simulated cycles if there are any.
    """

    name: str
    operation: str
    predicted_cycles: int
    simulated_cycles: int | None = None
    bound: str
    macs: int
    reads: int = 0
    utilisation: float

    @property
    def cycles(self) -> int:
        """Simulated cycles if there are any, else predicted ones."""
        return self.predicted_cycles if self.simulated_cycles is None else self.simulated_cycles


class Run(Section):
    """One start of a unit.

    Attributes:
        images: batch size.
        predicted_cycles, simulated_cycles: cycles from the start to the last write response.
        weight_stall_cycles: simulated cycles in which the array waited for weights.
        utilisation: useful multiply-accumulates ÷ (multipliers · cycles), with all loads and stores.
        images_per_second: speed at the board's clock.
        layers: the instructions of the last pass.
    """

    images: int
    predicted_cycles: int
    simulated_cycles: int | None = None
    weight_stall_cycles: int | None = None
    utilisation: float
    images_per_second: float
    layers: tuple[LayerCycles, ...] = ()

    @property
    def cycles(self) -> int:
        """Simulated cycles if there are any, else predicted ones."""
        return self.predicted_cycles if self.simulated_cycles is None else self.simulated_cycles


class Resources(Section):
    """Resources of one unit or of the whole design.

    Attributes:
        luts, flip_flops, dsps: number of each.
        block_rams: number of the family's blocks (36 Kb on Xilinx, 18 Kb on ECP5).
        urams: number of UltraRAM blocks.
    """

    luts: float
    flip_flops: float
    dsps: float
    block_rams: float
    urams: float = 0


class Unit(Section):
    """One network with the engine that runs it.

    Attributes:
        unit: "low", "high" or "single".
        engine: parameters of the engine. If `narrow_bits` is not 0, both units are programs of this one engine, the low
            one narrow and the high one wide (`host/PROGRAM.md`, "Two precisions").
        signature: 64-bit hash of the parameters in hexadecimal; program and engine compare it.
        multipliers: products of a cycle, lanes_k · lanes_p · slots, where wide programs have half of the lanes.
        program_sha256, weights_sha256: hashes of the two files that every level reads.
        program_bytes, weight_bytes: sizes of these files.
        runs: one entry for each batch size.
        predicted: resources by the planner's model.
        synthesised: null, since no stage runs a synthesis.
    """

    unit: UnitName
    engine: EngineConfig
    signature: str
    multipliers: int
    program_sha256: str
    weights_sha256: str
    program_bytes: int
    weight_bytes: int
    runs: tuple[Run, ...]
    predicted: Resources
    synthesised: Resources | None = None


class Board(Section):
    """The board that the design was planned for.

    Attributes:
        name: name of the board.
        part: the device.
        clock_mhz: the clock that images/s are computed with.
        clock_basis: where that clock comes from; "" if the board's file does not say.
        sustained_bytes_per_s: bytes that the external memory moves in a second; 0 if an earlier version of the
            toolflow wrote the summary.
        usable: resources that a design may use.
    """

    name: str
    part: str
    clock_mhz: float
    clock_basis: str = ""
    sustained_bytes_per_s: float = 0.0
    usable: Resources


class LoopInterval(Section):
    """The initiation interval (II) that a pipelined loop of the C++ can reach: an analysis, not a vendor's report.

    Attributes:
        file: path in the folder hls/.
        line: line of the `for`.
        function: function that contains the loop.
        wanted: the II of the PIPELINE pragma; 0 if the pragma gives none.
        found: the II that memory ports and recurrences allow at the board's clock.
        by_ports: the II that the ports of memories and streams allow.
        by_memories: the II that recurrences through memories allow.
        by_registers: the II that recurrences through registers allow at the board's clock.
        chain_ns: delay of the longest recurrence through registers, for each iteration that it spans.
        why: the bottleneck if `found` is not 1, otherwise "".
    """

    file: str
    line: int
    function: str
    wanted: int
    found: int
    by_ports: int
    by_memories: int
    by_registers: int
    chain_ns: float
    why: str = ""


class LevelCheck(Section):
    """One level of verification on one unit.

    Attributes:
        level: the level that was compared with the integer reference. "files": the binaries in weights/ are compared
            byte by byte with what the stored graphs compile to. "synthesisable": the C++ is checked against the rules
            of HLS compilers, and its pipelined loops against the ports of their memories.
        unit: the engine.
        images: number of images; 0 for "files" and "synthesisable".
        equal: whether every integer was the same; null if the level was not run. With free scales Brevitas may break
            ties differently: then every class must be the same, and `detail` counts the integers that differ.
        detail: the first layer and element that differ, why the level was not run, or what "equal" does not cover.
        seconds: duration.
        files: hash of the files that the verdict is about; a later verification drops the verdict if they have changed.
        loops: the pipelined loops of the C++; only for "synthesisable".
        finished: when the level ended, in UTC, for example "2026-01-31T12:00:00+00:00"; "" if it was not recorded.
    """

    level: str
    unit: UnitName
    images: int
    equal: bool | None
    detail: str = ""
    seconds: float = 0.0
    files: str = ""
    loops: tuple[LoopInterval, ...] = ()
    finished: str = ""


class Summary(Record):
    """Every figure of a build.

    Attributes:
        schema_version: 8.
        made_by: the toolflow's name and version.
        versions: versions of Python and of the packages that a figure can depend on.
        hashes: SHA-256 of inputs and artefacts by name.
        model: the network.
        board: the target.
        variants: its quantised forms.
        accuracy: accuracy at every level that was run.
        cascade: the cascade's rule and its effect, also if a single unit was built in the end; null if a single unit
            was requested.
        decision: the design that was built, and why; null if a single unit was requested.
        units: the engines.
        objective: what the engines were chosen for: "throughput" (the units of a pair work side by side) or "latency"
            (a forwarded image waits for both units).
        batch: images of a start that the engines were chosen for; null for four full passes (one image in every
            lane, four times).
        cycles_per_image: expected cycles over both units and the forwarded share, at that batch; from counted cycles
            after `toolflow verify` has simulated the RTL.
        images_per_second: the same at the board's clock.
        verification: the verdicts of all levels; empty before `toolflow verify`.
        warnings: sentences about an unlikely input of the first layer, or answers that do not classify the images.
        notes: sentences that the user must know.
    """

    schema_version: Literal[8] = 8
    made_by: str
    versions: dict[str, str]
    hashes: dict[str, str] = Field(default_factory=dict)
    model: Model
    board: Board
    variants: tuple[Variant, ...]
    accuracy: tuple[LevelAccuracy, ...]
    cascade: Cascade | None = None
    decision: Decision | None = None
    units: tuple[Unit, ...]
    objective: Literal["throughput", "latency"] = "throughput"
    batch: int | None = None
    cycles_per_image: float
    images_per_second: float
    verification: tuple[LevelCheck, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def engines(self) -> dict[str, Unit]:
        """A unit of each engine, by the engine in words: a morphing pair has one engine for both units."""
        if self.units[0].engine.narrow_bits:
            return {"engine of both units": self.units[0]}
        return {f"{unit.unit} unit": unit for unit in self.units}

    @property
    def verified(self) -> bool:
        """Whether a level was run and none differed."""
        ran = [check.equal for check in self.verification if check.equal is not None]
        return bool(ran) and all(ran)


def read_summary(path: Path) -> Summary:
    """Read `summary.json` back.

    Raises:
        ToolflowError: as `load_record`.
    """
    return load_record(Summary, path)
