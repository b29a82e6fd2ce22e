"""Keeping alive: a refresh where it pays, never beyond the budget, by one of those who share a memory."""

import asyncio
import copy
import os
import threading
import time
from decimal import Decimal
from itertools import pairwise

import pytest
from botocore.exceptions import ClientError
from builders import NOVA, SONNET, text, tool, user

import cachepoint
from cachepoint import PromptCache
from cachepoint.aws import AsyncCachingClient, AsyncKeepAlive, CachingClient, KeepAlive
from cachepoint.core.guard import InvalidOptionError
from cachepoint.core.memory.local import LocalMemory
from cachepoint.core.memory.records import Table
from cachepoint.emulator import BedrockEmulator, EmulatedError, Reply
from tests.aws.stubs import Answering, Awaited, AwaitedAnswering, answer, boto
from tests.emulator.bodies import body, words
from tests.emulator.bodies import user as said

# Where the hour is not taken: with `ttl="auto"` what comes back so late is written for it, which costs less.
FIVE = {"ttl": "5m"}
HEAD = text(10_000)
MINUTE = 60


def said_so(_):
    return Reply.text("It is on the left.")


class Traffic:
    """Calls through one emulator, whose clock moves in small steps; after each, what is due is refreshed."""

    def __init__(self, bedrock, *, policy=None, budget=100, caches=1, keeping=True, wrap=None):
        self.bedrock = bedrock
        memory = LocalMemory()
        self.caches = [
            PromptCache(policy or FIVE, bedrock.now, memory=memory, key=b"k" * 32) for _ in range(caches)
        ]
        inner = (wrap or (lambda client: client))(boto(bedrock.url))
        self.clients = [CachingClient(inner, cache=cache) for cache in self.caches]
        self.keeps = [KeepAlive(client, budget=budget) for client in self.clients] if keeping else []
        self.reports, self.refreshes = [], []
        for keep in self.keeps:
            keep.follow()

    def wait(self, seconds):
        for _ in range(int(seconds // 20)):
            self.bedrock.advance(20)
            for keep in self.keeps:
                self.refreshes += keep.tick()

    def call(self, messages, *, through=0, **more):
        request = {"modelId": SONNET, "system": [HEAD], "messages": messages, **more}
        response = self.clients[through].converse(**request)
        self.reports.append(response["ResponseMetadata"]["cachepoint"])
        return response["output"]["message"]

    def talk(self, name, turns, pause):
        messages = []
        for turn in range(turns):
            messages.append(user(text(300, f"{name} {turn}")))
            messages.append(self.call(list(messages)))
            self.wait(pause)

    @property
    def cost(self):
        return sum((r.cost for r in (*self.reports, *self.refreshes)), Decimal())

    @property
    def faults(self):
        return sum(cache.faults for cache in self.caches)


@pytest.fixture
def bedrock():
    with BedrockEmulator(responder=said_so) as bedrock:
        yield bedrock


def run(talk, **options):
    """What some traffic costs, on an emulator of its own."""
    with BedrockEmulator(responder=said_so) as bedrock:
        traffic = Traffic(bedrock, **options)
        talk(traffic)
        assert traffic.faults == 0
        return traffic


def compared(talk, **options):
    """Traffic with and without, and the ratio of what they cost."""
    kept, plain = run(talk, **options), run(talk, keeping=False, **options)
    return kept, plain, float(kept.cost / plain.cost)


@pytest.mark.parametrize("pause", [6, 8, 10, 15, 20])
def test_it_saves_where_people_pause(pause):
    def talk(traffic):
        for number in range(4):
            traffic.talk(f"talk {number}", 5, pause * MINUTE)

    kept, _, ratio = compared(talk)
    assert kept.refreshes
    assert ratio < 0.95
    assert all(r.usage.write_tokens == 0 for r in kept.refreshes)


def test_it_ends_by_itself_where_nobody_comes_back():
    def talk(traffic):
        # Heads that are used once, so that nothing of them ever returns.
        for number in range(30):
            traffic.call([user(text(300))], system=[text(9_000, f"job {number}")])
            traffic.wait(70 * MINUTE)

    kept, _, ratio = compared(talk)
    assert ratio < 1.02
    assert not [r for r in kept.refreshes if r.started > kept.reports[10].started]


def test_it_ends_by_itself_where_they_stop_coming_back_and_begins_again():
    """What was learned of pauses is learned anew."""

    def talk(traffic):
        for number in range(4):
            traffic.talk(f"early {number}", 4, 8 * MINUTE)
        traffic.ended = len(traffic.refreshes)
        traffic.dead = []
        for number in range(25):
            before = len(traffic.refreshes)
            traffic.talk(f"dead {number}", 1, 100 * MINUTE)
            traffic.dead.append(len(traffic.refreshes) - before)
        for number in range(12):
            traffic.talk(f"late {number}", 4, 8 * MINUTE)

    kept, _, _ = compared(talk)
    assert kept.ended
    assert sum(kept.dead[-5:]) == 0
    assert sum(kept.dead) < 40
    assert len(kept.refreshes) > kept.ended + sum(kept.dead) + 10


def test_what_comes_back_soon_is_left_alone():
    kept, _, ratio = compared(lambda traffic: traffic.talk("agent", 12, 40))
    assert ratio == 1
    assert kept.refreshes == []


@pytest.mark.parametrize("budget", ["0.02", "0.07", "0.2"])
def test_the_budget_holds(budget, bedrock):
    """US dollars a day; what may be written anew must be left, so it is never above."""
    traffic = Traffic(bedrock, budget=budget)
    for number in range(4):
        traffic.talk(f"talk {number}", 4, 8 * MINUTE)
    by_day = {}
    for report in traffic.refreshes:
        day = report.started // 86_400
        by_day[day] = by_day.get(day, 0) + report.cost
    assert all(spent <= Decimal(budget) for spent in by_day.values())
    assert traffic.keeps[0].kept.spent == sum((r.cost for r in traffic.refreshes), Decimal())
    assert bool(traffic.refreshes) is (budget != "0.02")


def test_the_budget_is_a_days(bedrock):
    traffic = Traffic(bedrock, budget="0.08")
    days = []
    for day in range(3):
        for number in range(3):
            traffic.talk(f"talk {day} {number}", 4, 8 * MINUTE)
        days.append(len(traffic.refreshes))
        traffic.bedrock.advance(86_400 - bedrock.now() % 86_400 + 60)
    assert 0 < days[0] < days[1] < days[2]


def test_the_budget_holds_where_entries_are_lost():
    """A refresh that finds nothing pays the write: ten times as much."""
    with BedrockEmulator(responder=said_so, eviction=0.15) as bedrock:
        traffic = Traffic(bedrock, budget="0.09")
        for number in range(5):
            traffic.talk(f"talk {number}", 4, 8 * MINUTE)
        kept = traffic.keeps[0].kept
    assert kept.refreshes
    assert kept.spent <= Decimal("0.09")


def test_of_many_that_share_a_memory_one_refreshes(bedrock):
    """As through a load balancer: each worker has seen the same head."""
    one = Traffic(bedrock)
    one.talk("learning", 6, 8 * MINUTE)
    bedrock.reset()
    traffic = Traffic(bedrock, caches=4)
    for number in range(3):
        for worker in range(4):
            traffic.call([user(text(300, f"{number} {worker}"))], through=worker)
        traffic.wait(8 * MINUTE)
    at = [r.started for r in traffic.refreshes]
    assert at
    assert len({(r.started, r.plan.checkpoints[-1].where) for r in traffic.refreshes}) == len(at)
    head = sorted(r.started for r in traffic.refreshes if r.plan.checkpoints[-1].where.startswith("system"))
    assert all(after - before > 200 for before, after in pairwise(head))


def test_the_budget_is_that_of_all_who_share_a_memory(bedrock):
    traffic = Traffic(bedrock, caches=3, budget="0.15")
    for number in range(9):
        messages = []
        for turn in range(4):
            messages.append(user(text(300, f"{number} {turn}")))
            messages.append(traffic.call(list(messages), through=number % 3))
            traffic.wait(8 * MINUTE)
    day = {r.started // 86_400 for r in traffic.refreshes}
    assert len(traffic.refreshes) > 5
    assert sum(r.cost for r in traffic.refreshes) <= Decimal("0.15") * len(day)


def test_the_calls_of_the_user_are_the_same():
    """What is sent, checkpoints aside, and what is answered; and nothing of the caller's is changed."""

    def talk(traffic):
        traffic.given = [user(text(300, f"turn {n}")) for n in range(6)]
        before, messages = copy.deepcopy(traffic.given), []
        traffic.answers = []
        for message in traffic.given:
            messages.append(message)
            traffic.answers.append(traffic.call(messages))
            messages.append(traffic.answers[-1])
            traffic.wait(8 * MINUTE)
        assert traffic.given == before
        traffic.calls = [
            c.request for c in traffic.bedrock.calls if c.request["inferenceConfig"] != {"maxTokens": 1}
        ]

    def one(traffic):
        ask = traffic.call
        traffic.call = lambda messages: ask(messages, inferenceConfig={"maxTokens": 100})
        talk(traffic)

    kept, plain, _ = compared(one)
    assert kept.refreshes
    assert kept.answers == plain.answers
    assert list(map(bare, kept.calls)) == list(map(bare, plain.calls))


def bare(value):
    if isinstance(value, dict):
        return {k: bare(v) for k, v in value.items()}
    if isinstance(value, list):
        return [bare(v) for v in value if not (isinstance(v, dict) and "cachePoint" in v)]
    return value


def test_a_refresh_is_what_was_sent(bedrock):
    """The same bytes up to the last checkpoint, also where the caller's list grew meanwhile."""
    traffic = Traffic(bedrock)
    tools = {"tools": [tool("find")]}
    for number in range(3):
        messages = []
        for turn in range(4):
            messages.append(user(text(300, f"{number} {turn}")))
            messages.append(traffic.call(messages, toolConfig=tools))
            messages.append(user(text(5, "typed, and not sent")))
            traffic.wait(8 * MINUTE)
            messages.pop()
    assert traffic.refreshes
    asked, sent = {}, []
    for call in bedrock.calls:
        if call.request.get("inferenceConfig") == {"maxTokens": 1}:
            sent.append(call.request)
            assert not call.usage["cacheWriteInputTokens"]
        else:
            asked[str(call.request["messages"])] = call.request
    whole = [r for r in sent if str(r["messages"]) in asked]
    assert whole
    for request in sent:
        assert "typed, and not sent" not in str(request)
    for request in whole:
        assert {k: v for k, v in request.items() if k != "inferenceConfig"} == asked[str(request["messages"])]


def test_it_is_told_apart_in_reports_and_sessions(bedrock):
    traffic, told = Traffic(bedrock), []
    traffic.caches[0].observers.append(told.append)
    with cachepoint.session("day") as s:
        for number in range(3):
            traffic.talk(f"talk {number}", 4, 8 * MINUTE)
    refreshes = [r for r in told if r.kind == "refresh"]
    assert refreshes == traffic.refreshes
    for report in refreshes:
        assert report.usage.output_tokens == 1
        assert report.uncached_cost == 0
        assert report.saved == -report.cost
        assert report.as_dict()["kind"] == "refresh"
        assert "refresh" in str(report)
    kept = [r for r in traffic.reports if r.kept_tokens]
    assert all(r.kept_tokens <= r.usage.read_tokens for r in kept)
    assert s.keeping.refreshes == len(refreshes)
    assert s.keeping.spent == sum(r.cost for r in refreshes)
    assert s.keeping.saved == sum(r.kept_saved for r in kept) > s.keeping.spent
    assert s.calls == len(traffic.reports)
    assert s.cost == traffic.cost
    assert s.usage.output_tokens == sum(r.usage.output_tokens for r in traffic.reports)
    assert s.saved == s.uncached_cost - s.cost
    assert s.as_dict()["keeping"]["refreshes"] == len(refreshes)
    assert "keeping alive" in str(s)
    assert traffic.keeps[0].kept.saved == s.keeping.saved


def test_an_hour_is_refreshed_only_where_it_pays():
    """Pauses of 80 minutes are learned; a job that comes every other day is not kept."""

    def often(traffic):
        traffic.talk("steady", 14, 80 * MINUTE)

    def seldom(traffic):
        traffic.talk("seldom", 6, 48 * 60 * MINUTE)

    kept, _, ratio = compared(often, policy={"ttl": "1h"})
    assert kept.refreshes
    assert ratio < 1
    kept, _, ratio = compared(seldom, policy={"ttl": "1h"})
    assert kept.refreshes == []
    assert ratio == 1


def test_not_while_a_call_with_it_is_under_way(bedrock):
    traffic = Traffic(bedrock)
    for number in range(3):
        traffic.talk(f"talk {number}", 4, 8 * MINUTE)
    traffic.call([user(text(300, "last"))])
    traffic.wait(260)
    before = len(traffic.refreshes)
    cache, client = traffic.caches[0], traffic.clients[0]
    call = client._prepare({"modelId": SONNET, "system": [HEAD], "messages": [user(text(300, "last"))]}, None)
    traffic.wait(60)
    assert len(traffic.refreshes) == before
    cache.abandon(call)


def held(memory):
    return [p for p, _, _ in memory._tables[Table.PLACES]._rows.values() if p.holder]


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow"}}, "Converse"),
        TimeoutError("slow"),
        KeyboardInterrupt(),
    ],
    ids=["throttled", "timed out", "interrupted"],
)
def test_an_error_of_a_refresh_is_nobodys_and_leaves_no_claim(bedrock, error):
    class Failing:
        meta, failing = None, False

        def __init__(self, client):
            self._client, self.meta = client, client.meta

        def converse(self, **request):
            if self.failing and request.get("inferenceConfig") == {"maxTokens": 1}:
                raise error
            return self._client.converse(**request)

    made = []
    traffic = Traffic(bedrock, wrap=lambda client: made.append(Failing(client)) or made[0])
    for number in range(3):
        traffic.talk(f"talk {number}", 4, 8 * MINUTE)
    made[0].failing = True
    try:
        traffic.talk("last", 3, 8 * MINUTE)
    except KeyboardInterrupt as raised:
        assert raised is error
    kept = traffic.keeps[0].kept
    assert kept.failed > 0
    assert held(traffic.caches[0].memory) == []


def test_what_is_in_the_hands_of_a_worker_that_died_is_taken_over(bedrock):
    """Its claim ends by its age; what it may have spent stays spent."""
    traffic = Traffic(bedrock, caches=2)
    for number in range(4):
        traffic.talk(f"talk {number}", 4, 8 * MINUTE)
    for worker in (1, 0):
        traffic.call([user(text(300, "x"))], through=worker)
        bedrock.advance(1)
    bedrock.advance(280)
    dying, living = traffic.keeps
    targets = dying._keeper.ready()
    looked = [dying._keeper.look(target) for target in targets]
    assert any(looked)
    assert held(traffic.caches[0].memory)
    # Its first look learns that the other one used the head, its second that this one refreshes it.
    assert living.tick() + living.tick() == []
    bedrock.advance(121)
    assert held(traffic.caches[0].memory)[0].held(bedrock.now()) is False


def test_a_thread_does_it_and_ends(bedrock):
    traffic = Traffic(bedrock, keeping=False)

    def ours():
        return sum(t.name == "cachepoint-keep-alive" for t in threading.enumerate())

    with cachepoint.session("day") as s, KeepAlive(traffic.clients[0], budget=5) as keep:
        for number in range(3):
            messages = []
            for turn in range(4):
                messages.append(user(text(300, f"{number} {turn}")))
                messages.append(traffic.call(list(messages)))
                for _ in range(2):
                    bedrock.advance(281 if turn or number else 241)
                    ends = time.monotonic() + 0.2
                    while (
                        time.monotonic() < ends and keep._keeper.next and keep._keeper.next <= bedrock.now()
                    ):
                        time.sleep(0.005)
        assert ours() == 1
        ends = time.monotonic() + 5
        while keep.kept.refreshes == 0 and time.monotonic() < ends:
            time.sleep(0.01)
        assert keep.kept.refreshes
    assert ours() == 0
    assert traffic.caches[0].followers == ()
    assert s.strays == 0
    assert s.keeping.refreshes == keep.kept.refreshes


async def test_a_task_does_it_and_ends(bedrock):
    cache = PromptCache(FIVE, bedrock.now)
    raw = Awaited(boto(bedrock.url))
    client = AsyncCachingClient(raw, cache=cache)
    before = len(asyncio.all_tasks())
    keep = AsyncKeepAlive(client, budget=5)
    keep.follow()
    for number in range(3):
        messages = []
        for turn in range(4):
            messages.append(user(text(300, f"{number} {turn}")))
            response = await client.converse(modelId=SONNET, system=[HEAD], messages=list(messages))
            messages.append(response["output"]["message"])
            for _ in range(24):
                bedrock.advance(20)
                await keep.tick()
    assert keep.kept.refreshes
    assert keep.kept.saved > keep.kept.spent
    await keep.stop()
    async with AsyncKeepAlive(client, budget=5):
        assert len(asyncio.all_tasks()) == before + 1
    assert len(asyncio.all_tasks()) == before
    assert cache.followers == ()
    assert cache.faults == 0


@pytest.mark.parametrize("model", [SONNET, NOVA])
def test_bodies_of_invoke_model_are_kept_alive(bedrock, model):
    import json

    cache = PromptCache(FIVE, bedrock.now)
    client = CachingClient(boto(bedrock.url), cache=cache)
    keep, refreshed = KeepAlive(client, budget=50), []
    keep.follow()
    reads = []
    for number in range(14):
        if model == SONNET:
            asked = body(said(words(40) + f" {number}"), system=words(6_000))
        else:
            asked = {
                "schemaVersion": "messages-v1",
                "system": [text(9_000)],
                "messages": [user(text(40, f"{number}"))],
            }
        response = client.invoke_model(modelId=model, body=json.dumps(asked))
        response["body"].read()
        reads.append(response["ResponseMetadata"]["cachepoint"].usage.read_tokens)
        for _ in range(24):
            bedrock.advance(20)
            refreshed += keep.tick()
    assert cache.faults == 0
    assert refreshed
    assert all(r.usage.output_tokens == 1 and not r.usage.write_tokens for r in refreshed)
    assert reads[-1] > 5_000


def test_what_a_guardrail_judges_is_not_kept_alive(cache):
    client = CachingClient(Answering(answer(), answer()), cache=cache)
    keep = KeepAlive(client, budget=1)
    keep.follow()
    request = {"modelId": SONNET, "system": [HEAD], "messages": [user(text(5))]}
    guarded = {"guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"}}
    client.converse(**request, **guarded)
    assert keep._keeper.next is None
    client.converse(**request)
    assert keep._keeper.next is not None


