"""HTTP on the standard library: connections, one request after another on each, answers and streams.

The standard library's server is enough. What an answer waits for, a responder, a delay, a paused stream, is
blocking code that needs a thread whatever reads the sockets; an event loop would add a second kind of waiting
and take none of the threads away. What it lacks is a bound: here there are at most 256 threads, and the
connection that has waited longest for its client gives its thread to the next one that comes. One that is
being answered keeps its own.
"""

import io
import socket
import sys
import time
import uuid
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import BoundedSemaphore, Event, Lock
from typing import Any

from cachepoint.emulator.service.calls import Answer, Incoming
from cachepoint.emulator.service.dialects.dialect import dump
from cachepoint.emulator.service.operations import Service
from cachepoint.emulator.service.refusals.request import Refusal, invalid
from cachepoint.emulator.wire.body import TOO_SLOW, UnreadableError, read_body, too_large
from cachepoint.emulator.wire.eventstream import encode

__all__ = ["Server"]

_ERROR_NAMESPACE = "http://internal.amazon.com/coral/com.amazon.bedrock/"
_SCOPE_PARTS = 4  # key, date, region and the rest
_MOST_THREADS = 256
_MOST_HEAD = 65_536
_HEAD_TOO_LARGE = too_large(f"The request line and headers are larger than {_MOST_HEAD} bytes.")
_IDLE_SECONDS = 300.0
_REQUEST_SECONDS = 60.0
_ROOM_SECONDS = 0.05
_LINGER_SECONDS = 1.0


