"""Where candidates are judged: in this process, in several of this machine, or on a Dask cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolflow.flow.values import as_whole
from toolflow.ir.errors import ToolflowError

if TYPE_CHECKING:
    from quant.mechanisms.search.executor import Executor, Work


def require_workers(workers: int | str) -> None:
    """Refuse what is neither a number of processes nor the address of a Dask scheduler.

    Raises:
        ToolflowError: names both forms.
    """
    if not isinstance(workers, str):
        as_whole("--workers", workers, 1)
    elif not workers.startswith(("tcp://", "tls://")):
        raise ToolflowError(f"--workers must be a number or tcp://HOST:PORT, not '{workers}'")


def executor_of(work: Work, workers: int | str) -> Executor:
    """Return what applies work to candidates.

    Args:
        work: what is applied.
        workers: number of processes, or the address of a Dask scheduler.

    Raises:
        ToolflowError: Dask is not installed, no scheduler answers, or it has no workers.
    """
    from quant.mechanisms.search.executor import InProcess, LocalPool

    if isinstance(workers, str):
        from quant.mechanisms.search.cluster import DaskCluster

        return DaskCluster(work, workers)
    return InProcess(work) if workers == 1 else LocalPool(work, workers)
