"""`toolflow build`: from a model, images and a board to a project folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toolflow.cli import options
from toolflow.cli.command import command
from toolflow.cli.folder import BuildFolder, open_build
from toolflow.cli.terminal import Terminal
from toolflow.ir.errors import ToolflowError


@command
def build(
    terminal: Terminal,
    model: options.Model,
    board: options.Board,
    calibration: options.Calibration,
    out: options.Out,
    weights: options.Weights = None,
    input_shape: options.InputShape = None,
    low_bits: options.LowBits = 4,
    high_bits: options.HighBits = 8,
    first_last_bits: options.FirstLastBits = 8,
    layer_bits: options.LayerBits = None,
    tolerance: options.Tolerance = 0.01,
    scales: options.Scales = "multiplier",
    single: options.Single = False,
    engine: options.Engine = None,
    ranges: options.Ranges = "mse",
    percentile: options.Percentile = 99.99,
    rounding: options.Rounding = "gptq",
    equalise: options.Equalise = False,
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
    if low_bits > high_bits:
        raise ToolflowError(f"--low-bits must not exceed --high-bits, not {low_bits} > {high_bits}")
    with terminal.progress("load the toolflow"):
        from toolflow.cli.stages import Precision, Source
        from toolflow.plan.boards import load_board

    load_board(board)  # a wrong name must not cost the time of a quantisation
    fixed = options.parse_engine(engine)
    source = Source(
        model=model,
        weights=weights,
        input_shape=options.parse_shape(input_shape),
        calibration=calibration,
        mean=options.parse_per_channel("--mean", mean),
        std=options.parse_per_channel("--std", std),
        pixel_scale=pixel_scale,
        reverse_channels=reverse_channels,
    )
    precision = Precision(
        low_bits=low_bits,
        high_bits=high_bits,
        first_last_bits=first_last_bits,
        layer_bits=tuple(options.parse_layer_bits(layer_bits).items()),
        scales=scales,
        ranges=ranges,
        percentile=percentile,
        rounding=rounding,
        equalise=equalise,
    )
    with open_build(out, terminal) as folder:
        _stages(terminal, folder, source, precision, board, tolerance, single or low_bits == high_bits, fixed)
    from toolflow.cli.project import SUMMARY
    from toolflow.report.summary import read_summary
    from toolflow.report.tables import summary_tables

    summary = read_summary(out / SUMMARY)
    terminal.result(summary.model_dump(mode="json"), *summary_tables(summary))
    terminal.note(f"built {out}; check it with: toolflow verify {out}")


def _stages(
    terminal: Terminal,
    folder: BuildFolder,
    source: Any,
    precision: Any,
    board: str,
    tolerance: float,
    single: bool,
    fixed: dict[str, int | str],
) -> None:
    """Run the stages in their order; each reuses what has not changed."""
    from dataclasses import asdict

    from toolflow.cli import emit_stage, plan_stage, report_stage, stages
    from toolflow.cli.project import CALIBRATION, DECISION, GRAPHS, PLAN, REPORT, SUMMARY

    variants = ["high"] if single else ["low", "high"]
    bits = {"low": precision.low_bits, "high": precision.high_bits}
    path = Path(board)
    board_input = path if path.is_file() else board
    folder.stage(
        "quantise",
        stages.quantise_stage(source, precision, variants, terminal.note),
        outputs=[GRAPHS],
        inputs={**source.inputs(), **asdict(precision), "variants": variants},
    )
    after = ["quantise"]
    if not single:
        folder.stage(
            "calibrate",
            stages.calibrate_stage(tolerance),
            outputs=[CALIBRATION, REPORT],
            inputs={"tolerance": tolerance},
            after=after,
        )
        after.append("calibrate")
    folder.stage(
        "plan",
        plan_stage.plan_stage(board, tolerance, {name: bits[name] for name in variants}, fixed),
        outputs=[PLAN] if single else [PLAN, DECISION],
        inputs={"board": board_input, "tolerance": tolerance, "engine": fixed},
        after=after,
    )
    after.append("plan")
    folder.stage("emit", emit_stage.emit_stage(), outputs=list(emit_stage.OUTPUTS), inputs={}, after=after)
    after.append("emit")
    folder.stage(
        "report", report_stage.report_stage(source), outputs=[SUMMARY], inputs={"model": source.model}, after=after
    )
