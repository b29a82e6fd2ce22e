"""The agent reads what its steps before sent. Run `pytest` in this folder."""

import asyncio

import agent


def test_every_step_reads_the_one_before_it(cache_calls):
    asyncio.run(agent.answer(["Search the stock for a pump.", "Search the stock for a valve."]))
    cache_calls.assert_cached(min_hit=0.9)
    cache_calls.assert_prefix_stable()


def test_the_layout_is_the_one_that_was_reviewed(cache_calls, snapshot):
    asyncio.run(agent.answer(["Search the stock for a pump."]))
    assert cache_calls.layout() == snapshot
