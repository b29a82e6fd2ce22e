"""What people saw Bedrock refuse and accept, by model: where it was reported, when, and in which words."""

import pytest

from tests.emulator.wire import (
    HAIKU,
    LLAMA,
    NOVA,
    OPUS_48,
    POINT,
    SONNET,
    SONNET_4,
    TOOL,
    assistant,
    post,
    result,
    use,
    user,
)

SAY = {"text": "say"}
SONNET_45 = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
FABLE = "us.anthropic.claude-fable-5-1"
TOOLS = {"toolConfig": {"tools": [TOOL]}}
THINKING = {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}}}
MODEL = "The model returned the following errors: "
PREFILL = (
    f"{MODEL}This model does not support assistant message prefill."
    " The conversation must end with a user message."
)
WHITE = f"{MODEL}messages: text content blocks must contain non-whitespace text"
NAME = (
    "The document file name can only contain alphanumeric characters, whitespace characters, hyphens, parentheses,"
    " and square brackets. The name can't contain more than one consecutive whitespace character."
    " Check that the file name conforms to these restrictions and retry your request."
)
TWICE = "Messages can't contain duplicate document names. Rename the document and retry your request."
TURN = "Conversation blocks and tool result blocks cannot be provided in the same turn."
ALTERNATE = (
    "A conversation must alternate between user and assistant roles."
    " Make sure the conversation alternates between user and assistant roles and try again."
)
CHOICE = "This model doesn't support the toolConfig.toolChoice.{0} field. Remove toolConfig.toolChoice.{0} and try again."
CONSTRAINT = "1 validation error detected: Value '{}' at '{}' failed to satisfy constraint: {}"
PATTERN = "Member must satisfy regular expression pattern: {}"


def turns(*history, **more):
    return {"messages": list(history), **more}


def document(name="notes", kind="txt", **more):
    return {"document": {"name": name, "format": kind, "source": {"bytes": "bm90ZXM="}, **more}}


def called(call="c1", name="get_weather"):
    block = {"toolUse": {"toolUseId": call, "name": name, "input": {}}}
    return turns(user(SAY), assistant(block), user(result(call)), **TOOLS)


def named(name):
    spec = {**TOOL["toolSpec"], "name": name}
    return turns(user(SAY), toolConfig={"tools": [{"toolSpec": spec}]})


def choosing(choice, **more):
    return turns(user(SAY), toolConfig={"tools": [TOOL], "toolChoice": choice}, **more)


def gave(*parts):
    return turns(user(SAY), assistant(use()), user(result("c1", *parts)), **TOOLS)


def thought(**reasoning):
    block = {"reasoningContent": {"reasoningText": {"text": "hm", **reasoning}}}
    return turns(user(SAY), assistant({"text": "so"}, block), user(SAY))


def additional(**fields):
    return turns(user(SAY), additionalModelRequestFields=fields)


OUTPUT = {
    "outputConfig": {
        "textFormat": {
            "type": "json_schema",
            "structure": {"jsonSchema": {"schema": '{"type": "object"}', "name": "s"}},
        }
    }
}
IMAGE = {"image": {"format": "png", "source": {"bytes": "iVBORw=="}}}
EXTRA = "Extra inputs are not permitted"
OPUS_47 = "us.anthropic.claude-opus-4-7"
STRICT = {"toolConfig": {"tools": [{"toolSpec": {**TOOL["toolSpec"], "strict": True}}]}}

