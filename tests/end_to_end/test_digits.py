"""The digits example from training to simulated RTL, through the command line, with checks of every artefact."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from rtl_sim.simulate.places import work_folder
from tests.end_to_end.projects import SMALL_ENGINE, digest_all, digits_arguments, flipped, toolflow
from toolflow.engine.isa import Flag, Opcode
from toolflow.engine.program import decode_program
from toolflow.engine.stream import unpack
from toolflow.flow.project import open_project, read_decision
from toolflow.ir.errors import ToolflowError
from toolflow.ir.unit import UnitName
from toolflow.plan.lower.lower import compile_program
from toolflow.report.summary import Summary, read_summary

ENGINE = "lanes_k=8,lanes_p=4,slots=2"
FLOAT_ACCURACY, LOST = 0.96, 0.03


def build_arguments(trained: Path, out: Path) -> list[str | Path]:
    """Return the arguments of the cascade's build."""
    target = ["--board", "ulx3s-85f", "--engine", ENGINE, "--cascade", "--low-bits", "3"]
    return ["build", *digits_arguments(trained), *target, "--out", out]


@pytest.fixture(scope="module")
def project(trained: Path) -> Path:
    """The cascade: quantised first, then built in the same folder."""
    out = trained / "project"
    quantised = toolflow("quantise", *digits_arguments(trained), "--low-bits", "3", "--out", out, "--json")
    assert quantised.exit_code == 0, quantised.stderr
    document = json.loads(quantised.stdout)
    assert document["accuracy"]["float"] >= FLOAT_ACCURACY
    assert min(document["accuracy"].values()) >= document["accuracy"]["float"] - LOST
    widths = {name: [layer["weight_bits"] for layer in v["layers"]] for name, v in document["variants"].items()}
    assert widths == {"low": [8, 3, 8], "high": [8, 8, 8]}
    assert {path.name for path in (out / "qonnx").iterdir()} == {"low.onnx", "high.onnx"}
    for path in (out / "qonnx").iterdir():
        assert any(node.op_type == "Quant" for node in onnx.load(str(path)).graph.node)
    built = toolflow(*build_arguments(trained, out))
    assert built.exit_code == 0, built.stderr
    assert "quantise: unchanged, reused" in built.stderr
    return out


@pytest.fixture(scope="module")
def verified(project: Path) -> Summary:
    """The cascade's summary after both oracles, the executor and the C++ have run."""
    result = toolflow("verify", project, "--levels", "brevitas,hls4ml,program,hls", "--images", "12")
    assert result.exit_code == 0, result.stderr
    return read_summary(project / "summary.json")


def test_every_level_that_ran_is_equal(verified: Summary) -> None:
    checks = {(str(check.unit), check.level): check for check in verified.verification}
    levels = ("brevitas", "hls4ml", "files", "synthesisable", "program", "hls")
    assert set(checks) == {(unit, level) for unit in ("low", "high") for level in levels}
    assert all(check.equal for check in checks.values())
    assert checks[UnitName.LOW, "hls"].images == 12
    assert verified.verified


def test_the_summary_says_what_was_built(verified: Summary, project: Path) -> None:
    assert [unit.unit for unit in verified.units] == ["low", "high"]
    assert [(v.unit, v.weight_bits, v.first_last_bits) for v in verified.variants] == [("low", 3, 8), ("high", 8, 8)]
    accuracy: dict[tuple[str, str], float] = {(row.unit, row.level): row.accuracy for row in verified.accuracy}
    assert accuracy["model", "float"] >= FLOAT_ACCURACY
    assert accuracy["cascade", "reference"] >= accuracy[UnitName.HIGH, "reference"] - LOST
    assert accuracy[UnitName.HIGH, "hls"] == accuracy[UnitName.HIGH, "program"]
    assert verified.cascade is not None
    assert verified.decision is not None
    assert verified.decision.choice == "resident pair"
    assert verified.decision.reason.startswith("both units, as requested; ") or verified.decision.cascade_pays
    assert verified.cycles_per_image == verified.decision.cycles_per_image
    macs = 64 * 16 * 9 + 16 * 16 * 9 * 32 + 128 * 10
    assert verified.model.macs == macs
    for unit in verified.units:
        header, _ = decode_program((project / "weights" / f"{unit.unit}.program.bin").read_bytes())
        assert f"{header.signature:016x}" == unit.signature
        assert (project / "weights" / f"{unit.unit}.weights.bin").stat().st_size == unit.weight_bytes
        for run in unit.runs:
            assert run.utilisation == pytest.approx(macs * run.images / (unit.multipliers * run.cycles))


