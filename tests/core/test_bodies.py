"""The two forms of InvokeModel's bodies: what is read of them, and where checkpoints go."""

import base64
import copy
import json

import pytest
from builders import NOVA, OPUS_48, SONNET, assistant, point, result, text, tool, use, user

from cachepoint import CachePolicy, PromptCache
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.models.rules import rules_for
from cachepoint.core.prompt.dialects import converse, messages, nova
from cachepoint.core.prompt.dialects.reading import UnreadableError

CLAUDE = rules_for(SONNET)
EPHEMERAL = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
DEFAULT = {"type": "default"}


def call_of(body, model=SONNET, dialect="messages", **policy):
    cache = PromptCache(policy=CachePolicy(tail="always", **policy))
    before = copy.deepcopy(body)
    call = cache.prepare(body, model_id=model, dialect=dialect)
    assert body == before
    assert cache.faults == 0
    return call


def block(words="x", control=None):
    return {"type": "text", "text": words} | ({"cache_control": control} if control else {})


BIG = "q " * 3_000


class TestMessages:
    @pytest.mark.parametrize(
        "last",
        [
            {"name": "f", "input_schema": {}, "defer_loading": True},
            {"name": "f", "input_schema": {}, "defer_loading": True, "cache_control": EPHEMERAL},
        ],
    )
    def test_a_deferred_tool_carries_none(self, last):
        """claude-code#86743, 2026: "Tools with defer_loading cannot use prompt caching"."""
        first = {"name": "g", "description": BIG, "input_schema": {}}
        out = call_of({"tools": [first, last], "messages": [{"role": "user", "content": "hi"}]}).request
        assert not [t for t in out["tools"] if t.get("defer_loading") and "cache_control" in t]
        assert out["messages"][0]["content"][0]["cache_control"] == EPHEMERAL

    def test_a_tool_that_is_not_deferred_does(self):
        tools = [{"name": "g", "description": BIG, "input_schema": {}, "defer_loading": False}]
        body = {"tools": tools, "messages": [{"role": "user", "content": "hi"}]}
        assert "cache_control" in json.dumps(call_of(body).request["tools"])

    @pytest.mark.parametrize("automatic", [EPHEMERAL, HOUR])
    def test_automatic_caching_is_the_end_of_the_prompt(self, automatic):
        thought = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
        body = {
            "cache_control": automatic,
            "system": BIG,
            "messages": [
                {"role": "user", "content": [block("a"), block("  ")]},
                {"role": "assistant", "content": [thought]},
            ],
        }
        call = call_of(body, OPUS_48)
        assert [(c.where, c.reason, c.ttl) for c in call.plan.checkpoints] == [
            ("system[0]", "head", automatic.get("ttl", "5m")),
            ("messages[0].content[0]", "hand", automatic.get("ttl", "5m")),
        ]
        assert call.request["cache_control"] is automatic
        assert call.request["messages"] == body["messages"]
        assert messages.points(call.request) == [("system", (0,)), ("messages", (0, 0))]

    def test_automatic_caching_moves_on(self):
        cache = PromptCache(policy=CachePolicy())
        body = {"cache_control": EPHEMERAL, "system": BIG, "messages": []}
        for turn in "abc":
            body["messages"] = [*body["messages"], {"role": "user", "content": turn}]
            call = cache.prepare(body, model_id=OPUS_48, dialect="messages")
            hand = [c.where for c in call.plan.checkpoints if c.reason == "hand"]
            assert hand == [f"messages[{len(body['messages']) - 1}].content[0]"]
            assert call.request["cache_control"] == EPHEMERAL
            body["messages"] += [{"role": "assistant", "content": "well"}]

    @pytest.mark.parametrize(
        ("last", "stays"), [(EPHEMERAL, True), ({"type": "ephemeral", "ttl": "5m"}, True), (HOUR, False)]
    )
    def test_beside_another_ttl_of_the_last_block_it_goes(self, last, stays):
        """Anthropic's documentation, 2026-10: the same TTL adds none, another is refused."""
        body = {
            "cache_control": EPHEMERAL,
            "system": BIG,
            "messages": [{"role": "user", "content": [block("a", last)]}],
        }
        out = call_of(body, OPUS_48).request
        assert ("cache_control" in out) is stays
        assert out["messages"] == body["messages"]

    def test_a_refused_checkpoint_leaves_the_callers_automatic_one(self):
        cache = PromptCache(policy=CachePolicy())
        body = {"cache_control": EPHEMERAL, "system": BIG, "messages": [{"role": "user", "content": "a"}]}
        call = cache.prepare(body, model_id=OPUS_48, dialect="messages")
        again = cache.refused(call, "system.0.cache_control: Extra inputs are not permitted")
        assert again.request == body
        # Its own refusal is the caller's.
        assert cache.refused(call, "cache_control: Extra inputs are not permitted") is None

    @pytest.mark.parametrize(
        "held",
        [
            lambda data: {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": data},
            },
            lambda data: {
                "type": "tool_result",
                "tool_use_id": "t",
                "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
                ],
            },
        ],
        ids=["image", "in a tool result"],
    )
    def test_an_image_weighs_what_it_weighs_through_converse(self, held):
        data = b"\x89PNG" + bytes(range(256)) * 4_000
        plain = base64.b64encode(data).decode()
        body = {"messages": [{"role": "user", "content": [block("see"), held(plain)]}]}
        through = {"image": {"format": "png", "source": {"bytes": data}}}
        if held("")["type"] == "tool_result":
            through = {"toolResult": {"toolUseId": "t", "content": [through]}}
        one = call_of(body).case.prefix.sizes[-1]
        other = call_of({"messages": [user({"text": "see"}, through)]}, dialect="converse").case.prefix.sizes[
            -1
        ]
        assert one == pytest.approx(other, rel=0.05)

    def test_other_images_are_other_prefixes(self):
        def digest(data):
            source = {"type": "base64", "media_type": "image/png", "data": data}
            body = {"messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]}
            return cache.prepare(body, model_id=SONNET, dialect="messages").case.prefix.digests[-1]

        cache = PromptCache()
        assert digest("A" * 100) == digest("A" * 100) != digest("A" * 99 + "B")

    def test_a_pdf_weighs_an_eighth_in_either_form(self):
        data = b"%PDF" + b"x" * 80_000
        source = {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(data).decode()}
        body = {"messages": [{"role": "user", "content": [{"type": "document", "source": source}]}]}
        through = {"document": {"format": "pdf", "name": "d", "source": {"bytes": data}}}
        one = call_of(body).case.prefix.sizes[-1]
        other = call_of({"messages": [user(through)]}, dialect="converse").case.prefix.sizes[-1]
        # Base64 is longer by a third.
        assert other < one < 1.4 * other

    def test_without_messages_nothing_is_placed(self):
        call = call_of({"system": BIG})
        assert (call.plan.checkpoints, call.plan.note) == ((), "no body with messages was read")
        assert call.request == {"system": BIG}


class TestNova:
    def test_a_checkpoint_is_a_key_of_the_text(self):
        body = {"system": [text(2_500)], "messages": [user(text(40))]}
        out = call_of(body, NOVA, "nova").request
        assert out["system"] == [{**text(2_500), "cachePoint": DEFAULT}]
        assert out["messages"] == [user({**text(40), "cachePoint": DEFAULT})]
        assert nova.points(out) == [("system", (0,)), ("messages", (0, 0))]

    @pytest.mark.parametrize(
        "content",
        [
            [{"image": {"format": "png", "source": {"bytes": "iVBORw=="}}, "cachePoint": DEFAULT}],
            [{**use("f", "t"), "cachePoint": DEFAULT}],
            [{**text(10), "cachePoint": DEFAULT}, use("f", "t")],
            [{**result("t"), "cachePoint": DEFAULT}],
            [{"text": "  ", "cachePoint": DEFAULT}],
        ],
        ids=["image", "tool use", "beside a tool use", "tool result", "blank"],
    )
    def test_what_is_known_to_be_refused_goes(self, content):
        """pi#2053, zeroclaw#8943; generative-ai-use-cases#1077."""
        body = {"system": [text(2_500)], "messages": [user(text(5)), assistant(*content), user(text(5))]}
        out = call_of(body, NOVA, "nova").request
        assert "cachePoint" not in json.dumps(out["messages"][1])
        assert [b for b in content if "cachePoint" not in b] == [
            b for b in out["messages"][1]["content"] if b in content
        ]

    def test_a_point_on_a_tool_goes(self):
        """LibreChat#13838."""
        body = {
            "toolConfig": {"tools": [{**tool("f"), "cachePoint": DEFAULT}]},
            "system": [text(2_500)],
            "messages": [user(text(5))],
        }
        out = call_of(body, NOVA, "nova").request
        assert out["toolConfig"] == {"tools": [tool("f")]}

    def test_no_ttl_is_sent(self):
        body = {
            "system": [{**text(2_500), "cachePoint": {"type": "default", "ttl": "1h"}}],
            "messages": [user(text(5))],
        }
        out = call_of(body, NOVA, "nova", ttl="1h").request
        assert '"ttl"' not in json.dumps(out)
        assert out["system"][0]["cachePoint"] == DEFAULT

    @pytest.mark.parametrize(
        "change",
        [
            {"inferenceConfig": {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}},
            {"toolConfig": {"tools": [], "toolChoice": {"any": {}}}},
        ],
    )
    def test_what_changes_the_prefix_is_a_setting(self, change):
        body = {"messages": [user(text(5))]}
        rules = rules_for(NOVA)
        assert nova.read({**body, **change}, rules).invalidates != nova.read(body, rules).invalidates
        temperature = {"inferenceConfig": {"temperature": 0.5}}
        assert nova.read({**body, **temperature}, rules).invalidates == nova.read(body, rules).invalidates

    def test_it_is_read_as_converse_reads_it(self):
        picture = {"image": {"format": "png", "source": {"bytes": b"iVBORw=="}}}
        said = [user(text(5), picture), assistant(text(3)), user(text(4))]
        request = {
            "system": [text(9), point(), text(8)],
            "messages": said,
            "toolConfig": {"tools": [tool("f")]},
        }
        body = {
            **request,
            "system": [{**text(9), "cachePoint": DEFAULT}, text(8)],
            "messages": [
                user(text(5), {"image": {"format": "png", "source": {"bytes": "iVBORw=="}}}),
                *said[1:],
            ],
        }
        rules = rules_for(NOVA)
        through, own = converse.read(request, rules).raw, nova.read(body, rules).raw
        assert [b._replace(mark=None, path=()) for b in own] == [
            b._replace(mark=None, path=()) for b in through
        ]
        assert [b.path for b in own if b.layer == "system"] == [(0,), (1,)]
        assert [b.mark is not None for b in own] == [b.mark is not None for b in through]

    @pytest.mark.parametrize(
        "body",
        [
            {"messages": [user({"cachePoint": DEFAULT})]},
            {"messages": [user({"text": "a", "image": {}})]},
            {"messages": [{"role": "user", "content": "a"}]},
            {"system": "a", "messages": []},
        ],
    )
    def test_what_is_no_body_is_refused(self, body):
        with pytest.raises(UnreadableError):
            nova.read(body, rules_for(NOVA))

    def test_a_text_is_cut_and_joined(self):
        body = {"system": [{**text(9), "cachePoint": DEFAULT}], "messages": [user(text(5))]}
        marks = {("system", (0, 1)): DEFAULT}
        out = nova.write(body, marks, None, {("system", (0,)): (10,)})
        whole = text(9)["text"]
        assert out["system"] == [{"text": whole[:10]}, {"text": whole[10:], "cachePoint": DEFAULT}]

    def test_latency_optimized_inference_takes_none(self):
        body = {
            "performanceConfigLatency": "optimized",
            "system": [{**text(2_500), "cachePoint": DEFAULT}],
            "messages": [user(text(5))],
        }
        call = call_of(body, NOVA, "nova")
        assert call.plan.checkpoints == ()
        assert call.request["system"] == [text(2_500)]


@pytest.mark.parametrize("second", ["converse", "messages"])
def test_what_one_api_wrote_the_other_does_not_expect(second):
    """CacheCanary 0.4.0, measured on Bedrock, 2026-10: Converse and InvokeModel share no entries."""
    cache = PromptCache(policy=CachePolicy(tail="always"))
    requests = {
        "converse": {"system": [text(3_000)], "messages": [user(text(40))]},
        "messages": {
            "system": [block(text(3_000)["text"])],
            "messages": [{"role": "user", "content": [block(text(40)["text"])]}],
        },
    }
    answers = {
        "converse": {
            "usage": {
                "inputTokens": 3,
                "outputTokens": 1,
                "cacheReadInputTokens": 0,
                "cacheWriteInputTokens": 3_040,
            }
        },
        "messages": {
            "usage": {
                "input_tokens": 3,
                "output_tokens": 1,
                "cache_read_input_tokens": 0,
                "cache_creation_input_tokens": 3_040,
            }
        },
    }
    first = "messages" if second == "converse" else "converse"

    def prepared(dialect):
        return cache.prepare(requests[dialect], model_id=SONNET, dialect=dialect)

    cache.settle(prepared(first), answers[first])
    assert prepared(first).plan.expected_read_tokens == 3_040
    call = prepared(second)
    assert call.plan.expected_read_tokens is None
    assert cache.settle(call, answers[second]).miss.cause == "first_write"


METRICS = {
    "inputTokenCount": 3,
    "outputTokenCount": 9,
    "cacheReadInputTokenCount": 100,
    "cacheWriteInputTokenCount": 20,
}
HEADERS = {
    "x-amzn-bedrock-input-token-count": "3",
    "x-amzn-bedrock-output-token-count": "9",
    "x-amzn-bedrock-cache-read-input-token-count": "100",
    "x-amzn-bedrock-cache-write-input-token-count": "20",
}


@pytest.mark.parametrize(
    "response",
    [
        {"amazon-bedrock-invocationMetrics": METRICS},
        {"ResponseMetadata": {"HTTPHeaders": HEADERS}},
        {"usage": {"input_tokens": 3, "output_tokens": 9}, "amazon-bedrock-invocationMetrics": METRICS},
        {"usage": {"input_tokens": 3, "output_tokens": 9}, "ResponseMetadata": {"HTTPHeaders": HEADERS}},
        {"usage": {"inputTokens": 3, "outputTokens": 9}, "ResponseMetadata": {"HTTPHeaders": HEADERS}},
    ],
)
def test_what_a_body_leaves_out_is_taken_from_beside_it(response):
    usage = Usage.from_messages(response)
    assert (usage.uncached_tokens, usage.output_tokens) == (3, 9)
    assert (usage.read_tokens, usage.write_tokens, usage.write_1h_tokens) == (100, 20, None)


def test_the_split_by_ttl_is_the_bodys():
    split = {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 15}
    said = {"input_tokens": 3, "output_tokens": 9, "cache_creation_input_tokens": 20, "cache_creation": split}
    usage = Usage.from_messages({"usage": said, "ResponseMetadata": {"HTTPHeaders": HEADERS}})
    assert (usage.read_tokens, usage.write_5m_tokens, usage.write_1h_tokens) == (100, 5, 15)


def test_novas_streams_are_read():
    told = {"inputTokens": 3, "outputTokens": 9, "cacheReadInputTokenCount": 100}
    last = {"metadata": {"usage": told}, "amazon-bedrock-invocationMetrics": METRICS}
    usage = Usage.from_message_stream([{"messageStart": {}}, last])
    assert (usage.uncached_tokens, usage.read_tokens, usage.write_tokens) == (3, 100, 20)


@pytest.mark.parametrize(
    "response", [{}, {"usage": None}, {"usage": {}, "ResponseMetadata": {}}, {"usage": 3}]
)
def test_no_usage_is_none(response):
    assert Usage.from_messages(response) is None
