"""The ONNX operators that round to a grid: QONNX (Quant, BipolarQuant, Trunc)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
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


def _rounded(call: Call, scale: FloatArray, bounds: tuple[int, int], rounding: str, bipolar: bool = False) -> Any:
    """Return a quantised constant, or the value behind a new node."""
    given = call.inputs.pop(0, None)
    if isinstance(given, Value):
        if scale.size != 1:
            call.problem("scale", f"of shape {scale.shape}", "one scale for a tensor that is computed from the image")
            return None
        op = FakeQuant(float(scale.reshape(())), *bounds, rounding, bipolar)
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


QUANTISED: Mapping[str, Callable[[Call], Any]] = {
    "BipolarQuant": _bipolar,
    "IntQuant": _quant,
    "Quant": _quant,
    "Trunc": _trunc,
}
