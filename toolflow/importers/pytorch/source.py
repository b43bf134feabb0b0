"""Find the PyTorch model that the user named."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from torch import nn

from toolflow.ir.errors import ToolflowError


def build_module(spec: str) -> nn.Module:
    """Call the factory that `package.module:factory` or `file.py:factory` names, without arguments.

    Raises:
        ToolflowError: the module or factory does not exist, its code fails, or it returns no PyTorch module.
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
