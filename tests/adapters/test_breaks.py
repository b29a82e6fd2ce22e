"""Every way in which a cached prefix breaks is named, with its place, in every adapter."""

import pytest
from pydantic import BaseModel

from cachepoint import PromptCache
from cachepoint.emulator import AutoResponder, BedrockEmulator, Guardrail, Reply, ToolResponder
from tests.adapters.breaks import BREAKS, FILLER, Talk, said
from tests.conftest import boto_client


class Plain:
    """An emulator as the harnesses take one."""

    def __init__(self, emulator):
        self.url, self.now = emulator.url, emulator.now

    def client(self, service="bedrock-runtime"):
        return boto_client(self.url, service)


class Speaker:
    """One application: a model by its id, all of them with one cache."""

    def __init__(self, adapter, bedrock, cache):
        self.adapter, self.bedrock, self.cache = adapter, bedrock, cache
        self.models = {}
        self.cache_reports = []
        cache.observers.append(self.cache_reports.append)

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


@pytest.fixture
def agent(speaker):
    """An agent's messages after two rounds of two tool calls each, and a way to ask on."""
    bedrock, adapter = speaker.bedrock, speaker.adapter
    bedrock.say(ToolResponder(steps=9, parallel=2))
    model = adapter.cached(bedrock, cache=speaker.cache, policy={"ttl": "5m"})
    tools = [adapter.tool(tool) for tool in Talk().tools]
    messages = [adapter.system(Talk().system), adapter.user("Check all parts.")]

    def ask(messages):
        bedrock.advance(5)
        return adapter.ask(model, messages, tools=tools)

    rounds = []
    for n in range(2):
        answer = ask(messages)
        results = [
            adapter.result(call, f"part {n}{i}: {FILLER * 12}") for i, call in enumerate(answer.tool_calls)
        ]
        rounds.append((answer, results))
        messages = [*messages, answer.message, *results]
    ask(messages)
    return rounds, messages, ask


def test_cleared_tool_results_are_named(speaker, agent):
    rounds, messages, ask = agent
    cleared = [speaker.adapter.result(call, "[cleared]") for call in rounds[0][0].tool_calls]
    on = [*messages[:3], *cleared, *messages[3 + len(cleared) :], speaker.adapter.user("Go on.")]
    miss = ask(on).report["miss"]

    assert miss["cause"] == "messages_changed"
    assert miss["detail"] == "tool results cleared"
    assert miss["where"] == "messages[2].content[0]"


def test_results_in_another_order_are_named(speaker, agent):
    _, messages, ask = agent
    turned = [*messages[:3], *messages[3:5][::-1], *messages[5:], speaker.adapter.user("Go on.")]
    miss = ask(turned).report["miss"]

    assert miss["cause"] == "messages_changed"
    assert miss["detail"] == "parallel results in another order"
    assert miss["where"] == "messages[2].content[0]"


def test_a_sub_agent_with_its_own_prompt_is_no_break(speaker, agent):
    _, _, ask = agent
    own = "You look up parts in another catalogue. " * 200
    miss = ask([speaker.adapter.system(own), speaker.adapter.user("Look up the seal.")]).report["miss"]

    assert miss["cause"] == "first_write"


class Verdict(BaseModel):
    """Whether it holds."""

    holds: bool


class Reason(BaseModel):
    """Why it holds."""

    why: str


def test_an_output_schema_is_named(speaker):
    """Each framework's own way to ask for a schema changes the tools, the choice of one, or the settings."""
    adapter, bedrock = speaker.adapter, speaker.bedrock
    bedrock.say(AutoResponder())
    model = adapter.cached(bedrock, cache=speaker.cache, policy={"ttl": "5m"})
    question = [adapter.system(Talk().system), adapter.user(f"Does it hold? {FILLER * 12}")]
    answer = adapter.ask(model, question)
    more = [*question, adapter.assistant(answer.text), adapter.user("And now?")]
    adapter.structured(model, Verdict, more)
    miss = speaker.cache_reports[-1].miss

    assert miss.cause in {"tools_changed", "settings_changed"}


def test_a_turn_that_a_guardrail_blocked_has_no_verdict(adapter):
    with BedrockEmulator(
        responder=lambda _: Reply.text("ok"), guardrails={"g1": Guardrail(words=("bomb",))}
    ) as emulator:
        bedrock = Plain(emulator)
        cache = PromptCache(clock=emulator.now)
        model = adapter.cached(bedrock, cache=cache, policy={"ttl": "5m"}, **adapter.guarded("g1"))
        head = [adapter.system(Talk().system), adapter.user(f"Is it safe? {FILLER * 12}")]
        adapter.ask(model, head)
        history = [*head, adapter.assistant("ok")]
        blocked = adapter.ask(model, [*history, adapter.user("Build a bomb.")]).report
        after = adapter.ask(model, [*history, adapter.user("Thanks.")]).report

    assert blocked["miss"] is None
    assert after["miss"] is None
    assert after["usage"]["read_tokens"] > 2_000


def test_langchains_summaries_are_named(bedrock, cache):
    """A summary is made in a request of its own, and then stands in the place of what was said."""
    agents, middleware = (
        pytest.importorskip(f"langchain.agents{m}", reason="LangChain is not there")
        for m in ("", ".middleware")
    )
    langchain = pytest.importorskip("cachepoint.langchain", reason="LangChain is not there")
    bedrock.say(ToolResponder(steps=8))
    reports = []
    cache.observers.append(reports.append)
    llm = langchain.CachedChatBedrockConverse(
        client=bedrock.client(),
        bedrock_client=bedrock.client("bedrock"),
        model=Talk().model,
        prompt_cache=cache,
    )
    summaries = middleware.SummarizationMiddleware(llm, trigger=("messages", 10), keep=("messages", 4))
    agent = agents.create_agent(llm, [look_up], system_prompt=Talk().system, middleware=[summaries])
    agent.invoke({"messages": [("user", f"Check all parts. {FILLER}")]})
    misses = [(r.miss.cause, r.miss.detail) for r in reports[1:] if r.miss]

    assert misses == 2 * [
        ("system_changed", "a summary made outside the conversation"),
        ("messages_changed", "history summarised"),
    ]


def look_up(part: str) -> str:
    """Look a part up."""
    return FILLER * 10 + part


def test_llama_indexs_summaries_are_named(bedrock, cache):
    memory = pytest.importorskip("llama_index.core.memory", reason="LlamaIndex is not there")
    harness = pytest.importorskip("tests.adapters.llama_index_adapter", reason="LlamaIndex is not there")
    reports = []
    cache.observers.append(reports.append)
    adapter = harness.LlamaIndexAdapter()
    llm = adapter.cached(bedrock, cache=cache)
    buffer = memory.ChatSummaryMemoryBuffer.from_defaults(llm=llm, token_limit=1_500, tokenizer_fn=str.split)
    for question, answer in (said(i) for i in range(12)):
        buffer.put(adapter.user(question))
        buffer.put(adapter.assistant(answer))
    buffer.get()

    assert [r.miss.detail for r in reports if r.miss] == ["a summary made outside the conversation"]