def test_the_chosen_row_of_the_thresholds_is_the_summary(verified: Summary, project: Path) -> None:
    assert verified.decision is not None
    assert verified.decision.thresholds is not None
    assert verified.cascade is not None
    assert verified.cascade.held_out is not None
    table, held_out = verified.decision.thresholds, verified.cascade.held_out
    decision = read_decision(project)
    assert decision is not None
    assert decision.thresholds == table
    (chosen,) = [row for row in table.rows if row.chosen]
    assert (table.images, table.labelled) == (held_out.images, held_out.labelled)
    assert chosen.threshold == verified.cascade.threshold
    assert chosen.accuracy == held_out.cascade_accuracy
    assert chosen.forwarded_share == held_out.forwarded_share == verified.decision.forwarded_share
    assert chosen.images_per_second == verified.images_per_second
    ends = table.rows[0], table.rows[-1]
    assert [row.accuracy for row in ends] == [held_out.low_accuracy, held_out.high_accuracy]
    low, high = (unit.runs[-1].images_per_second for unit in verified.units)
    assert [row.images_per_second for row in ends] == pytest.approx([low, min(low, high)])


def test_a_single_unit_has_no_other_thresholds(project: Path, trained: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(project, tmp_path / "project"))
    result = toolflow(*(argument for argument in build_arguments(trained, out) if argument != "--cascade"))
    assert result.exit_code == 0, result.stderr
    assert "calibrate: unchanged, reused" in result.stderr
    decision = read_decision(out)
    assert decision is not None
    assert (decision.choice, decision.thresholds) == ("single high", None)
    assert "other thresholds" not in result.stdout


def test_a_second_build_reuses_what_is_unchanged(verified: Summary, project: Path, trained: Path) -> None:
    before = digest_all(project / "weights") | digest_all(project / "rtl")
    result = toolflow(*build_arguments(trained, project))
    assert result.exit_code == 0, result.stderr
    for stage in ("quantise", "calibrate", "plan", "emit"):
        assert f"{stage}: unchanged, reused" in result.stderr
    assert digest_all(project / "weights") | digest_all(project / "rtl") == before
    assert (project / "qonnx" / "low.onnx").exists()


def test_another_engine_reuses_the_integers(project: Path, trained: Path) -> None:
    result = toolflow(*build_arguments(trained, project), "--engine", SMALL_ENGINE)
    assert result.exit_code == 0, result.stderr
    assert "quantise: unchanged, reused" in result.stderr
    assert "plan: unchanged, reused" not in result.stderr
    assert read_summary(project / "summary.json").units[0].multipliers == 8
    assert toolflow(*build_arguments(trained, project)).exit_code == 0


def weight_byte(project: Path, layer: str) -> int:
    """Return a byte of the high unit's stream that holds a weight of the layer's first output channel."""
    unit = open_project(project).unit(UnitName.HIGH)
    compiled = compile_program(unit.graph, unit.config)
    offset, view = 0, memoryview(compiled.weights)
    for instruction in compiled.instructions:
        if instruction.opcode is not Opcode.CONV:
            continue
        for group in range(instruction.groups):
            channels = min(unit.config.lanes_k, instruction.channels - group * unit.config.lanes_k)
            indexed = Flag.INDEXED in instruction.flags
            packet, used = unpack(unit.config, view[offset:], channels, instruction.rows, indexed)
            if instruction.name == layer:
                row = int(np.flatnonzero(packet.values[:, 0, 0])[0])  # eight bits: byte 0 of a row is lane 0, slot 0
                rows = offset + used - len(packet.values) * unit.config.lanes_k * unit.config.slots
                return rows + row * unit.config.lanes_k * unit.config.slots
            offset += used
    raise AssertionError(f"there is no layer {layer}")


