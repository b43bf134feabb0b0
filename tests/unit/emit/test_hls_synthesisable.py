"""Each rule of the check finds its bad case, and the emitted sources break no rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.emit.test_hls_engine import CONFIGURATIONS
from toolflow.emit.cxx import active_lines
from toolflow.emit.hls import emit_hls
from toolflow.emit.synthesisable import check_synthesisable, require_synthesisable
from toolflow.ir.errors import ToolflowError, VerificationError

GOOD = """\
#include <stdint.h>
#include "ap_int.h"
#include "hls_stream.h"

constexpr int words = 8;
struct Config {
  static constexpr int width = 600;
};

template <class C>
inline ap_uint<8> byte_of(const ap_uint<C::width>& wide, int place) {
  const int low = place * 8;
  return ap_uint<8>(wide.range(low + 7, low));
}

void produce(const unsigned int* in, unsigned int count, hls::stream<unsigned int>& out) {
  for (unsigned int n = 0; n < count; ++n) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=64
#pragma HLS PIPELINE II=1
    out.write(in[n]);
  }
}

void consume(hls::stream<unsigned int>& in, unsigned int count, unsigned int* out) {
  ap_uint<Config::width> wide = 0;
  unsigned int sum = 0;
  for (unsigned int n = 0; n < count; ++n) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=64
    sum += in.read();
  }
  for (int n = 0; n < words; n += 1) {
#pragma HLS UNROLL
    sum += byte_of<Config>(wide, n);
  }
  *out = sum;
}

void region(const unsigned int* in, unsigned int count, unsigned int* out) {
#pragma HLS DATAFLOW
  hls::stream<unsigned int> values;
#pragma HLS STREAM variable=values depth=4
  produce(in, count, values);
  consume(values, count, out);
}

