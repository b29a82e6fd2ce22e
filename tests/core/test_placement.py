"""What placement does over many calls: each done-when of it that one process can show."""

import threading
from contextlib import contextmanager

import pytest
from builders import SONNET, assistant, marks, text, tool, usage, user

from cachepoint import CachePolicy, PromptCache
from cachepoint.core.memory.local import LocalMemory

HEAD = 3_000
READ, SHORT, LONG = 0.1, 1.25, 2.0
TTL = {"5m": 300.0, "1h": 3_600.0}
GAPS = (60.0, 600.0, 4_200.0)


def copied(memory):
    """Another local memory that remembers the same. Records are frozen."""
    copy = LocalMemory()
    for table, rows in memory._tables.items():
        copy._tables[table].bytes = rows.bytes
        copy._tables[table]._rows = rows._rows.copy()
    return copy


class Bedrock:
    """The cache of one prefix: what a call costs, in prices of that prefix."""

    def __init__(self):
        self.now = 1_000.0
        self.cache = PromptCache(CachePolicy(), lambda: self.now)
        self.until = 0.0
        self.ttl = "5m"
        self.visits = 0

    @contextmanager
    def aside(self):
        """What happens in the block is forgotten after it."""
        before, memory = dict(vars(self)), self.cache.memory
        self.cache.memory = copied(memory)
        yield
        self.cache.memory = memory
        vars(self).update(before)

    def visit(self, gap=0.0, *, tag="h", reads=True):
        self.now += gap
        request = {"system": [text(HEAD, tag)], "messages": [user(text(5, f"q{self.visits}"))]}
        self.visits += 1
        call = self.cache.prepare(request, model_id=SONNET)
        ours = [c for c in call.plan.checkpoints if c.where == "system[0]"]
        alive = reads and self.now <= self.until
        if not ours:
            self.cache.settle(call, usage(fresh=HEAD))
            return 1.0
        ttl = self.ttl if alive else ours[0].ttl
        self.ttl, self.until = ttl, self.now + TTL[ttl]
        told = usage(read=HEAD) if alive else usage(write=HEAD, ttl=ttl)
        self.cache.settle(call, told)
        return READ if alive else {"5m": SHORT, "1h": LONG}[ttl]


# What the best has cost so far, by the entry that it leaves: none, of five minutes, of an hour.
BEGUN = {"dead": 1.0, "5m": SHORT, "1h": LONG}


def best(cost, gap):
    """The offline optimum of one prefix, one visit later."""
    least = min(cost.values())
    ways = {"dead": least + 1.0, "5m": least + SHORT, "1h": least + LONG}
    for ttl in ("5m", "1h"):
        if gap <= TTL[ttl]:
            ways[ttl] = min(ways[ttl], cost[ttl] + READ)
    return ways


def taught(how):
    bedrock = Bedrock()
    for n in range(50 if how != "fresh" else 0):
        tag = f"dense {n // 5} " if how == "dense" else f"sparse {n} "
        bedrock.visit(20.0 if how == "dense" else 4_200.0, tag=tag)
    bedrock.until = 0.0
    bedrock.now += 8_000.0
    return bedrock


def histories(bedrock, visits, cost=0.0, optimum=None):
    """What each history of visits costs, and its optimum; those that begin alike are lived through once."""
    for gap in GAPS if optimum else (0.0,):
        with bedrock.aside():
            spent = cost + bedrock.visit(gap)
            least = best(optimum, gap) if optimum else BEGUN
            yield spent, min(least.values())
            if visits > 1:
                yield from histories(bedrock, visits - 1, spent, least)


@pytest.mark.parametrize("how", ["fresh", "dense", "sparse"])
def test_the_worst_case_is_bounded(how, record_property):
    """One prefix, every history of up to eight visits: at most twice the optimum, and one write more."""
    every = list(histories(taught(how), 8))

    assert len(every) == sum(len(GAPS) ** n for n in range(8))
    assert all(cost <= 2 * optimum + SHORT for cost, optimum in every)
    record_property("worst", max(cost / optimum for cost, optimum in every))


