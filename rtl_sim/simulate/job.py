"""The job of a simulation and its result."""

from __future__ import annotations

from dataclasses import dataclass

from toolflow.ir.errors import ToolflowError, VerificationError

FILL = 0xA5  # what results and guards hold before a job


class SimulationError(VerificationError):
    """The design hung, broke a protocol, wrote where it must not, or the simulator failed."""


@dataclass(frozen=True)
class RunOptions:
    """The options of a job.

    Attributes:
        seed: of the pauses; the same seed gives the same cycles.
        stall_probability: chance per cycle that a channel (AR, R, AW, W, B of either port) begins a pause, 0 … 0.9.
        latency_cycles: from a burst's address to its first beat, and from the last written beat to the response; ≥ 2.
        by_interrupt: wait for the interrupt instead of polling the control register.
        reset_at_cycle: reset the design so many cycles after the start, then start the same job again.
        fail_read: (port, n): the n-th beat read from that port, from 1, answers SLVERR.
        flip_read: (port, n): one bit of the n-th beat is flipped, with the answer OKAY.
        fail_write: n: the n-th write response, from 1, is SLVERR.
        watchdog_cycles: end the run if nothing moved on any memory channel and no instruction ended for so long.
        limit_cycles: end the run if it is not done after so many cycles.
    """

    seed: int = 1
    stall_probability: float = 0.0
    latency_cycles: int = 64
    by_interrupt: bool = False
    reset_at_cycle: int | None = None
    fail_read: tuple[int, int] | None = None
    flip_read: tuple[int, int] | None = None
    fail_write: int | None = None
    watchdog_cycles: int = 1_000_000
    limit_cycles: int = 1 << 40

    def __post_init__(self) -> None:
        if not 0.0 <= self.stall_probability <= 0.9:
            raise ToolflowError(f"stall_probability must lie within [0, 0.9], not {self.stall_probability}")
        if self.latency_cycles < 2:
            raise ToolflowError(f"latency_cycles must be at least 2, not {self.latency_cycles}")


@dataclass(frozen=True)
class Job:
    """One start of the design.

    Attributes:
        program, weights, images: contents of the three buffers that are read (PROGRAM.md).
        image_count: N.
        result_bytes: size of the buffer that results are written to.
        options: options for this job instead of the run's.
        name: for messages.
        map_bytes: size of the buffer of maps, which is read and written.
    """

    program: bytes
    weights: bytes
    images: bytes
    image_count: int
    result_bytes: int
    options: RunOptions | None = None
    name: str = ""
    map_bytes: int = 0


@dataclass(frozen=True)
class Outcome:
    """The outcome of one job.

    Attributes:
        error: the status register's code.
        results: the results buffer; bytes that were not written hold `FILL`.
        cycles: from the start to the last write response, by the RTL engine's own counter; 0 for HLS, whose model
            computes in no time.
        weight_stall_cycles: cycles in which the array waited for weights (RTL).
        instruction_cycles: cycles of every instruction in the order of retirement, over all passes (RTL).
        cycles_seen: the bench's count of the same.
        signature: the engine's signature register (RTL).
        beats_read: beats read from m_axi_gmem0 and m_axi_gmem1.
        beats_written: beats written to m_axi_gmem0.
        outside_reads: beats read from outside a port's buffers, by port.
        reset_in_flight: the reset came before the end of the job.
    """

    error: int
    results: bytes
    cycles: int
    weight_stall_cycles: int
    instruction_cycles: tuple[int, ...]
    cycles_seen: int
    signature: int
    beats_read: tuple[int, int]
    beats_written: int
    outside_reads: tuple[int, int]
    reset_in_flight: bool
