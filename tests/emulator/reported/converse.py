"""What was seen of Converse and ConverseStream."""

from functools import partial

from cachepoint.emulator import Guardrail, Reply
from cachepoint.emulator.responders.signature import sign
from tests.emulator.reported.row import Row
from tests.emulator.reported.shapes import (
    IMAGE,
    OUTPUT,
    SAY,
    STRICT,
    THINKING,
    TOOLS,
    additional,
    called,
    choosing,
    document,
    gave,
    guarded,
    named,
    prefilled,
    said,
    thought,
    turns,
)
from tests.emulator.wire import (
    HAIKU,
    LLAMA,
    NOVA,
    OPUS_48,
    POINT,
    SONNET,
    SONNET_4,
    assistant,
    result,
    use,
    user,
)

SONNET_45 = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
SONNET_5 = "us.anthropic.claude-sonnet-5"
OPUS_46 = "us.anthropic.claude-opus-4-6-v1"
OPUS_47 = "us.anthropic.claude-opus-4-7"
OPUS_5 = "us.anthropic.claude-opus-5"
FABLE = "us.anthropic.claude-fable-5-1"
MODEL = "The model returned the following errors: "
EXTRA = "Extra inputs are not permitted"
PREFILL = (
    f"{MODEL}This model does not support assistant message prefill."
    " The conversation must end with a user message."
)
WITH_TOOLS = (
    f"{MODEL}Your API request included an `assistant` message in the final position, which would pre-fill the"
    " `assistant` response. When using tools, pre-filling the `assistant` response is not supported."
)
BLANK_END = f"{MODEL}messages: final assistant content cannot end with trailing whitespace"
FORCED = f"{MODEL}Thinking may not be enabled when tool_choice forces tool use."
BUDGET = (
    f'{MODEL}"thinking.type.enabled" is not supported for this model.'
    ' Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
)
WHITE = f"{MODEL}messages: text content blocks must contain non-whitespace text"
EMPTY = f"{MODEL}messages: text content blocks must be non-empty"
BLANK = (
    "The text field in the ContentBlock object at messages.0.content.{} is blank."
    " Add text to the text field, and try again."
)
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
CALL_ID = "messages.2.member.content.1.member.toolUse.toolUseId"
CALL_NAME = "messages.2.member.content.1.member.toolUse.name"
EXTRANEOUS = "Malformed input request: {}: extraneous key [{}] is not permitted, please reformat your input and try again."
SIGNATURE = f"{MODEL}messages.1.content.1: Invalid `signature` in `thinking` block"
UNKNOWN_GUARDRAIL = "The guardrail identifier or version provided in the request does not exist."
CITED = Reply(
    ({"citationsContent": {"content": [{"text": "It is so."}], "citations": [{"title": "paper"}]}},)
)
GUARDED = {"guardrails": {"g1": Guardrail(words=("bomb",))}}
NOTHING_COUNTED = {"inputTokens": 0, "cacheReadInputTokens": 0, "cacheWriteInputTokens": 0}

_prefill = partial(Row, "prefill")
_prefill_tools = partial(Row, "prefill with tools")
_prefill_end = partial(Row, "prefill that ends in white space")
_schema = partial(Row, "output schema")
_strict = partial(Row, "strict tools")
_budget = partial(Row, "budget of thinking")
_field = partial(Row, "additional field that the model has not")
_beta = partial(Row, "beta flag")
_forced = partial(Row, "thinking with a forced tool")
_white = partial(Row, "text of white space")
_empty = partial(Row, "empty text in a tool result")
_json = partial(Row, "JSON of a tool result")
_twice = partial(Row, "duplicate document names")
_name = partial(Row, "document name")
_format = partial(Row, "document format")
_cited = partial(Row, "citations in a tool result")
_cited_format = partial(Row, "citations by format")
_choice = partial(Row, "forced tool on Llama")
_beside = partial(Row, "text beside a tool result on Llama")
_roles = partial(Row, "two user turns on Llama")
_unsigned = partial(Row, "thinking without a signature")
_signature = partial(Row, "thinking with a wrong signature")
_id = partial(Row, "tool use id")
_tool = partial(Row, "tool name")
_guardrail = partial(Row, "unknown guardrail")
_media = partial(Row, "checkpoint behind an image on Nova")
_unknown = partial(Row, "unknown field", raw=True)

