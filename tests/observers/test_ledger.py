"""What the reports add up to is what the emulator charged: token by token, and in dollars.

Real chains of both frameworks, with streams, batches, agents, threads, and failures among them.
"""

import asyncio
import json
import threading
import warnings
from collections import Counter
from decimal import Decimal

import pytest

import cachepoint
from cachepoint import PromptCache, observers
from cachepoint.cli.report import read
from cachepoint.emulator import AutoResponder, EmulatedError, Reply, ToolResponder
from cachepoint.reporting.tally import Tally
from tests.adapters.contract import CLAUDE, MANUAL
from tests.conftest import DUMMIES, REGION

# US dollars a million tokens of Claude Sonnet 4.6 in a US profile: list price of AWS, 2026-11, and a tenth on
# top for the geography. Written down here, not asked of `pricing`.
PRICES = {
    "fresh": Decimal("3.30"),
    "read": Decimal("0.33"),
    "5m": Decimal("4.125"),
    "1h": Decimal("6.60"),
    "output": Decimal("16.50"),
}
MILLION = 1_000_000
REFUSAL = (
    "This model doesn't support the cachePoint field. Remove cachePoint from your request and try again."
)


class Moody:
    """Says what `AutoResponder` says, but for the moods it is put in for one call."""

    def __init__(self):
        self.moods = []
        self.otherwise = AutoResponder()

    def __call__(self, request):
        if self.moods and (self.moods[0] != "refuse" or "cachePoint" in json.dumps(request.body)):
            return getattr(self, self.moods.pop(0))()
        return self.otherwise(request)

    def throttle(self):
        raise EmulatedError("Too many tokens, please wait before trying again.")

    def refuse(self):
        raise EmulatedError(REFUSAL, code="ValidationException", status=400)

    def break_off(self):
        fault = EmulatedError("The stream broke.", code="ModelStreamErrorException", status=424)
        return Reply(({"text": "half an answer " * 9},), fault=fault)


def look_up(part: str) -> str:
    """Look a part up in the catalogue."""
    return f"{part}: four in stock. " * 20


def ledger(calls):
    """The emulator's own: tokens by price, added up over the calls that it answered."""
    total = Counter()
    for usage in (call.usage for call in calls if call.usage is not None):
        details = {d["ttl"]: d["inputTokens"] for d in usage.get("cacheDetails", ())}
        assert sum(details.values()) == usage["cacheWriteInputTokens"]
        read, fresh, output = (usage[k] for k in ("cacheReadInputTokens", "inputTokens", "outputTokens"))
        total.update({"read": read, "fresh": fresh, "output": output, **details})
    return total


def tokens(usage):
    """The same of a `Usage`."""
    return Counter(
        {
            "read": usage.read_tokens,
            "fresh": usage.uncached_tokens,
            "output": usage.output_tokens,
            "5m": usage.write_5m_tokens,
            "1h": usage.write_1h_tokens,
        }
    )


def langchain(bedrock, cache, mood):
    pytest.importorskip("langchain_aws", reason="langchain-aws is not installed")
    from langchain.agents import create_agent
    from langchain_core.prompts import ChatPromptTemplate

    from cachepoint.langchain import CachedChatBedrockConverse

    def model(**options):
        clients = {"client": bedrock.client(), "bedrock_client": bedrock.client("bedrock")}
        return CachedChatBedrockConverse(**clients, model=CLAUDE, prompt_cache=cache, **options)

    prompt = ChatPromptTemplate.from_messages([("system", MANUAL), ("human", "{question}")])
    chain = prompt | model()
    chain.invoke({"question": "Where is the valve?"})
    list(chain.stream({"question": "And the cover?"}))
    chain.batch([{"question": f"What is part {n}?"} for n in range(6)])
    agent = create_agent(model(cache_policy={"head_ttl": "1h"}), [look_up], system_prompt=MANUAL)
    bedrock.say(ToolResponder(steps=3))
    agent.invoke({"messages": [("user", "Look up the pump.")]})
    asyncio.run(agent.ainvoke({"messages": [("user", "Look up the hose.")]}))
    bedrock.say(mood)
    for ask in (lambda: chain.invoke({"question": "now?"}), lambda: list(chain.stream({"question": "now?"}))):
        mood.moods = ["throttle"]
        with pytest.raises(Exception, match="Too many tokens"):
            ask()
    mood.moods = ["break_off"]
    with pytest.raises(Exception, match="The stream broke"):
        list(chain.stream({"question": "to the end?"}))
    assert chain.batch(
        [{"question": "one"}, {"question": "two"}], return_exceptions=True, config={"max_concurrency": 1}
    )
    mood.moods = ["refuse"]
    chain.invoke({"question": "What does it hold?"})
    in_plain_thread(lambda: chain.invoke({"question": "In another thread?"}))


