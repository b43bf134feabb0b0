"""The page `report.html`: its sections and figures, its network, and charts that Vega-Lite accepts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser

import pytest
import vl_convert

from quant.cascade.thresholds import ThresholdRow, ThresholdTable
from tests.conformance.casebook import RESULT, SAME, NetworkBuilder
from tests.unit.report.example import DECISION, summary
from toolflow.engine.config import EngineConfig
from toolflow.ir.unit import UnitName
from toolflow.numerics.confidence import ALWAYS, NEVER
from toolflow.numerics.types import IntegerType
from toolflow.plan.schedule.schedule import make_schedule
from toolflow.report.from_artefacts import layer_sections
from toolflow.report.page.charts import charts
from toolflow.report.page.network import Edge, NetworkNode, long_edges, network_nodes
from toolflow.report.page.page import page_text
from toolflow.report.page.roofline import roofline_of
from toolflow.report.page.vega import vega_script
from toolflow.report.summary import Layer, Summary

SECTIONS = (
    "network", "accuracy", "cascade", "layers", "roofline", "resources", "verification", "versions", "next",
)  # fmt: skip
NODES = (
    NetworkNode("images", "", (), (3, 8, 8), 8, ("load",)),
    NetworkNode("conv1", "conv 3×3", (0,), (16, 8, 8), 4, ("conv1",)),
    NetworkNode("results", "", (1,), (10,), 16, ()),
)
NETWORKS = {UnitName.LOW: NODES, UnitName.HIGH: NODES}
THRESHOLDS = ThresholdTable(
    images=5000,
    labelled=True,
    rows=(
        ThresholdRow(threshold=ALWAYS, accuracy=0.85, forwarded_share=0, images_per_second=5e6, chosen=False),
        ThresholdRow(threshold=19784, accuracy=0.8765, forwarded_share=0.188, images_per_second=1.6e6, chosen=True),
        ThresholdRow(threshold=NEVER, accuracy=0.88, forwarded_share=1, images_per_second=8e5, chosen=False),
    ),
)
FORM = Layer(
    name="conv1", mode="direct", weight_bits=4, density=0.5, multiplications=8000, direct_multiplications=16000,
    storage_bits=4096, stream_bytes=640,
)  # fmt: skip


def example() -> Summary:
    """The summary of the tables' tests, with thresholds, forms of layers and the memory's speed."""
    plain = summary()
    return plain.model_copy(
        update={
            "decision": DECISION.model_copy(update={"thresholds": THRESHOLDS}),
            "variants": tuple(each.model_copy(update={"layers": (FORM,)}) for each in plain.variants),
            "board": plain.board.model_copy(update={"sustained_bytes_per_s": 3.2e9}),
        }
    )


def page(data: Summary, networks: Mapping[UnitName, Sequence[NetworkNode]] = NETWORKS, flow: str = "zynq") -> str:
    return page_text(data, networks, flow, vega="/* charts */")


class _Words(HTMLParser):
    """The words that a reader sees, by the section that they are in."""

    def __init__(self) -> None:
        super().__init__()
        self.sections: dict[str, list[str]] = {"": []}
        self._section, self._hidden = "", False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "section":
            self._section = dict(attrs)["id"] or ""
            self.sections[self._section] = []
        self._hidden = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._section = "" if tag == "section" else self._section
        self._hidden = False

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.sections[self._section] += data.split()


def words(text: str) -> dict[str, str]:
    parser = _Words()
    parser.feed(text)
    return {name: " ".join(found) for name, found in parser.sections.items()}


def test_every_section_is_there_with_its_figures() -> None:
    found = words(page(example()))
    assert tuple(found)[1:] == SECTIONS
    expected = {
        "": (
            "resnet20 on zcu104",
            "1 of 2 checks DIFFERENT",
            "1,600,000",
            "125 cycles an image, predicted, at 200 MHz",
        ),
        "network": ("conv1 conv 3×3 800 cycles", "16 × 8 × 8 W4 A4", "40,551,424 multiply-accumulates"),
        "accuracy": ("88.07 % (87.1 … 88.9)", "90.00 % (89.1 … 90.8), agreement"),
        "cascade": ("0.3019", "87.65 % 18.80 % 1,600,000 chosen", "resident pair", "single high"),
        "layers": ("conv1 CONV 4 direct dense 800 array 62.50 %",),
        "resources": ("5,000", "usable"),
        "verification": ("rtl 8 DIFFERENT: 'conv1', image 3, (2, 0, 1)", "not run: no vendor tool on PATH"),
        "versions": ("cascade-toolflow 0.1.0", "numpy", "low unit, program a"),
        "next": ("toolflow verify .", "make -C scripts bitstream-rtl"),
    }
    for section, texts in expected.items():
        for text in texts:
            assert text in found[section], (section, text, found[section])


def test_the_slider_reads_off_the_rows_of_the_summary() -> None:
    text = page(example())
    held = re.search(r'<script type="application/json" id="thresholds">(.*?)</script>', text)
    assert held is not None
    rows = json.loads(held[1])
    assert [row["threshold"] for row in rows] == ["accept all", "0.3019", "forward all"]
    assert rows[1] == {
        "threshold": "0.3019", "forwarded": "18.80 %", "accuracy": "87.65 %", "speed": "1,600,000", "chosen": True,
    }  # fmt: skip
    slider = re.search(r'<input id="threshold"[^>]*>', text)
    assert slider is not None
    assert 'max="2"' in slider[0]
    assert 'value="1"' in slider[0]


def test_a_single_unit_without_a_cascade() -> None:
    data = example()
    alone = data.model_copy(
        update={
            "units": (data.units[0].model_copy(update={"unit": UnitName.SINGLE}),),
            "variants": (data.variants[0].model_copy(update={"unit": UnitName.SINGLE}),),
            "cascade": None,
            "decision": None,
            "verification": (),
        }
    )
    text = page(alone, {UnitName.SINGLE: NODES}, "nextpnr")
    found = words(text)
    assert tuple(found)[1:] == tuple(name for name in SECTIONS if name != "cascade")
    assert "Built: one unit . No other design was compared." in found[""]
    assert "not verified yet" in found[""]
    assert "make -C scripts route" in found["next"]
    assert 'id="threshold"' not in text


def test_a_page_needs_no_network_and_escapes_names() -> None:
    data = example()
    named = data.model_copy(update={"model": data.model.model_copy(update={"name": "<i>net</i></script>"})})
    text = page(named)
    assert "<i>net" not in text
    assert "&lt;i&gt;net" in text
    assert not re.findall(r'(?:src|href)="(?!#)[^"]*"|@import|url\(', text)


def test_the_script_of_the_charts_is_small_and_carries_its_licences() -> None:
    text = page_text(example(), NETWORKS, "zynq", vega_script())
    assert len(text.encode()) < 2_000_000
    assert "University of Washington Interactive" in text
    assert "Redistributions in binary form must reproduce" in text


def test_vega_lite_accepts_every_chart() -> None:
    found = charts(example())
    assert set(found) == {
        "accuracy", "cascade", "cycles-low", "cycles-high", "roofline-low", "roofline-high", "resources",
    }  # fmt: skip
    for spec in found.values():
        assert vl_convert.vegalite_to_vega(spec)["marks"]
    with pytest.raises(ValueError, match="conversion failed"):
        vl_convert.vegalite_to_vega({"mark": "no such mark", "encoding": {}})


def test_the_roofline_by_hand() -> None:
    """128 multipliers, a weight port of 16 bytes a cycle, and 3.2 GB/s at 200 MHz: 16 bytes a cycle too."""
    data = example()
    found = roofline_of(data.units[0], data.variants[0], data.board)
    assert found is not None
    (point,) = found.points
    multipliers, port = data.units[0].multipliers, data.units[0].engine.bus_bytes
    assert (point.intensity, point.rate) == (64000 / 640, 64000 / 800)
    slope = min(port, 16)
    assert found.roofs[0][1][1] == (multipliers / slope, multipliers)
    assert roofline_of(data.units[0], data.variants[0], summary().board) is None


def test_the_nodes_of_a_residual_network() -> None:
    byte = IntegerType(8, signed=False)
    b = NetworkBuilder((3, 8, 8), seed=1)
    stem = b.conv("stem", "image", 8, pads=SAME, out=byte)
    inner = b.conv("inner", stem, 8, pads=SAME, out=byte)
    graph = b.build(b.conv("last", inner, 8, pads=SAME, residual=stem, out=RESULT))
    schedule = make_schedule(graph, EngineConfig(lanes_k=4, lanes_p=2, sub_row=4, slots=1))
    nodes = network_nodes(graph, schedule.steps)
    assert [(node.name, node.what, node.inputs) for node in nodes] == [
        ("images", "", ()),
        ("stem", "conv 3×3", (0,)),
        ("inner", "conv 3×3", (1,)),
        ("last", "conv 3×3 + residual", (2, 1)),
        ("results", "", (3,)),
    ]
    named = [name for node in nodes for name in node.instructions]
    assert sorted(named) == sorted(part.name for step in schedule.steps for part in step.parts)
    layers = layer_sections(graph, schedule.config, schedule.computes)
    streamed = [step.weight_bytes(schedule.config) for step in schedule.computes]
    assert [layer.stream_bytes for layer in layers] == streamed


def test_edges_do_not_share_a_lane_beside_each_other() -> None:
    inputs: tuple[tuple[int, ...], ...] = ((), (0,), (1, 0), (2,), (3, 0), (4, 3), (5, 1))
    nodes = [NetworkNode(str(row), "", of, (1,), 8, ()) for row, of in enumerate(inputs)]
    edges = long_edges(nodes)
    assert {(edge.source, edge.target) for edge in edges} == {(0, 2), (0, 4), (3, 5), (1, 6)}
    for one in edges:
        for other in edges:
            if one is not other and one.lane == other.lane:
                assert one.target <= other.source or other.target <= one.source
    assert Edge(0, 2, 0) in edges
