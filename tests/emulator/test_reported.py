"""What people saw Bedrock refuse and accept, by model: where it was reported, when, and in which words."""

import pytest

from tests.emulator.wire import NOVA, SONNET, TOOL, assistant, post, result, user

SAY = {"text": "say"}
TOOLS = {"toolConfig": {"tools": [TOOL]}}
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


REFUSED = [
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

ACCEPTED = [
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
