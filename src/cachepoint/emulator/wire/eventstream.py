"""AWS event stream messages: prelude, headers, payload and the two CRC32 sums.

Smithy specification "Amazon Event Stream", 2026.
"""

import json
import struct
from typing import Any
from zlib import crc32

from cachepoint.emulator.service.events import Event, StreamFault

__all__ = ["encode", "encode_event", "encode_exception", "encode_message"]

_STRING = 7
_PADDING = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def encode(event: Event | StreamFault) -> bytes:
    """What a stream says, as its bytes."""
    if isinstance(event, StreamFault):
        # The members of the operation's output are the error codes with a small first letter.
        return encode_exception(event.code[:1].lower() + event.code[1:], event.message)
    return encode_event(event.kind, event.payload)


def encode_event(kind: str, payload: dict[str, Any]) -> bytes:
    """One event of a ConverseStream answer, padded with `p` as the real ones are (71 recorded streams)."""
    padding = _PADDING[: 1 + len(json.dumps(payload)) % len(_PADDING)]
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return encode_message(headers, {**payload, "p": padding})


def encode_exception(kind: str, message: str) -> bytes:
    """An error after the stream began; `kind` as in the operation's output, such as `throttlingException`."""
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return encode_message(headers, {"message": message})


def encode_message(headers: dict[str, str], payload: dict[str, Any]) -> bytes:
    """Any message: string headers, JSON payload."""
    head = b"".join(_encode_header(name, value) for name, value in headers.items())
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    prelude = struct.pack("!II", 16 + len(head) + len(body), len(head))
    message = prelude + struct.pack("!I", crc32(prelude)) + head + body
    return message + struct.pack("!I", crc32(message))


def _encode_header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return struct.pack("!B", len(key)) + key + struct.pack("!BH", _STRING, len(text)) + text
