"""What an old botocore needs: its own check refuses what Bedrock would take."""

import asyncio
import logging

import pytest
from botocore.exceptions import ParamValidationError
from builders import SONNET, marks, point, text, tool, user

from cachepoint import PromptCache
from cachepoint.aws import AsyncCachingClient, CachingClient
from cachepoint.aws.ttl import knows_points, knows_ttl
from tests.aws.stubs import Awaited, boto, chat, old_boto, without_points, without_ttl


def test_a7_a_botocore_without_checkpoints_sends_the_plain_request(
    bedrock, cache, tmp_path, monkeypatch, caplog
):
    """A7: boto3 1.36, which `pip install cachepoint` leaves where it is."""
    plain = old_boto(bedrock.url, tmp_path, monkeypatch, without_points)
    client = CachingClient(plain, cache=cache, policy={"ttl": "1h"})
    caplog.set_level(logging.WARNING, "cachepoint")
    first = client.converse(**chat("a"))
    list(client.converse_stream(**chat("a", "b"))["stream"])

    assert [c.status for c in bedrock.calls] == [200, 200]
    assert marks(bedrock.calls[0].request) == marks(bedrock.calls[1].request) == []
    assert first["ResponseMetadata"]["cachepoint"].plan.note == "this botocore knows no prompt caching"
    assert [r.getMessage() for r in caplog.records if "checkpoints" in r.getMessage()] == [
        r.getMessage() for r in caplog.records
    ]
    assert len(caplog.records) == 1
    with pytest.raises(Exception, match="no option 'tll'"):
        client.converse(**chat("a"), cache_policy={"tll": "1h"})


def test_a7_the_callers_own_checkpoints_are_refused_as_without_us(bedrock, cache, tmp_path, monkeypatch):
    plain = old_boto(bedrock.url, tmp_path, monkeypatch, without_points)
    request = chat("a")
    request["system"].append(point())
    for client in (plain, CachingClient(plain, cache=cache)):
        with pytest.raises(ParamValidationError, match="cachePoint"):
            client.converse(**request)


@pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])
def test_a_ttl_goes_past_a_botocore_that_does_not_know_it(bedrock, cache, tmp_path, monkeypatch, awaited):
    plain = old_boto(bedrock.url, tmp_path, monkeypatch, without_ttl)
    assert knows_points(plain)
    assert not knows_ttl(plain)
    request = {
        "modelId": SONNET,
        "system": [text(1_500), point("1h"), text(1_500)],
        "toolConfig": {"tools": [tool("look_up", 1_200), point("1h")]},
        "messages": [user(text(40, 'a "default", "ttl": "5m"'))],
    }
    before = repr(request)
    if awaited:
        client = AsyncCachingClient(Awaited(plain), cache=cache, policy={"ttl": "1h"})
        asyncio.run(client.converse(**request))
    else:
        CachingClient(plain, cache=cache, policy={"ttl": "1h"}).converse(**request)

    (old,) = bedrock.calls
    CachingClient(boto(bedrock.url), cache=PromptCache(), policy={"ttl": "1h"}).converse(**request)
    assert old.request == bedrock.calls[1].request
    assert set(marks(old.request)) >= {"tools@1h", "system@1h", "messages[0]@1h"}
    assert repr(request) == before


def test_off_means_off_with_an_old_botocore_too(bedrock, cache, tmp_path, monkeypatch):
    """The client that was wrapped goes on as it was, for whoever uses it by itself."""
    plain = old_boto(bedrock.url, tmp_path, monkeypatch, without_ttl)
    client = CachingClient(plain, cache=cache, policy={"ttl": "1h"})
    client.converse(**chat("a"))
    request = chat("a")
    request["system"].append(point("1h"))
    for send in (plain.converse, lambda **r: client.converse(**r, cache_policy="off")):
        with pytest.raises(ParamValidationError, match="ttl"):
            send(**request)
    assert len(bedrock.calls) == 1


def test_no_botocore_is_asked_that_is_none():
    class Stub:
        meta = None

    assert knows_ttl(Stub())
    assert knows_points(object())
