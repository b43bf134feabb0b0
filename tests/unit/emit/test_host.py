"""The emitted Python and C++ host code on a simulated board."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.conformance.casebook import RESULT, NetworkBuilder
from tests.unit.emit.host_device import Memory, Registers, fake_pynq
from toolflow.emit.host import HostUnit, buffer_bytes, emit_host
from toolflow.engine.config import EngineConfig
from toolflow.engine.executor import run_program
from toolflow.engine.registers import PAGE_BYTES, Register
from toolflow.ir.errors import ToolflowError
from toolflow.ir.quantised import QuantisedGraph
from toolflow.ir.unit import UnitName
from toolflow.numerics.confidence import ConfidenceRule
from toolflow.plan.boards.board import load_board
from toolflow.plan.lower.compiled import CompiledProgram, Results
from toolflow.plan.lower.lower import compile_program
from toolflow.plan.schedule.needs import fit_depths
from toolflow.plan.schedule.two_precisions import fit_both

STUBS = Path(__file__).resolve().parents[2] / "stubs"
CLASSES = 5
IMAGES = 23
BATCH = 8


def _compiled(bits: int, seed: int, rule: ConfidenceRule | None, shape: EngineConfig) -> CompiledProgram:
    graph = _graph(bits, seed)
    return compile_program(graph, fit_depths(graph, shape), rule)


def _expected(compiled: CompiledProgram, images: np.ndarray) -> Results:
    raw = run_program(compiled.config, compiled.program, compiled.weights, compiled.pack_images(images), len(images))
    return compiled.unpack_results(raw, len(images))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (IMAGES, 6, 5, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def units(images: np.ndarray) -> dict[str, CompiledProgram]:
    """A low and a high unit. The threshold is the median, so that half of the images are forwarded."""
    narrow = EngineConfig(lanes_k=4, lanes_p=4, weight_bits=4, activation_bits=4, bus_bits=64)
    wide = EngineConfig(lanes_k=8, lanes_p=2, bus_bits=256)
    trial = _expected(_compiled(4, 1, ConfidenceRule(30, 1, 2, 0), narrow), images)
    threshold = int(np.median(trial.numerator * 65536 // np.maximum(trial.total, 1)))
    low = _compiled(4, 1, ConfidenceRule(30, 1, 2, threshold), narrow)
    return {"low": low, "high": _compiled(8, 2, None, wide)}


def _graph(bits: int, seed: int) -> QuantisedGraph:
    builder = NetworkBuilder((3, 6, 5), bits, bits, 8, seed)
    hidden = builder.conv("conv", "image", 6, 3, stride=(2, 2), pads=(1, 1, 1, 1))
    return builder.build(builder.linear("fc", builder.flatten("flat", hidden), CLASSES, out=RESULT))


@pytest.fixture(scope="module")
def morphing(images: np.ndarray) -> dict[str, CompiledProgram]:
    """The same networks as two programs of one engine."""
    shape = EngineConfig(
        lanes_k=8, lanes_p=4, slots=2, narrow_bits=4, dsp_primitive="dsp48e2", pack_k=2, chain=2, gather=False
    )
    low, high = _graph(4, 1), _graph(8, 2)
    engine = fit_both(high, low, shape)
    narrow, wide = engine.of(narrow=True), engine.of(narrow=False)
    trial = _expected(compile_program(low, narrow, ConfidenceRule(30, 1, 2, 0)), images)
    rule = ConfidenceRule(30, 1, 2, int(np.median(trial.numerator * 65536 // np.maximum(trial.total, 1))))
    return {"low": compile_program(low, narrow, rule), "high": compile_program(high, wide)}


def _engine_name(compiled: CompiledProgram) -> UnitName | None:
    return UnitName.SINGLE if compiled.config.built.narrow_bits else None


def _emit(folder: Path, units: dict[str, CompiledProgram]) -> Path:
    described = {}
    for name, compiled in units.items():
        (folder / "weights").mkdir(exist_ok=True)
        (folder / "weights" / f"{name}.program.bin").write_bytes(compiled.program)
        (folder / "weights" / f"{name}.weights.bin").write_bytes(compiled.weights)
        binaries = f"weights/{name}.program.bin", f"weights/{name}.weights.bin"
        described[name] = HostUnit(compiled, *binaries, BATCH, _engine_name(compiled))
    emit_host(load_board("zcu104"), described, folder)
    return folder


def _driver(folder: Path, monkeypatch: pytest.MonkeyPatch, pynq: ModuleType) -> ModuleType:
    monkeypatch.setitem(sys.modules, "pynq", pynq)
    spec = importlib.util.spec_from_file_location("cascade_pynq", folder / "host" / "cascade_pynq.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _board(
    folder: Path, monkeypatch: pytest.MonkeyPatch, units: dict[str, CompiledProgram]
) -> tuple[ModuleType, dict[str, Registers]]:
    pynq = ModuleType("pynq")
    names, engines = fake_pynq({_engine_name(each) or name: each.config.built for name, each in units.items()})
    vars(pynq).update(names)
    return _driver(_emit(folder, units), monkeypatch, pynq), engines


def _merged(units: dict[str, CompiledProgram], images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return class, logits and origin by the plain rule: the high unit where the low one is not confident."""
    low, high = _expected(units["low"], images), _expected(units["high"], images)
    sure = low.confident
    assert 0 < sure.sum() < IMAGES, "the example must use both units"
    return np.where(sure, low.klass, high.klass), np.where(sure[:, None], low.logits, high.logits), ~sure


