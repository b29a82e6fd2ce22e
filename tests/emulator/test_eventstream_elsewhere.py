"""An event stream as others read it: fetched by curl, taken apart after the specification, sums by another CRC-32.

botocore and the emulator both take their CRC-32 from zlib, and would agree on a wrong one.
"""

import base64
import json
import shutil
import struct
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from cachepoint.emulator import BedrockEmulator, EmulatedError, Reply, ScriptedResponder
from cachepoint.emulator.wire.eventstream import encode_event
from tests.emulator.bodies import body
from tests.emulator.wire import SONNET, user

CURL = shutil.which("curl")
needs_curl = pytest.mark.skipif(CURL is None, reason="curl is not installed")
TEXT = "Grüße aus Köln, 你好 and more than one chunk of it."


def _of_byte(value: int) -> int:
    """ISO 3309's polynomial, its bits reversed."""
    for _ in range(8):
        value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
    return value


TABLE = tuple(map(_of_byte, range(256)))


def crc32(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ TABLE[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


def messages(data: bytes) -> Iterator[tuple[dict[str, str], bytes]]:
    """Headers and payload of each message: prelude (total, headers, sum), headers, payload, sum."""
    while data:
        total, size, prelude = struct.unpack_from("!III", data)
        assert prelude == crc32(data[:8])
        assert len(data) >= total
        (whole,) = struct.unpack_from("!I", data, total - 4)
        assert whole == crc32(data[: total - 4])
        yield dict(headers(data[12 : 12 + size])), data[12 + size : total - 4]
        data = data[total:]


def headers(data: bytes) -> Iterator[tuple[str, str]]:
    while data:
        end = 1 + data[0]
        kind, length = struct.unpack_from("!BH", data, end)
        assert kind == 7  # a string
        yield data[1:end].decode(), data[end + 3 : end + 3 + length].decode()
        data = data[end + 3 + length :]


def curl(bedrock, operation: str, request: dict[str, Any], *options: str) -> bytes:
    url = f"{bedrock.url}/model/{SONNET.replace(':', '%3A')}/{operation}"
    command = [CURL, "-sS", "--fail-with-body", "--max-time", "10", "-H", "Content-Type: application/json"]
    sent = [*command, *options, "--data-binary", "@-", url]
    return subprocess.run(sent, input=json.dumps(request).encode(), stdout=subprocess.PIPE, check=True).stdout


@pytest.fixture
def bedrock():
    with BedrockEmulator(responder=ScriptedResponder([TEXT])) as emulator:
        yield emulator


def test_the_other_sum_is_the_standard_one():
    """The check value of CRC-32/ISO-HDLC."""
    assert crc32(b"123456789") == 0xCBF43926


@pytest.mark.parametrize("at", [0, 9, 30, -1])
def test_the_other_reader_sees_a_flipped_bit(at):
    data = bytearray(encode_event("messageStart", {"role": "assistant"}))
    data[at] ^= 1
    with pytest.raises((AssertionError, struct.error)):
        list(messages(bytes(data)))


@needs_curl
@pytest.mark.parametrize(
    "options", [(), ("--http1.0",), ("-H", "Transfer-Encoding: chunked"), ("-H", "Expect: 100-continue")]
)
def test_curl_gets_a_stream_of_converse(bedrock, options):
    data = curl(bedrock, "converse-stream", {"messages": [user({"text": "hi"})]}, *options)
    events = [(head, json.loads(payload)) for head, payload in messages(data)]
    kinds = [head[":event-type"] for head, _ in events]
    said = "".join(payload["delta"]["text"] for _, payload in events if "delta" in payload)
    assert {head[":message-type"] for head, _ in events} == {"event"}
    assert {head[":content-type"] for head, _ in events} == {"application/json"}
    assert (kinds[0], kinds[-2:]) == ("messageStart", ["messageStop", "metadata"])
    assert said == TEXT
    assert events[-1][1]["usage"]["totalTokens"] > 0


@needs_curl
def test_curl_gets_a_stream_of_invoke_model(bedrock):
    data = curl(bedrock, "invoke-with-response-stream", body())
    chunks = [
        json.loads(payload)["bytes"] for head, payload in messages(data) if head[":event-type"] == "chunk"
    ]
    events = [json.loads(base64.b64decode(chunk)) for chunk in chunks]
    assert [events[0]["type"], events[-1]["type"]] == ["message_start", "message_stop"]
    assert (
        "".join(event["delta"].get("text", "") for event in events if "index" in event and "delta" in event)
        == TEXT
    )


@needs_curl
def test_curl_gets_an_exception_in_a_stream():
    broken = Reply(
        ({"text": "half"},), fault=EmulatedError("gone", code="ModelStreamErrorException", status=424)
    )
    with BedrockEmulator(responder=ScriptedResponder([broken])) as bedrock:
        *_, (head, payload) = messages(curl(bedrock, "converse-stream", {"messages": [user({"text": "hi"})]}))
    assert (head[":message-type"], head[":exception-type"]) == ("exception", "modelStreamErrorException")
    assert json.loads(payload) == {"message": "gone"}
