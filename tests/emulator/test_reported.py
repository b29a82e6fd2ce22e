"""What people saw Bedrock refuse and accept, by model, sent through boto3: the table is in `reported/`."""

import json
import re
from contextlib import closing
from functools import partial

import pytest
from botocore.exceptions import ClientError

from cachepoint.emulator import BedrockEmulator
from tests.emulator import wire
from tests.emulator.bodies import body, invoke, stream, user
from tests.emulator.reported.row import INVOKE
from tests.emulator.reported.table import TABLE
from tests.emulator.wire import NOVA, SONNET

REFUSED = [row for row in TABLE if row.message]
ACCEPTED = [row for row in TABLE if not row.message]
# What the emulator was once found to take or to refuse wrongly, each with the rules that it is kept by.
FOUND = {
    "prefill": ("prefill", "prefill with tools", "prefill that ends in white space"),
    "thinking": (
        "thinking with a forced tool",
        "thinking without a signature",
        "thinking with a wrong signature",
    ),
    "texts": ("text of white space", "empty text in a tool result"),
    "documents": ("duplicate document names", "document name", "document format"),
    "citations": ("citations in a tool result", "citations by format"),
    "schemas": ("output schema",),
    "Llama": ("forced tool on Llama", "text beside a tool result on Llama", "two user turns on Llama"),
    "ids of calls": ("tool use id",),
    "guardrails": ("unknown guardrail",),
    "Nova": ("checkpoint behind an image on Nova",),
    "ids of models": ("profile of another area", "id that only a profile can call"),
    "windows": ("prompt beyond the context",),
    "tokens": ("bearer token", "access key"),
    "fields": ("unknown field",),
}
TAKEN = (
    "prompt of Prompt management",
    "id that hides its model",
    "streamed citations",
    "minimum on Nova Lite",
    "unknown guardrail",
)


def rows(table):
    return [pytest.param(row, id=f"{number} {row.rule}, {row.source}") for number, row in enumerate(table)]


@pytest.fixture(params=["whole", "stream"])
def streamed(request):
    return request.param == "stream"


def sent(row, *, streamed):
    """What the row's last call gave, past boto3's own validation."""
    with (
        BedrockEmulator(**row.emulator) as bedrock,
        closing(wire.client(bedrock, region=row.region, validated=False)) as client,
    ):
        if row.raw:
            client.meta.events.register("before-call.bedrock-runtime", partial(put, row.request))
        if row.token:  # boto3 itself gives a token to HTTPS alone
            client.meta.events.register("before-send.bedrock-runtime", partial(authorize, row.token))
        return [asked(client, row, streamed=streamed) for _ in range(row.times)][-1]


def put(request, params, **_):
    params["body"] = json.dumps(request).encode()


def authorize(token, request, **_):
    request.headers["Authorization"] = f"Bearer {token}"


def asked(client, row, *, streamed):
    if row.operation == INVOKE:
        return (stream if streamed else invoke)(client, row.model, row.request, **row.more)
    request = {} if row.raw else row.request
    if not streamed:
        return client.converse(modelId=row.model, **request)
    events = list(client.converse_stream(modelId=row.model, **request)["stream"])
    (stop,) = (event["messageStop"] for event in events if "messageStop" in event)
    return {**events[-1]["metadata"], **stop}


@pytest.mark.parametrize("row", rows(REFUSED))
def test_what_was_reported_refused_is_refused(row, streamed):
    with pytest.raises(ClientError) as caught:
        sent(row, streamed=streamed)
    answer = caught.value.response
    error = answer["Error"]
    assert (error["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (row.code, row.status)
    whole = not row.message.endswith(": ")
    assert error["Message"] == row.message if whole else error["Message"].startswith(row.message)


@pytest.mark.parametrize("row", rows(ACCEPTED))
def test_what_was_reported_accepted_is_accepted(row, streamed):
    answer = sent(row, streamed=streamed)
    if row.usage:
        assert answer["usage"] == {**answer["usage"], **row.usage}
    if row.stop:
        assert answer["stopReason"] == row.stop


def test_the_table_is_large_and_every_row_says_where_it_is_from():
    assert len({row.rule for row in REFUSED}) >= 35
    assert len(REFUSED) >= 60
    assert len(ACCEPTED) >= 30
    for row in TABLE:
        assert row.model, row
        assert row.source, row
        assert re.fullmatch(r"20\d\d(-\d\d){0,2}", row.date), row


@pytest.mark.parametrize("name", FOUND)
def test_what_it_once_took_it_refuses(name):
    for rule in FOUND[name]:
        assert any(row.rule == rule for row in REFUSED), rule


@pytest.mark.parametrize("rule", TAKEN)
def test_what_it_once_refused_it_takes(rule):
    assert any(row.rule == rule for row in ACCEPTED)


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