REFUSED = [
    ("hermes-agent#101401, 2026-09", SONNET, turns(user(SAY), assistant(SAY)), PREFILL),
    ("hermes-agent#101401, 2026-09", "eu.anthropic.claude-opus-5", turns(user(SAY), assistant(SAY)), PREFILL),
    ("hermes-agent#101401, 2026-09", FABLE, turns(user(SAY), assistant(SAY)), PREFILL),
    ("phoenix#15392, 2026-08", "us.anthropic.claude-opus-4-6-v1", turns(user(SAY), assistant(SAY)), PREFILL),
    (
        "collmbo#12, 2024-10; llama_index#17616",
        HAIKU,
        turns(user(SAY), assistant(SAY), **TOOLS),
        (
            f"{MODEL}Your API request included an `assistant` message in the final position, which would pre-fill the"
            " `assistant` response. When using tools, pre-filling the `assistant` response is not supported."
        ),
    ),
    (
        "models.dev#1765, 2026-05",
        OPUS_47,
        turns(user(SAY), **OUTPUT),
        f"{MODEL}output_config.format: {EXTRA}",
    ),
    (
        "presenton#939, 2026-09",
        "us.anthropic.claude-sonnet-5",
        turns(user(SAY), **OUTPUT),
        f"{MODEL}output_config.format: {EXTRA}",
    ),
    ("vercel/ai#17719, 2026-07", SONNET_4, turns(user(SAY), **OUTPUT), f"{MODEL}output_config: {EXTRA}"),
    ("lobehub#19876, 2026-09", FABLE, turns(user(SAY), **STRICT), f"{MODEL}tools.0.custom.strict: {EXTRA}"),
    (
        "claude-code#49238, 2026-04",
        OPUS_47,
        turns(user(SAY), **THINKING),
        (
            f'{MODEL}"thinking.type.enabled" is not supported for this model.'
            ' Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
        ),
    ),
    ("litellm#13825, 2025-08", SONNET_4, additional(guardrails={}), f"{MODEL}guardrails: {EXTRA}"),
    ("litellm#13609, 2025-08", SONNET, additional(reasoning={}), f"{MODEL}reasoning: {EXTRA}"),
    ("agentgateway#3240, 2026-08", SONNET, additional(defer_loading=True), f"{MODEL}defer_loading: {EXTRA}"),
    ("inspect_ai 0.3.285, 2026-08", OPUS_48, additional(cache_control={}), f"{MODEL}cache_control: {EXTRA}"),
    (
        "cline#5568, 2025-08",
        SONNET_4,
        additional(anthropic_beta=["no-such-thing"]),
        f"{MODEL}invalid beta flag",
    ),
    (
        "agentgateway#3240, 2026-08",
        SONNET,
        additional(anthropic_beta=["tool-search-tool-2025-10-19"]),
        "The tool-search-tool beta feature is not currently supported on the Converse and ConverseStream APIs",
    ),
    (
        "LibreChat#14246, 2026-07",
        SONNET,
        additional(system="s"),
        "The additional field system conflicts with an existing field.",
    ),
    (
        "inspect_ai#3939, 2026-05",
        NOVA,
        additional(top_k=5),
        (
            "Malformed input request: #: extraneous key [top_k] is not permitted,"
            " please reformat your input and try again."
        ),
    ),
    (
        "bifrost#5762, 2026-08",
        SONNET,
        gave({"json": [1]}),
        (
            "The format of the value at messages.2.content.0.toolResult.content.0.json is invalid."
            " Provide a json object for the field and try again."
        ),
    ),
    (
        "generative-ai-use-cases#1077: words by sense",
        NOVA,
        turns(user(SAY, IMAGE, POINT)),
        (
            "Malformed input request: #/messages/0/content/1: extraneous key [cachePoint] is not permitted,"
            " please reformat your input and try again."
        ),
    ),
    (
        "harness-sdk#4223, 2026-09: both or none",
        SONNET,
        turns(user(SAY), guardrailConfig={"guardrailIdentifier": "g"}),
        (
            "1 validation error detected: Value null at 'guardrailConfig.guardrailVersion' failed to satisfy constraint:"
            " Member must not be null"
        ),
    ),
    (
        "aws-sdk-net#4015, 2025-09; langchain-aws#599, 2025-08",
        HAIKU,
        turns(user(SAY), assistant({"text": "It is "})),
        f"{MODEL}messages: final assistant content cannot end with trailing whitespace",
    ),
    (
        "langchain-aws#925, 2026-03",
        SONNET_45,
        choosing({"any": {}}, **THINKING),
        f"{MODEL}Thinking may not be enabled when tool_choice forces tool use.",
    ),
    (
        "oh-my-pi#341, 2026-03",
        SONNET,
        choosing({"tool": {"name": "get_weather"}}, **THINKING),
        f"{MODEL}Thinking may not be enabled when tool_choice forces tool use.",
    ),
    ("hermes-agent#41985, 2026-06", OPUS_48, turns(user(SAY, {"text": " "})), WHITE),
    ("hermes-agent#61318, 2026-07", SONNET, gave({"text": "\n"}), WHITE),
    (
        "hermes-agent#55092, 2026-06",
        SONNET_45,
        gave({"text": ""}),
        f"{MODEL}messages: text content blocks must be non-empty",
    ),
    ("bifrost#7003, 2026-09", SONNET, turns(user(SAY, document(), document())), TWICE),
    (
        "ag-ui#2425, 2026-08: over all turns",
        NOVA,
        turns(user(SAY, document()), assistant(SAY), user(SAY, document())),
        TWICE,
    ),
    (
        "opencode#48756, 2026-09: in tool results too",
        SONNET,
        turns(user(SAY, document()), assistant(use()), user(result("c1", document())), **TOOLS),
        TWICE,
    ),
    ("opencode#19964, 2026-03", HAIKU, turns(user(SAY, document("paper.pdf"))), NAME),
    ("llm-bedrock#8, 2024-12", NOVA, turns(user(SAY, document("attachment.pdf"))), NAME),
    ("vercel/ai#20365, 2026-09", HAIKU, turns(user(SAY, document("John's report"))), NAME),
    ("vercel/ai#20365, 2026-09", HAIKU, turns(user(SAY, document("Report -  Final"))), NAME),
    ("generative-ai-use-cases#1671, 2026-08", HAIKU, turns(user(SAY, document("test\u3000name"))), NAME),
    ("generative-ai-use-cases#1677, 2026-08", HAIKU, turns(user(SAY, document("test\tname"))), NAME),
    (
        "boto3#4648, 2025-10",
        SONNET,
        gave(document(citations={"enabled": True})),
        "Citations are not supported in tool result documents.",
    ),
    (
        "boto3#4726, 2026-02",
        SONNET,
        turns(user(SAY, document(kind="docx", citations={"enabled": True}))),
        "Unsupported document format. Only txt and pdf formats are supported when citations are enabled",
    ),
    (
        "harness-sdk#1241, 2025-11; llama_index#19886, 2025-09",
        LLAMA,
        choosing({"any": {}}),
        CHOICE.format("any"),
    ),
    ("bifrost#3196, 2026-05", LLAMA, choosing({"tool": {"name": "get_weather"}}), CHOICE.format("tool")),
    (
        "browser-use#710, 2025-02; harness-sdk#1223, 2025-11",
        LLAMA,
        turns(user(SAY), assistant(use()), user(result(), SAY), **TOOLS),
        f"messages.2.content: {TURN}",
    ),
    ("dify#9294, 2024-10", LLAMA, turns(user(SAY), user(SAY)), ALTERNATE),
    (
        "llama_index#20851, 2026-03",
        SONNET_4,
        thought(),
        f"{MODEL}messages.1.content.1.thinking.signature: Field required",
    ),
    (
        "bifrost#6942, 2026-09",
        SONNET,
        thought(signature=""),
        f"{MODEL}messages.1.content.1: Invalid `signature` in `thinking` block",
    ),
    (
        "llama_index#22775, 2026-08; botocore 1.44.5",
        SONNET,
        called("call 1"),
        CONSTRAINT.format(
            "call 1",
            "messages.2.member.content.1.member.toolUse.toolUseId",
            PATTERN.format("[a-zA-Z0-9_.:-]+"),
        ),
    ),
    (
        "llama_index#22775, 2026-08: 64 characters at most",
        NOVA,
        called("c" * 65),
        CONSTRAINT.format(
            "c" * 65,
            "messages.2.member.content.1.member.toolUse.toolUseId",
            "Member must have length less than or equal to 64",
        ),
    ),
    (
        "vercel/ai#17769, 2026-07",
        SONNET,
        called(name="$READFILE"),
        CONSTRAINT.format(
            "$READFILE",
            "messages.2.member.content.1.member.toolUse.name",
            PATTERN.format("[a-zA-Z0-9_-]+"),
        ),
    ),
    (
        "litellm#24668, 2026-03",
        NOVA,
        named(""),
        CONSTRAINT.format("", "toolConfig.tools.1.member.toolSpec.name", PATTERN.format("[a-zA-Z0-9_-]+")),
    ),
    (
        "vercel/ai#5606, 2025-04",
        SONNET,
        turns(user(SAY, document(kind="sheet"))),
        CONSTRAINT.format(
            "sheet",
            "messages.1.member.content.2.member.document.format",
            "Member must satisfy enum value set: [docx, csv, html, txt, pdf, md, doc, xlsx, xls]",
        ),
    ),
    (
        "botocore 1.44.5",
        SONNET,
        turns(user(SAY, {"image": {"format": "bmp", "source": {"bytes": "AA=="}}})),
        CONSTRAINT.format(
            "bmp",
            "messages.1.member.content.2.member.image.format",
            "Member must satisfy enum value set: [png, jpeg, gif, webp]",
        ),
    ),
]

