"""CPU of prepare + settle, as a share of a plain `ChatBedrockConverse.invoke` of the same messages.

Two conversations of about 200 messages go on turn by turn: a chat, and an agent whose every step is a call
of a tool and its result, with 40 tools. Each round adds a turn and measures, one after the other, the plain
invoke, prepare + settle of the request that LangChain made of it, in new dicts, and the invoke of our class.
Then the same requests are prepared and settled once more, one after the other, with the answers that came.
All is CPU of the calling thread (`time.thread_time`); the emulator answers in threads of its own, which
don't count. Medians over the rounds.

  plain        one plain invoke
  ours         prepare + settle, one after the other; `share`, of the plain invoke, is bounded
  between      prepare + settle between other work, as in a process that does much else; `cold` is its share
  new strings  the same where the strings are new objects too, as where a history comes from a database
  class        what an invoke of CachedChatBedrockConverse costs more than the plain one
  first        prepare + settle where nothing is known, as of the first call in a process
  diagnosis    the share of `ours` that finding out why a call missed takes, of calls that hit: with it and
               without it, in turn

    python benchmarks/overhead.py [--rounds 40] [--json]

It ends with an error where a share is more than 8 %, or the diagnosis more than 5 %.
"""

import argparse
import copy
import json
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import boto3
from langchain_aws import ChatBedrockConverse
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.runnables import Runnable
from measure import timed
from prompts import MODEL, text

from cachepoint import PromptCache
from cachepoint.core import steps
from cachepoint.core.memory.records import Trace
from cachepoint.core.placement import thread
from cachepoint.core.placement.question import Question
from cachepoint.core.prompt.prefix import Prefix
from cachepoint.emulator import BedrockEmulator, Reply
from cachepoint.langchain import CachedChatBedrockConverse

MESSAGES, TOOLS = 200, 40
BYTES_A_MESSAGE, BYTES_A_RESULT = 2_000, 3_200
BOUND, DIAGNOSIS, ROUNDS = 0.08, 0.05, 16
INPUT = ("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")


def chat(messages: int) -> list[BaseMessage]:
    """System, question, answer, question … question."""
    kinds = (HumanMessage, AIMessage)
    return [SystemMessage(text("system", BYTES_A_MESSAGE))] + [
        kinds[i % 2](text(i, BYTES_A_MESSAGE)) for i in range(messages - 1)
    ]


