"""The processes that run the jobs of a campaign."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import threading
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

from fuzz.campaign import Campaign, Job
from fuzz.notebook import DEFECT, Entry

FILE_KINDS = ("file", "project")
# A job that takes longer counts as a hang. The time of a network job includes building the engine and minimising a
# find; the time of the first file job includes making the originals.
LIMIT_S = 400.0
FILE_LIMIT_S = 90.0
ADDRESS_SPACE_BYTES = 16 << 30  # no small file may need more memory
_CONTEXT = multiprocessing.get_context("spawn")


def run_job(campaign: Campaign, job: Job) -> Entry:
    """Run a job in this process."""
    if job.kind in FILE_KINDS:
        from fuzz.files import run_file  # both modules load torch, which the parent process does not need

        return run_file(campaign, job)
    from fuzz.networks import run_network

    return run_network(campaign, job)


class Worker:
    """A process that runs one job after another. If it dies or hangs, a new one replaces it."""

    def __init__(self, campaign: Campaign) -> None:
        self.campaign = campaign
        self._start()

    def _start(self) -> None:
        self.connection, theirs = _CONTEXT.Pipe()
        self.process = _CONTEXT.Process(target=_serve, args=(self.campaign, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def run(self, job: Job) -> Entry:
        """Return the result of a job. If the process dies, the job is tried once more."""
        return self._once(job) or self._once(job) or Entry(job.kind, job.number, DEFECT, "process", "the process died")

    def _once(self, job: Job) -> Entry | None:
        limit_s = FILE_LIMIT_S if job.kind in FILE_KINDS else LIMIT_S
        try:
            self.connection.send(job)
            if self.connection.poll(limit_s):
                entry: Entry = self.connection.recv()
                return entry
        except (EOFError, OSError):
            self.close()
            self._start()
            return None
        self.close()
        self._start()
        return Entry(job.kind, job.number, DEFECT, "process", f"it took more than {limit_s:g} s")

    def close(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.kill()
        self.process.join()


def _serve(campaign: Campaign, connection: Connection) -> None:
    """Run jobs until the parent closes the connection."""
    os.environ["OMP_NUM_THREADS"] = "1"
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    logging.disable(logging.WARNING)  # the terminal shows finds only
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        connection.send(run_job(campaign, job))


def run_all(campaign: Campaign, jobs: Iterator[Job], workers: int, keep: Callable[[Entry], None]) -> None:
    """Run jobs on `workers` processes; `keep` is called with each entry, one at a time."""
    lock = threading.Lock()

    def run() -> None:
        worker = Worker(campaign)
        try:
            while True:
                with lock:
                    job = next(jobs, None)
                if job is None:
                    return
                entry = worker.run(job)
                with lock:
                    keep(entry)
        finally:
            worker.close()

    threads = [threading.Thread(target=run) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
