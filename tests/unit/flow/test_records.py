"""The JSON files of a build: earlier versions are migrated or refused, and a changed field needs a new version."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from quant.cascade.artefacts import Calibration, CascadeReport
from quant.sparsity.pruned_file import PrunedNetwork
from toolflow.cli.main import app
from toolflow.flow.intact import require_intact
from toolflow.flow.manifest import Manifest
from toolflow.flow.project import open_project, read_decision, read_quantised, read_report
from toolflow.flow.records import (
    CompressionRecord,
    DecisionRecord,
    PlanRecord,
    PruneRecord,
    QuantiseRecord,
    StepsRecord,
)
from toolflow.ir.artefacts import Record, load_record
from toolflow.ir.errors import ToolflowError
from toolflow.ir.store import StoredGraph
from toolflow.ir.unit import VariantName
from toolflow.numerics.srbs import Pattern
from toolflow.report.summary import Summary, read_summary

# What earlier versions built, by commit, without sources, scripts and host code.
EARLIER = Path(__file__).parent / "earlier_projects"
FIELDS = Path(__file__).parent / "record_fields.json"
REFRESH = "TOOLFLOW_REFRESH_GOLDEN"
RECORDS: tuple[type[Record], ...] = (
    Calibration, CascadeReport, CompressionRecord, DecisionRecord, Manifest, PlanRecord, PrunedNetwork, PruneRecord,
    QuantiseRecord, StepsRecord, StoredGraph, Summary,
)  # fmt: skip


def _copy(name: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(EARLIER / name, tmp_path / name))


def _invoke(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def _refused_for_its_programs(folder: Path) -> None:
    """An earlier project's programs are older than what the levels run: both versions are named, nothing is run."""
    code, said = _invoke("verify", folder, "--levels", "program")
    assert code == 2
    text = " ".join(said.split())
    assert "is a program of version 3, and this version of the toolflow runs programs of version 7" in text
    assert "run the same 'toolflow build' again" in text


def test_the_newest_earlier_project_is_read(tmp_path: Path) -> None:
    folder = _copy("pair_8807197", tmp_path)
    project = open_project(folder)
    decision = read_decision(folder)
    assert decision is not None
    assert (project.plan.schema_version, decision.choice) == (7, "resident pair")
    assert read_report(folder).measure.images == read_summary(folder / "summary.json").accuracy[0].images
    assert _invoke("estimate", folder)[0] == 0
    _refused_for_its_programs(folder)


def test_what_an_earlier_version_did_not_write_is_filled_in(tmp_path: Path) -> None:
    """A single unit from before batches, objectives and the statistics of the first layer's input."""
    folder = _copy("single_6ca6f30", tmp_path)
    quantised = read_quantised(folder)
    assert (quantised.first_input, quantised.variants[VariantName.HIGH].config.pattern) == (None, Pattern(2, 4))
    assert (open_project(folder).plan.goal, open_project(folder).plan.batch) == ("throughput", None)
    assert _invoke("estimate", folder)[0] == 0
    _refused_for_its_programs(folder)


@pytest.mark.parametrize(
    "arguments", [("verify", "--levels", "program"), ("estimate",), ("estimate", "--board", "kv260")]
)
def test_what_cannot_be_migrated_is_refused_with_both_versions(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """A calibration from before the low unit was judged alone."""
    command, *options = arguments
    code, said = _invoke(command, _copy("pair_6ca6f30", tmp_path), *options)
    assert code == 2
    said = " ".join(said.split())
    assert "calibration.json must be of schema version 2, not 1 (it has no 'low_alone'): build again, or use" in said
    assert "Field required" not in said


READERS: dict[str, Callable[[Path], object]] = {
    "plan": open_project,
    "calibration": open_project,
    "cascade": read_report,
    "decision": read_decision,
    "graphs/quantise": read_quantised,
    "summary": lambda folder: read_summary(folder / "summary.json"),
    "toolflow": lambda folder: require_intact(open_project(folder)),
}


@pytest.mark.parametrize("name", READERS)
def test_a_version_that_is_none_of_ours_is_refused(name: str, tmp_path: Path) -> None:
    folder = _copy("pair_8807197", tmp_path)
    path = folder / f"{name}.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(document | {"schema_version": 99}), encoding="utf-8")
    with pytest.raises(
        ToolflowError, match=rf"{name}\.json must be of schema version \d, not 99: .*, or use the toolflow"
    ):
        READERS[name](folder)
    path.write_text(json.dumps(document | {"schema_version": "1"}), encoding="utf-8")
    with pytest.raises(ToolflowError, match=rf"{name}\.json is damaged, it holds no object with a schema version: "):
        READERS[name](folder)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("plan", ("verify",)),
        ("calibration", ("estimate",)),
        ("decision", ("estimate",)),
        ("graphs/quantise", ("estimate", "--board", "kv260")),
        ("toolflow", ("verify",)),
    ],
)
def test_commands_end_with_two_on_a_newer_project(name: str, arguments: tuple[str, ...], tmp_path: Path) -> None:
    folder = _copy("pair_8807197", tmp_path)
    path = folder / f"{name}.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(document | {"schema_version": 99}), encoding="utf-8")
    command, *options = arguments
    code, said = _invoke(command, folder, *options)
    assert code == 2
    assert f"{name}.json must be of schema version" in "".join(said.split("\n"))


def _fields(record: type[Record]) -> dict[str, Any]:
    """Return a record's version, and the allowed keys of each part with the types of their values."""
    schema = record.model_json_schema()
    parts = {record.__name__: schema, **schema.get("$defs", {})}
    return {"version": record.current(), "keys": {name: _keys(part) for name, part in sorted(parts.items())}}


def _keys(part: dict[str, Any]) -> dict[str, str] | str:
    """Return the allowed type of each key of an object, or of a value without keys."""
    if "properties" not in part:
        return _values(part)
    return {name: _values(schema) for name, schema in sorted(part["properties"].items())}


def _values(schema: dict[str, Any]) -> str:
    """Return a short text for the values that a JSON schema allows."""
    return json.dumps(_without_texts(schema), sort_keys=True).replace('"', "")


def _without_texts(schema: Any) -> Any:
    if isinstance(schema, list):
        return list(map(_without_texts, schema))
    if isinstance(schema, dict):
        return {key: _without_texts(value) for key, value in schema.items() if key not in ("title", "description")}
    return schema


def test_every_record_is_watched() -> None:
    ours = {kind for kind in Record.__subclasses__() if kind.__module__.startswith(("quant.", "toolflow."))}
    assert ours == set(RECORDS)


def test_no_field_changes_without_a_version() -> None:
    found = {record.__name__: _fields(record) for record in RECORDS}
    if os.environ.get(REFRESH):
        FIELDS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    known = json.loads(FIELDS.read_text(encoding="utf-8"))
    assert set(found) == set(known), f"set {REFRESH}=1 once to store the keys of a new record"
    for name, keys in known.items():
        assert found[name] == keys, (
            f"the keys of {name} or their types changed: raise its schema_version, say in `migrated` what becomes of "
            f"earlier files, and set {REFRESH}=1 once"
        )


def test_a_damaged_record_is_an_error_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text('{"schema_version": 7}', encoding="utf-8")
    with pytest.raises(ToolflowError, match=r"plan\.json is damaged \(it has no 'board'\): build again"):
        load_record(PlanRecord, path)
