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
from tests.emulator.wire import HAIKU, NOVA, POINT, SONNET, TOOL, assistant, result, use, user

BODY = {
    "system": [{"text": "a"}, POINT],
    "messages": [
        user({"text": "weather 3?"}, {"image": {"format": "png", "source": {"bytes": "AA=="}}}),
        assistant(
            {"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}}, use(location="x")
        ),
        user(result("c1", {"json": {"a": 1}}), {"text": "b"}, POINT),
        user({"document": {"format": "txt", "name": "d", "source": {"bytes": "AA=="}}}, {"text": "weather?"}),
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


def answer(body: bytes, model: str = SONNET):
    service = Service(
        engine=CacheEngine(lambda: 0.0),
        clock=lambda: 0.0,
        responder=AutoResponder(),
        sizer=default_sizer,
        profiles={},
        record=lambda call: None,
    )
    return service.answer(Incoming("POST", f"/model/{model}/converse", "us-east-1", body))


def test_the_body_itself_is_good():
    assert answer(json.dumps(BODY).encode()).status == 200


@given(st.sampled_from(places(BODY)), JSON, st.sampled_from([SONNET, HAIKU, NOVA]))
@settings(max_examples=300, derandomize=True, deadline=None)
def test_one_wrong_value_is_answered_or_refused(place, value, model):
    answered = answer(json.dumps(replaced(BODY, place, value)).encode(), model)
    assert answered.status in (200, 400), (place, value, answered.body)
    assert isinstance(json.loads(answered.body), dict)


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
def test_bytes_that_are_no_request_are_refused(body):
    answered = answer(body)
    assert (answered.status, answered.error) == (400, "ValidationException")
