"""Cross checks of a board file: the mistakes that are common in published board data.

Logic cells given as LUTs, RAMB18 counted as RAMB36, a part string of another family, and a bandwidth
that the package or the memory's own width and rate cannot give.
"""

from __future__ import annotations

import re

from toolflow.plan.resources.count import Family

_PART_PATTERNS: dict[Family, str] = {
    "xc7": r"xc7[aksvz]\d+\w*-\d\w*",
    "xcup": r"(xczu\d+\w+|xck2[46]|xcku\d+p|xcvu\d+p|xcu\d+\w?)-\w+-\d\w*(-\w+)?",
    "ecp5": r"LFE5UM?5?G?-\d\dF-[678]\w+",
}

# device -> LUTs, flip-flops, DSPs, block RAMs in the family's unit, URAMs (vendors' product tables)
_DEVICES: dict[str, tuple[int, int, int, int, int]] = {
    "xc7z020": (53_200, 106_400, 220, 140, 0),
    "xc7z045": (218_600, 437_200, 900, 545, 0),
    "xc7a100t": (63_400, 126_800, 240, 135, 0),
    "xc7a200t": (134_600, 269_200, 740, 365, 0),
    "xczu3eg": (70_560, 141_120, 360, 216, 0),
    "xczu7ev": (230_400, 460_800, 1_728, 312, 96),
    "xczu9eg": (274_080, 548_160, 2_520, 912, 0),
    "xck26": (117_120, 234_240, 1_248, 144, 64),
    "lfe5u-25f": (24_288, 24_288, 28, 56, 0),
    "lfe5u-85f": (83_640, 83_640, 156, 208, 0),
}

# logic cells per LUT that the vendors' marketing figures use
_LOGIC_CELLS_PER_LUT: dict[Family, float] = {"xc7": 1.6, "xcup": 2.1875, "ecp5": 1.0}

# device and package -> widest memory interface of the processing system, in bits, and its fastest rate, in MT/s
_PS_MEMORY_LIMITS: dict[str, tuple[int, int]] = {
    "xc7z020clg400": (32, 1066),
    "xc7z045ffg900": (32, 1066),
    "xczu3eg-sbva484": (32, 2400),
    "xczu7ev-ffvc1156": (64, 2400),
    "xczu9eg-ffvb1156": (64, 2400),
    "xck26-sfvc784": (64, 2400),
}

# fastest rate of any memory on the pins of the programmable logic, in MT/s
_PL_MEMORY_LIMITS: dict[Family, int] = {"xc7": 1866, "xcup": 2666, "ecp5": 800}


def device_problems(
    part: str,
    family: Family,
    luts: int,
    flip_flops: int,
    dsps: int,
    bram36: int | None,
    bram18: int | None,
    uram: int,
) -> list[str]:
    """Return what is wrong with the part string and the resource counts, one text for each mistake."""
    problems = []
    if not re.fullmatch(_PART_PATTERNS[family], part):
        actual = next((f for f, pattern in _PART_PATTERNS.items() if re.fullmatch(pattern, part)), None)
        what = f"'{part}', which belongs to {actual}" if actual else f"'{part}', which is no full part string"
        problems.append(f"part must belong to family {family}, not be {what}")
    unit, other = ("bram18", "bram36") if family == "ecp5" else ("bram36", "bram18")
    given = {"bram36": bram36, "bram18": bram18}
    if given[unit] is None:
        problems.append(f"resources.{unit} must be given for family {family}")
    if given[other] is not None:
        problems.append(f"resources.{other} must not be given for family {family}: count blocks as {unit}")
    device = next((name for name in _DEVICES if part.lower().startswith(name)), None)
    if device is not None:
        problems += _compare_device(device, family, (luts, flip_flops, dsps, given[unit], uram), unit)
    elif family != "ecp5" and flip_flops != 2 * luts:
        problems.append(
            f"resources.flip_flops must be twice resources.luts on {family} ({2 * luts}), not {flip_flops}: "
            f"were logic cells given as LUTs?"
        )
    return problems


def _compare_device(device: str, family: Family, given: tuple[int, int, int, int | None, int], unit: str) -> list[str]:
    problems = []
    names = ("luts", "flip_flops", "dsps", unit, "uram")
    for name, is_value, should in zip(names, given, _DEVICES[device], strict=True):
        if is_value is None or is_value == should:
            continue
        hint = ""
        if name == "luts" and abs(is_value / should / _LOGIC_CELLS_PER_LUT[family] - 1) < 0.02:
            hint = ": these are logic cells, not LUTs"
        elif name == "bram36" and is_value == 2 * should:
            hint = ": these are blocks of 18 Kb, not of 36 Kb"
        problems.append(f"resources.{name} must be {should} for {device}, not {is_value}{hint}")
    return problems


def memory_problems(
    part: str, port: str, data_bits: int, megatransfers_per_s: int, bandwidth_bytes_per_s: int
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
        limit = next((value for key, value in _PS_MEMORY_LIMITS.items() if part.lower().startswith(key)), None)
        if limit is None:
            if not re.match(r"xc7z|xczu|xck2", part):
                problems.append(f"memory.port must be pl for {part}, which has no processing system, not ps")
            limit = (64, 2666)
        if data_bits > limit[0]:
            problems.append(f"memory.data_bits must be at most {limit[0]} in this package, not {data_bits}")
        if megatransfers_per_s > limit[1]:
            problems.append(
                f"memory.megatransfers_per_s must be at most {limit[1]} in this package, not {megatransfers_per_s}"
            )
    else:
        family: Family = "ecp5" if part.startswith("LFE5") else "xc7" if part.startswith("xc7") else "xcup"
        if megatransfers_per_s > _PL_MEMORY_LIMITS[family]:
            problems.append(
                f"memory.megatransfers_per_s must be at most {_PL_MEMORY_LIMITS[family]} "
                f"on {family}, not {megatransfers_per_s}"
            )
    return problems
