"""Real servers on free ports of 127.0.0.1, which end with their test."""

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress

import redis

PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server")
_QUIET = ("--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no")
KEY = "0f" * 32
# Generous: a test machine may be busy. What is about deadlines names its own.
PATIENT = 5.0


def free_port():
    # A cluster's bus is 10,000 above, so no port may be so high.
    while True:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        if port < 50_000:
            return port


class Server:
    """A redis-server or valkey-server, which can be stalled, filled, killed and started again."""

    def __init__(self, folder, *options):
        self.port = free_port()
        self.folder = folder
        self.options = options
        self.process = None
        self.start()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self, **options):
        return redis.Redis(port=self.port, protocol=2, **options)

    def start(self):
        self.process = subprocess.Popen(
            [PROGRAM, "--port", str(self.port), "--dir", str(self.folder), *_QUIET, *self.options],
            stdout=subprocess.DEVNULL,
        )
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with suppress(redis.ConnectionError), self.client() as client:
                client.ping()
                return
            time.sleep(0.02)
        raise RuntimeError("the server did not start")

    def stall(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def restart(self):
        self.kill()
        self.start()

    def fill(self):
        """No more goes in."""
        with self.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", 1)

    def empty(self):
        with self.client() as client:
            client.config_set("maxmemory", 0)

    def stop(self):
        with suppress(ProcessLookupError):
            self.go_on()
        self.kill()


def waited(condition, seconds=10.0):
    """Whether it comes true within so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())
