"""Inputs that hurt: boto3 takes them or refuses them, and so does the cached client, word by word."""

import collections
import copy
import datetime as dt
import decimal
import enum
import io
import json
import math
import re
import types

import pytest
from builders import NOVA, SONNET

from cachepoint import CachePolicy, PromptCache
from cachepoint.aws import CachingClient
from cachepoint.emulator import Reply
from tests.aws.stubs import boto
from tests.core.converse_requests import bare, joined

POINT = {"cachePoint": {"type": "default"}}
MANUAL = "The pump holds four litres; the valve is on its left side. " * 200
DEEP = 10_000


class Colour(enum.IntEnum):
    RED = 1


class Word(str):
    __slots__ = ()


class Gives(dict):
    """Makes what it lacks."""

    def __missing__(self, key):
        self[key] = []
        return self[key]


class Raises(dict):
    """Its values cannot be had by key."""

    def __getitem__(self, key):
        raise RuntimeError("it cannot be had")


class Renamed(dict):
    """It looks otherwise by key than it is."""

    def __getitem__(self, key):
        return "another" if key == "text" else super().__getitem__(key)


def text(said):
    return {"text": said}


def user(*content):
    return {"role": "user", "content": list(content)}


def assistant(*content):
    return {"role": "assistant", "content": list(content)}


def asked(*content, **more):
    return {"system": [text(MANUAL)], "messages": [user(*content)], **more}


def tool(name="a", schema=None):
    return {"toolSpec": {"name": name, "inputSchema": {"json": schema or {"type": "object"}}}}


def used(given):
    """A call of a tool with this input, and its result."""
    use = {"toolUse": {"toolUseId": "1", "name": "a", "input": given}}
    result = {"toolResult": {"toolUseId": "1", "content": [text("done")]}}
    return {
        "system": [text(MANUAL)],
        "toolConfig": {"tools": [tool()]},
        "messages": [user(text("go")), assistant(use), user(result)],
    }


def nested(levels, end="end"):
    value = end
    for _ in range(levels):
        value = {"a": [value]}
    return value


def holding_itself():
    value = [text("a")]
    value.append(value)
    return value


def dict_in_itself():
    value = {}
    value["a"] = value
    return value


def twice():
    """One list, and one dict, wherever they can stand."""
    block = text(MANUAL)
    content = [block, block]
    return {
        "system": content,
        "messages": [{"role": role, "content": content} for role in ("user", "assistant", "user")],
    }


def pdf(source):
    return asked({"document": {"format": "pdf", "name": "a", "source": {"bytes": source}}}, text("hi"))


