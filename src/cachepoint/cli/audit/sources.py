"""Where logs lie, and their lines: also of files that are broken in places."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from cachepoint.cli.audit.formats.logged import UnusableError

try:
    # Unpacks gzip in half of zlib's time, with its interface.
    from isal import isal_zlib
except ImportError as error:
    raise ImportError(f'cachepoint audit needs {error.name}: pip install "cachepoint[audit]"') from error

# Its stubs call the class an instance of itself.
_BrokenError = cast("type[Exception]", isal_zlib.error)
_PIECE = 1 << 20
# Of a line: a record holds at most 100 kB of each body, a line of an export a whole conversation.
MOST = 64 << 20
_GZIP = b"\x1f\x8b\x08"
_ENDS = (".json", ".jsonl", ".log", ".txt", ".gz", ".ndjson")
# Bedrock's logging writes these beside the records: bodies above 100 kB, and a file to see that it may write.
_BODIES, _CHECK = "data", "amazon-bedrock-logs-permission-check"


class Line(NamedTuple):
    """A line, by its number in the file from 1 on; `fault` says why it is none."""

    number: int
    text: bytes
    fault: str | None = None


def log_files(paths: Iterable[Path]) -> list[Path]:
    """The files of logs at some paths, in order; files in folders, as far as their names say so.

    Raises:
        ValueError: Where nothing is at a path, or no file of a log is in it.
    """
    found = [file for path in paths for file in _files_at(path)]
    return sorted(dict.fromkeys(found))


def _files_at(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ValueError(f"{str(path)!r} is no file and no folder; give the log's folder or its files")
    found = [
        Path(root) / name for root, _, names in os.walk(path) for name in names if _is_log(Path(root), name)
    ]
    if not found:
        raise ValueError(f"{str(path)!r} holds no log: no file that ends with {', '.join(_ENDS)}")
    return found


def _is_log(folder: Path, name: str) -> bool:
    return name.endswith(_ENDS) and folder.name != _BODIES and name != _CHECK


class Bodies:
    """The bodies that are in files of their own, by their `s3://` address, as far as they are at hand."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._roots = [path if path.is_dir() else path.parent for path in paths]

    def __call__(self, address: str) -> bytes:
        """What is in one.

        Raises:
            UnusableError: Where it is not at hand, or broken.
        """
        _, _, key = address.removeprefix("s3://").partition("/")
        parts = Path(key).parts
        if not address.startswith("s3://") or ".." in parts:
            raise UnusableError("the address of its body is none")
        places = (root.joinpath(*parts[i:]) for root in self._roots for i in range(len(parts)))
        place = next((place for place in places if place.is_file()), None)
        if place is None:
            raise UnusableError("its body is in a file that is not here")
        text = list(lines(place, whole=True))
        if not text or any(line.fault for line in text):
            raise UnusableError("its body is in a file that is broken")
        return text[0].text


def lines(path: Path, *, whole: bool = False) -> Iterator[Line]:
    """The lines of a file, unpacked where it is gzip; what cannot be read is a line with a fault.

    Args:
        path: The file.
        whole: Whether all of it is one line.
    """
    with path.open("rb") as file:
        packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        yield from _split(_members(file) if packed else _plain(file), whole=whole)


def _split(pieces: Iterable[bytes | None], *, whole: bool) -> Iterator[Line]:
    """Lines of pieces; None stands for a part that could not be unpacked."""
    number, rest = 1, b""
    for piece in pieces:
        if piece is None:
            yield Line(number, b"", "broken gzip")
            number, rest = number + 1, b""
            continue
        if whole:
            rest += piece
            continue
        *found, rest = (rest + piece).split(b"\n")
        for number, text in enumerate(found, number):  # noqa: B020 -- it goes on counting
            yield Line(number, text)
        number += bool(found)
        if len(rest) > MOST:
            yield Line(number, b"", f"longer than {MOST >> 20} MB")
            rest = b""
    if rest:
        yield Line(number, rest)


def _plain(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece


def _members(file: BinaryIO) -> Iterator[bytes | None]:
    """What the members of a gzip file hold; None for one that is broken, behind what came out of it whole."""
    window = _Window(file)
    while window.more():
        try:
            yield from window.member()
        except _BrokenError:
            yield None
            window.next_member()


class _Window:
    """A part of a file, as far as it is needed to find a member's end, or the next one's beginning."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.held = b""

    def more(self) -> bool:
        if not self.held:
            self.held = self.file.read(_PIECE)
        return bool(self.held)

    def member(self) -> Iterator[bytes]:
        unpacker = isal_zlib.decompressobj(wbits=31)
        while not unpacker.eof:
            if not self.more():
                raise _BrokenError("the file ends within a member")
            data, self.held = self.held, b""
            try:
                out = unpacker.decompress(data, _PIECE)
            except _BrokenError:
                self.held = data
                raise
            self.held = unpacker.unconsumed_tail or unpacker.unused_data
            if out:
                yield out

    def next_member(self) -> None:
        """Go to where the next member begins, behind the first byte."""
        at = self.held.find(_GZIP, 1)
        while at < 0 and (piece := self.file.read(_PIECE)):
            self.held = self.held[-len(_GZIP) + 1 :] + piece
            at = self.held.find(_GZIP)
        self.held = self.held[at:] if at >= 0 else b""
