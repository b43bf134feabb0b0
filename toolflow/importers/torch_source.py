"""Finds a PyTorch model that the user named, and loads its weights without running foreign code."""

from __future__ import annotations

import importlib
import importlib.util
import pickle
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import safetensors
import safetensors.torch
import torch
from torch import nn

from toolflow.ir.errors import ToolflowError

NAMED = 5  # names of a state dict that does not fit


def build_module(spec: str) -> nn.Module:
    """Call the factory that `package.module:factory` or `file.py:factory` names, without arguments.

    Raises:
        ToolflowError: there is no such module or factory, its code fails, or it returns no module.
    """
    where, _, factory_name = spec.rpartition(":")
    if not where or not factory_name.isidentifier():
        raise ToolflowError(f"a PyTorch model must be given as file.py:factory or package.module:factory, not '{spec}'")
    path = Path(where)
    folder = path.parent if path.suffix == ".py" else Path.cwd()
    with _searched(folder):
        try:
            module = _load_file(path) if path.suffix == ".py" else importlib.import_module(where)
        except ToolflowError:
            raise
        except (Exception, SystemExit) as error:
            raise ToolflowError(f"'{where}' cannot be imported: {type(error).__name__}: {error}") from error
        factory = getattr(module, factory_name, None)
        if not callable(factory):
            raise ToolflowError(f"'{where}' must have a function '{factory_name}' that returns the model")
        try:
            model = factory()
        except (Exception, SystemExit) as error:
            raise ToolflowError(f"{spec}() failed: {type(error).__name__}: {error}") from error
    if not isinstance(model, nn.Module):
        raise ToolflowError(f"{spec}() must return a torch.nn.Module, not {type(model).__name__}")
    return model


@contextmanager
def _searched(folder: Path) -> Iterator[None]:
    """Let the model's code import its neighbours."""
    entry = str(folder.resolve())
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ToolflowError(f"there is no file '{path}'")
    name = f"toolflow_user_model_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ToolflowError(f"'{path}' is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def load_weights(model: nn.Module, path: Path) -> None:
    """Load a state dict into a model; every name and shape must match.

    Raises:
        ToolflowError: the file cannot be read, carries code, or does not fit the model.
    """
    if not path.is_file():
        raise ToolflowError(f"there is no weight file '{path}'")
    state = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    own = model.state_dict()
    # BatchNorm's batch counter has no meaning in inference and is often left out.
    missing = sorted(name for name in own.keys() - state.keys() if not name.endswith("num_batches_tracked"))
    unexpected = sorted(state.keys() - own.keys())
    wrong = [
        f"'{name}' must have the shape {tuple(own[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in state.items()
        if name in own and own[name].shape != tensor.shape
    ]
    problems = [f"missing '{name}'" for name in missing]
    problems += [f"'{name}' is not in the model" for name in unexpected]
    problems += wrong
    if problems:
        lines = [f"  {line}" for line in problems[:NAMED]]
        if len(problems) > NAMED:
            lines.append(f"  and {len(problems) - NAMED} more")
        raise ToolflowError(f"the weights in '{path}' do not fit the model:\n" + "\n".join(lines))
    model.load_state_dict(dict(state), strict=False)


def _read_safetensors(path: Path) -> Mapping[str, torch.Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise ToolflowError(f"'{path}' is not a readable safetensors file: {error}") from error


def _read_pickle(path: Path) -> Mapping[str, torch.Tensor]:
    """Read a state dict saved by `torch.save`, plain or under "state_dict", with or without "module." in front."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ToolflowError(
            f"'{path}' holds more than tensors and was refused, because loading it could run foreign code; "
            "save the weights alone: torch.save(model.state_dict(), path), or safetensors.torch.save_file"
        ) from error
    except Exception as error:
        raise ToolflowError(f"'{path}' is not a readable PyTorch weight file: {error}") from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise ToolflowError(f"'{path}' must hold a state dict: tensors under their names")
    prefix = "module."  # of nn.DataParallel
    if content and all(name.startswith(prefix) for name in content):
        return {name.removeprefix(prefix): tensor for name, tensor in content.items()}
    return dict(content)
