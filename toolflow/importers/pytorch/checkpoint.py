"""Find a model's weights in a checkpoint of a training script, without running foreign code."""

from __future__ import annotations

import difflib
import logging
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from toolflow.ir.errors import ToolflowError

LOGGER = logging.getLogger(__name__)
NAMED = 5  # names of a state dict that does not fit
MAX_DEPTH = 3  # of entries within entries of a checkpoint
USUAL = frozenset({"state_dict", "model_state_dict", "model", "net"})  # entries that are the model's where several fit
SIMULATED = frozenset({"activation_post_process", "weight_fake_quant"})  # modules of torch.ao's fake quantisation
COMPILED = "_orig_mod"  # what torch.compile puts before the names of a module, wherever that module is

State = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Candidate:
    """A state dict that a file may hold for the model.

    Attributes:
        entry: keys that lead to it, outermost first.
        prefix: what was taken off every name.
        state: tensors by name.
        extras: names there that hold no tensor.
    """

    entry: tuple[str, ...]
    prefix: str
    state: State
    extras: tuple[str, ...]

    def __str__(self) -> str:
        place = "".join(f"[{key!r}]" for key in self.entry)
        where = f"checkpoint{place}" if place else "the file"
        return f"{where} without '{self.prefix}' before every name" if self.prefix else where


def load_weights(model: nn.Module, path: Path) -> None:
    """Load the weights of a model; every name and shape must match.

    The file holds a state dict, alone or as an entry of a checkpoint; a prefix that all its names have and the model's
    have not is taken off. What was found and how is logged, if it is more than a plain state dict.

    Raises:
        ToolflowError: the file cannot be read, carries code, or holds nothing that fits the model.
    """
    if not path.is_file():
        raise ToolflowError(f"there is no weight file '{path}'")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    candidates = list(_candidates(content))
    if not candidates:
        raise ToolflowError(f"'{path}' must hold a state dict: tensors under their names, not {_held(content)}")
    own = model.state_dict()
    fitting = [candidate for candidate in candidates if not _problems(own, candidate.state)]
    if not fitting:
        raise ToolflowError(_refusal(path, own, content, candidates))
    chosen = _choose(path, fitting)
    if chosen.entry or chosen.prefix:
        LOGGER.warning("the weights are %s in '%s'", chosen, path)
    if chosen.extras:
        LOGGER.warning("'%s' holds beside the weights, and not used: %s", path, ", ".join(chosen.extras[:NAMED]))
    model.load_state_dict(dict(chosen.state), strict=False)


def _choose(path: Path, fitting: list[Candidate]) -> Candidate:
    """Return the one candidate that is meant.

    Raises:
        ToolflowError: there are several, with other weights each.
    """
    different: list[Candidate] = []
    for one in fitting:
        if not any(_same(one, other) for other in different):
            different.append(one)
    if len(different) == 1:
        return different[0]
    levels = zip(*(one.entry for one in different), strict=False)
    shared = len(list(takewhile(lambda keys: len(set(keys)) == 1, levels)))
    usual = [one for one in different if (own := one.entry[shared:]) and USUAL.issuperset(own)]  # of an ema none is
    if len(usual) == 1:
        others = ", ".join(str(one) for one in different if one is not usual[0])
        LOGGER.warning("'%s' holds other weights that fit the model too, which are not used: %s", path, others)
        return usual[0]
    keys = "".join(f"[{key!r}]" for key in different[0].entry)
    raise ToolflowError(
        f"'{path}' must hold one set of weights for the model, not {len(different)}: "
        f"{', '.join(map(str, different))}; save the one that is meant: torch.save(checkpoint{keys}, path)"
    )


def _same(one: Candidate, other: Candidate) -> bool:
    return one.state.keys() == other.state.keys() and all(
        torch.equal(tensor, other.state[name]) for name, tensor in one.state.items()
    )


def _candidates(content: Any, entry: tuple[str, ...] = ()) -> Iterator[Candidate]:
    """Yield every state dict within a file's content, each also without the prefixes that all its names share."""
    if not isinstance(content, Mapping) or len(entry) > MAX_DEPTH:
        return
    state = {
        key: value
        for key, value in content.items()
        if isinstance(key, str) and isinstance(value, torch.Tensor) and not SIMULATED.intersection(key.split("."))
    }
    if state:
        extras = tuple(str(key) for key in content if key not in state)
        for prefix, plain in _without_prefixes(state):
            yield Candidate(entry, prefix, plain, extras)
    for key, value in content.items():
        if isinstance(key, str):
            yield from _candidates(value, (*entry, key))


