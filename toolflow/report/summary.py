"""`summary.json`: every figure of a build, as data. `docs/summary.md` is made from these docstrings."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from quant.cascade.artefacts import CurvePoint, Measure
from quant.cascade.decide import Decision
from toolflow.ir.errors import ToolflowError

SCHEMA_VERSION = 1
UnitName = Literal["low", "high", "single"]


class Section(BaseModel):
    """Base of every section: frozen, and no key but those described."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PruneStep(Section):
    """What `toolflow prune` did to the network, and the float network's accuracy afterwards.

    Attributes:
        pattern: "n:S" of its layers, several with commas between them.
        epochs: of training; 0 where it was pruned.
        accuracy: on images that pruning did not see; against the dense network's answers where there were no labels.
    """

    pattern: str
    epochs: int
    accuracy: float


class Model(Section):
    """The network that was built.

    Attributes:
        name: as the user calls it.
        source: file or factory that it came from.
        sha256: of that file and of the weights, "" where they have no file.
        input_shape: (C, H, W).
        classes: outputs; 2 of a network with one logit.
        binary: whether the network gives one logit z: class 1 where z > 0, class 0 elsewhere; its
            confidence is the magnitude of 2·sigmoid(z) − 1.
        parameters: weights and biases of the float network.
        macs: multiply-accumulates of one image, every layer direct and dense.
        pruning: step by step; empty where it was not pruned beforehand.
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
    """How one weighted layer is computed.

    Attributes:
        name: of the layer.
        mode: "direct" or "winograd".
        tile: outputs of a Winograd tile in each direction, 0 for direct ones.
        pattern: "n:S" where the weights are sub-row-balanced, else null.
        shares: of a Winograd layer with a pattern, how many values of a sub-row each tap keeps; n on average.
        weight_bits: of its weights.
        density: share of the weights that are not 0 (of the taps, where it is transformed).
        multiplications: of one image.
        direct_multiplications: of one image, were it direct and dense.
        storage_bits: of its weights: values, and their indices where there is a pattern.
    """

    name: str
    mode: Literal["direct", "winograd"]
    tile: int = 0
    pattern: str | None = None
    shares: tuple[int, ...] = ()
    weight_bits: int
    density: float
    multiplications: int
    direct_multiplications: int
    storage_bits: int


class Trial(Section):
    """A network that a search judged.

    Attributes:
        divergence: sum of what its choices, each alone, do to the answers.
        cost: over the plainest network's.
        accuracy: of its integers, on images of the calibration file that no report uses.
    """

    divergence: float
    cost: float
    accuracy: float


class Search(Section):
    """How the tiles, patterns and bits of a variant's layers were chosen.

    Attributes:
        saves: what the cost counts: "multiplications", "bit-operations", or "cycles" that the cycle model counts on the
            best engine for the board.
        chosen: which trial was taken.
        trials: in their order; the first is the plainest network.
        engine: the engine of those cycles by parameter, without depths, as if it had the board alone; null where
            operations were counted. The build's own is planned for the network that was taken.
    """

    saves: Literal["multiplications", "bit-operations", "cycles"]
    chosen: int
    trials: tuple[Trial, ...]
    engine: dict[str, int | str | bool] | None


class Finetuned(Section):
    """How a variant's integers were trained.

    Attributes:
        images: trained on.
        epochs: times that each was.
        rate: of the optimiser at the start.
        batch: images in a step.
        flip: whether mirrored images were trained on too.
        before: accuracy on the held-out images, without it.
        after: accuracy on the held-out images.
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
        weight_bits, activation_bits: of every layer but those below.
        first_last_bits: weights of the first and the last layer, and the image's integers.
        overrides: layers with widths of their own, as (weight bits, output's bits).
        family: "multiplier" or "fixed-point".
        sha256: of the integers: weights, biases, multipliers, shifts.
        layers: convolutions and fully connected layers, in order.
        search: of their forms; null where the user fixed them.
        finetuned: training of the integers; null where there was none.
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
    """One level's accuracy.

    Attributes:
        level: "float", "brevitas", "reference", "program", "hls", "rtl", …
        unit: which network, "cascade" for both together, "model" for the user's float model.
        images: how many were answered.
        accuracy: share answered rightly; against the float model's answers where there are no labels.
        labelled: whether labels decided.
    """

    level: str
    unit: Literal["low", "high", "single", "cascade", "model"]
    images: int
    accuracy: float
    labelled: bool


class Cascade(Section):
    """The rule by which the low-precision unit keeps or forwards an image, and what it was worth.

    Attributes:
        m, n, k, threshold: the program header's fields; threshold in units of 2^-16 of the softmax' sum.
        threshold_share: the threshold as a share.
        temperature: what k divides the logits by.
        tolerance: accuracy that the user allowed to be lost against the high-precision unit.
        margin: one-sided confidence with which another set of as many images stays within it, or null.
        estimate: "modelled" or "counted", how the loss was estimated in the search.
        expected_loss: that estimate on the calibration images.
        calibration: the cascade on the images that chose the rule.
        held_out: the same on images that had no part in it; null where none were left.
        curve: accuracy against forwarded share over the rule's thresholds, on the calibration images.
        warnings: what the figures do not support.
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
        name: layer, or what a mover does.
        operation: the instruction's opcode.
        predicted_cycles: by the cycle model.
        simulated_cycles: counted in the RTL simulation; null where none was run.
        bound: what limits it by the model: array, drain, transform, weights, memory or control.
        macs: useful multiply-accumulates of all images of the pass.
        reads: input channels that each output of a convolution reads, where these are few of the layer's: depthwise and
            grouped convolutions, average pooling. The array's other multipliers wait. 0 for all channels.
        utilisation: macs / (multipliers · cycles), of simulated cycles where there are any.
    """

    name: str
    operation: str
    predicted_cycles: int
    simulated_cycles: int | None = None
    bound: str
    macs: int
    reads: int = 0
    utilisation: float


class Run(Section):
    """One start of a unit.

    Attributes:
        images: batch.
        predicted_cycles, simulated_cycles: from start to the last write response.
        weight_stall_cycles: simulated cycles in which the array waited for weights.
        utilisation: useful multiply-accumulates / (multipliers · cycles), all loads and stores included.
        images_per_second: at the board's clock.
        layers: of the last pass.
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
        """Simulated cycles where there are any, else predicted ones."""
        return self.predicted_cycles if self.simulated_cycles is None else self.simulated_cycles


class Resources(Section):
    """Amounts of one unit or of the whole design.

    Attributes:
        luts, flip_flops, dsps: logic.
        block_rams: in the family's blocks (36 Kb on Xilinx, 18 Kb on ECP5).
        urams: UltraRAM.
    """

    luts: float
    flip_flops: float
    dsps: float
    block_rams: float
    urams: float = 0


class Unit(Section):
    """One engine.

    Attributes:
        unit: "low", "high" or "single".
        engine: parameters of the engine by name.
        signature: 64-bit hash of them, in hexadecimal, that program and engine compare.
        multipliers: lanes_k · lanes_p · slots.
        program_sha256, weights_sha256: of the two files that every level reads.
        program_bytes, weight_bytes: their sizes.
        runs: by batch.
        predicted: resources by the planner's model.
        synthesised: resources by Yosys; null where it was not run.
    """

    unit: UnitName
    engine: dict[str, int | str | bool]
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
    """What the design was planned for.

    Attributes:
        name: the board's file under boards/.
        part: the device.
        clock_mhz: that images/s are computed at.
        clock_basis: where that clock comes from; "" if the board's file does not say.
        usable: resources that a design may use.
    """

    name: str
    part: str
    clock_mhz: float
    clock_basis: str = ""
    usable: Resources


class LoopInterval(Section):
    """The initiation interval that a pipelined loop of a unit's C++ can reach, by analysis: no vendor's tool was asked.

    Attributes:
        file: in the folder hls/.
        line: of the `for`.
        function: that holds it.
        wanted: the II of its PIPELINE pragma; 0 where that leaves it open.
        found: the II that the ports of its memories and its recurrences allow at the board's clock.
        by_ports: the II that the ports of memories and streams allow.
        by_memories: the II that recurrences through memories allow.
        by_registers: the II that recurrences of registers allow at the board's clock.
        chain_ns: the longest recurrence of registers, for each iteration that it spans.
        why: what bounds `found`, "" where it is 1.
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
        level: what was compared with the integer reference; "files": the binaries in weights/, byte by byte,
            with what the stored graphs compile to; "synthesisable": the C++ with the rules of HLS compilers, and
            its pipelined loops with the ports of their memories.
        unit: which engine.
        images: how many; 0 for "files" and "synthesisable".
        equal: whether every integer was the same; null where the level was not run. Brevitas may break ties
            otherwise where scales are free: there every class must be the same, and `detail` counts integers.
        detail: the first differing layer and element, why the level was not run, or what "equal" leaves open.
        seconds: how long it took.
        files: hash of the files that it speaks of; a later verification drops the verdict where they have changed.
        loops: of "synthesisable": the pipelined loops of the C++.
    """

    level: str
    unit: UnitName
    images: int
    equal: bool | None
    detail: str = ""
    seconds: float = 0.0
    files: str = ""
    loops: tuple[LoopInterval, ...] = ()


class Summary(Section):
    """Every figure of a build.

    Attributes:
        schema_version: 1.
        made_by: toolflow and version.
        versions: Python and the packages that a figure can depend on.
        hashes: SHA-256 of inputs and artefacts by name.
        model: the network.
        board: the target.
        variants: its quantised forms.
        accuracy: at every level that was run.
        cascade: the rule and its worth, also where a single unit was built instead; null where one was asked for.
        decision: which design was built and why; null where a single unit was asked for.
        units: the engines.
        objective: what the engines were chosen for: "throughput", units of a pair side by side; or "latency", a
            forwarded image waits for one after the other.
        batch: images of a start that they were chosen for; null for one in every lane.
        cycles_per_image: expected, over both units and the forwarded share, at that batch; from counted
            cycles after `toolflow verify` has simulated the RTL.
        images_per_second: the same at the board's clock.
        verification: level by level; empty before `toolflow verify`.
        warnings: what is unlikely of the first layer's input, and where a network's answers show that it does not
            classify the images, in sentences.
        notes: what the user must know, in sentences.
    """

    schema_version: Literal[1] = 1
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
    def verified(self) -> bool:
        """Whether a level was run and none differed."""
        ran = [check.equal for check in self.verification if check.equal is not None]
        return bool(ran) and all(ran)


def write_summary(summary: Summary, path: Path) -> None:
    """Write `summary.json`; a reader sees the old one or the new one, never a part."""
    unfinished = path.with_name(f"{path.name}.new")
    try:
        unfinished.write_text(summary.model_dump_json(indent=2) + "\n", encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def read_summary(path: Path) -> Summary:
    """Read `summary.json` back.

    Raises:
        ToolflowError: the file cannot be read, or is no summary of this schema version.
    """
    try:
        return Summary.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ToolflowError(f"{path} cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ToolflowError(
            f"{path} must be a summary of schema version {SCHEMA_VERSION}; {place}: {first['msg']}. "
            "Build again to replace it"
        ) from error