def test_a_flipped_weight_in_the_file_turns_every_level_red(verified: Summary, project: Path) -> None:
    with flipped(project / "weights" / "high.weights.bin", weight_byte(project, "conv2")):
        result = toolflow("verify", project, "--levels", "program,hls", "--images", "4")
    assert result.exit_code == 4
    assert "high unit, files: byte" in result.stderr
    for level in ("program", "hls"):
        assert f"high unit, {level}: feature map of 'conv2', image " in result.stderr
    assert "low unit" not in result.stderr.partition("differ from the reference")[2]
    assert not read_summary(project / "summary.json").verified
    assert toolflow("verify", project, "--levels", "program,hls", "--images", "4").exit_code == 0


def test_cpp_that_no_hls_compiler_takes_turns_red(project: Path) -> None:
    source = project / "hls" / "cascade_low.cpp"
    original = source.read_bytes()
    source.write_bytes(original + b"static int *kept = new int[4];\n")
    try:
        result = toolflow("verify", project, "--levels", "hls", "--images", "2")
    finally:
        source.write_bytes(original)
    assert result.exit_code == 4
    assert (
        "low unit, synthesisable: 1 place(s) break the rules of synthesis, the first cascade_low.cpp:" in result.stderr
    )
    assert "low unit, hls:" not in result.stderr


def test_a_loop_with_too_few_ports_turns_red(project: Path) -> None:
    source = project / "hls" / "lib" / "core.hpp"
    original = source.read_bytes()
    pragma = b"#pragma HLS ARRAY_PARTITION variable=bank complete dim=1"
    assert pragma in original
    source.write_bytes(original.replace(pragma, b""))
    try:
        result = toolflow("verify", project, "--levels", "hls", "--images", "2")
    finally:
        source.write_bytes(original)
    assert result.exit_code == 4
    assert re.search(
        r"low unit, synthesisable: \d+ pipelined loop\(s\) cannot reach their II, the first lib/convolve\.hpp:\d+: "
        r"convolve_group reaches II = \d+, not 1: memory bank.* has \d+ read\(s\) and \d+ write\(s\) an iteration",
        result.stderr,
    )
    assert "low unit, hls:" not in result.stderr


def test_a_verdict_does_not_outlive_its_files(project: Path) -> None:
    assert toolflow("verify", project, "--levels", "program,hls", "--images", "2").exit_code == 0
    source = project / "hls" / "lib" / "requantise.hpp"
    original = source.read_bytes()
    source.write_bytes(original + b"\n")
    try:
        result = toolflow("verify", project, "--levels", "program", "--images", "2")
    finally:
        source.write_bytes(original)
    assert result.exit_code == 0, result.stderr
    assert "dropped, as files have changed since: hls of the high unit, hls of the low unit" in result.stderr
    summary = read_summary(project / "summary.json")
    levels = {check.level for check in summary.verification}
    assert levels == {"files", "program"} | ({"brevitas", "hls4ml"} & levels)
    assert not [row for row in summary.accuracy if row.level == "hls"]


def test_a_restored_file_is_not_red_any_more(project: Path) -> None:
    with flipped(project / "weights" / "high.program.bin", 64 + 70):
        assert toolflow("verify", project, "--levels", "program", "--images", "2").exit_code == 4
    result = toolflow("verify", project, "--levels", "hls", "--images", "2")
    assert result.exit_code == 0, result.stderr
    assert read_summary(project / "summary.json").verified


@pytest.mark.parametrize(
    ("byte", "text"),
    [
        (8, "byte 8 of the program file, header: "),
        (64 + 70, "byte 134 of the program file, instruction 'load': "),
        (-1, r"byte \d+ of the program file, input table: "),
    ],
)
def test_a_damaged_program_file_is_named(project: Path, byte: int, text: str) -> None:
    with flipped(project / "weights" / "low.program.bin", byte):
        result = toolflow("verify", project, "--levels", "program", "--images", "2")
    assert result.exit_code == 4
    assert re.search(f"low unit, files: {text}", result.stderr)


