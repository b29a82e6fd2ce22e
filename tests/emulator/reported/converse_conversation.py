"""What was seen of messages and documents of Converse."""

from functools import partial

from cachepoint.emulator import Reply
from cachepoint.emulator.responders.signature import sign
from tests.emulator.reported.models import FABLE, OPUS_46, SONNET_45
from tests.emulator.reported.row import Row
from tests.emulator.reported.shapes import (
    SAY,
    TOOLS,
    document,
    gave,
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
    SONNET,
    SONNET_4,
    assistant,
    result,
    use,
    user,
)

MODEL = "The model returned the following errors: "
PREFILL = (
    f"{MODEL}This model does not support assistant message prefill."
    " The conversation must end with a user message."
)
WITH_TOOLS = (
    f"{MODEL}Your API request included an `assistant` message in the final position, which would pre-fill the"
    " `assistant` response. When using tools, pre-filling the `assistant` response is not supported."
)
BLANK_END = f"{MODEL}messages: final assistant content cannot end with trailing whitespace"
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
ALTERNATE = (
    "A conversation must alternate between user and assistant roles."
    " Make sure the conversation alternates between user and assistant roles and try again."
)
CONSTRAINT = "1 validation error detected: Value '{}' at '{}' failed to satisfy constraint: {}"
EXTRANEOUS = "Malformed input request: {}: extraneous key [{}] is not permitted, please reformat your input and try again."
SIGNATURE = f"{MODEL}messages.1.content.1: Invalid `signature` in `thinking` block"
CITED = Reply(
    ({"citationsContent": {"content": [{"text": "It is so."}], "citations": [{"title": "paper"}]}},)
)

_prefill = partial(Row, "prefill")
_prefill_tools = partial(Row, "prefill with tools")
_prefill_end = partial(Row, "prefill that ends in white space")
_white = partial(Row, "text of white space")
_empty = partial(Row, "empty text in a tool result")
_twice = partial(Row, "duplicate document names")
_name = partial(Row, "document name")
_format = partial(Row, "document format")
_cited = partial(Row, "citations in a tool result")
_cited_format = partial(Row, "citations by format")
_roles = partial(Row, "two user turns on Llama")
_unsigned = partial(Row, "thinking without a signature")
_signature = partial(Row, "thinking with a wrong signature")
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
    *(
        Row(
            "document without bytes",
            "bifrost#7072",
            "2026-09",
            SONNET,
            said(SAY, document(source=source)),
            "DocumentSource object at messages.0.content.1.document.source must set one of the following keys:"
            " bytes, s3Location.",
        )
        for source in ({}, {"text": "It is so."})
    ),
    Row(
        "document without bytes",
        "bifrost#7072",
        "2026-09",
        SONNET,
        said(SAY, document(source={"bytes": b"It is so.", "text": "It is so."})),
    ),
    Row(
        "streamed citations",
        "CitationsDelta of botocore 1.44.5",
        "2026-11",
        SONNET,
        said(SAY, document(source={"text": "It is so."}, citations={"enabled": True})),
        emulator={"responder": lambda request: CITED},
        stop="end_turn",
    ),
)
ROWS = (*MESSAGES, *DOCUMENTS)
