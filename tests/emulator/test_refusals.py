"""Everything Bedrock refuses, with its status, code and text."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.emulator.wire import (
    HOUR,
    LLAMA,
    NOVA,
    POINT,
    SONNET,
    SONNET_4,
    TOOL,
    assistant,
    post,
    result,
    text,
    use,
    user,
)

DOCUMENT = {"document": {"name": "notes", "format": "txt", "source": {"bytes": "bm90ZXM="}}}
PDF = {"document": {"name": "paper", "format": "pdf", "source": {"bytes": "JVBERg=="}}}
IMAGE = {"image": {"format": "png", "source": {"bytes": "iVBORw=="}}}
VIDEO = {"video": {"format": "mp4", "source": {"bytes": "AAAA"}}}
REASONING = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}}
SAY = {"text": "say"}
TOOLS = {"toolConfig": {"tools": [TOOL]}}

NOTHING = "There is nothing available to cache. Please remove the invalid cache point and try again."
AFTER_REASONING = "Cache point cannot be inserted after reasoning block. Please remove the invalid cache point and try again."
UNSUPPORTED = (
    "You invoked an unsupported model or your request did not allow prompt caching."
    " See the documentation for more information."
)
KIMI = "This model doesn't support the cachePoint field. Remove cachePoint from your request and try again."
EXTRANEOUS = (
    "Malformed input request: #/{}: extraneous key [cachePoint] is not permitted,"
    " please reformat your input and try again."
)
ORDER = (
    "{}.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block."
    " Note that blocks are processed in the following order: `tools`, `system`, `messages`."
)
MODEL = "The model returned the following errors: "
CONSTRAINT = "1 validation error detected: Value {} at '{}' failed to satisfy constraint: {}"
WRONG_TYPE = (
    "Malformed input request: #/{}: expected type: {}, found: {}, please reformat your input and try again."
)
CONTENT_KEYS = (
    "text, image, document, video, audio, toolUse, toolResult, guardContent, cachePoint, reasoningContent,"
    " citationsContent, searchResult, toolAddition, toolRemoval"
)


def messages(*blocks: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [user(*blocks)], **more}


def turns(*history: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": list(history), **more}


PLACEMENT = [
    pytest.param(messages(POINT, SAY), NOTHING, id="first in a message"),
    pytest.param(messages(SAY, system=[POINT, SAY]), NOTHING, id="first in system"),
    pytest.param(messages(SAY, toolConfig={"tools": [POINT, TOOL]}), NOTHING, id="first in tools"),
    pytest.param(
        turns(user(SAY), assistant(REASONING, POINT), user(SAY)), AFTER_REASONING, id="after reasoning"
    ),
    pytest.param(
        messages(SAY, DOCUMENT, POINT), f"{MODEL}messages.0.content.2.type: Field required", id="document"
    ),
    pytest.param(
        turns(user(SAY), assistant(SAY), user(SAY, VIDEO, POINT)),
        f"{MODEL}messages.2.content.2.type: Field required",
        id="video",
    ),
    pytest.param(
        messages(SAY, POINT, SAY, POINT, SAY, POINT, SAY, POINT, system=[SAY, POINT]),
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
        id="five",
    ),
    pytest.param(
        messages(SAY, HOUR, system=[SAY, POINT]), ORDER.format("messages.0.content.0"), id="1h after 5m"
    ),
    pytest.param(
        messages(SAY, system=[SAY, SAY, HOUR], toolConfig={"tools": [TOOL, POINT]}),
        ORDER.format("system.1"),
        id="1h in system after 5m in tools",
    ),
    pytest.param(
        messages(SAY, system=[SAY, POINT, SAY, HOUR]),
        ORDER.format("system.1"),
        id="1h after 5m within system",
    ),
    pytest.param(
        messages(SAY, system=[SAY, {"cachePoint": {"type": "default", "ttl": "2h"}}]),
        CONSTRAINT.format(
            "'2h'", "system.2.member.cachePoint.ttl", "Member must satisfy enum value set: [5m, 1h]"
        ),
        id="an unknown ttl",
    ),
    pytest.param(
        messages(SAY, system=[SAY, POINT], performanceConfig={"latency": "optimized"}),
        f"{MODEL}system.0.cache_control: Extra inputs are not permitted",
        id="optimized latency",
    ),
]

CONVERSATION = [
    pytest.param(
        turns(),
        "A conversation must start with a user message. Try again with a conversation that starts with a user message.",
        id="no message",
    ),
    pytest.param(
        turns(user()),
        "The content field in the Message object at messages.0 is empty."
        " Add a ContentBlock object to the content field and try again.",
        id="empty content",
    ),
    pytest.param(
        messages(SAY, {"text": ""}),
        "The text field in the ContentBlock object at messages.0.content.1 is blank."
        " Add text to the text field, and try again.",
        id="blank text",
    ),
    pytest.param(
        turns(user(SAY), {"role": "system", "content": [SAY]}, assistant(SAY)),
        "This model doesn't support system messages.",
        id="system role",
    ),
    pytest.param(
        messages({"toolRemoval": {"name": "t"}}),
        "This model doesn't support the toolRemoval field for system messages.",
        id="tool removal",
    ),
    pytest.param(
        messages(DOCUMENT), "A text block must be included when using documents.", id="document alone"
    ),
    pytest.param(
        turns(user(SAY), assistant(use()), user(result())),
        "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
        id="tool blocks without tools",
    ),
    pytest.param(
        turns(user(SAY), assistant(use("c1"), use("c2")), user(result("c1")), **TOOLS),
        "Expected toolResult blocks at messages.2.content for the following Ids: c2",
        id="a call without a result",
    ),
    pytest.param(
        turns(user(SAY), assistant(use()), **TOOLS),
        f"{MODEL}messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: c1."
        " Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
        id="a call at the end",
    ),
    pytest.param(
        turns(user(SAY), assistant(SAY), user(result()), **TOOLS),
        "The number of toolResult blocks at messages.2.content exceeds the number of toolUse blocks of previous turn.",
        id="a result without a call",
    ),
    pytest.param(
        turns(
            user(SAY),
            assistant(use()),
            user({"toolResult": {"toolUseId": "c1", "content": [], "status": "error"}}),
            **TOOLS,
        ),
        "The content field at messages.2.content.0.toolResult cannot be empty when status value is error.",
        id="an error without content",
    ),
    pytest.param(
        messages(SAY, toolConfig={"tools": [{"toolSpec": {"name": "t", "inputSchema": {"json": "{}"}}}]}),
        "The format of the value at toolConfig.tools.0.toolSpec.inputSchema.json is invalid."
        " Provide a json object for the field and try again.",
        id="a schema that is no object",
    ),
    pytest.param(
        messages(text(250_000)),
        f"{MODEL}prompt is too long: 250006 tokens > 200000 maximum",
        id="too long",
    ),
]

SHAPE = [
    pytest.param({}, CONSTRAINT.format("null", "messages", "Member must not be null"), id="no messages"),
    pytest.param(b"{", WRONG_TYPE.format("", "JSONObject", "Null"), id="no JSON"),
    pytest.param([], WRONG_TYPE.format("", "JSONObject", "JSONArray"), id="an array"),
    pytest.param(
        {"messages": "hi"}, WRONG_TYPE.format("messages", "JSONArray", "String"), id="messages as text"
    ),
    pytest.param(
        {"messages": [{"role": "user"}]},
        CONSTRAINT.format("null", "messages.1.member.content", "Member must not be null"),
        id="no content",
    ),
    pytest.param(
        {"messages": [{"role": "robot", "content": [SAY]}]},
        CONSTRAINT.format(
            "'robot'",
            "messages.1.member.role",
            "Member must satisfy enum value set: [user, assistant, system]",
        ),
        id="an unknown role",
    ),
    pytest.param(
        messages({"text": 7}),
        WRONG_TYPE.format("messages/0/content/0/text", "String", "Number"),
        id="a number as text",
    ),
    pytest.param(
        messages({"text": "a", **IMAGE}),
        f"ContentBlock object at messages.0.content.0 can only set one of the following keys: {CONTENT_KEYS}.",
        id="two keys",
    ),
    pytest.param(
        messages({"txt": "a"}),
        f"ContentBlock object at messages.0.content.0 must set one of the following keys: {CONTENT_KEYS}.",
        id="no known key",
    ),
    pytest.param(
        messages(SAY, inferenceConfig={"maxTokens": 0}),
        CONSTRAINT.format(
            "'0'", "inferenceConfig.maxTokens", "Member must have value greater than or equal to 1"
        ),
        id="maxTokens 0",
    ),
    pytest.param(
        messages(SAY, inferenceConfig={"temperature": 2}),
        CONSTRAINT.format(
            "'2'", "inferenceConfig.temperature", "Member must have value less than or equal to 1"
        ),
        id="temperature 2",
    ),
]


@pytest.mark.parametrize("operation", ["converse", "converse-stream"])
@pytest.mark.parametrize(("body", "message"), [*PLACEMENT, *CONVERSATION, *SHAPE])
def test_a_bad_request_is_a_validation_exception(bedrock, body, message, operation):
    status, headers, answer = post(bedrock, body, operation=operation)
    assert (status, answer) == (400, {"message": message})
    assert headers["x-amzn-ErrorType"].startswith("ValidationException:")
    (call,) = bedrock.calls
    assert (call.status, call.error, call.message, call.usage) == (400, "ValidationException", message, None)


@pytest.mark.parametrize(
    ("model", "body", "status", "code", "message"),
    [
        (LLAMA, messages(SAY, POINT), 403, "AccessDeniedException", UNSUPPORTED),
        (
            "mistral.mistral-large-2407-v1:0",
            messages(SAY, system=[SAY, POINT]),
            403,
            "AccessDeniedException",
            UNSUPPORTED,
        ),
        (
            "anthropic.claude-3-5-sonnet-20241022-v2:0",
            messages(SAY, POINT),
            403,
            "AccessDeniedException",
            UNSUPPORTED,
        ),
        ("moonshotai.kimi-k3", messages(SAY, POINT), 400, "ValidationException", KIMI),
        ("openai.gpt-oss-120b-1:0", messages(SAY, POINT), 403, "AccessDeniedException", UNSUPPORTED),
        (
            NOVA,
            messages(SAY, toolConfig={"tools": [TOOL, POINT]}),
            400,
            "ValidationException",
            EXTRANEOUS.format("toolConfig/tools/0"),
        ),
        (
            NOVA,
            turns(user(SAY), assistant(use()), user(result(), POINT), **TOOLS),
            400,
            "ValidationException",
            EXTRANEOUS.format("messages/2/content/0"),
        ),
        (
            NOVA,
            turns(user(SAY), assistant(SAY, use(), POINT), user(result()), **TOOLS),
            400,
            "ValidationException",
            EXTRANEOUS.format("messages/1/content/1"),
        ),
        (
            NOVA,
            messages(SAY, system=[SAY, HOUR]),
            400,
            "ValidationException",
            "Extended TTL prompt caching is only supported for Anthropic models",
        ),
        (
            NOVA,
            messages({"text": " \n"}),
            400,
            "ValidationException",
            (
                "The text field in the ContentBlock object at messages.0.content.0 is blank."
                " Add text to the text field, and try again."
            ),
        ),
        (
            "anthropic.claude-opus-9",
            messages(SAY),
            400,
            "ValidationException",
            "The provided model identifier is invalid.",
        ),
        ("gpt-4", messages(SAY), 400, "ValidationException", "The provided model identifier is invalid."),
        (
            "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/unknown",
            messages(SAY),
            400,
            "ValidationException",
            "The provided model identifier is invalid.",
        ),
    ],
)
def test_what_only_some_models_refuse(bedrock, model, body, status, code, message):
    answered, headers, answer = post(bedrock, body, model)
    assert (answered, headers["x-amzn-ErrorType"].partition(":")[0], answer["message"]) == (
        status,
        code,
        message,
    )


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(messages(SAY, POINT, POINT), id="two points at one place"),
        pytest.param(messages(SAY, PDF, POINT), id="after a PDF"),
        pytest.param(messages(SAY, IMAGE, POINT), id="after an image"),
        pytest.param(messages(SAY, POINT, DOCUMENT), id="before a document"),
        pytest.param(
            turns(user(SAY), assistant(REASONING, SAY, POINT), user(SAY)), id="after text after reasoning"
        ),
        pytest.param(turns(assistant(SAY), user(SAY)), id="a history that starts with the assistant"),
        pytest.param(turns(user(SAY), user(SAY)), id="the same role twice"),
        pytest.param(
            messages(SAY, POINT, system=[SAY, HOUR], toolConfig={"tools": [TOOL, HOUR]}), id="1h, 1h, 5m"
        ),
        pytest.param(
            turns(user(SAY), assistant(use()), user(result("c1", SAY, POINT)), **TOOLS), id="inside a result"
        ),
        pytest.param(turns(user(SAY), assistant(use()), user(result(), POINT), **TOOLS), id="after a result"),
    ],
)
def test_what_is_accepted(bedrock, body):
    assert post(bedrock, body)[0] == 200


def test_a_model_of_5m_takes_1h_after_5m(bedrock):
    assert post(bedrock, messages(SAY, HOUR, system=[SAY, POINT]), SONNET_4)[0] == 200


def test_boto3_sees_the_refusal_as_its_own_exception(client):
    with pytest.raises(client.exceptions.ValidationException, match="nothing available to cache"):
        client.converse(modelId=SONNET, messages=[user(POINT, SAY)])
    with pytest.raises(client.exceptions.AccessDeniedException, match="unsupported model"):
        client.converse_stream(modelId=LLAMA, messages=[user(SAY, POINT)])


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        (
            "apply_guardrail",
            {"guardrailIdentifier": "g", "guardrailVersion": "1", "source": "INPUT", "content": []},
        ),
        ("list_async_invokes", {}),
    ],
)
def test_what_is_not_emulated_says_so(client, operation, arguments):
    with pytest.raises(ClientError, match="is not emulated") as caught:
        getattr(client, operation)(**arguments)
    assert caught.value.response["Error"]["Code"] == "UnknownOperationException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_a_refused_call_leaves_no_entry(bedrock):
    big = {"text": "word " * 2000}
    post(bedrock, messages(SAY, POINT, POINT, POINT, POINT, system=[big, POINT]))
    assert post(bedrock, messages(SAY, system=[big, POINT]))[2]["usage"]["cacheReadInputTokens"] == 0
