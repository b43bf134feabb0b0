"""The files that Python and `bench/cascade_bench.sv` exchange about one job."""

from __future__ import annotations

import itertools
from pathlib import Path

from rtl_sim.simulate.job import FILL, Job, Outcome, RunOptions, SimulationError
from toolflow.engine.config import EngineConfig
from toolflow.engine.registers import PAGE_BYTES
from toolflow.ir.errors import ToolflowError

MEMORY_BYTES = 1 << 26
BOUNDARY = 1 << 33

# Bit i of the bench's `violations`; item i of its `ending`; pairs (valid, ready) of its `channels`, highest bits first.
VIOLATIONS = (
    "m_axi_gmem0 read address not held until ready",
    "m_axi_gmem1 read address not held until ready",
    "m_axi_gmem0 write address not held until ready",
    "m_axi_gmem0 write data not held until ready",
    "s_axi_control write answer not held until ready",
    "s_axi_control read answer not held until ready",
    "a burst crosses 4,096 bytes",
    "a burst's address is not a multiple of the beat",
    "a burst's size is not the bus width or its type is not INCR",
    "wlast in the wrong beat",
    "valid during reset",
    "a transfer was offered before start or after done",
    "a write outside results and maps",
    "done while bursts were under way",
    "s_axi_control answered with an error",
)
ENDINGS = (
    "",
    "nothing moved for {watchdog_cycles:,} cycles",
    "not done after {limit_cycles:,} cycles",
    "s_axi_control did not answer",
    "every process of the HLS model waits for a stream",
    "the memory's file could not be read",
)
CHANNELS = (
    *(f"s_axi_control.{name}" for name in ("aw", "w", "b", "ar", "r")),
    *(f"m_axi_gmem0.{name}" for name in ("ar", "r", "aw", "w", "b")),
    *(f"m_axi_gmem1.{name}" for name in ("ar", "r")),
)


def write_job(folder: Path, number: int, config: EngineConfig, job: Job, options: RunOptions) -> dict[str, int]:
    """Write the job's memory to `folder` and return the values of the bench's signals.

    The buffers lie apart by a page of guard bytes, and across a 32-bit boundary of addresses.

    Raises:
        ToolflowError: the buffers exceed the bench's memory.
    """
    memory = bytearray([FILL]) * PAGE_BYTES
    specification: dict[str, int] = {}
    largest = (0, 0)
    buffers = {
        "program": job.program,
        "weights": job.weights,
        "images": job.images,
        "results": bytes([FILL]) * job.result_bytes,
        "maps": bytes([FILL]) * job.map_bytes,
    }
    beat = config.bus_bytes
    for name, content in buffers.items():
        begin, size = len(memory), -(-len(content) // beat) * beat
        specification[f"{name}_begin"], specification[f"{name}_end"] = begin, begin + size
        memory += content + bytes([FILL]) * (-len(content) % PAGE_BYTES + PAGE_BYTES)
        largest = max(largest, (size, begin))
    if len(memory) > MEMORY_BYTES:
        raise ToolflowError(
            f"job {number} '{job.name}': its buffers must fit the bench's {MEMORY_BYTES:,} bytes of memory, "
            f"not need {len(memory):,}: use fewer images a job"
        )
    (folder / f"job_{number}.bin").write_bytes(memory)
    fail_port, fail_beat = options.fail_read or (0, 0)
    flip_port, flip_beat = options.flip_read or (0, 0)
    return specification | {
        "base": BOUNDARY - largest[1] - (PAGE_BYTES if largest[0] > PAGE_BYTES else 0),
        "size_bytes": len(memory),
        "image_count": job.image_count,
        "seed": options.seed & 0xFFFFFFFF,
        "stall_per_mille": round(options.stall_probability * 1000),
        "latency_cycles": options.latency_cycles,
        "fail_beat_0": fail_beat if fail_port == 0 else 0,
        "fail_beat_1": fail_beat if fail_port == 1 else 0,
        "flip_beat_0": flip_beat if flip_port == 0 else 0,
        "flip_beat_1": flip_beat if flip_port == 1 else 0,
        "fail_response": options.fail_write or 0,
        "reset_cycle": options.reset_at_cycle or 0,
        "watchdog_cycles": options.watchdog_cycles,
        "limit_cycles": options.limit_cycles,
        "by_interrupt": int(options.by_interrupt),
    }


def read_outcome(folder: Path, number: int, job: Job, options: RunOptions, answer: dict[str, int], log: str) -> Outcome:
    """Return what a job did, from the bench's answer, the files it wrote and the simulator's log.

    Raises:
        SimulationError: the job did not end, a protocol rule was broken, or a write left results and maps.
    """
    what = f"job {number}" + (f" '{job.name}'" if job.name else "")
    if answer["ending"]:
        text = ENDINGS[answer["ending"]].format(
            watchdog_cycles=options.watchdog_cycles, limit_cycles=options.limit_cycles
        )
        raise SimulationError(f"{what}: {text}\n{_state(answer)}\n{log}")
    broken = [text for bit, text in enumerate(VIOLATIONS) if answer["violations"] >> bit & 1]
    if answer["outside_writes"]:
        broken.append(f"{answer['outside_writes']} beats outside, the last one at 0x{answer['outside_address']:x}")
    raw = (folder / f"job_{number}.out").read_bytes()
    content, guards = raw[PAGE_BYTES:-PAGE_BYTES], raw[:PAGE_BYTES] + raw[-PAGE_BYTES:]
    if set(guards) != {FILL}:
        broken.append("the guard bytes around the results changed")
    if broken:
        raise SimulationError(f"{what}: " + "; ".join(broken))
    marks = [0, *(int(line) for line in (folder / f"job_{number}.retired").read_text().split())]
    return Outcome(
        error=answer["error_code"],
        results=content[: job.result_bytes],
        cycles=answer["cycles_reported"],
        weight_stall_cycles=answer["weight_stalls"],
        instruction_cycles=tuple(after - before for before, after in itertools.pairwise(marks)),
        cycles_seen=answer["cycles_seen"],
        signature=answer["signature"],
        beats_read=(answer["read_beats_0"], answer["read_beats_1"]),
        beats_written=answer["written_beats"],
        outside_reads=(answer["outside_reads_0"], answer["outside_reads_1"]),
        reset_in_flight=bool(answer["reset_in_flight"]),
    )


def _state(answer: dict[str, int]) -> str:
    """Describe every channel at the end of a job that did not end by itself."""
    words = {0: "idle", 1: "ready, nothing offered", 2: "valid, waits for ready", 3: "moving"}
    shift = 2 * len(CHANNELS)
    lines = [
        f"  {name:18} {words[answer['channels'] >> (shift - 2 * place - 2) & 3]}" for place, name in enumerate(CHANNELS)
    ]
    lines.append(
        f"  beats read: {answer['read_beats_0']} and {answer['read_beats_1']}, written: {answer['written_beats']}; "
        f"instructions retired: {answer['retired']}"
    )
    return "\n".join(lines)