def test_a_truncated_file_is_not_run(project: Path) -> None:
    path = project / "weights" / "low.weights.bin"
    original = path.read_bytes()
    path.write_bytes(original[:-16])
    try:
        result = toolflow("verify", project, "--levels", "program", "--json")
    finally:
        path.write_bytes(original)
    assert result.exit_code == 4
    assert f"the weights file must hold {len(original):,} bytes, not {len(original) - 16:,}" in result.stderr
    checks = {(c["unit"], c["level"]): c["equal"] for c in json.loads(result.stdout)["verification"]}
    assert checks[UnitName.LOW, "program"] is None
    assert checks["high", "program"] is True


def test_a_missing_file_is_named(project: Path) -> None:
    path = project / "weights" / "high.program.bin"
    content = path.read_bytes()
    path.unlink()
    try:
        result = toolflow("verify", project, "--levels", "program")
    finally:
        path.write_bytes(content)
    assert result.exit_code == 2
    assert "so nothing was run:\n  weights/high.program.bin is missing\nFor each: restore it, or" in result.stderr


IMAGES = np.zeros((3, 8, 8, 1), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (None, "vectors/images.npz is damaged"),
        ({"y": np.zeros(3, np.int64)}, "vectors/images.npz is damaged"),
        ({"x": IMAGES[:0]}, "must hold images 'x' of uint8 (N, 8, 8, 1), not uint8 (0, 8, 8, 1)"),
        ({"x": IMAGES[:, :7]}, "must hold images 'x' of uint8 (N, 8, 8, 1), not uint8 (3, 7, 8, 1)"),
        ({"x": IMAGES / 2}, "must hold images 'x' of uint8 (N, 8, 8, 1), not float64 (3, 8, 8, 1)"),
        ({"x": IMAGES, "y": np.zeros(1, np.int64)}, "must hold a label 'y' for each of 3 images, not int64 (1,)"),
        ({"x": IMAGES, "y": np.zeros(3)}, "must hold a label 'y' for each of 3 images, not float64 (3,)"),
    ],
)
def test_images_that_are_none_are_a_mistake_to_mend(
    project: Path, arrays: dict[str, np.ndarray] | None, message: str
) -> None:
    path = project / "vectors" / "images.npz"
    content = path.read_bytes()
    try:
        if arrays is None:
            path.write_bytes(content[:-100])
        else:
            np.savez(path, **arrays)  # type: ignore[arg-type]  # numpy's stub takes a flag among the arrays
        with pytest.raises(ToolflowError) as refused:
            open_project(project).vectors()
    finally:
        path.write_bytes(content)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 99}, "plan.json must be of schema version 7, not 99"),
        ({"units": {}}, "plan.json is damaged"),
        ({"units": {"middle": None}}, "plan.json is damaged"),
        (
            {"resources": {"magnets": 1.0}},
            "plan.json is damaged (Value error, there is no resource magnets, at 'units.low.resources')",
        ),
        ({"graph": "../low"}, "plan.json is damaged"),
    ],
)
@pytest.mark.parametrize("command", ["verify", "estimate"])
def test_a_plan_that_is_none_is_a_mistake_to_mend(
    project: Path, command: str, change: dict[str, object], message: str
) -> None:
    path = project / "plan.json"
    content = path.read_text(encoding="utf-8")
    plan = json.loads(content)
    (plan if set(change) <= set(plan) else plan["units"]["low"]).update(change)
    try:
        path.write_text(json.dumps(plan), encoding="utf-8")
        result = toolflow(command, project)
    finally:
        path.write_text(content, encoding="utf-8")
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"variants": {"low": {"config": {"weight_bits": "many"}}}}'])
def test_a_record_that_is_none_is_a_mistake_to_mend(project: Path, text: str) -> None:
    path = project / "graphs" / "quantise.json"
    content = path.read_text(encoding="utf-8")
    try:
        path.write_text(text, encoding="utf-8")
        result = toolflow("estimate", project, "--board", "zcu104")
    finally:
        path.write_text(content, encoding="utf-8")
    assert result.exit_code == 2
    assert "quantise.json" in result.stderr
    assert "make the folder again" in " ".join(result.stderr.split())


