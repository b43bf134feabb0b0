"""Names of registers and modules, from the hierarchical names and source places that a flat netlist keeps."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath

from rtl_sim.timing.netlist import Cell, Netlist, Pin, pins

PORTS, UNNAMED = "ports", "without a name"
_NAMES = 64  # of a cell with many outputs


@dataclass(frozen=True)
class End:
    """Where a path starts or ends.

    Attributes:
        name: of a register, memory or port, without generate blocks and the prefixes of instances.
        module: the module that holds it, "drain" for cascade_drain; for a memory, with the one around it: "bank.ram".
        driven: whether the name is that of a signal that the register drives, its own being lost.
    """

    name: str
    module: str
    driven: bool = False

    @property
    def text(self) -> str:
        """The name, and the module if the name does not tell it."""
        return f"{self.name} (a register of {self.module})" if self.driven else self.name

    @property
    def register(self) -> str:
        """The name without the index of a bit, lane or channel."""
        return without_index(self.name)


def path_end(netlist: Netlist, cell: Cell | None, pin: Pin | None, net: int | None) -> End:
    """Return the end of a path at a cell, or at a port where there is none."""
    if cell is None:
        ports = [name for name in netlist.names.get(net, ()) if "." not in name] if net is not None else []
        return End(ports[0] if ports else f"port {pin[0]}" if pin else "port", PORTS)
    if cell.kind.startswith(("RAM", "URAM")) and not cell.name.startswith("$"):
        name = re.sub(r"(\.\d+)+$", "", cell.name)
        return End(short_name(name), ".".join(instances(name)[-2:]))
    names = [name for _, bit in pins(cell.outputs) for name in netlist.names.get(bit, ())][:_NAMES]
    kind = PurePath(cell.source.split(":")[0]).stem.removeprefix("cascade_")
    own = [name for name in names if kind and instances(name)[-1:] in ([kind], [])]  # no instance: a module alone
    if own:
        name = min(own, key=len)
        return End(short_name(name), kind)
    if names:  # a register whose own name was lost: a signal that it drives
        name = short_name(max(names, key=lambda each: (each.count("."), -len(each))))
        return End(name, kind or (instances(names[0]) or [PORTS])[-1], driven=bool(kind))
    return End(f"{cell.kind} at {cell.source}" if kind else f"{cell.kind} {cell.name}", kind or UNNAMED)


def short_name(name: str) -> str:
    """Return a name without generate blocks and prefixes of instances: "core.convolve.drain.state[1]"."""
    parts = [part.removeprefix("i_") for part in name.split(".") if not part.startswith("g_")]
    return ".".join(parts[1:] if parts[0] == "engine" and len(parts) > 2 else parts)


def without_index(name: str) -> str:
    """Return a name without indices."""
    return re.sub(r"\[\d+\]", "", name)


def instances(name: str) -> list[str]:
    """Return the instances of a hierarchical name, as the project names them: i_drain is a cascade_drain."""
    return [part.removeprefix("i_").split("[")[0] for part in name.split(".")[:-1] if part.startswith("i_")]
