"""Requests as LangChain users make them, for the promise that off means off."""

import base64
from typing import Annotated

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from tests.adapters.contract import MANUAL, Shape

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\x00" * 32).decode()
PDF = base64.b64encode(b"%PDF-1.4\n%%EOF").decode()
POINT = {"cachePoint": {"type": "default"}}


@tool
def look_up(part: Annotated[str, "its number"], count: int = 1) -> str:
    """Look a part up."""
    return part * count


@tool
def order(part: str) -> str:
    """Order a part."""
    return part


class Verdict(BaseModel):
    """The verdict."""

    good: bool = Field(description="whether it is good")
    why: str | None = None


def text(text, **more):
    return {"type": "text", "text": text, **more}


CALL = {"name": "look_up", "args": {"part": "A7"}, "id": "call_1", "type": "tool_call"}
CALLS = [CALL, {"name": "look_up", "args": {"part": "B8", "count": 2}, "id": "call_2", "type": "tool_call"}]
HISTORY = [HumanMessage("Is A7 in stock?"), AIMessage("", tool_calls=CALLS)]
RESULTS = [
    ToolMessage("3", tool_call_id="call_1"),
    ToolMessage("none", tool_call_id="call_2", status="error"),
]

PROMPTS = {
    "string": "hi there",
    "user": [HumanMessage("hi")],
    "unicode": [HumanMessage('Grüße, 東京 🚀 \u2028 "quoted" \\ end')],
    "whitespace": [SystemMessage("  be brief \n"), HumanMessage("  hi \n ")],
    "empty-user": [HumanMessage("")],
    "system": [SystemMessage(MANUAL), HumanMessage("hi")],
    "two-systems": [SystemMessage(MANUAL), SystemMessage("Today is Monday."), HumanMessage("hi")],
    "system-blocks": [SystemMessage([text(MANUAL), text("Today is Monday.")]), HumanMessage("hi")],
    "tuples": [("system", "be brief"), ("human", "hi"), ("ai", "hello"), ("human", "again")],
    "user-user": [HumanMessage("one"), HumanMessage("two")],
    "chat": [
        SystemMessage(MANUAL),
        *(m for n in range(6) for m in (HumanMessage(f"{n}?"), AIMessage(f"{n}."))),
        HumanMessage("so?"),
    ],
    "prefill": [HumanMessage("hi"), AIMessage("The answer is")],
    "blocks": [HumanMessage([text("one"), text("two")])],
    "image": [
        HumanMessage([text("what is it?"), {"type": "image", "mime_type": "image/png", "base64": PIXEL}])
    ],
    "image-url": [
        HumanMessage(
            [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}, text("what?")]
        )
    ],
    "pdf": [
        HumanMessage(
            [
                text("sum up"),
                {"type": "file", "mime_type": "application/pdf", "base64": PDF, "name": "report"},
            ]
        )
    ],
    "hand-user": [HumanMessage([text(MANUAL), POINT])],
    "hand-system": [SystemMessage([text(MANUAL), POINT]), HumanMessage("hi")],
    "hand-hour": [
        SystemMessage([text(MANUAL), {"cachePoint": {"type": "default", "ttl": "1h"}}]),
        HumanMessage("hi"),
    ],
    "hand-many": [
        SystemMessage([text(MANUAL), POINT]),
        *(HumanMessage([text(f"{n} {MANUAL}"), POINT]) for n in range(3)),
    ],
    "guard": [HumanMessage([{"type": "guard_content", "text": "is this safe?"}, text("hi")])],
    "reasoning": [
        HumanMessage("think"),
        AIMessage(
            [
                {"type": "reasoning_content", "reasoning_content": {"text": "hm", "signature": "c2ln"}},
                text("done"),
            ]
        ),
        HumanMessage("and?"),
    ],
    "named": [HumanMessage("hi", name="ann"), AIMessage("hello", name="bot"), HumanMessage("so?", id="m1")],
}
TOOL_PROMPTS = {
    "ask": [HumanMessage("Is A7 in stock?")],
    "results": [*HISTORY, *RESULTS],
    "results-and-text": [*HISTORY, *RESULTS, HumanMessage("well?")],
    "results-blocks": [*HISTORY, ToolMessage([text("3"), text("left")], tool_call_id="call_1"), RESULTS[1]],
    "results-point": [*HISTORY, ToolMessage([text("3"), POINT], tool_call_id="call_1"), RESULTS[1]],
    "two-rounds": [
        SystemMessage(MANUAL),
        *HISTORY,
        *RESULTS,
        AIMessage("", tool_calls=[{**CALL, "id": "call_3"}]),
        ToolMessage("1", tool_call_id="call_3"),
    ],
}
OPTIONS = {
    "max-tokens": {"max_tokens": 77},
    "temperature": {"temperature": 0.3},
    "top-p": {"top_p": 0.9},
    "stop": {"stop_sequences": ["END", "STOP"]},
    "system-field": {"system": [MANUAL, {"text": "more"}]},
    "guardrail": {
        "guardrail_config": {"guardrailIdentifier": "g1", "guardrailVersion": "1", "trace": "enabled"}
    },
    "guard-last": {
        "guardrail_config": {"guardrailIdentifier": "g1", "guardrailVersion": "1"},
        "guard_last_turn_only": True,
    },
    "raw-blocks": {"raw_blocks": [{"role": "user", "content": [{"text": MANUAL}, {"text": "hi"}]}]},
    "thinking": {"additional_model_request_fields": {"thinking": {"type": "enabled", "budget_tokens": 1024}}},
    "top-k": {"additional_model_request_fields": {"top_k": 5}},
    "response-paths": {"additional_model_response_field_paths": ["/stop_sequence"]},
    "performance": {"performance_config": {"latency": "optimized"}},
    "tier": {"service_tier": "flex"},
    "metadata": {"request_metadata": {"team": "pumps"}},
    "output-config": {
        "output_config": {
            "textFormat": {
                "type": "json_schema",
                "structure": {"jsonSchema": {"schema": '{"type": "object"}', "name": "x"}},
            }
        }
    },
}
PER_CALL = {
    "stop": {"stop": ["END"]},
    "max_tokens": {"max_tokens": 9},
    "temperature": {"temperature": 0.0},
    "cache-control": {"cache_control": {"type": "ephemeral"}},
    "cache-control-hour": {"cache_control": {"type": "ephemeral", "ttl": "1h"}},
    "model-fields": {"additional_model_request_fields": {"top_k": 3}},
    "guardrail": {"guardrail_config": {"guardrail_identifier": "g2", "guardrail_version": "2"}},
    "tool-config": {
        "tool_config": {"tools": [{"toolSpec": {"name": "t", "inputSchema": {"json": {"type": "object"}}}}]}
    },
}
BINDINGS = {
    "tools": lambda m: m.bind_tools([look_up, order]),
    "tool-choice-any": lambda m: m.bind_tools([look_up, order], tool_choice="any"),
    "tool-choice-one": lambda m: m.bind_tools([order], tool_choice="order"),
    "strict": lambda m: m.bind_tools([Verdict], strict=True),
    "tools-point": lambda m: m.bind_tools([look_up, POINT]),
    "json-tool": lambda m: m.bind_tools(
        [{"name": "x", "description": "d", "input_schema": {"type": "object"}}]
    ),
    "tools-then-stop": lambda m: m.bind_tools([look_up]).bind(stop=["END"]),
    "function-calling": lambda m: m.with_structured_output(Verdict),
    "json-schema": lambda m: m.with_structured_output(Verdict, method="json_schema"),
    "prefill": lambda m: m.with_structured_output(Verdict, method="prompt_prefill"),
    "raw": lambda m: m.with_structured_output(Verdict, include_raw=True),
}
ASK = [SystemMessage(MANUAL), HumanMessage("Is A7 in stock?")]


