"""Requests as LlamaIndex users make them, for the promise that off means off."""

import asyncio
import base64

from llama_index.core.base.llms.types import (
    CacheControl,
    CachePoint,
    ChatMessage,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, Field

from tests.adapters.contract import MANUAL, Shape

PIXEL = b"\x89PNG\r\n\x1a\n" + b"\x00" * 32


def look_up(part: str, count: int = 1) -> str:
    """Look a part up."""
    return part * count


def order(part: str) -> str:
    """Order a part."""
    return part


class Verdict(BaseModel):
    """The verdict."""

    good: bool = Field(description="whether it is good")
    why: str | None = None


TOOLS = [FunctionTool.from_defaults(look_up), FunctionTool.from_defaults(order)]


def point(ttl="5m", kind="default"):
    return CachePoint(cache_control=CacheControl(type=kind, ttl=ttl))


def message(role, *blocks, **more):
    return ChatMessage(
        role=role, blocks=[TextBlock(text=b) if isinstance(b, str) else b for b in blocks], **more
    )


def result(call, *blocks, **more):
    return message("tool", *blocks, additional_kwargs={"tool_call_id": call, **more})


def called(*ids):
    return [ToolCallBlock(tool_call_id=i, tool_name="look_up", tool_kwargs={"part": i}) for i in ids]


def prompts():
    hi = message("user", "hi")
    return {
        "user": [hi],
        "unicode": [message("user", 'Grüße, 東京 🚀 \u2028 "quoted" \\ end')],
        "whitespace": [message("system", "  be brief \n"), message("user", "  hi \n ")],
        "empty-user": [message("user", "")],
        "system": [message("system", MANUAL), hi],
        "two-systems": [message("system", MANUAL), message("system", "Today is Monday."), hi],
        "system-blocks": [message("system", MANUAL, "Today is Monday."), hi],
        "late-system": [hi, message("system", "be brief"), message("user", "again")],
        "user-user": [message("user", "one"), message("user", "two")],
        "chat": [
            message("system", MANUAL),
            *(m for n in range(6) for m in (message("user", f"{n}?"), message("assistant", f"{n}."))),
            message("user", "so?"),
        ],
        "prefill": [hi, message("assistant", "The answer is")],
        "blocks": [message("user", "one", "two")],
        "image": [message("user", "what?", ImageBlock(image=PIXEL, image_mimetype="image/png"))],
        "pdf": [
            message(
                "user",
                "sum up",
                DocumentBlock(
                    data=base64.b64encode(b"%PDF-1.4\n%%EOF"), title="r", document_mimetype="application/pdf"
                ),
            )
        ],
        "csv-last": [
            message(
                "user",
                "sum up",
                DocumentBlock(data=base64.b64encode(b"a,b\n1,2"), title="t", document_mimetype="text/csv"),
            )
        ],
        "hand-user": [message("user", MANUAL, point())],
        "hand-system": [message("system", MANUAL, point()), hi],
        "hand-hour": [message("system", MANUAL, point("1h")), message("user", MANUAL, point("1h"))],
        "hand-kind": [
            message("system", MANUAL, point("1h", "ephemeral")),
            message("user", "x", point(kind="e")),
        ],
        "hand-middle": [message("system", MANUAL, point(), "Today is Monday."), hi],
        "hand-many": [
            message("system", MANUAL, point()),
            *(message("user", f"{n}", point()) for n in range(3)),
        ],
        "thinking": [
            message("user", "think"),
            message(
                "assistant", ThinkingBlock(content="hm", additional_information={"signature": "c2ln"}), "done"
            ),
            message("user", "and?"),
        ],
    }


def tool_prompts():
    asked = [message("user", "Are A and B in stock?"), message("assistant", *called("a", "b"))]
    return {
        "ask": [message("user", "Is A in stock?")],
        "results": [*asked, result("a", "3"), result("b", "none", status="error")],
        "results-and-text": [*asked, result("a", "3"), result("b", "0"), message("user", "well?")],
        "results-blocks": [*asked, result("a", "3", "left"), result("b", "0")],
        "legacy-calls": [
            message("user", "A?"),
            message(
                "assistant",
                additional_kwargs={
                    "tool_calls": [{"toolUseId": "a", "name": "look_up", "input": {"part": "a"}}]
                },
            ),
            result("a", "3"),
        ],
        "two-rounds": [
            message("system", MANUAL),
            *asked,
            result("a", "3"),
            result("b", "0"),
            message("assistant", "Again.", *called("c")),
            result("c", "1"),
        ],
    }


OPTIONS = {
    "max-tokens": {"max_tokens": 77},
    "temperature": {"temperature": 0.3},
    "system-flag": {"system_prompt_caching": True},
    "tools-flag": {"tool_caching": True},
    "guardrail": {"guardrail_identifier": "g1", "guardrail_version": "1", "trace": "enabled"},
    "guardrail-stream": {
        "guardrail_identifier": "g1", "guardrail_version": "1", "guardrail_stream_processing_mode": "async",
    },
    "thinking": {"thinking": {"type": "enabled", "budget_tokens": 1024}, "temperature": 1.0, "max_tokens": 4096},
    "fields": {"additional_kwargs": {"additionalModelRequestFields": {"top_k": 5}}},
    "tier": {"additional_kwargs": {"requestMetadata": {"team": "pumps"}}},
    "latency": {"additional_kwargs": {"performanceConfig": {"latency": "optimized"}}},
}  # fmt: skip
PER_CALL = {
    "max_tokens": {"max_tokens": 9},
    "temperature": {"temperature": 0.0},
    "model-fields": {"additionalModelRequestFields": {"top_k": 3}},
    "stop": {"inferenceConfig": {"stopSequences": ["END"]}},
}


def ask():
    return [message("system", MANUAL), message("user", "Is A7 in stock?")]


def _chat(make, **kw):
    return lambda m: m.chat(make(), **kw)


def _stream(make, **kw):
    return lambda m: list(m.stream_chat(make(), **kw))


def _achat(make, **kw):
    return lambda m: asyncio.run(m.achat(make(), **kw))


def _astream(make, **kw):
    async def drain(m):
        return [c async for c in await m.astream_chat(make(), **kw)]

    return lambda m: asyncio.run(drain(m))


def _tools(make, **kw):
    return lambda m: m.chat_with_tools(TOOLS, chat_history=make(), **kw)


def _atools(make, **kw):
    async def drain(m):
        return [c async for c in await m.astream_chat_with_tools(TOOLS, chat_history=make(), **kw)]

    return lambda m: asyncio.run(drain(m))


def _of(table, name):
    return lambda: table()[name]


CALLS = {
    "complete": lambda m: m.complete("hi"),
    "stream-complete": lambda m: list(m.stream_complete("hi")),
    "acomplete": lambda m: asyncio.run(m.acomplete("hi")),
    "predict": lambda m: m.predict(PromptTemplate("Say {word}."), word="hi"),
    "structured": lambda m: m.structured_predict(Verdict, PromptTemplate("Is {it} good?"), it="it"),
    "structured-llm": lambda m: m.as_structured_llm(Verdict).chat(ask()),
    "predict-and-call": lambda m: m.predict_and_call(TOOLS, user_msg="Is A in stock?"),
    "tool-required": _tools(ask, tool_required=True),
    "tool-choice": _tools(ask, tool_choice={"tool": {"name": "order"}}),
    "tool-caching": _tools(ask, tool_caching=True),
    "parallel": _tools(ask, allow_parallel_tool_calls=True),
}
SHAPES = (
    *(Shape(f"chat-{n}", _chat(_of(prompts, n))) for n in prompts()),
    *(Shape(f"stream-{n}", _stream(_of(prompts, n))) for n in prompts()),
    *(Shape(f"achat-{n}", _achat(_of(prompts, n))) for n in prompts()),
    *(Shape(f"tools-{n}", _tools(_of(tool_prompts, n))) for n in tool_prompts()),
    *(Shape(f"atools-{n}", _atools(_of(tool_prompts, n))) for n in tool_prompts()),
    *(Shape(f"option-{n}", _tools(ask), o) for n, o in OPTIONS.items()),
    *(Shape(f"aoption-{n}", _atools(ask), o) for n, o in OPTIONS.items()),
    *(Shape(f"call-{n}", _chat(ask, **kw)) for n, kw in PER_CALL.items()),
    *(Shape(f"acall-{n}", _astream(ask, **kw)) for n, kw in PER_CALL.items()),
    *(Shape(n, run) for n, run in CALLS.items()),
)
