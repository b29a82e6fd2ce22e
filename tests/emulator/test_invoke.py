"""InvokeModel, with and without a stream, through unmodified boto3."""

import json

import pytest
from botocore.exceptions import ClientError, EventStreamError

from cachepoint.emulator import BedrockEmulator, EmulatedError, Reply, ScriptedResponder, ToolResponder
from tests.emulator import wire
from tests.emulator.bodies import (
    HOUR,
    MARK,
    TOOL,
    assistant,
    body,
    cached,
    invoke,
    result,
    stream,
    text,
    usage_of,
    use,
    user,
    words,
)
from tests.emulator.wire import HAIKU, LLAMA, NOVA, OPUS_48, SONNET, SONNET_4

BIG = text(words(2000))
SYSTEM = {"system": [{**BIG, **MARK}]}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}}
DOCUMENT = {
    "type": "document",
    "source": {"type": "text", "media_type": "text/plain", "data": words(2000)},
    "title": "notes.txt",
}


def marked(block, mark=MARK):
    return {**block, **mark}


class TestTheCache:
    def test_a_second_call_reads_what_the_first_wrote(self, client):
        first, second = (usage_of(client, SONNET, body(**SYSTEM)) for _ in range(2))
        assert (cached(first), cached(second)) == ((0, 2000), (2000, 0))
        assert first["cache_creation"] == {"ephemeral_5m_input_tokens": 2000, "ephemeral_1h_input_tokens": 0}
        assert second["cache_creation"] == {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}

    def test_a_stream_shares_it(self, client):
        invoke(client, SONNET, body(**SYSTEM))
        assert cached(stream(client, SONNET, body(**SYSTEM))[0]["message"]["usage"]) == (2000, 0)

    def test_converse_does_not(self, client):
        """Converse and InvokeModel share nothing: measured by CacheCanary 0.4.0, 2026-10."""
        invoke(client, SONNET, body(**SYSTEM))
        converse = {
            "system": [{"text": BIG["text"]}, wire.POINT],
            "messages": [wire.user({"text": "What now?"})],
        }
        assert wire.cached(client.converse(modelId=SONNET, **converse)["usage"]) == (0, 2000)
        assert cached(usage_of(client, SONNET, body(**SYSTEM))) == (2000, 0)

    @pytest.mark.parametrize("alike", ["What now?", [text("What now?")]])
    def test_a_text_is_what_it_is_in_either_form(self, client, alike):
        request = body(user("What now?"), assistant("This."), user(marked(BIG)))
        invoke(client, SONNET, request)
        again = body({"role": "user", "content": alike}, assistant(text("This.")), user(marked(BIG)))
        assert cached(usage_of(client, SONNET, again))[1] == 0

    @pytest.mark.parametrize(
        "history",
        [
            pytest.param([user(marked(BIG))], id="text"),
            pytest.param([user(BIG, marked(IMAGE))], id="image"),
            pytest.param([user(marked(DOCUMENT), "Sum it up.")], id="document"),
            pytest.param([user(BIG), assistant(marked(use())), user(result())], id="tool_use"),
            pytest.param([user(BIG), assistant(use()), user(marked(result()))], id="tool_result"),
            pytest.param(
                [user(BIG), assistant(use()), user(result(content=[marked(text("sunny"))]))],
                id="in a tool_result",
            ),
        ],
    )
    def test_every_block_that_may_carry_a_checkpoint_carries_one(self, client, history):
        request = body(*history, tools=[TOOL])
        first, second = (usage_of(client, SONNET, request) for _ in range(2))
        assert first["cache_read_input_tokens"] == 0 < first["cache_creation_input_tokens"]
        assert cached(second) == (first["cache_creation_input_tokens"], 0)

    def test_tools_carry_one(self, client):
        tools = [{**TOOL, "description": words(2000), **MARK}]
        usage = usage_of(client, SONNET, body(tools=tools))
        assert usage["cache_creation_input_tokens"] > 2000
        other = body(user("And now?"), tools=tools)
        assert usage_of(client, SONNET, other)["cache_read_input_tokens"] > 2000

    def test_a_segment_takes_the_ttl_of_the_marker_that_ends_it(self, client):
        request = body(user(text(words(100)), marked(text("?"))), system=[marked(BIG, HOUR)])
        split = usage_of(client, SONNET, request)["cache_creation"]
        assert split["ephemeral_1h_input_tokens"] == 2000
        assert split["ephemeral_5m_input_tokens"] > 100

    def test_an_hour_is_kept_and_five_minutes_are_not(self, bedrock, client):
        for mark, again in ((HOUR, (2000, 0)), (MARK, (0, 2000))):
            request = body(system=[marked(BIG, mark)])
            invoke(client, SONNET, request)
            bedrock.advance(600)
            assert cached(usage_of(client, SONNET, request)) == again
            bedrock.reset()

    def test_another_output_schema_is_another_prefix(self, client):
        """B9: a schema is a setting of the prefix, tools and system included."""

        def asking(schema):
            return body(**SYSTEM, output_config={"format": {"type": "json_schema", "schema": schema}})

        one = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
        other = {"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"]}
        invoke(client, SONNET, asking(one))
        assert cached(usage_of(client, SONNET, asking(other))) == (0, 2000)
        assert cached(usage_of(client, SONNET, asking(one))) == (2000, 0)
        assert json.loads(invoke(client, SONNET, asking(other))["content"][0]["text"]).keys() == {"b"}

    @pytest.mark.parametrize(
        "setting",
        [
            {"thinking": {"type": "enabled", "budget_tokens": 1024}},
            {"output_config": {"effort": "low"}},
        ],
    )
    def test_thinking_and_effort_lose_everything(self, client, setting):
        invoke(client, SONNET, body(**SYSTEM))
        assert cached(usage_of(client, SONNET, body(**SYSTEM, **setting))) == (0, 2000)

    def test_a_forced_tool_loses_the_messages_alone(self, client):
        request = body(user(marked(text(words(500)))), tools=[TOOL], **SYSTEM)
        written = usage_of(client, SONNET, request)["cache_creation_input_tokens"]
        forced = usage_of(client, SONNET, {**request, "tool_choice": {"type": "any"}})
        assert 2000 < forced["cache_read_input_tokens"] < written
        assert forced["cache_creation_input_tokens"] > 500


