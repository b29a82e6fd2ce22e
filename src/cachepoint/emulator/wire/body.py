"""A request's body, read within limits: a client may lie about its length, stop half-way or never end."""

import re
from collections.abc import Iterator
from email.message import Message
from typing import Protocol

from cachepoint.emulator.service.refusals.request import Refusal, invalid

__all__ = ["TOO_SLOW", "Source", "UnreadableError", "read_body", "too_large"]

# 20 images of 3.75 MB and 5 documents of 4.5 MB, in base64: AWS user guide, "Converse", 2026.
_MOST_BYTES = 140_000_000
_PIECE = 65_536
_MOST_LINE = 1_024
_MOST_TRAILERS = 100
_LENGTH = re.compile(r"\d{1,15}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,12})[ \t]*(?:;[^\r\n]*)?\r?\n")


# What AWS's front end says to these is not known: the words are ours.
def too_large(message: str) -> Refusal:
    """A 413."""
    return Refusal(413, "RequestEntityTooLargeException", message)


_TOO_LARGE = too_large(f"The request is larger than {_MOST_BYTES} bytes.")
TOO_SLOW = Refusal(408, "RequestTimeoutException", "The request did not arrive in time.")


class Source(Protocol):
    """What a body is read from."""

    def read1(self, size: int, /) -> bytes:
        """At most `size` bytes, as soon as there are any."""
        ...

    def readline(self, size: int, /) -> bytes:
        """A line, or `size` bytes of it."""
        ...


class UnreadableError(Exception):
    """The body can't be read; after it nothing on the connection can."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def read_body(headers: Message, source: Source) -> bytes:
    """The whole body, chunked or of a given length.

    Raises:
        UnreadableError: It is neither, ends early or is too large.
        TimeoutError: It does not arrive in time.
    """
    if (coding := headers.get("Transfer-Encoding")) is not None:
        if coding.strip().lower() != "chunked":
            raise UnreadableError(invalid(f"Transfer-Encoding can only be chunked, not {coding[:100]!r}."))
        return _joined(_chunks(source))
    lengths = set(headers.get_all("Content-Length", ["0"]))
    if len(lengths) > 1:
        raise UnreadableError(invalid(f"There are {len(lengths)} values of Content-Length."))
    return _joined(_exactly(_length(lengths.pop()), source))


def _joined(pieces: Iterator[bytes]) -> bytes:
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > _MOST_BYTES:
            raise UnreadableError(_TOO_LARGE)
    return bytes(body)


def _length(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise UnreadableError(invalid(f"Content-Length is a number of bytes, not {text[:100]!r}."))
    if not _LENGTH.fullmatch(text) or int(text) > _MOST_BYTES:
        raise UnreadableError(_TOO_LARGE)
    return int(text)


def _exactly(size: int, source: Source) -> Iterator[bytes]:
    left = size
    while left:
        piece = source.read1(min(left, _PIECE))
        if not piece:
            raise UnreadableError(invalid(f"The request ends after {size - left} of {size} bytes."))
        left -= len(piece)
        yield piece


def _chunks(source: Source) -> Iterator[bytes]:
    while size := _chunk_size(source):
        yield from _exactly(size, source)
        if source.readline(_MOST_LINE).strip():
            raise UnreadableError(invalid("A chunk of the request is longer than it says."))
    for _ in range(_MOST_TRAILERS):
        if not source.readline(_MOST_LINE).strip():
            return


def _chunk_size(source: Source) -> int:
    line = source.readline(_MOST_LINE)
    found = _CHUNK_SIZE.fullmatch(line)
    if not found:
        raise UnreadableError(
            invalid(f"A chunk begins with its size in hexadecimal digits, not {line[:100]!r}.")
        )
    return int(found[1], 16)