@pytest.mark.parametrize("batch", [1, 4, 64, None])
def test_the_python_driver_merges_both_units(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    units: dict[str, CompiledProgram],
    images: np.ndarray,
    batch: int | None,
) -> None:
    """Without a batch, a start takes as many images as the engine was planned for."""
    module, engines = _board(tmp_path, monkeypatch, units)
    overlay = module.CascadeOverlay("cascade.bit", batch=batch, rtl=True)
    answer = overlay.classify(images)
    klass, logits, by_high = _merged(units, images)
    np.testing.assert_array_equal(answer.klass, klass)
    np.testing.assert_array_equal(answer.logits, logits)
    np.testing.assert_array_equal(answer.by_high, by_high)
    assert max(engines["low"].counts) == min(batch or BATCH, IMAGES)
    assert sum(engines["high"].counts) == by_high.sum()


@pytest.mark.parametrize("batch", [1, 4, 5, 64])
def test_the_python_driver_runs_both_programs_of_an_engine_in_turn(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    morphing: dict[str, CompiledProgram],
    images: np.ndarray,
    batch: int,
) -> None:
    """The simulated engine refuses a start while it runs."""
    module, engines = _board(tmp_path, monkeypatch, morphing)
    answer = module.CascadeOverlay("cascade.bit", batch=batch, rtl=True).classify(images)
    klass, logits, by_high = _merged(morphing, images)
    np.testing.assert_array_equal(answer.klass, klass)
    np.testing.assert_array_equal(answer.logits, logits)
    np.testing.assert_array_equal(answer.by_high, by_high)
    _check_starts(engines["single"], by_high, batch)


def _check_starts(engine: Registers, by_high: np.ndarray, batch: int) -> None:
    """Both programs run on the one engine; the high one fills its starts, but the last."""
    low = [min(batch, IMAGES - begin) for begin in range(0, IMAGES, batch)]
    forwarded = int(by_high.sum())
    high = [min(batch, forwarded - begin) for begin in range(0, forwarded, batch)]
    assert sorted(engine.counts) == sorted(low + high)


def test_records_hold_both_sides_of_the_confidence_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, units: dict[str, CompiledProgram], images: np.ndarray
) -> None:
    module, _ = _board(tmp_path, monkeypatch, units)
    records = module.CascadeOverlay("cascade.bit").cascade.first.run(images)
    expected = _expected(units["low"], images)
    for name in ("klass", "confident", "numerator", "total", "logits"):
        np.testing.assert_array_equal(getattr(records, name), getattr(expected, name))


def test_a_single_unit_answers_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, units: dict[str, CompiledProgram], images: np.ndarray
) -> None:
    module, _ = _board(tmp_path, monkeypatch, {"single": units["high"]})
    answer = module.CascadeOverlay("cascade.bit", batch=7).classify(images)
    np.testing.assert_array_equal(answer.logits, _expected(units["high"], images).logits)
    assert not answer.by_high.any()


