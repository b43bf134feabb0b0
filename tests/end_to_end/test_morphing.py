"""The digits example as two programs of one engine: every level, and the host's answers."""

from __future__ import annotations

import runpy
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.end_to_end.projects import digits_arguments, toolflow
from tests.unit.emit.host_device import fake_pynq
from toolflow.engine.program import decode_program
from toolflow.flow.project import open_project
from toolflow.interpreter.run import run as run_reference
from toolflow.ir.unit import UnitName
from toolflow.numerics.confidence import THRESHOLD_ONE, evaluate
from toolflow.plan.lower.lower import compile_program
from toolflow.report.summary import read_summary

ENGINE = "lanes_k=8,lanes_p=4,slots=2"


@pytest.fixture(scope="module")
def morphing(trained: Path) -> Path:
    """Both networks as two programs of one engine."""
    out = trained / "morphing"
    target = ["--board", "kv260", "--engine", ENGINE, "--morphing", "--low-bits", "3"]
    built = toolflow("build", *digits_arguments(trained), *target, "--out", out)
    assert built.exit_code == 0, built.stderr
    return out


def test_a_morphing_pair_is_one_engine_with_two_programs(morphing: Path) -> None:
    verified = toolflow("verify", morphing, "--levels", "program,hls", "--images", "9")
    assert verified.exit_code == 0, verified.stderr
    summary = read_summary(morphing / "summary.json")
    assert {(check.unit, check.level) for check in summary.verification if check.equal} == {
        (unit, level) for unit in ("low", "high") for level in ("files", "synthesisable", "program", "hls")
    }
    assert summary.decision is not None
    assert summary.decision.choice == "morphing pair"
    assert {unit.engine.narrow_bits for unit in summary.units} == {4}
    assert [path.name for path in (morphing / "rtl").iterdir()] == ["single"]
    headers = [decode_program((morphing / "weights" / f"{n}.program.bin").read_bytes())[0] for n in ("low", "high")]
    assert [header.narrow for header in headers] == [1, 0]
    assert headers[0].signature == headers[1].signature
    low, high = (unit.runs[-1] for unit in summary.units)
    each = low.cycles / low.images + summary.decision.forwarded_share * high.cycles / high.images
    assert summary.cycles_per_image == pytest.approx(each)


def test_the_host_of_a_morphing_pair_answers_as_the_integer_cascade(
    morphing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The emitted driver and files on a simulated board, against the reference of both networks.

    The rule of the project accepts every image: the low program is compiled again with a threshold between them.
    """
    project = open_project(morphing)
    images = project.vectors().images
    low, high = (project.unit(name) for name in (UnitName.LOW, UnitName.HIGH))
    logits = [run_reference(u.graph, images)[u.graph.output].reshape(len(images), -1) for u in (low, high)]
    assert low.rule is not None
    found = evaluate(logits[0], low.rule)
    rule = replace(low.rule, threshold=int(np.median(found.numerator * THRESHOLD_ONE // found.total)))
    sure = evaluate(logits[0], rule).confident
    assert 0 < sure.sum() < len(images)
    for name in ("host", "weights"):
        shutil.copytree(morphing / name, tmp_path / name)
    (tmp_path / "weights" / "low.program.bin").write_bytes(compile_program(low.graph, low.config, rule).program)

    pynq = ModuleType("pynq")
    names, engines = fake_pynq({str(name): config for name, config in project.plan.engines.items()})
    vars(pynq).update(names)
    monkeypatch.setitem(sys.modules, "pynq", pynq)
    driver = runpy.run_path(str(tmp_path / "host" / "cascade_pynq.py"))
    answer = driver["CascadeOverlay"]("cascade.bit", folder=str(tmp_path), batch=8, rtl=True).classify(images)
    np.testing.assert_array_equal(answer.by_high, ~sure)
    np.testing.assert_array_equal(answer.logits, np.where(sure[:, None], logits[0], logits[1]))
    assert len(engines["single"].counts) == 8 + -(-int((~sure).sum()) // 8)
