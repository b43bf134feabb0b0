"""The level `brevitas`: Brevitas' float64 inference of the stored network judges the reference, tensor by tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtl_sim.level import Level, Subject, Verdict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Brevitas(Level):
    """Brevitas' inference."""

    name, rank = "brevitas", 10
    reads_binaries = False
    packages = ("brevitas", "torch")

    def check(self, subject: Subject) -> Verdict:
        """Compare every tensor.

        With free scales a tie is no tie in float64: one step of difference is allowed where the tensors part, what
        follows from it in later ones, and no other class.
        """
        import numpy as np

        from quant.exchange.brevitas_level import brevitas_tensors
        from toolflow.interpreter.run import run

        graph, images = subject.unit.graph, subject.images
        names = list(graph.shapes)
        expected, found = run(graph, images, names), brevitas_tensors(graph, images)
        differing = {name: int((expected[name] != found[name]).sum()) for name in names}
        wrong = sum(differing.values())
        if not wrong:
            return Verdict(True, images=len(images))
        first = next(name for name in names if differing[name])
        elements = sum(values.size for values in expected.values())
        counted = f"{wrong:,} of {elements:,} integers differ, the first in '{first}'"
        if graph.family == "fixed-point":
            return Verdict(False, counted, len(images))
        steps = int(np.abs(expected[first] - found[first]).max())
        if steps > 1:
            return Verdict(False, f"{counted}, there by {steps} steps", len(images))
        classes = [_classes(tensors[graph.output]) for tensors in (expected, found)]
        changed = int((classes[0] != classes[1]).sum())
        if changed:
            return Verdict(False, f"{counted}; {changed} of {len(images)} classes change", len(images))
        detail = f"in every class; {wrong:,} of {elements:,} integers differ, as ties of free scales may"
        return Verdict(True, detail, len(images))


def _classes(logits: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    classes: npt.NDArray[np.intp] = logits.reshape(len(logits), -1).argmax(axis=1)
    return classes


LEVEL = Brevitas()
