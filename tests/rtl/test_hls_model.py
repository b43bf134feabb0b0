"""The HLS model: dataflow regions become processes on bounded streams, and a wrong depth is a deadlock."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from rtl_sim.simulate.hls_model import MODEL, concurrent
from rtl_sim.simulate.job import RunOptions, SimulationError
from rtl_sim.simulate.runner import build_simulation
from tests.rtl.units import UNIT, fitted, make_run
from toolflow.emit.hls import emit_hls
from toolflow.ir.errors import NotRunError, ToolflowError

# Two streams meet again: `pairs` needs one item of each, `split` writes all of one before the other.
REGION = """
void split(int count, hls::stream<int>& first, hls::stream<int>& second) {
  for (int i = 0; i < count; ++i) first.write(i);
  for (int i = 0; i < count; ++i) second.write(10 * i);
}
void pairs(int count, hls::stream<int>& first, hls::stream<int>& second, long& sum) {
  for (int i = 0; i < count; ++i) sum += (i + 1) * (first.read() + second.read());
}
template <int Count>
void top(long& sum) {
#ifdef __SYNTHESIS__
#pragma HLS DATAFLOW
#endif
  typedef int Item;
  hls::stream<Item> first;   // the longer way; depth as below
  hls::stream<Item> second;
#ifdef __SYNTHESIS__
#pragma HLS STREAM variable=first depth=DEPTH
#endif
  split(Count, first, second);
  pairs(Count, first, second, sum);
}
"""
MAIN = """
int main() {
  long sum = 0;
  cascade_model::start([&] { top<20>(sum); });
  const cascade_model::State state = cascade_model::advance();
  const bool finished = state == cascade_model::State::Finished;
  std::printf("%s %ld\\n%s", finished ? "finished" : "stuck", sum, finished ? "" : cascade_model::report().c_str());
}
"""


def _run(folder: Path, depth: str) -> str:
    source = folder / "model.cpp"
    text = concurrent(REGION.replace("DEPTH", depth), "model.cpp")
    source.write_text(f'#include <cstdio>\n#include "hls_stream.h"\n{text}\n{MAIN}')
    program = folder / "model"
    flags = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{MODEL}"]
    subprocess.run(["g++", *flags, str(source), str(MODEL / "scheduler.cpp"), "-o", str(program)], check=True)
    return subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout


def test_streams_deep_enough(tmp_path: Path) -> None:
    expected = sum((i + 1) * 11 * i for i in range(20))
    assert _run(tmp_path, "Count - 1") == f"finished {expected}\n"


def test_a_stream_too_short_is_a_deadlock(tmp_path: Path) -> None:
    """One item less than the two ways differ by."""
    assert _run(tmp_path, "18") == (
        "stuck 0\n"
        "  process top waits for its processes\n"
        "  process split waits for room in first\n"
        "  process pairs waits for an item of second\n"
        "  stream first holds 18 of 18, full\n"
        "  stream second holds 0 of 2, empty\n"
    )


def test_text_outside_regions_is_kept() -> None:
    text = "int f(int a) { return a; }\n#pragma HLS PIPELINE\n"
    assert concurrent(text, "f.hpp") == text


def test_a_region_holds_calls_only() -> None:
    text = "void f() {\n#pragma HLS DATAFLOW\n  int count = 3;\n  g(count);\n}\n"
    with pytest.raises(ToolflowError, match=r"f\.hpp: a dataflow region must hold .* calls only, not 'int count = 3'"):
        concurrent(text, "f.hpp")


def test_a_depth_names_a_stream() -> None:
    text = "void f() {\n#pragma HLS DATAFLOW\n#pragma HLS STREAM variable=other depth=3\n  g();\n}\n"
    with pytest.raises(ToolflowError, match="STREAM pragmas must name a stream of their region, not other"):
        concurrent(text, "f.hpp")


def _damaged(folder: Path, file: str, before: str, after: str) -> None:
    """Emit a unit with one place of its library changed."""
    emit_hls(fitted("odd"), UNIT, folder)
    path = folder / "lib" / file
    text = path.read_text()
    assert text.count(before) == 1
    path.write_text(text.replace(before, after))


def test_a_deadlock_under_the_bench_names_the_streams(tmp_path: Path) -> None:
    """Without the process that cuts weights, the core waits for them and the fetcher for room."""
    config = fitted("odd")
    call = "  cut_weights<Config>(packets, weight_beats, parameters, rows);\n"
    _damaged(tmp_path / "sources", "engine.hpp", call, "")
    simulation = build_simulation(config, "hls", tmp_path / "build", tmp_path / "sources")
    run = make_run(config, "conv/9to20,3x3,pads=(1,1,1,1)", count=3, seed=0)
    with pytest.raises(SimulationError) as caught:
        simulation.run([run.job(RunOptions(watchdog_cycles=3_000))])
    text = str(caught.value)
    assert "process run_core waits for an item of rows" in text or "waits for an item of parameters" in text
    assert "process fetch_weights waits for room in weight_beats" in text
    assert "stream weight_beats holds 64 of 64, full" in text


def test_a_wrong_byte_of_the_cpp_is_seen(tmp_path: Path) -> None:
    """The comparison is of this C++: one changed operator in its requantisation changes the results."""
    config = fitted("odd")
    _damaged(tmp_path / "sources", "core.hpp", "i.opcode == op_max_pool) max_pool", "i.opcode == op_end) max_pool")
    simulation = build_simulation(config, "hls", tmp_path / "build", tmp_path / "sources")
    name = "max_pool/10ch,(3, 3),(2, 2),(1, 1, 1, 1),ceil=False,signed=True"
    run = make_run(config, name, count=3, seed=0)
    (outcome,) = simulation.run([run.job(RunOptions(watchdog_cycles=3_000))])
    assert not run.equals(outcome.results)


def test_sources_without_the_call(tmp_path: Path) -> None:
    config = fitted("odd")
    emit_hls(config, UNIT, tmp_path / "sources")
    top = tmp_path / "sources" / f"cascade_{UNIT}.cpp"
    top.write_text(top.read_text().replace("cascade::run<", "cascade::walk<"))
    with pytest.raises(ToolflowError, match=r"must call cascade::run<\.\.\.> in its top function"):
        build_simulation(config, "hls", tmp_path / "build", tmp_path / "sources")


def test_cpp_that_does_not_compile(tmp_path: Path) -> None:
    config = fitted("odd")
    _damaged(tmp_path / "sources", "core.hpp", "void run_core(", "void run_core(Unknown unknown, ")
    with pytest.raises(NotRunError, match=r"must compile (.|\n)*Unknown"):
        build_simulation(config, "hls", tmp_path / "build", tmp_path / "sources")
