import json
import re
from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import ClientError, EventStreamError

from cachepoint.emulator import (
    BedrockEmulator,
    EmulatedError,
    ReplayResponder,
    Reply,
    ScriptedResponder,
    TextResponder,
    ToolResponder,
)
from cachepoint.emulator.responders.patterns import sample
from cachepoint.emulator.responders.values import Hints, valid_value
from tests.emulator import wire
from tests.emulator.schemas import faults
from tests.emulator.wire import POINT, SONNET, TOOL, assistant, result, use, user

STORY = "The cat sat on the mat. Dogs bark at night. Paris is the capital of France."


def talk(responder=None, *messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    with BedrockEmulator(responder=responder) as bedrock, closing(wire.client(bedrock)) as client:
        return client.converse(modelId=SONNET, messages=list(messages), **more)


def said(answer: dict[str, Any]) -> str:
    return "".join(block.get("text", "") for block in answer["output"]["message"]["content"])


def called(answer: dict[str, Any]) -> list[tuple[str, Any]]:
    content = answer["output"]["message"]["content"]
    return [(block["toolUse"]["name"], block["toolUse"]["input"]) for block in content if "toolUse" in block]


def tool(name: str, description: str = "A tool.", **schema: Any) -> dict[str, Any]:
    return {"toolSpec": {"name": name, "description": description, "inputSchema": {"json": schema}}}


class TestText:
    @pytest.mark.parametrize(
        ("question", "answer"),
        [
            ("Where did the cat sit?", "The cat sat on the mat."),
            ("Which capital has France?", "Paris is the capital of France."),
        ],
    )
    def test_it_answers_from_the_prompt(self, question, answer):
        assert said(talk(TextResponder(), user({"text": question}), system=[{"text": STORY}])) == answer

    def test_it_answers_from_a_document(self):
        document = {"document": {"name": "d", "format": "txt", "source": {"bytes": STORY.encode()}}}
        assert "bark" in said(talk(None, user({"text": "What do dogs do?"}, document)))

    def test_the_same_prompt_gets_the_same_answer(self):
        answers = {
            said(talk(None, user({"text": "Tell me more about night."}), system=[{"text": STORY}]))
            for _ in range(2)
        }
        assert len(answers) == 1

    def test_nothing_known_is_said_so(self):
        assert said(talk(None, user({"text": "Quo vadis?"}))) == "You asked: Quo vadis?"

    def test_an_image_alone_is_answered(self):
        image = {"image": {"format": "png", "source": {"bytes": b"x"}}}
        assert said(talk(None, user(image)))

    @pytest.mark.parametrize(
        ("inference", "text", "reason"),
        [
            ({"stopSequences": ["mat"]}, "The cat sat on the ", "stop_sequence"),
            ({"maxTokens": 2}, "The cat", "max_tokens"),
            ({"maxTokens": 200}, "The cat sat on the mat.", "end_turn"),
        ],
    )
    def test_it_ends_where_it_is_told(self, inference, text, reason):
        answer = talk(
            None,
            user({"text": "Where did the cat sit?"}),
            system=[{"text": STORY}],
            inferenceConfig=inference,
        )
        assert said(answer).startswith(text[:7])
        assert text.startswith(said(answer)) or said(answer) == text
        assert answer["stopReason"] == reason
        assert answer["usage"]["outputTokens"] <= inference.get("maxTokens", 99)

    def test_a_json_schema_is_answered_with_json(self):
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        structure = {"jsonSchema": {"schema": json.dumps(schema)}}
        output = {"textFormat": {"type": "json_schema", "structure": structure}}
        assert json.loads(said(talk(None, user({"text": "Take 7."}), outputConfig=output))) == {"n": 7}


class TestThinking:
    FIELDS = {"thinking": {"type": "enabled", "budget_tokens": 2000}}

    def test_thinking_comes_first_and_signed(self):
        answer = talk(None, user({"text": "Why?"}), additionalModelRequestFields=self.FIELDS)
        first = answer["output"]["message"]["content"][0]["reasoningContent"]["reasoningText"]
        assert first["text"]
        assert first["signature"]

    def test_thinking_is_streamed_with_its_signature_last(self):
        with BedrockEmulator() as bedrock:
            client = wire.client(bedrock)
            stream = client.converse_stream(
                modelId=SONNET, messages=[user({"text": "Why?"})], additionalModelRequestFields=self.FIELDS
            )["stream"]
            deltas = [event["contentBlockDelta"] for event in stream if "contentBlockDelta" in event]
            client.close()
        reasoning = [d["delta"]["reasoningContent"] for d in deltas if d["contentBlockIndex"] == 0]
        assert "signature" in reasoning[-1]
        assert all("text" in one for one in reasoning[:-1])
        assert any("text" in d["delta"] for d in deltas if d["contentBlockIndex"] == 1)


class TestTools:
    def test_a_tool_the_user_asks_for_is_called(self):
        answer = talk(None, user({"text": "What is the weather in Paris?"}), toolConfig={"tools": [TOOL]})
        assert called(answer) == [("get_weather", {"location": "Paris"})]
        assert answer["stopReason"] == "tool_use"

    def test_a_tool_nobody_asks_for_is_not_called(self):
        assert called(talk(None, user({"text": "Hello!"}), toolConfig={"tools": [TOOL]})) == []

    @pytest.mark.parametrize(
        ("choice", "name"), [({"any": {}}, "get_weather"), ({"tool": {"name": "add"}}, "add")]
    )
    def test_a_forced_tool_is_called(self, choice, name):
        tools = [TOOL, tool("add", type="object", properties={})]
        answer = talk(None, user({"text": "Hello!"}), toolConfig={"tools": tools, "toolChoice": choice})
        assert [one for one, _ in called(answer)] == [name]

    def test_results_are_answered_in_text(self):
        answer = talk(
            None,
            user({"text": "What is the weather?"}),
            assistant(use()),
            user(result("c1", {"text": "It is sunny."})),
            toolConfig={"tools": [TOOL]},
        )
        assert "It is sunny." in said(answer)
        assert answer["stopReason"] == "end_turn"

    def test_arguments_stream_as_pieces_of_json(self):
        with BedrockEmulator() as bedrock:
            client = wire.client(bedrock)
            events = list(
                client.converse_stream(
                    modelId=SONNET,
                    messages=[
                        user(
                            {"text": "What is the weather in '你好啊集团 and a much longer name of a place'?"}
                        )
                    ],
                    toolConfig={"tools": [TOOL]},
                )["stream"]
            )
            client.close()
        start = next(event["contentBlockStart"] for event in events if "contentBlockStart" in event)
        pieces = [
            e["contentBlockDelta"]["delta"]["toolUse"]["input"] for e in events if "contentBlockDelta" in e
        ]
        assert start["start"]["toolUse"]["name"] == "get_weather"
        assert len(pieces) > 1
        assert json.loads("".join(pieces)) == {"location": "你好啊集团 and a much longer name of a place"}

    def test_steps_and_parallel_calls(self):
        tools = {"tools": [TOOL, tool("add", type="object", properties={})]}
        messages, rounds = [user({"text": "Go."})], []
        for _ in range(3):
            answer = talk(ToolResponder(steps=2, parallel=3), *messages, toolConfig=tools)
            rounds.append([name for name, _ in called(answer)])
            content = answer["output"]["message"]["content"]
            ids = [block["toolUse"]["toolUseId"] for block in content if "toolUse" in block]
            assert len(set(ids)) == len(ids)
            messages += [assistant(*content), user(*(result(one) for one in ids))]
        assert rounds == [["get_weather", "add", "get_weather"], ["add", "get_weather", "add"], []]

    @pytest.mark.parametrize("responder", [None, ToolResponder(), ToolResponder(["get_weather"])])
    def test_an_agent_whose_answer_is_a_tool_comes_to_an_end(self, responder):
        """LangChain's ToolStrategy forces a tool in every round and ends with the one that is its answer."""
        tools = {"tools": [TOOL, tool("Answer", type="object", properties={})], "toolChoice": {"any": {}}}
        messages, rounds = [user({"text": "Go."})], []
        for _ in range(2):
            content = talk(responder, *messages, toolConfig=tools)["output"]["message"]["content"]
            (call,) = [block["toolUse"] for block in content if "toolUse" in block]
            rounds.append(call["name"])
            messages += [assistant(*content), user(result(call["toolUseId"]))]
        assert rounds == ["get_weather", "Answer"]

    def test_when_every_tool_was_called_the_last_is_forced_again(self):
        tools = {"tools": [TOOL, tool("Answer", type="object", properties={})], "toolChoice": {"any": {}}}
        calls = [
            {"toolUse": {"toolUseId": name, "name": name, "input": {}}} for name in ("get_weather", "Answer")
        ]
        answer = talk(
            None,
            user({"text": "Go."}),
            assistant(*calls),
            user(result("get_weather"), result("Answer")),
            toolConfig=tools,
        )
        assert [name for name, _ in called(answer)] == ["Answer"]

    def test_only_the_named_tools_are_called(self):
        tools = {"tools": [TOOL, tool("add", type="object", properties={})]}
        assert called(talk(ToolResponder(["add"]), user({"text": "weather"}), toolConfig=tools)) == [
            ("add", {})
        ]


class TestScript:
    def test_replies_in_order_then_text(self):
        script = ScriptedResponder(["one", Reply.text("two")])
        with BedrockEmulator(responder=script) as bedrock:
            client = wire.client(bedrock)
            texts = [
                said(client.converse(modelId=SONNET, messages=[user({"text": "And?"})])) for _ in range(3)
            ]
            client.close()
        assert texts == ["one", "two", "You asked: And?"]

    def test_an_error_refuses_the_call_and_writes_nothing(self):
        with BedrockEmulator(responder=ScriptedResponder([EmulatedError("slow down")])) as bedrock:
            client = wire.client(bedrock)
            request = {
                "modelId": SONNET,
                "system": [wire.text(2000), POINT],
                "messages": [user({"text": "hi"})],
            }
            with pytest.raises(client.exceptions.ThrottlingException, match="slow down"):
                client.converse(**request)
            assert wire.cached(client.converse(**request)["usage"]) == (0, 2000)
            client.close()
        assert [call.status for call in bedrock.calls] == [429, 200]

    def test_a_fault_breaks_a_stream_off(self):
        broken = Reply(
            ({"text": "half of it"},),
            fault=EmulatedError("gone", code="ModelStreamErrorException", status=424),
        )
        with BedrockEmulator(responder=ScriptedResponder([broken, broken])) as bedrock:
            client = wire.client(bedrock)
            request = {"modelId": SONNET, "messages": [user({"text": "hi"})]}
            with closing(client.converse_stream(**request)["stream"]) as stream:
                events = iter(stream)
                assert "messageStart" in next(events)
                with pytest.raises(EventStreamError, match="gone"):
                    list(events)
            with pytest.raises(ClientError, match="gone"):
                client.converse(**request)
            client.close()
        assert [call.error for call in bedrock.calls] == ["ModelStreamErrorException"] * 2


CITED = {
    "citationsContent": {
        "content": [{"text": "It is sunny in Paris, says the paper."}],
        "citations": [
            {"title": "paper", "location": {"documentChar": {"documentIndex": 0, "start": 3, "end": 9}}}
        ],
    }
}


class TestStreamedReplies:
    def stream(self, *content):
        reply = Reply(content)
        with BedrockEmulator(responder=ScriptedResponder([reply, reply])) as bedrock:
            client = wire.client(bedrock)
            request = {"modelId": SONNET, "messages": [user({"text": "hi"})]}
            try:
                whole = client.converse(**request)["output"]["message"]["content"]
                return whole, list(client.converse_stream(**request)["stream"])
            finally:
                client.close()

    def test_citations_are_streamed_behind_their_text(self):
        whole, events = self.stream(CITED, {"text": "So."})
        deltas = [one["contentBlockDelta"] for one in events if "contentBlockDelta" in one]
        cited = [one["delta"] for one in deltas if one["contentBlockIndex"] == 0]
        assert whole == [CITED, {"text": "So."}]
        assert "".join(one.get("text", "") for one in cited) == "It is sunny in Paris, says the paper."
        assert cited[-1] == {"citation": CITED["citationsContent"]["citations"][0]}
        assert "metadata" in events[-1]

    def test_what_cannot_be_streamed_is_told_before_the_stream_begins(self, caplog):
        with pytest.raises(ClientError, match="A streamed reply holds text"):
            self.stream({"video": {"format": "mp4", "source": {"bytes": "AAAA"}}})


class TestReplay:
    RECORDED = [
        user({"text": "Hi"}),
        assistant({"text": "Hello."}),
        user({"text": "What is the weather?"}),
        assistant(use(location="Paris")),
        user(result()),
        assistant({"text": "Sunny."}),
    ]

    def play(self, *messages):
        return talk(ReplayResponder(self.RECORDED), *messages, toolConfig={"tools": [TOOL]})

    def test_it_plays_what_followed_the_history(self):
        assert said(self.play(*self.RECORDED[:1])) == "Hello."
        answer = self.play(*self.RECORDED[:3])
        assert called(answer) == [("get_weather", {"location": "Paris"})]
        assert answer["stopReason"] == "tool_use"
        assert said(self.play(*self.RECORDED[:5])) == "Sunny."

    def test_checkpoints_and_split_texts_do_not_matter(self):
        assert said(self.play(user({"text": "H"}, POINT, {"text": "i"}, POINT))) == "Hello."

    def test_a_changed_history_gets_the_answer_of_its_turn(self):
        assert said(self.play(user({"text": "Hey"}))) == "Hello."

    def test_after_its_end_it_says_so(self):
        with pytest.raises(ClientError, match="ends after 3 answers"):
            self.play(*self.RECORDED, user({"text": "And tomorrow?"}))


SCHEMAS = {
    "no arguments": {"type": "object", "properties": {}},
    "no schema": {},
    "types": {
        "type": "object",
        "properties": {
            "s": {"type": "string"},
            "i": {"type": "integer", "minimum": 5, "exclusiveMaximum": 9},
            "n": {"type": "number", "maximum": 0.5},
            "m": {"type": "integer", "multipleOf": 4, "minimum": 6},
            "b": {"type": "boolean"},
            "z": {"type": "null"},
            "a": {"type": "array", "items": {"type": "string"}, "minItems": 2},
            "t": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]},
        },
        "required": ["s", "i", "n", "m", "b", "z", "a", "t"],
    },
    "enum and const": {
        "type": "object",
        "properties": {"e": {"enum": ["red", "green"]}, "c": {"const": 3}},
        "required": ["e", "c"],
    },
    "formats": {
        "type": "object",
        "properties": {
            f: {"type": "string", "format": f} for f in ("date", "date-time", "email", "uuid", "uri")
        },
        "required": ["date", "date-time", "email", "uuid", "uri"],
    },
    "lengths and patterns": {
        "type": "object",
        "properties": {
            "short": {"type": "string", "maxLength": 3},
            "long": {"type": "string", "minLength": 300},
            "code": {"type": "string", "pattern": "^[A-Z]{3}$"},
        },
        "required": ["short", "long", "code"],
    },
    "references": {
        "$defs": {"Point": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}},
        "type": "object",
        "properties": {
            "at": {"$ref": "#/$defs/Point"},
            "all": {"type": "array", "items": {"$ref": "#/$defs/Point"}},
        },
        "required": ["at", "all"],
    },
    "any, one and all of": {
        "type": "object",
        "properties": {
            "maybe": {"anyOf": [{"type": "null"}, {"type": "integer"}]},
            "one": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
            "both": {
                "allOf": [
                    {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]},
                    {"required": ["x"]},
                ]
            },
            "list": {"type": ["null", "string"]},
        },
        "required": ["maybe", "one", "both", "list"],
    },
    "recursive": {
        "$defs": {
            "Node": {
                "type": "object",
                "properties": {"next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/Node"}]}},
            }
        },
        "$ref": "#/$defs/Node",
    },
}


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize(
    "text", ["", "Take 7 of 'these things', not 3.5, for Anna Smith, in green.", "x" * 500]
)
def test_arguments_are_valid(name, text):
    value = valid_value(SCHEMAS[name], Hints(text))
    assert faults(value, SCHEMAS[name]) == [], value


