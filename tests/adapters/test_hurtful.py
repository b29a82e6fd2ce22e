"""Inputs that hurt, on every adapter: what the base class sends, or raises, so does the cached one."""

import base64
import collections
import json
import math
import re
import types

import pytest

from cachepoint.emulator import Reply
from tests.adapters.contract import MANUAL, Tool, ToolCall
from tests.aws.test_hurtful import dict_in_itself, holding_itself, nested
from tests.core import messages_requests
from tests.core.converse_requests import bare, joined

LONG = "all that is said of it " * 217_000


def text_of(said):
    return lambda a: [a.system(MANUAL), a.user(said)]


# By name: makes messages with an adapter's words.
MESSAGES = {
    "a million tokens": text_of(LONG),
    "half a surrogate pair": text_of("half \ud800 and \udfff"),
    "nothing to be seen": text_of("\u200b\u200d\ufeff"),
    "control characters": text_of("a\x00b\x1b[31m\r\n\u2028"),
    "a text of nothing": text_of(""),
    "a text of blanks": text_of(" \n\t"),
    "a system of nothing": lambda a: [a.system(""), a.user("hi")],
    "no messages": lambda a: [],
    "a system alone": lambda a: [a.system(MANUAL)],
    "1,000 messages": lambda a: [a.assistant(f"{n}.") if n % 2 else a.user(f"{n}?") for n in range(1_001)],
    "a message twice": lambda a: [a.user(MANUAL)] * 3,
    "the same turn twice": lambda a: [
        a.system(MANUAL),
        *([a.user("hi"), a.assistant("ho")] * 3),
        a.user("hi"),
    ],
    "a result of nothing that was asked": lambda a: [
        a.user("hi"),
        a.result(ToolCall("1", "a", {}), "\u200b"),
    ],
    "a tuple": lambda a: (a.system(MANUAL), a.user("hi")),
    "a text for messages": lambda a: "hi",
    "None": lambda a: None,
    "a list of None": lambda a: [None],
    "messages in a dict": lambda a: {"messages": [a.user("hi")]},
}


_WHERE = re.compile(r" (?:at 0x[0-9a-f]+|in position \d+)")


def got(bedrock, before):
    """What Bedrock was sent: without checkpoints, texts as one, a text as the list that it is short for."""
    found = [call.request for call in bedrock.calls[before:]]
    return [_listed(joined(messages_requests.joined(messages_requests.bare(bare(one))))) for one in found]


def _listed(value):
    if isinstance(value, list):
        return [_listed(v) for v in value]
    if not isinstance(value, dict):
        return value
    return {
        k: [{"type": "text", "text": v}] if k in ("system", "content") and isinstance(v, str) else _listed(v)
        for k, v in value.items()
    }


def outcome(run, bedrock):
    before = len(bedrock.calls)
    try:
        said = run()
    except Exception as error:
        # An address is another each time; how deep the interpreter was depends on who called, and where a
        # character stands in a body on the checkpoints in front of it.
        words = "" if isinstance(error, RecursionError) else _WHERE.sub("", str(error))
        return type(error), words, got(bedrock, before)
    return said, got(bedrock, before)


def is_alike(cached, base, ask, bedrock, cache):
    """Twice: the second finds what the first left."""
    expected = outcome(lambda: ask(base), bedrock)
    for _ in range(2):
        found = outcome(lambda: ask(cached), bedrock)
        # Not as an assertion of both: pytest would look for what differs in megabytes.
        is_same = found == expected
        assert is_same, f"{str(found)[:500]}, not {str(expected)[:500]}"
    if not isinstance(expected[0], type):
        assert cache.faults == 0, "what Bedrock takes is read"


@pytest.fixture(autouse=True)
def _brief(bedrock):
    bedrock.say(lambda _: Reply.text("ok"))


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_as_the_base_class(adapter, bedrock, cache, name):
    def ask(model):
        return adapter.ask(model, MESSAGES[name](adapter)).text

    is_alike(adapter.cached(bedrock, cache=cache), adapter.base(bedrock), ask, bedrock, cache)


def test_500_tools_as_the_base_class(adapter, bedrock, cache):
    tools = [adapter.tool(Tool(f"tool_{n}")) for n in range(500)]

    def ask(model):
        return adapter.ask(model, [adapter.system(MANUAL), adapter.user("hi")], tools=tools).text

    is_alike(adapter.cached(bedrock, cache=cache), adapter.base(bedrock), ask, bedrock, cache)


def test_one_list_of_messages_for_every_call(adapter, bedrock, cache):
    """The same objects again and again: none is another afterwards."""
    model, messages = adapter.cached(bedrock, cache=cache), [adapter.system(MANUAL), adapter.user("hi")]
    shown = repr(messages)
    sent = []
    for _ in range(3):
        adapter.ask(model, messages)
        sent.append(got(bedrock, len(bedrock.calls) - 1))
    assert sent[0] == sent[1] == sent[2]
    assert repr(messages) == shown
    assert cache.faults == 0


