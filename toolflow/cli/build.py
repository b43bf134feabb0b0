"""`toolflow build`: from a model, images and a board to a project folder."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from toolflow.cli import options
from toolflow.cli.command import command
from toolflow.cli.terminal import Terminal
from toolflow.flow.folder import BuildFolder, open_build
from toolflow.ir.errors import ToolflowError

if TYPE_CHECKING:
    from toolflow.flow.finetuning import Finetuning
    from toolflow.flow.precision import Precision
    from toolflow.flow.source import Source
    from toolflow.plan.explore.objective import Objective


@command
def build(
    terminal: Terminal,
    model: options.Model,
    board: options.Board,
    calibration: options.Calibration,
    out: options.Out,
    weights: options.Weights = None,
    pruned: options.Pruned = None,
    input_shape: options.InputShape = None,
    output: options.Output = None,
    low_bits: options.LowBits = 4,
    high_bits: options.HighBits = 8,
    first_last_bits: options.FirstLastBits = 8,
    layer_bits: options.LayerBits = None,
    tolerance: options.Tolerance = 0.01,
    scales: options.Scales = "multiplier",
    single: options.Single = False,
    cascade: options.Cascade = False,
    engine: options.Engine = None,
    objective: options.ObjectiveGoal = "throughput",
    batch: options.StartBatch = None,
    ranges: options.Ranges = "mse",
    percentile: options.Percentile = 99.99,
    rounding: options.Rounding = "gptq",
    equalise: options.Equalise = False,
    tile: options.Tile = "0",
    sparsity: options.Sparsity = None,
    search_loss: options.SearchLoss = None,
    finetune: options.Finetune = None,
    finetune_recipe: options.FinetuneRecipe = None,
    mean: options.Mean = None,
    std: options.Std = None,
    pixel_scale: options.PixelScale = None,
    reverse_channels: options.ReverseChannels = False,
) -> None:
    """Make an accelerator: quantise, calibrate, plan and emit; 'toolflow verify' then checks it.

    Examples:

        toolflow build digits.py:digits --weights digits.safetensors --board ulx3s-85f --low-bits 3
        --calibration calibration.npz --out build/digits

        toolflow build resnet20.onnx --board zcu104 --calibration cifar.npz --tolerance 0.005 --out build/resnet20
    """
    with terminal.progress("load the toolflow"):
        from quant.cascade.calibrate import CalibrationOptions
        from toolflow.flow.finetuning import Finetuning
        from toolflow.flow.precision import Precision, parse_search_loss
        from toolflow.flow.source import Source
        from toolflow.plan.boards.board import load_board
        from toolflow.plan.explore.choose import check_engine
        from toolflow.plan.explore.objective import Objective

    if single and cascade:
        raise ToolflowError("--single and --cascade must not be given together")
    CalibrationOptions(tolerance)  # a wrong option must not cost the time of a quantisation
    fixed = options.parse_engine(engine)
    source = Source.of_options(
        model,
        calibration,
        weights=weights,
        input_shape=input_shape,
        output=output,
        mean=mean,
        std=std,
        pixel_scale=pixel_scale,
        reverse_channels=reverse_channels,
        pruned=pruned,
        tile=tile,
        sparsity=sparsity,
    )
    precision = Precision.of_options(
        low_bits=low_bits,
        high_bits=high_bits,
        first_last_bits=first_last_bits,
        layer_bits=layer_bits,
        scales=scales,
        ranges=ranges,
        percentile=percentile,
        rounding=rounding,
        equalise=equalise,
        tile=tile if pruned is None else "0",
        sparsity=sparsity if pruned is None else None,
        search_loss=parse_search_loss(search_loss, tile, sparsity, layer_bits),
        board=board,
        engine=fixed,
    )
    finetuning = Finetuning.of_options(finetune, finetune_recipe)
    single = single or low_bits == high_bits
    target = Target(board, fixed, tolerance, single, cascade, Objective.of(objective, batch))
    for sentence in precision.check_search(target.variants):
        terminal.note(sentence)
    check_engine(fixed, {high_bits} if single else {low_bits, high_bits}, load_board(board))
    with open_build(out, terminal, "quantise", [*source.files, finetune]) as folder:
        _stages(terminal, folder, source, precision, target, finetuning)
    from toolflow.flow.project import SUMMARY
    from toolflow.report.summary import read_summary
    from toolflow.report.tables import summary_tables

    summary = read_summary(out / SUMMARY)
    terminal.result(summary.model_dump(mode="json"), *summary_tables(summary))
    terminal.note(f"built {out}; check it with: toolflow verify {shlex.quote(str(out))}")


@dataclass(frozen=True)
class Target:
    """What is to be built.

    Attributes:
        board: name or path.
        fixed: engine parameters that the user fixes.
        tolerance: accuracy that the cascade may lose.
        single: the high-precision unit alone.
        cascade: both units, whatever is faster.
        objective: what the engines are to be fast at.
    """

    board: str
    fixed: dict[str, int | str]
    tolerance: float
    single: bool
    cascade: bool
    objective: Objective

    @property
    def variants(self) -> list[str]:
        """The networks that are quantised for it."""
        return ["high"] if self.single else ["low", "high"]


def _stages(
    terminal: Terminal,
    folder: BuildFolder,
    source: Source,
    precision: Precision,
    target: Target,
    finetuning: Finetuning | None,
) -> None:
    """Run the stages in their order; each reuses what has not changed."""
    from toolflow.flow.project import CALIBRATION, CURVE, DECISION, GRAPHS, PLAN, REPORT, SUMMARY
    from toolflow.flow.stages import emit as emit_stage
    from toolflow.flow.stages import plan as plan_stage
    from toolflow.flow.stages import report as report_stage
    from toolflow.flow.stages.calibrate import calibrate_stage
    from toolflow.flow.stages.quantise import quantise_inputs, quantise_stage
    from toolflow.plan.boards.board import board_source

    variants = target.variants
    bits = {"low": precision.low_bits, "high": precision.high_bits}
    dense = source.pruned is None and precision.sparsity is None
    room = plan_stage.room_on(target.board, precision.least_bits(variants), target.fixed, dense)
    folder.stage(
        "quantise",
        quantise_stage(source, precision, variants, terminal.note, finetuning=finetuning, require=room),
        outputs=[GRAPHS],
        inputs=quantise_inputs(source, precision, variants, finetuning),
    )
    after = ["quantise"]
    if not target.single:
        folder.stage(
            "calibrate",
            calibrate_stage(target.tolerance),
            outputs=[CALIBRATION, REPORT, CURVE],
            inputs={"tolerance": target.tolerance},
            after=after,
        )
        after.append("calibrate")
    plan = plan_stage.plan_stage(
        target.board, {name: bits[name] for name in variants}, target.fixed, target.cascade, target.objective
    )
    folder.stage(
        "plan",
        plan,
        outputs=[PLAN] if target.single else [PLAN, DECISION],
        inputs={**asdict(target), "board": board_source(target.board)},
        after=after,
    )
    after.append("plan")
    folder.stage("emit", emit_stage.emit_stage(), outputs=list(emit_stage.OUTPUTS), inputs={}, after=after)
    after.append("emit")
    report = report_stage.report_stage(source)
    folder.stage("report", report, outputs=[SUMMARY], inputs={"model": source.model}, after=after)
