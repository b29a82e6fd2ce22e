"""Sessions: which calls they count, over tasks, threads and nesting."""

import asyncio
import contextvars
import gc
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from builders import SONNET, text, usage, user

import cachepoint
from cachepoint import PromptCache, Usage
from cachepoint.reporting import session as sessions
from cachepoint.reporting.bound.models import Bounds
from cachepoint.reporting.session import current


@pytest.fixture
def cache():
    return PromptCache(clock=lambda: 1_795_000_000.0)


@pytest.fixture(autouse=True)
def _none_left():
    yield
    assert sessions._open == ()


@pytest.fixture
def ask(cache):
    def ask(fresh=10):
        request = {"system": [text(2_000)], "messages": [user(text(40))]}
        return cache.settle(cache.prepare(request, model_id=SONNET), usage(0, 2_000, fresh))

    return ask


def in_thread(work, *args):
    thread = threading.Thread(target=work, args=args)
    thread.start()
    thread.join()


def test_it_counts_what_is_inside(ask):
    ask()
    with cachepoint.session("nightly") as s:
        reports = [ask(), ask()]
    ask()

    assert s.calls == 2
    assert s.usage == reports[0].usage + reports[1].usage
    assert s.usage_by_model == {SONNET: s.usage}
    assert s.cost == sum(r.cost for r in reports)
    assert s.saved == sum(r.saved for r in reports) < 0
    assert s.uncached_cost == s.cost + s.saved
    assert s.quota_tokens == 2 * (10 + 2_000 + 5 * 5)
    assert s.hit_share == 0
    assert s.rewrite_factor == pytest.approx(4_000 / 2_010)
    assert s.waste["evicted_or_rerouted"].calls == 2
    assert (s.strays, s.unpriced) == (0, 0)


def test_an_empty_one_knows_nothing():
    s = cachepoint.session()

    assert (s.calls, s.usage, s.cost, s.saved, s.uncached_cost) == (0, Usage(), None, None, None)
    assert (s.hit_share, s.rewrite_factor, s.quota_tokens) == (None, None, None)
    assert str(s) == "session: no calls"


def test_it_prints_as_a_table_a_picture_and_json(ask):
    with cachepoint.session("nightly") as s:
        ask()

    assert str(s).startswith("nightly: 1 call, 2,010 input tokens\n")
    assert "<svg" in s._repr_html_()
    assert "nightly" in s._repr_html_()
    figures = json.loads(s.to_json())
    assert figures["name"] == "nightly"
    assert figures["usage"]["write_tokens"] == 2_000
    assert Decimal(str(figures["cost_usd"])) == s.cost
    assert "calls=1" in repr(s)


def test_a_repr_computes_no_bound(monkeypatch):
    """It takes seconds for many calls, and a repr stands in logs and debuggers."""
    monkeypatch.setattr(Bounds, "by_model", property(lambda _: 1 / 0))
    assert repr(sessions.Session("night")).startswith("Session('night', calls=0")


def test_nested_sessions_count_each(ask):
    with cachepoint.session() as outer:
        ask()
        with cachepoint.session() as inner:
            ask()
        ask()

    assert (outer.calls, inner.calls) == (3, 1)


def test_a_plain_thread_is_a_stray(ask):
    with cachepoint.session() as s:
        in_thread(ask)

    assert (s.calls, s.strays) == (1, 1)


def test_a_server_turns_strays_off(ask):
    with cachepoint.session(threads=False) as s:
        in_thread(ask)
        in_thread(contextvars.copy_context().run, ask)

    assert (s.calls, s.strays) == (1, 0)


def test_a_pool_that_is_older_than_the_session_counts(ask):
    with ThreadPoolExecutor(2) as pool:
        pool.submit(int).result()
        with cachepoint.session() as s:
            list(pool.map(lambda _: ask(), range(5)))

    assert s.calls == 5


