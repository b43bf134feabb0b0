"""The ONNX operators that are left out behind the scores: they keep the order of the classes, or name the class."""

from __future__ import annotations

from toolflow.importers import vocabulary
from toolflow.importers.builder import Value
from toolflow.importers.onnx.call import Call


def softmax(call: Call) -> Value | None:
    """Leave a softmax out at the output: it keeps the order of the classes."""
    x, axis = call.value(0), call.attribute("axis", -1 if call.opset >= 13 else 1)
    return (
        None
        if x is None
        else vocabulary.left_out_at_end(call.build, call.place, vocabulary.SOFTMAX, x, axis, call.is_end)
    )


def sigmoid(call: Call) -> Value | None:
    """Leave a sigmoid of one logit out at the output."""
    x = call.value(0)
    return None if x is None else vocabulary.sigmoid_at_end(call.build, call.place, x, call.is_end)


def arg_max(call: Call) -> Value | None:
    """Leave ArgMax out at the output: the device returns the class, the first one of equal scores."""
    x, axis = call.value(0), call.attribute("axis", 0)
    call.flag("keepdims", 1)
    last = call.flag("select_last_index", 0)
    if last:
        call.problem("select_last_index", 1, "0: the device takes the first of equal scores")
        return None
    return (
        None
        if x is None
        else vocabulary.left_out_at_end(call.build, call.place, vocabulary.DECISION, x, axis, call.is_end)
    )


def top_k(call: Call) -> Value | None:
    """Leave TopK out at the output: the device returns the class and all scores."""
    x, axis, largest = call.value(0), call.attribute("axis", -1), call.flag("largest", 1)
    _ = call.attribute("k", None) if call.opset < 10 else call.constant(1)  # the first of the k values is the class
    call.flag("sorted", 1)
    if not largest:
        call.problem("largest", 0, "1")
        return None
    return (
        None
        if x is None
        else vocabulary.left_out_at_end(call.build, call.place, vocabulary.DECISION, x, axis, call.is_end)
    )
