"""What fuzzing found: each input as it was, made small. A call goes out as it came, and nothing of ours raised."""

import collections
import copy
import decimal
import enum
import json
import logging
import sys

import pytest

from cachepoint import CachePolicy, PromptCache, Usage
from cachepoint.core.guard import Guard, InvalidOptionError
from cachepoint.core.models.refusals import is_refusal, read_refusal
from cachepoint.core.prompt.dialects.reading import UnreadableError, as_json

CLAUDE, NOVA = "us.anthropic.claude-sonnet-4-6", "us.amazon.nova-lite-v1:0"
MANUAL = "The pump holds four litres; the valve is on its left side. " * 200
DIGITS = "9" * 5_000
ALWAYS = CachePolicy(tail="always", fan_out="off")


@pytest.fixture
def taken(monkeypatch):
    """What guards took."""
    found = []
    fault = Guard.fault
    monkeypatch.setattr(
        Guard, "fault", lambda self, doing: (found.append(sys.exception()), fault(self, doing))[1]
    )
    return found


def converse(*content, **more):
    return {"system": [{"text": MANUAL}], "messages": [{"role": "user", "content": list(content)}], **more}


def use(**given):
    return {"toolUse": {"toolUseId": "1", "name": "a", "input": given}}


def tool(schema, **more):
    return {"toolSpec": {"name": "a", "inputSchema": {"json": schema}, **more}}


def sent(request, model=CLAUDE, dialect="converse", policy=None):
    cache = PromptCache(policy)
    call = cache.prepare(request, model, dialect=dialect)
    cache.settle(call, {"usage": {"inputTokens": 3, "outputTokens": 1, "totalTokens": 4}})
    return call


def holding_itself():
    value = []
    value.append(value)
    return value


class Colour(enum.IntEnum):
    RED = 1


class TestCached:
    """Bedrock takes them, so they get their checkpoints."""

    @pytest.mark.parametrize(
        "request_",
        [
            pytest.param(
                converse({"text": "hi"}, toolConfig={"tools": [tool({"properties": {7: {}, "a": {}}})]}),
                id="a schema with a number among its names",
            ),
            pytest.param(
                converse({"text": "hi"}, additionalModelRequestFields={7: 1, "top_k": 2}),
                id="a field of the model that is named by a number",
            ),
            pytest.param(
                converse(
                    {"text": "hi"},
                    additionalModelRequestFields={
                        "thinking": {"type": "enabled", "budget_tokens": 1_024, 7: 1}
                    },
                ),
                id="thinking with a number among its names",
            ),
            pytest.param(converse(use(a=10**400)), id="an integer of 400 digits"),
            pytest.param(converse(use(a=Colour.RED)), id="a member of an IntEnum"),
            pytest.param(converse(use(a=decimal.Decimal(1))), id="a Decimal"),
            pytest.param(converse({"text": "half \ud800"}), id="half a surrogate pair"),
            pytest.param(
                converse({"image": {"format": "png", "source": {"bytes": bytearray(b"ab")}}}),
                id="an image whose bytes may change",
            ),
        ],
    )
    def test_it_is_marked(self, request_, taken):
        before = copy.deepcopy(request_)
        assert sent(request_).plan.checkpoints
        assert request_ == before
        assert taken == []

    def test_a_text_in_base64_with_half_a_surrogate_pair(self, taken):
        source = {"type": "base64", "media_type": "image/png", "data": "\ud800"}
        blocks = [{"type": "image", "source": source}]
        body = {
            "system": [{"type": "text", "text": MANUAL}],
            "messages": [{"role": "user", "content": blocks}],
        }
        assert sent(body, dialect="messages").plan.checkpoints
        assert taken == []

    @pytest.mark.parametrize("place", ["model", "region", "namespace"])
    def test_a_name_with_half_a_surrogate_pair(self, place, taken):
        """Kinds, and the key that is being replaced, are named by it as well."""
        name = f"{CLAUDE}\ud800" if place == "model" else "\ud800"
        cache = PromptCache(ALWAYS, namespace=name if place == "namespace" else "")
        for _ in range(2):
            region = name if place == "region" else ""
            call = cache.prepare(
                converse({"text": "hi"}), name if place == "model" else CLAUDE, region=region
            )
            cache.settle(call, {"usage": {"inputTokens": 3, "outputTokens": 1, "totalTokens": 4}})
        assert call.plan.checkpoints or place == "model"
        assert taken == []

    def test_a_kind_with_half_a_surrogate_pair(self, taken):
        body = {
            "system": [{"type": "text", "text": MANUAL}],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "\ud800"}]}],
        }
        assert sent(body, dialect="messages").plan.checkpoints
        assert taken == []

    @pytest.mark.parametrize("again", [Colour.RED, True, 1.0])
    def test_what_equals_what_came_before_and_is_of_another_type(self, again, taken):
        """A transcript that is known is compared; marshal takes no IntEnum."""
        cache = PromptCache(ALWAYS)
        for given in (1, again, 1):
            assert cache.prepare(converse({"text": "hi"}, use(a=given)), CLAUDE).plan.checkpoints
        assert taken == []

    def test_a_conversation_that_begins_with_an_empty_message(self, taken):
        cache = PromptCache(ALWAYS)
        nothing, asked = {"role": "user", "content": []}, {"role": "user", "content": [{"text": MANUAL}]}
        for messages in ([nothing], [nothing, asked], [nothing, asked, asked]):
            cache.prepare({"messages": messages}, CLAUDE)
        assert cache.prepare({"messages": [nothing, asked]}, CLAUDE).plan.checkpoints
        assert taken == []


