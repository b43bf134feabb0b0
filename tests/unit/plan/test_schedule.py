"""The schedule: what it says of a network, that programs follow from it alone, and that it keeps what is still read."""

from __future__ import annotations

import zlib
from dataclasses import replace
from functools import cache
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest

from tests.conformance.casebook import RESULT, SAME, NetworkBuilder
from tests.conformance.cases import cases_of
from tests.conformance.engine_shapes import SHAPES
from toolflow.engine.config import EngineConfig
from toolflow.engine.executor import run_program
from toolflow.engine.places import BankPlace, Region, ResultPlace
from toolflow.engine.steps import Compute, Fill, Load, Pool, SetStripes, Shift, Spill, Step, StoreMap, StoreResults
from toolflow.ir.errors import ToolflowError
from toolflow.ir.quantised import QuantisedGraph
from toolflow.numerics.confidence import ACCEPT_ALL
from toolflow.numerics.types import IntegerType
from toolflow.operators.avg_pool.spec import AvgPool
from toolflow.operators.max_pool.spec import MaxPool
from toolflow.plan.lower.compiled import CompiledProgram
from toolflow.plan.lower.encode import encode_steps
from toolflow.plan.lower.lower import compile_program, lower
from toolflow.plan.schedule.needs import fitted
from toolflow.plan.schedule.schedule import Schedule, make_schedule
from toolflow.report.from_artefacts import layer_sections
from toolflow.report.summary import Layer

BYTE = IntegerType(8, signed=False)
ENGINE = EngineConfig(lanes_k=4, lanes_p=2, sub_row=4, tile=2, drain_k=2, slots=1)

STEPS = """\
load    image: 3x8x8 of 4 bytes a pixel, one every 256 bytes -> bank 128..192 by 1, ahead from left
compute stem: bank 128..192 by 1 -> bank 0..128 by 2, all; 3x3 pads 1,1; 3 steps of 1 word, 27 rows
compute tile: bank 0..128 by 2 -> bank 128..256 by 2, all; 3x3 pads 1,1 F2; 4 steps of 2 words, 128 rows; plus bank \
0..128 by 2
pool    pool: bank 128..256 by 2 -> bank 48..80 by 2, all; 2x2 pads 0,0
compute left: bank 48..80 by 2 -> bank 0..47 by 3, all; 1x1 pads 0,0; 4 steps of 2 words, 8 rows
compute right: bank 48..80 by 2 -> bank 2..48 by 3, all; 1x1 pads 0,0; 4 steps of 2 words, 8 rows
compute mean: bank 0..48 by 3 -> bank 48..96 by 3, all; 3x3 pads 1,1; 1 step of 3 words, indexed, 27 rows
compute mean 2: bank 0..48 by 3 -> bank 48..96 by 3, 2x4 from 1,0; 3x3 pads 1,1; 1 step of 3 words, indexed, 27 rows
compute mean 3: bank 0..48 by 3 -> bank 48..96 by 3, 1x1 from 0,1; 3x3 pads 1,1; 1 step of 3 words, indexed, 27 rows
compute mean 4: bank 0..48 by 3 -> bank 48..96 by 3, 2x1 from 1,1; 3x3 pads 1,1; 1 step of 3 words, indexed, 27 rows
compute mean 5: bank 0..48 by 3 -> bank 48..96 by 3, 1x1 from 3,1; 3x3 pads 1,1; 1 step of 3 words, indexed, 27 rows
compute mean 6: bank 0..48 by 3 -> bank 48..96 by 3, 1x1 from 0,2; 3x3 pads 1,1; 1 step of 3 words, indexed, 27 rows
compute mean 7: bank 0..48 by 3 -> bank 48..96 by 3, 2x1 from 1,2; 3x3 pads 1,1; 1 step of 3 words, indexed, 27 rows
compute mean 8: bank 0..48 by 3 -> bank 48..96 by 3, 1x1 from 3,2; 3x3 pads 1,1; 1 step of 3 words, indexed, 27 rows
compute fc: bank 48..96 by 3 -> 10 results, all; 4x4 pads 0,0; 4 steps of 3 words, 160 rows
store   fc: 10 results, one record every 48 bytes"""


