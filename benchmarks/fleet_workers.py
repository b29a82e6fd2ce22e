"""Worker processes behind a balancer: each answers HTTP with a `CachingClient` of its own."""

import json
import multiprocessing
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

import boto3
from botocore.config import Config

from cachepoint import PromptCache
from cachepoint.aws import CachingClient
from cachepoint.memory import connect

KEYS = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
# A machine with fewer cores than workers must not look like a store that is late.
PATIENCE = 5.0


class Worker:
    """One process, as the balancer sees it."""

    def __init__(self, port: int) -> None:
        self._port = port

    def converse(self, request: Mapping[str, Any], **how: Any) -> dict[str, Any]:
        """What boto3's `converse` answers there.

        Args:
            request: Its arguments.
            how: `now`, the time there until the next call that says one; `policy`, of this call.

        Raises:
            RuntimeError: The worker failed.
        """
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request("POST", "/converse", json.dumps({"request": request, **how}))
            answer = connection.getresponse()
            body = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(f"a worker answered {answer.status}: {body}")
        return body


@contextmanager
def workers(count: int, url: str, memory: str | None, key: str) -> Iterator[Sequence[Worker]]:
    """So many, for the length of the block.

    Args:
        count: How many.
        url: The emulator's.
        memory: The URL of the memory that they share; None: each has its own.
        key: The secret of that memory.
    """
    spawn, pipes = multiprocessing.get_context("spawn"), []
    with ExitStack() as stack:
        for _ in range(count):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=_serve, args=(theirs, url, memory, key), daemon=True)
            process.start()
            stack.callback(process.join, 10)
            stack.callback(ours.send, None)
            pipes.append(ours)
        yield [Worker(pipe.recv()) for pipe in pipes]


class _Clock:
    """Real, until a call says what time it is."""

    def __init__(self) -> None:
        self.told: float | None = None

    def __call__(self) -> float:
        return time.time() if self.told is None else self.told


def _serve(pipe: Connection, url: str, memory: str | None, key: str) -> None:
    clock = _Clock()
    shared = connect(memory, key=key) if memory else None
    cache = PromptCache(memory=shared, clock=clock, memory_timeout=PATIENCE)
    runtime = boto3.client(
        "bedrock-runtime",
        endpoint_url=url,
        config=Config(max_pool_connections=50, retries={"total_max_attempts": 1}),
        **KEYS,
    )
    client = CachingClient(runtime, cache=cache)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            clock.told = asked.get("now")
            try:
                answer = client.converse(**asked["request"], cache_policy=asked.get("policy"))
                status, said = 200, {"usage": answer["usage"], "output": answer["output"]}
            except Exception as error:
                status, said = 500, {"error": repr(error)}
            body = json.dumps({**said, "faults": cache.faults}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        pipe.send(server.server_port)
        # `serve_forever` runs in a thread, and ends with the parent's word, or with the parent.
        _until_told(server, pipe)
    if shared is not None:
        shared.close()


def _until_told(server: ThreadingHTTPServer, pipe: Connection) -> None:
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    with suppress(EOFError):
        pipe.recv()
    server.shutdown()
