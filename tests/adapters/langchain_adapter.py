"""The harness of the LangChain adapter."""

import asyncio
from contextlib import contextmanager

from langchain_aws import ChatBedrockConverse
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from cachepoint.langchain import CachedChatBedrockConverse, get_cache_usage_callback
from tests.adapters.contract import CLAUDE, LLAMA, Answer, Tool, ToolCall
from tests.adapters.langchain_shapes import SHAPES

POINT = ChatBedrockConverse.create_cache_point()


class LangChainAdapter:
    uncached = LLAMA
    name = "langchain"
    modes = ("invoke", "ainvoke", "stream", "astream", "batch", "abatch")
    shapes = SHAPES

    def cached(self, bedrock, model=CLAUDE, *, policy=None, cache=None, **options):
        return CachedChatBedrockConverse(
            **_clients(bedrock), model=model, cache_policy=policy, prompt_cache=cache, **options
        )

    def base(self, bedrock, model=CLAUDE, **options):
        return ChatBedrockConverse(**_clients(bedrock), model=model, **options)

    def system(self, text):
        return SystemMessage(text)

    def user(self, text, *, point=False):
        return HumanMessage([{"type": "text", "text": text}, POINT] if point else text)

    def assistant(self, text):
        return AIMessage(text)

    def result(self, call, text):
        return ToolMessage(text, tool_call_id=call.id, name=call.name)

    def tool(self, tool: Tool):
        return {"name": tool.name, "description": tool.description, "input_schema": tool.schema}

    def ask(self, model, messages, *, tools=(), mode="", policy=None):
        runnable = model.bind_tools(tools) if tools else model
        call = {} if policy is None else {"cache_policy": policy}
        return _answer(_WAYS[mode or "invoke"](runnable, messages, call))

    def structured(self, model, schema, messages):
        return model.with_structured_output(schema).invoke(messages)

    def guarded(self, identifier):
        return {"guardrail_config": {"guardrailIdentifier": identifier, "guardrailVersion": "1"}}

    def warm(self, model, messages, *, tools=(), awaited=False):
        runnable = model.bind_tools(tools) if tools else model
        return asyncio.run(runnable.awarm(messages)) if awaited else runnable.warm(messages)

    def outlook(self, model, messages, *, tools=(), awaited=False, **options):
        runnable = model.bind_tools(tools) if tools else model
        if awaited:
            return asyncio.run(runnable.acache_outlook(messages, **options))
        return runnable.cache_outlook(messages, **options)

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
        messages = [HumanMessage("hi")]
        constructed = (
            {"cache_polcy": "off"},
            {"cachePolicy": "off"},
            {"caching": True},
            {"prompt_caching": True},
            {"ttl": "1h"},
            {"mode": "off"},
            {"cache_policy": {"tll": "1h"}},
            {"cache_policy": "of"},
            {"cache_policy": {"ttl": "2h"}},
            {"cache_control": {"ttl": "1h"}},
        )
        per_call = (
            {"cache_polcy": "off"},
            {"cache_policy": {"tll": "1h"}},
            {"ttl": "1h"},
            {"prompt_cache": None},
        )
        return (
            *(lambda bedrock, kw=kw: self.cached(bedrock, **kw) for kw in constructed[:6]),
            *(
                lambda bedrock, kw=kw: self.cached(bedrock, policy=kw["cache_policy"])
                for kw in constructed[6:9]
            ),
            lambda bedrock: self.cached(bedrock, **constructed[9]),
            *(lambda bedrock, kw=kw: self.cached(bedrock).invoke(messages, **kw) for kw in per_call),
            *(lambda bedrock, kw=kw: list(self.cached(bedrock).stream(messages, **kw)) for kw in per_call),
            *(lambda bedrock, kw=kw: self.cached(bedrock).bind(**kw) for kw in per_call),
            *(lambda bedrock, kw=kw: self.cached(bedrock).bind(stop=["x"]).bind(**kw) for kw in per_call),
        )


def _clients(bedrock):
    return {"client": bedrock.client(), "bedrock_client": bedrock.client("bedrock")}


def _answer(message):
    assert isinstance(message, AIMessage)
    return Answer(
        message=message,
        text=message.text,
        tool_calls=tuple(ToolCall(c["id"], c["name"], c["args"]) for c in message.tool_calls),
        report=message.response_metadata.get("cachepoint"),
    )


def _sum(chunks):
    carrying = [c for c in chunks if "cachepoint" in c.response_metadata]
    assert len(carrying) == 1
    assert carrying[0].usage_metadata
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    # As an agent puts it into its history.
    return AIMessage(
        **{
            k: getattr(whole, k)
            for k in ("content", "tool_calls", "response_metadata", "usage_metadata", "id")
        }
    )


async def _astream(runnable, messages, call):
    return [chunk async for chunk in runnable.astream(messages, **call)]


_WAYS = {
    "invoke": lambda r, m, kw: r.invoke(m, **kw),
    "ainvoke": lambda r, m, kw: asyncio.run(r.ainvoke(m, **kw)),
    "stream": lambda r, m, kw: _sum(list(r.stream(m, **kw))),
    "astream": lambda r, m, kw: _sum(asyncio.run(_astream(r, m, kw))),
    "batch": lambda r, m, kw: r.batch([m], **kw)[0],
    "abatch": lambda r, m, kw: asyncio.run(r.abatch([m], **kw))[0],
}
