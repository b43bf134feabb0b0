"""Executors: they apply work to candidates in this process or in several; the results are the same.

A worker that dies, because of its candidate or for want of memory, is replaced. Its candidate is tried again, and the
others go on.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from toolflow.ir.errors import ToolflowError

TRIES = 3  # of a candidate whose worker dies

Work = Callable[[Any], Any]  # it can be pickled, as candidates and results can


class Executor(Protocol):
    """Applies one piece of work to candidates."""

    def results(self, candidates: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Yield (place, result) of each candidate, in the order in which they are found.

        Raises:
            ToolflowError: a candidate has cost several workers, or there are no workers any more.
        """

    def close(self) -> None:
        """End all workers."""


class InProcess:
    """Applies work here, to one candidate after the other."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def results(self, candidates: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Yield (place, result) of each candidate, in their order."""
        for place, candidate in enumerate(candidates):
            yield place, self._work(candidate)

    def close(self) -> None:
        """Do nothing."""


class LocalPool:
    """Applies work in several processes of this machine; they start with the first candidates.

    Args:
        work: what is applied.
        workers: number of processes.
    """

    def __init__(self, work: Work, workers: int) -> None:
        self._work, self._count = work, workers
        self._pool: list[_Worker] = []

    def results(self, candidates: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Yield (place, result) of each candidate, in the order in which they are found."""
        self._pool += [_Worker(self._work) for _ in range(min(self._count, len(candidates)) - len(self._pool))]
        waiting, tries = deque(range(len(candidates))), [0] * len(candidates)
        busy: dict[Any, tuple[_Worker, int]] = {}
        while waiting or busy:
            for worker in [each for each in self._pool if each.pipe not in busy][: len(waiting)]:
                place = waiting.popleft()
                if worker.give(candidates[place]):
                    busy[worker.pipe] = worker, place
                else:
                    self._replace(worker)
                    waiting.appendleft(place)
            for pipe in wait(list(busy)):
                worker, place = busy.pop(pipe)
                try:
                    failed, result = worker.pipe.recv()
                except (EOFError, OSError):
                    tries[place] += 1
                    if tries[place] >= TRIES:
                        raise lost(place, f"exit code {worker.exit_code()}") from None
                    self._replace(worker)
                    waiting.appendleft(place)
                    continue
                if failed:
                    raise result
                yield place, result

    def _replace(self, worker: _Worker) -> None:
        self._pool.remove(worker)
        worker.end()
        self._pool.append(_Worker(self._work))

    def close(self) -> None:
        """End all workers."""
        for worker in self._pool:
            worker.end()
        self._pool.clear()


def lost(place: int, why: str) -> ToolflowError:
    """Return the error of a candidate that has cost too many workers."""
    return ToolflowError(
        f"candidate {place} has cost {TRIES} workers, the last with {why}: what was judged is kept; "
        "give fewer --workers if the memory is too small"
    )


class _Worker:
    """A process, and the pipe to it."""

    def __init__(self, work: Work) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, its = context.Pipe()
        self._process: BaseProcess = context.Process(target=_serve, args=(its, work), daemon=True)
        self._process.start()
        its.close()

    def give(self, candidate: Any) -> bool:
        """Return whether the worker took a candidate."""
        try:
            self.pipe.send(candidate)
        except OSError:
            return False
        return True

    def exit_code(self) -> int | None:
        """Return the exit code of a worker that has died."""
        self._process.join(1)
        return self._process.exitcode

    def end(self) -> None:
        """End the process."""
        self.pipe.close()
        self._process.terminate()
        self._process.join()


def _serve(pipe: Connection, work: Work) -> None:
    """Apply the work to what the pipe gives, until its other end is closed; an interrupt is for that end alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            candidate = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = False, work(candidate)
        except Exception as error:
            answer = True, error
        pipe.send(answer)
