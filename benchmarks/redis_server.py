"""A Redis under our hands: killed, stalled, filled and brought back, on a free port of 127.0.0.1."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

SERVER = shutil.which("redis-server") or shutil.which("valkey-server")
MISSING = "neither redis-server nor valkey-server is installed"
KEY = "0f" * 32
_SECONDS = 20


class RedisServer:
    """Runs while the block does. It keeps nothing on disk, so that a restart forgets all."""

    def __init__(self) -> None:
        self.port = _free_port()
        self._folder = tempfile.mkdtemp(prefix="cachepoint-redis-")
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, where it does not run; it answers when this returns."""
        if self._process is not None:
            return
        here = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", self._folder)
        nothing_kept = ("--save", "", "--appendonly", "no", "--enable-debug-command", "yes")
        self._process = subprocess.Popen(
            [SERVER or "redis-server", *here, *nothing_kept], stdout=subprocess.DEVNULL
        )
        self._watch = _ends_with_us(self._process.pid)
        until = time.monotonic() + _SECONDS
        while not self.answers():
            if time.monotonic() > until or self._process.poll() is not None:
                raise RuntimeError("redis-server does not answer")
            time.sleep(0.02)

    def answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(7).startswith(b"+PONG")
        return False

    def kill(self) -> None:
        for process in (self._watch, self._process):
            if process is not None:
                process.kill()
                process.communicate()
        self._watch = self._process = None

    def restart(self) -> None:
        self.kill()
        self.start()

    def stall(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def fill(self) -> None:
        """From here on there is no room: what is written is refused, what is read is answered."""
        with self.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", 1)

    def make_room(self) -> None:
        with self.client() as client:
            client.config_set("maxmemory", 0)

    def client(self, **options: Any) -> Any:
        """redis-py's, to look at what stands there."""
        import redis

        return redis.Redis(port=self.port, **options)

    def _signal(self, number: int) -> None:
        if self._process is not None:
            os.kill(self._process.pid, number)


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """One that runs in the block.

    Raises:
        SystemExit: Where none is installed.
    """
    if SERVER is None:
        raise SystemExit(f"{Path(__file__).name}: {MISSING}")
    with RedisServer() as server:
        yield server


def _ends_with_us(process: int) -> "subprocess.Popen[bytes]":
    """Kills a process when ours is gone, however that ends: its input ends then."""
    return subprocess.Popen(["/bin/sh", "-c", f"read _; kill -9 {process}"], stdin=subprocess.PIPE)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
