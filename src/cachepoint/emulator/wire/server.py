"""The emulator itself: HTTP on 127.0.0.1 around the service, and its clock."""

import socket
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, Self

from cachepoint.emulator.cache.engine import CacheEngine
from cachepoint.emulator.cache.tokens import Sizer, default_sizer
from cachepoint.emulator.responders import AutoResponder, Responder
from cachepoint.emulator.service.calls import Answer, CallLog, EmulatedCall, Incoming
from cachepoint.emulator.service.operations import Service
from cachepoint.emulator.wire.eventstream import encode

__all__ = ["BedrockEmulator"]

_DEFAULT_REGION = "us-east-1"
_ERROR_NAMESPACE = "http://internal.amazon.com/coral/com.amazon.bedrock/"
_SCOPE_PARTS = 4  # key, date, region and the rest
_MAX_CALLS = 10_000
_MAX_BYTES = 256 * 1024 * 1024


class BedrockEmulator:
    """Amazon Bedrock on 127.0.0.1, as far as prompt caching goes. A context manager, or start and stop it.

    Args:
        port: Where to listen; 0 takes a free port.
        responder: What the model says; an `AutoResponder` if None.
        sizer: How many tokens a prompt counts; an estimate from its length if None.
        clock: Seconds; `advance` moves what the emulator sees of it.
        reroute: Probability, 0 to 1, that a call on a cross-region profile meets another Region's cache.
        seed: Of the choice which calls are re-routed.
        profiles: Application inference profile ARNs and the model behind each.
        delay: Seconds before every answer begins.
        max_calls: How many calls `calls` holds; the oldest go first.
        max_bytes: How many bytes of them, request bodies included; the oldest go first here too, the newest
            call is always there.

    Raises:
        ValueError: A bound is negative.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        responder: Responder | None = None,
        sizer: Sizer | None = None,
        clock: Callable[[], float] = time.time,
        reroute: float = 0.0,
        seed: int = 0,
        profiles: Mapping[str, str] | None = None,
        delay: float = 0.0,
        max_calls: int = _MAX_CALLS,
        max_bytes: int = _MAX_BYTES,
    ) -> None:
        if max_calls < 0 or max_bytes < 0:
            raise ValueError(f"max_calls and max_bytes are at least 0, not {max_calls!r} and {max_bytes!r}.")
        self._port = port
        self._clock = clock
        self._moved = 0.0
        self._lock = Lock()
        self._calls = CallLog(max_calls, max_bytes)
        self._engine = CacheEngine(self.now, reroute=reroute, seed=seed)
        self._service = Service(
            engine=self._engine,
            clock=self.now,
            responder=responder or AutoResponder(),
            sizer=sizer or default_sizer,
            profiles=dict(profiles or {}),
            record=self._calls.append,
            delay=delay,
        )
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Listen. Starting twice is no error."""
        if self._server is None:
            self._server = _Server(("127.0.0.1", self._port), self._service)
            Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def stop(self) -> None:
        """Close the port and every connection. Entries and calls stay."""
        server, self._server = self._server, None
        if server is not None:
            server.close()

    @property
    def port(self) -> int:
        """Where it listens."""
        if self._server is None:
            raise RuntimeError("The emulator is not running: call start() or use it as a context manager.")
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """What to give boto3 as `endpoint_url`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def calls(self) -> tuple[EmulatedCall, ...]:
        """The requests it answered or refused, oldest first: the newest `max_calls` in `max_bytes`."""
        return self._calls.kept()

    def now(self) -> float:
        """Its clock, in seconds."""
        return self._clock() + self._moved

    def advance(self, seconds: float) -> None:
        """Move its clock."""
        if seconds < 0:
            raise ValueError(f"The clock only moves forward, not by {seconds!r} seconds.")
        with self._lock:
            self._moved += seconds

    def reset(self) -> None:
        """Forget entries and calls. The clock stays where it is."""
        self._engine.clear()
        self._calls.clear()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], service: Service) -> None:
        self.service = service
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        for connection in tuple(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Without it every small event waits 40 ms for the acknowledgement of the one before.
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def do_POST(self) -> None:
        answer = self.server.service.answer(Incoming(self.command, self.path, self._region(), self._body()))
        self._stream(answer) if answer.stream is not None else self._send(answer)

    do_GET = do_PUT = do_DELETE = do_PATCH = do_POST  # noqa: N815 -- the names are http.server's

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- http.server's name
        pass

    def version_string(self) -> str:
        return "cachepoint-emulator"

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return b"".join(iter(self._chunk, b""))
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline().partition(b";")[0], 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

    def _region(self) -> str:
        # AWS4-HMAC-SHA256 Credential=key/date/region/service/aws4_request, …
        scope = self.headers.get("Authorization", "").partition("Credential=")[2].split("/", 3)
        return scope[2] if len(scope) == _SCOPE_PARTS and scope[2] else _DEFAULT_REGION

    def _send(self, answer: Answer) -> None:
        self._head(answer.status, "application/json")
        if answer.error:
            self.send_header("x-amzn-ErrorType", f"{answer.error}:{_ERROR_NAMESPACE}")
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def _stream(self, answer: Answer) -> None:
        self._head(answer.status, "application/vnd.amazon.eventstream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in map(encode, answer.stream or ()):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def _head(self, status: int, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
