"""A function of few linear segments in ONNX: a call of a function of the file, made of standard operators."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import FunctionProto, TensorProto, helper

from toolflow.ir.operator import Operator
from toolflow.operators.onnx_nodes import OnnxNode

DOMAIN, NAME = "cascade.toolflow", "Segments"
WEIGHTS = ("bounds", "slope", "intercept")


def onnx_nodes(op: Operator, name: str, inputs: Sequence[str]) -> Sequence[OnnxNode]:
    """Return the call."""
    weights = [f"{name}.{weight}" for weight in WEIGHTS]
    return [OnnxNode(NAME, [inputs[0], *weights], function=definition)]


def definition(opset: int) -> FunctionProto:
    """Return what is called: the segment of a value is the number of bounds below it."""
    nodes = [
        helper.make_node("Constant", [], ["last"], value_ints=[-1]),
        helper.make_node("Unsqueeze", ["x", "last"], ["wide"]),
        helper.make_node("Greater", ["wide", "bounds"], ["above"]),
        helper.make_node("Cast", ["above"], ["ones"], to=TensorProto.INT64),
        helper.make_node("ReduceSum", ["ones", "last"], ["place"], keepdims=0),
        helper.make_node("Gather", ["slope", "place"], ["factor"]),
        helper.make_node("Gather", ["intercept", "place"], ["shift"]),
        helper.make_node("Mul", ["factor", "x"], ["product"]),
        helper.make_node("Add", ["product", "shift"], ["y"]),
    ]
    imports = [helper.make_opsetid("", opset)]
    return helper.make_function(DOMAIN, NAME, ["x", *WEIGHTS], ["y"], nodes, imports)
