"""Whatever is sent, the answer has Bedrock's form: no crash, no 500."""

import copy
import json
from typing import Any

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
        assistant({"reasoningContent": {"reasoningText": {"text": "t"}}}, use(location="x")),
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


@given(st.binary(max_size=40))
def test_bytes_that_are_no_request_are_refused(body):
    answered = answer(body)
    assert (answered.status, answered.error) == (400, "ValidationException")