def test_mistakes_on_the_board_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, units: dict[str, CompiledProgram], images: np.ndarray
) -> None:
    single = {"single": units["high"]}
    module, engines = _board(tmp_path, monkeypatch, single)
    with pytest.raises(ValueError, match=r"uint8 \(N, 6, 5, 3\), not uint8 \(23, 3, 5\)"):
        module.CascadeOverlay("cascade.bit", batch=64).classify(images[:, :3, :, 0])
    with pytest.raises(ValueError, match="at least one image"):
        module.CascadeOverlay("cascade.bit").classify(images[:0])

    engines["single"].values[Register.SIGNATURE] ^= 1
    with pytest.raises(module.EngineError, match="the bitstream's engine must be"):
        module.CascadeOverlay("cascade.bit", rtl=True)

    program = tmp_path / "weights" / "single.program.bin"
    program.write_bytes(program.read_bytes()[:70] + b"\xff" + program.read_bytes()[71:])
    with pytest.raises(module.EngineError, match="error 3: the program's CRC is wrong"):
        module.CascadeOverlay("cascade.bit").classify(images)

    engines["single"].polls = 1 << 40
    unit = module.CascadeOverlay("cascade.bit").cascade.first
    unit.start(images[:2])
    with pytest.raises(module.EngineError, match="did not finish 2 images"):
        unit.finish(timeout_s=0.01)


def test_without_pynq_the_overlay_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, units: dict[str, CompiledProgram]
) -> None:
    module = _driver(_emit(tmp_path, units), monkeypatch, ModuleType("pynq"))
    with pytest.raises(RuntimeError, match="pynq must be installed"):
        module.CascadeOverlay("cascade.bit")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, units: dict[str, CompiledProgram]) -> tuple[Path, ctypes.CDLL]:
    folder, code = _compiled_driver(tmp_path_factory.mktemp("cpp"), units)
    subprocess.run(["g++", *_flags(folder), "-o", folder / "classify", folder / "host" / "classify.cpp"], check=True)
    return folder, code


@pytest.fixture(scope="module")
def morphing_library(
    tmp_path_factory: pytest.TempPathFactory, morphing: dict[str, CompiledProgram]
) -> tuple[Path, ctypes.CDLL]:
    return _compiled_driver(tmp_path_factory.mktemp("cpp"), morphing)


def _flags(folder: Path) -> list[str]:
    return ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", str(folder / "host")]


def _compiled_driver(folder: Path, units: dict[str, CompiledProgram]) -> tuple[Path, ctypes.CDLL]:
    """Each library has the units of its own design, although all are loaded by one process."""
    shared = _emit(folder, units) / "host.so"
    own = ["-shared", "-fPIC", "-fno-gnu-unique"]
    subprocess.run(["g++", *_flags(folder), *own, "-o", shared, STUBS / "host_shim.cpp"], check=True)
    return folder, ctypes.CDLL(str(shared))


def _classify_in_cpp(
    library: tuple[Path, ctypes.CDLL], engines: list[Registers], memory: Memory, images: np.ndarray, batch: int
) -> tuple[int, np.ndarray, str]:
    folder, code = library
    uint32, uint64 = ctypes.c_uint32, ctypes.c_uint64

    def allocate(size: int, address: ctypes._Pointer[ctypes.c_uint64]) -> int:
        buffer = memory.allocate(size)
        address[0] = buffer.physical_address
        return buffer.ctypes.data

    def sync(address: int, to_device: int) -> None:
        buffer = memory.buffers[address]
        (buffer.flush if to_device else buffer.invalidate)()

    callbacks = (
        ctypes.CFUNCTYPE(uint32, ctypes.c_int, uint32)(lambda unit, offset: engines[unit].read(offset)),
        ctypes.CFUNCTYPE(None, ctypes.c_int, uint32, uint32)(lambda unit, *args: engines[unit].write(*args)),
        ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t, ctypes.POINTER(uint64))(allocate),
        ctypes.CFUNCTYPE(None, uint64, ctypes.c_int)(sync),
    )
    out = np.zeros((len(images), 2 + CLASSES), dtype=np.int32)
    error = ctypes.create_string_buffer(200)
    status = code.host_classify(
        str(folder).encode(),
        np.ascontiguousarray(images).ctypes.data_as(ctypes.c_void_p),
        ctypes.c_size_t(len(images)),
        ctypes.c_size_t(batch),
        1,
        *callbacks,
        out.ctypes.data_as(ctypes.c_void_p),
        error,
        ctypes.c_size_t(len(error)),
    )
    return status, out, error.value.decode()


@pytest.mark.parametrize("batch", [1, 4, 64])
def test_the_cpp_driver_merges_both_units(
    library: tuple[Path, ctypes.CDLL], units: dict[str, CompiledProgram], images: np.ndarray, batch: int
) -> None:
    memory = Memory()
    engines = [Registers(compiled.config, memory) for compiled in units.values()]
    status, out, error = _classify_in_cpp(library, engines, memory, images, batch)
    assert (status, error) == (0, "")
    klass, logits, by_high = _merged(units, images)
    np.testing.assert_array_equal(out[:, 0], klass)
    np.testing.assert_array_equal(out[:, 1], by_high)
    np.testing.assert_array_equal(out[:, 2:], logits)


