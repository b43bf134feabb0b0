"""PyTorch module -> Graph, through the ATen operators that `torch.export` records.

Export turns modules, functions, tensor methods, in-place operations and Python control flow into one list of
operators. Each operator's schema names all of its arguments, so the importer cannot miss one.
"""

from __future__ import annotations

import io
import logging
import operator
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn
from torch.export.graph_signature import InputKind, OutputKind, TensorArgument
from torch.utils import _pytree as pytree

from toolflow.importers import vocabulary
from toolflow.importers.builder import GraphBuilder, Place, Value
from toolflow.importers.pytorch.call import Call
from toolflow.importers.pytorch.checkpoint import load_weights
from toolflow.importers.pytorch.operators import DROPOUT_HINT, OPERATORS, QUANTISED_HINT, RECURRENT, REWRITES
from toolflow.importers.pytorch.source import build_module
from toolflow.ir.errors import ToolflowError, UnknownShapeError
from toolflow.ir.graph import Graph
from toolflow.ir.operator import Shape

LOGGER = logging.getLogger(__name__)

# modules that define fake quantisers, observers and quantised layers; torch.ao.nn.intrinsic itself has float layers
QUANTISED = (
    "torch.ao.quantization.fake_quantize.", "torch.ao.quantization.observer.", "torch.ao.nn.qat.",
    "torch.ao.nn.intrinsic.qat.", "torch.ao.nn.quantized.", "torch.ao.nn.intrinsic.quantized.",
    "torch.ao.nn.quantizable.", "torchao.quantization.", "brevitas.",
)  # fmt: skip
BATCH = 2  # of the example input: export makes it a constant; a batch of 1 would hide code that mixes images

EMPTY = (torch.ops.aten.new_empty.default, torch.ops.aten.empty_like.default)  # filled with random numbers only
ASSERTION = torch.ops.aten._assert_tensor_metadata.default  # computes nothing


def import_torch(
    spec: str, weights: Path | None = None, input_shape: Shape | None = None, output: str | None = None
) -> Graph:
    """Import the model that a factory builds.

    Args:
        spec: package.module:factory or file.py:factory.
        weights: file of the state dict: .safetensors, or written by torch.save.
        input_shape: (C, H, W); by default the module's own attribute `input_shape`.
        output: key or position of the tensor to take, where the module returns several.

    Raises:
        ToolflowError: the model cannot be built, or its weights do not fit.
        UnsupportedModelError: nodes cannot be imported; the message lists all of them.
    """
    module = build_module(spec)
    if weights is not None:
        load_weights(module, weights)
    return import_module(module, input_shape, name=spec.rpartition(":")[2], output=output)


def import_module(
    module: nn.Module, input_shape: Shape | None = None, name: str = "model", output: str | None = None
) -> Graph:
    """Import a module in inference mode. The module itself is not changed.

    Args:
        module: takes one float batch of images (N, C, H, W) and returns a tensor, or several in tuples or dicts.
        input_shape: (C, H, W); by default the module's own attribute `input_shape`.
        name: name of the graph.
        output: key or position of the tensor to take ("out", "1", "aux.0"), where the module returns several.

    Raises:
        UnsupportedModelError: nodes cannot be imported; the message lists all of them.
        ToolflowError: the module cannot be exported.
    """
    _require_float(module)
    program = _export(module, _input_shape(module, input_shape))
    return _Walk(program, name, output).graph()


def _input_shape(module: nn.Module, wanted: Shape | None) -> Shape:
    own = getattr(module, "input_shape", None)
    if own is None:
        if wanted is not None:
            return wanted
        raise UnknownShapeError(
            "the input's shape must be known: give it as --input-shape C,H,W or set the attribute `input_shape` of the "
            "module"
        )
    if not isinstance(own, tuple | list) or not all(isinstance(size, int) and size > 0 for size in own):
        raise ToolflowError(f"the module's input_shape must be (C, H, W) in positive whole numbers, not {own!r}")
    if wanted is not None and tuple(own) != wanted:
        LOGGER.warning("the input's shape is %s as requested, not the module's input_shape %s", wanted, tuple(own))
    return tuple(own) if wanted is None else wanted


def _require_float(module: nn.Module) -> None:
    """Refuse a module that simulates quantisation or is quantised: its rounding differs from the toolflow's.

    Raises:
        ToolflowError: a submodule is of this kind; the message names the first one.
    """
    for path, child in module.named_modules():
        kinds = (f"{kind.__module__}.{kind.__qualname__}" for kind in type(child).__mro__)
        if any(kind.startswith(QUANTISED) for kind in kinds):
            raise ToolflowError(
                f"the model must be the float model, but its module '{path}' ({type(child).__name__}) quantises or "
                f"simulates quantisation: {QUANTISED_HINT} (--weights takes the trained state dict)"
            )


def _export(module: nn.Module, shape: Shape) -> torch.export.ExportedProgram:
    """Record the module's operators; in-place operations become functional ones."""
    dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    example = torch.zeros(BATCH, *shape, dtype=dtype)
    training = {child: child.training for child in module.modules()}
    try:
        with _quiet(), torch.no_grad():
            exported = torch.export.export(module.eval(), (example,))
            program: torch.export.ExportedProgram = exported.run_decompositions({})
            return program
    except Exception as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ToolflowError(
            f"the module cannot be traced with an input of shape {shape}: {reason}; its forward must take one "
            "tensor and must not depend on the values in it"
        ) from error
    finally:
        for child, was in training.items():
            child.training = was


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what export prints and logs about its internals. Errors are still raised."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)  # an error that matters is raised too
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