# By name: makes the input of a tool that was called.
INPUTS = {
    "NaN": lambda: {"a": math.nan},
    "infinity": lambda: {"a": [math.inf]},
    "an integer of 401 digits": lambda: {"a": 10**400},
    "an integer of 5,001 digits": lambda: {"a": 10**5_000},
    "half a surrogate pair": lambda: {"\ud800": "\udfff"},
    "names that are numbers": lambda: {1: "a", "b": 2},
    "100 deep": lambda: nested(50),
    "400 deep": lambda: nested(200),
    "20,000 deep": lambda: nested(10_000),
    "itself": dict_in_itself,
    "a list in itself": lambda: {"a": holding_itself()},
    "a dict in order": lambda: collections.OrderedDict(b=1, a=2),
    "a dict with a default": lambda: collections.defaultdict(list, a=1),
    "frozen": lambda: types.MappingProxyType({"a": 1}),
    "bytes": lambda: {"a": b"abc"},
    "a tuple": lambda: {"a": (1, (2,))},
    "empty everywhere": lambda: {"a": {}, "b": [], "c": "", "d": None},
}


def langchain_calls(given):
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

    call = {"name": "zeta", "args": given, "id": "1", "type": "tool_call"}
    return [
        SystemMessage(MANUAL),
        HumanMessage("go"),
        AIMessage("", tool_calls=[call]),
        ToolMessage("done", tool_call_id="1"),
    ]


def llama_calls(given):
    from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock

    call = ToolCallBlock(tool_call_id="1", tool_name="zeta", tool_kwargs=given)
    return [
        ChatMessage(role="system", content=MANUAL),
        ChatMessage(role="user", content="go"),
        ChatMessage(role="assistant", blocks=[call]),
        ChatMessage(role="tool", content="done", additional_kwargs={"tool_call_id": "1"}),
    ]


@pytest.mark.parametrize("name", INPUTS)
def test_a_tools_input_as_the_base_class(adapter, bedrock, cache, name):
    make = llama_calls if adapter.name == "llama_index" else langchain_calls
    tools = [adapter.tool(Tool("zeta"))]

    def ask(model):
        return adapter.ask(model, make(INPUTS[name]()), tools=tools).text

    is_alike(adapter.cached(bedrock, cache=cache), adapter.base(bedrock), ask, bedrock, cache)


def langchain_file(data):
    from langchain_core.messages import HumanMessage

    held = {
        "type": "file",
        "mime_type": "application/pdf",
        "name": "a",
        "base64": base64.b64encode(data).decode(),
    }
    return [HumanMessage([{"type": "text", "text": "hi"}, held])]


def llama_file(data):
    from llama_index.core.base.llms.types import ChatMessage, DocumentBlock, TextBlock

    held = DocumentBlock(data=base64.b64encode(data), title="a", document_mimetype="application/pdf")
    return [ChatMessage(role="user", blocks=[TextBlock(text="hi"), held])]


@pytest.mark.parametrize("size", [0, 20_000_000], ids=["nothing", "20 MB"])
def test_a_document_as_the_base_class(adapter, bedrock, cache, size):
    make = llama_file if adapter.name == "llama_index" else langchain_file

    def ask(model):
        return adapter.ask(model, make(b"%PDF-1.4"[:size] + bytes(size))).text

    is_alike(adapter.cached(bedrock, cache=cache), adapter.base(bedrock), ask, bedrock, cache)


# Contents of a message of LangChain's, as people write them by hand.
CONTENTS = {
    "no blocks": list,
    "1,000 blocks": lambda: [{"type": "text", "text": f"block {n}"} for n in range(1_000)],
    "a block twice": lambda: [{"type": "text", "text": MANUAL}] * 3,
    "words": lambda: ["hi", "ho"],
    "words and blocks": lambda: ["hi", {"type": "text", "text": MANUAL}],
    "an empty block": lambda: [{}],
    "a text of another type": lambda: [{"type": "text", "text": b"hi"}],
    "a block of no kind": lambda: [{"type": "smell", "smell": 1}],
    "dicts in order": lambda: [collections.OrderedDict(type="text", text=MANUAL)],
    "dicts with a default": lambda: [collections.defaultdict(list, type="text", text=MANUAL)],
    "a block in itself": lambda: [{"type": "text", "text": "a", "more": dict_in_itself()}],
    "a block 20,000 deep": lambda: [{"type": "text", "text": "a", "more": nested(10_000)}],
    "a checkpoint of None": lambda: [{"type": "text", "text": MANUAL, "cache_control": None}],
}


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_content_of_langchains_as_the_base_class(name, number, bedrock, cache):
    langchain_core = pytest.importorskip("langchain_core.messages", reason="LangChain is not installed")
    from tests.adapters.conftest import PRESENT

    adapter = [each for each in PRESENT if each.name.startswith("langchain")][number]

    def ask(model):
        messages = [langchain_core.SystemMessage(MANUAL), langchain_core.HumanMessage(CONTENTS[name]())]
        return adapter.ask(model, messages).text

    is_alike(adapter.cached(bedrock, cache=cache), adapter.base(bedrock), ask, bedrock, cache)


def test_the_inputs_are_of_use():
    """Some Bedrock takes, some it does not: a list of either alone would prove less."""
    taken = [
        name for name, make in INPUTS.items() if name not in ("20,000 deep", "itself", "a list in itself")
    ]
    assert json.dumps(INPUTS["100 deep"]())
    assert len(taken) > 10
