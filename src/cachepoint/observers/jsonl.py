"""JSON lines: what `cachepoint report` reads."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from cachepoint.core.accounting.report import CallReport
from cachepoint.core.forks import ForkSafeLock
from cachepoint.core.guard import InvalidOptionError
from cachepoint.core.listeners import Observer


def jsonl(target: str | os.PathLike[str] | TextIO) -> Observer:
    """Append every report as one line of JSON. Safe under threads; a path also under processes.

    Args:
        target: A path, opened for every line, so that whoever rotates the file may move it away; or a
            text file that is open, which stays open.

    Raises:
        InvalidOptionError: Where the path cannot be written to, or the target is neither.
    """
    if isinstance(target, str | os.PathLike):
        return _ToPath(_writable(Path(target)))
    if not callable(getattr(target, "write", None)):
        raise InvalidOptionError(f"jsonl got {target!r}; give a path or a text file that is open")
    return _ToFile(target)


def line_of(report: CallReport) -> str:
    """One report as a line, with digests and sizes of what was sent."""
    line = report.as_dict()
    if report.sent is not None:
        line["sent"] = report.sent.as_dict()
    return json.dumps(line, separators=(",", ":")) + "\n"


def _writable(path: Path) -> Path:
    """The path, if a file can be appended to there. Nothing is made or opened: it may be a pipe."""
    if path.is_dir():
        raise InvalidOptionError(f"jsonl got {str(path)!r}, which is a directory; name a file in it")
    place = path if path.exists() else path.parent
    if not (place == path or place.is_dir()) or not os.access(place, os.W_OK):
        raise InvalidOptionError(f"jsonl cannot write to {str(path)!r}; name a file in a writable directory")
    return path


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
    lock: ForkSafeLock = field(default_factory=ForkSafeLock, repr=False, compare=False)

    def __call__(self, report: CallReport) -> None:
        with self.lock:
            self.file.write(line_of(report))
            self.file.flush()
