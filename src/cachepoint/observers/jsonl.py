"""JSON lines: what `cachepoint report` reads."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TextIO

from cachepoint.core.accounting.report import CallReport
from cachepoint.core.listeners import Observer


def jsonl(target: str | os.PathLike[str] | TextIO) -> Observer:
    """Append every report as one line of JSON. Safe under threads; a path also under processes.

    Args:
        target: A path, opened for every line, so that whoever rotates the file may move it away; or a
            text file that is open, which stays open.
    """
    return _ToPath(Path(target)) if isinstance(target, str | os.PathLike) else _ToFile(target)


def line_of(report: CallReport) -> str:
    """One report as a line."""
    return json.dumps(report.as_dict(), separators=(",", ":")) + "\n"


@dataclass(frozen=True, slots=True)
class _ToPath:
    path: Path

    def __call__(self, report: CallReport) -> None:
        # One write of an appending descriptor lands in one piece, whoever else writes.
        with self.path.open("ab", buffering=0) as file:
            file.write(line_of(report).encode())


@dataclass(frozen=True, slots=True)
class _ToFile:
    file: TextIO
    lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def __call__(self, report: CallReport) -> None:
        with self.lock:
            self.file.write(line_of(report))
            self.file.flush()
