"""Agents and chats whose history is summarised: what the summaries' calls read, and what the whole run costs.

Every request goes to the emulator in this process (Claude Sonnet 4.6's rules). An agent of 24 turns, each
with a call of a tool, behind a system prompt of 1,500 tokens and six tools; in LlamaIndex a chat of 24 turns.
A summary is made from 12,000 tokens of messages on, and 2,000 are kept. `stock` is langchain's
`SummarizationMiddleware` with `trim_tokens_to_summarize=None`, `stock, last 4,000` the same with its default,
which summarises only the last 4,000 tokens; in LlamaIndex `ChatSummaryMemoryBuffer`. All of them run with the
cached models.

    python benchmarks/summaries.py [--json] [--turns 24]

It ends with an error where the calls that make our summaries read less than 0.85 of their input, or a run
costs more than 0.80 of the stock one.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.messages import HumanMessage
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.memory import ChatSummaryMemoryBuffer
from trimming import text

from cachepoint import PromptCache, Usage, rules_for
from cachepoint.core.accounting.report import input_units
from cachepoint.emulator import BedrockEmulator, Reply
from cachepoint.langchain import CachedChatBedrockConverse, StableSummaryMiddleware
from cachepoint.llama_index import CachedBedrockConverse, StableSummaryMemory
from cachepoint.shaping.summaries import INSTRUCTION

MODEL = "us.anthropic.claude-sonnet-4-6"
TRIGGER, KEEP = 12_000, 2_000
SYSTEM = text(1_500, "The service desk")
READ, COST = 0.85, 0.80
ENV = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "example",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
# How the prompts of all four ways to make a summary are known.
ASKS = (INSTRUCTION[:40], "Context Extraction Assistant", "Context Extraction", "Write a concise summary")


class Found(NamedTuple):
    """One run: input cost in uncached tokens, its summaries, and the share that their calls read."""

    cost: float
    summaries: int
    read: float


class Model:
    """Calls one tool in each turn, answers at length, and summarises where it is asked to."""

    def __call__(self, request: Any) -> Reply:
        if is_summary(request.last_user_text):
            return Reply.text(text(250, "Summary"))
        if request.tools and "toolResult" not in request.messages[-1]["content"][0]:
            use = {"toolUseId": f"use_{len(request.messages)}", "name": "look_0", "input": {"part": "valve"}}
            return Reply(({"toolUse": use},))
        return Reply.text(text(400, "Answer"))


def is_summary(asked: str) -> bool:
    return any(mark in asked for mark in ASKS)


def tools() -> list[StructuredTool]:
    def look(part: str) -> str:
        return text(1_500, f"What is known of {part}")

    return [
        StructuredTool.from_function(look, name=f"look_{n}", description=text(120, f"Looks into store {n}"))
        for n in range(6)
    ]


@contextmanager
def bedrock() -> Iterator[BedrockEmulator]:
    before = {name: os.environ.get(name) for name in ENV}
    os.environ.update(ENV)
    try:
        with BedrockEmulator(responder=Model()) as emulator:
            yield emulator
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def middleware(kind: str, model: Any) -> Any:
    if kind == "ours":
        return StableSummaryMiddleware(("tokens", TRIGGER), keep=("tokens", KEEP))
    trim = {"trim_tokens_to_summarize": None} if kind == "stock" else {}
    return SummarizationMiddleware(model, trigger=("tokens", TRIGGER), keep=("tokens", KEEP), **trim)


def agent(kind: str, turns: int) -> Found:
    """A run of an agent of langchain."""
    with bedrock() as emulator:
        client = boto(emulator)
        model = CachedChatBedrockConverse(
            model=MODEL, client=client, bedrock_client=client, prompt_cache=PromptCache(clock=emulator.now)
        )
        made = create_agent(
            model,
            tools(),
            system_prompt=SYSTEM,
            middleware=[middleware(kind, model)],
            checkpointer=InMemorySaver(),
        )

        def say(n: int) -> None:
            made.invoke({"messages": [HumanMessage(asked(n))]}, {"configurable": {"thread_id": "1"}})

        return run(emulator, say, turns)


def chat(kind: str, turns: int) -> Found:
    """A run of a chat engine of LlamaIndex."""
    with bedrock() as emulator:
        llm = CachedBedrockConverse(
            MODEL, client=boto(emulator), prompt_cache=PromptCache(clock=emulator.now)
        )
        if kind == "ours":
            memory: Any = StableSummaryMemory.from_defaults(
                llm=llm, system_prompt=SYSTEM, token_limit=TRIGGER, keep=KEEP
            )
        else:
            memory = ChatSummaryMemoryBuffer.from_defaults(
                llm=llm, token_limit=TRIGGER, tokenizer_fn=lambda said: list(range(len(said) // 4))
            )
        engine = SimpleChatEngine.from_defaults(llm=llm, memory=memory, system_prompt=SYSTEM)
        return run(emulator, lambda n: engine.chat(asked(n)), turns)


def asked(n: int) -> str:
    return text(150, f"Question {n}")


def boto(emulator: BedrockEmulator) -> Any:
    import boto3

    return boto3.client("bedrock-runtime", endpoint_url=emulator.url, region_name="us-east-1")


def run(emulator: BedrockEmulator, say: Callable[[int], Any], turns: int) -> Found:
    for n in range(turns):
        emulator.advance(30)
        say(n)
    rules = rules_for(MODEL).multipliers
    calls = [call for call in emulator.calls if call.status == 200]
    usages = [Usage.from_converse({"usage": call.usage}) for call in calls]
    made = [u for u, call in zip(usages, calls, strict=True) if is_summary(last_text(call.request))]
    whole = sum(u.input_tokens for u in made)
    return Found(
        sum(input_units(u, rules) for u in usages),
        len(made),
        sum(u.read_tokens for u in made) / whole if whole else 0.0,
    )


def last_text(request: dict[str, Any]) -> str:
    texts = [b["text"] for b in request["messages"][-1]["content"] if "text" in b]
    return f"{texts[-1] if texts else ''}\n{texts[0] if texts else ''}\n{request.get('system')}"


KINDS: dict[str, tuple[Callable[[str, int], Found], tuple[str, ...]]] = {
    "agent of langchain": (agent, ("ours", "stock", "stock, last 4,000")),
    "chat of llama-index": (chat, ("ours", "stock")),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--turns", type=int, default=24)
    options = parser.parse_args()
    found = {
        name: {kind: run_one(kind, options.turns) for kind in kinds}
        for name, (run_one, kinds) in KINDS.items()
    }
    if options.json:
        print(json.dumps({n: {k: f._asdict() for k, f in rows.items()} for n, rows in found.items()}))
    else:
        print(f"{'':40}{'cost':>10}{'of stock':>10}{'summaries':>11}{'read':>7}")
        for name, rows in found.items():
            for kind, one in rows.items():
                share = one.cost / rows["stock"].cost
                print(
                    f"{name + ', ' + kind:40}{one.cost:10,.0f}{share:10.2f}{one.summaries:11}{one.read:7.2f}"
                )
    bad = [
        name
        for name, rows in found.items()
        if rows["ours"].read < READ or rows["ours"].cost > COST * rows["stock"].cost
    ]
    for name in bad:
        print(f"beyond the bounds: {name}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