def agent(messages: int) -> list[BaseMessage]:
    """System, task, then a call of a tool and its result, again and again."""
    head = [SystemMessage(text("system", BYTES_A_MESSAGE)), HumanMessage(text("task", BYTES_A_MESSAGE))]
    return head + [m for i in range((messages - 2) // 2) for m in step(i)]


def step(i: int) -> tuple[BaseMessage, BaseMessage]:
    args = {"path": f"src/module_{i}.py", "lines": [i, i + 80], "pattern": text(i, 60), "recursive": True}
    name = f"tool_{i % TOOLS}"
    call = {"name": name, "args": args, "id": f"tooluse_{i:022}", "type": "tool_call"}
    return (
        AIMessage(text(f"step {i}", 200), tool_calls=[call]),
        ToolMessage(text(i, BYTES_A_RESULT), tool_call_id=call["id"], name=name),
    )


def tools() -> list[dict[str, Any]]:
    """In new dicts, as frameworks make them from functions and models."""
    fields = {
        "path": {"type": "string", "description": "Where to look, from the root of the repository."},
        "lines": {
            "type": "array",
            "items": {"type": "integer"},
            "description": "The first and the last line.",
        },
        "pattern": {"type": "string", "description": "A regular expression; empty for all."},
        "recursive": {"type": "boolean", "description": "Whether folders are followed.", "default": False},
    }
    schema = {"type": "object", "properties": fields, "required": ["path"]}
    return [
        {"name": f"tool_{i}", "description": text(f"tool {i}", 400), "input_schema": copy.deepcopy(schema)}
        for i in range(TOOLS)
    ]


Bind = Callable[[Runnable], Runnable]
KINDS: dict[str, tuple[Callable[[int], list[BaseMessage]], Bind]] = {
    "chat": (chat, lambda llm: llm),
    "tool-rich": (agent, lambda llm: llm.bind_tools(tools())),
}


@contextmanager
def undiagnosed() -> Iterator[None]:
    """Requests are compared with none before, and misses are not looked for."""
    alone = thread.Thread(None, (), ())
    with (
        patch.object(thread.Thread, "of", lambda *_: alone),
        patch.object(thread.Thread, "trace", lambda _, __, prefix, *___: bare(prefix)),
        patch.object(Question, "turns", lambda *_: []),
        patch.object(Question, "kin", lambda *_: []),
        patch.object(steps, "miss", lambda *_: None),
    ):
        yield


def bare(prefix: Prefix) -> Trace:
    """What placement keeps of a request."""
    return Trace((("model", b""),), prefix.settings, prefix.parts, prefix.own, prefix.head)


class Bench:
    """The models on an emulator, and the requests that LangChain makes of messages."""

    def __init__(self, bedrock: BedrockEmulator) -> None:
        where = {"endpoint_url": bedrock.url, "region_name": "us-east-1"}
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
        self.client = boto3.client("bedrock-runtime", **where, **keys)
        both = {"client": self.client, "bedrock_client": boto3.client("bedrock", **where, **keys)}
        self.plain = ChatBedrockConverse(model=MODEL, **both)
        self.ours = CachedChatBedrockConverse(model=MODEL, prompt_cache=PromptCache(), **both)
        self.cache, self.other_cache = PromptCache(), PromptCache()
        self._made: list[dict[str, Any]] = []
        self._seen: list[tuple[dict[str, Any], Any]] = []
        self.client.meta.events.register_first(
            "before-parameter-build.bedrock-runtime.Converse", lambda params, **_: self._made.append(params)
        )

    def round(self, messages: list[BaseMessage], bind: Bind) -> dict[str, float]:
        """Seconds of CPU of each, and the size of the request in tokens."""
        model = bind(self.plain)
        plain, _ = timed(model.invoke, messages)
        # LangChain hands the arguments of a tool on as they are: agents parse them anew.
        request = copy.deepcopy(self._made.pop())
        between, response = self.prepare_settle(self.cache, copy.deepcopy(request))
        self._seen.append((request, response))
        new, _ = self.prepare_settle(self.other_cache, json.loads(json.dumps(request)), response)
        first, _ = self.prepare_settle(PromptCache(), json.loads(json.dumps(request)), response)
        model = bind(self.ours)
        whole, _ = timed(model.invoke, messages)
        self._made.clear()
        spent = {
            "plain": plain,
            "between": between,
            "new strings": new,
            "class": whole - plain,
            "first": first,
        }
        return {"tokens": sum(response["usage"][k] for k in INPUT), **spent}

    def diagnosis(self, turn: int) -> list[float]:
        """The share of prepare + settle that the diagnosis takes, of each request."""
        caches = {False: PromptCache(), True: PromptCache()}
        shares = []
        for i, (request, answer) in enumerate(self._seen):
            spent = {}
            # What comes second finds the request in the processor's caches.
            for on in ((i + turn) % 2 == 0, (i + turn) % 2 == 1):
                with nullcontext() if on else undiagnosed():
                    spent[on], _ = self.prepare_settle(caches[on], copy.deepcopy(request), answer)
            shares.append(1 - spent[False] / spent[True])
        return shares[1:]

    def in_a_row(self) -> list[float]:
        """Seconds of prepare + settle of each request so far, in new dicts, and nothing between them."""
        cache = PromptCache()
        return [self.prepare_settle(cache, copy.deepcopy(r), answer)[0] for r, answer in self._seen]

    def prepare_settle(
        self, cache: PromptCache, request: dict[str, Any], response: Any = None
    ) -> tuple[float, Any]:
        before, call = timed(cache.prepare, request)
        response = response or self.client.converse(**call.request)
        after, _ = timed(cache.settle, call, response)
        return before + after, response


def measure(kind: str, rounds: int, messages: int = MESSAGES) -> dict[str, float]:
    """Medians; the conversation has `messages` in the middle one of the rounds."""
    make, bind = KINDS[kind]
    longest = make(messages + rounds)
    sizes = range(messages - rounds, messages + rounds, 2)
    with BedrockEmulator(responder=lambda _: Reply.text("ok"), max_calls=1) as bedrock:
        bench = Bench(bedrock)
        bench.round(longest[: sizes[0] - 2], bind)
        spent = [bench.round(longest[:size], bind) for size in sizes]
        in_a_row = bench.in_a_row()[1:]
    assert bench.cache.faults == 0
    medians = {name: statistics.median(s[name] for s in spent) for name in spent[0]}
    diagnosis = statistics.median(share for turn in range(ROUNDS) for share in bench.diagnosis(turn))
    medians["ours"] = statistics.median(in_a_row)
    shares = {"share": medians["ours"] / medians["plain"], "cold": medians["between"] / medians["plain"]}
    return {**medians, **shares, "diagnosis": diagnosis}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=40)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    found = {kind: measure(kind, chosen.rounds) for kind in KINDS}
    if chosen.json:
        print(json.dumps(found))
    else:
        show(found)
    if max(f["share"] for f in found.values()) > BOUND:
        sys.exit(f"more than {BOUND:.0%} of a plain invoke")
    if max(f["diagnosis"] for f in found.values()) > DIAGNOSIS:
        sys.exit(f"the diagnosis takes more than {DIAGNOSIS:.0%}")


def show(found: dict[str, dict[str, float]]) -> None:
    columns = ("plain", "ours", "between", "new strings", "class", "first")
    titles = (*columns, "share", "cold", "diagnosis")
    print(f"{f'{MESSAGES} messages, ms of CPU':28}" + "".join(f"{title:>14}" for title in titles))
    for kind, f in found.items():
        label = f"{kind}, {f['tokens']:,.0f} tokens"
        print(
            f"{label:28}"
            + "".join(f"{1000 * f[c]:>14.2f}" for c in columns)
            + f"{f['share']:>14.1%}{f['cold']:>14.1%}{f['diagnosis']:>14.1%}"
        )


if __name__ == "__main__":
    main()
