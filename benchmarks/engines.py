"""How much of the previous turn's prefix each turn of LlamaIndex's front ends reads, ours beside upstream's.

Eight turns of each front end against the emulator, with no prompt changed: plain `BedrockConverse` with
`system_prompt_caching` and `tool_caching` on, and `CachedBedrockConverse` as it comes; the engines that put
retrieved text ahead of the system prompt also with `CachePolicy(reorder="stable_first")`.

Two shares are printed, because "prefix" can be meant in two ways:

  cached   of what the turn before had in the cache, read or written
  prompt   of all that the turn before sent, retrieved text and question included

    python benchmarks/engines.py [--json]
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.chat_engine import (
    CondensePlusContextChatEngine,
    ContextChatEngine,
    SimpleChatEngine,
)
from llama_index.core.memory import Memory
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.tools import FunctionTool
from llama_index.llms.bedrock_converse import BedrockConverse

from cachepoint import PromptCache
from cachepoint.emulator import AutoResponder, BedrockEmulator, Reply
from cachepoint.llama_index import CachedBedrockConverse

MODEL = "us.anthropic.claude-sonnet-4-6"
RULES = 300
PARTS = ("pump", "valve", "cover", "filter", "motor", "hose", "gauge", "seal", "rotor", "tank")
QUESTIONS = [f"Question {n}: how is the {part} serviced?" for n, part in enumerate(PARTS[:8])]
SYSTEM = "You are the service desk of a pump maker.\n" + "\n".join(
    f"Rule {n}: answer in full sentences and name the page that you rely on, case {n}." for n in range(RULES)
)
PASSAGES = [
    TextNode(
        id_=part,
        text=f"About the {part}. " + f"The {part} is taken off, cleaned with oil and put back. " * 8,
    )
    for part in PARTS
]


class Model(AutoResponder):
    """Condenses a conversation to its last question, where it is asked to."""

    def __call__(self, request):
        asked = re.findall(r"Question \d: [^\n]*", request.last_user_text)
        if "Follow Up" in request.last_user_text or "follow up" in request.last_user_text:
            return Reply.text(asked[-1])
        return super().__call__(request)


class ByWord(BaseRetriever):
    """The passages on the parts that a question names, and the one after it."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        named = [n for n, part in enumerate(PARTS) if part in query_bundle.query_str]
        return [NodeWithScore(node=PASSAGES[i], score=1.0) for n in named[:1] for i in (n, n + 1)]


def search(part: str) -> str:
    """Search the stock for a part."""
    return "\n".join(
        f"Shelf {n}: {part} type {n}, {3 * n} in stock, order number {1000 + n}." for n in range(20)
    )


def memory() -> Memory:
    return Memory.from_defaults(token_limit=100_000)


def simple(llm):
    engine = SimpleChatEngine.from_defaults(llm=llm, system_prompt=SYSTEM, memory=memory())
    return engine.chat


def context(llm):
    return ContextChatEngine.from_defaults(
        retriever=ByWord(), llm=llm, system_prompt=SYSTEM, memory=memory()
    ).chat


def condense(llm):
    return CondensePlusContextChatEngine.from_defaults(
        retriever=ByWord(), llm=llm, system_prompt=SYSTEM, memory=memory()
    ).chat


def agent(llm):
    made = FunctionAgent(llm=llm, system_prompt=SYSTEM, tools=[FunctionTool.from_defaults(search)])
    loop, kept = asyncio.new_event_loop(), memory()

    async def ask(question):
        return await made.run(f"{question} Search the stock, too.", memory=kept)

    return lambda question: loop.run_until_complete(ask(question))


FRONT_ENDS = {
    "SimpleChatEngine": simple,
    "FunctionAgent": agent,
    "ContextChatEngine": context,
    "CondensePlusContextChatEngine": condense,
}
REORDERED = ("ContextChatEngine", "CondensePlusContextChatEngine")


@dataclass(frozen=True)
class Turn:
    """Tokens of the first call of a turn, and of the last one."""

    read: int
    cached: int
    prompt: int
    cost: float


def turns(bedrock: BedrockEmulator, ask) -> Iterator[Turn]:
    for question in QUESTIONS:
        before = len(bedrock.calls)
        ask(question)
        # Condensing a question is a call without system prompt, and a prompt family of its own.
        made = [c for c in bedrock.calls[before:] if c.request.get("system")]
        first, last = made[0].usage, made[-1].usage
        cached = last.get("cacheReadInputTokens", 0) + last.get("cacheWriteInputTokens", 0)
        yield Turn(
            read=first.get("cacheReadInputTokens", 0),
            cached=cached,
            prompt=cached + last["inputTokens"],
            cost=sum(units(c.usage) for c in bedrock.calls[before:]),
        )


def units(usage: dict) -> float:
    """Input cost in uncached tokens: Sonnet 4.6 reads at 0.1 and writes at 1.25."""
    return (
        usage["inputTokens"]
        + 0.1 * usage.get("cacheReadInputTokens", 0)
        + 1.25 * usage.get("cacheWriteInputTokens", 0)
    )


def rows() -> Iterator[tuple[str, str, list[Turn]]]:
    for name, front_end in FRONT_ENDS.items():
        for label, policy in LLMS.items():
            if "reorder" in label and name not in REORDERED:
                continue
            with BedrockEmulator(responder=Model()) as bedrock:
                yield name, label, list(turns(bedrock, front_end(model(bedrock, policy))))


LLMS = {
    "BedrockConverse, both flags": None,
    "CachedBedrockConverse": {},
    "CachedBedrockConverse, reorder": {"reorder": "stable_first"},
}


def model(bedrock: BedrockEmulator, policy: dict | None):
    where = {"model": MODEL, "endpoint_url": bedrock.url, "region_name": "us-east-1", "max_retries": 1}
    if policy is None:
        return BedrockConverse(**where, system_prompt_caching=True, tool_caching=True)
    return CachedBedrockConverse(**where, cache_policy=policy, prompt_cache=PromptCache(clock=bedrock.now))


def share(now: Turn, of: int) -> float:
    return now.read / of if of else 0.0


def measured(made: list[Turn]) -> dict:
    pairs = list(zip(made[1:], made, strict=False))
    return {
        "cached": [share(now, before.cached) for now, before in pairs],
        "prompt": [share(now, before.prompt) for now, before in pairs],
        "input_units": sum(t.cost for t in made),
        "prompt_tokens": [t.prompt for t in made],
    }


def main() -> None:
    os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    found = [(name, label, measured(made)) for name, label, made in rows()]
    if "--json" in sys.argv:
        print(json.dumps([{"front_end": n, "llm": label, **m} for n, label, m in found]))
        return
    print(f"{len(QUESTIONS)} turns; read share of the turn before, turns 2 to {len(QUESTIONS)}, in %\n")
    for name, label, m in found:
        for of in ("cached", "prompt"):
            figures = " ".join(f"{100 * s:4.0f}" for s in m[of])
            cost = f"   input cost {m['input_units']:>9,.0f}" if of == "cached" else ""
            print(f"{name if of == 'cached' else '':<30} {label:<31} {of}  {figures}{cost}")


if __name__ == "__main__":
    main()
