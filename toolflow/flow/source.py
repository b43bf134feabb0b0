"""Where a model and its images come from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from quant.sparsity.steps import PruneStep
from toolflow.flow.events import Events
from toolflow.flow.values import as_model, as_number, as_path, as_path_or_none, as_shape, numbers_per_channel
from toolflow.importers.images.calibration_file import CalibrationImages, image_shape, load_calibration_file
from toolflow.ir.errors import ToolflowError, UnknownShapeError
from toolflow.ir.graph import Graph
from toolflow.ir.operator import Shape
from toolflow.ir.unit import VariantName
from toolflow.numerics.srbs import Pattern


@dataclass(frozen=True)
class Source:
    """Where a model and its images come from.

    A source imports its model once. Python imports a module of "package.module:factory" once in a process: reload a
    module that you have edited (`importlib.reload`).

    Attributes:
        model: an ONNX file, or a PyTorch module: "package.module:factory" or "file.py:factory".
        calibration: the `.npz` of images `x` and, if there are any, labels `y`.
        weights: state dict of a PyTorch module.
        input_shape: (C, H, W), or None if the model or the images say it.
        output: which of the model's outputs, None if it has one.
        mean, std, pixel_scale, reverse_channels: how pixels are normalised, None to ask the calibration file.
        pruned: what `toolflow prune` wrote for the model; None for its own weights.
        low: an ONNX file that was quantised with fewer bits, for the low-precision unit; `model` is then one too.

    A text is read as the path that it says.

    Raises:
        ToolflowError: a value is of another kind.
    """

    model: str
    calibration: Path
    weights: Path | None = None
    input_shape: Shape | None = None
    output: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    pixel_scale: float | None = None
    reverse_channels: bool = False
    pruned: Path | None = None
    low: Path | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", as_model(self.model))
        object.__setattr__(self, "calibration", as_path("--calibration", self.calibration))
        for name in ("weights", "pruned", "low"):
            object.__setattr__(self, name, as_path_or_none(f"--{name}", getattr(self, name)))
        if self.input_shape is not None:
            object.__setattr__(self, "input_shape", as_shape("--input-shape", self.input_shape))
        for name in ("mean", "std"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, numbers_per_channel(f"--{name}", getattr(self, name)))
        if self.pixel_scale is not None:
            as_number("--pixel-scale", self.pixel_scale)

    @property
    def files(self) -> tuple[Path | None, ...]:
        """The files that it reads, None for those that are not given."""
        return self.model_file, self.weights, self.calibration, self.pruned, self.low

    @property
    def model_file(self) -> Path | None:
        """The ONNX file or the module's source, None for an importable module."""
        path = Path(self.model.rpartition(":")[0] or self.model)
        return path if path.is_file() else None

    @property
    def transforms(self) -> bool:
        """Whether the pruned network has Winograd layers."""
        from quant.sparsity.pruned_file import has_tiles

        return self.pruned is not None and has_tiles(self.pruned)

    def inputs(self) -> dict[str, Any]:
        """Return what a stage's fingerprint must cover."""
        return {
            "model": self.model,
            "network": self._digest,
            "calibration": self.calibration,
            "normalisation": [self.mean, self.std, self.pixel_scale, self.reverse_channels],
            "pruned": self.pruned,
            **({} if self.low is None else {"low": self.low}),
        }

    def images(self, graph: Graph) -> CalibrationImages:
        """Read the calibration file for a model."""
        return load_calibration_file(
            self.calibration,
            input_shape=graph.input_shape,
            input_map=graph.input_map,
            classes=int(np.prod(graph.shapes[graph.output])),
            mean=self.mean,
            std=self.std,
            scale=self.pixel_scale,
            reverse_channels=self.reverse_channels,
        )

    def graph(self, tile: int | None = None, pattern: Pattern | None = None) -> Graph:
        """Import and simplify the model, and give it the pruned file's weights if there is one.

        Args:
            tile: that the layers of the pruned file must have, None for any.
            pattern: the same.

        Raises:
            ToolflowError: it cannot be imported, a node of it does not run on the engine, or the pruned file is of
                another network, tile or pattern.
        """
        graph = self.unpruned()
        if self.pruned is None:
            return graph
        from quant.sparsity.pruned_file import load_pruned

        return load_pruned(graph, self.pruned, tile, pattern)

    def unpruned(self) -> Graph:
        """Import and simplify the model, with its own weights.

        Raises:
            ToolflowError: it cannot be imported, a node of it does not run on the engine, or it is quantised already.
        """
        if self.is_quantised:
            raise ToolflowError(
                f"'{self.model}' is quantised already, and must be the float network here; 'toolflow build' and "
                "'toolflow check' take it as it is"
            )
        from toolflow.passes.check import require_engine

        require_engine(self._imported)
        return self.on_no_engine()

    def on_no_engine(self) -> Graph:
        """Import and simplify the model, whether an engine runs it or not.

        Raises:
            ToolflowError: it cannot be imported.
        """
        from toolflow.passes.pipeline import simplify

        return simplify(self._imported)

    @cached_property
    def is_quantised(self) -> bool:
        """Whether the model is an ONNX file that was quantised elsewhere.

        Raises:
            ToolflowError: of two files one is not.
        """
        from toolflow.importers.load import is_quantised_file

        files = {"--high": is_quantised_file(self.model)}
        if self.low is not None:
            files["--low"] = is_quantised_file(str(self.low))
            if not all(files.values()):
                wrong = next(option for option, quantised in files.items() if not quantised)
                raise ToolflowError(
                    f"--low and --high must both be ONNX files that are quantised already, but {wrong} is not; give a "
                    "float network as MODEL, and the toolflow quantises it for both units"
                )
        return files["--high"]

    def quantised_file(self, variant: VariantName) -> Path:
        """Return the quantised file of a variant."""
        return self.low if variant is VariantName.LOW and self.low is not None else Path(self.model)

    def quantised_graph(self, variant: VariantName) -> Graph:
        """Import the quantised file of a variant, with a node for each rounding.

        Raises:
            ToolflowError: it cannot be imported, or the files of both variants are of different networks.
        """
        if variant is VariantName.HIGH or self.low is None:
            return self._imported
        from toolflow.importers.quantised.topology import require_one_topology

        require_one_topology(self._low_imported, self.low, self._imported, Path(self.model))
        return self._low_imported

    def anew(self) -> Source:
        """Return the same source, whose model is not yet imported: for a run, as files may have changed since."""
        return replace(self)

    def load(self, events: Events) -> None:
        """Import the model and hash it, as a piece of work of its own: this can take seconds.

        Raises:
            ToolflowError: it cannot be imported.
        """
        with events.progress(f"import {self.model}"):
            _ = self._digest

    def pruning(self) -> tuple[PruneStep, ...]:
        """Return the steps that made the pruned file, empty without a pruned file."""
        if self.pruned is None:
            return ()
        from quant.sparsity.pruned_file import pruning_steps

        return pruning_steps(self.pruned)

    @cached_property
    def _imported(self) -> Graph:
        """The model as it stands."""
        return self._load(self.model, self.is_quantised)

    @cached_property
    def _low_imported(self) -> Graph:
        """The low-precision file as it stands."""
        return self._load(str(self.low), True)

    def _load(self, model: str, quantised: bool) -> Graph:
        from toolflow.importers.load import load_model, load_quantised_file

        load = load_quantised_file if quantised else load_model
        try:
            return load(model, self.weights, self.input_shape, self.output)
        except UnknownShapeError:
            return load(model, self.weights, image_shape(self.calibration), self.output)

    @cached_property
    def _digest(self) -> str:
        """The hash of the imported model: a factory may read any file, and an ONNX file may keep weights in others."""
        sha = hashlib.sha256()
        for graph in (self._imported, *([] if self.low is None else [self._low_imported])):
            sha.update(repr(replace(graph, nodes=())).encode())
            for node in graph.nodes:
                sha.update(repr((node.name, node.op, node.inputs)).encode())
                for name, values in sorted(node.weights.items()):
                    sha.update(repr((name, values.dtype, values.shape)).encode())
                    sha.update(np.ascontiguousarray(values).data)
        return sha.hexdigest()
