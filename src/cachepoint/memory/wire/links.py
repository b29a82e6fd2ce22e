"""One connection to a server: redis-py opens it (TLS, passwords, databases), and it is asked here.

What is asked goes out at once and its answers are read within one deadline, by whoever waits: a thread, or a
task of any event loop, as nothing of a loop stays with a connection.
"""

import asyncio
import select
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any

import hiredis
from redis.backoff import NoBackoff
from redis.connection import Connection
from redis.retry import Retry

from cachepoint.memory.store.scripts import SCRIPT, command

Reply = Any
# Seconds that a connection may take to be made, away from any call.
OPENING = 2.0
# After so many seconds of rest it is looked at before it is used: the server may have closed it.
_RESTED = 0.5
_CHUNK = 1 << 16
_LEAST = 1e-6
_AGAIN = (BlockingIOError, ssl.SSLWantReadError)
# Windows' own loop watches no sockets.
_UNWATCHING: tuple[type, ...] = tuple(filter(None, [getattr(asyncio, "ProactorEventLoop", None)]))


class LateError(TimeoutError):
    """The answer was not there in time."""


class Link:
    """An open connection. One that failed or whose answer was late is closed, and never used again.

    Args:
        how: What redis-py takes to make a connection, `connection_class` among it.

    Raises:
        redis.RedisError: Where it can't be made.
    """

    def __init__(self, how: Mapping[str, Any]) -> None:
        options = {"socket_connect_timeout": OPENING, "socket_timeout": OPENING, **how}
        made: type[Connection] = options.pop("connection_class", Connection)
        # What it is told beside an answer (RESP3) is of no use here.
        self._connection = made(**options, protocol=2, retry=Retry(NoBackoff(), 0))
        self._connection.connect()  # type: ignore[no-untyped-call]
        self._socket = _socket_of(self._connection)
        self._replies = hiredis.Reader(notEnoughData=NotImplemented)
        self._buffer = bytearray(_CHUNK)
        self._rested = time.monotonic()
        self.ask(command(b"SCRIPT", b"LOAD", SCRIPT), 1, OPENING)

    def ask(self, sent: bytes, count: int, timeout: float) -> list[Reply]:
        """Send something, and read so many replies. Errors among them are given back, not raised.

        Raises:
            LateError: Where they are not there within `timeout` seconds.
            OSError: Where the connection is lost.
        """
        until = time.monotonic() + timeout
        self.send(sent, timeout)
        return self.receive(count, until - time.monotonic())

    def send(self, sent: bytes, timeout: float) -> None:
        """Send something whose replies are to be received."""
        try:
            self._socket.settimeout(max(timeout, _LEAST))
            self._socket.sendall(sent)
        except BaseException as error:
            self.close()
            raise _told(error) from None

    def receive(self, count: int, timeout: float) -> list[Reply]:
        """Read so many replies."""
        until = time.monotonic() + timeout
        try:
            return self._read(count, lambda: self._receive(until))
        except BaseException as error:
            self.close()
            raise _told(error) from None

    async def aask(self, sent: bytes, count: int, timeout: float) -> list[Reply]:
        """As `ask`, awaited."""
        if isinstance(asyncio.get_running_loop(), _UNWATCHING):
            return await asyncio.to_thread(self.ask, sent, count, timeout)
        try:
            self._socket.settimeout(0)
            async with asyncio.timeout(timeout):
                await self._asend(sent)
                return await self._aread(count)
        except BaseException as error:
            self.close()
            raise _told(error) from None

    @property
    def is_alive(self) -> bool:
        """Whether it can be used: nothing came and nothing ended while it rested."""
        if time.monotonic() - self._rested < _RESTED:
            return True
        watched = select.poll()
        watched.register(self._socket, select.POLLIN)
        return not watched.poll(0)

    def rest(self) -> None:
        """It is not in use from now on."""
        self._rested = time.monotonic()

    def close(self) -> None:
        """Close it; in a forked child only what the child has of it."""
        self._connection.disconnect()  # type: ignore[no-untyped-call]

    def _read(self, count: int, receive: Callable[[], int]) -> list[Reply]:
        replies: list[Reply] = []
        while len(replies) < count:
            reply = self._replies.gets()
            if reply is NotImplemented:
                self._fed(receive())
            else:
                replies.append(reply)
        return replies

    def _receive(self, until: float) -> int:
        left = until - time.monotonic()
        if left <= 0:
            raise LateError("no answer in time")
        self._socket.settimeout(left)
        return self._socket.recv_into(self._buffer)

    def _fed(self, size: int) -> None:
        if not size:
            raise ConnectionResetError("the server closed the connection")
        self._replies.feed(self._buffer, 0, size)  # type: ignore[arg-type]

    async def _asend(self, sent: bytes) -> None:
        rest = memoryview(sent)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                await _ready(self._socket, to_write=True)
            except ssl.SSLWantReadError:
                await _ready(self._socket)

    async def _aread(self, count: int) -> list[Reply]:
        replies: list[Reply] = []
        while len(replies) < count:
            reply = self._replies.gets()
            if reply is not NotImplemented:
                replies.append(reply)
                continue
            try:
                self._fed(self._socket.recv_into(self._buffer))
            except _AGAIN:
                await _ready(self._socket)
            except ssl.SSLWantWriteError:
                await _ready(self._socket, to_write=True)
        return replies


def _socket_of(connection: Connection) -> socket.socket:
    """There is no public way to it (redis-py 6.0 to 8.1)."""
    made: Any = connection._sock  # noqa: SLF001
    if not isinstance(made, socket.socket):
        raise ConnectionError("redis-py keeps its socket elsewhere")
    return made


def _done(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


async def _ready(waited: socket.socket, *, to_write: bool = False) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    add, remove = (loop.add_writer, loop.remove_writer) if to_write else (loop.add_reader, loop.remove_reader)
    add(waited, _done, ready)
    try:
        await ready
    finally:
        remove(waited)


def _told(error: BaseException) -> BaseException:
    """What is wrong, in the words of `ask`."""
    if isinstance(error, TimeoutError) and not isinstance(error, LateError):
        return LateError("no answer in time")
    if isinstance(error, hiredis.HiredisError):
        return ConnectionError("the server does not speak as Redis does")
    return error