class _Walk:
    """Builds a graph from an exported program, node by node."""

    def __init__(self, program: torch.export.ExportedProgram, name: str, wanted: str | None) -> None:
        self._program = program
        self._name = name
        self._wanted = wanted
        self._values: dict[fx.Node, Any] = {}

    def graph(self) -> Graph:
        images = [spec for spec in self._program.graph_signature.input_specs if spec.kind is InputKind.USER_INPUT]
        if len(images) != 1:
            raise ToolflowError(f"the module must take one input, not {len(images)}")
        output = self._keep_one_output()
        placeholders = [node for node in self._program.graph.nodes if node.op == "placeholder"]
        image = next(node for node in placeholders if node.name == images[0].arg.name)
        build = GraphBuilder(self._name, image.name, tuple(image.meta["val"].shape[1:]))
        self._values[image] = build.input
        self._constants(placeholders)
        for node in self._program.graph.nodes:
            if node.op == "call_function" and node.target is not ASSERTION:
                self._values[node] = self._call(build, node)
        result = self._values[output]
        return build.finish(Place(self._name, "output"), result if isinstance(result, Value) else None)

    def _constants(self, placeholders: list[fx.Node]) -> None:
        """Store the values of parameters, buffers and literal tensors."""
        stored: Mapping[str, Any] = {**self._program.constants, **self._program.state_dict}
        by_name = {node.name: node for node in placeholders}
        for spec in self._program.graph_signature.input_specs:
            if spec.kind is not InputKind.USER_INPUT and spec.target is not None:
                self._values[by_name[spec.arg.name]] = stored[spec.target].detach()

    def _keep_one_output(self) -> fx.Node:
        """Remove what the wanted output does not need, and return the output's node."""
        graph = self._program.graph
        specs = [spec for spec in self._program.graph_signature.output_specs if spec.kind is OutputKind.USER_OUTPUT]
        tree = pytree.tree_unflatten(specs, self._program.call_spec.out_spec)
        tensors = {
            ".".join(str(getattr(key, "key", getattr(key, "idx", key))) for key in path) or "output": spec.arg.name
            for path, spec in pytree.tree_flatten_with_path(tree)[0]
            if isinstance(spec.arg, TensorArgument)
        }
        chosen = tensors[vocabulary.chosen_output(f"module '{self._name}'", tuple(tensors), self._wanted)]
        node: fx.Node = next(node for node in graph.nodes if node.name == chosen)
        graph.output_node().args = ((node,),)
        graph.eliminate_dead_code()
        return node

    def _call(self, build: GraphBuilder, node: fx.Node) -> Any:
        """Return what a node computes: a `Value`, a constant, or None after a problem."""
        args = fx.map_arg(node.args, lambda n: self._values[n])
        kwargs = fx.map_arg(node.kwargs, lambda n: self._values[n])
        inputs = [self._values[n] for n in node.all_input_nodes]
        place = _place(node)
        if node.target is operator.getitem and (args[0] is None or isinstance(args[0], Value)):
            # An operator with several outputs: the first is the result, the others must not be used.
            if args[1] != 0 and args[0] is not None:
                build.problem(place, "output", args[1], "the first output only")
                return None
            return args[0]
        packet = str(node.target).split(".")[1] if "." in str(node.target) else str(node.target)
        if packet not in RECURRENT and torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            build.problem(place, "", "a random number", "none in inference", DROPOUT_HINT)
            return None
        if node.target in EMPTY:
            return None
        if not any(isinstance(value, Value) or value is None for value in inputs):
            return _computed(build, place, node, args, kwargs)
        handler = OPERATORS.get(node.target)
        if handler is None:
            build.problem(place, "", "the operator", vocabulary.OPERATORS, REWRITES.get(packet, ""))
            return self._stand_in(build, node, place)
        if any(value is None for value in inputs):
            return self._stand_in(build, node, place)  # the problem of its input is already recorded
        call = Call.bind(build, place, node, args, kwargs)
        before = len(build.problems)
        result = handler(call)
        call.check_rest()
        return self._stand_in(build, node, place) if len(build.problems) > before else result

    def _stand_in(self, build: GraphBuilder, node: fx.Node, place: Place) -> Value | None:
        value = node.meta.get("val")
        if isinstance(value, tuple | list):
            value = value[0]
        if isinstance(value, torch.Tensor) and value.ndim > 1 and value.shape[0] == BATCH:
            return build.stand_in(place, tuple(int(size) for size in value.shape[1:]))
        return None


def _computed(build: GraphBuilder, place: Place, node: fx.Node, args: Any, kwargs: Any) -> Any:
    """Evaluate a node whose inputs are all constants; return None after a problem."""
    try:
        return node.target(*args, **kwargs)  # type: ignore[operator]
    except Exception as error:  # whatever PyTorch's own code raises
        build.problem(place, "constant operands", f"{type(error).__name__}: {error}", "constants that can be computed")
        return None


def _place(node: fx.Node) -> Place:
    """Name a node after its module: 'layer1.0.conv1', or 'layer1.0.add' for a call in a forward method."""
    target = str(node.target).removesuffix(".default")
    call = target.split(".")[1] if "." in target else node.name
    stack = list(node.meta.get("nn_module_stack", {}).values())
    if not stack:
        return Place(call, target)
    path, kind = stack[-1]
    kind = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
    if kind.startswith("torch.nn.modules.") and ".container." not in kind and path:
        return Place(path, f"{kind.rpartition('.')[2]} ({target})")
    return Place(f"{path}.{call}" if path else call, target)