def test_what_comes_back_and_is_never_read_is_soon_not_written():
    """Law 11: learn from what was read, not only from what came back."""
    bedrock = Bedrock()
    costs = [bedrock.visit(30.0, reads=False) for _ in range(60)]

    assert sum(cost > 1 for cost in costs) <= 8


def test_heads_that_come_late_get_an_hour():
    """E17: calls 400 seconds apart, 2,000 tokens."""
    bedrock = Bedrock()
    costs = [bedrock.visit(400.0) for _ in range(40)]

    assert sum(costs) / 40 < 0.26


def test_an_hour_that_is_not_given_is_not_asked_for_again():
    now = [1_000.0]
    cache = PromptCache(CachePolicy(ttl="1h"), lambda: now[0])
    ttls = []
    for n in range(3):
        call = cache.prepare({"system": [text(HEAD, f"{n}")], "messages": [user(text(5))]}, model_id=SONNET)
        ttls.append({c.ttl for c in call.plan.checkpoints})
        cache.settle(call, usage(write=HEAD, ttl="5m"))

    assert ttls == [{"1h"}, {"5m"}, {"5m"}]


@pytest.mark.parametrize(("fan_out", "writers"), [("single_flight", 1), ("off", 20)])
def test_of_twenty_at_once_one_writes(fan_out, writers):
    cache = PromptCache(CachePolicy(fan_out=fan_out), lambda: 1_000.0)
    request = {"system": [text(10_000)], "messages": [user(text(5))]}
    calls = []
    threads = [
        threading.Thread(target=lambda: calls.append(cache.prepare(request, model_id=SONNET)))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(bool(call.plan.checkpoints) for call in calls) == writers


def test_a_writer_that_failed_frees_the_place():
    now = [1_000.0]
    cache = PromptCache(CachePolicy(), lambda: now[0])
    request = {"system": [text(10_000)], "messages": [user(text(5))]}
    first, second = (cache.prepare(request, model_id=SONNET) for _ in range(2))
    cache.abandon(first)

    assert first.plan.checkpoints
    assert not second.plan.checkpoints
    assert cache.prepare(request, model_id=SONNET).plan.checkpoints


def test_a_tool_that_is_appended_costs_no_more_than_it():
    """E15: prompts that differ behind the same tools read the tools."""
    now = [1_000.0]
    cache = PromptCache(CachePolicy(), lambda: now[0])
    tools = {"toolConfig": {"tools": [tool("a", 2_000)]}}
    for n in range(3):
        now[0] += 20
        request = {**tools, "system": [text(1_500, f"{n}")], "messages": [user(text(5))]}
        call = cache.prepare(request, model_id=SONNET)
        cache.settle(call, usage(read=2_000 * (n > 0), write=1_500))

    assert "tools" in marks(call.request)
    assert call.plan.expected_from == 0


def conversation(cache, now, gap, turns=8):
    """The TTLs that the ends of one conversation get."""
    history, ttls = [], []
    for turn in range(turns):
        now[0] += gap
        history.append(user(text(40, f"{gap}-{turn}")))
        call = cache.prepare({"system": [text(HEAD, f"{gap}")], "messages": list(history)}, model_id=SONNET)
        ttls.append(call.plan.checkpoints[-1].ttl)
        given = "1h" if "1h" in {c.ttl for c in call.plan.checkpoints} else "5m"
        told = usage(read=HEAD * (turn > 0), write=HEAD if not turn else 60, ttl=given)
        cache.settle(call, told)
        history.append(assistant(text(40, f"{turn}")))
    return ttls


def test_an_application_of_slow_talk_gets_an_hour_and_a_brisk_one_five_minutes():
    now = [1_000.0]
    cache = PromptCache(CachePolicy(), lambda: now[0])

    assert set(conversation(cache, now, 30.0)) == {"5m"}
    assert conversation(cache, now, 900.0)[2:] == ["1h"] * 6