async def test_tasks_and_their_threads_keep_apart(ask):
    both_open = asyncio.Barrier(2)

    async def job(calls):
        async with cachepoint.session() as s:
            await both_open.wait()
            for _ in range(calls):
                await asyncio.to_thread(ask)
                ask()
            await asyncio.gather(*(asyncio.create_task(asyncio.to_thread(ask)) for _ in range(calls)))
            await both_open.wait()
        return s

    one, three = await asyncio.gather(job(1), job(3))

    assert (one.calls, three.calls) == (3, 9)
    assert (one.strays, three.strays) == (0, 0)


async def test_a_task_from_before_is_outside(ask):
    begun, go = asyncio.Event(), asyncio.Event()

    async def other():
        begun.set()
        await go.wait()
        ask()

    task = asyncio.create_task(other())
    await begun.wait()
    with cachepoint.session() as s:
        go.set()
        await task

    assert s.calls == 0


def test_threads_with_sessions_of_their_own_keep_apart(ask):
    inside, done = threading.Barrier(2), []

    def job(calls):
        with cachepoint.session() as s:
            inside.wait()
            for _ in range(calls):
                ask()
            inside.wait()
        done.append(s)

    threads = [threading.Thread(target=job, args=(n,)) for n in (1, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(s.calls for s in done) == [1, 4]


async def test_a_task_that_outlives_it_is_not_counted(ask):
    go = asyncio.Event()

    async def late():
        await go.wait()
        ask()

    with cachepoint.session() as s:
        task = asyncio.create_task(late())
    go.set()
    await task

    assert s.calls == 0


def test_a_generator_that_another_context_closes(ask):
    def steps():
        with cachepoint.session() as s:
            yield s
            ask()

    generator = steps()
    s = contextvars.copy_context().run(next, generator)
    contextvars.copy_context().run(generator.close)

    assert s.calls == 0
    assert current() == ()


def test_d7_what_another_context_closed_is_not_carried_for_good():
    """D7: sessions that are begun in one context and ended in another, for ever."""
    contexts = [contextvars.copy_context() for _ in range(2)]
    for _ in range(500):
        s = contexts[0].run(cachepoint.session().__enter__)
        contexts[1].run(s.__exit__)

    assert len(contexts[0].run(sessions._carried.get)) == 1
    assert contexts[0].run(current) == ()


def test_d7_a_session_that_was_left_open_goes_with_its_context():
    """D7: nobody holds it any more."""
    contextvars.copy_context().run(cachepoint.session().__enter__)
    gc.collect()

    assert all(held() is None for held in sessions._open)
    with cachepoint.session():
        pass


def test_d7_open_sessions_are_bounded(caplog, monkeypatch):
    """D7: sessions that somebody holds and nobody closes."""
    monkeypatch.setattr(sessions, "_MAX_OPEN", 100)
    held = [contextvars.copy_context().run(cachepoint.session().__enter__) for _ in range(500)]
    try:
        assert len(sessions._open) <= 100
        assert held[-1].is_open
        assert not held[0].is_open
        assert all(r.levelno == logging.WARNING for r in caplog.records)
    finally:
        for s in held:
            s.__exit__()


def test_c2_hit_share_is_none_where_nothing_was_said(cache):
    """C2: usage `{}`, and usage without cache keys."""
    request = {"system": [text(2_000)], "messages": [user(text(40))]}
    with cachepoint.session() as s:
        cache.settle(cache.prepare(request, model_id=SONNET), {"usage": {}})
        cache.settle(
            cache.prepare(request, model_id=SONNET), {"usage": {"inputTokens": 9, "outputTokens": 1}}
        )

    assert (s.calls, s.usage, s.hit_share, s.rewrite_factor) == (2, Usage(9, 1), None, None)


def test_an_error_inside_leaves_the_totals(ask):
    s = cachepoint.session()
    with pytest.raises(ZeroDivisionError), s:
        ask()
        raise ZeroDivisionError
    with s:
        ask()

    assert s.calls == 2


def test_it_cannot_be_open_twice():
    with cachepoint.session("x") as s, pytest.raises(RuntimeError, match="'x' is open already"), s:
        pass


def test_many_threads_lose_no_call(ask):
    with cachepoint.session() as s, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: contextvars.copy_context().run(ask, n), range(400)))

    assert s.calls == 400
    assert s.usage.uncached_tokens == sum(range(400))