def network() -> QuantisedGraph:
    """A residual onto a Winograd layer, max pooling, a concat with a gap, average pooling with edges."""
    b = NetworkBuilder((3, 8, 8), seed=1)
    stem = b.conv("stem", "image", 8, pads=SAME, out=BYTE)
    tile = b.winograd("tile", stem, 8, 2, pads=SAME, residual=stem, out=BYTE)
    pool = b.max_pool("pool", tile, MaxPool((2, 2), (2, 2)))
    both = b.concat("both", (b.conv("left", pool, 6, 1, out=BYTE), b.conv("right", pool, 4, 1, out=BYTE)))
    mean = b.avg_pool("mean", both, AvgPool((3, 3), (1, 1), SAME, count_include_pad=False), BYTE)
    b.linear("fc", b.flatten("flat", mean), 10, out=RESULT)
    return b.build("fc")


@cache
def case_schedules(shape: str) -> list[tuple[str, Schedule, npt.NDArray[np.uint8]]]:
    """Return every conformance case's schedule on an engine that is just large enough, and images."""
    made = []
    for name, case in cases_of(SHAPES[shape]).items():
        c = SHAPES[shape]
        builder, output = case.build(c.weight_bits, c.activation_bits, zlib.crc32(name.encode()), False)
        made.append((name, fitted(make_schedule(builder.build(output), c)), builder.images(2)))
    return made


def of_place(place: BankPlace | ResultPlace) -> str:
    if isinstance(place, ResultPlace):
        return f"{place.values} results"
    return f"bank {place.base}..{place.end} by {place.pixel_words}"


def of_region(region: Region, out: BankPlace | ResultPlace) -> str:
    whole = region == (0, 0, out.height, out.width)
    return "all" if whole else f"{region.height}x{region.width} from {region.top},{region.left}"


def count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number > 1)}"


def text(step: Step) -> str:
    match step:
        case Load():
            image = step.image
            size = f"{image.channels}x{image.height}x{image.width} of {image.pixel_bytes} bytes a pixel"
            place = f"{of_place(step.out)}, ahead from {step.ahead}"
            return f"load    {step.tensor}: {size}, one every {step.source.pitch_bytes} bytes -> {place}"
        case Compute() | Pool():
            name = step.name if isinstance(step, Compute) else step.tensor
            where = f"{of_place(step.source)} -> {of_place(step.out)}, {of_region(step.region, step.out)}"
            window = "{}x{} pads {},{}".format(*step.window.kernel, *step.window.pads)
            if isinstance(step, Pool):
                return f"pool    {name}: {where}; {window}"
            walk = f"{count(step.walk.steps, 'step')} of {count(step.walk.sub_rows, 'word')}"
            walk += f"{', indexed' if step.walk.indexed else ''}, {step.rows} rows"
            tile = f" F{step.tile}" if step.tile else ""
            residual = f"; plus {of_place(step.residual.source)}" if step.residual else ""
            return f"compute {name}: {where}; {window}{tile}; {walk}{residual}"
        case StoreResults():
            record = f"one record every {step.out.pitch_bytes} bytes"
            return f"store   {step.tensor}: {of_place(step.source)}, {record}"
        case Fill():
            rows = f"{step.out.height} rows from {step.first_row}"
            return f"fill    {step.tensor}: maps {step.source.offset_bytes}, {rows} -> {of_place(step.out)}"
        case Spill():
            rows = f"{step.source.height} rows to {step.first_row}"
            return f"spill   {step.tensor}: {of_place(step.source)} -> maps {step.out.offset_bytes}, {rows}"
        case StoreMap():
            place = f"{step.out.offset_bytes}, one every {step.out.pitch_bytes} bytes"
            return f"store   {step.tensor}: {of_place(step.source)} -> {place}"
        case Shift():
            return (
                f"shift   {step.tensor}: {of_place(step.source)} -> {of_place(step.out)}, {'up' if step.up else 'down'}"
            )
        case SetStripes():
            return f"stripes {step.stripes.rows} of {step.stripes.height} rows, {step.stripes.above} above"


