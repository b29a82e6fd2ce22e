"""The report in a response is plain data to whoever wants it so."""

import copy
import json
import pickle
from threading import Thread

import pytest

from cachepoint import CallReport, PromptCache
from cachepoint.aws import CachingClient
from cachepoint.core.accounting import pricing
from tests.aws.stubs import Answering, answer, boto, chat

COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {p}": lambda r, p=p: pickle.loads(pickle.dumps(r, p)) for p in range(6)},
}


@pytest.fixture
def report():
    client = CachingClient(Answering(answer()), cache=PromptCache())
    return client.converse(**chat("a"))["ResponseMetadata"]["cachepoint"]


@pytest.mark.parametrize(
    "options", [{}, {"indent": 1}, {"sort_keys": True}, {"cls": json.JSONEncoder}], ids=str
)
def test_a12_a_response_goes_through_json_as_without_us(bedrock, cache, options):
    """A12: in a wrapped client."""
    response = CachingClient(boto(bedrock.url), cache=cache).converse(**chat("a"))
    report = response["ResponseMetadata"]["cachepoint"]
    read = json.loads(json.dumps(response, **options))

    assert isinstance(report, CallReport)
    assert report.usage.write_tokens > 2_000
    assert read["ResponseMetadata"].pop("cachepoint") == json.loads(json.dumps(report.as_dict()))
    del response["ResponseMetadata"]["cachepoint"]
    assert read == json.loads(json.dumps(response))


def test_a12_it_is_the_dict_that_it_says(report):
    plain = report.as_dict()
    assert dict(report) == {**report} == report.copy() == plain
    assert report["usage"]["write_tokens"] == 2_540
    assert list(report) == list(report.keys()) == list(plain)
    assert len(report) == len(plain)
    assert "plan" not in report
    assert report.get("plan", 1) == 1
    assert list(report.values()) == list(plain.values())
    assert isinstance(report, CallReport | dict)
    assert repr(report).startswith("CallReport(model_id=")


def test_a12_nothing_is_priced_until_somebody_looks(monkeypatch):
    monkeypatch.setattr(pricing, "cost", lambda *_: 1 / 0)
    client = CachingClient(Answering(answer()), cache=PromptCache())
    response = client.converse(**chat("a"))
    report = response["ResponseMetadata"]["cachepoint"]
    assert report.usage.write_tokens == 2_540
    monkeypatch.undo()
    assert float(json.loads(json.dumps(response))["ResponseMetadata"]["cachepoint"]["cost_usd"]) > 0


def test_a12_a_price_that_raises_leaves_the_response_readable(report, monkeypatch, faults):
    monkeypatch.setattr(pricing, "cost", lambda *_: 1 / 0)
    assert json.loads(json.dumps({"it": report})) == {"it": {"model_id": report.model_id}}
    assert faults() == 1


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("looked", [False, True])
def test_a12_a_response_can_be_copied_and_pickled(report, copied, looked):
    if looked:
        len(report)
    again = COPIES[copied]({"ResponseMetadata": {"cachepoint": report}})["ResponseMetadata"]["cachepoint"]
    assert type(again) is CallReport
    assert again == report
    assert again.plan.checkpoints == report.plan.checkpoints
    assert json.dumps(again) == json.dumps(report)
    # What was sent is for whoever adds up the calls; kept messages hold none of it.
    assert report.sent is not None
    assert again is report or again.sent is None


def test_a12_threads_may_look_at_once(report):
    seen = []
    threads = [Thread(target=lambda: seen.append(json.dumps(report))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) == {json.dumps(report.as_dict())}


@pytest.mark.parametrize("how", COPIES)
def test_what_was_sent_is_for_observers_and_not_for_whoever_keeps_the_report(report, how):
    copied = COPIES[how](report)

    assert len(report.sent.digests) == 8 * len(report.sent.sizes) > 0
    assert "sent" not in report
    assert copied == report
    assert copied.sent is None
