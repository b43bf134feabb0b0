"""The fuzzer finds and minimises a planted fault and continues an ended run; its earlier finds stay fixed."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fuzz.__main__ import main
from fuzz.campaign import Campaign, Job
from fuzz.case import Case, draw_case, draw_planned_case
from fuzz.damage import Edit
from fuzz.engines import Builds, draw_engines
from fuzz.files import OF_PROJECTS, READERS, Damage, draw_damage, judge_damage
from fuzz.network import IMAGE, InvalidNetworkError, Network, Step
from fuzz.networks import case_of, judge, run_network
from fuzz.notebook import DEFECT, DIFFERENCE, EQUAL, FINDS, REFUSED, UNHELPFUL, Entry, Notebook
from fuzz.originals import originals, toolflow
from fuzz.work import Worker
from toolflow.engine import executor
from toolflow.importers.builder import Value
from toolflow.importers.onnx import operators as onnx_operators
from toolflow.importers.onnx.call import Call
from toolflow.ir.errors import ToolflowError

REGRESSIONS = Path(__file__).resolve().parents[1] / "regressions"
JOB = Job("network", 0)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The undamaged files."""
    return originals(tmp_path_factory.mktemp("originals"))


@pytest.mark.parametrize("path", sorted(REGRESSIONS.glob("*.json")), ids=lambda path: path.stem)
def test_what_was_found_stays_mended(path: Path, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    found = json.loads(path.read_text(encoding="utf-8"))
    if "case" in found:
        entry = judge(Case.of_json(found["case"]), JOB, Builds(tmp_path))
    else:
        entry = judge_damage(Damage.of_json(found["damage"]), JOB, request.getfixturevalue("files"))
    assert entry.outcome in (EQUAL, REFUSED), entry.text


def test_every_command_takes_the_files_undamaged(files: Path) -> None:
    for file, commands in READERS.items():
        for command in dict.fromkeys(commands):
            entry = judge_damage(Damage(file, (), command), JOB, files)
            assert entry.outcome == EQUAL, f"{command}: {entry.text}"
    for command in dict.fromkeys((*OF_PROJECTS, "disassemble")):
        entry = judge_damage(Damage("project/plan.json", (), command), JOB, files)
        assert entry.outcome == EQUAL, f"{command}: {entry.text}"


def test_damage_survives_json(files: Path) -> None:
    for number in range(60):
        damage = draw_damage(random.Random(number), ("file", "project")[number % 2], files)
        again = Damage.of_json(json.loads(json.dumps(damage.as_json())))
        assert repr(again) == repr(damage)  # NaN is not equal to itself


def test_a_crash_and_a_silent_pass_are_found(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flip = Edit("flip", 0.5, value=1)
    with monkeypatch.context() as planted:

        def crash(path: Path) -> None:
            raise IndexError(path)

        planted.setattr("toolflow.importers.onnx.file.read_model", crash)
        entry = judge_damage(Damage("model.onnx", (flip,), "check onnx"), JOB, files)
        assert entry.outcome == DEFECT
        assert "IndexError" in entry.text
    weights = Damage("project/weights/low.weights.bin", (flip,), "verify")
    assert judge_damage(weights, JOB, files).outcome == REFUSED
    with monkeypatch.context() as planted:
        planted.setattr("fuzz.files._COMMANDS", {"verify": lambda place: toolflow("boards")})
        assert judge_damage(weights, JOB, files).outcome == DIFFERENCE


def test_a_case_survives_json() -> None:
    engine = draw_engines(3, 5)[4]
    for number in range(20):
        for case in (
            draw_case(random.Random(number), engine, rtl=True),
            draw_planned_case(random.Random(number), ("pynq-z2", "kv260")),
        ):
            assert Case.of_json(json.loads(json.dumps(case.as_json()))) == case


def test_what_is_drawn_follows_from_the_seed() -> None:
    assert draw_engines(1, 12) == draw_engines(1, 12) != draw_engines(2, 12)
    campaigns = [Campaign(seed, Path(), Path(), 4, 1) for seed in (1, 1, 2)]
    one, same, other = (case_of(campaign, Job("network", 5)).as_json() for campaign in campaigns)
    assert one == same != other


def few_seeds(monkeypatch: pytest.MonkeyPatch, folder: Path, outcome: str, stage: str) -> Case:
    """Run networks without HLS until one fails, and return its kept case."""
    campaign = Campaign(7, folder / "out", folder / "found", 3, 0)
    drawn = case_of
    monkeypatch.setattr("fuzz.networks.case_of", lambda c, j: replace(drawn(c, j), levels=("program",)))
    for number in range(30):
        entry = run_network(campaign, Job("network", number))
        if (entry.outcome, entry.stage) == (outcome, stage):
            (path,) = (folder / "found").glob(f"*-{number}.json")
            return Case.of_json(json.loads(path.read_text(encoding="utf-8"))["case"])
    raise AssertionError("nothing was found")


def test_a_wrong_rounding_is_found_and_made_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as planted:
        planted.setattr(executor, "round_half_even_shift", lambda value, shift: value >> shift)
        case = few_seeds(planted, tmp_path, DIFFERENCE, "program")
        assert judge(case, JOB, Builds(tmp_path)).outcome == DIFFERENCE
    assert len(case.network.steps) <= 2
    assert judge(case, JOB, Builds(tmp_path)).outcome == EQUAL


def test_a_wrong_attribute_is_found_and_made_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = onnx_operators.OPERATORS["Conv"]

    def wrong(call: Call) -> Value | None:
        call.attributes["pads"] = list(reversed(call.attributes["pads"]))
        value = right(call)
        assert value is None or isinstance(value, Value)
        return value

    with monkeypatch.context() as planted:
        planted.setitem(onnx_operators.OPERATORS, "Conv", wrong)
        case = few_seeds(planted, tmp_path, DIFFERENCE, "import")
    assert len(case.network.steps) <= 4
    assert any(
        step.numbers.get("pads", (0, 0))[:2] != step.numbers.get("pads", (0, 0))[2:] for step in case.network.steps
    )


def test_a_crash_is_a_defect_and_a_poor_refusal_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = replace(case_of(Campaign(1, tmp_path, tmp_path, 3, 0), JOB), levels=("program",))
    for error, outcome in (
        (KeyError("x"), DEFECT),
        (ToolflowError("this is wrong"), UNHELPFUL),
        (ToolflowError("bank_depth must be at least 9, not 8"), REFUSED),
    ):

        def fail(*arguments: object, error: Exception = error, **named: object) -> None:
            raise error

        monkeypatch.setattr("fuzz.levels.quantise", fail)
        assert judge(case, JOB, Builds(tmp_path)).outcome == outcome


def test_a_notebook_goes_on_behind_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "notebook.jsonl"
    first = Notebook(path)
    first.add(Entry("network", 4, EQUAL, levels=("program", "hls")))
    first.add(Entry("network", 5, DEFECT, text="KeyError"))
    with path.open("a") as file:
        file.write('{"kind": "netw')
    again = Notebook(path)
    assert again.done() == {("network", 4), ("network", 5)}
    assert again.ended("network") == again.ended("network", "hls") == 1
    assert [entry.number for entry in again.finds()] == [5]
    assert set(FINDS) == {UNHELPFUL, DIFFERENCE, DEFECT}
    again.add(Entry("network", 6, EQUAL))
    assert len(Notebook(path).entries) == 3


def test_a_job_survives_the_death_of_its_process(tmp_path: Path) -> None:
    worker = Worker(Campaign(1, tmp_path, tmp_path / "found", 3, 0))
    try:
        worker.process.kill()
        worker.process.join()
        assert worker.run(Job("planned", 0)).outcome in (EQUAL, REFUSED)
    finally:
        worker.close()


def test_a_campaign_goes_on_where_it_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--out", str(tmp_path), "--keep", str(tmp_path / "found"), "--workers", "1", "--planned"]
    assert main([*arguments, "1"]) == 0
    (path,) = tmp_path.glob("*.jsonl")
    first = path.read_text()
    assert main([*arguments, "1"]) == 0
    assert path.read_text().split() == first.split()
    assert main([*arguments, "2"]) == 0
    assert Notebook(path).ended("planned") == 2
    assert json.loads((tmp_path / "summary.json").read_text())["levels"] == {"program": 2}
    assert "planned: 2 equal" in capsys.readouterr().out


def test_networks_that_do_not_fit_together_are_told() -> None:
    linear = Step("linear", "linear", (IMAGE,), {"outputs": (2,)})
    with pytest.raises(InvalidNetworkError, match="a linear layer needs a vector"):
        Network(1, (1, 2, 2), (linear,)).shapes()
    flat = Network(1, (1, 2, 2), (Step("flat", "flatten", (IMAGE,)), replace(linear, inputs=("flat",))))
    assert flat.shapes() == {IMAGE: (1, 2, 2), "flat": (4,), "linear": (2,)}
    assert np.array_equal([len(node.input) for node in flat.to_onnx().graph.node], [1, 3])
