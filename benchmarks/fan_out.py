"""What twenty calls at once pay for a prefix that nobody has written, and what waiting costs in time.

Against the emulator, whose answers begin after a delay: through LangChain's `abatch`, a LlamaIndex workflow
with as many workers, `achat` in tasks, and plain threads that stream. `prefix` is what the 20 calls paid for
it in units of its price, `writers` how many of them wrote it, `then` what a 21st call paid. `median` and
`max` are the time to the first token, as a ratio to that of `off`.

    python benchmarks/fan_out.py [--delay 1.0] [--json]

It ends with an error where the prefix costs more than 3.3 with `warm_first`, 20.3 with `single_flight` or
25.1 with `off`, or where the 21st call does not read it.
"""

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.config import Config
from langchain_core.messages import HumanMessage, SystemMessage
from llama_index.core.llms import ChatMessage
from llama_index.core.workflow import Context, Event, StartEvent, StopEvent, Workflow, step
from prompts import MODEL, text

from cachepoint import CallReport, PromptCache, Usage
from cachepoint.emulator import BedrockEmulator, Reply
from cachepoint.langchain import CachedChatBedrockConverse
from cachepoint.llama_index import CachedBedrockConverse

CALLS = 20
PREFIX = text("the manual", 42_000)
BOUNDS = {"warm_first": 3.3, "single_flight": 20.3, "off": 25.1}
KEYS = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
READ, WRITE = 0.1, 1.25


class Asked(Event):
    number: int


class Answered(Event):
    pass


class Asking(Workflow):
    """One step that as many workers take as there are questions."""

    def __init__(self, llm: Any) -> None:
        super().__init__(timeout=60)
        self._llm = llm

    @step
    async def begin(self, ctx: Context, _event: StartEvent) -> Asked | None:
        for number in range(CALLS):
            ctx.send_event(Asked(number=number))

    @step(num_workers=CALLS)
    async def ask(self, event: Asked) -> Answered:
        await self._llm.achat(said(event.number))
        return Answered()

    @step
    async def end(self, ctx: Context, event: Answered) -> StopEvent | None:
        return StopEvent() if ctx.collect_events(event, [Answered] * CALLS) else None


def asked(number: int) -> list[Any]:
    return [SystemMessage(PREFIX), HumanMessage(f"question {number}")]


def said(number: int) -> list[ChatMessage]:
    system = ChatMessage(role="system", content=PREFIX)
    return [system, ChatMessage(role="user", content=f"question {number}")]


def langchain(client: Any, cache: PromptCache, fan_out: str) -> CachedChatBedrockConverse:
    return CachedChatBedrockConverse(
        model=MODEL,
        client=client,
        bedrock_client=client,
        prompt_cache=cache,
        cache_policy={"fan_out": fan_out},
    )


def llama_index(client: Any, cache: PromptCache, fan_out: str) -> CachedBedrockConverse:
    return CachedBedrockConverse(
        model=MODEL,
        client=client,
        endpoint_url=client.meta.endpoint_url,
        prompt_cache=cache,
        cache_policy={"fan_out": fan_out},
        **KEYS,
    )


async def abatch(llm: Any) -> None:
    await llm.abatch([asked(n) for n in range(CALLS)])


async def tasks(llm: Any) -> None:
    await asyncio.gather(*(llm.achat(said(n)) for n in range(CALLS)))


async def workers(llm: Any) -> None:
    await Asking(llm).run()


async def threads(llm: Any) -> None:
    with ThreadPoolExecutor(CALLS) as pool:
        list(pool.map(lambda n: list(llm.stream(asked(n))), range(CALLS)))


Run = Callable[[Any], Any]
WAYS: dict[str, tuple[Callable[..., Any], Run]] = {
    "LangChain abatch": (langchain, abatch),
    "LlamaIndex workers": (llama_index, workers),
    "LlamaIndex achat": (llama_index, tasks),
    "threads": (langchain, threads),
}


async def _at_once(run: Run, llm: Any) -> None:
    """Both frameworks run async calls of boto3 in the loop's threads, of which there are few by default."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2 * CALLS))
    await run(llm)


def measure(way: str, fan_out: str, delay: float) -> dict[str, float]:
    """What one way of calling came to: prefix costs in units of its price, times in seconds."""
    make, run = WAYS[way]
    reports: list[CallReport] = []
    with BedrockEmulator(responder=lambda _: Reply.text("ok"), delay=delay, max_calls=1) as bedrock:
        pooled = Config(max_pool_connections=2 * CALLS, retries={"total_max_attempts": 1})
        client = boto3.client("bedrock-runtime", endpoint_url=bedrock.url, config=pooled, **KEYS)
        cache = PromptCache(clock=bedrock.now, observers=[reports.append])
        asyncio.run(_at_once(run, make(client, cache, fan_out)))
        many = list(reports)
        langchain(client, cache, fan_out).invoke(asked(CALLS))
        client.close()
    usages = [r.usage or Usage() for r in many]
    last = reports[-1].usage or Usage()
    # The 21st call reads it, and it alone.
    size = last.read_tokens or 1
    times = [r.first_token_seconds or r.seconds or 0.0 for r in many]
    return {
        "prefix": sum(_paid(usage, size) for usage in usages),
        "writers": sum((usage.write_tokens or 0) > size / 2 for usage in usages),
        "then": _paid(last, size),
        "median": statistics.median(times),
        "max": max(times),
    }


def _paid(usage: Usage, size: int) -> float:
    """What this call paid for the first `size` tokens, in units of their price."""
    read = min(usage.read_tokens or 0, size)
    written = min(usage.write_tokens or 0, size - read)
    return (READ * read + WRITE * written + size - read - written) / size


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--delay", type=float, default=1.0)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    found = {way: {fan: measure(way, fan, chosen.delay) for fan in BOUNDS} for way in WAYS}
    if chosen.json:
        print(json.dumps(found))
    else:
        print(f"{'':20}{'fan_out':15}{'prefix':>8}{'writers':>9}{'then':>7}{'median':>9}{'max':>9}")
        for way, rows in found.items():
            for fan, row in rows.items():
                print(_line(way, fan, row, rows["off"]))
    broken = [
        f"{way}, {fan}"
        for way, rows in found.items()
        for fan, row in rows.items()
        if row["prefix"] > BOUNDS[fan] or row["then"] > READ
    ]
    if broken:
        sys.exit(f"the prefix costs too much: {'; '.join(broken)}")


def _line(way: str, fan: str, row: dict[str, float], off: dict[str, float]) -> str:
    ratios = "".join(f"{row[name] / off[name]:9.2f}" for name in ("median", "max"))
    return f"{way:20}{fan:15}{row['prefix']:8.2f}{row['writers']:9.0f}{row['then']:7.2f}{ratios}"


if __name__ == "__main__":
    main()
