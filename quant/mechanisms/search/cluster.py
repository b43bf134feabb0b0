"""An executor on a Dask cluster: the workers load this package, candidates and results travel.

A candidate whose worker dies is tried again on another one. The work itself is sent once to every worker, and once more
if it was lost with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from typing import Any

from quant.mechanisms.search.executor import TRIES, Work, lost
from toolflow.ir.errors import ToolflowError

PATIENCE_S = 30  # for a scheduler to answer, and for a worker to be there


class DaskCluster:
    """Applies work on the workers of a Dask scheduler.

    Args:
        work: what is applied.
        address: of the scheduler, tcp://HOST:PORT.

    Raises:
        ToolflowError: Dask is not installed, no scheduler answers, or it has no workers.
    """

    def __init__(self, work: Work, address: str) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise ToolflowError(
                f"--workers {address} needs Dask: pip install 'cascade-toolflow[cluster]', here and on the cluster"
            ) from error
        self._work, self._address = work, address
        try:
            self._client = Client(address, timeout=PATIENCE_S)
        except (OSError, TimeoutError, ValueError) as error:
            raise ToolflowError(f"--workers {address}: no Dask scheduler answers there ({error})") from error
        try:
            self._sent = self._send()
        except ToolflowError:
            self.close()
            raise

    def results(self, candidates: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Yield (place, result) of each candidate, in the order in which they are found."""
        from distributed import as_completed

        futures = {self._submit(candidate): place for place, candidate in enumerate(candidates)}
        tries = [0] * len(candidates)
        completed = as_completed(futures)
        for future in completed:
            place = futures[future]
            if future.status == "finished":
                try:
                    found = future.result()
                except CancelledError:  # another candidate ended the worker that still held it: no try of this one
                    pass
                else:
                    yield place, found
                    continue
            else:
                error = future.exception() if future.status == "error" else None
                if isinstance(error, Exception) and type(error).__name__ != "KilledWorker":
                    raise error
                tries[place] += 1
                if tries[place] >= TRIES:
                    raise lost(place, str(error or future.status))
            self._sent = self._send()
            again = self._submit(candidates[place])
            futures[again] = place
            completed.add(again)

    def _submit(self, candidate: Any) -> Any:
        return self._client.submit(_applied, self._sent, candidate, pure=False)

    def _send(self) -> Any:
        """Send the work to the workers that are there.

        Raises:
            ToolflowError: there are none, or the scheduler has gone.
        """
        try:
            self._client.wait_for_workers(1, timeout=PATIENCE_S)
            return self._client.scatter(self._work, broadcast=True, hash=False)
        except (OSError, TimeoutError, RuntimeError, ValueError) as error:
            raise ToolflowError(
                f"--workers {self._address}: the Dask cluster has no workers, or has gone ({error}): what was judged "
                "is kept; the same command goes on from there"
            ) from error

    def close(self) -> None:
        """Leave the cluster; it goes on."""
        self._client.close()


def _applied(work: Work, candidate: Any) -> Any:
    return work(candidate)
