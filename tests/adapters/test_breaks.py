"""Every way in which a cached prefix breaks is named, with its place, in every adapter."""

import pytest

from tests.adapters.breaks import BREAKS, Talk


class Speaker:
    """One application: a model by its id, all of them with one cache."""

    def __init__(self, adapter, bedrock, cache):
        self.adapter, self.bedrock, self.cache = adapter, bedrock, cache
        self.models = {}

    def say(self, talk):
        """The report of a call."""
        self.bedrock.advance(talk.gap)
        adapter = self.adapter
        if talk.model not in self.models:
            policy = {"ttl": "5m"}
            self.models[talk.model] = adapter.cached(
                self.bedrock, talk.model, cache=self.cache, policy=policy
            )
        messages = [adapter.system(talk.system)] if talk.system else []
        for question, answer in talk.turns:
            messages += [adapter.user(question), adapter.assistant(answer)]
        tools = [adapter.tool(tool) for tool in talk.tools]
        answer = adapter.ask(self.models[talk.model], [*messages, adapter.user(talk.ask)], tools=tools)
        return answer.report


@pytest.fixture
def speaker(adapter, bedrock, cache):
    return Speaker(adapter, bedrock, cache)


@pytest.mark.parametrize("broken", BREAKS, ids=lambda one: one.name)
def test_a_break_is_named(speaker, broken):
    talk = broken.start(Talk())
    for _ in range(broken.calls - 1):
        before = speaker.say(talk)
        talk = talk.on()
    report = speaker.say(broken.breaks(talk))

    assert before["miss"] is None
    if broken.cause is None:
        assert report["miss"] is None
        return
    miss = report["miss"]
    assert miss["cause"] == broken.cause
    assert miss["tokens"] > 500
    assert report["wasted_usd"] > 0
    assert miss["remedy"]
    if broken.where is not None:
        assert miss["where"] == broken.where
    if broken.what is not None:
        assert broken.what in miss["detail"]