# By name: makes the keyword arguments of `converse`, new each time.
HURTFUL = {
    "a million tokens": lambda: asked(text("all that is said of it " * 217_000)),
    "a million tokens in the system": lambda: {
        "system": [text("all that is said of it " * 217_000)],
        "messages": [user(text("hi"))],
    },
    "10,000 blocks": lambda: asked(*(text(f"block {n}") for n in range(10_000))),
    "1,000 messages": lambda: {
        "messages": [(assistant if n % 2 else user)(text(f"{n}")) for n in range(1_001)]
    },
    "500 tools": lambda: asked(text("hi"), toolConfig={"tools": [tool(f"tool_{n}") for n in range(500)]}),
    "a document of 20 MB": lambda: pdf(bytes(20_000_000)),
    "bytes that may change": lambda: pdf(bytearray(b"%PDF-1.4")),
    "a look at bytes": lambda: pdf(memoryview(b"%PDF-1.4")),
    "a file": lambda: pdf(io.BytesIO(b"%PDF-1.4")),
    "a text for bytes": lambda: pdf("%PDF-1.4"),
    "bytes for a text": lambda: asked(text(b"hi")),
    "NaN": lambda: used({"a": math.nan}),
    "infinity": lambda: used({"a": [math.inf, -math.inf]}),
    "an integer of 401 digits": lambda: used({"a": 10**400}),
    "an integer of 5,001 digits": lambda: used({"a": 10**5_000}),
    "below nothing": lambda: used({"a": -0.0}),
    "a Decimal": lambda: used({"a": decimal.Decimal("1.10")}),
    "a time": lambda: used({"a": dt.datetime(2026, 11, 27, tzinfo=dt.UTC)}),
    "a set": lambda: used({"a": {1}}),
    "a member of an enum": lambda: used({"a": Colour.RED}),
    "an object": lambda: used({"a": object}),
    "half a surrogate pair": lambda: asked(text("half \ud800 and \udfff")),
    "half a surrogate pair in an input": lambda: used({"\ud800": "\udfff"}),
    "half a surrogate pair in a name": lambda: asked(text("hi"), toolConfig={"tools": [tool("\ud800")]}),
    "nothing to be seen": lambda: asked(text("\u200b\u200d\ufeff\u2060")),
    "nothing to be seen in the system": lambda: {"system": [text("\u200b")], "messages": [user(text("hi"))]},
    "control characters": lambda: asked(text("a\x00b\x1b[31m\r\n\u2028")),
    "a text of another class": lambda: asked(text(Word(MANUAL))),
    "a text of nothing": lambda: asked(text("")),
    "a text of blanks": lambda: asked(text(" \n\t")),
    "no messages": lambda: {"messages": []},
    "no messages at all": dict,
    "None": lambda: {"messages": None, "system": None, "toolConfig": None},
    "no content": lambda: {"messages": [user()]},
    "no system": lambda: {"system": [], "messages": [user(text("hi"))]},
    "no tools": lambda: asked(text("hi"), toolConfig={"tools": []}),
    "empty everywhere": lambda: {
        "system": [],
        "messages": [user(), assistant(), user({})],
        "toolConfig": {},
        "inferenceConfig": {},
        "additionalModelRequestFields": {},
        "guardrailConfig": {},
    },
    "empty results": lambda: {
        **used({}),
        "messages": [
            user(text("go")),
            assistant({"toolUse": {"toolUseId": "1", "name": "a", "input": {}}}),
            user({"toolResult": {"toolUseId": "1", "content": []}}),
        ],
    },
    "a list twice": twice,
    "a message twice": lambda: {"messages": [user(text(MANUAL))] * 3},
    "dicts in order": lambda: {
        "system": [collections.OrderedDict(text=MANUAL)],
        "messages": [collections.OrderedDict(role="user", content=[collections.OrderedDict(text="hi")])],
    },
    "dicts with a default": lambda: {
        "system": [collections.defaultdict(list, text=MANUAL)],
        "messages": [
            collections.defaultdict(list, role="user", content=[collections.defaultdict(list, text="hi")])
        ],
        "toolConfig": collections.defaultdict(list, tools=[collections.defaultdict(list, tool())]),
    },
    "dicts that make what they lack": lambda: {
        "system": [Gives(text=MANUAL)],
        "messages": [Gives(role="user", content=[Gives(text="hi")])],
    },
    "a dict that gives nothing": lambda: {"system": [text(MANUAL)], "messages": [Raises(user(text("hi")))]},
    "a block that gives nothing": lambda: asked(Raises(text=MANUAL)),
    "a block that looks otherwise": lambda: asked(Renamed(text=MANUAL)),
    "an input that gives nothing": lambda: used(Raises(a=1)),
    "frozen messages": lambda: {"messages": [types.MappingProxyType(user(text("hi")))]},
    "frozen blocks": lambda: asked(types.MappingProxyType(text("hi"))),
    "a frozen input": lambda: used(types.MappingProxyType({"a": 1})),
    "a dict of their own": lambda: {"messages": [collections.UserDict(user(text("hi")))]},
    "tuples": lambda: {
        "system": (text(MANUAL),),
        "messages": ({"role": "user", "content": (text(MANUAL), text("hi"))},),
        "toolConfig": {"tools": (tool(),)},
    },
    "iterators": lambda: {"messages": iter([user(text("hi"))])},
    "a list of their own": lambda: {"messages": collections.UserList([user(text("hi"))])},
    "messages that hold themselves": lambda: {"messages": holding_itself()},
    "a content that holds itself": lambda: {"messages": [{"role": "user", "content": holding_itself()}]},
    "an input that holds itself": lambda: used(dict_in_itself()),
    "a schema that holds itself": lambda: asked(
        text("hi"), toolConfig={"tools": [tool(schema=dict_in_itself())]}
    ),
    "fields that hold themselves": lambda: asked(text("hi"), additionalModelRequestFields=dict_in_itself()),
    "an input 100 deep": lambda: used(nested(50)),
    "an input 400 deep": lambda: used(nested(200)),
    "an input 20,000 deep": lambda: used(nested(DEEP)),
    "a schema 20,000 deep": lambda: asked(text("hi"), toolConfig={"tools": [tool(schema=nested(DEEP))]}),
    "messages 20,000 deep": lambda: {"messages": [user(nested(DEEP))]},
    "names that are numbers": lambda: used({1: "a", "b": 2, None: 3, 1.5: 5}),
    "names that are tuples": lambda: used({(): 1}),
    "fields of numbers and words": lambda: asked(text("hi"), additionalModelRequestFields={7: 1, "top_k": 5}),
    "a schema of numbers and words": lambda: asked(
        text("hi"), toolConfig={"tools": [tool(schema={"type": "object", "properties": {1: {}, "a": {}}})]}
    ),
    "blocks named by numbers": lambda: asked({1: "hi"}),
    "blocks of two kinds": lambda: asked({"text": "a", "image": {}}),
    "blocks of no kind": lambda: asked({"smell": {}}),
    "a role of another type": lambda: {"messages": [{"role": 7, "content": [text("hi")]}]},
    "a role nobody has": lambda: {"messages": [{"role": "\u200buser", "content": [text("hi")]}]},
    "checkpoints everywhere": lambda: {
        "system": [POINT, POINT, text(MANUAL), POINT, POINT],
        "messages": [user(POINT, text("a"), POINT, POINT)],
        "toolConfig": {"tools": [POINT, tool(), POINT]},
    },
    "checkpoints that are none": lambda: asked(text("a"), {"cachePoint": None}, {"cachePoint": {"ttl": []}}),
    "another setting's type": lambda: asked(
        text("hi"),
        inferenceConfig=[],
        toolConfig="auto",
        performanceConfig=7,
        additionalModelRequestFields=[],
        serviceTier=None,
    ),
    "a word that boto3 lacks": lambda: asked(text("hi"), temperature=0.5),
}
# What is checked where the caller's own checkpoints are put right.
NO_REPR = {"iterators", "a file", "a look at bytes", "a document of 20 MB"}
PUT_RIGHT = {"checkpoints everywhere", "checkpoints that are none"}


