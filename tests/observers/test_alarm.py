"""An alarm warns, tells a function, or holds the next call of its stream back: once per episode."""

import asyncio
import logging
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
from builders import SONNET, assistant, text, user

from cachepoint import PromptCache, configure, observers, session
from cachepoint.core import forks, listeners
from cachepoint.core.guard import Guard, InvalidOptionError
from cachepoint.core.listeners import objection
from cachepoint.observers import CacheAlarm, Episode, alarm
from tests.observers.reports import report

MODEL = "us.anthropic.claude-sonnet-4-6"
# Whatever is written at all is too much, from the second call on.
TOUCHY = {"written_share": 0.0, "calls": 2}


def rewrites(conversation="c0ffee", model=MODEL):
    return report(0, 100_000, miss="system_changed", conversation=conversation, model=model)


def hits(conversation="c0ffee"):
    return report(100_000, 0, conversation=conversation)


def held(observer, conversation="c0ffee", model=MODEL):
    try:
        observer.before_call(model, conversation)
    except CacheAlarm as raised:
        return raised
    return None


class TestWarn:
    def test_one_warning_per_episode(self, caplog):
        observer = alarm(calls=3, breaks=None)
        for one in [rewrites()] * 9 + [hits()] * 9 + [rewrites()] * 9:
            observer(one)
        warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
        assert len(warnings) == 2
        assert warnings[0].startswith(
            f"conversation c0ffee on {MODEL}: 100% of the input of the last 3 calls"
        )
        assert "system_changed" in warnings[0]

    def test_it_holds_nothing_back(self):
        observer = alarm(calls=2)
        for _ in range(9):
            observer(rewrites())
            assert held(observer) is None


class TestFunction:
    def test_it_gets_the_episode(self, caplog):
        told = []
        observer = alarm(told.append, calls=2)
        for _ in range(9):
            observer(rewrites())
            assert held(observer) is None
        (one,) = told
        assert isinstance(one, Episode)
        assert (one.stream, one.measure, one.cause) == (
            "conversation c0ffee",
            "written_share",
            "system_changed",
        )
        assert not caplog.records

    def test_what_it_raises_is_a_fault_and_fails_nothing(self, caplog):
        def page(_):
            raise CacheAlarm("mine")

        guard = Guard()
        observer = alarm(page, calls=2)
        for _ in range(9):
            listeners.tell(rewrites(), [observer], guard)
        assert guard.faults == 1
        assert held(observer) is None

    def test_it_may_ask_the_observer_again(self):
        """It is called outside the lock."""
        observer = alarm(lambda _: observer.before_call(MODEL, "c0ffee"), calls=2)
        for _ in range(3):
            observer(rewrites())


class TestRaise:
    def test_the_next_call_of_that_stream_is_held_back_once(self, caplog):
        observer = alarm("raise", calls=3)
        for _ in range(3):
            assert held(observer) is None
            observer(rewrites())
        assert held(observer, "another") is None
        raised = held(observer)
        assert str(raised).startswith("conversation c0ffee on ")
        assert raised.episode.cause == "system_changed"
        assert str(raised) in caplog.messages
        for _ in range(50):
            assert held(observer) is None
            observer(rewrites())

    def test_a_new_episode_holds_back_again(self):
        observer = alarm("raise", calls=2)
        for one in [rewrites()] * 2 + [hits()] * 2 + [rewrites()] * 2:
            observer(one)
        assert held(observer) is not None
        assert held(observer) is None

    def test_an_episode_that_ended_meanwhile_holds_nothing_back(self):
        observer = alarm("raise", calls=2)
        for one in [rewrites()] * 2 + [hits()] * 4:
            observer(one)
        assert held(observer) is None

    def test_it_is_no_fault_of_ours_and_pickles(self):
        observer = alarm("raise", calls=1)
        observer(rewrites())
        raised = held(observer)
        again = pickle.loads(pickle.dumps(raised))
        assert isinstance(again, CacheAlarm)
        assert (str(again), again.episode) == (str(raised), raised.episode)

    def test_langgraph_does_not_retry_it(self):
        """Its default retries what is no programming error; a retry would be the next call, and go out."""
        from langgraph.types import RetryPolicy

        assert not RetryPolicy().retry_on(CacheAlarm("wrong"))