class TestNothingIsChanged:
    @pytest.mark.parametrize(
        "messages",
        [
            [collections.defaultdict(list, role="user")],
            [{"role": "user", "content": collections.defaultdict(list, text="a")}],
            [{"role": "user", "content": [collections.defaultdict(list, text="a")]}],
        ],
        ids=["a message", "a content", "a block"],
    )
    @pytest.mark.parametrize("dialect", ["converse", "messages", "nova"])
    def test_a_defaultdict_gets_no_key(self, messages, dialect):
        before = repr(messages)
        sent({"messages": messages}, dialect=dialect)
        assert repr(messages) == before


class TestAsItCame:
    """Neither boto3 nor Bedrock takes them."""

    @pytest.mark.parametrize(
        "request_",
        [
            pytest.param({"messages": holding_itself()}, id="a list that holds itself"),
            pytest.param(converse(use(a=holding_itself())), id="an input that holds itself"),
            pytest.param(
                converse({"text": "a"}, additionalModelRequestFields={"a": holding_itself()}),
                id="a field that holds itself",
            ),
            pytest.param(converse({7: ""}), id="a block that is named by a number"),
            pytest.param(converse({"text": {"a": 1}}), id="a dict for a text"),
            pytest.param(converse({"text": []}), id="a list for a text"),
            pytest.param(converse({"text": "a"}, use(a={(): 1})), id="a name that is a tuple"),
            pytest.param(converse({"toolResult": []}), id="a list for a result"),
            pytest.param(converse({"toolResult": {"content": [None]}}), id="a result of None"),
            pytest.param(converse({"toolResult": {"content": [[{}]]}}), id="a list in a result"),
            pytest.param(converse({"toolResult": {"content": 7}}), id="a number for a result"),
            pytest.param(converse({"document": []}), id="a list for a document"),
            pytest.param(converse({"document": {"format": "pdf", "source": {"bytes": b"a"}}}), id="no name"),
        ],
    )
    @pytest.mark.parametrize("model", [CLAUDE, NOVA])
    def test_it_goes_out(self, request_, model, taken):
        call = sent(request_, model)
        assert [f for f in taken if not isinstance(f, UnreadableError)] == []
        assert call.request.keys() == request_.keys()

    def test_a_kind_of_converse_in_a_body_of_anthropics(self, taken):
        body = {"messages": [{"role": "user", "content": [{"type": "toolResult", "a": 1}]}]}
        assert sent(body, dialect="messages").request == body
        assert [f for f in taken if not isinstance(f, UnreadableError)] == []

    def test_what_is_said_of_it_holds_no_text_of_it(self, caplog):
        caplog.set_level(logging.DEBUG, "cachepoint")
        sent(converse(use(secret=holding_itself())))
        assert "holds itself" in caplog.text
        assert "secret" not in caplog.text

    @pytest.mark.parametrize("given", [None, [], "text", 7, b"{}"], ids=repr)
    def test_what_is_no_request_is_refused_when_it_is_given(self, given):
        cache = PromptCache()
        with pytest.raises(InvalidOptionError, match="a request is of <class"):
            cache.prepare(given, CLAUDE)
        with pytest.raises(InvalidOptionError, match="a request is of <class"):
            cache.outlook(given, CLAUDE)


class TestAnswers:
    @pytest.mark.parametrize("details", [[{"ttl": []}], [{"ttl": {}, "inputTokens": 5}], [{}]], ids=repr)
    def test_a_ttl_of_any_type_is_none_that_is_known(self, details):
        usage = {"inputTokens": 3, "outputTokens": 1, "cacheWriteInputTokens": 5, "cacheDetails": details}
        assert Usage.from_converse({"usage": usage}).write_tokens == 5

    def test_what_is_no_count_of_tokens_makes_no_figure(self, taken):
        """10**400 is an int, and no float."""
        cache = PromptCache()
        for wrote in (9_000, 10**400, 9_000):
            call = cache.prepare(converse({"text": "hi"}), CLAUDE)
            usage = {"inputTokens": 10**400, "outputTokens": 1, "cacheWriteInputTokens": wrote}
            report = cache.settle(call, {"usage": usage})
            json.dumps(report.as_dict(), allow_nan=False)
        assert report.usage.uncached_tokens is None or report.usage.uncached_tokens < 10**13
        assert taken == []


@pytest.mark.parametrize(
    "message",
    [
        f"messages.{DIGITS}.content.1.type: Field required",
        f"messages.1.content.{DIGITS}.type: Field required",
        f"#/messages/{DIGITS}/content/0: extraneous key [cachePoint] is not permitted",
    ],
    ids=["a message", "a block", "a pointer"],
)
def test_a_refusal_with_a_number_that_no_int_takes_is_read(message):
    assert read_refusal(message, [("messages", (0, 0))]) is None
    is_refusal(message)


@pytest.mark.parametrize("value", [{"b": 1, "a": 2}, {2: 1, "a": 2}, {None: 1, True: 2}], ids=repr)
def test_names_are_in_order_whatever_they_are(value):
    found = list(json.loads(as_json(value, in_order=True)))
    assert found == sorted(found)


def test_texts_are_kept_and_shown_where_they_are_odd(taken):
    cache = PromptCache(CachePolicy(explain="text"))
    for text in ("a \ud800", "b \ud800", "a \u200b"):
        call = cache.prepare(converse({"text": text}), CLAUDE)
        str(cache.settle(call, {"usage": {"inputTokens": 9_000, "outputTokens": 1}}))
    assert taken == []