def test_the_steps_of_a_network() -> None:
    schedule = make_schedule(network(), ENGINE)
    assert "\n".join(map(text, schedule.steps)) == STEPS
    assert schedule.places["both"].channel == (0, 1, 2, 3, 4, 5, 8, 9, 10, 11)
    assert schedule.places["flat"] == schedule.places["mean"]
    assert "fc" not in schedule.places


def test_stored_maps_follow_the_last_step_that_writes_them() -> None:
    schedule = make_schedule(network(), ENGINE).traced(["image", "mean"], images=3)
    stored = [n for n, step in enumerate(schedule.steps) if isinstance(step, StoreMap)]
    assert [text(schedule.steps[n - 1]).split(":")[0] for n in stored] == ["load    image", "compute mean 8"]
    assert [text(schedule.steps[n]) for n in stored] == [
        "store   image: bank 128..192 by 1 -> 144, one every 256 bytes",
        "store   mean: bank 48..96 by 3 -> 912, one every 192 bytes",
    ]
    for tensor in ("fc", "both", "nothing"):
        with pytest.raises(ToolflowError, match=rf"tensors to trace must lie in the banks, not \['{tensor}'\]"):
            schedule.traced([tensor], images=3)


def test_a_program_follows_from_the_schedule_alone() -> None:
    """Encoding does not read the network. Each place, window and region is in the instruction that it belongs to."""
    schedule = fitted(make_schedule(network(), ENGINE))
    compiled = compile_program(network(), schedule.config)
    alone = lower(replace(schedule, graph=cast(QuantisedGraph, None)), ACCEPT_ALL)
    assert (alone.program, alone.weights) == (compiled.program, compiled.weights)
    for number, step in enumerate(schedule.steps):
        if isinstance(step, Compute) and isinstance(step.out, BankPlace):
            out = replace(step.out, base=step.out.base + 5)
            residual = step.residual and replace(step.residual, source=replace(step.residual.source, base=7))
            moved = replace(step, source=replace(step.source, base=9), out=out, residual=residual)
            steps = (*schedule.steps[:number], moved, *schedule.steps[number + 1 :])
            before, after = (encode_steps(each, schedule.config) for each in (schedule.steps, steps))
            at = next(n for n, i in enumerate(before) if i.name == step.name)
            expected = replace(
                before[at],
                in_base=before[at].in_base - step.source.base + 9,
                out_base=before[at].out_base + 5,
                residual_base=7 if step.residual else 0,
            )
            assert after == (*before[:at], expected, *before[at + 1 :])


def in_bands(schedule: Schedule, seed: int) -> Schedule:
    """Return the schedule with each region of several rows computed in two bands."""
    rng = np.random.default_rng(seed)
    steps: list[Step] = []
    for step in schedule.steps:
        if isinstance(step, Compute | Pool) and isinstance(step.out, BankPlace) and step.region.height > 1:
            top, left, height, width = step.region
            upper = int(rng.integers(1, height))
            if isinstance(step, Compute) and step.tile:
                upper -= upper % step.tile
            if upper and (top + upper) * step.window.stride[0] - step.window.pads[0] < step.source.height:
                steps.append(replace(step, region=Region(top, left, upper, width)))
                step = replace(step, region=Region(top + upper, left, height - upper, width))
        steps.append(step)
    return replace(schedule, steps=tuple(steps))


