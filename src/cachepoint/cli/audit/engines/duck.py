"""One machine: files are scanned by as many processes as there are cores, and DuckDB puts the calls in order.

DuckDB rather than Polars, as it sorts and groups on disk within a memory that it is given, and reads Parquet
by columns; a log of hundreds of gigabytes is some tens once its texts are digests.
"""

import gc
import os
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from cachepoint.cli.audit.engines.plan import ACCOUNT, ORDER, Account, Audit, Plan, Progress, account, quiet
from cachepoint.cli.audit.prints import Print
from cachepoint.cli.audit.scan import COLLECTED, COLUMNS, Scanned, spool

try:
    import duckdb
except ImportError as error:
    raise ImportError(f'cachepoint audit needs {error.name}: pip install "cachepoint[audit]"') from error

_MEMORY_MB = 1_024
# With less DuckDB sorts no million calls.
_LEAST_MB = 512
_ROWS = 2_048


def run(
    plan: Plan,
    *,
    workers: int | None = None,
    memory_mb: int = _MEMORY_MB,
    folder: Path | None = None,
    progress: Progress = quiet,
) -> Audit:
    """Audit on this machine.

    Args:
        plan: What.
        workers: Processes; None: as many as there are cores.
        memory_mb: Megabytes that DuckDB may hold, over all processes: each that follows calls takes 512.
        folder: Where files of this run are put until it ends; None: where the system puts such.
        progress: Is told of each file that was scanned.
    """
    count = workers or cores()
    with tempfile.TemporaryDirectory(prefix="cachepoint-audit-", dir=folder) as spooled:
        found, place = Audit(), Path(spooled)
        with _pool(count) as pool:
            _scan(plan, pool, place, found, progress)
        # Other processes: those that scanned hold what they needed for it.
        at_once = max(1, min(count, memory_mb // _LEAST_MB))
        with _pool(at_once) as pool:
            each = partial(_account, plan, found.scanned, place, memory_mb // at_once)
            found.join(pool.map(each, _accounts(place)))
        return found


def _pool(count: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"))


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _scan(plan: Plan, pool: Executor, place: Path, found: Audit, progress: Progress) -> None:
    jobs = {pool.submit(spool, piece, plan.bodies, plan.key, place): piece for piece in plan.pieces}
    for job in as_completed(jobs):
        found.scanned.join(job.result())
        progress(jobs[job])
    found.scanned.faults.sort()


def _connected(place: Path, memory_mb: int = _MEMORY_MB) -> duckdb.DuckDBPyConnection:
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{memory_mb}MB",
        "temp_directory": str(place / "sorting"),
        "threads": 1,
    }
    connection = duckdb.connect(config=settings)
    connection.execute("SET enable_progress_bar = false")
    return connection


def _accounts(place: Path) -> list[str]:
    with _connected(place) as connection:
        rows = connection.execute(
            f"SELECT {ACCOUNT}, count(*) FROM read_parquet(?) GROUP BY ALL ORDER BY 2 DESC, 1",  # noqa: S608
            [str(place / "*.parquet")],
        ).fetchall()
    return [account for account, _ in rows]


def _account(plan: Plan, scanned: Scanned, place: Path, memory_mb: int, name: str) -> Account:
    gc.set_threshold(COLLECTED)
    return account(plan, scanned, name, _ordered(place, memory_mb, name))


def _ordered(place: Path, memory_mb: int, account: str) -> Iterator[Print]:
    with _connected(place, memory_mb) as connection:
        result = connection.execute(
            f"SELECT {_named(COLUMNS)} FROM read_parquet(?) WHERE {ACCOUNT} = ?"  # noqa: S608
            f" ORDER BY {_named(ORDER)}",
            [str(place / "*.parquet"), account],
        )
        while rows := result.fetchmany(_ROWS):
            yield from map(Print._make, rows)


def _named(columns: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)
