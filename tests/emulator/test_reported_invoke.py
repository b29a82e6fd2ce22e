"""What people saw Bedrock refuse and accept of InvokeModel, by model: where, when, and in which words.

Rows that say "by sense" have words of ours.
"""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.emulator import wire
from tests.emulator.bodies import HOUR, MARK, TOOL, assistant, body, invoke, result, stream, text, use, user
from tests.emulator.wire import HAIKU, NOVA, OPUS_48, SONNET, SONNET_4

SONNET_45 = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
OPUS_47 = "us.anthropic.claude-opus-4-7"
OPUS_55 = "us.anthropic.claude-opus-5-5"
FABLE = "us.anthropic.claude-fable-5-1"
HAIKU_3 = "anthropic.claude-3-haiku-20240307-v1:0"
EXTRA = "Extra inputs are not permitted"
THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
SCHEMA = {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}
ORDER = (
    "{}.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block."
    " Note that blocks are processed in the following order: `tools`, `system`, `messages`."
)
WITHOUT_RESULT = (
    "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: {}."
    " Each `tool_use` block must have a corresponding `tool_result` block in the next message."
)
UNEXPECTED = 'messages: Unexpected role "{}". {}'
TOP = 'The Messages API accepts a top-level `system` parameter, not "system" as an input message role.'
EXTRANEOUS = (
    "Malformed input request: {}: extraneous key [{}] is not permitted,"
    " please reformat your input and try again."
)


def without(name: str, **more: Any) -> dict[str, Any]:
    return {key: value for key, value in body(**more).items() if key != name}


def marks(count: int) -> dict[str, Any]:
    return user(*(text(str(n), **MARK) for n in range(count)))


def nova(*blocks: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks) or [{"text": "hi"}]}], **more}