def outcome(call, bedrock):
    """What the caller sees, and what Bedrock got: without checkpoints, and texts as one."""
    before = len(bedrock.calls)
    try:
        said = call()
    except Exception as error:
        return type(error), words(error), got(bedrock, before)
    return said, got(bedrock, before)


def words(error):
    """What it says, without addresses. How deep the interpreter was depends on who called."""
    return "" if isinstance(error, RecursionError) else re.sub(r" at 0x[0-9a-f]+", "", str(error))


def got(bedrock, before):
    return [joined(bare(call.request)) for call in bedrock.calls[before:]]


def converse(client, request, model):
    return client.converse(modelId=model, **request)["output"]


def stream(client, request, model):
    answer = client.converse_stream(modelId=model, **request)
    return [event for event in answer["stream"] if "metadata" not in event]


@pytest.fixture
def plain(bedrock):
    bedrock._service._responder = lambda _: Reply.text("ok")
    client = boto(bedrock.url)
    yield client
    client.close()


@pytest.mark.parametrize("name", HURTFUL)
@pytest.mark.parametrize(("way", "model"), [(converse, SONNET), (converse, NOVA), (stream, SONNET)])
def test_as_the_client_alone(name, way, model, bedrock, plain, cache):
    make = HURTFUL[name]
    ours = CachingClient(plain, cache=cache)
    expected = outcome(lambda: way(plain, make(), model), bedrock)
    if name in PUT_RIGHT:
        # What is refused in the caller's own is taken out of it, and the call succeeds.
        expected = expected if expected[0] is not plain.exceptions.ValidationException else None
    for _ in range(2):
        # The second finds what the first left.
        found = outcome(lambda: way(ours, make(), model), bedrock)
        is_same = expected in (None, found)
        assert is_same, f"{str(found)[:500]}, not {str(expected)[:500]}"
    if not isinstance(expected, tuple) or not isinstance(expected[0], type):
        assert cache.faults == 0, "what Bedrock takes is read"


@pytest.mark.parametrize("name", [n for n in HURTFUL if n not in NO_REPR])
def test_what_was_given_is_as_it_was(name, bedrock, plain, cache):
    given, before = HURTFUL[name](), HURTFUL[name]()
    shown = _shown(given)
    outcome(lambda: converse(CachingClient(plain, cache=cache), given, SONNET), bedrock)
    is_same = _shown(given) == shown == _shown(before)
    assert is_same


def _shown(value):
    """Its repr; of what has none, its levels."""
    try:
        return repr(value)
    except (RecursionError, ValueError):
        return _down(value)


def _down(value):
    levels = []
    while isinstance(value, dict | list) and len(levels) < 3 * DEEP:
        levels.append((type(value), list(value) if isinstance(value, dict) else len(value)))
        inner = [
            v for v in (value.values() if isinstance(value, dict) else value) if isinstance(v, dict | list)
        ]
        value = inner[-1] if inner else None
    return levels


BODY = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 9,
    "system": MANUAL,
    "messages": [{"role": "user", "content": "hi"}],
}


def body(**more):
    return json.dumps({**BODY, **more})