def test_another_endpoint_is_not_kept_alive(bedrock):
    cache = PromptCache(FIVE, bedrock.now)
    here = CachingClient(boto(bedrock.url), cache=cache)
    keep = KeepAlive(boto(bedrock.url, region="eu-west-1"), budget=1, cache=cache)
    keep.follow()
    here.converse(modelId=SONNET, system=[HEAD], messages=[user(text(5))])
    assert keep._keeper.next is None


def test_a_model_without_a_price_is_not_kept_alive(bedrock, monkeypatch):
    monkeypatch.setattr("cachepoint.core.accounting.pricing.prices", lambda *_: None)
    traffic = Traffic(bedrock)
    traffic.talk("talk", 6, 8 * MINUTE)
    assert traffic.refreshes == []
    assert traffic.faults == 0


def test_it_is_bounded(bedrock):
    from cachepoint.core.keeping.targets import Watched

    traffic = Traffic(bedrock, policy={"ttl": "5m", "tail": "always"})
    for number in range(20):
        traffic.call([user(text(300, f"{number}"))], system=[text(3_000, f"{number}")])
    watched = traffic.keeps[0]._keeper._watched
    targets = list(watched._targets.values())
    assert 20 <= len(targets) <= 40
    small = Watched(5, targets[0].weight + targets[1].weight)
    for target in targets:
        small.put(target)
    assert len(small) == 5
    assert small.size == sum(t.weight for t in small._targets.values()) <= small._size
    assert all(not t.call.request for t in small._targets.values() if not t.weight)
    watched.clear()
    assert watched.size == 0