POINT = {"cachePoint": {"type": "default"}}
IMAGE = {"image": {"format": "png", "source": {"bytes": "iVBORw=="}}}
REFUSED = [
    ("immersive-translate#3993, 2026-07", SONNET, without("max_tokens"), "max_tokens: Field required"),
    ("Anthropic Messages API, 2026", SONNET, without("messages"), "messages: Field required"),
    ("by sense", SONNET, without("anthropic_version"), "anthropic_version: Field required"),
    (
        "boto3#4218, 2024-07; anthropic-sdk-python#2031, 2026",
        SONNET_45,
        body(anthropic_version="2026-10-21"),
        "Invalid API version: 2026-10-21",
    ),
    (
        "litellm#13301, 2025-08",
        "us.anthropic.claude-opus-4-1-20250805-v1:0",
        body(max_tokens_to_sample=9),
        f"max_tokens_to_sample: {EXTRA}",
    ),
    ("AnthropicSwiftSDK#19, 2024-06", SONNET, body(model="m"), f"model: {EXTRA}"),
    ("litellm#13609, 2025-08", SONNET, body(reasoning={}), f"reasoning: {EXTRA}"),
    (
        "litellm#19875, 2026-01",
        SONNET_45,
        body(anthropic_beta=["mcp-servers-2025-12-04"]),
        "invalid beta flag",
    ),
    (
        "claude-code#56595, 2026-05",
        SONNET,
        body(anthropic_beta=["extended-cache-ttl-2025-04-11"]),
        "invalid beta flag",
    ),
    ("pydantic-ai, 2026-10-16", HAIKU, body(**MARK), f"cache_control: {EXTRA}"),
    (
        "litellm#26320, 2026-07, before Opus 4.7",
        "us.anthropic.claude-opus-4-6-v1",
        body(**MARK),
        f"cache_control: {EXTRA}",
    ),
    (
        "sub2api#225, 2026-01; inspect_ai#3967, 2026-05",
        SONNET,
        body(
            user("a"),
            assistant({"type": "thinking", "thinking": "t", "signature": "c2ln", **MARK}, "b"),
            user("c"),
        ),
        f"messages.1.content.0.thinking.cache_control: {EXTRA}",
    ),
    (
        "claude-code#4378, 2025-07",
        SONNET,
        body(user("a"), assistant(use(text="x")), user(result()), tools=[TOOL]),
        f"messages.1.content.0.tool_use.text: {EXTRA}",
    ),
    (
        "LiteLLM 1.109.1: no scope on Bedrock",
        SONNET,
        body(system=[text("a", cache_control={"type": "ephemeral", "scope": "global"})]),
        f"system.0.cache_control.ephemeral.scope: {EXTRA}",
    ),
    (
        "litellm#15880, 2025-10; earendil-works/pi#1570, 2026-02",
        SONNET_4,
        body(tools=[{**TOOL, **HOUR}]),
        f"tools.0.custom.cache_control.ephemeral.ttl: {EXTRA}",
    ),
    (
        "by sense",
        SONNET,
        body(system=[text("a", cache_control={"type": "ephemeral", "ttl": "2h"})]),
        "system.0.cache_control.ephemeral.ttl: Input should be '5m' or '1h'",
    ),
    (
        "earendil-works/pi#7938, 2026-08",
        HAIKU_3,
        body(system=[text("a", **MARK)]),
        f"system.0.cache_control: {EXTRA}",
    ),
    (
        "many threads",
        SONNET,
        body(marks(5)),
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    (
        "many threads: one on a part of a result counts",
        SONNET,
        body(
            user("a"),
            assistant(use()),
            {"role": "user", "content": [result(content=[text("x", **MARK), text("y", **MARK)], **MARK)]},
            assistant("b"),
            marks(2),
            tools=[TOOL],
        ),
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    (
        "strands#3677, 2026-08",
        SONNET,
        body(user(text("a", **HOUR)), system=[text("s", **MARK)]),
        ORDER.format("messages.0.content.0"),
    ),
    (
        "Portkey gateway#1762, 2026: on a part of a result too",
        SONNET,
        body(
            user("a"),
            assistant(use()),
            user(result(content=[text("x", **MARK)]), text("y", **HOUR)),
            tools=[TOOL],
        ),
        ORDER.format("messages.2.content.1"),
    ),
    (
        "hermes-agent#1216, 2026-03",
        SONNET,
        body(user("a", text("", **MARK))),
        "messages.0.content.1.text: cache_control cannot be set for empty text blocks",
    ),
    (
        "Anthropic's batch API, 2026",
        SONNET,
        body(system=[text("", **MARK)]),
        "system.0: cache_control cannot be set for empty text blocks",
    ),
    (
        "continue#11045, 2026-03",
        SONNET,
        body(user("a", "")),
        "messages: text content blocks must be non-empty",
    ),
    (
        "hermes-agent#55092, 2026-06",
        SONNET_45,
        body(user("a"), assistant(use()), user(result(content=[text("")])), tools=[TOOL]),
        "messages: text content blocks must be non-empty",
    ),
    (
        "hermes-agent#61318, 2026-07",
        SONNET,
        body(user("a", " \n")),
        "messages: text content blocks must contain non-whitespace text",
    ),
    (
        "Anthropic Messages API, 2026",
        SONNET,
        {**body(), "messages": []},
        "messages: at least one message is required",
    ),
    (
        "Anthropic Messages API, 2026",
        SONNET,
        body({"role": "user", "content": []}, assistant("a"), user("b")),
        "messages.0: all messages must have non-empty content except for the optional final assistant message",
    ),
    (
        "claude-code#7929, 2025-09",
        SONNET,
        body(user("a"), assistant(use()), user("b"), tools=[TOOL]),
        WITHOUT_RESULT.format("c1"),
    ),
    (
        "claude-code#8210, 2025-09",
        SONNET,
        body(user("a"), assistant(use("c1"), use("c2")), user(result("c1")), tools=[TOOL]),
        WITHOUT_RESULT.format("c2"),
    ),
    (
        "claude-code#7929, 2025-09",
        SONNET_45,
        body(user("a"), assistant(use()), tools=[TOOL]),
        WITHOUT_RESULT.format("c1"),
    ),
    (
        "claude-code#13460, 2025-12",
        SONNET,
        body(user("a"), assistant("b"), user(result("c9")), tools=[TOOL]),
        (
            "messages.2.content.0: unexpected `tool_use_id` found in `tool_result` blocks: c9."
            " Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
        ),
    ),
    (
        "hermes-agent#101401, 2026-09",
        SONNET,
        body(user("a"), assistant("b")),
        "This model does not support assistant message prefill. The conversation must end with a user message.",
    ),
    (
        "collmbo#12, 2024-10",
        HAIKU,
        body(user("a"), assistant("b"), tools=[TOOL]),
        (
            "Your API request included an `assistant` message in the final position, which would pre-fill the"
            " `assistant` response. When using tools, pre-filling the `assistant` response is not supported."
        ),
    ),
    (
        "langchain-aws#532, 2025-07",
        HAIKU,
        body(user("a"), assistant("b ")),
        "messages: final assistant content cannot end with trailing whitespace",
    ),
    (
        "langchain-aws#925, 2026-03",
        SONNET_45,
        body(tools=[TOOL], tool_choice={"type": "any"}, **THINKING),
        "Thinking may not be enabled when tool_choice forces tool use.",
    ),
    (
        "claude-code#49238, 2026-04",
        OPUS_47,
        body(**THINKING),
        (
            '"thinking.type.enabled" is not supported for this model.'
            ' Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
        ),
    ),
    (
        "llama_index#20851, 2026-03",
        SONNET_4,
        body(user("a"), assistant({"type": "thinking", "thinking": "t"}, "b"), user("c")),
        "messages.1.content.0.thinking.signature: Field required",
    ),
    (
        "bifrost#6942, 2026-09",
        SONNET,
        body(user("a"), assistant({"type": "thinking", "thinking": "t", "signature": ""}, "b"), user("c")),
        "messages.1.content.0: Invalid `signature` in `thinking` block",
    ),
    (
        "litellm#32578, 2026-07",
        SONNET,
        body(user("a"), {"role": "system", "content": "s"}),
        UNEXPECTED.format("system", TOP),
    ),
    (
        "litellm#32578, 2026-07",
        HAIKU,
        body(user("a"), {"role": "system", "content": "s"}),
        UNEXPECTED.format("system", TOP),
    ),
    (
        "by sense",
        SONNET,
        body(user("a"), {"role": "tool", "content": "s"}),
        UNEXPECTED.format("tool", 'Allowed roles are "user" or "assistant".'),
    ),
    (
        "models.dev#1765, 2026-05; vercel/ai#14773, 2026-04",
        OPUS_47,
        body(**SCHEMA),
        f"output_config.format: {EXTRA}",
    ),
    ("anthropic-sdk-python#1759, 2026-07", OPUS_48, body(**SCHEMA), f"output_config.format: {EXTRA}"),
    ("vercel/ai#17719, 2026-07", SONNET_4, body(**SCHEMA), f"output_config: {EXTRA}"),
    (
        "lobehub#19876, 2026-09",
        OPUS_55,
        body(tools=[{**TOOL, "strict": True}]),
        f"tools.0.custom.strict: {EXTRA}",
    ),
    (
        "lobehub#19876, 2026-09",
        FABLE,
        body(tools=[{**TOOL, "strict": True}]),
        f"tools.0.custom.strict: {EXTRA}",
    ),
    (
        "claude-quickstarts#251, 2025-04",
        SONNET,
        body(user({"type": "reasoning", "text": "a"})),
        "messages.0.content.0: Input tag 'reasoning' found using 'type' does not match any of the expected tags: ",
    ),
    (
        "strands#1966, 2026",
        SONNET,
        body({"role": "user", "content": [{"text": "a"}]}),
        "messages.0.content.0.type: Field required",
    ),
    (
        "Anthropic Messages API, 2026",
        SONNET,
        body(tools=[{"name": "t"}]),
        "tools.0.custom.input_schema: Field required",
    ),
    (
        "Anthropic Messages API, 2026",
        SONNET,
        body(tools=[{**TOOL, "input_schema": {"type": "object", "properties": []}}]),
        "tools.0.custom.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12",
    ),
    (
        "by sense",
        SONNET,
        body(max_tokens=0),
        "max_tokens: Input should be greater than or equal to 1",
    ),
    (
        "Anthropic Messages API, 2026",
        SONNET,
        body(temperature=2),
        "temperature: Input should be less than or equal to 1",
    ),
    ("rollwagen/bods#51, 2024-12", NOVA, nova(top_p=1), EXTRANEOUS.format("#", "top_p")),
    ("obsidian-copilot#2145, 2026-02", NOVA, nova(max_tokens=9), EXTRANEOUS.format("#", "max_tokens")),
    (
        "amazon-bedrock-client-for-mac#59, 2024-12",
        NOVA,
        {"prompt": "hi"},
        "Malformed input request: #: required key [messages] not found, please reformat your input and try again.",
    ),
    (
        "by sense",
        NOVA,
        {"messages": [{"role": "user", "content": "hi"}]},
        (
            "Malformed input request: #/messages/0/content: expected type: JSONArray, found: String,"
            " please reformat your input and try again."
        ),
    ),
    (
        "LiteLLM 1.109.1",
        NOVA,
        nova({"text": "a"}, POINT),
        EXTRANEOUS.format("#/messages/0/content/1", "cachePoint"),
    ),
    (
        "LiteLLM 1.109.1",
        NOVA,
        nova({"text": "a"}, {**IMAGE, **POINT}),
        EXTRANEOUS.format("#/messages/0/content/1", "cachePoint"),
    ),
    (
        "LiteLLM 1.109.1",
        NOVA,
        nova(toolConfig={"tools": [{**wire.TOOL, **POINT}]}),
        EXTRANEOUS.format("#/toolConfig/tools/0", "cachePoint"),
    ),
    (
        "AWS user guide, 2026-10: 5m only",
        NOVA,
        nova({"text": "a", "cachePoint": {"type": "default", "ttl": "1h"}}),
        "Extended TTL prompt caching is only supported for Anthropic models",
    ),
]
ACCEPTED = [
    ("pydantic-ai, 2026-10-16", OPUS_48, body(**MARK)),
    ("pydantic-ai, 2026-10-16", OPUS_47, body(**HOUR)),
    ("litellm#32578, 2026-07", OPUS_48, body(user("a"), {"role": "system", "content": "s"})),
    ("boto3#4218, 2024-07", SONNET, body(user("hi"))),
    ("litellm#41203, 2026-09", SONNET_45, body(anthropic_beta=["compact-2026-01-12", "effort-2025-11-24"])),
    (
        "agentgateway#3240, 2026-08: not through Converse",
        SONNET,
        body(anthropic_beta=["tool-search-tool-2025-10-19"]),
    ),
    ("phoenix#15392, 2026-08: before 4.6", HAIKU, body(user("a"), assistant("b"))),
    ("pydantic-ai recording, 2026-08", SONNET_45, body(user("a", "\n"))),
    ("vercel/ai#17719, 2026-07", "us.anthropic.claude-opus-4-6-v1", body(**SCHEMA)),
    ("lobehub#19876, 2026-09", "us.anthropic.claude-opus-5", body(tools=[{**TOOL, "strict": True}])),
    (
        "claude-code#49238, 2026-04",
        OPUS_47,
        body(thinking={"type": "adaptive"}, output_config={"effort": "high"}),
    ),
    ("langchain-aws#925, 2026-03", SONNET_45, body(tools=[TOOL], tool_choice={"type": "auto"}, **THINKING)),
    ("many threads", SONNET, body(marks(4))),
    (
        "Anthropic docs, 2026",
        SONNET,
        body(user(text("a", **MARK)), system=[text("s", **HOUR)], tools=[{**TOOL, **HOUR}]),
    ),
    ("Anthropic docs, 2026: null is none", SONNET, body(user(text("a", cache_control=None)))),
    (
        "pydantic-ai recording, 2026-08",
        HAIKU,
        body(user(text("a", cache_control={"type": "ephemeral", "ttl": "5m"}))),
    ),
    ("recordings, 2026", SONNET, body(user("a"), user("b"))),
    (
        "Anthropic docs, 2026",
        SONNET,
        body(user("a"), assistant(use()), user(result(is_error=True), "b"), tools=[TOOL]),
    ),
    (
        "Anthropic docs, 2026",
        SONNET,
        body(
            user("a"),
            assistant(use()),
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1"}]},
            tools=[TOOL],
        ),
    ),
    (
        "Anthropic docs, 2026: tools of its own",
        SONNET,
        body(tools=[{"type": "bash_20250124", "name": "bash"}]),
    ),
    ("Anthropic docs, 2026", SONNET, body(temperature=0, top_k=5, metadata={"user_id": "u"})),
    ("amazon-bedrock-samples#554, 2025-04", NOVA, nova({"text": "a", **POINT}, {"text": "b"})),
    (
        "boto3#4467, 2025-03",
        NOVA,
        nova(schemaVersion="messages-v1", inferenceConfig={"maxTokens": 300, "topP": 0.9}),
    ),
    ("Nova user guide, 2026", NOVA, nova(inferenceConfig={"max_new_tokens": 300, "topK": 20})),
]


def ids(rows):
    return [f"{number} {row[0]}" for number, row in enumerate(rows)]


@pytest.mark.parametrize("send", [invoke, stream])
@pytest.mark.parametrize(("source", "model", "request_body", "message"), REFUSED, ids=ids(REFUSED))
def test_what_was_reported_refused_is_refused(client, bedrock, source, model, request_body, message, send):
    with pytest.raises(ClientError) as caught:
        send(client, model, request_body)
    error = caught.value.response["Error"]
    assert error["Code"] == "ValidationException", source
    whole = not message.endswith(": ")
    assert error["Message"] == message if whole else error["Message"].startswith(message), source
    (call,) = bedrock.calls
    assert (call.status, call.usage) == (400, None)


@pytest.mark.parametrize("send", [invoke, stream])
@pytest.mark.parametrize(("source", "model", "request_body"), ACCEPTED, ids=ids(ACCEPTED))
def test_what_was_reported_accepted_is_accepted(client, source, model, request_body, send):
    assert send(client, model, request_body), source


def test_a_checkpoint_under_optimized_latency(client):
    """boto3#4626, 2025-09."""
    request = body(system=[text("s", **MARK)])
    with pytest.raises(ClientError, match=f"system.0.cache_control: {EXTRA}"):
        invoke(client, HAIKU, request, performanceConfigLatency="optimized")
    assert invoke(client, HAIKU, body(), performanceConfigLatency="optimized")


def test_a_body_of_more_than_25_million_bytes(bedrock):
    """langchain-aws#419, 2025-03."""
    raw = json.dumps(body(user("a" * 25_000_000))).encode()
    status, _, answer = wire.post(bedrock, raw, operation="invoke")
    assert (status, "less than or equal to 25000000" in answer["message"]) == (400, True)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"hi"', b"null"])
@pytest.mark.parametrize("model", [SONNET, NOVA])
def test_what_is_no_object_is_refused(bedrock, raw, model):
    for operation in ("invoke", "invoke-with-response-stream"):
        status, headers, _ = wire.post(bedrock, raw, model, operation)
        assert (status, headers["x-amzn-ErrorType"].partition(":")[0]) == (400, "ValidationException")
