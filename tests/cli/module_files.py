"""Small PyTorch modules as files, for commands that read them."""

from __future__ import annotations

from pathlib import Path

_MODULE = """
import torch
from torch import nn

class Net(nn.Sequential):
    input_shape = (3, 12, 12)

def net():
    torch.manual_seed(0)
    return Net({layers})
"""


def module_file(folder: Path, *layers: str) -> str:
    """Write a module with these layers, each a Python expression; return the argument MODEL for a command."""
    (folder / "net.py").write_text(_MODULE.format(layers=", ".join(layers)))
    return f"{folder / 'net.py'}:net"