BARE = "arn:aws:bedrock:us-east-1:123456789012:{}/{}"
OPAQUE = (
    BARE.format("provisioned-model", "abcdefghij12"),
    BARE.format("custom-model-deployment", "abcdefghij12"),
    BARE.format("imported-model", "abcdefghij12"),
    BARE.format("prompt-router", "router1"),
    BARE.format("default-prompt-router", "anthropic.claude:1"),
    "arn:aws:sagemaker:us-east-1:123456789012:endpoint/mine",
)
PROMPT = BARE.format("prompt", "ABCDEFGHIJ:1")

ACCEPTED = [
    *(("ConversationalModelId of botocore 1.44.5", arn, turns(user(SAY))) for arn in OPAQUE),
    ("AWS API reference, Converse, 2026: a prompt", PROMPT, {}),
    ("AWS API reference, Converse, 2026: a prompt", PROMPT, {"promptVariables": {"city": {"text": "Paris"}}}),
    ("AWS API reference, Converse, 2026: a prompt, gone on", PROMPT, turns(user(SAY))),
    ("phoenix#15392, 2026-08: before 4.6", HAIKU, turns(user(SAY), assistant({"text": "It is"}))),
    ("vercel/ai#17719, 2026-07", "us.anthropic.claude-opus-4-6-v1", turns(user(SAY), **OUTPUT)),
    ("lobehub#19876, 2026-09", "us.anthropic.claude-opus-5", turns(user(SAY), **STRICT)),
    (
        "AWS user guide, 2026: computer use",
        SONNET_45,
        additional(anthropic_beta=["computer-use-2025-01-24"], tools=[]),
    ),
    ("inspect_ai#3939, 2026-05", NOVA, additional(inferenceConfig={"topK": 5})),
    ("inspect_ai#3939, 2026-05", SONNET, additional(top_k=5)),
    ("litellm#41203, 2026-09", SONNET_45, additional(anthropic_beta=["compact-2026-01-12"])),
    ("bifrost#5762, 2026-08", SONNET, gave({"json": {"a": [1]}})),
    ("pydantic-ai#3092, 2025-10", SONNET_45, choosing({"auto": {}}, **THINKING)),
    ("langchain-aws#925, 2026-03: without thinking", SONNET_45, choosing({"any": {}})),
    ("pydantic-ai recording, 2026-08", SONNET_45, turns(user(SAY, {"text": "\n"}))),
    ("generative-ai-use-cases#1671, 2026-08", HAIKU, turns(user(SAY, document("test_name (1) [2]-3")))),
    ("generative-ai-use-cases#1671, 2026-08", HAIKU, turns(user(SAY, document(" testname")))),
    ("boto3#4726, 2026-02", SONNET, turns(user(SAY, document(kind="pdf", citations={"enabled": True})))),
    ("boto3#4648, 2025-10", SONNET, gave(document(citations={"enabled": False}))),
    ("harness-sdk#1981, 2026-03", LLAMA, choosing({"auto": {}})),
    ("recordings, 2025 and 2026", NOVA, turns(user(SAY), user(SAY))),
    ("recordings, 2026", SONNET, turns(user(SAY), assistant(use()), user(result(), SAY), **TOOLS)),
    ("bifrost#6942, 2026-09", NOVA, thought()),
    ("recordings, 2026", SONNET, thought(signature="EqQBCk")),
    ("llama_index#22775, 2026-08", SONNET, called("functions.get_weather:0")),
    ("llama_index#22775, 2026-08", SONNET, called("c" * 64)),
    ("botocore 1.44.5", NOVA, turns(user(SAY, document(kind="xlsx")))),
]


def ids(rows):
    return [f"{number} {row[0]}" for number, row in enumerate(rows)]


@pytest.mark.parametrize(("source", "model", "body", "message"), REFUSED, ids=ids(REFUSED))
def test_what_was_reported_refused_is_refused(bedrock, source, model, body, message):
    status, headers, answer = post(bedrock, body, model)
    assert (status, answer["message"]) == (400, message), source
    assert headers["x-amzn-ErrorType"].startswith("ValidationException:")


@pytest.mark.parametrize(("source", "model", "body"), ACCEPTED, ids=ids(ACCEPTED))
def test_what_was_reported_accepted_is_accepted(bedrock, source, model, body):
    status, _, answer = post(bedrock, body, model)
    assert status == 200, (source, answer)
