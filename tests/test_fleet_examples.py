"""`examples/fleet`: the web service and the Celery worker run on a real store; compose.yaml says the same."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import yaml

from cachepoint.emulator import BedrockEmulator

pytest.importorskip("redis", reason="the redis extra is not installed")

from tests.memory.servers import KEY, PROGRAM, Server, free_port

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples" / "fleet"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))
IMAGE = (FOLDER / "Dockerfile").read_text("utf-8")
SECONDS = 60


@pytest.fixture
def fleet(tmp_path):
    """A store, a Bedrock, and the environment of workers that use them."""
    if PROGRAM is None:
        pytest.skip(reason="neither redis-server nor valkey-server is installed")
    store = Server(tmp_path)
    with BedrockEmulator() as bedrock:
        yield (
            store,
            {
                **os.environ,
                "PYTHONDONTWRITEBYTECODE": "1",
                "CACHEPOINT_KEY": KEY,
                "CACHEPOINT_MEMORY": store.url,
                "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": bedrock.url,
                "BROKER": f"redis://127.0.0.1:{store.port}/1",
                "BIND": f"127.0.0.1:{free_port()}",
            },
        )
    store.stop()


@contextmanager
def running(*command, env):
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(SECONDS)


def asked(bind, question):
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        with (
            suppress(URLError, ConnectionError),
            urlopen(f"http://{bind}/?{question}", timeout=SECONDS) as answer,
        ):
            return json.load(answer)
        time.sleep(0.1)
    raise TimeoutError(bind)


def remembered(store):
    """How many records stand in the memory's database."""
    with store.client(db=0) as client:
        return sum(key.startswith(b"cp") for key in client.scan_iter())


def test_workers_of_gunicorn_share_the_memory(fleet):
    pytest.importorskip("gunicorn", reason="gunicorn is not installed")
    store, env = fleet
    with running("-m", "gunicorn", "-c", str(FOLDER / "gunicorn.conf.py"), "app:app", env=env):
        answers = [asked(env["BIND"], f"What+is+{n}") for n in range(40)]
        assert len({answer["worker"] for answer in answers}) > 1
        assert sum(answer["written"] > 1_000 for answer in answers) <= 2
        assert answers[-1]["read"] > 1_000
        assert remembered(store) > 3


def test_workers_of_celery_share_the_memory(fleet):
    pytest.importorskip("celery", reason="celery is not installed")
    store, env = fleet
    worker = ("-m", "celery", "--workdir", str(FOLDER), "-A", "tasks", "worker", "--concurrency", "2")
    with running(*worker, env=env):
        done = subprocess.run(
            [sys.executable, str(FOLDER / "tasks.py")],
            env=env,
            capture_output=True,
            text=True,
            timeout=2 * SECONDS,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    answers = re.findall(r"worker (\d+): (\d+) read, (\d+) written", done.stdout)
    assert len(answers) == 12
    assert max(int(read) for _, read, _ in answers) > 1_000
    assert sum(int(written) > 1_000 for *_, written in answers) <= 2
    assert remembered(store) > 3


def test_what_the_image_copies_is_there():
    copied = [name for names in re.findall(r"^COPY (.+) \S+$", IMAGE, re.MULTILINE) for name in names.split()]
    assert {"src", "examples/fleet"} <= set(copied)
    assert all((ROOT / name).exists() for name in copied)


def test_compose_starts_what_is_there():
    services = COMPOSE["services"]
    assert services["web"]["command"] == ["gunicorn", "-c", "gunicorn.conf.py", "app:app"]
    assert services["tasks"]["command"][:3] == ["celery", "-A", "tasks"]
    assert {(FOLDER / name).exists() for name in ("app.py", "tasks.py", "gunicorn.conf.py")} == {True}
    for name in ("web", "tasks"):
        environment = services[name]["environment"]
        assert environment["CACHEPOINT_MEMORY"] == "redis://store:6379/0"
        assert set(services[name]["depends_on"]) <= services.keys()
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_its_store_is_started_with_options_that_it_has(tmp_path):
    if PROGRAM is None:
        pytest.skip(reason="neither redis-server nor valkey-server is installed")
    program, *options = COMPOSE["services"]["store"]["command"]
    assert shutil.which(program) or program == "valkey-server"
    store = Server(tmp_path, *options)
    with store.client() as client, socket.create_connection(("127.0.0.1", store.port)):
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "allkeys-lru"}
    store.stop()