class TestAutomaticCaching:
    def test_it_marks_the_last_block(self, client):
        request = body(user(words(2000)), **MARK)
        first = usage_of(client, OPUS_48, request)
        grown = body(user(words(2000)), assistant("Yes."), user("And?"), **MARK)
        second = usage_of(client, OPUS_48, grown)
        assert first["cache_creation_input_tokens"] == second["cache_read_input_tokens"] > 2000

    def test_it_keeps_its_ttl(self, client):
        usage = usage_of(client, OPUS_48, body(user(words(2000)), **HOUR))
        assert usage["cache_creation"]["ephemeral_1h_input_tokens"] > 2000

    def test_it_is_one_of_the_four(self, client):
        blocks = [marked(text(str(n))) for n in range(4)]
        with pytest.raises(ClientError, match="Found 5"):
            invoke(client, OPUS_48, body(user(*blocks, "end"), **MARK))

    def test_it_adds_none_where_there_is_one(self, client):
        blocks = [marked(text(str(n))) for n in range(4)]
        invoke(client, OPUS_48, body(user(*blocks), **MARK))

    @pytest.mark.parametrize("model", [SONNET, HAIKU])
    def test_older_models_have_none(self, client, model):
        with pytest.raises(ClientError, match="cache_control: Extra inputs are not permitted"):
            invoke(client, model, body(**MARK))