class TestStreams:
    def test_conversations_are_told_apart(self):
        told = []
        observer = alarm(told.append, calls=4, breaks=None)
        for n in range(12):
            observer(rewrites(f"c{n % 4}"))
        assert told == []
        for n in range(4):
            observer(rewrites(f"c{n}"))
        assert [one.stream for one in told] == [f"conversation c{n}" for n in range(4)]

    def test_a_conversation_on_two_models_is_one(self):
        told = []
        observer = alarm(told.append, calls=4)
        for n in range(4):
            observer(rewrites(model=(MODEL, "us.anthropic.claude-opus-4-6-v1")[n % 2]))
        assert len(told) == 1

    @pytest.mark.parametrize(("by", "name"), [("model", f"model {MODEL}"), ("all", "all calls")])
    def test_calls_that_each_begin_a_conversation_are_seen_together(self, by, name):
        first = [report(0, 100_000, miss="first_write", conversation=f"c{n}") for n in range(20)]
        alone, together = alarm("raise"), alarm("raise", by=by)
        for one in first:
            alone(one)
            together(one)
        assert held(alone, "c20") is None
        raised = held(together, "c20")
        assert raised.episode.stream == name
        assert raised.episode.cause == "first_write"
        assert held(together, "c21") is None

    def test_models_are_told_apart(self):
        observer = alarm("raise", calls=2, by="model")
        for _ in range(2):
            observer(rewrites())
        assert held(observer, model="us.anthropic.claude-opus-4-6-v1") is None
        assert held(observer) is not None

    def test_calls_without_checkpoints_belong_to_none(self):
        observer = alarm("raise", calls=1, by="all", written_share=0.0)
        observer(rewrites(conversation=None))
        observer(report(usage=None))
        assert held(observer) is None
        observer(rewrites())
        assert held(observer, conversation=None) is None
        assert held(observer) is not None

    def test_the_streams_that_are_remembered_are_bounded(self):
        """Of ten thousand conversations the last 512."""
        observer = alarm("raise", calls=1)
        for n in range(10_000):
            observer(rewrites(f"c{n}"))
        assert len(observer._known) == 512
        assert held(observer, "c9487") is None
        assert held(observer, "c9488") is not None

    def test_a_stream_that_goes_on_is_not_forgotten(self):
        observer = alarm("raise", calls=2)
        observer(rewrites("long"))
        for n in range(511):
            observer(rewrites(f"c{n}"))
        observer(rewrites("long"))
        assert held(observer, "long") is not None


class TestMany:
    def test_of_many_threads_one_is_held_back(self):
        observer = alarm("raise", calls=2)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: observer(rewrites()), range(200)))
            raised = [one for one in pool.map(lambda _: held(observer), range(200)) if one is not None]
        assert len(raised) == 1

    def test_no_call_of_many_threads_is_lost(self):
        told = []
        observer = alarm(told.append, written_share=None, cost_over_uncached=None, breaks=999, calls=2_000)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: observer(rewrites()), range(1_000)))
        assert [one.value for one in told] == [1_000]

    def test_a8_a_child_that_was_forked_while_a_thread_counted_goes_on(self):
        """A8: what the parent's thread held is free in the child."""
        observer = alarm("raise", calls=2)
        observer(rewrites())
        observer._lock.__enter__()
        forks._in_child()
        observer(rewrites())
        assert held(observer) is not None

    def test_it_goes_to_another_process_with_its_cache(self):
        cache = pickle.loads(pickle.dumps(PromptCache(observers=[alarm("raise", calls=1)])))
        (observer,) = cache.observers
        observer(rewrites())
        assert held(observer) is not None