def test_bands_of_rows_compute_what_whole_maps_do() -> None:
    """This holds for every operator and for every first row of the second band; the work is the same."""

    def results(compiled: CompiledProgram, images: npt.NDArray[np.uint8]) -> bytes:
        packed = compiled.pack_images(images)
        return run_program(compiled.config, compiled.program, compiled.weights, packed, len(images))

    def work(schedule: Schedule) -> tuple[int, int]:
        return sum(s.macs for s in schedule.computes), sum(s.direct_macs for s in schedule.computes)

    def layers_of(schedule: Schedule) -> list[Layer]:
        found = layer_sections(schedule.graph, schedule.config, schedule.computes)
        return [layer.model_copy(update={"stream_bytes": 0}) for layer in found]  # a band streams its weights again

    banded = 0
    for name, schedule, images in case_schedules("tile_2"):
        bands = in_bands(schedule, zlib.crc32(name.encode()))
        if bands.steps != schedule.steps:
            banded += 1
            whole = lower(schedule, ACCEPT_ALL)
            assert results(lower(bands, ACCEPT_ALL), images) == results(whole, images), name
            assert work(bands) == work(schedule), name
            assert layers_of(bands) == layers_of(schedule), name
    assert banded >= 50


@pytest.mark.parametrize(
    ("region", "problem"),
    [
        (Region(0, 0, 2, 3), "a region must be whole rows or part of one row or column"),
        (Region(9, 0, 1, 8), "the first window of a region must begin above and left of the map's end, not at 8, 0"),
    ],
)
def test_regions_that_no_instruction_computes_are_refused(region: Region, problem: str) -> None:
    schedule = make_schedule(network(), ENGINE)
    step = replace(schedule.computes[0], region=region)
    with pytest.raises(ValueError, match=problem):
        encode_steps((step,), ENGINE)
    tile = replace(schedule.computes[1], region=Region(3, 0, 2, 8))
    with pytest.raises(ValueError, match=r"a region of 'tile' must begin at a tile of 2, not at \(3, 0\)"):
        encode_steps((tile,), ENGINE)
    results = replace(schedule.computes[-1], region=Region(0, 0, 1, 2))
    with pytest.raises(ValueError, match="results must be computed by one step"):
        encode_steps((results,), ENGINE)


def words(place: BankPlace, region: Region | None = None) -> list[int]:
    """Return the words of a map, or of a region of it."""
    top, left, height, width = region or Region(0, 0, place.height, place.width)
    return [
        place.base + y * place.row_words + x * place.pixel_words + q
        for y in range(top, top + height)
        for x in range(left, left + width)
        for q in range(place.words)
    ]


def overwritten(schedule: Schedule) -> list[str]:
    """Return the steps that read a word that was last overwritten by another tensor than their operand.

    Where the next pass's images are loaded ahead, a step that writes to their words overwrites them.
    """
    graph, found = schedule.graph, []
    ahead: list[int] = []
    held: dict[int, str] = {}  # the tensor that was written to a word last

    def writers(tensor: str) -> set[str]:
        node = graph.by_name.get(tensor)
        if node is None or not node.op.hardware.is_free:
            return {tensor}
        return set().union(*map(writers, node.inputs))

    def check(step: Step, place: BankPlace, operand: str) -> None:
        if not {held.get(word) for word in words(place)} <= writers(operand):
            found.append(f"{step.parts[-1].name} reads {operand}")

    for step in schedule.steps:
        if isinstance(step, Compute | Pool) and step.name == schedule.load.ahead:
            ahead = words(schedule.load.out)
            held |= dict.fromkeys(ahead, "the next image")
        if isinstance(step, Compute | Pool):
            check(step, step.source, graph.by_name[step.tensor].inputs[0])
        if isinstance(step, Compute) and step.residual is not None:
            check(step, step.residual.source, graph.by_name[step.tensor].inputs[1])
        if isinstance(step, Load | Compute | Pool) and isinstance(step.out, BankPlace):
            region = None if isinstance(step, Load) else step.region
            written = words(step.out, region)
            held |= dict.fromkeys(written, step.tensor)
            if not {*ahead}.isdisjoint(written):
                found.append(f"{step.parts[-1].name} writes over the next image")
    return found