def invoke(prompt, bind=lambda m: m, **call):
    return lambda model: bind(model).invoke(prompt, **call)


def stream(prompt, bind=lambda m: m, **call):
    return lambda model: list(bind(model).stream(prompt, **call))


def with_tools(model):
    return model.bind_tools([look_up, order])


SHAPES = (
    *(Shape(f"prompt-{n}", invoke(p)) for n, p in PROMPTS.items()),
    *(Shape(f"stream-prompt-{n}", stream(p)) for n, p in PROMPTS.items()),
    *(Shape(f"agent-{n}", invoke(p, with_tools)) for n, p in TOOL_PROMPTS.items()),
    *(Shape(f"stream-agent-{n}", stream(p, with_tools)) for n, p in TOOL_PROMPTS.items()),
    *(Shape(f"option-{n}", invoke(ASK), o) for n, o in OPTIONS.items()),
    *(Shape(f"stream-option-{n}", stream(ASK), o) for n, o in OPTIONS.items()),
    *(Shape(f"call-{n}", invoke(ASK, **kw)) for n, kw in PER_CALL.items()),
    *(Shape(f"stream-call-{n}", stream(ASK, **kw)) for n, kw in PER_CALL.items()),
    *(Shape(f"bind-{n}", invoke(ASK, b)) for n, b in BINDINGS.items()),
    *(Shape(f"stream-bind-{n}", stream(ASK, b)) for n, b in BINDINGS.items()),
    Shape("streaming-field", invoke(ASK), {"streaming": True}),
    Shape("no-streaming", stream(ASK), {"disable_streaming": True}),
    Shape("raw-blocks-control", invoke(ASK, cache_control={"type": "ephemeral"}), OPTIONS["raw-blocks"]),
)