WRONG = [
    ({"then": "shout"}, r"then is 'shout'; use 'warn', 'raise', or a function"),
    ({"then": None}, r"then is None"),
    ({"then": asyncio.sleep}, r"then is <function sleep .*not awaited"),
    ({"by": "thread"}, r"by is 'thread'; use one of 'conversation', 'model', 'all'"),
    ({"by": ["all"]}, r"by is \['all'\]"),
    ({"written_share": 1.0}, r"written_share is 1.0; use 0 up to, but not, 1"),
    ({"written_share": -0.1}, r"written_share is -0.1"),
    ({"written_share": "half"}, r"written_share is 'half'"),
    ({"written_share": True}, r"written_share is True"),
    ({"written_share": float("nan")}, r"written_share is nan"),
    ({"cost_over_uncached": float("inf")}, r"cost_over_uncached is inf; use 0 to 100"),
    ({"breaks": 2.5}, r"breaks is 2.5; use a whole number from 0"),
    ({"breaks": -1}, r"breaks is -1"),
    ({"calls": 0}, r"calls is 0; use a whole number, 1 to 100,000"),
    ({"calls": True}, r"calls is True"),
    ({"calls": 10**6}, r"calls is 1000000"),
    ({"dollars": 0}, r"dollars is 0; use a number of US dollars"),
    ({"dollars": "5"}, r"dollars is '5'"),
    ({"calls": 5, "dollars": 5}, r"a window is of calls or of dollars"),
    (dict.fromkeys(("written_share", "cost_over_uncached", "breaks")), r"there is nothing to alarm of"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=[message for _, message in WRONG])
def test_d8_what_cannot_work_is_refused_when_it_is_built(options, message):
    """D8: not at a call."""
    with pytest.raises(InvalidOptionError, match=message):
        alarm(**options)


class TestObjection:
    """What the core asks of observers before a call."""

    def test_observers_that_are_not_asked_have_none(self):
        assert objection([print, [].append], MODEL, "c", Guard()) is None

    def test_the_first_that_holds_back_is_heard_and_the_others_keep_theirs(self):
        first, second = (alarm("raise", calls=1) for _ in range(2))
        for one in (first, second):
            one(rewrites())
        guard = Guard()
        assert objection([first, second], MODEL, "c0ffee", guard) is not None
        assert objection([first, second], MODEL, "c0ffee", guard) is not None
        assert objection([first, second], MODEL, "c0ffee", guard) is None
        assert guard.faults == 0

    @pytest.mark.parametrize("error", [ValueError, InvalidOptionError, TypeError])
    def test_whatever_else_is_raised_is_counted(self, error):
        class Broken:
            def __call__(self, _):
                pass

            def before_call(self, *_):
                raise error("broken")

        guard = Guard()
        assert objection([Broken()], MODEL, "c", guard) is None
        assert guard.faults == 1

    def test_a_method_of_another_make_is_counted(self):
        class Others:
            def __call__(self, _):
                pass

            def before_call(self):
                pass

        guard = Guard()
        assert objection([Others()], MODEL, "c", guard) is None
        assert guard.faults == 1


def turns(count):
    """A chat of so many turns, as a request."""
    messages = [user(text(1_500, "0"))]
    for n in range(1, count):
        messages += [assistant({"text": "well"}), user(text(1_500, str(n)))]
    return {"modelId": SONNET, "system": [text(2_500)], "messages": messages}


def wrote(tokens=2_000):
    return {
        "usage": {
            "inputTokens": 9,
            "outputTokens": 5,
            "cacheReadInputTokens": 0,
            "cacheWriteInputTokens": tokens,
        }
    }


class TestCache:
    """Through `PromptCache`, whose calls and reports name a conversation alike."""

    def talk(self, cache, count=2):
        for n in range(1, count + 1):
            cache.settle(cache.prepare(turns(n)), wrote())

    async def atalk(self, cache, count=2):
        for n in range(1, count + 1):
            await cache.asettle(await cache.aprepare(turns(n)), wrote())

    def test_prepare_raises_once(self):
        cache = PromptCache(observers=[alarm("raise", **TOUCHY)])
        self.talk(cache)
        with pytest.raises(CacheAlarm, match="written to the cache"):
            cache.prepare(turns(3))
        assert cache.prepare(turns(3)).plan.checkpoints
        assert cache.faults == 0

    async def test_aprepare_raises_once(self):
        cache = PromptCache(observers=[alarm("raise", **TOUCHY)])
        await self.atalk(cache)
        with pytest.raises(CacheAlarm):
            await cache.aprepare(turns(3))
        assert (await cache.aprepare(turns(3))).plan.checkpoints
        assert cache.faults == 0

    def test_what_was_held_back_writes_nothing(self):
        """Another call need not wait for it, and writes what it would have."""
        cache = PromptCache(observers=[alarm("raise", **TOUCHY)])
        self.talk(cache)
        with pytest.raises(CacheAlarm):
            cache.prepare(turns(3))
        call = cache.prepare(turns(3))
        assert call.wait_for is None
        assert call.claimed

    def test_calls_of_a_policy_that_is_off_go_out(self):
        cache = PromptCache(observers=[alarm("raise", by="all", **TOUCHY)])
        self.talk(cache)
        assert not cache.prepare(turns(3), policy="off").plan.checkpoints
        with pytest.raises(CacheAlarm):
            cache.prepare(turns(3))

    def test_again_is_not_asked(self):
        cache = PromptCache(observers=[alarm("raise", **TOUCHY)])
        waiting = cache.prepare(turns(3))
        self.talk(cache)
        assert cache.again(waiting).request

    def test_an_observer_of_the_process_holds_back_too(self):
        configure(observers=[alarm("raise", **TOUCHY)])
        try:
            cache = PromptCache()
            self.talk(cache)
            with pytest.raises(CacheAlarm):
                cache.prepare(turns(3))
        finally:
            configure(observers=[])

    def test_sessions_count_beside_it(self):
        cache = PromptCache(observers=[alarm("raise", **TOUCHY)])
        with session() as s:
            self.talk(cache)
            with pytest.raises(CacheAlarm):
                cache.prepare(turns(3))
        assert s.calls == 2

    def test_a_broken_observer_holds_nothing_back(self, monkeypatch):
        observer = alarm("raise", **TOUCHY)
        monkeypatch.setattr(type(observer), "before_call", lambda *_: 1 / 0)
        cache = PromptCache(observers=[observer])
        self.talk(cache, 4)
        assert cache.faults == 4

    def test_no_prompt_text_is_in_it(self):
        told = []
        cache = PromptCache(observers=[alarm(told.append, **TOUCHY)])
        request = {**turns(1), "system": [{"text": "Xanthippe " * 2_500}]}
        for _ in range(2):
            cache.settle(cache.prepare(request), wrote())
        assert "Xanthippe" not in repr(told[0]) + str(told[0])


def test_it_is_public():
    assert {"alarm", "CacheAlarm", "Episode"} <= set(observers.__all__)
