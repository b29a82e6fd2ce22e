"""The harness of the LlamaIndex adapter."""

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from llama_index.core.base.llms.types import CacheControl, CachePoint, ChatMessage, TextBlock, ToolCallBlock
from llama_index.core.tools import ToolMetadata
from llama_index.core.tools.types import BaseTool
from llama_index.llms.bedrock_converse import BedrockConverse
from pydantic import Field, create_model

from cachepoint.llama_index import CachedBedrockConverse, get_cache_usage_callback
from tests.adapters.contract import CLAUDE, LLAMA, Answer, ToolCall
from tests.adapters.llama_index_shapes import SHAPES
from tests.conftest import DUMMIES, REGION

POINT = CachePoint(cache_control=CacheControl(type="default"))
TYPES = {"string": str, "integer": int}


# llama-index-workflows 2.26.1 looks through all members of an agent, deprecated ones of pydantic among them.
AGENTS = [
    pytest.mark.filterwarnings(
        "ignore:The `(__fields__|__fields_set__|model_fields|model_computed_fields)`",
        "ignore:Accessing the 'model_",
        # Memory's aiosqlite connections are closed by nobody.
        "ignore:.*was deleted before being closed:ResourceWarning",
        "ignore:is_running called from within a step",
        "ignore:Skipping serialization of known unserializable key",
    ),
    pytest.mark.usefixtures("collected"),
]
"""What a module needs whose tests run agents and engines with a memory."""


@dataclass
class SchemaTool(BaseTool):
    """A tool that compares equal to its copies."""

    data: ToolMetadata

    @property
    def metadata(self):
        return self.data

    def __call__(self, _):
        raise NotImplementedError


class LlamaIndexAdapter:
    uncached = LLAMA
    name = "llama_index"
    modes = ("chat", "achat", "stream_chat", "astream_chat")
    shapes = SHAPES

    def cached(self, bedrock, model=CLAUDE, *, policy=None, cache=None, **options):
        return CachedBedrockConverse(
            **{**where(bedrock), **options}, model=model, cache_policy=policy, prompt_cache=cache
        )

    def base(self, bedrock, model=CLAUDE, **options):
        return BedrockConverse(**{**where(bedrock), **options}, model=model)

    def system(self, text):
        return ChatMessage(role="system", content=text)

    def user(self, text, *, point=False):
        return ChatMessage(role="user", blocks=[TextBlock(text=text), *([POINT] if point else [])])

    def assistant(self, text):
        return ChatMessage(role="assistant", content=text)

    def result(self, call, text):
        return ChatMessage(role="tool", content=text, additional_kwargs={"tool_call_id": call.id})

    def tool(self, tool):
        properties = tool.schema["properties"].items()
        schema = create_model(
            tool.name, **{k: (TYPES[v["type"]], Field(description=v["description"])) for k, v in properties}
        )
        return SchemaTool(ToolMetadata(description=tool.description, name=tool.name, fn_schema=schema))

    def ask(self, model, messages, *, tools=(), mode="", policy=None):
        call = {} if policy is None else {"cache_policy": policy}
        way, with_tools = _WAYS[mode or "chat"]
        if not tools:
            return _answer(way(getattr(model, mode or "chat"), messages, **call))
        if mode in {"", "chat", "achat"}:
            call["allow_parallel_tool_calls"] = True
        return _answer(way(getattr(model, with_tools), list(tools), chat_history=messages, **call))

    def structured(self, model, schema, messages):
        return model.as_structured_llm(schema).chat(messages)

    def guarded(self, identifier):
        return {"guardrail_identifier": identifier, "guardrail_version": "1"}

    def warm(self, model, messages, *, tools=(), awaited=False):
        if awaited:
            return asyncio.run(model.awarm(messages, tools=list(tools)))
        return model.warm(messages, tools=list(tools))

    def outlook(self, model, messages, *, tools=(), awaited=False, **options):
        if awaited:
            return asyncio.run(model.acache_outlook(messages, tools=list(tools), **options))
        return model.cache_outlook(messages, tools=list(tools), **options)

    def names(self, request):
        return [t["toolSpec"]["name"] for t in request["toolConfig"]["tools"] if "toolSpec" in t]

    def most(self, request):
        fields = request.get("additionalModelRequestFields") or {}
        return request["inferenceConfig"]["maxTokens"], (fields.get("thinking") or {}).get("budget_tokens")

    @contextmanager
    def meter(self):
        with get_cache_usage_callback() as usage:
            yield usage

    @property
    def misspelt(self):
        constructed = (
            {"cache_polcy": "off"},
            {"cachePolicy": "off"},
            {"caching": True},
            {"prompt_caching": True},
            {"ttl": "1h"},
            {"mode": "off"},
            {"policy": {"tll": "1h"}},
            {"policy": "of"},
            {"policy": {"ttl": "2h"}},
            {"cache_control": {"ttl": "1h"}},
        )
        per_call = (
            {"cache_polcy": "off"},
            {"cache_policy": {"tll": "1h"}},
            {"ttl": "1h"},
            {"prompt_cache": None},
        )
        ways = (
            lambda m, kw: m.chat([ChatMessage("hi")], **kw),
            lambda m, kw: list(m.stream_chat([ChatMessage("hi")], **kw)),
            lambda m, kw: asyncio.run(m.achat([ChatMessage("hi")], **kw)),
            lambda m, kw: m.complete("hi", **kw),
            lambda m, kw: m.chat_with_tools([], user_msg="hi", **kw),
        )
        return (
            *(lambda bedrock, kw=kw: self.cached(bedrock, **kw) for kw in constructed),
            *(
                lambda bedrock, kw=kw, way=way: way(self.cached(bedrock), kw)
                for kw in per_call
                for way in ways
            ),
        )


def where(bedrock):
    """The sync client, and what an aioboto3 session needs to make its own."""
    return {
        "client": bedrock.client(),
        "endpoint_url": bedrock.url,
        "region_name": REGION,
        "aws_access_key_id": DUMMIES["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": DUMMIES["AWS_SECRET_ACCESS_KEY"],
        "max_retries": 1,
    }


def _answer(response):
    message = response.message
    calls = [b for b in message.blocks if isinstance(b, ToolCallBlock)]
    return Answer(
        message=message,
        text=message.content,
        tool_calls=tuple(ToolCall(c.tool_call_id, c.tool_name, c.tool_kwargs) for c in calls),
        report=response.additional_kwargs.get("cachepoint"),
    )


def _last(chunks):
    assert [("cachepoint" in c.additional_kwargs) for c in chunks] == [False] * (len(chunks) - 1) + [True]
    return chunks[-1]


async def _astream(method, *args, **kwargs):
    return [chunk async for chunk in await method(*args, **kwargs)]


_WAYS = {
    "chat": (lambda f, *a, **kw: f(*a, **kw), "chat_with_tools"),
    "achat": (lambda f, *a, **kw: asyncio.run(f(*a, **kw)), "achat_with_tools"),
    "stream_chat": (lambda f, *a, **kw: _last(list(f(*a, **kw))), "stream_chat_with_tools"),
    "astream_chat": (
        lambda f, *a, **kw: _last(asyncio.run(_astream(f, *a, **kw))),
        "astream_chat_with_tools",
    ),
}
