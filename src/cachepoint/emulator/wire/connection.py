"""HTTP on the standard library: connections, one request after another on each, answers and streams."""

import io
import socket
import sys
import time
import uuid
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cachepoint.emulator.service.calls import Answer, Incoming
from cachepoint.emulator.service.operations import Service
from cachepoint.emulator.service.refusals.request import Refusal
from cachepoint.emulator.wire.body import TOO_SLOW, UnreadableError, read_body
from cachepoint.emulator.wire.eventstream import encode

__all__ = ["Server"]

_ERROR_NAMESPACE = "http://internal.amazon.com/coral/com.amazon.bedrock/"
_SCOPE_PARTS = 4  # key, date, region and the rest
_IDLE_SECONDS = 300.0
_REQUEST_SECONDS = 60.0


class Server(ThreadingHTTPServer):
    """A thread for each connection; `close` ends them all."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], service: Service) -> None:
        self.service = service
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what is no fault of the client."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def close(self) -> None:
        """Stop listening, and end every connection."""
        self.shutdown()
        self.server_close()
        for connection in tuple(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Patience(io.RawIOBase):
    """A connection's bytes: it may be idle for long, but what begins has to end in time, however it drips."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._deadline: float | None = None

    def rest(self) -> None:
        """No request has begun."""
        self._deadline = None

    def begin(self) -> None:
        """A request has begun, or goes on."""
        self._deadline = self._deadline or time.monotonic() + _REQUEST_SECONDS

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = _IDLE_SECONDS if self._deadline is None else self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        read = self._connection.recv_into(buffer)
        self.begin()
        return read


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
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
        # What runs out of its time here, half a head or an answer that nobody reads, ends the connection.
        super().handle_one_request()

    def do_POST(self) -> None:
        body, refusal = self._body()
        headers = {name.lower(): value for name, value in self.headers.items()}
        incoming = Incoming(self.command, self.path, self._region(), body, headers)
        self.connection.settimeout(_REQUEST_SECONDS)
        service = self.server.service
        answer = service.refuse(incoming, refusal) if refusal else service.answer(incoming)
        self._stream(answer) if answer.stream is not None else self._send(answer)

    do_GET = do_PUT = do_DELETE = do_PATCH = do_POST  # noqa: N815 -- the names are http.server's

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- http.server's name
        pass

    def version_string(self) -> str:
        return "cachepoint-emulator"

    def _body(self) -> tuple[bytes, Refusal | None]:
        self._patience.begin()
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

    def _send(self, answer: Answer) -> None:
        self._head(answer, "application/json")
        if answer.error:
            self.send_header("x-amzn-ErrorType", f"{answer.error}:{_ERROR_NAMESPACE}")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def _stream(self, answer: Answer) -> None:
        self._head(answer, "application/vnd.amazon.eventstream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in map(encode, answer.stream or ()):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def _head(self, answer: Answer, content_type: str) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", content_type)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
