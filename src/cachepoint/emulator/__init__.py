"""Amazon Bedrock's prompt cache on 127.0.0.1: for tests, and for programs without an AWS account.

Stands alone: imports nothing of the rest of `cachepoint`, so that it can be a witness against it.

`Options` says what can be set. Not modelled: InvokeModel but for Claude's and Nova's bodies, partial reads
and videos on Nova, end of life of old models. Token counts are estimates unless a `sizer` knows better.
"""

from cachepoint.emulator.cache.engine import CacheEngine, Outcome, Scope
from cachepoint.emulator.cache.options import Options
from cachepoint.emulator.cache.prompt import Block, Marker, Prompt, read_prompt
from cachepoint.emulator.cache.rules import ModelRules, resolve
from cachepoint.emulator.cache.tokens import Sizer, default_sizer
from cachepoint.emulator.responders import (
    AutoResponder,
    EmulatedError,
    ParsedRequest,
    ReplayResponder,
    Reply,
    Responder,
    Script,
    ScriptedResponder,
    Step,
    TextResponder,
    ToolResponder,
)
from cachepoint.emulator.service.calls import Calls, EmulatedCall
from cachepoint.emulator.service.faults import Cut, Delay, Fault, Garbage, Refused, Reset
from cachepoint.emulator.service.guardrails import Guardrail
from cachepoint.emulator.wire.server import BedrockEmulator

__all__ = [
    "AutoResponder",
    "BedrockEmulator",
    "Block",
    "CacheEngine",
    "Calls",
    "Cut",
    "Delay",
    "EmulatedCall",
    "EmulatedError",
    "Fault",
    "Garbage",
    "Guardrail",
    "Marker",
    "ModelRules",
    "Options",
    "Outcome",
    "ParsedRequest",
    "Prompt",
    "Refused",
    "ReplayResponder",
    "Reply",
    "Reset",
    "Responder",
    "Scope",
    "Script",
    "ScriptedResponder",
    "Sizer",
    "Step",
    "TextResponder",
    "ToolResponder",
    "default_sizer",
    "read_prompt",
    "resolve",
]
