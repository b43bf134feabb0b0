"""A flat netlist of primitives, as Yosys' write_json holds it, and the checks that a timing estimate needs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolflow.ir.errors import ToolflowError

Pin = tuple[str, int]
_SHOWN = 5  # names that an error lists


@dataclass(frozen=True)
class Cell:
    """One primitive.

    Attributes:
        parameters: integers where Yosys holds bits, else text.
        inputs, outputs: the net of each bit of each port; None for a constant.
        source: file and line that it was made from, "" if synthesis lost it.
    """

    name: str
    kind: str
    parameters: Mapping[str, int | str]
    inputs: Mapping[str, Sequence[int | None]]
    outputs: Mapping[str, Sequence[int | None]]
    source: str = ""


@dataclass(frozen=True)
class Netlist:
    """Cells and nets of one flat module.

    Attributes:
        inputs, outputs: the net of each bit of the module's ports, by port.
        names: the public names of each net, with the index of the bit.
        driver: the cell and pin that drives each net; inputs of the module have none.
    """

    cells: tuple[Cell, ...]
    inputs: Mapping[str, Sequence[int | None]]
    outputs: Mapping[str, Sequence[int | None]]
    names: Mapping[int, Sequence[str]]
    driver: Mapping[int, tuple[int, Pin]] = field(default_factory=dict)


def read_netlist(document: Mapping[str, Any], top: str) -> Netlist:
    """Return the netlist of module `top` of a document of write_json.

    Raises:
        ToolflowError: the module is missing or not flat, a net has two drivers, or a pin hangs on a net without one.
    """
    modules = document["modules"]
    if top not in modules:
        raise ToolflowError(f"the netlist holds no module '{top}'")
    module = modules[top]
    names: dict[int, list[str]] = {}
    for name, net in module["netnames"].items():
        if net.get("hide_name"):
            continue
        for index, bit in enumerate(net["bits"]):
            if isinstance(bit, int):
                names.setdefault(bit, []).append(name if len(net["bits"]) == 1 else f"{name}[{index}]")
    cells = tuple(_cell(name, each) for name, each in module["cells"].items() if each["type"] != "$scopeinfo")
    ports: dict[str, dict[str, Sequence[int | None]]] = {"input": {}, "output": {}}
    for name, port in module["ports"].items():
        if port["direction"] not in ports:
            raise ToolflowError(f"port '{name}' of '{top}' must be an input or an output, not {port['direction']}")
        ports[port["direction"]][name] = _bits(port["bits"])
    netlist = Netlist(cells, ports["input"], ports["output"], names, _drivers(cells, ports["input"]))
    _check_driven(netlist)
    return netlist


def pins(ports: Mapping[str, Sequence[int | None]]) -> Iterator[tuple[Pin, int]]:
    """Yield each pin that is on a net, and the net."""
    for port, bits in ports.items():
        for index, bit in enumerate(bits):
            if bit is not None:
                yield (port, index), bit


def _cell(name: str, cell: Mapping[str, Any]) -> Cell:
    sides: dict[str, dict[str, Sequence[int | None]]] = {"input": {}, "output": {}}
    directions = cell.get("port_directions", {})
    for port, bits in cell["connections"].items():
        if directions.get(port) not in sides:
            raise ToolflowError(
                f"the cell '{name}' of type {cell['type']} is a black box: the direction of {port} is unknown"
            )
        sides[directions[port]][port] = _bits(bits)
    parameters = {key: _value(value) for key, value in cell.get("parameters", {}).items() if not key.startswith("INIT")}
    source = str(cell.get("attributes", {}).get("src", "")).split("|")[0]
    return Cell(name, cell["type"], parameters, sides["input"], sides["output"], "" if "/share/" in source else source)


def _bits(bits: Sequence[int | str]) -> list[int | None]:
    return [bit if isinstance(bit, int) else None for bit in bits]


def _value(value: int | str) -> int | str:
    if isinstance(value, str) and value and re.fullmatch("[01]+", value):
        return int(value, 2)
    return value.strip() if isinstance(value, str) else value


def _drivers(cells: Sequence[Cell], inputs: Mapping[str, Sequence[int | None]]) -> dict[int, tuple[int, Pin]]:
    driver: dict[int, tuple[int, Pin]] = {}
    of_inputs = {bit: port for port, bits in inputs.items() for bit in bits if bit is not None}
    for number, cell in enumerate(cells):
        for pin, bit in pins(cell.outputs):
            if bit in of_inputs:
                raise ToolflowError(f"'{cell.name}' drives the input port '{of_inputs[bit]}'")
            if bit in driver:
                raise ToolflowError(f"a net is driven by '{cells[driver[bit][0]].name}' and by '{cell.name}'")
            driver[bit] = (number, pin)
    return driver


def _check_driven(netlist: Netlist) -> None:
    known = set(netlist.driver) | {bit for _, bit in pins(netlist.inputs)}
    bad = [
        f"{cell.name}.{port}[{index}]"
        for cell in netlist.cells
        for (port, index), bit in pins(cell.inputs)
        if bit not in known
    ]
    bad += [f"the output port {port}[{index}]" for (port, index), bit in pins(netlist.outputs) if bit not in known]
    if bad:
        more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise ToolflowError(f"nothing drives the net at {', '.join(bad[:_SHOWN])}{more}: the netlist is incomplete")