def test_what_nobody_looks_at_is_forgotten(bedrock):
    """Who follows and never ticks holds no request for ever."""
    traffic = Traffic(bedrock, policy={"ttl": "5m", "tail": "always"})
    traffic.call([user(text(300, "first"))])
    watched = traffic.keeps[0]._keeper._watched
    first = set(watched._targets)
    bedrock.advance(2 * 3_600)
    traffic.call([user(text(300, "second"))], system=[text(9_000, "other")])
    assert first
    assert not first & set(watched._targets)


def test_no_text_leaves_the_process(bedrock):
    """Neither the memory nor the reports hold what was said."""
    traffic = Traffic(bedrock)
    secret = "the code of the safe is 4711"
    for number in range(3):
        messages = []
        for turn in range(4):
            messages.append(user({"text": f"{secret} {number} {turn} " * 50}))
            messages.append(traffic.call(list(messages)))
            traffic.wait(8 * MINUTE)
    assert traffic.refreshes
    rows = [repr(t._rows) for t in traffic.caches[0].memory._tables.values()]
    assert "4711" not in "".join([*rows, *map(repr, traffic.refreshes), repr(traffic.keeps[0].kept)])
    assert "4711" not in repr(list(traffic.keeps[0]._keeper._watched._targets.values()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_forked_child_refreshes_nothing(bedrock):
    traffic = Traffic(bedrock)
    traffic.call([user(text(300))])
    child = os.fork()
    if not child:
        keep = traffic.keeps[0]
        os._exit(int(keep._keeper.next is not None or bool(traffic.caches[0].followers)))
    assert os.waitpid(child, 0)[1] == 0
    assert traffic.keeps[0]._keeper.next is not None


@pytest.mark.parametrize("budget", [0, -1, "much", None, float("nan"), float("inf")])
def test_a_budget_is_dollars(budget):
    with pytest.raises(InvalidOptionError, match="budget"):
        KeepAlive(Answering(), budget=budget)


def test_clients_of_another_kind_are_refused():
    with pytest.raises(InvalidOptionError, match="AsyncKeepAlive"):
        KeepAlive(AwaitedAnswering(), budget=1)
    with pytest.raises(InvalidOptionError, match="bedrock-runtime"):
        KeepAlive(object(), budget=1)


def test_a_refusal_of_a_refresh_is_no_fault():
    refusing = []

    def responder(request):
        if refusing and request.body.get("inferenceConfig") == {"maxTokens": 1}:
            raise EmulatedError("The model is busy.", code="ServiceUnavailableException", status=503)
        return Reply.text("well")

    with BedrockEmulator(responder=responder) as bedrock:
        traffic = Traffic(bedrock)
        for number in range(3):
            traffic.talk(f"talk {number}", 4, 8 * MINUTE)
        refusing.append(1)
        traffic.talk("last", 4, 8 * MINUTE)
    assert traffic.keeps[0].kept.failed
    assert traffic.faults == 0