class TestTheAnswer:
    def test_as_it_was_recorded(self, client, bedrock):
        answer = client.invoke_model(modelId=SONNET, body=json.dumps(body()))
        said = json.loads(answer["body"].read())
        assert answer["contentType"] == "application/json"
        assert (said["model"], said["role"], said["type"]) == ("claude-sonnet-4-6", "assistant", "message")
        assert said["id"].startswith("msg_bdrk_")
        assert said["content"] == [{"type": "text", "text": "You asked: What now?"}]
        assert (said["stop_reason"], said["stop_sequence"]) == ("end_turn", None)
        (call,) = bedrock.calls
        assert (call.operation, call.usage["inputTokens"]) == ("InvokeModel", said["usage"]["input_tokens"])

    def test_its_headers_say_what_its_usage_says(self, client):
        for read, write in ((0, 2000), (2000, 0)):
            answer = client.invoke_model(modelId=SONNET, body=json.dumps(body(**SYSTEM)))
            usage = json.loads(answer["body"].read())["usage"]
            headers = answer["ResponseMetadata"]["HTTPHeaders"]
            told = {
                name: int(headers[f"x-amzn-bedrock-{name}-token-count"])
                for name in ("cache-read-input", "cache-write-input", "input", "output")
            }
            assert told == {
                "cache-read-input": read,
                "cache-write-input": write,
                "input": usage["input_tokens"],
                "output": usage["output_tokens"],
            }
            assert int(headers["x-amzn-bedrock-invocation-latency"]) >= 0

    def test_a_model_that_cannot_cache_has_no_counts_of_it(self, client):
        usage = usage_of(client, "anthropic.claude-3-haiku-20240307-v1:0", body())
        assert usage.keys() == {"input_tokens", "output_tokens"}

    def test_before_1h_there_was_no_split(self, client):
        usage = usage_of(client, "us.anthropic.claude-3-7-sonnet-20250219-v1:0", body(**SYSTEM))
        assert "cache_creation" not in usage
        assert cached(usage) == (0, 2000)

    def test_it_stops_where_it_is_told_to(self):
        with BedrockEmulator(responder=ScriptedResponder(["one END two"])) as bedrock:
            client = wire.client(bedrock)
            said = invoke(client, SONNET, body(stop_sequences=["END"]))
            client.close()
        assert (said["content"][0]["text"], said["stop_reason"], said["stop_sequence"]) == (
            "one ",
            "stop_sequence",
            "END",
        )

    def test_a_tool_is_called_and_answered(self, client):
        asked = user("What is the weather in Rome?")
        said = invoke(client, SONNET, body(asked, tools=[TOOL]))
        (call,) = said["content"]
        assert (call["type"], call["name"], said["stop_reason"]) == ("tool_use", "get_weather", "tool_use")
        assert call["input"].keys() == {"location"}
        back = user(result(call["id"], "It is sunny."))
        done = invoke(client, SONNET, body(asked, assistant(call), back, tools=[TOOL]))
        assert done["content"][0]["text"] == "The tools answered: It is sunny."

    def test_no_tool_is_called_where_none_may_be(self, client):
        asked = user("What is the weather in Rome?")
        said = invoke(client, SONNET, body(asked, tools=[TOOL], tool_choice={"type": "none"}))
        assert said["content"][0]["type"] == "text"

    def test_thinking_comes_first_and_may_come_back(self, client):
        thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
        said = invoke(client, SONNET, body(**thinking))
        first, second = said["content"]
        assert (first["type"], second["type"]) == ("thinking", "text")
        assert first["signature"]
        history = body(user("What now?"), assistant(*said["content"]), user("And then?"), **thinking)
        assert invoke(client, SONNET, history)["content"][0]["type"] == "thinking"

    def test_what_a_responder_cannot_say_here_is_told(self, caplog):
        with BedrockEmulator(responder=lambda _: Reply(({"image": {}},))) as bedrock:
            status, _, answer = wire.post(bedrock, body(), operation="invoke")
        assert (status, "not 'image'" in answer["message"]) == (500, True)


