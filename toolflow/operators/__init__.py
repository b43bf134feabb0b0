"""The operators: one folder each. The names here only shorten imports; `folders` finds an operator by its folder."""

from toolflow.ir.activation import Activation
from toolflow.operators.add.spec import Add
from toolflow.operators.avg_pool.spec import AvgPool
from toolflow.operators.batch_norm.spec import BatchNorm
from toolflow.operators.concat.spec import Concat
from toolflow.operators.conv.spec import Conv
from toolflow.operators.flatten.spec import Flatten
from toolflow.operators.linear.spec import Linear
from toolflow.operators.max_pool.spec import MaxPool
from toolflow.operators.pad.spec import Pad
from toolflow.operators.relu.spec import Relu
from toolflow.operators.segments.spec import Segments
from toolflow.operators.shortcut.spec import Shortcut
from toolflow.operators.winograd.spec import WinogradConv

Layer = Conv | Linear | WinogradConv  # the operators that hold weights once batch norm is folded

__all__ = [
    "Activation",
    "Add",
    "AvgPool",
    "BatchNorm",
    "Concat",
    "Conv",
    "Flatten",
    "Layer",
    "Linear",
    "MaxPool",
    "Pad",
    "Relu",
    "Segments",
    "Shortcut",
    "WinogradConv",
]