BODIES = {
    "as it should be": body,
    "bytes": lambda: body().encode(),
    "bytes that may change": lambda: bytearray(body().encode()),
    "a file": lambda: io.BytesIO(body().encode()),
    "a file of text": lambda: io.StringIO(body()),
    "a look at bytes": lambda: memoryview(body().encode()),
    "a dict": lambda: dict(BODY),
    "None": lambda: None,
    "nothing": lambda: b"",
    "a mark in front": lambda: b"\xef\xbb\xbf" + body().encode(),
    "UTF-16": lambda: body().encode("utf-16"),
    "no UTF-8": lambda: body().encode() + b"\xff",
    "no object": lambda: b"[1]",
    "no JSON": lambda: b"{",
    "NaN": lambda: body(temperature=math.nan),
    "an integer of 400 digits": lambda: body(metadata={"user_id": 10**400}),
    "an integer of 5,000 digits": lambda: body().replace('"max_tokens": 9', '"max_tokens": ' + "9" * 5_000),
    "numbers as they are written": lambda: body().replace(
        '"max_tokens": 9', '"max_tokens": 9, "top_p": 1.00'
    ),
    "half a surrogate pair": lambda: body(messages=[{"role": "user", "content": "\ud800"}]),
    "half a surrogate pair unescaped": lambda: json.dumps(
        {**BODY, "messages": [{"role": "user", "content": "\ud800"}]}, ensure_ascii=False
    ),
    "a key twice": lambda: body()[:-1] + ', "system": "another"}',
    "20,000 deep": lambda: body()[:-1] + ', "metadata": ' + '{"a":[' * DEEP + "1" + "]}" * DEEP + "}",
    "a million tokens": lambda: body(system="all that is said of it " * 217_000),
    "10,000 blocks": lambda: body(
        messages=[{"role": "user", "content": [{"type": "text", "text": f"{n}"} for n in range(10_000)]}]
    ),
    "500 tools": lambda: body(
        tools=[{"name": f"tool_{n}", "input_schema": {"type": "object"}} for n in range(500)]
    ),
    "a document of 20 MB": lambda: body(
        messages=[
            {
                "role": "user",
                "content": [
                    {
                        "type": "document",
                        "source": {
                            "type": "base64",
                            "media_type": "application/pdf",
                            "data": "JVBE" * 5_000_000,
                        },
                    }
                ],
            }
        ]
    ),
    "nothing to be seen": lambda: body(messages=[{"role": "user", "content": "\u200b"}]),
    "empty everywhere": lambda: body(system=[], tools=[], messages=[{"role": "user", "content": []}]),
    "None everywhere": lambda: body(system=None, tools=None, messages=None, tool_choice=None),
    "other types": lambda: body(
        system=7, tools={}, messages="hi", tool_choice=[], thinking=7, cache_control=[]
    ),
    "blocks of no kind": lambda: body(messages=[{"role": "user", "content": [{}, 7, None, "a"]}]),
}


def without(value):
    """A body without checkpoints, a text as the list that it is short for, texts as one."""
    from tests.core import messages_requests

    return _listed(messages_requests.joined(messages_requests.bare(value)))


def _listed(value):
    if isinstance(value, list):
        return [_listed(v) for v in value]
    if not isinstance(value, dict):
        return value
    return {
        k: [{"type": "text", "text": v}] if k in ("system", "content") and isinstance(v, str) else _listed(v)
        for k, v in value.items()
    }


@pytest.mark.parametrize("name", BODIES)
def test_a_body_as_the_client_alone(name, bedrock, plain, cache):
    make = BODIES[name]
    ours = CachingClient(plain, cache=cache)

    def invoke(client):
        answer = client.invoke_model(modelId=SONNET, body=make())
        said = json.loads(answer["body"].read())
        return {k: v for k, v in said.items() if k not in ("usage", "id")}

    def run(client):
        before = len(bedrock.calls)
        try:
            found = invoke(client)
        except Exception as error:
            found = type(error), words(error)
        return found, [without(call.request) for call in bedrock.calls[before:]]

    expected = run(plain)
    for _ in range(2):
        is_same = (found := run(ours)) == expected
        assert is_same, f"{str(found)[:500]}, not {str(expected)[:500]}"
    assert cache.faults == 0 or isinstance(expected[0], tuple)


@pytest.mark.parametrize("explain", ["digests", "text"])
def test_odd_requests_one_after_the_other_on_one_cache(explain, bedrock, plain):
    """What one leaves behind fails none of the others."""
    cache = PromptCache(CachePolicy(explain=explain), bedrock.now)
    ours = CachingClient(plain, cache=cache)
    small = [name for name in HURTFUL if not name.startswith(("a million", "10,000", "a document of"))]
    for name in [*small, *reversed(small)]:
        outcome(lambda name=name: converse(ours, HURTFUL[name](), SONNET), bedrock)
    request = asked(text("hi"))
    before = copy.deepcopy(request)
    assert converse(ours, request, SONNET)["message"]["content"] == [text("ok")]
    assert request == before
