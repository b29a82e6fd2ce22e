"""Requests as users of ChatAnthropicBedrock make them, for the promise that off means off."""

from langchain_core.messages import HumanMessage

from tests.adapters import invoke_shapes as theirs
from tests.adapters.contract import MANUAL, Shape
from tests.adapters.invoke_shapes import BINDINGS, HOUR, POINT, PROMPTS, TOOL_PROMPTS
from tests.adapters.langchain_shapes import ASK, PIXEL, invoke, look_up, order, stream, text, with_tools

# anthropic 2 calls Bedrock with the version of Anthropic's own API, which Bedrock refuses.
VERSION = {"anthropic_version": "bedrock-2023-05-31"}
# A connection that an async client keeps is of no use in the next `asyncio.run`.
CLOSE = {"Connection": "close"}


def of_bedrock(options):
    """Options of a model with the version that Bedrock takes, and without the SDK's own retries."""
    kwargs = {**options.pop("model_kwargs", {})}
    extra = {**VERSION, **kwargs.pop("extra_body", {})}
    headers = {**CLOSE, **options.pop("default_headers", {})}
    ours = {"default_headers": headers, "model_kwargs": {**kwargs, "extra_body": extra}}
    return {"max_retries": 0, **options, **ours}


PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQK"}
MORE = {
    "document": [HumanMessage([{"type": "document", "source": PDF}, text("what is it?")])],
    "data-block": [
        HumanMessage([{"type": "image", "base64": PIXEL, "mime_type": "image/png"}, text("what is it?")])
    ],
    "long": [HumanMessage(MANUAL)],
}
OPTIONS = {
    **{n: o for n, o in theirs.OPTIONS.items() if n in {"max-tokens", "temperature", "beta-in-body"}},
    "top-p": {"top_p": 0.9},
    "top-k": {"top_k": 5},
    "stop": {"stop_sequences": ["END", "STOP"]},
    "thinking": {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2_000},
    "beta": {"betas": ["context-1m-2025-08-07"]},
    "guardrail": {"guardrails": {"guardrailIdentifier": "g1", "guardrailVersion": "1", "trace": "enabled"}},
    "tier": {"model_kwargs": {"extra_headers": {"X-Amzn-Bedrock-Service-Tier": "flex"}}},
    "headers": {"default_headers": {"X-Amzn-Bedrock-Service-Tier": "flex"}},
    "body": {"model_kwargs": {"extra_body": {"system": MANUAL}}},
    "streaming": {"streaming": True},
    "no-usage": {"stream_usage": False, "streaming": True},
}
PER_CALL = {
    "stop": {"stop": ["END"]},
    "max_tokens": {"max_tokens": 9},
    "temperature": {"temperature": 0.0},
    "top-k": {"top_k": 3},
    "cache-control": POINT,
    "cache-control-hour": HOUR,
    "model": {"model": "us.anthropic.claude-haiku-4-5-20251001-v1:0"},
}
ALL = {**PROMPTS, **MORE}
SHAPES = (
    *(Shape(f"prompt-{n}", invoke(p)) for n, p in ALL.items()),
    *(Shape(f"agent-{n}", invoke(p, with_tools)) for n, p in TOOL_PROMPTS.items()),
    *(Shape(f"stream-agent-{n}", stream(p, with_tools)) for n, p in TOOL_PROMPTS.items()),
    *(Shape(f"option-{n}", invoke(ASK), o) for n, o in OPTIONS.items()),
    *(Shape(f"stream-option-{n}", stream(ASK), o) for n, o in OPTIONS.items()),
    *(Shape(f"call-{n}", invoke(ASK, **kw)) for n, kw in PER_CALL.items()),
    *(Shape(f"stream-call-{n}", stream(ASK, **kw)) for n, kw in PER_CALL.items()),
    *(Shape(f"bind-{n}", invoke(ASK, b)) for n, b in BINDINGS.items()),
    Shape("bind-strict", invoke(ASK, lambda m: m.bind_tools([look_up, order], parallel_tool_calls=False))),
)
