"""Requests as users of ChatBedrock make them, for the promise that off means off."""

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from tests.adapters import langchain_shapes as theirs
from tests.adapters.contract import MANUAL, Shape
from tests.adapters.langchain_shapes import (
    ASK,
    HISTORY,
    PIXEL,
    RESULTS,
    Verdict,
    invoke,
    look_up,
    order,
    stream,
    text,
    with_tools,
)

POINT = {"cache_control": {"type": "ephemeral"}}
HOUR = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
# What is Converse's alone, or not sent by ChatBedrock at all.
_CONVERSE = ("hand-", "guard", "reasoning", "pdf", "image", "empty-user")


PROMPTS = {
    **{n: p for n, p in theirs.PROMPTS.items() if not n.startswith(_CONVERSE)},
    "image": [
        HumanMessage(
            [
                text("what is it?"),
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": PIXEL},
                },
            ]
        )
    ],
    "image-url": [
        HumanMessage(
            [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}, text("what?")]
        )
    ],
    "hand-user": [HumanMessage([text(MANUAL, **POINT)])],
    "hand-system": [SystemMessage([text(MANUAL, **POINT)]), HumanMessage("hi")],
    "hand-hour": [SystemMessage([text(MANUAL, **HOUR)]), HumanMessage("hi")],
    "hand-both": [SystemMessage([text(MANUAL, **HOUR)]), HumanMessage([text(MANUAL, **POINT)])],
    "thinking": [
        HumanMessage("think"),
        AIMessage([{"type": "thinking", "thinking": "hm", "signature": "c2ln"}, text("done")]),
        HumanMessage("and?"),
    ],
}
TOOL_PROMPTS = {
    **{n: p for n, p in theirs.TOOL_PROMPTS.items() if n != "results-point"},
    "results-point": [
        *HISTORY,
        ToolMessage([text("3", **POINT)], tool_call_id="call_1"),
        RESULTS[1],
    ],
}
OPTIONS = {
    "max-tokens": {"max_tokens": 77},
    "temperature": {"temperature": 0.3},
    "top-p": {"model_kwargs": {"top_p": 0.9}},
    "top-k": {"model_kwargs": {"top_k": 5}},
    "stop": {"model_kwargs": {"stop_sequences": ["END", "STOP"]}},
    "thinking": {
        "model_kwargs": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        "max_tokens": 2_000,
    },
    "beta": {"model_kwargs": {"anthropic_beta": ["context-1m-2025-08-07"]}},
    "guardrail": {"guardrails": {"guardrailIdentifier": "g1", "guardrailVersion": "1", "trace": True}},
    "tier": {"service_tier": "flex"},
    "metadata": {"request_metadata": {"team": "pumps"}},
    "base-model": {"base_model": "anthropic.claude-sonnet-4-6"},
    "converse": {"beta_use_converse_api": True},
    "streaming": {"streaming": True},
    "converse-streaming": {"beta_use_converse_api": True, "streaming": True},
}
PER_CALL = {
    "stop": {"stop": ["END"]},
    "max_tokens": {"max_tokens": 9},
    "temperature": {"temperature": 0.0},
    "top-k": {"top_k": 3},
    "cache-control": POINT,
    "cache-control-hour": HOUR,
}
BINDINGS = {
    "tools": lambda m: m.bind_tools([look_up, order]),
    "tool-choice-any": lambda m: m.bind_tools([look_up, order], tool_choice="any"),
    "tool-choice-one": lambda m: m.bind_tools([order], tool_choice="order"),
    "json-tool": lambda m: m.bind_tools(
        [{"name": "x", "description": "d", "input_schema": {"type": "object"}}]
    ),
    "tools-point": lambda m: m.bind_tools(
        [{"name": "x", "description": "d", "input_schema": {"type": "object"}, **POINT}]
    ),
    "tools-then-stop": lambda m: m.bind_tools([look_up]).bind(stop=["END"]),
    "structured": lambda m: m.with_structured_output(Verdict),
    "raw": lambda m: m.with_structured_output(Verdict, include_raw=True),
}
SHAPES = (
    *(Shape(f"prompt-{n}", invoke(p)) for n, p in PROMPTS.items()),
    *(Shape(f"agent-{n}", invoke(p, with_tools)) for n, p in TOOL_PROMPTS.items()),
    *(Shape(f"stream-agent-{n}", stream(p, with_tools)) for n, p in TOOL_PROMPTS.items()),
    *(Shape(f"option-{n}", invoke(ASK), o) for n, o in OPTIONS.items()),
    *(Shape(f"call-{n}", invoke(ASK, **kw)) for n, kw in PER_CALL.items()),
    *(Shape(f"stream-call-{n}", stream(ASK, **kw)) for n, kw in PER_CALL.items()),
    *(Shape(f"bind-{n}", invoke(ASK, b)) for n, b in BINDINGS.items()),
)