def llama_index(bedrock, cache, mood):
    pytest.importorskip("llama_index.llms.bedrock_converse", reason="LlamaIndex is not installed")
    from llama_index.core.agent.workflow import FunctionAgent
    from llama_index.core.base.llms.types import ChatMessage

    from cachepoint.llama_index import CachedBedrockConverse
    from cachepoint.llama_index.shaping.history import StableTrimMemory

    def model(**options):
        return CachedBedrockConverse(
            client=bedrock.client(),
            endpoint_url=bedrock.url,
            region_name=REGION,
            aws_access_key_id=DUMMIES["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=DUMMIES["AWS_SECRET_ACCESS_KEY"],
            max_retries=1,
            model=CLAUDE,
            prompt_cache=cache,
            **options,
        )

    def asked(question):
        return [ChatMessage(role="system", content=MANUAL), ChatMessage(role="user", content=question)]

    async def batch():
        await asyncio.gather(*(llm.achat(asked(f"What is part {n}?")) for n in range(6)))
        return [c async for c in await llm.astream_chat(asked("And the lid?"))]

    async def run_agent():
        agent = FunctionAgent(
            llm=model(cache_policy={"head_ttl": "1h"}), tools=[look_up], system_prompt=MANUAL
        )
        await agent.run("Look up the pump.", memory=StableTrimMemory.from_defaults(token_limit=100_000))

    llm = model()
    llm.chat(asked("Where is the valve?"))
    list(llm.stream_chat(asked("And the cover?")))
    llm.complete("What is a pump?")
    asyncio.run(batch())
    bedrock.say(ToolResponder(steps=3))
    asyncio.run(run_agent())
    bedrock.say(mood)
    mood.moods = ["throttle"]
    with pytest.raises(Exception, match="Too many tokens"):
        llm.chat(asked("now?"))
    mood.moods = ["break_off"]
    with pytest.raises(Exception, match="The stream broke"):
        list(llm.stream_chat(asked("to the end?")))
    mood.moods = ["refuse"]
    llm.chat(asked("What does it hold?"))
    in_plain_thread(lambda: llm.chat(asked("In another thread?")))


def in_plain_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def both(bedrock, cache, mood):
    langchain(bedrock, PromptCache(clock=cache.now, observers=cache.observers), mood)
    llama_index(bedrock, cache, mood)


@pytest.mark.parametrize("framework", [langchain, llama_index, both], ids=lambda f: f.__name__)
def test_the_reports_are_the_ledger(bedrock, tmp_path, framework):
    path, mood = tmp_path / "calls.jsonl", Moody()
    bedrock.say(mood)
    cache = PromptCache(clock=bedrock.now, observers=[observers.jsonl(path)])

    with cachepoint.session("everything") as s, warnings.catch_warnings():
        # LlamaIndex's workflows look at members of pydantic that are deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        framework(bedrock, cache, mood)

    charged = ledger(bedrock.calls)
    assert min(charged[kind] for kind in PRICES) > 0
    assert {call.status for call in bedrock.calls} == {200, 400, 429}
    assert tokens(s.usage) == charged
    # A stream that breaks is a call of which nobody knows what it used.
    assert s.calls == sum(call.status == 200 for call in bedrock.calls)
    assert s.strays

    paid = sum(PRICES[kind] * n for kind, n in charged.items()) / MILLION
    inputs = sum(n for kind, n in charged.items() if kind != "output")
    full = (PRICES["fresh"] * inputs + PRICES["output"] * charged["output"]) / MILLION
    assert (s.cost, s.uncached_cost, s.saved) == (paid, full, full - paid)
    assert s.unpriced == s.calls - sum(call.usage is not None for call in bedrock.calls)

    # The file holds the same.
    tally = Tally()
    assert read(tally, path).skipped == 0
    assert tokens(tally.sums.usage) == charged
    assert tally.sums.money == (paid, full)


def test_writes_that_never_pay_are_a_loss(bedrock):
    cache = PromptCache(clock=bedrock.now)
    with cachepoint.session() as s:
        for n in range(4):
            request = {
                "system": [{"text": f"{n} {MANUAL}"}, {"cachePoint": {"type": "default"}}],
                "messages": [{"role": "user", "content": [{"text": "hi"}]}],
            }
            call = cache.prepare({"modelId": CLAUDE, **request})
            cache.settle(call, bedrock.client().converse(**call.request))

    assert s.usage.read_tokens == 0
    assert s.saved == -Decimal("0.825") * s.usage.write_tokens / MILLION


async def test_streams_of_two_tasks_keep_apart(bedrock):
    pytest.importorskip("llama_index.llms.bedrock_converse", reason="LlamaIndex is not installed")
    from cachepoint.llama_index import CachedBedrockConverse

    cache, both_open = PromptCache(clock=bedrock.now), asyncio.Barrier(2)

    async def job(calls):
        llm = CachedBedrockConverse(client=bedrock.client(), model=CLAUDE, prompt_cache=cache)
        async with cachepoint.session() as s:
            await both_open.wait()
            for _ in range(calls):
                assert [c async for c in await llm.astream_complete("What is a pump?")]
            await both_open.wait()
        return s

    one, three = await asyncio.gather(job(1), job(3))

    assert (one.calls, three.calls) == (1, 3)
    assert (one.strays, three.strays) == (0, 0)
