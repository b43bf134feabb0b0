"""Layers whose outputs read few channels: the report names them and their cost."""

from __future__ import annotations

from tests.conformance.casebook import RESULT, NetworkBuilder
from toolflow.engine.config import EngineConfig
from toolflow.operators.avg_pool.spec import AvgPool
from toolflow.plan.explore.estimate import estimate
from toolflow.report.from_artefacts import run_section
from toolflow.report.summary import Run
from toolflow.report.tables import grouped_sentences, layer_table

SHAPE = EngineConfig(lanes_k=16, lanes_p=2, slots=2, sub_row=8)


def run_of(groups: int) -> Run:
    b = NetworkBuilder((3, 12, 12), 8, 8, 8, 3)
    x = b.conv("stem", "image", 32, 3, pads=(1, 1, 1, 1))
    x = b.conv("middle", x, 32, 3, pads=(1, 1, 1, 1), groups=groups)
    x = b.conv("point", x, 32, 1)
    x = b.avg_pool("pool", x, AvgPool((12, 12), (12, 12), (0, 0, 0, 0)))
    graph = b.build(b.linear("fc", b.flatten("flat", x), 10, out=RESULT))
    config, report = estimate(graph, SHAPE, 2)
    return run_section(report, config.multipliers, 115.0)


def test_each_layer_says_how_few_channels_an_output_reads() -> None:
    assert {layer.name: layer.reads for layer in run_of(32).layers if layer.reads} == {"middle": 1, "pool": 1}
    assert {layer.name: layer.reads for layer in run_of(4).layers if layer.reads} == {"middle": 8, "pool": 1}
    assert {layer.name: layer.reads for layer in run_of(1).layers if layer.reads} == {"pool": 1}
    rows = [cell.text for cell in layer_table("single", run_of(4)).columns[3].cells]
    assert "array, 8 channels an output" in rows
    assert "weights, 1 channel an output" in rows  # of one position, whose rows come as it takes them


def test_the_sentence_holds_the_shares_of_cycles_and_work() -> None:
    run = run_of(32)
    [sentence] = grouped_sentences("single", run)
    few = [layer for layer in run.layers if layer.name in ("middle", "pool")]
    cycles = sum(layer.predicted_cycles for layer in few)
    share = cycles / sum(layer.predicted_cycles for layer in run.layers)
    # multiplications of the network's definition: K·C/groups·k²·H·W a layer
    work = {"stem": 32 * 3 * 9 * 144, "middle": 32 * 9 * 144, "point": 32 * 32 * 144, "pool": 32 * 144, "fc": 320}
    part = (work["middle"] + work["pool"]) / sum(work.values())
    busy = 2 * (work["middle"] + work["pool"]) / (64 * cycles)
    assert sentence.startswith("single unit: 2 layers read few channels for each output")
    assert f"take {100 * share:.2f} % of the cycles of a pass for {100 * part:.2f} % of its multiplications" in sentence
    assert sentence.endswith(f"at a utilisation of {100 * busy:.2f} %")


def test_a_network_without_them_is_told_nothing() -> None:
    run = run_of(1)
    plain = run.model_copy(update={"layers": tuple(layer for layer in run.layers if not layer.reads)})
    assert not list(grouped_sentences("single", plain))


def test_the_sentence_of_one_layer_is_in_the_singular() -> None:
    [sentence] = grouped_sentences("single", run_of(1))
    assert sentence.startswith("single unit: 1 layer reads few channels for each output")
    assert "average pooling) and takes " in sentence
