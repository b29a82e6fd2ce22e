"""Whatever is sent, the answer has Bedrock's form: no crash, no 500."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachepoint.emulator import AutoResponder, CacheEngine, default_sizer
from cachepoint.emulator.service.calls import Incoming
from cachepoint.emulator.service.operations import Service
from cachepoint.emulator.wire.eventstream import encode
from tests.emulator import wire
from tests.emulator.bodies import HOUR, MARK, assistant, body, result, text, use, user
from tests.emulator.bodies import TOOL as ANTHROPIC_TOOL
from tests.emulator.wire import HAIKU, NOVA, POINT, SONNET, TOOL

PNG = {"type": "base64", "media_type": "image/png", "data": "AA=="}
PLAIN = {"type": "text", "media_type": "text/plain", "data": "x"}
DOCUMENT = {"document": {"format": "txt", "name": "d", "source": {"bytes": "AA=="}}}
IMAGE = {"image": {"format": "png", "source": {"bytes": "AA=="}}}
BODY = {
    "system": [{"text": "a"}, POINT],
    "messages": [
        wire.user({"text": "weather 3?"}, IMAGE),
        wire.assistant(
            {"reasoningContent": {"reasoningText": {"text": "t", "signature": "c2ln"}}},
            wire.use(location="x"),
        ),
        wire.user(wire.result("c1", {"json": {"a": 1}}), {"text": "b"}, POINT),
        wire.user(DOCUMENT, {"text": "weather?"}),
    ],
    "toolConfig": {"tools": [TOOL, POINT], "toolChoice": {"auto": {}}},
    "inferenceConfig": {"maxTokens": 9, "stopSequences": ["x"]},
    "additionalModelRequestFields": {"thinking": {"type": "enabled"}, "output_config": {"effort": "low"}},
    "performanceConfig": {"latency": "standard"},
    "outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": "{}"}}}},
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, item in items for place in places(item, (*at, key)))]


def replaced(body: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    body = copy.deepcopy(body)
    node = body
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    return body


def service():
    return Service(
        engine=CacheEngine(lambda: 0.0),
        clock=lambda: 0.0,
        responder=AutoResponder(),
        sizer=default_sizer,
        profiles={},
        record=lambda call: None,
    )


def answer(raw: bytes, model: str = SONNET):
    return service().answer(Incoming("POST", f"/model/{model}/converse", "us-east-1", raw))


def test_the_body_itself_is_good():
    assert answer(json.dumps(BODY).encode()).status == 200


@given(st.sampled_from(places(BODY)), JSON, st.sampled_from([SONNET, HAIKU, NOVA]))
@settings(max_examples=300, derandomize=True, deadline=None)
def test_one_wrong_value_is_answered_or_refused(place, value, model):
    answered = answer(json.dumps(replaced(BODY, place, value)).encode(), model)
    assert answered.status in (200, 400), (place, value, answered.body)
    assert isinstance(json.loads(answered.body), dict)


@pytest.mark.parametrize("model", [SONNET, NOVA])
def test_null_anywhere_is_answered_or_refused(model):
    for place in places(BODY):
        answered = answer(json.dumps(replaced(BODY, place, None)).encode(), model)
        assert answered.status in (200, 400), (place, answered.body)


def nested(levels: int) -> str:
    return '{"properties":{"a":' * levels + "{}" + "}}" * levels


HOSTILE = {
    "400 digits": "1" + "0" * 400,
    "5,000 digits": "1" + "0" * 5_000,
    "400 digits below zero": "-1" + "0" * 400,
    "beyond a double": "1e400",
    "nearly beyond a double": "1e308",
    "NaN": "NaN",
    "infinity": "-Infinity",
    "900 levels": "[" * 900 + "]" * 900,
    "100,000 levels": "[" * 100_000 + "]" * 100_000,
    "a schema of 60 levels": nested(60),
    "a schema of 200 levels": nested(200),
    "a schema of 100,000 levels": nested(100_000),
    "arguments of 60 levels": f'{{"properties":{{"location":{nested(60)}}},"required":["location"]}}',
    "a pattern that never ends": '{"pattern":"^(a+)+$","type":"string"}',
    "30 million items": '{"type":"array","minItems":30000000}',
    "a reference to itself": '{"$ref":"#"}',
    "a reference to no schema": '{"$ref":"#/properties"}',
    "a circle": '{"properties":{"a":{"$ref":"#/properties/a"}},"required":["a"]}',
    "half a character": '"\\ud800"',
    "100,000 letters": '"' + "a" * 100_000 + '"',
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("model", [SONNET, NOVA])
def test_one_hostile_value_is_answered_or_refused(name, model):
    for place in places(BODY):
        raw = json.dumps(replaced(BODY, place, "HERE")).replace('"HERE"', HOSTILE[name]).encode()
        answered = answer(raw, model)
        assert answered.status in (200, 400), (place, answered.body)
        json.loads(answered.body, parse_constant=pytest.fail)


@given(st.binary(max_size=40))
def test_bytes_that_are_no_request_are_refused(raw):
    answered = answer(raw)
    assert (answered.status, answered.error) == (400, "ValidationException")


INVOKED = {
    SONNET: body(
        user(text("weather 3?"), {"type": "image", "source": PNG}),
        assistant({"type": "thinking", "thinking": "t", "signature": "c2ln"}, use()),
        user(result(content=[text("b", **MARK)], is_error=False), text("c", **MARK)),
        assistant("d"),
        user({"type": "document", "source": PLAIN, "title": "d", "citations": {"enabled": True}}, "weather?"),
        system=[text("a", **HOUR)],
        tools=[{**ANTHROPIC_TOOL, **HOUR}, {"type": "bash_20250124", "name": "bash"}],
        tool_choice={"type": "auto"},
        thinking={"type": "adaptive"},
        output_config={"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        stop_sequences=["x"],
        temperature=1,
        metadata={"user_id": "u"},
        anthropic_beta=["effort-2025-11-24"],
    ),
    NOVA: {
        "schemaVersion": "messages-v1",
        "system": [{"text": "a", **POINT}],
        "messages": [
            {"role": "user", "content": [{"text": "weather 3?", **POINT}]},
            {"role": "assistant", "content": [wire.use(location="x")]},
            {"role": "user", "content": [wire.result("c1", {"json": {"a": 1}}), {"text": "weather?"}]},
            {"role": "user", "content": [DOCUMENT, IMAGE, {"text": "and this?"}]},
        ],
        "toolConfig": {"tools": [wire.TOOL], "toolChoice": {"auto": {}}},
        "inferenceConfig": {"maxTokens": 9, "topK": 5, "stopSequences": ["x"]},
    },
}


def invoked(raw: bytes, model: str, operation: str = "invoke"):
    path = f"/model/{model}/{operation}"
    answered = service().answer(Incoming("POST", path, "us-east-1", raw))
    if answered.stream is not None:
        return answered.status, [encode(event) for event in answered.stream]
    return answered.status, json.loads(answered.body)


class TestInvokeModel:
    @pytest.mark.parametrize("model", INVOKED)
    def test_the_bodies_themselves_are_good(self, model):
        for operation in ("invoke", "invoke-with-response-stream"):
            assert invoked(json.dumps(INVOKED[model]).encode(), model, operation)[0] == 200

    @pytest.mark.parametrize("model", INVOKED)
    @given(data=st.data())
    @settings(max_examples=300, derandomize=True, deadline=None)
    def test_one_wrong_value_is_answered_or_refused(self, model, data):
        place = data.draw(st.sampled_from(places(INVOKED[model])))
        value = data.draw(JSON)
        raw = json.dumps(replaced(INVOKED[model], place, value)).encode()
        for operation in ("invoke", "invoke-with-response-stream"):
            status, answered = invoked(raw, model, operation)
            assert status in (200, 400), (place, value, answered)

    @pytest.mark.parametrize("name", HOSTILE)
    @pytest.mark.parametrize("model", INVOKED)
    def test_one_hostile_value_is_answered_or_refused(self, model, name):
        for place in places(INVOKED[model]):
            raw = json.dumps(replaced(INVOKED[model], place, "HERE")).replace('"HERE"', HOSTILE[name])
            status, answered = invoked(raw.encode(), model)
            assert status in (200, 400), (place, answered)

    @pytest.mark.parametrize("model", INVOKED)
    def test_null_anywhere_is_answered_or_refused(self, model):
        for place in places(INVOKED[model]):
            status, answered = invoked(json.dumps(replaced(INVOKED[model], place, None)).encode(), model)
            assert status in (200, 400), (place, answered)

    @pytest.mark.parametrize("model", INVOKED)
    def test_one_field_less_or_more_is_answered_or_refused(self, model):
        for place in places(INVOKED[model])[1:]:
            less, more = copy.deepcopy(INVOKED[model]), copy.deepcopy(INVOKED[model])
            for node, change in ((less, removed), (more, doubled)):
                parent = node
                for key in place[:-1]:
                    parent = parent[key]
                change(parent, place[-1])
                status, answered = invoked(json.dumps(node).encode(), model)
                assert status in (200, 400), (place, answered)

    @given(st.binary(max_size=40))
    def test_bytes_that_are_no_request_are_refused(self, raw):
        for model in INVOKED:
            assert invoked(raw, model)[0] == 400


def removed(parent: Any, key: Any) -> None:
    del parent[key]


def doubled(parent: Any, key: Any) -> None:
    if isinstance(parent, list):
        parent.append(parent[key])
    else:
        parent[f"{key}2"] = parent[key]
