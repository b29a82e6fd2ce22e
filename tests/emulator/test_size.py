"""What costs the emulator more than its size: nothing."""

import importlib
import json
import pkgutil
import re
import time
from typing import Any

import pytest

import cachepoint.emulator
from cachepoint.emulator import (
    AutoResponder,
    BedrockEmulator,
    CacheEngine,
    ParsedRequest,
    ReplayResponder,
    default_sizer,
)
from cachepoint.emulator.cache import rules
from cachepoint.emulator.responders.values import Hints, valid_value
from cachepoint.emulator.service.calls import CallLog, EmulatedCall, Incoming
from cachepoint.emulator.service.operations import Service
from tests.emulator.wire import NOVA, OPUS_48, POINT, TOOL, assistant, post, result, text, use, user

GROWTH = 16
# Linear work grows as its input, quadratic work as its square: 256. In between there is room for noise.
MOST = 48


def cpu(prepared) -> float:
    """Seconds of this thread, whatever else the machine does."""
    started = time.thread_time()
    prepared()
    return time.thread_time() - started


def assert_linear(work, size: int) -> None:
    small, large = work(size), work(size * GROWTH)
    most = MOST * max(0.001, min(cpu(small) for _ in range(3)))
    # A second and a third try, as the garbage of other tests may be collected in the first.
    assert any(cpu(large) < most for _ in range(3)), most


def compiled(value: Any):
    if isinstance(value, re.Pattern):
        yield value
    if isinstance(value, tuple):
        for item in value:
            yield from compiled(item)


def patterns():
    """Every regular expression of the emulator, and how it is used."""
    for module in pkgutil.walk_packages(cachepoint.emulator.__path__, "cachepoint.emulator."):
        for value in [*vars(importlib.import_module(module.name)).values(), rules._table()]:
            whole = value is rules._table() or module.name.endswith((".routes", ".rules", ".body"))
            yield from ((pattern, whole) for pattern in compiled(value))


UNITS = (" ", "-", "\n", "a", "A", "1", '"', "'", "“", "`", ".", ",", "/", ":", "?", "\t", "é", "_")
PAIRS = (
    "a ",
    "A ",
    " A",
    " “",
    ' "',
    " '",
    "1.",
    ".\n",
    "-1",
    ", A",
    "model/",
    "/version/",
    "-v1",
    "\\",
    "(?:",
)
WORDS = ("Credential=", "Credential=a/20260101/", "arn:aws", "meta.", "converse")


def searching(pattern, whole, unit):
    def prepare(size):
        text = f"/model/{unit * (size // len(unit))}\0"
        hostile = text.encode() if isinstance(pattern.pattern, bytes) else text
        return lambda: pattern.fullmatch(hostile) if whole else list(pattern.finditer(hostile))

    return prepare


@pytest.mark.parametrize("unit", [*UNITS, *PAIRS, *WORDS], ids=ascii)
def test_d2_no_regular_expression_is_quadratic(unit):
    """D2: blanks, dashes, newlines, letters and what the expressions look for, over and over."""
    for pattern, whole in dict.fromkeys(patterns()):
        assert_linear(searching(pattern, whole, unit), 4_000)


def test_d2_a_signature_that_never_ends_is_no_region(bedrock):
    status, _, _ = post(bedrock, {"messages": [user({"text": "hi"})]}, Authorization="Credential=" * 5_000)
    assert (status, bedrock.calls[0].region) == (200, "us-east-1")


def answering(body: dict[str, Any], model: str = OPUS_48):
    raw = json.dumps(body).encode()

    def answer():
        service = Service(
            engine=CacheEngine(lambda: 0.0),
            clock=lambda: 0.0,
            responder=AutoResponder(),
            sizer=default_sizer,
            profiles={},
            record=lambda call: None,
        )
        assert service.answer(Incoming("POST", f"/model/{model}/converse", "us-east-1", raw)).status < 500

    return answer


SAY = {"text": "say"}
TOOLS = {"toolConfig": {"tools": [TOOL]}}


def forced(words: int = 1, **schema: Any) -> dict[str, Any]:
    tool = {"toolSpec": {"name": "t", "inputSchema": {"json": {"type": "object", **schema}}}}
    return {
        "messages": [user(text(words))],
        "toolConfig": {"tools": [tool], "toolChoice": {"any": {}}},
    }


def fields(number: int, **schema: Any) -> dict[str, Any]:
    return {
        "properties": {f"p{i}": schema for i in range(number)},
        "required": [f"p{i}" for i in range(number)],
    }