extern "C" void cascade_low(const unsigned int* in, unsigned int count, unsigned int* out) {
#pragma HLS INTERFACE m_axi port=in bundle=gmem0
#pragma HLS INTERFACE s_axilite port=in
#pragma HLS INTERFACE s_axilite port=count
#pragma HLS INTERFACE s_axilite port=out
#pragma HLS INTERFACE s_axilite port=return
#ifndef __SYNTHESIS__
#pragma GCC diagnostic push
#endif
  region(in, count, out);
}
"""

# (what to replace, by what, rule, part of the message)
BAD = [
    # the portable subset
    ("sum += in.read();", "if (!in.empty()) sum += in.read();", "subset", "no member named 'empty'"),
    ("sum += in.read();", "unsigned int v = 0; in >> v; sum += v;", "subset", "invalid operands"),
    ("out.write(in[n]);", "out << in[n];", "subset", "invalid operands"),
    ("> values;", '> values("values");', "subset", "no matching constructor"),
    ("stream<unsigned int> values;", "stream<unsigned int, 4> values;", "subset", "too many template arguments"),
    ("  *out = sum;", "  std::vector<int> v;\n  *out = sum;", "subset", "undeclared identifier 'std'"),
    ("  *out = sum;", "  assert(sum != 3);\n  *out = sum;", "subset", "undeclared identifier 'assert'"),
    ("  *out = sum;", '  printf("%u", sum);\n  *out = sum;', "subset", "undeclared identifier 'printf'"),
    ("  *out = sum;", "  int* p = (int*)malloc(4);\n  *out = *p;", "subset", "undeclared identifier 'malloc'"),
    ("ap_uint<8>(wide.range(low + 7, low))", "wide.range(low + 7, low)", "subset", "no viable conversion"),
    # headers
    ("#include <stdint.h>", "#include <vector>", "include", "not vector"),
    ("#include <stdint.h>", '#include "hls_math.h"', "include", "not hls_math.h"),
    ("#include <stdint.h>", "#include <ap_axi_sdata.h>", "include", "not ap_axi_sdata.h"),
    # language
    ("  *out = sum;", "  int* p = new int(3);\n  *out = *p;", "heap", "`new`"),
    ("  *out = sum;", "  delete out;", "heap", "`delete`"),
    ("  *out = sum;", "  auto f = [&] { *out = sum; };\n  f();", "lambda", "not be a lambda"),
    ("  *out = sum;", "  if (sum == 1) throw 3;\n  *out = sum;", "exception", "exception"),
    ("struct Config {", "struct Config {\n  virtual int f() { return 1; }", "virtual", "not be virtual: f"),
    ("void produce(", "int f(int n) { return n < 2 ? 1 : f(n - 1); }\nvoid produce(", "recursion", "f"),
    (
        "void produce(",
        "template <int N> int g(int n);\nint f(int n) { return g<2>(n); }\n"
        "template <int N> int g(int n) { return n ? f(n - 1) : N; }\nvoid produce(",
        "recursion",
        "must not call itself",
    ),
    # loops
    ("  *out = sum;", "  while (sum > 3) sum -= 2;\n  *out = sum;", "loop", "`while`"),
    ("  *out = sum;", "  do { sum -= 2; } while (sum > 3);\n  *out = sum;", "loop", "`do`"),
    ("  *out = sum;", "  int a[2] = {1, 2};\n  for (int x : a) sum += x;\n  *out = sum;", "loop", "range-based"),
    ("  *out = sum;", "again:\n  if (sum > 9) goto again;\n  *out = sum;", "loop", "`goto`"),
    ("#pragma HLS LOOP_TRIPCOUNT min=1 max=64\n    sum", "    sum", "loop", "LOOP_TRIPCOUNT"),
    ("for (int n = 0; n < words; n += 1) {", "for (int n = 0; n < words; n += sum) {", "loop", "by a constant"),
    ("for (int n = 0; n < words; n += 1) {", "for (int n = 0; n * 2 < words; n += 1) {", "loop", "compare the counter"),
    ("for (int n = 0; n < words;", "int n;\n  for (n = 0, sum = 1; n < words;", "loop", "setting one counter"),
    ("    sum += in.read();", "    sum += in.read();\n    n += sum;", "loop", "must not change its counter"),
    ("    sum += in.read();", "    sum += in.read();\n    --count;", "loop", "or its bound: count"),
    # pragmas
    ("#pragma HLS UNROLL", "#pragma HLS UNROL", "pragma", "not 'HLS UNROL'"),
    ("#pragma HLS UNROLL", "#pragma unroll", "pragma", "not 'unroll'"),
    ("#pragma HLS PIPELINE II=1", "#pragma HLS PIPELINE II=1 rewind", "pragma", "not 'rewind'"),
    ("#pragma HLS UNROLL", "#pragma HLS BIND_STORAGE variable=wild type=RAM_S2P", "pragma", "not 'wild'"),
    ("port=in bundle=gmem0", "port=inn bundle=gmem0", "pragma", "not 'inn'"),
    ("constexpr int words = 8;", "#pragma HLS INLINE\nconstexpr int words = 8;", "pragma", "must be inside a function"),
    ("#ifndef __SYNTHESIS__\n#pragma GCC", "#ifdef __SYNTHESIS__\n#pragma GCC", "pragma", "not 'GCC diagnostic push'"),
    # arrays
    ("  *out = sum;", "  unsigned int a[2];\n  a[count & 1] = 1;\n  *out = a[0];", "array", "AGGREGATE): a"),
    (
        "  *out = sum;",
        "  struct Pair { unsigned int both[2]; } pair;\n  pair.both[count & 1] = 1;\n  *out = pair.both[0];",
        "array",
        "pair.both",
    ),
    # bits of wide integers
    ("#pragma HLS UNROLL\n", "", "bits", "not depend on n"),
    ("byte_of<Config>(wide, n)", "byte_of<Config>(wide, sum)", "bits", "not depend on sum"),
    ("const int low = place * 8;", "int low = place * 8;", "bits", "not depend on low"),
    # dataflow
    ("#pragma HLS STREAM variable=values depth=4\n", "", "dataflow", "must have a STREAM depth: values"),
    ("  consume(values, count, out);", 2 * "  consume(values, count, out);\n", "dataflow", "3 users"),
    ("  consume(values, count, out);", "  if (count) consume(values, count, out);", "dataflow", "calls only"),
    # the top function
    ('extern "C" void cascade_low', "void cascade_low", "top", 'must be extern "C"'),
    ("void cascade_low", "void cascade_high", "top", "one function cascade_low, not 0"),
    ("#pragma HLS INTERFACE s_axilite port=count\n", "", "top", "'count' has none"),
]  # fmt: skip


def test_the_good_case_breaks_no_rule(tmp_path: Path) -> None:
    (tmp_path / "cascade_low.cpp").write_text(GOOD)
    assert check_synthesisable(tmp_path, "low") == []


@pytest.mark.parametrize(("old", "new", "rule", "message"), BAD)
def test_bad_cases(old: str, new: str, rule: str, message: str, tmp_path: Path) -> None:
    assert GOOD.count(old) >= 1
    (tmp_path / "cascade_low.cpp").write_text(GOOD.replace(old, new, 1))
    found = check_synthesisable(tmp_path, "low")
    assert any(finding.rule == rule and message in finding.text for finding in found), found


@pytest.mark.parametrize("name", ["default", "wide", "tiles", "small_tiles"])
def test_emitted_sources_break_no_rule(name: str, tmp_path: Path) -> None:
    emit_hls(CONFIGURATIONS[name], "low", tmp_path)
    require_synthesisable(tmp_path, "low")


def test_a_fault_in_the_library_is_named_with_its_place(tmp_path: Path) -> None:
    emit_hls(CONFIGURATIONS["default"], "low", tmp_path)
    header = tmp_path / "lib" / "store.hpp"
    text = header.read_text(encoding="utf-8")
    header.write_text(text.replace("beats.read();", "beats.empty() ? 0 : beats.read();"), encoding="utf-8")
    line = 1 + text[: text.index("beats.read();")].count("\n")
    with pytest.raises(VerificationError, match=rf"lib/store\.hpp:{line}: .*no member named 'empty'.* \[subset\]"):
        require_synthesisable(tmp_path, "low")


def test_a_missing_unit(tmp_path: Path) -> None:
    with pytest.raises(ToolflowError, match=r"cascade_low\.cpp' must be a readable file"):
        check_synthesisable(tmp_path, "low")


def test_active_lines() -> None:
    text = "a\n#ifdef __SYNTHESIS__\nb\n#else\nc\n#endif\n#ifndef __SYNTHESIS__\nd\n#else\ne\n#endif\n"
    text += "#if defined(X) && !defined(__SYNTHESIS__)\nf\n#endif\n#if defined(__SYNTHESIS__) || Y\ng\n#endif\n"
    text += "#if X\nh\n#else\ni\n#endif\n"
    assert [line for _, line in active_lines(text)] == list("abeghi")