MESSAGES = (
    _prefill("hermes-agent#101401", "2026-09", SONNET, prefilled(), PREFILL),
    _prefill(
        "hermes-agent#101401",
        "2026-09",
        "eu.anthropic.claude-opus-5",
        prefilled(),
        PREFILL,
        region="eu-west-1",
    ),
    _prefill("hermes-agent#101401", "2026-09", FABLE, prefilled(), PREFILL),
    _prefill("phoenix#15392", "2026-08", OPUS_46, prefilled(), PREFILL),
    _prefill("phoenix#15392: before 4.6", "2026-08", HAIKU, prefilled("It is")),
    _prefill("recordings", "2025", NOVA, prefilled("It is")),
    _prefill_tools("collmbo#12; llama_index#17616", "2024-10", HAIKU, prefilled(**TOOLS), WITH_TOOLS),
    _prefill_end(
        "aws-sdk-net#4015; langchain-aws#599, #532", "2025-09", HAIKU, prefilled("It is "), BLANK_END
    ),
    _prefill_end("aws-sdk-net#4015", "2025-09", HAIKU, prefilled(" It is")),
    _white("hermes-agent#41985", "2026-06", OPUS_48, said(SAY, {"text": " "}), WHITE),
    _white("hermes-agent#61318", "2026-07", SONNET, gave({"text": "\n"}), WHITE),
    _white("langchain-aws#403", "2025-03", NOVA, said(SAY, {"text": "\n"}), BLANK.format(1)),
    _white("pydantic-ai recording", "2026-08", SONNET_45, said(SAY, {"text": "\n"})),
    _empty("hermes-agent#55092", "2026-06", SONNET_45, gave({"text": ""}), EMPTY),
    _empty("hermes-agent#55092: white space", "2026-06", SONNET_45, gave({"text": "\n"})),
    _roles("dify#9294", "2024-10", LLAMA, turns(user(SAY), user(SAY)), ALTERNATE),
    _roles("recordings", "2025", NOVA, turns(user(SAY), user(SAY))),
    _unsigned(
        "llama_index#20851; openclaw#10783",
        "2026-03",
        SONNET_4,
        thought(),
        f"{MODEL}messages.1.content.1.thinking.signature: Field required",
    ),
    _unsigned("bifrost#6942", "2026-09", NOVA, thought()),
    _signature("bifrost#6942", "2026-09", SONNET, thought(signature=""), SIGNATURE),
    _signature("openclaw#109881: cut off", "2026-07", OPUS_48, thought(signature=sign("hm")[:-4]), SIGNATURE),
    _signature("openclaw#70437: cut off", "2026-04", SONNET, thought(signature=sign("hm")[:20]), SIGNATURE),
    _signature("openclaw#95819", "2026", SONNET, thought(signature="no signature!"), SIGNATURE),
    _signature(
        "bifrost#6942: empty on Nova",
        "2026-09",
        NOVA,
        thought(signature=""),
        "The signature field in the reasoningText object at messages.1.content.1.reasoningContent is blank."
        " Remove the signature field, and try again.",
        by_sense=True,
    ),
    _signature("inspect_ai#5300", "2026-09", SONNET, thought(signature=sign("hm"))),
    _signature("openclaw#70437: of another text", "2026-04", SONNET, thought(signature=sign("so it was"))),
    _signature("recordings", "2026", SONNET, thought(signature="EqQBCk")),
    _unknown(
        "zed#28521: Anthropic's block",
        "2025-04",
        SONNET,
        said({"type": "text", "text": "hi"}),
        EXTRANEOUS.format("#/messages/0/content/0", "type"),
    ),
    _unknown(
        "what is not known is refused",
        "2026-11",
        SONNET,
        said(stream=True),
        EXTRANEOUS.format("#", "stream"),
        by_sense=True,
    ),
    _unknown(
        "what is not known is refused",
        "2026-11",
        SONNET,
        said(inferenceConfig={"topK": 5}),
        EXTRANEOUS.format("#/inferenceConfig", "topK"),
        by_sense=True,
    ),
    _unknown(
        "botocore 1.44.5",
        "2026-11",
        SONNET,
        said(requestMetadata={"a": "b"}, serviceTier={"type": "default"}),
    ),
)
DOCUMENTS = (
    _twice("bifrost#7003; litellm#29418", "2026-09", SONNET, said(SAY, document(), document()), TWICE),
    _twice(
        "ag-ui#2425: over all turns",
        "2026-08",
        NOVA,
        turns(user(SAY, document()), assistant(SAY), user(SAY, document())),
        TWICE,
    ),
    _twice(
        "opencode#48756: in tool results too",
        "2026-09",
        SONNET,
        turns(user(SAY, document()), assistant(use()), user(result("c1", document())), **TOOLS),
        TWICE,
    ),
    _twice("sample-strands-agent#290", "2026-09", SONNET, said(SAY, document(), document("notes-2"))),
    _name("opencode#19964", "2026-03", HAIKU, said(SAY, document("paper.pdf")), NAME),
    _name("llm-bedrock#8; laravel/ai#465", "2024-12", NOVA, said(SAY, document("attachment.pdf")), NAME),
    _name("vercel/ai#20365", "2026-09", HAIKU, said(SAY, document("John's report")), NAME),
    _name("vercel/ai#20365", "2026-09", HAIKU, said(SAY, document("Report -  Final")), NAME),
    _name("generative-ai-use-cases#1671", "2026-08", HAIKU, said(SAY, document("test\u3000name")), NAME),
    _name("generative-ai-use-cases#1677", "2026-08", HAIKU, said(SAY, document("test\tname")), NAME),
    _name("generative-ai-use-cases#1671", "2026-08", HAIKU, said(SAY, document("test_name (1) [2]-3"))),
    _name("generative-ai-use-cases#1671", "2026-08", HAIKU, said(SAY, document(" testname"))),
    _format(
        "vercel/ai#5606; harness-sdk#3019",
        "2025-04",
        SONNET,
        said(SAY, document(kind="sheet")),
        CONSTRAINT.format(
            "sheet",
            "messages.1.member.content.2.member.document.format",
            "Member must satisfy enum value set: [docx, csv, html, txt, pdf, md, doc, xlsx, xls]",
        ),
    ),
    _format(
        "botocore 1.44.5: of an image",
        "2026-11",
        SONNET,
        said(SAY, {"image": {"format": "bmp", "source": {"bytes": b"BM"}}}),
        CONSTRAINT.format(
            "bmp",
            "messages.1.member.content.2.member.image.format",
            "Member must satisfy enum value set: [png, jpeg, gif, webp]",
        ),
    ),
    _format("botocore 1.44.5", "2026-11", NOVA, said(SAY, document(kind="xlsx"))),
    Row(
        "document without a text",
        "archestra#4220",
        "2026-04",
        SONNET,
        said(document()),
        "A text block must be included when using documents.",
    ),
    _cited(
        "boto3#4648",
        "2025-10",
        SONNET,
        gave(document(citations={"enabled": True})),
        "Citations are not supported in tool result documents.",
    ),
    _cited("boto3#4648", "2025-10", SONNET, gave(document(citations={"enabled": False}))),
    _cited_format(
        "boto3#4726",
        "2026-02",
        SONNET,
        said(SAY, document(kind="docx", citations={"enabled": True})),
        "Unsupported document format. Only txt and pdf formats are supported when citations are enabled",
    ),
    _cited_format(
        "boto3#4726", "2026-02", SONNET, said(SAY, document(kind="pdf", citations={"enabled": True}))
    ),
    Row(
        "streamed citations",
        "CitationsDelta of botocore 1.44.5",
        "2026-11",
        SONNET,
        said(SAY, document(citations={"enabled": True})),
        emulator={"responder": lambda request: CITED},
        stop="end_turn",
    ),
)
TOOLS_AND_CALLS = (
    _forced("langchain-aws#925", "2026-03", SONNET_45, choosing({"any": {}}, **THINKING), FORCED),
    _forced("vercel/ai#17729", "2026-07", OPUS_46, choosing({"any": {}}, **THINKING), FORCED),
    _forced(
        "oh-my-pi#341", "2026-03", SONNET, choosing({"tool": {"name": "get_weather"}}, **THINKING), FORCED
    ),
    _forced("pydantic-ai#3092", "2025-10", SONNET_45, choosing({"auto": {}}, **THINKING)),
    _forced("langchain-aws#925: without thinking", "2026-03", SONNET_45, choosing({"any": {}})),
    _choice(
        "harness-sdk#1241; llama_index#19886", "2025-11", LLAMA, choosing({"any": {}}), CHOICE.format("any")
    ),
    _choice(
        "bifrost#3196", "2026-05", LLAMA, choosing({"tool": {"name": "get_weather"}}), CHOICE.format("tool")
    ),
    _choice("harness-sdk#1981", "2026-03", LLAMA, choosing({"auto": {}})),
    _beside(
        "browser-use#710; harness-sdk#1223",
        "2025-02",
        LLAMA,
        turns(user(SAY), assistant(use()), user(result(), SAY), **TOOLS),
        f"messages.2.content: {TURN}",
    ),
    _beside("recordings", "2026", SONNET, turns(user(SAY), assistant(use()), user(result(), SAY), **TOOLS)),
    _id(
        "llama_index#22775",
        "2026-08",
        SONNET,
        called("call 1"),
        CONSTRAINT.format("call 1", CALL_ID, PATTERN.format("[a-zA-Z0-9_.:-]+")),
    ),
    _id(
        "llama_index#22775: 64 characters",
        "2026-08",
        NOVA,
        called("c" * 65),
        CONSTRAINT.format("c" * 65, CALL_ID, "Member must have length less than or equal to 64"),
    ),
    _id("llama_index#22775", "2026-08", SONNET, called("functions.get_weather:0")),
    _id("llama_index#22775", "2026-08", SONNET, called("c" * 64)),
    _tool(
        "vercel/ai#17769",
        "2026-07",
        SONNET,
        called(name="$READFILE"),
        CONSTRAINT.format("$READFILE", CALL_NAME, PATTERN.format("[a-zA-Z0-9_-]+")),
    ),
    _tool(
        "litellm#24668",
        "2026-03",
        NOVA,
        named(""),
        CONSTRAINT.format("", "toolConfig.tools.1.member.toolSpec.name", PATTERN.format("[a-zA-Z0-9_-]+")),
    ),
    _json(
        "bifrost#5762",
        "2026-08",
        SONNET,
        gave({"json": [1]}),
        "The format of the value at messages.2.content.0.toolResult.content.0.json is invalid."
        " Provide a json object for the field and try again.",
    ),
    _json("bifrost#5762", "2026-08", SONNET, gave({"json": {"a": [1]}})),
    _strict("lobehub#19876", "2026-09", FABLE, said(**STRICT), f"{MODEL}tools.0.custom.strict: {EXTRA}"),
    _strict("lobehub#19876", "2026-09", OPUS_5, said(**STRICT)),
)
SETTINGS = (
    _schema("models.dev#1765", "2026-05", OPUS_47, said(**OUTPUT), f"{MODEL}output_config.format: {EXTRA}"),
    _schema("presenton#939", "2026-09", SONNET_5, said(**OUTPUT), f"{MODEL}output_config.format: {EXTRA}"),
    _schema("vercel/ai#17719", "2026-07", SONNET_4, said(**OUTPUT), f"{MODEL}output_config: {EXTRA}"),
    _schema("vercel/ai#17719", "2026-07", OPUS_46, said(**OUTPUT)),
    _budget("claude-code#49238", "2026-04", OPUS_47, said(**THINKING), BUDGET),
    _budget("claude-code#49238", "2026-04", OPUS_47, additional(thinking={"type": "adaptive"})),
    _field("litellm#13825", "2025-08", SONNET_4, additional(guardrails={}), f"{MODEL}guardrails: {EXTRA}"),
    _field("litellm#13609", "2025-08", SONNET, additional(reasoning={}), f"{MODEL}reasoning: {EXTRA}"),
    _field(
        "agentgateway#3240",
        "2026-08",
        SONNET,
        additional(defer_loading=True),
        f"{MODEL}defer_loading: {EXTRA}",
    ),
    _field(
        "inspect_ai 0.3.285",
        "2026-08",
        OPUS_48,
        additional(cache_control={}),
        f"{MODEL}cache_control: {EXTRA}",
    ),
    _field("inspect_ai#3939", "2026-05", NOVA, additional(top_k=5), EXTRANEOUS.format("#", "top_k")),
    _field("inspect_ai#3939", "2026-05", NOVA, additional(inferenceConfig={"topK": 5})),
    _field("inspect_ai#3939", "2026-05", SONNET, additional(top_k=5)),
    Row(
        "additional field that Converse has itself",
        "LibreChat#14246",
        "2026-07",
        SONNET,
        additional(system="s"),
        "The additional field system conflicts with an existing field.",
    ),
    _beta(
        "cline#5568",
        "2025-08",
        SONNET_4,
        additional(anthropic_beta=["no-such-thing"]),
        f"{MODEL}invalid beta flag",
    ),
    _beta(
        "agentgateway#3240",
        "2026-08",
        SONNET,
        additional(anthropic_beta=["tool-search-tool-2025-10-19"]),
        "The tool-search-tool beta feature is not currently supported on the Converse and ConverseStream APIs",
    ),
    _beta(
        "AWS user guide, computer use",
        "2026",
        SONNET_45,
        additional(anthropic_beta=["computer-use-2025-01-24"], tools=[]),
    ),
    _beta("litellm#41203", "2026-09", SONNET_45, additional(anthropic_beta=["compact-2026-01-12"])),
    Row(
        "guardrail without its version",
        "harness-sdk#4223",
        "2026-09",
        SONNET,
        said(guardrailConfig={"guardrailIdentifier": "g"}),
        "1 validation error detected: Value null at 'guardrailConfig.guardrailVersion' failed to satisfy constraint:"
        " Member must not be null",
    ),
    _guardrail("measured in us-east-1", "2026", SONNET, guarded("hi"), UNKNOWN_GUARDRAIL),
    _guardrail(
        "measured in us-east-1", "2026", NOVA, guarded("hi", "g2"), UNKNOWN_GUARDRAIL, emulator=GUARDED
    ),
    _guardrail(
        "AWS user guide, guardrails", "2026", SONNET, guarded("hi"), emulator=GUARDED, stop="end_turn"
    ),
    _guardrail(
        "ministack#1570; bedrock-access-gateway#107",
        "2026",
        SONNET,
        guarded("a bomb"),
        emulator=GUARDED,
        stop="guardrail_intervened",
        usage=NOTHING_COUNTED,
    ),
    _media(
        "generative-ai-use-cases#1077",
        "2025-05",
        NOVA,
        said(SAY, IMAGE, POINT),
        EXTRANEOUS.format("#/messages/0/content/1", "cachePoint"),
        by_sense=True,
    ),
    _media("generative-ai-use-cases#1077: the text last", "2025-05", NOVA, said(IMAGE, SAY, POINT)),
    _media("recordings", "2026", SONNET, said(SAY, IMAGE, POINT)),
    Row(
        "minimum on Nova Lite",
        "rig recording: 27 tokens",
        "2026",
        NOVA,
        said(SAY, POINT),
        emulator={"sizer": lambda prompt, rules: [27, 0]},
        times=2,
        usage={"inputTokens": 0, "cacheReadInputTokens": 27, "cacheWriteInputTokens": 0},
    ),
)
ROWS = (*MESSAGES, *DOCUMENTS, *TOOLS_AND_CALLS, *SETTINGS)
