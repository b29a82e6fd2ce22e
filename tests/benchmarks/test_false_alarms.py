"""No break is reported where none is: over recorded conversations, one by one, interleaved and at once."""

import itertools
import json
import random
from collections import Counter
from pathlib import Path

import pytest

from cachepoint import PromptCache

BESIDE = Path(__file__).parents[3] / "shared"
WORKLOADS = ("tau_airline", "agentdojo", "mt_rag", "mt_bench")
needs_data = pytest.mark.skipif(not BESIDE.exists(), reason="the recordings are not beside the checkout")
ALARMS = frozenset(
    {
        *("model_changed", "tools_changed", "system_changed", "messages_changed", "settings_changed"),
        *("evicted_or_rerouted", "lookback_exceeded", "expired"),
    }
)
# What was changed on purpose while it was recorded: another system prompt; on Nova another choice of a tool.
CHANGED = {"legacy_multi_flat_read": ["system_changed"], "preserves_cache[nova]": ["settings_changed"]}


def conversations(name):
    """The calls of each conversation: (seconds, request)."""
    for line in (BESIDE / "workloads" / f"{name}.jsonl").read_text("utf-8").splitlines():
        talk = json.loads(line)
        base = {k: talk[k] for k in ("system", "toolConfig") if talk.get(k)}
        times = talk["t"] or [8.0 * i for i in range(len(talk["calls"]))]
        yield [
            (t - times[0], {**base, "messages": talk["messages"][:n]})
            for n, t in zip(talk["calls"], times, strict=True)
        ]


def one_by_one(name):
    """Calls as (start, seconds, request)."""
    start = 0.0
    for calls in conversations(name):
        yield from ((start + t, 0.5, request) for t, request in calls)
        start += calls[-1][0] + 2


def interleaved(name, width=8, seconds=0.5):
    """So many conversations at a time, their turns mixed."""
    chance, calls = random.Random(7), []
    for i, talk in enumerate(conversations(name)):
        start = i // width * 100 + chance.random() * 20
        calls += [(start + t + chance.random(), seconds, request) for t, request in talk]
    return sorted(calls, key=lambda call: call[0])


def at_once(name):
    """Answers that take so long that several calls are under way."""
    return interleaved(name, 16, 3.0)


def misses(calls):
    """How often each cause was reported; a call is settled when its answer is there."""
    from simulate import MODEL, Bedrock

    bedrock = Bedrock()
    cache = PromptCache(clock=bedrock.emulator.now)
    under_way, found, now = [], Counter(), 0.0

    def settle(until):
        nonlocal now
        while under_way and under_way[0][0] <= until:
            end, _, call, response = under_way.pop(0)
            bedrock.emulator.advance(max(0.0, end - now))
            now = max(now, end)
            miss = cache.settle(call, response).miss
            found[miss and miss.cause] += 1

    for n, (start, seconds, request) in enumerate(calls):
        settle(start)
        bedrock.emulator.advance(max(0.0, start - now))
        now = max(now, start)
        call = cache.prepare(request, MODEL)
        under_way.append((start + seconds, n, call, bedrock.send(call.request)))
        under_way.sort(key=lambda one: one[:2])
    settle(float("inf"))
    assert cache.faults == 0
    return found


@needs_data
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", [one_by_one, interleaved, at_once])
@pytest.mark.parametrize("name", WORKLOADS)
def test_recorded_conversations_have_no_break(name, way):
    found = misses(way(name))

    assert {cause: n for cause, n in found.items() if cause in ALARMS} == {}
    assert found.total() > 100


@needs_data
def test_recorded_calls_have_the_breaks_that_were_made_in_them():
    """Sent again to the emulator; a recording that starts warm is a first write here, and no alarm."""
    from simulate import Bedrock

    rows = [
        json.loads(line) for line in (BESIDE / "recordings" / "calls.jsonl").read_text("utf-8").splitlines()
    ]
    converse = [row for row in rows if row["operation"].startswith("converse")]
    for file, calls in itertools.groupby(converse, key=lambda row: row["file"]):
        bedrock = cache = None
        found = []
        for row in calls:
            bedrock = bedrock or Bedrock(row["model"])
            cache = cache or PromptCache(clock=bedrock.emulator.now)
            bedrock.emulator.advance(3)
            call = cache.prepare(row["request"], row["model"])
            found.append(cache.settle(call, bedrock.send(call.request)).miss)
        causes = [miss.cause for miss in found if miss and miss.cause in ALARMS]
        assert causes == next((made for name, made in CHANGED.items() if name in file), []), file
