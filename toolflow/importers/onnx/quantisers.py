"""The ONNX operators that round to a grid: QONNX (Quant, BipolarQuant, Trunc), and pairs of QuantizeLinear."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto

from toolflow.importers.builder import Value
from toolflow.importers.onnx.call import Call
from toolflow.importers.vocabulary import scale_shift
from toolflow.operators.fake_quant.spec import ROUNDINGS, FakeQuant

QONNX_DOMAINS = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")
MAX_BITS = 32

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stored:
    """Integers between QuantizeLinear and DequantizeLinear.

    Attributes:
        value: what was quantised.
        scale, zero: of the grid.
        lower, upper: of the integers, which a Clip narrows.
    """

    value: Value
    scale: float
    zero: int
    lower: int
    upper: int


def is_linear(node: NodeProto) -> bool:
    """Return whether a node quantises or dequantises in the way of the ONNX standard."""
    return node.domain in ("", "ai.onnx") and node.op_type in LINEAR


def is_qonnx(node: NodeProto) -> bool:
    """Return whether a node is one of QONNX that rounds to a grid."""
    return node.domain in QONNX_DOMAINS and node.op_type in QUANTISED


def _grid(call: Call, count: int) -> tuple[FloatArray, list[FloatArray]] | None:
    """Return the scale and the other constants of a quantiser; None, and a problem noted, if one is computed."""
    arrays = [call.weight(index) for index in range(1, count + 1)]
    if any(array is None for array in arrays):
        if not call.build.problems:
            call.problem("inputs", "scale, zero point or bits missing", "constants")
        return None
    known = [array for array in arrays if array is not None]
    if not (np.isfinite(known[0]).all() and (known[0] > 0).all()):
        call.problem("scale", _shown(known[0]), "positive and finite")
        return None
    return known[0], known[1:]


def _shown(array: FloatArray) -> str:
    return str(array.reshape(-1)[:3].tolist())


def _whole(call: Call, name: str, array: FloatArray) -> int | None:
    """Return one whole number, None after a problem."""
    if array.size != 1 or not np.isfinite(array).all() or float(array.reshape(())) % 1:
        call.problem(name, _shown(array), "one whole number")
        return None
    return int(array.reshape(()))


def _no_zero_point(call: Call, array: FloatArray) -> bool:
    if array.any():
        call.problem("zero point", _shown(array), "0", "the engine's integers are multiples of their scale: train with "
                     "symmetric quantisers")  # fmt: skip
        return False
    return True


def _bounds(call: Call, bits: int | None) -> tuple[int, int] | None:
    """Return the range of the integers from bits, signed and narrow."""
    signed, narrow = call.flag("signed", 1), call.flag("narrow", 0)
    if bits is None:
        return None
    if not 1 <= bits <= MAX_BITS:
        call.problem("bits", bits, f"1 to {MAX_BITS}")
        return None
    if signed:
        return -(1 << (bits - 1)) + narrow, (1 << (bits - 1)) - 1
    return 0, (1 << bits) - 1 - narrow


def _rounded(
    call: Call,
    scale: FloatArray,
    bounds: tuple[int, int],
    rounding: str,
    bipolar: bool = False,
    single: bool = False,
) -> Any:
    """Return a quantised constant, or the value behind a new node."""
    given = call.inputs.pop(0, None)
    if isinstance(given, Value):
        if scale.size != 1:
            call.problem("scale", f"of shape {scale.shape}", "one scale for a tensor that is computed from the image")
            return None
        op = FakeQuant(float(scale.reshape(())), *bounds, rounding, bipolar, single)
        if call.build.is_moved(given):
            made = call.build.emit(call.place, op, [call.build.made(given)])
            return None if made is None else replace(given, tensor=made.tensor)
        return call.build.emit(call.place, op, [given])
    if not isinstance(given, np.ndarray):
        call.problem("input 0", "absent", "a tensor")
        return None
    x = given.astype(np.float64)
    if bipolar:
        return np.where(x >= 0, scale, -scale)
    modes = {"ROUND": np.rint, "FLOOR": np.floor, "CEIL": np.ceil, "ROUND_TO_ZERO": np.trunc}
    return np.clip(modes[rounding](x / scale), *bounds) * scale


def _mode(call: Call, default: str) -> str | None:
    mode = call.attribute("rounding_mode", default)
    if mode not in ROUNDINGS:
        call.problem("rounding_mode", mode, ", ".join(ROUNDINGS))
        return None
    return str(mode)


def _quant(call: Call) -> Any:
    """clip(round(x / scale)) · scale."""
    found, mode = _grid(call, 3), _mode(call, "ROUND")
    if found is None or mode is None:
        return None
    scale, (zero, bits) = found
    bounds = _bounds(call, _whole(call, "bits", bits))
    if bounds is None or not _no_zero_point(call, zero):
        return None
    return _rounded(call, scale, bounds, mode)


def _bipolar(call: Call) -> Any:
    """Scale where x is 0 or more, else -scale."""
    found = _grid(call, 1)
    return None if found is None else _rounded(call, found[0], (-1, 1), "ROUND", bipolar=True)


def _trunc(call: Call) -> Any:
    """The upper bits of integers; version 2 has a scale for them, version 1 keeps that of all bits."""
    named = 5 in call.inputs
    found, mode = _grid(call, 5 if named else 4), _mode(call, "FLOOR")
    if found is None or mode is None:
        return None
    scale, rest = found
    zero, before, after = rest[0], _whole(call, "input bits", rest[1]), _whole(call, "output bits", rest[-1])
    if before is None or after is None or scale.size != 1 or not _no_zero_point(call, zero):
        return None
    own = float(scale.reshape(()))
    coarse = float(rest[2].reshape(())) if named else own * 2.0 ** (before - after)
    bounds = _bounds(call, after) if named else (-(1 << (MAX_BITS - 1)), (1 << (MAX_BITS - 1)) - 1)
    if bounds is None:
        return None
    call.flag("signed", 1), call.flag("narrow", 0)
    place = call.place
    call.place = replace(place, node=f"{place.node}.integers")
    first = _rounded(call, scale, (-(1 << (MAX_BITS - 1)), (1 << (MAX_BITS - 1)) - 1), "ROUND")
    if not isinstance(first, Value):
        call.problem("input 0", "constant", "a tensor that is computed from the image")
        return None
    call.inputs[0] = first
    call.place = place if named else replace(place, node=f"{place.node}.upper")
    second = _rounded(call, np.array(coarse), bounds, mode)
    if named or not isinstance(second, Value):
        return second
    return scale_shift(call.build, place, second, np.array(own / coarse))


def _linear_grid(call: Call) -> tuple[FloatArray, FloatArray, np.dtype[Any]] | None:
    """Return scale, zero point and type of the integers of a standard quantiser; the scales must be powers of two."""
    scale, zero = call.constant(1), call.constant(2)
    call.attribute("axis", 1)
    call.attribute("saturate", 1)
    if scale is None:
        call.problem("scale", "missing", "a constant")
        return None
    scale = scale.astype(np.float64)
    if not (np.isfinite(scale).all() and (scale > 0).all()) or (np.frexp(scale)[0] != 0.5).any():
        rewrite = "with others float32 decides ties; quantise with power-of-two scales, or give the float network"
        call.problem("scale", _shown(scale), "powers of two", rewrite)
        return None
    kind = np.dtype(np.uint8) if zero is None else zero.dtype
    return scale, np.zeros(1) if zero is None else zero.astype(np.float64), kind


def quantise_linear(call: Call) -> Any:
    """Return integers that DequantizeLinear takes; of a constant the rounded numbers."""
    found = _linear_grid(call)
    given = call.inputs.pop(0, None)
    if found is None:
        return None
    scale, zero, kind = found
    if not isinstance(given, Value) or kind not in (np.int8, np.uint8, np.int16, np.uint16):
        call.problem("input 0", "a constant" if kind.kind in "iu" else f"quantised to {kind}",
                     "a tensor computed from the image, and integers of 8 or 16 bits")  # fmt: skip
        return None
    if scale.size != 1 or zero.size != 1:
        call.problem("scale", f"of shape {scale.shape}", "one scale for a tensor that is computed from the image")
        return None
    bounds = np.iinfo(kind)
    return Stored(given, float(scale.reshape(())), int(zero.reshape(())), int(bounds.min), int(bounds.max))


def clip_stored(call: Call) -> Any:
    """Return integers with narrower bounds."""
    given: Any = call.inputs.pop(0)
    assert isinstance(given, Stored)
    lower, upper = call.number("min", 1, 11), call.number("max", 2, 11)
    return Stored(
        given.value,
        given.scale,
        given.zero,
        given.lower if lower is None else max(int(lower), given.lower),
        given.upper if upper is None else min(int(upper), given.upper),
    )


def dequantise_linear(call: Call) -> Any:
    """Return the real numbers of integers: of a constant in float64, else a node that rounds to the grid."""
    axis = call.attributes.get("axis", 1)
    found = _linear_grid(call)
    given = call.inputs.pop(0, None)
    if found is None:
        return None
    scale, zero, _ = found
    if isinstance(given, np.ndarray):
        shape = [1] * given.ndim
        if scale.size > 1 and given.ndim:
            shape[axis] = -1
        columns = (part.reshape(shape if part.size > 1 else [1] * given.ndim) for part in (scale, zero))
        factor, offset = columns
        return (given.astype(np.float64) - offset) * factor
    if not isinstance(given, Stored) or scale.size != 1:
        call.problem("input 0", "not quantised", "the result of QuantizeLinear, or constant integers")
        return None
    if (given.scale, float(given.zero)) != (float(scale.reshape(())), float(zero.reshape(-1)[0])):
        call.problem("scale or zero point", _shown(scale), "that of the QuantizeLinear before it")
        return None
    bounds = given.lower - given.zero, given.upper - given.zero
    call.inputs[0] = given.value
    return _rounded(call, scale, bounds, "ROUND", single=True)


LINEAR: Mapping[str, Callable[[Call], Any]] = {
    "DequantizeLinear": dequantise_linear,
    "QuantizeLinear": quantise_linear,
}
QUANTISED: Mapping[str, Callable[[Call], Any]] = {
    "BipolarQuant": _bipolar,
    "IntQuant": _quant,
    "Quant": _quant,
    "Trunc": _trunc,
}
