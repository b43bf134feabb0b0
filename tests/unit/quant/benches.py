"""A workbench for recipes on few random images."""

from __future__ import annotations

import numpy as np

from quant.mechanisms.cost import Pricing
from quant.mechanisms.judge import Judge
from quant.mechanisms.search.executor import InProcess
from quant.mechanisms.search.store import Store
from quant.recipes.workbench import Workbench
from quant.training.images import TrainingImages
from tests.unit.quant.quantise_networks import NORMALISATION, images
from toolflow.ir.graph import Graph
from toolflow.plan.boards.board import load_board


def bench_of(graph: Graph, budget: float | None = None) -> Workbench:
    """Return a workbench with eight images of class 0 on a small board."""
    classes = np.zeros(8, dtype=np.int64)
    data = TrainingImages(images(8), classes, NORMALISATION)
    judge = Judge.of(graph, data.images, classes, NORMALISATION, data.images)
    pricing = Pricing.of(graph, load_board("ulx3s-85f"))
    return Workbench(graph, data, judge, pricing, InProcess(judge.accuracy), Store(None), budget)
