"""Conversations recorded once and played back without a server. cassettes/README.md says how they are made."""

import gc
import json
import re
from itertools import pairwise
from pathlib import Path

import boto3
import pytest

from tests.adapters.contract import MANUAL, Tool
from tests.adapters.test_contract import cached, points, read
from tests.conftest import ON_AWS, REGION, boto_client

CASSETTES = Path(__file__).parents[2] / "cassettes"
HOST = f"https://bedrock-runtime.{REGION}.amazonaws.com"
SYSTEM = MANUAL[:8_000]
# Bedrock counts a prefix up to a few tokens apart from one call to the next.
NEARLY = 0.95
# While recording, vcrpy 8 drops the connections that it wraps without closing them.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture(scope="module")
def vcr_cassette_dir():
    return str(CASSETTES)


@pytest.fixture
def default_cassette_name(request):
    return re.sub(r"\W+", "-", request.node.name.removeprefix("test_")).strip("-")


@pytest.fixture(scope="module")
def vcr_config():
    return {
        "match_on": ["method", "uri", "body"],
        "before_record_request": _nowhere,
        "before_record_response": _bare,
    }


def _nowhere(request):
    """Host and headers say where and by whom it was recorded."""
    request.uri = re.sub(r"^https?://[^/]+", HOST, request.uri)
    request.headers = {"Content-Type": "application/json"}
    return request


def _bare(response):
    kept = {k: v for k, v in response["headers"].items() if k.lower() == "content-type"}
    return {**response, "headers": kept}


class Played:
    """A Bedrock of which only the recording is left."""

    def __init__(self, url):
        self.url = url
        self._clients = {}

    def client(self, service="bedrock-runtime"):
        if service not in self._clients:
            on_aws = ON_AWS and self.url is None
            self._clients[service] = (
                boto3.client(service, region_name=REGION) if on_aws else boto_client(self.url, service)
            )
        return self._clients[service]

    def close(self):
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        gc.collect()


@pytest.fixture
def stage(adapter, record_mode, vcr, _bedrock):
    """The emulator or AWS while recording; nothing at all while playing. What was recorded must all be played."""
    if adapter.name == "langchain_anthropic":
        pytest.skip(reason="vcrpy hears no httpx2, which Anthropic's SDK sends with")
    playing = record_mode == "none"
    _bedrock.reset()
    place = Played(None if playing or ON_AWS else _bedrock.url)
    yield place
    place.close()
    if playing:
        assert vcr.play_count == len(vcr), (
            f"{len(vcr) - vcr.play_count} of {len(vcr)} interactions were not played"
        )


def requests(vcr):
    return [json.loads(request.body) for request in vcr.requests]


def plain(value):
    """A request without its checkpoints."""
    if isinstance(value, dict):
        # A text alone is a block of its own once it is marked.
        whole = (
            {"content": [{"type": "text", "text": value["content"]}]}
            if isinstance(value.get("content"), str)
            else {}
        )
        return {k: plain(v) for k, v in {**value, **whole}.items() if k != "cache_control"}
    if isinstance(value, list):
        return [plain(v) for v in value if not (isinstance(v, dict) and "cachePoint" in v)]
    return value


def prefixes_hold(vcr):
    """Each request goes on where the one before it ended."""
    for before, after in pairwise(map(plain, requests(vcr))):
        assert after.get("system") == before.get("system")
        assert after.get("toolConfig") == before.get("toolConfig")
        assert after["messages"][: len(before["messages"])] == before["messages"]


def reads_nearly_all(answers):
    assert cached(answers[0]) > 1_024
    for before, answer in pairwise(answers):
        assert read(answer) >= NEARLY * cached(before)


@pytest.mark.vcr
@pytest.mark.parametrize("way", ["plain", "stream"])
def test_chat(adapter, way, stage, vcr, cache):
    mode = next((m for m in adapter.modes if "stream" in m), "") if way == "stream" else ""
    model = adapter.cached(stage, cache=cache, max_tokens=40)
    messages, answers = [adapter.system(SYSTEM)], []
    for question in ("Where is the valve?", "How much does the pump hold?", "What colour is the cover?"):
        messages.append(adapter.user(question))
        answers.append(adapter.ask(model, messages, mode=mode))
        messages.append(answers[-1].message)
    reads_nearly_all(answers)
    prefixes_hold(vcr)


@pytest.mark.vcr
def test_agent(adapter, stage, vcr, cache):
    model = adapter.cached(stage, cache=cache, max_tokens=200)
    tools = [
        adapter.tool(Tool("look_up", "Looks up a part in the catalogue.")),
        adapter.tool(Tool("order", "Orders it.")),
    ]
    messages = [adapter.system(SYSTEM), adapter.user("Use look_up on the part A7 of the catalogue.")]
    first = adapter.ask(model, messages, tools=tools)
    assert [c.name for c in first.tool_calls] == ["look_up"]
    messages += [first.message, *(adapter.result(c, "3 in stock") for c in first.tool_calls)]
    second = adapter.ask(model, messages, tools=tools)
    assert not second.tool_calls
    reads_nearly_all([first, second])
    prefixes_hold(vcr)


@pytest.mark.vcr
def test_one_hour(adapter, stage, vcr, cache):
    model = adapter.cached(stage, cache=cache, policy={"ttl": "1h"}, max_tokens=40)
    answers = [
        adapter.ask(model, [adapter.system(SYSTEM), adapter.user("Where is the valve?")]) for _ in range(2)
    ]
    assert answers[0].report["usage"]["write_1h_tokens"] > 1_024
    assert {p.get("ttl") for r in requests(vcr) for p in points(r)} == {"1h"}
    reads_nearly_all(answers)


@pytest.mark.parametrize("path", sorted(CASSETTES.glob("*.yaml")), ids=lambda p: p.stem)
def test_recordings_say_nothing_of_where_they_were_made(path):
    text = path.read_text("utf-8")
    for trace in (
        "127.0.0.1",
        "localhost",
        "/home",
        "/work",
        "uthorization",
        "AKID",
        "ASIA",
        "Signature",
        "amz-sdk",
        "User-Agent",
    ):
        assert trace not in text
    assert set(re.findall(r"https?://[\w.:-]+", text)) == {HOST}