@pytest.mark.parametrize("shape", ["odd", "tile_2"])
def test_what_is_still_read_is_not_written_over(shape: str) -> None:
    for name, schedule, _ in case_schedules(shape):
        assert overwritten(schedule) == [], name


def test_a_map_over_a_live_one_is_found() -> None:
    schedule = make_schedule(network(), ENGINE)
    pool = next(step for step in schedule.steps if isinstance(step, Pool))
    over = replace(pool, out=replace(pool.out, base=pool.source.base - 4))
    steps = tuple(over if step is pool else step for step in schedule.steps)
    assert overwritten(replace(schedule, steps=steps)) == ["left reads pool", "right reads pool"]
    assert overwritten(schedule) == []


def test_a_load_ahead_over_a_live_map_is_found() -> None:
    schedule = make_schedule(network(), ENGINE)
    early = replace(schedule.load, ahead="tile")
    found = overwritten(replace(schedule, steps=(early, *schedule.steps[1:])))
    assert found == ["tile writes over the next image"]


def test_nothing_is_loaded_ahead_where_there_is_no_room() -> None:
    """Each map is as large as the image, and the last layer reads the image again."""
    b = NetworkBuilder((4, 6, 6), seed=1)
    first = b.conv("first", "image", 4, pads=SAME)
    joined = b.conv("second", first, 4, pads=SAME, residual="image")
    b.linear("logits", b.flatten("flat", joined), 3, out=RESULT)
    assert make_schedule(b.build("logits"), ENGINE).load.ahead == "logits"
    b = NetworkBuilder((4, 6, 6), seed=1)
    b.linear("logits", b.flatten("flat", "image"), 3, out=RESULT)
    assert make_schedule(b.build("logits"), ENGINE).load.ahead == ""


def test_a_network_in_bands_of_rows() -> None:
    """Maps outside are filled and spilled row by row; a residual that a band reads anyway is not filled again."""
    b = NetworkBuilder((3, 8, 8), seed=1)
    stem = b.conv("stem", "image", 8, pads=SAME, out=BYTE)
    block = b.conv("block", stem, 8, pads=SAME, residual=stem, out=BYTE)
    half = b.conv("half", block, 8, 1, stride=(2, 2), out=BYTE)
    b.linear("fc", b.flatten("flat", half), 10, out=RESULT)
    schedule = make_schedule(b.build("fc"), ENGINE, 128)
    movers = [text(step) for step in schedule.steps if isinstance(step, Load | Fill | Spill)]
    assert movers == [
        "load    image: 3x8x8 of 4 bytes a pixel, one every 256 bytes -> bank 0..64 by 1, ahead from ",
        "spill   stem: bank 64..128 by 2 -> maps 0, 4 rows to 0",
        "spill   stem: bank 64..128 by 2 -> maps 0, 4 rows to 4",
        "fill    stem: maps 0, 4 rows from 0 -> bank 0..64 by 2",
        "spill   block: bank 80..128 by 2 -> maps 1024, 3 rows to 0",
        "fill    stem: maps 0, 5 rows from 2 -> bank 0..80 by 2",
        "spill   block: bank 80..128 by 2 -> maps 1024, 3 rows to 3",
        "fill    stem: maps 0, 3 rows from 5 -> bank 0..48 by 2",
        "spill   block: bank 80..112 by 2 -> maps 1024, 2 rows to 6",
        "fill    block: maps 1024, 3 rows from 0 -> bank 32..80 by 2",
        "fill    block: maps 1024, 3 rows from 4 -> bank 32..80 by 2",
    ]
    row = 8 * 2 * ENGINE.sub_row  # bytes
    assert schedule.map_bytes == 2 * 8 * row * ENGINE.lanes_p
    assert schedule.moved_bytes == 8 * 8 * 4 + (8 + 12 + 8 + 6) * row
