"""The calls of the chaos: what a user of either framework sees of one, with our classes and the plain ones.

Each way takes a model of one side and an id, and gives the outcome: text, tool calls, usage, and the error.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from threading import Lock
from typing import Any

import boto3
from botocore.config import Config
from chaos_bedrock import TAG, drawn, fate
from langchain_aws import ChatBedrock, ChatBedrockConverse
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.bedrock_converse import BedrockConverse
from prompts import MODEL, text

from cachepoint import PromptCache
from cachepoint.aws import CachingClient
from cachepoint.aws.async_client import AsyncCachingClient
from cachepoint.emulator import Delay
from cachepoint.langchain import CachedChatBedrock, CachedChatBedrockConverse
from cachepoint.llama_index import CachedBedrockConverse

APPS = 12
FAN_OUT = ("single_flight", "warm_first", "off")
KEYS = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
# Who gives a call up waits no longer than this; the answer is later.
PATIENCE = 0.1
RETRIES = 3


class Attempts:
    """HTTP requests by the tag that stands in them, as botocore sends them."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = Lock()

    def __call__(self, request: Any, **_: Any) -> None:
        if found := TAG.findall(bytes(request.body or b"").decode("utf-8", "replace")):
            with self._lock:
                self._counts[".".join(found[-1])] += 1

    def of(self, tag: str) -> int:
        with self._lock:
            return self._counts.pop(tag.strip("#"), 0)


class Awaited:
    """What a client of aiobotocore is to its caller, over boto3's in a thread."""

    def __init__(self, client: Any) -> None:
        self._client, self.meta, self.exceptions = client, client.meta, client.exceptions

    async def converse(self, **request: Any) -> Any:
        return await asyncio.to_thread(self._client.converse, **request)

    async def converse_stream(self, **request: Any) -> Any:
        raise NotImplementedError

    invoke_model = invoke_model_with_response_stream = converse_stream


@dataclass(frozen=True)
class Id:
    """One request: its number, which time its caller asks it, and the side."""

    number: int
    again: int
    side: str

    @property
    def tag(self) -> str:
        return f"#{self.number}.{self.again:03}.{self.side}#"

    @property
    def app(self) -> int:
        return drawn(self.number, "app", APPS)

    @property
    def turns(self) -> list[str]:
        """A conversation of this application, and the question at its end."""
        said = [text(f"app {self.app} turn {n}", 1_500) for n in range(2 * drawn(self.number, "turns", 3))]
        document = text(f"document {drawn(self.number, 'document', 4)} of {self.app}", 2_000)
        shown = [f"{document}\n\n"] if drawn(self.number, "shown", 2) else []
        return [*said, "".join([*shown, f"Question {self.tag}: what of {self.number}?"])]

    @property
    def has_tools(self) -> bool:
        return drawn(self.number, "tools", 3) == 0

    @property
    def system(self) -> str:
        return text(f"You are application {self.app}.", 3_000)


def look_up(word: str) -> str:
    """Look a word up."""
    return word


SCHEMA = {
    "name": "look_up",
    "description": "Look a word up.",
    "input_schema": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
}
TOOL = FunctionTool.from_defaults(look_up)


def langchain(model: Any, asked: Id) -> tuple[Any, list[Any]]:
    kinds = (HumanMessage, AIMessage)
    said = [kinds[i % 2](t) for i, t in enumerate(asked.turns)]
    return model.bind_tools([SCHEMA]) if asked.has_tools else model, [SystemMessage(asked.system), *said]


def llama_index(asked: Id) -> tuple[list[ChatMessage], dict[str, Any]]:
    said = [ChatMessage(role=("user", "assistant")[i % 2], content=t) for i, t in enumerate(asked.turns)]
    return [ChatMessage(role="system", content=asked.system), *said], {"tools": [TOOL]}


def converse(asked: Id) -> dict[str, Any]:
    messages = [
        {"role": ("user", "assistant")[i % 2], "content": [{"text": t}]} for i, t in enumerate(asked.turns)
    ]
    return {"modelId": MODEL, "system": [{"text": asked.system}], "messages": messages}


def seen_by_langchain(messages: Sequence[Any]) -> Any:
    """What came, in whole messages or in chunks: joined."""
    if not messages:
        return None
    joined = messages[0]
    for message in messages[1:]:
        joined += message
    used = joined.usage_metadata or {}
    calls = [(call["name"], call["args"], call["id"]) for call in joined.tool_calls]
    return joined.text, calls, used.get("input_tokens"), used.get("output_tokens"), used.get("total_tokens")


def seen_by_llama_index(responses: Sequence[Any]) -> Any:
    """The last holds what came before it; the deltas say what came when."""
    if not responses:
        return None
    last, deltas = responses[-1], [response.delta for response in responses]
    used = last.additional_kwargs
    inputs = ("prompt_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    calls = [
        (c.tool_name, c.tool_kwargs, c.tool_call_id) for c in last.message.blocks if hasattr(c, "tool_name")
    ]
    return (
        last.message.content,
        deltas,
        calls,
        sum(used.get(name) or 0 for name in inputs),
        used.get("completion_tokens"),
        used.get("total_tokens"),
    )


