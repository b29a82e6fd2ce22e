"""What an API has of its own."""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cachepoint.emulator.cache.engine import Outcome
from cachepoint.emulator.cache.rules import ModelRules
from cachepoint.emulator.responders import Reply
from cachepoint.emulator.service.events import Event, StreamFault
from cachepoint.emulator.service.refusals.request import Check, Refusal
from cachepoint.emulator.service.usage import wire_usage

__all__ = ["Dialect", "Said", "chunk", "dump", "guarded", "metrics", "token_headers"]


@dataclass(frozen=True, slots=True)
class Said:
    """The answer to one request.

    `output` is tokens, `latency` milliseconds, `intervened` whether a guardrail did, None where there is
    none, and `trace` what it tells.
    """

    model_id: str
    rules: ModelRules
    reply: Reply
    outcome: Outcome
    output: int
    latency: int
    trace: dict[str, Any] | None = None
    intervened: bool | None = None

    @property
    def usage(self) -> dict[str, Any]:
        """The usage, as Converse has it."""
        return wire_usage(self.outcome, self.output, self.rules)


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way of writing requests and answers.

    `api` names the cache. `shape` finds what is wrong with the fields of a body, `plain` gives the body as
    Converse has it, `checks` are for that. `answer`, `headers` and `events` write the answer.
    """

    api: str
    shape: Callable[[Any, ModelRules], Refusal | None]
    plain: Callable[[dict[str, Any]], dict[str, Any]]
    checks: tuple[Check, ...]
    answer: Callable[[Said], dict[str, Any]]
    headers: Callable[[Said], dict[str, str]]
    events: Callable[[Said], Iterator[Event | StreamFault]]


def chunk(payload: dict[str, Any]) -> Event:
    """One event of an InvokeModelWithResponseStream answer, whose payload is JSON in base64."""
    return Event("chunk", {"bytes": base64.b64encode(dump(payload)).decode()})


def metrics(said: Said) -> dict[str, int]:
    """`amazon-bedrock-invocationMetrics`, of an InvokeModel stream's last event."""
    return {
        "inputTokenCount": said.outcome.uncached,
        "outputTokenCount": said.output,
        "invocationLatency": said.latency,
        "firstByteLatency": said.latency,
        "cacheReadInputTokenCount": said.outcome.read,
        "cacheWriteInputTokenCount": said.outcome.write,
    }


def guarded(said: Said) -> dict[str, Any]:
    """What an InvokeModel answer says of its guardrail."""
    if said.intervened is None:
        return {}
    action = {"amazon-bedrock-guardrailAction": "INTERVENED" if said.intervened else "NONE"}
    return {**action, **({"amazon-bedrock-trace": said.trace} if said.trace else {})}


def token_headers(said: Said) -> dict[str, str]:
    """The counts of an InvokeModel answer that its headers tell too."""
    return {
        "X-Amzn-Bedrock-Invocation-Latency": str(said.latency),
        "X-Amzn-Bedrock-Input-Token-Count": str(said.outcome.uncached),
        "X-Amzn-Bedrock-Output-Token-Count": str(said.output),
        **(_cached_headers(said) if said.rules.explicit else {}),
    }


def _cached_headers(said: Said) -> dict[str, str]:
    return {
        "X-Amzn-Bedrock-Cache-Read-Input-Token-Count": str(said.outcome.read),
        "X-Amzn-Bedrock-Cache-Write-Input-Token-Count": str(said.outcome.write),
    }


def dump(body: Any) -> bytes:
    """JSON as it is sent."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