@pytest.mark.parametrize("batch", [1, 4, 5, 64])
def test_the_cpp_driver_runs_both_programs_of_an_engine_in_turn(
    morphing_library: tuple[Path, ctypes.CDLL], morphing: dict[str, CompiledProgram], images: np.ndarray, batch: int
) -> None:
    memory = Memory()
    engine = Registers(morphing["low"].config.built, memory)
    status, out, error = _classify_in_cpp(morphing_library, [engine], memory, images, batch)
    assert (status, error) == (0, "")
    klass, logits, by_high = _merged(morphing, images)
    np.testing.assert_array_equal(out[:, 0], klass)
    np.testing.assert_array_equal(out[:, 1], by_high)
    np.testing.assert_array_equal(out[:, 2:], logits)
    _check_starts(engine, by_high, batch)


def test_the_memory_that_the_drivers_need_is_known(
    library: tuple[Path, ctypes.CDLL], units: dict[str, CompiledProgram], images: np.ndarray
) -> None:
    memory = Memory()
    engines = [Registers(compiled.config, memory) for compiled in units.values()]
    assert _classify_in_cpp(library, engines, memory, images, BATCH)[0] == 0
    allocated = sum(-(-len(buffer) // PAGE_BYTES) * PAGE_BYTES for buffer in memory.buffers.values())
    assert buffer_bytes(HostUnit(compiled, "", "", BATCH) for compiled in units.values()) == allocated
    assert (library[0] / "host" / "PROGRAM.md").read_text().startswith("# The engine's program")


def test_the_cpp_driver_names_another_engine(
    library: tuple[Path, ctypes.CDLL], units: dict[str, CompiledProgram], images: np.ndarray
) -> None:
    memory = Memory()
    engines = [Registers(compiled.config, memory) for compiled in units.values()]
    engines[1].values[Register.SIGNATURE + 4] ^= 1
    status, _, error = _classify_in_cpp(library, engines, memory, images, 4)
    assert status == 1
    assert "another engine" in error


def test_the_cpp_program_says_what_is_missing(library: tuple[Path, ctypes.CDLL]) -> None:
    folder, _ = library
    program = folder / "classify"
    assert "usage:" in subprocess.run([program], capture_output=True, text=True, check=False).stderr
    done = subprocess.run([program, folder, "images.bin"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "load the u-dma-buf module" in done.stderr


def test_design_json_says_where_everything_is(tmp_path: Path, units: dict[str, CompiledProgram]) -> None:
    design = json.loads((_emit(tmp_path, units) / "host" / "design.json").read_text())
    assert list(design["units"]) == ["low", "high"]
    low = design["units"]["low"]
    assert low["control_base"] == 0xA000_0000
    assert low["image"] == {"height": 6, "width": 5, "channels": 3, "pixel_bytes": 4, "pitch": 120}
    assert low["result"] == {"classes": 5, "header_bytes": 16, "pitch": 32}
    assert design["units"]["high"]["result"]["header_bytes"] == 32


def test_a_board_without_linux_gets_the_driver_alone(tmp_path: Path, units: dict[str, CompiledProgram]) -> None:
    described = {
        name: HostUnit(compiled, f"{name}.program.bin", f"{name}.weights.bin", BATCH)
        for name, compiled in units.items()
    }
    files = emit_host(load_board("ulx3s-85f"), described, tmp_path)
    assert {path.name for path in files} == {"PROGRAM.md", "cascade_driver.hpp", "design.hpp", "design.json"}
    assert {path.name for path in (tmp_path / "host").iterdir()} == {path.name for path in files}
    source = tmp_path / "use.cpp"
    source.write_text('#include "design.hpp"\nint main() { return cascade::design::units.size() == 2 ? 0 : 1; }\n')
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-I", str(tmp_path / "host")]
    subprocess.run(["g++", *flags, "-o", tmp_path / "use", source], check=True)
    subprocess.run([tmp_path / "use"], check=True)


def test_units_must_be_one_or_a_pair(tmp_path: Path, units: dict[str, CompiledProgram]) -> None:
    described = {name: HostUnit(units["low"], "a", "b", BATCH) for name in ("high", "low")}
    with pytest.raises(ToolflowError, match="low and high in this order, not high, low"):
        emit_host(load_board("zcu104"), described, tmp_path)