def seen_of_converse(response: Mapping[str, Any]) -> Any:
    used = response.get("usage") or {}
    inputs = ("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
    output = response.get("output"), response.get("stopReason")
    return (
        *output,
        sum(used.get(name) or 0 for name in inputs),
        used.get("outputTokens"),
        used.get("totalTokens"),
    )


async def _collected(stream: AsyncIterator[Any]) -> list[Any]:
    return [part async for part in stream]


async def _begun(stream: Any) -> list[Any]:
    """The first part; then the caller has seen enough."""
    async with aclosing(stream) as open_stream:
        async for part in open_stream:
            return [part]
    return []


def _first(stream: Iterable[Any]) -> list[Any]:
    for part in stream:
        with suppress(AttributeError):
            stream.close()
        return [part]
    return []


def invoke(model: Any, asked: Id) -> Any:
    model, messages = langchain(model, asked)
    return seen_by_langchain([model.invoke(messages)])


def stream(model: Any, asked: Id) -> Any:
    model, messages = langchain(model, asked)
    return seen_by_langchain(list(model.stream(messages)))


def glance(model: Any, asked: Id) -> Any:
    model, messages = langchain(model, asked)
    return seen_by_langchain(_first(model.stream(messages)))


async def ainvoke(model: Any, asked: Id) -> Any:
    model, messages = langchain(model, asked)
    return seen_by_langchain([await model.ainvoke(messages)])


async def astream(model: Any, asked: Id) -> Any:
    model, messages = langchain(model, asked)
    return seen_by_langchain(await _collected(model.astream(messages)))


async def aglance(model: Any, asked: Id) -> Any:
    model, messages = langchain(model, asked)
    return seen_by_langchain(await _begun(model.astream(messages)))


def chat(model: Any, asked: Id) -> Any:
    messages, tools = llama_index(asked)
    if asked.has_tools:
        return seen_by_llama_index([model.chat_with_tools(chat_history=messages, **tools)])
    return seen_by_llama_index([model.chat(messages)])


def stream_chat(model: Any, asked: Id) -> Any:
    messages, tools = llama_index(asked)
    if asked.has_tools:
        return seen_by_llama_index(list(model.stream_chat_with_tools(chat_history=messages, **tools)))
    return seen_by_llama_index(list(model.stream_chat(messages)))


async def achat(model: Any, asked: Id) -> Any:
    messages, tools = llama_index(asked)
    if asked.has_tools:
        return seen_by_llama_index([await model.achat_with_tools(chat_history=messages, **tools)])
    return seen_by_llama_index([await model.achat(messages)])


async def astream_chat(model: Any, asked: Id) -> Any:
    messages, tools = llama_index(asked)
    if asked.has_tools:
        answer = await model.astream_chat_with_tools(chat_history=messages, **tools)
    else:
        answer = await model.astream_chat(messages)
    return seen_by_llama_index(await _collected(answer))


def boto(client: Any, asked: Id) -> Any:
    return seen_of_converse(client.converse(**converse(asked)))


async def awaited(client: Any, asked: Id) -> Any:
    return seen_of_converse(await client.converse(**converse(asked)))


Way = Callable[[Any, Id], Any]
AWay = Callable[[Any, Id], Awaitable[Any]]
# By the kind of model: what threads do with it, and what tasks do.
THREADS: Sequence[tuple[str, Way]] = (
    *(("converse", way) for way in (invoke, stream, glance)),
    *(("invoke_model", way) for way in (invoke, stream, glance)),
    *(("llama_index", way) for way in (chat, stream_chat)),
    ("boto3", boto),
)
TASKS: Sequence[tuple[str, AWay]] = (
    *(("converse", way) for way in (ainvoke, astream, aglance)),
    *(("invoke_model", way) for way in (ainvoke, astream)),
    *(("llama_index", way) for way in (achat, astream_chat)),
    ("async client", awaited),
)


def gives_up(number: int) -> bool:
    """Whether the task that calls is cancelled before there can be an answer: by the id."""
    return isinstance(fate(number)[0], Delay) and bool(drawn(number, "gives up", 2))


def client(url: str, attempts: Attempts) -> Any:
    """Legacy retries: those of other modes share a quota, and one call would spend those of others."""
    config = Config(
        max_pool_connections=400,
        read_timeout=30,
        retries={"mode": "legacy", "total_max_attempts": RETRIES},
    )
    made = boto3.client("bedrock-runtime", endpoint_url=url, config=config, **KEYS)
    made.meta.events.register("before-send.bedrock-runtime", attempts)
    return made


def plain_models(runtime: Any) -> dict[str, Any]:
    """By kind, the base classes."""
    both = {"client": runtime, "bedrock_client": runtime}
    return {
        "converse": ChatBedrockConverse(model=MODEL, **both),
        "invoke_model": ChatBedrock(model=MODEL, client=runtime, max_tokens=1_000),
        "llama_index": BedrockConverse(**_llama_index(runtime)),
        "boto3": runtime,
        "async client": Awaited(runtime),
    }


def our_models(runtime: Any, cache: PromptCache, fan_out: str) -> dict[str, Any]:
    """By kind, ours, with the same arguments."""
    both = {"client": runtime, "bedrock_client": runtime}
    ours = {"prompt_cache": cache, "cache_policy": {"fan_out": fan_out}}
    policy = {"policy": {"fan_out": fan_out}, "cache": cache}
    return {
        "converse": CachedChatBedrockConverse(model=MODEL, **both, **ours),
        "invoke_model": CachedChatBedrock(model=MODEL, client=runtime, max_tokens=1_000, **ours),
        "llama_index": CachedBedrockConverse(**_llama_index(runtime), **ours),
        "boto3": CachingClient(runtime, **policy),
        "async client": AsyncCachingClient(Awaited(runtime), **policy),
    }


def _llama_index(runtime: Any) -> dict[str, Any]:
    return {
        "model": MODEL,
        "client": runtime,
        "endpoint_url": runtime.meta.endpoint_url,
        "max_retries": 2,
        **KEYS,
    }
