"""What people measured on Bedrock of lookback and trimming comes out of the emulator: `reported/measured.py`."""

import json
import re
from contextlib import closing
from itertools import pairwise
from typing import NamedTuple

import pytest

from cachepoint.emulator import BedrockEmulator
from tests.emulator import bodies, wire
from tests.emulator.reported.measured import GAPS, MEASURED
from tests.emulator.reported.row import CONVERSE, INVOKE
from tests.emulator.wire import POINT, SONNET, user


class Counts(NamedTuple):
    read: int
    written: int


def asked(client, row, request):
    """What one call read and wrote."""
    if row.operation == INVOKE:
        answer = client.invoke_model(modelId=row.model, body=json.dumps(request))
        return Counts(*bodies.cached(json.loads(answer["body"].read())["usage"]))
    return Counts(*wire.cached(client.converse(modelId=row.model, **request)["usage"]))


def head_of(row):
    """Tokens of tools and system, as an emulator that knows nothing counts them."""
    request = row.requests[-1]
    with BedrockEmulator() as bedrock, closing(wire.client(bedrock, region=row.region)) as client:
        if row.operation == INVOKE:
            system = [bodies.text(request["system"], **bodies.MARK)]
            return asked(client, row, {**request, "system": system, "messages": [bodies.user(".")]}).written
        system = [*request["system"], *([POINT] if POINT not in request["system"] else [])]
        return asked(client, row, {**request, "system": system, "messages": [user({"text": "."})]}).written


def how_far(now, before, head):
    """What a call read of what the one before it had in the cache."""
    names = {sum(before): "all", head: "head", 0: "nothing"}
    return names.get(now.read, f"{now.read} of {sum(before)} tokens")


def last_ones(row, counts):
    """How far the last calls were read."""
    head, pairs = head_of(row), list(pairwise(counts))
    return [how_far(now, before, head) for before, now in pairs[-len(row.reads) :]]


@pytest.fixture(params=MEASURED, ids=str)
def row(request):
    return request.param


def test_what_was_read_is_what_was_measured(row):
    with BedrockEmulator() as bedrock, closing(wire.client(bedrock, region=row.region)) as client:
        counts = [asked(client, row, request) for request in row.requests]
    assert last_ones(row, counts) == list(row.reads)
    # What was not read is written again.
    assert all(now.written for now in counts[-len(row.reads) :])


def test_each_row_says_where_it_is_from():
    for row in MEASURED:
        assert row.source, row
        assert re.fullmatch(r"2026-10(-\d\d)?", row.date), row
        assert (row.model, row.region) == (SONNET, "us-west-2")
        assert row.published, row
        assert (row.cause is None) == (set(row.reads) == {"all"})


def test_the_gaps_are_counted_as_they_were_measured():
    """Every text, tool call and tool result between the two checkpoints is a block."""
    for gap, row in zip(GAPS, MEASURED[-len(GAPS) :], strict=True):
        assert row.operation == CONVERSE
        _, said, results = row.requests[-1]["messages"]
        assert len([b for m in (said, results) for b in m["content"] if b != POINT]) == gap
