"""Small netlists in the form of Yosys' write_json, from one line a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rtl_sim.timing.netlist import Netlist, read_netlist

OUTPUTS = {"O", "Q", "P", "CO", "PCOUT", "DOBDO", "DOA", "DOB", "Q31"}
Connections = Mapping[str, str | Sequence[str]]


class Builder:
    """Collects cells whose pins hang on nets by name; "0" and "1" are constants."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.cells: dict[str, Any] = {}
        self.ports: dict[str, Any] = {}
        self.port("clock", "input")

    def port(self, net: str, direction: str) -> None:
        self.ports[net] = {"direction": direction, "bits": [self.bit(net)]}

    def bit(self, net: str) -> int | str:
        return net if net in ("0", "1") else self.numbers.setdefault(net, 2 + len(self.numbers))

    def cell(self, name: str, kind: str, connections: Connections, /, **parameters: int | str) -> None:
        bits = {
            port: [self.bit(net) for net in ([nets] if isinstance(nets, str) else nets)]
            for port, nets in connections.items()
        }
        values = {k: format(v, "032b") if isinstance(v, int) else v for k, v in parameters.items()}
        directions = {port: "output" if port in OUTPUTS else "input" for port in bits}
        self.cells[name] = {
            "type": kind,
            "parameters": values,
            "attributes": {},
            "port_directions": directions,
            "connections": bits,
        }

    def flip_flop(self, name: str, data: str, /, enable: str = "1", reset: str = "0") -> None:
        """A register whose output is the net of its name."""
        self.cell(f"ff {name}", "FDRE", {"C": "clock", "D": data, "CE": enable, "R": reset, "Q": name})

    def lut(self, name: str, *inputs: str) -> None:
        """A LUT whose output is the net of its name."""
        self.cell(f"lut {name}", f"LUT{len(inputs)}", {"O": name} | {f"I{i}": net for i, net in enumerate(inputs)})

    def document(self) -> dict[str, Any]:
        names = {net: {"hide_name": 0, "bits": [number]} for net, number in self.numbers.items()}
        return {"modules": {"top": {"ports": self.ports, "cells": self.cells, "netnames": names}}}

    def netlist(self) -> Netlist:
        return read_netlist(self.document(), "top")
