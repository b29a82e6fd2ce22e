"""Requests sent to the emulator's own engine, without sockets: what each layout of checkpoints costs."""

import base64
import copy
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cachepoint import CachePolicy, PromptCache, Usage, rules_for
from cachepoint.core.accounting.report import input_units
from cachepoint.emulator import BedrockEmulator, Reply
from cachepoint.emulator.service.operations import Incoming

MODEL = "us.anthropic.claude-sonnet-4-6"
POINT = {"cachePoint": {"type": "default"}}
Request = dict[str, Any]
Layout = Callable[[Request], Request]


def workload(file: Path) -> Iterator[tuple[float, Request]]:
    """The calls of a recorded workload in order: (seconds since the call before, request).

    Args:
        file: A line per conversation: `system` and `toolConfig`, if any, all `messages` as in Converse, and
            how many of them each of its `calls` sent, at which second of `t`.

    Raises:
        SystemExit: Where there is no such file.
    """
    if not file.exists():
        raise SystemExit(f"{file} is not there; say with --workloads where the recorded workloads are")
    for line in file.read_text("utf-8").splitlines():
        conversation = json.loads(line)
        base = {k: conversation[k] for k in ("system", "toolConfig") if conversation.get(k)}
        times = conversation["t"] or [8.0 * i for i in range(len(conversation["calls"]))]
        before = times[0]
        for n, t in zip(conversation["calls"], times, strict=True):
            yield t - before if t > before else 2.0, {**base, "messages": conversation["messages"][:n]}
            before = t


class Bedrock:
    """The emulator as a function."""

    def __init__(self, model: str = MODEL) -> None:
        self.model = model
        self.emulator = BedrockEmulator(responder=lambda _: Reply.text("ok"))
        self.units = 0.0
        self.tokens = 0
        self._path = f"/model/{quote(model, safe='')}/converse"

    def send(self, request: Request) -> Request:
        body = json.dumps(request, default=lambda b: base64.b64encode(b).decode()).encode()
        answer = self.emulator._service.answer(Incoming("POST", self._path, "us-east-1", body))
        response = json.loads(answer.body)
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {response}")
        usage = Usage.from_converse(response)
        self.units += input_units(usage, rules_for(self.model).multipliers)
        self.tokens += usage.input_tokens
        return response


def cost(calls: Iterable[tuple[float, Request]], layout: Layout, model: str = MODEL) -> float:
    """Input cost over what it would be without a cache."""
    bedrock = Bedrock(model)
    for gap, request in calls:
        bedrock.emulator.advance(gap)
        bedrock.send(layout(request))
    return bedrock.units / bedrock.tokens


def cost_of_ours(
    calls: Iterable[tuple[float, Request]], policy: CachePolicy | None = None, model: str = MODEL
) -> float:
    """The same with PromptCache."""
    bedrock = Bedrock(model)
    cache = PromptCache(policy=policy or CachePolicy(), clock=bedrock.emulator.now)
    for gap, request in calls:
        bedrock.emulator.advance(gap)
        call = cache.prepare(request, model_id=model)
        cache.settle(call, bedrock.send(call.request))
    return bedrock.units / bedrock.tokens


def uncached(request: Request) -> Request:
    return request


def system_only(request: Request) -> Request:
    return {**request, "system": [*request["system"], POINT]} if request.get("system") else request


def system_and_tail(request: Request) -> Request:
    """Most peers: LiteLLM, Strands, LibreChat."""
    return _mark(system_only(request), [-1])


def langchain_aws(request: Request) -> Request:
    """BedrockPromptCachingMiddleware 1.9.1: system, last message, tools, the message before the last."""
    out = system_only(request)
    if out.get("toolConfig"):
        out = {**out, "toolConfig": {**out["toolConfig"], "tools": [*out["toolConfig"]["tools"], POINT]}}
    return _mark(out, [-1, -2] if len(out["messages"]) > 1 else [-1])


def last_two_user(request: Request) -> Request:
    """pydantic-ai, old Cline: system and the last two user messages."""
    users = [i for i, m in enumerate(request["messages"]) if m["role"] == "user"]
    return _mark(system_only(request), users[-2:])


def _mark(request: Request, places: list[int]) -> Request:
    messages = copy.copy(request["messages"])
    for i in places:
        messages[i] = {**messages[i], "content": [*messages[i]["content"], POINT]}
    return {**request, "messages": messages}


LAYOUTS: dict[str, Layout] = {
    "uncached": uncached,
    "system only": system_only,
    "system and tail": system_and_tail,
    "langchain-aws": langchain_aws,
    "last two user messages": last_two_user,
}
