"""A file of a log, made into a table of calls without text; what can't be read is counted, with its line."""

import gc
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

from cachepoint.cli.audit.formats import calls
from cachepoint.cli.audit.formats.logged import UnusableError
from cachepoint.cli.audit.prints import Print, Printer
from cachepoint.cli.audit.sources import Bodies, Line, lines

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise ImportError(f'cachepoint audit needs {error.name}: pip install "cachepoint[audit]"') from error

# Rows that are held before they are written.
_ROWS = 4_096
_MOST_FAULTS = 1_000
COLLECTED = 200_000
_ARROW = {float: pa.float64(), int: pa.int64(), str: pa.string(), bytes: pa.binary(), bool: pa.bool_()}


class Piece(NamedTuple):
    """One file of a log: its number among all, and where it is."""

    number: int
    path: Path


class Span(NamedTuple):
    """The calls of one account in a file: when the first and the last began, and how late one comes.

    All in seconds: how late is how far behind one that stands in front of it a call began.
    """

    first: float
    last: float
    late: float
    piece: Piece

    def then(self, at: float) -> "Span":
        """With one more."""
        late = max(self.late, self.last - at)
        return self._replace(first=min(self.first, at), last=max(self.last, at), late=late)


class Fault(NamedTuple):
    """A record that could not be used."""

    file: str
    line: int
    reason: str


@dataclass(slots=True)
class Scanned:
    """What came of a file, or of many.

    Attributes:
        calls: How many calls were read.
        silent: How many of them have no input in the log.
        reasons: How many records could not be used, by reason.
        faults: The first 1,000 of those of each file.
        spans: By account and number of the file: when its calls were.
    """

    calls: int = 0
    silent: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    spans: dict[tuple[str, int], Span] = field(default_factory=dict)

    def join(self, other: "Scanned") -> None:
        """Add what came of other files."""
        self.calls += other.calls
        self.silent += other.silent
        self.reasons += other.reasons
        self.faults += other.faults
        self.spans.update(other.spans)

    def call(self, piece: Piece, made: Print) -> None:
        """Count a call."""
        self.calls += 1
        self.silent += made.dialect is None
        place = made.account, piece.number
        known = self.spans.get(place) or Span(made.at, made.at, 0.0, piece)
        self.spans[place] = known.then(made.at)

    def of(self, account: str) -> list[Span]:
        """The files that hold calls of an account."""
        return sorted(span for (name, _), span in self.spans.items() if name == account)

    def fault(self, piece: Piece, line: int, reason: str) -> None:
        """Count a record that could not be used."""
        self.reasons[reason] += 1
        if self.reasons.total() <= _MOST_FAULTS:
            self.faults.append(Fault(str(piece.path), line, reason))


def _schema() -> pa.Schema:
    hints = get_type_hints(Print)
    kinds = {name: next(k for k in (hint, *get_args(hint)) if k in _ARROW) for name, hint in hints.items()}
    fields = [pa.field(name, _ARROW[kind]) for name, kind in kinds.items()]
    return pa.schema([*fields, pa.field("file", pa.int64()), pa.field("line", pa.int64())])


SCHEMA = _schema()
COLUMNS = tuple(Print._fields)


def scan(piece: Piece, bodies: Bodies, key: bytes, scanned: Scanned) -> Iterator[pa.Table]:
    """The calls of a file, in tables of some thousand rows; `scanned` tells what came of it.

    Args:
        piece: The file.
        bodies: Where large bodies are.
        key: The key of the digests, the same for all files of a run.
        scanned: Is counted up.
    """
    printer, rows = Printer(key), list[tuple[Any, ...]]()
    for line in lines(piece.path):
        rows += _rows(piece, line, bodies, printer, scanned)
        if len(rows) >= _ROWS:
            yield _table(rows)
            rows = []
    if rows:
        yield _table(rows)


def _rows(
    piece: Piece, line: Line, bodies: Bodies, printer: Printer, scanned: Scanned
) -> Iterator[tuple[Any, ...]]:
    if line.fault is not None:
        scanned.fault(piece, line.number, line.fault)
        return
    if not line.text.strip():
        return
    for found in calls(line.text, bodies):
        try:
            if isinstance(found, UnusableError):
                raise found
            made = printer.of(found, f"{piece.path}:{line.number}")
        except UnusableError as fault:
            scanned.fault(piece, line.number, fault.reason)
        else:
            scanned.call(piece, made)
            yield (*made, piece.number, line.number)


def _table(rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    columns = [
        pa.array(column, kind.type) for column, kind in zip(zip(*rows, strict=True), SCHEMA, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def spool(piece: Piece, bodies: Bodies, key: bytes, folder: Path) -> Scanned:
    """Scan a file into one of Parquet in a folder, in a process of its own."""
    # A record is hundreds of objects without a cycle: to look for one after every 700 takes half as long.
    gc.set_threshold(COLLECTED)
    scanned, path = Scanned(), folder / f"{piece.number:08d}.parquet"
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for table in scan(piece, bodies, key, scanned):
            writer.write_table(table)
    return scanned


def prints(table: pa.Table) -> Iterator[Print]:
    """The calls of a table that holds the columns of `Print`, in their order."""
    for batch in table.select(COLUMNS).to_batches(max_chunksize=_ROWS):
        yield from map(Print._make, zip(*(column.to_pylist() for column in batch.columns), strict=True))