REQUESTS = {
    "blocks": lambda n: {"messages": [user(*[SAY] * n, POINT)]},
    "checkpoints": lambda n: {"messages": [user(*[SAY, POINT] * n)]},
    "checkpoints in one place": lambda n: {"messages": [user(SAY, *[POINT] * n)]},
    "messages": lambda n: {"messages": [user(SAY, POINT), assistant(SAY, POINT)] * n},
    "parallel calls": lambda n: {
        "messages": [
            user(SAY),
            assistant(*map(use, map(str, range(n)))),
            user(*map(result, map(str, range(n)))),
        ],
        **TOOLS,
    },
    "rounds of calls": lambda n: {"messages": [user(SAY), *[assistant(use()), user(result())] * n], **TOOLS},
    "tools": lambda n: {
        "messages": [user({"text": "weather"})],
        "toolConfig": {
            "tools": [{"toolSpec": {"name": f"t{i}", "inputSchema": {"json": {}}}} for i in range(n)]
        },
    },
    "blanks in system": lambda n: {"system": [{"text": "a" + " " * n * 100}], "messages": [user(SAY)]},
    "quotes in a question": lambda n: {"messages": [user({"text": "“" * n * 20})], **TOOLS},
    "fields from a long text": lambda n: forced(n * 10, **fields(n, type="string")),
    "enums of a long text": lambda n: forced(n * 10, **fields(n, enum=["a", "b"])),
    "parts of a schema": lambda n: forced(allOf=[{"properties": {f"p{i}": {}}} for i in range(n)]),
    "references": lambda n: forced(**fields(n, **{"$ref": "#/$defs/d"}), **{"$defs": {"d": fields(n)}}),
    "tools in a prompt for thoughts and actions": lambda n: {
        "system": [{"text": "> Tool Name: t\nTool Args: {}\n" * n + "\nAction Input: {}"}],
        "messages": [
            user(SAY),
            *[assistant({"text": "Action: t\nAction Input: {}"}), user({"text": "Observation: 3"})] * n,
        ],
    },
    "stop sequences": lambda n: {"messages": [user(SAY)], "inferenceConfig": {"stopSequences": ["q"] * n}},
}


@pytest.mark.parametrize("name", REQUESTS)
def test_d2_a_request_costs_as_much_as_it_is_long(name):
    """D2: and the loops over blocks, calls and schemas with it."""
    assert_linear(lambda size: answering(REQUESTS[name](size)), 1_000)


def test_d2_checkpoints_beside_tools_on_nova_are_counted_once():
    assert_linear(
        lambda n: answering(
            {"messages": [user(SAY), assistant(use(), *[SAY, POINT] * n), user(result())], **TOOLS}, NOVA
        ),
        1_000,
    )


def test_d2_a_long_recording_is_read_once():
    def play(size):
        messages = [
            user({"text": str(n)}) if n % 2 == 0 else assistant({"text": str(n)}) for n in range(size)
        ]
        request = ParsedRequest("Converse", OPUS_48, "us-east-1", {"messages": messages[:-1]})
        return lambda: ReplayResponder(messages)(request)

    assert_linear(play, 1_000)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^(a+)+$"},
        {"type": "string", "pattern": "(" * 500 + ")" * 500},
        {"type": "string", "pattern": "((a{999}){999}){999}"},
        {"type": "string", "minLength": 10**9},
        {"type": "array", "minItems": 30_000_000},
        {"type": "array", "minItems": 1_000, "items": {"type": "array", "minItems": 1_000}},
        {
            "$defs": {"a": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/a"}}},
            "$ref": "#/$defs/a",
        },
        {"$defs": {"o": fields(50, **{"$ref": "#/$defs/o"})}, "$ref": "#/$defs/o"},
        {"type": "array", "minItems": 10_000, "items": {"type": "string", "minLength": 100_000}},
        {"type": "array", "minItems": 10_000, "items": {"const": "a" * 1_000_000}},
        {"type": "array", "minItems": 10_000, "items": {"enum": [str(n) for n in range(10_000)]}},
        {"type": "integer", "minimum": 10**299, "multipleOf": 1e-299},
    ],
    ids=lambda schema: json.dumps(schema)[:50],
)
def test_a_schema_cannot_ask_for_too_much(schema):
    value = valid_value(schema, Hints(f"{'a' * 45}! " * 1_000))
    assert len(json.dumps(value)) < 2_500_000


def test_d5_calls_are_bounded_in_bytes_and_the_newest_stay():
    """D5: `bedrock.calls` by its bytes, not only by its number."""
    with BedrockEmulator(max_bytes=250_000) as bedrock:
        for number in range(5):
            post(bedrock, {"messages": [user({"text": f"{number}" * 100_000})]})
        kept = bedrock.calls
    assert [call.request["messages"][0]["content"][0]["text"][0] for call in kept] == ["3", "4"]
    assert sum(len(call.body) for call in kept) <= 250_000
    assert bedrock.calls_dropped == 3


def test_d5_the_newest_call_stays_however_large():
    with BedrockEmulator(max_bytes=1_000) as bedrock:
        for word in ("first", "last"):
            post(bedrock, {"messages": [user({"text": word * 10_000})]})
        (call,) = bedrock.calls
    assert b"last" in call.body


def test_d5_what_is_no_body_counts_too():
    log = CallLog(max_calls=1_000, max_bytes=50_000)
    for number in range(100):
        log.append(EmulatedCall(0.0, "Converse", "m", "r", 400, message=str(number) * 5_000, path="/p" * 100))
    assert 1 < len(log.kept()) < 10
    assert log.kept()[-1].message.startswith("99")


@pytest.mark.parametrize("bounds", [{"max_calls": -1}, {"max_bytes": -1}])
def test_a_negative_bound_is_refused(bounds):
    with pytest.raises(ValueError, match="at least 0"):
        BedrockEmulator(**bounds)