def test_estimate_of_a_build_is_its_prediction(project: Path) -> None:
    result = toolflow("estimate", project, "--json")
    assert result.exit_code == 0, result.stderr
    (design,) = json.loads(result.stdout)["designs"]
    units = {unit.unit: unit for unit in read_summary(project / "summary.json").units}
    assert design["design"] == "as built"
    for found in design["units"]:
        predicted = {run.images: run.predicted_cycles for run in units[found["unit"]].runs}
        assert {run["images"]: run["predicted_cycles"] for run in found["runs"]} == predicted
    shown = toolflow("estimate", project).stdout
    assert "conv2" in shown
    assert "as built: bounds: " in shown


def test_estimate_on_another_board_compares_designs(project: Path) -> None:
    options = ["--board", "zcu104", "--engine", ENGINE, "--forwarded", "0.5", "--batch", "8"]
    result = toolflow("estimate", project, *options, "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    low, high, pair, morphing = document["designs"]
    assert (document["board"], low["design"], high["design"]) == ("ZCU104", "single low", "single high")
    assert pair["design"] == "resident pair, 50.0% forwarded"
    assert pair["cycles_per_image"] == max(low["cycles_per_image"], 0.5 * high["cycles_per_image"])
    assert [run["images"] for run in low["units"][0]["runs"]] == [8]
    assert morphing["design"] == "morphing pair, 50.0% forwarded"
    first, second = (unit["runs"][-1]["predicted_cycles"] / 8 for unit in morphing["units"])
    assert morphing["cycles_per_image"] == first + 0.5 * second


@pytest.mark.parametrize(("goal", "pair_of"), [("throughput", max), ("latency", lambda low, high: low + high)])
def test_an_objective_that_is_named_is_searched_for(
    goal: str, pair_of: Callable[[float, float], float], project: Path
) -> None:
    """This includes the objective of the build, which `estimate` uses without the option."""
    options = ["--engine", ENGINE, "--forwarded", "1", "--objective", goal]
    result = toolflow("estimate", project, *options, "--json")
    assert result.exit_code == 0, result.stderr
    pair = json.loads(result.stdout)["designs"][-1]
    runs = [unit["runs"][-1] for unit in pair["units"]]
    low, high = (run["predicted_cycles"] / run["images"] for run in runs)
    assert pair["cycles_per_image"] == pair_of(low, high)
    result = toolflow("estimate", project, "--objective", goal, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["designs"][0]["design"] == "single low"


def test_estimate_says_what_does_not_fit(project: Path) -> None:
    result = toolflow("estimate", project, "--board", "ulx3s-85f", "--engine", "lanes_k=64,lanes_p=16,slots=8")
    assert result.exit_code == 3
    assert "LUTs of 58,547 usable" in result.stderr


def test_rtl_and_the_cpp_behind_its_bench(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The high unit alone on an engine so small that both simulators are compiled in seconds.

    The project and the temporary files lie where neither make nor a shell could take the path.
    """
    out = trained / '-d\'ésigns #1 & $(more): 100% "new"' / "single unit"
    temporary = trained / "temporary files #2"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    target = ["--board", "ulx3s-85f", "--engine", SMALL_ENGINE, "--single"]
    built = toolflow("build", *digits_arguments(trained), *target, "--out", out)
    assert built.exit_code == 0, built.stderr
    work = work_folder(out)
    try:
        # as many images as the start that was planned for has: four passes of two lanes
        result = toolflow("verify", out, "--levels", "hls,cosim,rtl", "--images", "8")
    finally:
        shutil.rmtree(work)
    assert result.exit_code == 0, result.stderr
    assert f"simulators are kept in {work}: make cannot build or write below {out.parent}\n" in result.stderr
    assert not list(temporary.glob("toolflow*"))
    summary = read_summary(out / "summary.json")
    equal = dict.fromkeys(("files", "synthesisable", "hls", "cosim", "rtl"), True)
    assert {check.level: check.equal for check in summary.verification} == equal
    (unit,) = summary.units
    assert unit.runs[-1].simulated_cycles is not None
    assert summary.cycles_per_image == unit.runs[-1].simulated_cycles / unit.runs[-1].images
    for run in unit.runs:
        assert run.simulated_cycles is not None
        assert abs(run.predicted_cycles - run.simulated_cycles) <= 0.03 * run.simulated_cycles
        assert all(layer.simulated_cycles is not None for layer in run.layers)
        assert run.weight_stall_cycles is not None
        assert 0 <= run.weight_stall_cycles < run.simulated_cycles
