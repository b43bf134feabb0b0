"""Cross checks of a board file: the mistakes that are common in published board data.

Logic cells given as LUTs, RAMB18 counted as RAMB36, a part string of another family, and a bandwidth
that the package or the memory's own width and rate cannot give.
"""

from __future__ import annotations

import re

from toolflow.plan.resources.family import Device, MemoryLimit, families

_PROCESSOR_MEMORY = MemoryLimit(data_bits=64, megatransfers_per_s=2666)  # in packages that no family lists


def device_problems(
    part: str,
    family: str,
    luts: int,
    flip_flops: int,
    dsps: int,
    bram36: int | None,
    bram18: int | None,
    uram: int,
) -> list[str]:
    """Return what is wrong with the part string and the resource counts, one text for each mistake."""
    problems = []
    facts, actual = families()[family], _family_of(part)
    if actual != family:
        what = f"'{part}', which belongs to {actual}" if actual else f"'{part}', which is no full part string"
        problems.append(f"part must belong to family {family}, not be {what}")
    unit = facts.block_ram.field
    other = "bram18" if unit == "bram36" else "bram36"
    given = {"bram36": bram36, "bram18": bram18}
    if given[unit] is None:
        problems.append(f"resources.{unit} must be given for family {family}")
    if given[other] is not None:
        problems.append(f"resources.{other} must not be given for family {family}: count blocks as {unit}")
    known = _device_of(part)
    if known is not None:
        amounts = (luts, flip_flops, dsps, given[unit], uram)
        problems += _compare_device(*known, amounts, unit, facts.logic_cells_per_lut)
    elif facts.two_flip_flops_per_lut and flip_flops != 2 * luts:
        problems.append(
            f"resources.flip_flops must be twice resources.luts on {family} ({2 * luts}), not {flip_flops}: "
            f"were logic cells given as LUTs?"
        )
    return problems


def unchecked_amounts(part: str) -> str:
    """Return a note where the amounts of a part cannot be compared with the vendor's; "" if they are known."""
    return "" if _device_of(part) else f"amounts of {part} are not known here and were not checked"


def _device_of(part: str) -> tuple[str, Device] | None:
    """Return the device of a part, with its name; None if no family lists it."""
    devices = {name: device for one in families().values() for name, device in one.devices.items()}
    return next(((name, device) for name, device in devices.items() if part.lower().startswith(name)), None)


def _family_of(part: str) -> str | None:
    return next((name for name, family in families().items() if re.fullmatch(family.part_pattern, part)), None)


def _compare_device(
    name: str, device: Device, given: tuple[int, int, int, int | None, int], unit: str, logic_cells_per_lut: float
) -> list[str]:
    problems = []
    fields = ("luts", "flip_flops", "dsps", unit, "uram")
    wanted = (device.luts, device.flip_flops, device.dsps, device.block_rams, device.urams)
    for field, is_value, should in zip(fields, given, wanted, strict=True):
        if is_value is None or is_value == should:
            continue
        hint = ""
        if field == "luts" and abs(is_value / should / logic_cells_per_lut - 1) < 0.02:
            hint = ": these are logic cells, not LUTs"
        elif field == "bram36" and is_value == 2 * should:
            hint = ": these are blocks of 18 Kb, not of 36 Kb"
        problems.append(f"resources.{field} must be {should} for {name}, not {is_value}{hint}")
    return problems


def memory_problems(
    part: str, family: str, port: str, data_bits: int, megatransfers_per_s: int, bandwidth_bytes_per_s: int
) -> list[str]:
    """Return what is wrong with the external memory's width, rate and bandwidth."""
    problems = []
    peak = data_bits * megatransfers_per_s * 1_000_000 // 8
    if bandwidth_bytes_per_s > peak:
        problems.append(
            f"memory.external_bandwidth_bytes_per_s must be at most {peak} "
            f"({data_bits} bits at {megatransfers_per_s} MT/s), not {bandwidth_bytes_per_s}"
        )
    if port == "ps":
        packages = {key: limit for one in families().values() for key, limit in one.memory.packages.items()}
        limit = next((limit for key, limit in packages.items() if part.lower().startswith(key)), None)
        if limit is None:
            patterns = [one.memory.processor_pattern for one in families().values()]
            if not any(pattern and re.match(pattern, part) for pattern in patterns):
                problems.append(f"memory.port must be pl for {part}, which has no processing system, not ps")
            limit = _PROCESSOR_MEMORY
        if data_bits > limit.data_bits:
            problems.append(f"memory.data_bits must be at most {limit.data_bits} in this package, not {data_bits}")
        if megatransfers_per_s > limit.megatransfers_per_s:
            problems.append(
                f"memory.megatransfers_per_s must be at most {limit.megatransfers_per_s} in this package, "
                f"not {megatransfers_per_s}"
            )
    else:
        name = _family_of(part) or family
        fastest = families()[name].memory.logic_megatransfers_per_s
        if megatransfers_per_s > fastest:
            problems.append(
                f"memory.megatransfers_per_s must be at most {fastest} on {name}, not {megatransfers_per_s}"
            )
    return problems
