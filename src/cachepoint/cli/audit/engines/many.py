"""Many machines: the same plan on a Dask cluster.

Dask rather than Ray or Spark: it is Python alone, so that it runs wherever the library does, needs no JVM,
and takes the functions of the plan as they are. The files must lie where every worker can read them.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from zlib import crc32

import pyarrow as pa
import pyarrow.compute as pc

from cachepoint.cli.audit.engines.plan import ACCOUNT, ORDER, Account, Audit, Plan, Progress, account, quiet
from cachepoint.cli.audit.scan import SCHEMA, Piece, Scanned, prints, scan

try:
    from distributed import Client, LocalCluster
except ImportError as error:
    raise ImportError('audit --dask needs Dask: pip install "cachepoint[audit-dask]"') from error

LOCAL = "local"
_MOST_PARTS = 256


@contextmanager
def connected(address: str, workers: int | None = None) -> Iterator[Client]:
    """A client of the scheduler at an address; for `local`, of a cluster of this machine that ends with it.

    One's own is started as Dask says: `dask scheduler`, and `dask worker ADDRESS` on each machine.
    """
    if address != LOCAL:
        with Client(address) as client:
            yield client
        return
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            # What fails is raised here; that heartbeats end with their scheduler is no news.
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def run(plan: Plan, client: Client, *, progress: Progress = quiet) -> Audit:
    """Audit on a cluster: each file is a task, and each part of the accounts.

    Args:
        plan: What.
        client: Of the cluster.
        progress: Is told of each file that was scanned.
    """
    found, count = Audit(), min(len(plan.pieces), _MOST_PARTS)
    files = client.map(partial(_scan, plan=plan, count=count), plan.pieces, pure=False)
    pieces = {key.key: piece for key, piece in zip(files, plan.pieces, strict=True)}
    apart = [[client.submit(_pick, file, i, pure=False) for file in files] for i in range(count)]
    counts = client.map(_counts, files, pure=False)
    del files
    for counted, piece in zip(counts, pieces.values(), strict=True):
        found.scanned.join(counted.result())
        progress(piece)
    found.scanned.faults.sort()
    parts = [client.submit(_part, tables, plan, found.scanned, pure=False) for tables in apart]
    del apart
    found.join(one for part in parts for one in part.result())
    return found


def _scan(piece: Piece, plan: Plan, count: int) -> tuple[Scanned, list[pa.Table]]:
    """The calls of a file, apart by account."""
    scanned = Scanned()
    tables = list(scan(piece, plan.bodies, plan.key, scanned))
    whole = pa.concat_tables(tables) if tables else SCHEMA.empty_table()
    named = whole.column(ACCOUNT).to_pylist()
    wanted = pa.array([crc32(account.encode()) % count for account in named], pa.int64())
    return scanned, [whole.filter(pc.equal(wanted, i)) for i in range(count)]


def _counts(of_file: tuple[Scanned, Any]) -> Scanned:
    return of_file[0]


def _pick(of_file: tuple[Any, list[pa.Table]], index: int) -> pa.Table:
    return of_file[1][index]


def _part(tables: Sequence[pa.Table], plan: Plan, scanned: Scanned) -> list[Account]:
    """What is found of the accounts of one part."""
    table = pa.concat_tables(tables).sort_by([(name, "ascending") for name in (ACCOUNT, *ORDER)])
    column = table.column(ACCOUNT)
    return [
        account(plan, scanned, name, prints(table.filter(pc.equal(column, name))))
        for name in pc.unique(column).to_pylist()
    ]
