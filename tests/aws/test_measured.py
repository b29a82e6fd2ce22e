"""What was measured on Bedrock of lookback and trimming, with the cause that our report names for it."""

import json
from contextlib import closing

import pytest

from cachepoint import CachePolicy, PromptCache
from cachepoint.aws import CachingClient
from cachepoint.core.placement import decision, planner
from cachepoint.emulator import BedrockEmulator
from tests.emulator import wire
from tests.emulator.reported.measured import MEASURED
from tests.emulator.reported.row import INVOKE


@pytest.fixture
def by_hand(monkeypatch):
    """None of our checkpoints: those of the request are the ones that were measured."""
    monkeypatch.setattr(
        decision,
        "plan",
        lambda scene, outlook, **options: planner.plan(scene, outlook, **options | {"ours": False}),
    )


def reported(client, row, request):
    if row.operation == INVOKE:
        answer = client.invoke_model(modelId=row.model, body=json.dumps(request))
        answer["body"].read()
        return answer["ResponseMetadata"]["cachepoint"]
    return client.converse(modelId=row.model, **request)["ResponseMetadata"]["cachepoint"]


@pytest.mark.parametrize("row", MEASURED, ids=str)
def test_the_cause_of_what_was_measured_is_named(row, by_hand):
    with BedrockEmulator() as bedrock, closing(wire.client(bedrock, region=row.region)) as plain:
        cache = PromptCache(CachePolicy(split="off"), bedrock.now)
        client = CachingClient(plain, cache=cache)
        reports = [reported(client, row, request) for request in row.requests]
        sent = [call.request for call in bedrock.calls]
    assert cache.faults == 0
    assert [
        {k: one[k] for k in request} for one, request in zip(sent, row.requests, strict=True)
    ] == row.requests
    causes = [one.miss and one.miss.cause for one in reports[-len(row.reads) :]]
    assert causes == [row.cause] * len(row.reads)