class TestTheStream:
    def kinds(self, events):
        return [event["type"] for event in events]

    def test_from_message_start_to_the_metrics(self, client):
        events = stream(client, SONNET, body(user("What about w?" * 20), **SYSTEM))
        kinds = self.kinds(events)
        assert kinds[:2] == ["message_start", "content_block_start"]
        assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
        assert kinds.count("content_block_delta") > 3
        start, delta, stop = events[0]["message"], events[-2], events[-1]
        assert (start["role"], start["content"], start["stop_reason"]) == ("assistant", [], None)
        assert delta["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
        for usage in (start["usage"], delta["usage"]):
            assert cached(usage) == (0, 2000)
        metrics = stop["amazon-bedrock-invocationMetrics"]
        assert metrics["cacheWriteInputTokenCount"] == 2000
        assert metrics["cacheReadInputTokenCount"] == 0
        assert metrics["inputTokenCount"] == start["usage"]["input_tokens"]
        assert metrics["outputTokenCount"] == delta["usage"]["output_tokens"]
        assert metrics.keys() >= {"invocationLatency", "firstByteLatency"}

    def test_it_says_what_the_whole_answer_says(self, client):
        request = body(user("What about it? " * 9))
        events = stream(client, SONNET, request)
        said = "".join(e["delta"]["text"] for e in events if e["type"] == "content_block_delta")
        assert said == invoke(client, SONNET, request)["content"][0]["text"]

    def test_a_tool_call_in_pieces(self):
        with BedrockEmulator(responder=ToolResponder()) as bedrock:
            client = wire.client(bedrock)
            events = stream(client, SONNET, body(user("Weather in Rome"), tools=[TOOL]))
            client.close()
        start = next(event for event in events if event["type"] == "content_block_start")["content_block"]
        assert (start["type"], start["name"], start["input"]) == ("tool_use", "get_weather", {})
        deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
        assert {delta["type"] for delta in deltas} == {"input_json_delta"}
        assert json.loads("".join(delta["partial_json"] for delta in deltas)).keys() == {"location"}
        assert events[-2]["delta"]["stop_reason"] == "tool_use"

    def test_thinking_has_its_own_deltas(self, client):
        events = stream(client, SONNET, body(thinking={"type": "enabled", "budget_tokens": 1024}))
        starts = [e["content_block"] for e in events if e["type"] == "content_block_start"]
        assert starts[0] == {"type": "thinking", "thinking": "", "signature": ""}
        kinds = [e["delta"]["type"] for e in events if e["type"] == "content_block_delta" and not e["index"]]
        assert kinds[-1] == "signature_delta"
        assert set(kinds[:-1]) == {"thinking_delta"}

    def test_citations_and_redacted_thinking(self):
        content = (
            {"reasoningContent": {"redactedContent": "AAAA"}},
            {"citationsContent": {"content": [{"text": "So it is."}], "citations": [{"title": "a"}]}},
        )
        with BedrockEmulator(responder=lambda _: Reply(content)) as bedrock:
            client = wire.client(bedrock)
            whole, events = invoke(client, SONNET, body()), stream(client, SONNET, body())
            client.close()
        cited = {"type": "text", "text": "So it is.", "citations": [{"title": "a"}]}
        assert whole["content"] == [{"type": "redacted_thinking", "data": "AAAA"}, cited]
        starts = [e["content_block"] for e in events if e["type"] == "content_block_start"]
        assert starts == [whole["content"][0], {"type": "text", "text": "", "citations": []}]
        deltas = [e["delta"] for e in events if e["type"] == "content_block_delta"]
        assert deltas[-1] == {"type": "citations_delta", "citation": {"title": "a"}}

    def test_what_it_wrote_is_readable_as_soon_as_it_began(self):
        slow = Reply(({"text": "word " * 40},), pause=0.02)
        with BedrockEmulator(responder=ScriptedResponder([slow, "next"])) as bedrock:
            client = wire.client(bedrock)
            answer = client.invoke_model_with_response_stream(modelId=SONNET, body=json.dumps(body(**SYSTEM)))
            events = iter(answer["body"])
            assert json.loads(next(events)["chunk"]["bytes"])["type"] == "message_start"
            assert cached(usage_of(client, SONNET, body(**SYSTEM))) == (2000, 0)
            assert "amazon-bedrock-invocationMetrics" in json.loads(list(events)[-1]["chunk"]["bytes"])
            client.close()

    def test_it_may_break_off(self):
        broken = Reply(({"text": "word " * 9},), fault=EmulatedError("too many"))
        with BedrockEmulator(responder=ScriptedResponder([broken, broken])) as bedrock:
            client = wire.client(bedrock)
            with pytest.raises(EventStreamError, match="too many"):
                stream(client, SONNET, body())
            with pytest.raises(ClientError, match="too many"):
                invoke(client, SONNET, body())
            client.close()


class TestNova:
    POINT = {"cachePoint": {"type": "default"}}
    BODY = {
        "schemaVersion": "messages-v1",
        "system": [{"text": words(3000), **POINT}],
        "messages": [{"role": "user", "content": [{"text": "What now?"}]}],
        "inferenceConfig": {"max_new_tokens": 50, "temperature": 0.2, "topK": 20},
    }

    def test_a_second_call_reads_what_the_first_wrote(self, client):
        first, second = (invoke(client, NOVA, self.BODY) for _ in range(2))
        assert first["output"]["message"]["content"] == [{"text": "You asked: What now?"}]
        assert first["stopReason"] == "end_turn"
        written = first["usage"]["cacheWriteInputTokenCount"]
        assert written > 2500
        assert second["usage"]["cacheReadInputTokenCount"] == written
        assert second["usage"].keys() == {
            "inputTokens",
            "outputTokens",
            "totalTokens",
            "cacheReadInputTokenCount",
            "cacheWriteInputTokenCount",
        }

    def test_its_stream_is_that_of_converse_in_chunks(self, client):
        written = invoke(client, NOVA, self.BODY)["usage"]["cacheWriteInputTokenCount"]
        events = stream(client, NOVA, self.BODY)
        assert next(iter(events[0])) == "messageStart"
        assert events[-2] == {"messageStop": {"stopReason": "end_turn"}}
        assert events[-1]["metadata"]["usage"]["cacheReadInputTokenCount"] == written
        assert events[-1]["amazon-bedrock-invocationMetrics"]["cacheReadInputTokenCount"] == written

    def test_it_may_break_off(self):
        broken = Reply(({"text": "word"},), fault=EmulatedError("too many"))
        with BedrockEmulator(responder=ScriptedResponder([broken])) as bedrock:
            client = wire.client(bedrock)
            with pytest.raises(EventStreamError, match="too many"):
                stream(client, NOVA, self.BODY)
            client.close()

    def test_messages_carry_points_and_tools_are_called(self, client):
        content = [{"text": words(3000), **self.POINT}, {"text": "What is the weather?"}]
        request = {"messages": [{"role": "user", "content": content}], "toolConfig": {"tools": [wire.TOOL]}}
        first = invoke(client, NOVA, request)
        assert first["stopReason"] == "tool_use"
        assert invoke(client, NOVA, request)["usage"]["cacheReadInputTokenCount"] > 2500

    def test_converse_shares_nothing_with_it(self, client):
        invoke(client, NOVA, self.BODY)
        converse = {"system": [{"text": words(3000)}, wire.POINT], "messages": self.BODY["messages"]}
        assert client.converse(modelId=NOVA, **converse)["usage"]["cacheReadInputTokens"] == 0

    def test_lite_keeps_a_few_tokens(self, client):
        """27 tokens of a 27-token prompt were read on Nova Lite: rig recording, 2026."""
        content = [{"text": "word " * 22, **self.POINT}]
        request = {"messages": [{"role": "user", "content": content}]}
        written = invoke(client, NOVA, request)["usage"]["cacheWriteInputTokenCount"]
        assert invoke(client, NOVA, request)["usage"]["cacheReadInputTokenCount"] == written < 40
        pro = "us.amazon.nova-pro-v1:0"
        assert invoke(client, pro, request)["usage"]["cacheWriteInputTokenCount"] == 0


class TestCountTokens:
    MODEL = "anthropic.claude-sonnet-4-6"

    def counted(self, client, request):
        return client.count_tokens(modelId=self.MODEL, input={"invokeModel": {"body": json.dumps(request)}})

    def test_counts_what_invoke_model_counts(self, client):
        request = body(user("What now?"), tools=[TOOL], system=[marked(BIG)])
        usage = usage_of(client, SONNET, request)
        assert self.counted(client, request)["inputTokens"] == sum(cached(usage)) + usage["input_tokens"]

    def test_checkpoints_count_nothing(self, client):
        plain = body(system=[BIG])
        assert (
            self.counted(client, body(**SYSTEM))["inputTokens"]
            == (self.counted(client, plain)["inputTokens"])
        )

    def test_a_body_needs_all_that_invoke_model_needs(self, client):
        """litellm#30102, 2026-06; langchain-aws#661, 2025-09."""
        request = {key: value for key, value in body().items() if key != "max_tokens"}
        with pytest.raises(ClientError, match="max_tokens: Field required"):
            self.counted(client, request)

    @pytest.mark.parametrize("raw", ["not base64!", "e30", ""])
    def test_what_is_no_body_is_refused(self, bedrock, raw):
        request = {"input": {"invokeModel": {"body": raw}}}
        assert wire.post(bedrock, request, self.MODEL, "count-tokens")[0] == 400


def test_another_model_s_body_is_told_to_be_unknown(client):
    for model in (LLAMA, "arn:aws:bedrock:us-east-1:123456789012:imported-model/abcdefghij12"):
        with pytest.raises(ClientError, match="bodies of Claude and of Nova"):
            invoke(client, model, {"prompt": "hi"})


def test_a_model_of_5m_takes_a_checkpoint_without_a_ttl(client):
    assert cached(usage_of(client, SONNET_4, body(**SYSTEM))) == (0, 2000)
