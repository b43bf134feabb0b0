"""The summary as data, tables, generated page and plot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel
from rich.console import Console, RenderableType

from quant.cascade.calibrate import CalibrationOptions, calibrate
from quant.cascade.thresholds import ThresholdRow, ThresholdTable
from tests.unit.report.example import CONFIG, DECISION, PREDICTED, cascade, measure, summary
from toolflow.ir.artefacts import save_record
from toolflow.ir.errors import ToolflowError
from toolflow.ir.unit import DesignKind, UnitName
from toolflow.numerics.confidence import ALWAYS, NEVER
from toolflow.numerics.srbs import Pattern
from toolflow.report.from_artefacts import cascade_section, run_section
from toolflow.report.plot import plot_cascade
from toolflow.report.schema_text import described_fields, schema_text
from toolflow.report.summary import (
    Finetuned,
    Layer,
    LevelCheck,
    LoopInterval,
    Model,
    Summary,
    read_summary,
)
from toolflow.report.tables import decision_table, finetuned_sentence, remarks, summary_tables
from toolflow.report.verdicts import loop_sentences, verdict_sentence, verdict_tables

PAGE = Path(__file__).resolve().parents[3] / "docs" / "summary.md"


def printed(*items: RenderableType) -> str:
    console = Console(width=140, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as capture:
        console.print(*items, sep="\n")
    return capture.get()


def shown(data: Summary, layers: bool = False) -> str:
    return printed(*summary_tables(data, layers))


def test_summary_is_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    save_record(summary(), path)
    assert read_summary(path) == summary()
    path.write_text(path.read_text(encoding="utf-8").replace('"schema_version": 8', '"schema_version": 9'), "utf-8")
    with pytest.raises(ToolflowError, match=r"summary\.json must be of schema version 8, not 9: build again, or use"):
        read_summary(path)
    with pytest.raises(ToolflowError, match="cannot be read"):
        read_summary(tmp_path / "absent.json")


def test_verdict_of_all_levels() -> None:
    data = summary()
    assert not data.verified
    equal = tuple(check for check in data.verification if check.equal is not False)
    assert data.model_copy(update={"verification": equal}).verified
    assert not data.model_copy(update={"verification": equal[1:]}).verified, "nothing was run"


def test_tables_show_the_figures() -> None:
    text = shown(summary(), layers=True)
    for expected in (
        "88.07 %", "90.00 % (agreement)", "answer is accepted if gBvSB<1,2> = p1 − p2 >= 0.3019",
        "0.35 points (0.11 … 0.62)",
        "18.80 % (17.8 … 19.8)", "lost (allowed 0.50 points)", "1,600,000", "conv1", "62.50 %", "40.5", "usable",
        "built: resident pair:", "warning: 1,000 calibration images are too few",
    ):  # fmt: skip
        assert expected in text, f"{expected} in\n{text}"
    rows = {line.split("│")[1].strip(): line for line in text.splitlines() if "│" in line}
    assert "tolerance not shown on calibration images" in rows["single low"]
    assert "8.00 points (7.00 … 9.00)" in rows["single low"]
    assert "3,333,333" in rows["resident pair"]
    assert "built" in rows["resident pair"]
    assert "not faster" in rows["single high"]
    assert "conv1" not in shown(summary().model_copy(update={"verification": ()}))


def test_other_thresholds_are_shown_for_a_pair_and_the_chosen_one_is_marked() -> None:
    data = summary()
    rows = tuple(
        ThresholdRow(threshold=t, accuracy=0.88 - p / 50, forwarded_share=p, images_per_second=speed, chosen=t == 19784)
        for t, p, speed in ((ALWAYS, 0.0, 3e6), (19784, 0.188, 2.5e6), (NEVER, 1.0, 1e6))
    )
    found = ThresholdTable(images=5000, labelled=True, rows=rows)
    text = shown(data.model_copy(update={"decision": DECISION.model_copy(update={"thresholds": found})}))
    assert "other thresholds, on 5,000 held-out images" in text
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines()]
    for row in (
        ["accept all", "88.00 %", "0.00 %", "3,000,000", ""],
        ["0.3019", "87.62 %", "18.80 %", "2,500,000", "chosen"],
        ["forward all", "86.00 %", "100.00 %", "1,000,000", ""],
    ):
        assert row in cells, text
    assert "other thresholds" not in shown(data), "a single unit has no table"
    assert "other thresholds" not in shown(data.model_copy(update={"decision": None}))


def test_a_verification_shows_its_verdict_first() -> None:
    """Then the verdicts, those of earlier runs with their time, and the speed if cycles were counted."""
    data = summary()
    ran = data.verification
    text = printed(*verdict_tables(data, ran))
    assert text.splitlines()[0] == "verdict: 1 of 3 checks equal the integer reference, 1 DIFFERENT, 1 not run"
    assert "DIFFERENT: 'conv1', image 3, (2, 0, 1)" in text
    assert "not run: no vendor tool on PATH" in text
    for left_out in ("accuracy", "lost (allowed", "built:", "predicted", "earlier", "this run"):
        assert left_out not in text, left_out
    assert verdict_sentence(ran[:1] * 16) == "verdict: all 16 checks equal the integer reference"

    dated = ran[1].model_copy(update={"finished": "2026-01-31T12:05:09+00:00"})
    later = data.model_copy(update={"verification": (ran[0], dated, ran[2])})
    rows = {
        line.split("│")[2].strip(): line
        for line in printed(*verdict_tables(later, ran[:1])).splitlines()
        if "│" in line
    }
    assert [rows[level].split("│")[-2].strip() for level in ("program", "rtl", "vendor")] == [
        "this run",
        "earlier, 2026-01-31 12:05 UTC",
        "earlier",
    ]
    unit = data.units[0]
    counted = unit.model_copy(update={"runs": (unit.runs[0].model_copy(update={"simulated_cycles": 1250}),)})
    assert "1,250" in printed(*verdict_tables(data.model_copy(update={"units": (counted,)}), ran))


def test_a_design_that_is_faster_than_what_was_built_is_not_called_slower() -> None:
    """A pair that was requested, or a pair that forwards more held-out images than calibration images."""
    decision = summary().decision
    assert decision is not None
    single = decision.alternative(DesignKind.SINGLE_HIGH)
    assert single is not None
    slow = {"cycles_per_image": 2 * single.cycles_per_image}
    for requested, said in (
        (True, "faster, but a resident pair was requested"), (False, "faster on held-out images only"),
    ):  # fmt: skip
        slower = decision.model_copy(update={**slow, "requested": requested})
        verdicts = dict(
            zip(*([cell.text for cell in decision_table(slower, 115.0).columns[i].cells] for i in (0, -1)), strict=True)
        )
        assert verdicts == {
            "single low": "tolerance not shown on calibration images",
            "resident pair": "built",
            "single high": said,
        }


def test_tables_of_a_single_unit() -> None:
    whole = summary()
    single = whole.model_copy(update={"cascade": None, "units": whole.units[:1], "verification": (), "decision": None})
    text = shown(single)
    assert "gBvSB" not in text
    assert "verification" not in text
    assert list(remarks(single)) == []
    (unit,) = single.units
    run = unit.runs[-1]
    drained = run.model_copy(update={"layers": (run.layers[0].model_copy(update={"bound": "drain", "macs": 5}),)})
    waiting = single.model_copy(update={"units": (unit.model_copy(update={"runs": (drained,)}),)})
    (sentence,) = remarks(waiting)
    assert sentence.startswith(f"{unit.unit} unit: in 1 of 1 layers the input transform or the drain is the bottleneck")
    direct = Layer(
        name="conv1",
        mode="direct",
        weight_bits=4,
        density=0.25,
        multiplications=9,
        direct_multiplications=36,
        storage_bits=9,
    )
    patterns = (None, Pattern(4, 8), Pattern(4, 16), Pattern(8, 32))
    layers = tuple(direct.model_copy(update={"pattern": pattern}) for pattern in patterns)
    low, high = single.variants
    patterned = low.model_copy(update={"layers": layers}), high.model_copy(update={"layers": layers})
    (sentence,) = remarks(single.model_copy(update={"variants": patterned}))
    assert sentence.startswith("low unit: 2 layers have patterns longer than the engine's words of 8 channels")
    no_held_out = whole.model_copy(update={"cascade": cascade(None)})
    assert "held out" not in shown(no_held_out)


@pytest.mark.parametrize(("threshold", "word"), [(ALWAYS, "always"), (NEVER, "never")])
def test_a_rule_without_a_threshold_is_said_in_words(threshold: int, word: str) -> None:
    rule = cascade(None).model_copy(update={"threshold": threshold})
    text = shown(summary().model_copy(update={"cascade": rule}))
    assert f"cascade: the low unit's answer is {word} accepted" in text


def test_simulated_cycles_replace_predicted_ones() -> None:
    from rtl_sim.verify import LevelVerdict

    verdict = LevelVerdict("low", 8, None, 1250, (150, 1000), 7)
    run = run_section(PREDICTED, CONFIG.multipliers, 200.0, verdict)
    assert (run.cycles, run.simulated_cycles, run.weight_stall_cycles) == (1250, 1250, 7)
    assert run.utilisation == pytest.approx(0.4)
    assert run.images_per_second == pytest.approx(200e6 * 8 / 1250)
    assert [layer.simulated_cycles for layer in run.layers] == [150, 1000]
    assert run.layers[1].utilisation == pytest.approx(64000 / (128 * 1000))
    with pytest.raises(ValueError, match="a simulation of 4 images is none of 8"):
        run_section(PREDICTED, 128, 200.0, LevelVerdict("low", 4, None, 1250, ()))
    with pytest.raises(ValueError, match="1 instructions were simulated, 2 predicted"):
        run_section(PREDICTED, 128, 200.0, LevelVerdict("low", 8, None, 1250, (1,)))


def test_section_of_a_calibration() -> None:
    generator = np.random.default_rng(0)
    high = generator.integers(-9000, 9000, (400, 10))
    low = high + generator.integers(-3000, 3000, high.shape)
    calibration = calibrate(low, high, high.argmax(axis=1), 2.0**-10, CalibrationOptions(tolerance=0.02))
    section = cascade_section(calibration, None)
    assert (section.k, section.m, section.n) == (calibration.k, calibration.m, calibration.n)
    assert (section.threshold, section.held_out) == (calibration.threshold, None)


@pytest.mark.parametrize(("after", "won"), [(0.87, False), (0.89, True)])
def test_finetuning_that_won_nothing_is_said_to(after: float, won: bool) -> None:
    trained = Finetuned(images=9, epochs=1, rate=0.001, batch=3, flip=False, before=0.88, after=after)
    assert ("omit --finetune" in finetuned_sentence("low unit", trained)) is not won


def test_slow_loops_are_listed_with_their_reason() -> None:
    fast = LoopInterval(
        file="lib/pool.hpp", line=24, function="max_pool", wanted=1, found=1, by_ports=1, by_memories=1,
        by_registers=1, chain_ns=2.5,
    )  # fmt: skip
    why = "recurrence of 16.3 ns: lib/tile.hpp:65 → lib/tile.hpp:67"
    slow = fast.model_copy(update={"file": "lib/convolve.hpp", "function": "convolve_group", "found": 2, "why": why})
    left_open = slow.model_copy(update={"wanted": 0})
    check = LevelCheck(level="synthesisable", unit=UnitName.LOW, images=0, equal=True, loops=(fast, slow, left_open))
    told = list(loop_sentences(check))
    assert (
        "warning: low unit: 1 of 3 pipelined loops of the HLS C++ miss the II of their pragmas (27% of a clock cycle "
        "is reserved for uncertainty and routing). This is an analysis; no vendor tool has confirmed it"
    ) in told
    assert f"  lib/convolve.hpp:24, convolve_group: II = 2, not 1: {why}" in told
    assert not any("max_pool" in line for line in told)


def test_page_describes_every_key() -> None:
    assert PAGE.read_text(encoding="utf-8") == schema_text(), "make it again: python -m toolflow.report.schema_text"


def test_an_undescribed_field_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Model, "__doc__", "The network.\n\n    Attributes:\n        name: x.\n")
    with pytest.raises(ValueError, match=r"Model must describe its fields \['source'"):
        schema_text()


def test_descriptions_of_several_fields_and_lines() -> None:
    class Section(BaseModel):
        """A section.

        Attributes:
            one, two: the first line
                and the second.
            three: x.
        """

    texts = described_fields(Section)
    assert texts == {"one": "the first line and the second.", "two": "the first line and the second.", "three": "x."}


def test_plot(tmp_path: Path) -> None:
    for name in ("first.svg", "second.svg"):
        plot_cascade(cascade(measure(5000, 940)), tmp_path / name)
    text = (tmp_path / "first.svg").read_text(encoding="utf-8")
    assert text.startswith("<?xml")
    assert "chosen, held out" in text
    assert text == (tmp_path / "second.svg").read_text(encoding="utf-8")
    plot_cascade(cascade(None), tmp_path / "cascade.png")
    assert (tmp_path / "cascade.png").read_bytes().startswith(b"\x89PNG")