class Server(ThreadingHTTPServer):
    """A thread for each connection, 256 at most; `close` ends them all."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], service: Service) -> None:
        self.service = service
        self._open: set[socket.socket] = set()
        # Those that wait for their client; who has waited longest stands first.
        self._waiting: dict[socket.socket, None] = {}
        self._lock = Lock()
        self._free = BoundedSemaphore(_MOST_THREADS)
        self._closing = Event()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection's requests, as soon as there is a thread for it."""
        if not self._has_room():
            super().shutdown_request(request)
            return
        with self._lock:
            self._open.add(request)
        self.waits(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """End a connection, and give its thread to another."""
        super().shutdown_request(request)
        with self._lock:
            known = request in self._open
            self._open.discard(request)
            self._waiting.pop(request, None)
        if known:
            self._free.release()

    def waits(self, connection: socket.socket) -> None:
        """A connection waits for its client: it may be ended to make room."""
        with self._lock:
            self._waiting.pop(connection, None)
            self._waiting[connection] = None

    def works(self, connection: socket.socket) -> None:
        """It has a request to answer, and may not be ended."""
        with self._lock:
            if connection not in self._waiting:
                raise ConnectionAbortedError("It was ended to make room.")
            del self._waiting[connection]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what is no fault of the client: it may go, or not read its answer."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def close(self) -> None:
        """Stop listening, and end every connection."""
        self._closing.set()
        self.shutdown()
        self.server_close()
        with self._lock:
            connections = tuple(self._open)
        for connection in connections:
            _end(connection)

    def _has_room(self) -> bool:
        wait = 0.0
        while not self._free.acquire(timeout=wait):
            if self._closing.is_set():
                return False
            self._make_room()
            wait = _ROOM_SECONDS
        return True

    def _make_room(self) -> None:
        with self._lock:
            longest = next(iter(self._waiting), None)
            if longest is None:
                return
            del self._waiting[longest]
        _end(longest)


def _end(connection: socket.socket) -> None:
    """Whoever reads or writes there stops."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Patience(io.RawIOBase):
    """A connection's bytes: it may be idle for long, but what begins has to end in time, however it drips."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.rest()

    def rest(self) -> None:
        """No request has begun; its head may be so large."""
        self._deadline: float | None = None
        self._left: float = _MOST_HEAD

    def begin(self) -> None:
        """A request has begun, or goes on."""
        self._deadline = self._deadline or time.monotonic() + _REQUEST_SECONDS

    def begin_body(self) -> None:
        """Its head is read: who reads the body keeps count of its size."""
        self.begin()
        self._left = float("inf")

    @property
    def began(self) -> bool:
        """Whether a request has."""
        return self._deadline is not None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = _IDLE_SECONDS if self._deadline is None else self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if self._left <= 0:
            raise UnreadableError(_HEAD_TOO_LARGE)
        self._connection.settimeout(left)
        read = self._connection.recv_into(buffer)
        self._left -= read
        self.begin()
        return read


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Else what comes before the version is known would be answered without a head.
    default_request_version = "HTTP/1.1"
    request_version = "HTTP/1.1"
    requestline = command = ""
    # Without it every small event waits 40 ms for the acknowledgement of the one before.
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server
    rfile: io.BufferedReader

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self._patience = _Patience(self.connection)
        self.rfile = io.BufferedReader(self._patience)

    def handle_one_request(self) -> None:
        self._patience.rest()
        self.server.waits(self.connection)
        self.close_connection = True
        if self._has_head():
            self._answer()

    def send_error(self, code: int, message: str | None = None, *_: Any) -> None:
        # What http.server finds wrong with a head: 414 and 431 are its words for "too large".
        large = code in (414, 431)
        self._say(_HEAD_TOO_LARGE if large else invalid(f"{message or 'Bad request'}"[:200]))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- http.server's name
        pass

    def version_string(self) -> str:
        return "cachepoint-emulator"

    def _has_head(self) -> bool:
        try:
            self.raw_requestline = self.rfile.readline(_MOST_HEAD + 1)
            return bool(self.raw_requestline) and self.parse_request()
        except UnreadableError as unreadable:
            self._say(unreadable.refusal)
        except TimeoutError:
            if self._patience.began:
                self._say(TOO_SLOW)
        return False

    def _answer(self) -> None:
        body, refusal = self._body()
        headers = {name.lower(): value for name, value in self.headers.items()}
        incoming = Incoming(self.command, self.path, self._region(), body, headers)
        self.server.works(self.connection)
        service = self.server.service
        answer = service.refuse(incoming, refusal) if refusal else service.answer(incoming)
        self.connection.settimeout(_REQUEST_SECONDS)
        self._stream(answer) if answer.stream is not None else self._send(answer)
        if refusal:
            self._linger()

    def _body(self) -> tuple[bytes, Refusal | None]:
        self._patience.begin_body()
        try:
            return read_body(self.headers, self.rfile), None
        except UnreadableError as unreadable:
            refusal = unreadable.refusal
        except TimeoutError:
            refusal = TOO_SLOW
        self.close_connection = True
        return b"", refusal

    def _region(self) -> str:
        # AWS4-HMAC-SHA256 Credential=key/date/region/service/aws4_request, …
        scope = self.headers.get("Authorization", "").partition("Credential=")[2].split("/", 3)
        return scope[2] if len(scope) == _SCOPE_PARTS else ""

    def _say(self, refusal: Refusal) -> None:
        """Refuse what is no request, and end the connection."""
        self.close_connection = True
        self.connection.settimeout(_REQUEST_SECONDS)
        self._send(Answer(refusal.status, dump({"message": refusal.message}), error=refusal.code))
        self._linger()

    def _linger(self) -> None:
        """Read on for a moment: a client that still sends would lose its answer to a reset connection."""
        until = time.monotonic() + _LINGER_SECONDS
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            while (left := until - time.monotonic()) > 0:
                self.connection.settimeout(left)
                if not self.connection.recv(65_536):
                    return

    def _send(self, answer: Answer) -> None:
        self._head(answer, "application/json")
        if answer.error:
            self.send_header("x-amzn-ErrorType", f"{answer.error}:{_ERROR_NAMESPACE}")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else answer.body)
        self.wfile.flush()

    def _stream(self, answer: Answer) -> None:
        chunked = self.request_version != "HTTP/1.0"
        self._head(answer, "application/vnd.amazon.eventstream")
        self.send_header(*(("Transfer-Encoding", "chunked") if chunked else ("Connection", "close")))
        self.end_headers()
        for said in answer.stream or ():
            piece = said if isinstance(said, bytes) else encode(said)
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n" if chunked else b"")
        self.wfile.flush()

    def _head(self, answer: Answer, content_type: str) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", content_type)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