@pytest.mark.parametrize(
    "pattern",
    [
        "^[A-Z]{3}$",
        r"^\d{4}-\d{2}-\d{2}$",
        r"^[\w.+-]+@[\w-]+\.[a-z]{2,}$",
        "^(red|green|blue)$",
        r"^(?:https?)://[^\s/]+/?$",
        r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
        r"^(?P<lang>[a-z]{2})(?:[-_][A-Z]{2})?$",
        r"^[^aA-Z1]*$",
        r"^[]x]{2}[\]\-]$",
        r"^\x41\u00e9\t\.\/$",
        r"^\+?[1-9]\d{1,14}$",
        "^.{5,}$",
        "^a{0}b?c*$",
        r"\S",
    ],
)
def test_a_pattern_is_met(pattern):
    value = valid_value({"type": "string", "pattern": pattern}, Hints("Of 'something else' altogether."))
    assert re.search(pattern, value), value


@pytest.mark.parametrize(
    "pattern",
    ["^(?=a)b", r"(a)\1", r"\p{L}+", "(?i)a", "[", "[a", "a)", "(a", "\\", "[^\\w\\W]", "a{999999}"],
)
def test_a_pattern_that_is_not_read_is_let_alone(pattern):
    assert sample(pattern) is None
    assert valid_value({"type": "string", "pattern": pattern}, Hints("")) == "value"


def test_values_come_from_the_text():
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "s": {"type": "string"}, "e": {"enum": ["red", "green"]}},
        "required": ["n", "s", "e"],
    }
    assert valid_value(schema, Hints("magic(3) of 'some thing' in green")) == {
        "n": 3,
        "s": "some thing",
        "e": "green",
    }