def _without_prefixes(state: State) -> Iterator[tuple[str, State]]:
    """Yield (what was taken off, the rest): nothing first, then one shared part of the names after the other."""
    prefix = ""
    yield prefix, state
    while all("." in name for name in state) and len(parts := {name.partition(".")[0] for name in state}) == 1:
        part = f"{parts.pop()}."
        prefix, state = prefix + part, {name.removeprefix(part): tensor for name, tensor in state.items()}
        yield prefix, state
    inner = {_uncompiled(name): tensor for name, tensor in state.items()}
    if inner.keys() != state.keys() and len(inner) == len(state):
        yield f"{prefix}..{COMPILED}.", inner


def _uncompiled(name: str) -> str:
    return ".".join(part for part in name.split(".") if part != COMPILED)


def _missing(own: State, state: State) -> list[str]:
    # BatchNorm's batch counter has no meaning in inference and is often left out.
    return sorted(name for name in own.keys() - state.keys() if not name.endswith("num_batches_tracked"))


def _problems(own: State, state: State) -> list[str]:
    """Return what does not fit between the model's own state dict and one of a file."""
    unexpected = sorted(state.keys() - own.keys())
    problems = []
    for count, name in enumerate(_missing(own, state)):
        near = _nearest(name, own[name], {other: state[other] for other in unexpected}) if count < NAMED else ""
        problems.append(f"missing '{name}'{near}")
    problems += [f"'{name}' is not in the model" for name in unexpected]
    known = [(name, own[name], tensor) for name, tensor in state.items() if name in own]
    problems += [
        f"'{name}' must have the shape {tuple(wanted.shape)}, not {tuple(tensor.shape)}"
        for name, wanted, tensor in known
        if wanted.shape != tensor.shape
    ]
    return problems + [
        f"'{name}' must hold floating-point numbers, each stored, not {_stored(tensor)}"
        for name, wanted, tensor in known
        if wanted.is_floating_point() and not _is_dense_float(tensor)
    ]


def _is_dense_float(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() and tensor.layout is torch.strided and not tensor.is_meta


def _stored(tensor: torch.Tensor) -> str:
    return f"{tensor.dtype} ({'no data' if tensor.is_meta else tensor.layout})"


def _nearest(name: str, wanted: torch.Tensor, given: State) -> str:
    """Return the name in the file that is nearest to a missing one, of the same shape if there is any, as text."""
    alike = [other for other, tensor in given.items() if tensor.shape == wanted.shape]
    close = difflib.get_close_matches(name, alike or list(given), 1, cutoff=0.4)
    return f"; the nearest in the file is '{close[0]}' of shape {tuple(given[close[0]].shape)}" if close else ""


def _refusal(path: Path, own: State, content: Any, candidates: list[Candidate]) -> str:
    """Return what does not fit, of the candidate with the most names in common with the model."""
    best = max(candidates, key=lambda one: len(own.keys() & one.state.keys()))
    problems = _problems(own, best.state)
    lines = [f"  {line}" for line in problems[:NAMED]]
    if len(problems) > NAMED:
        lines.append(f"  and {len(problems) - NAMED} more")
    nested = ""
    if best.entry or best.prefix:
        nested = f" (it holds {_held(content)}; what is nearest to it, {best})"
    return f"the weights in '{path}' do not fit the model{nested}:\n" + "\n".join(lines)


def _held(content: Any) -> str:
    """Return what a file holds, as text."""
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    keys = list(map(str, content))
    return ", ".join([*keys[:NAMED], *(["…"] if len(keys) > NAMED else [])]) or "nothing"


def _read_safetensors(path: Path) -> State:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise ToolflowError(f"'{path}' is not a readable safetensors file: {error}") from error


def _read_pickle(path: Path) -> Any:
    """Read what torch.save wrote, tensors and plain values only."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ToolflowError(
            f"'{path}' holds more than tensors and was refused, because loading it could run foreign code; "
            "save the weights alone: torch.save(model.state_dict(), path), or safetensors.torch.save_file"
        ) from error
    except Exception as error:
        raise ToolflowError(f"'{path}' is not a readable PyTorch weight file: {error}") from error
