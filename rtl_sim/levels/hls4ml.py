"""The level `hls4ml`: hls4ml's emulation of the stored network judges the reference, if it can hold the network."""

from __future__ import annotations

from rtl_sim.level import Level, Subject, Verdict
from toolflow.ir.errors import ToolflowError


class Hls4ml(Level):
    """hls4ml's g++ emulation."""

    name, rank = "hls4ml", 20
    reads_binaries = False
    tools = ("g++",)
    packages = ("hls4ml", "qonnx")

    def check(self, subject: Subject) -> Verdict:
        """Compare the logits."""
        import numpy as np

        from quant.exchange.hls4ml_level import hls4ml_logits
        from toolflow.interpreter.run import run

        graph, images = subject.unit.graph, subject.images
        try:
            found = hls4ml_logits(graph, images, subject.work / f"hls4ml_{subject.unit.name}")
        except ToolflowError as error:
            return Verdict(None, str(error), len(images))
        expected = run(graph, images)[graph.output].reshape(found.shape)
        places = np.argwhere(found != expected)
        if not len(places):
            return Verdict(True, images=len(images))
        image, logit = (int(index) for index in places[0])
        detail = f"logit {logit} of image {image}: expected {expected[image, logit]}, got {found[image, logit]}"
        return Verdict(False, detail, len(images))


LEVEL = Hls4ml()
