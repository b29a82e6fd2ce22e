"""The client of one call of Anthropic's SDK, which makes a body of InvokeModel of what it is given."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, ClassVar

from anthropic.types import Message, TextBlock, Usage

from cachepoint.aws.async_client import AsyncCachingClient
from cachepoint.aws.carrier import REPORTING, SENDING, Asked, Carrier, Ready
from cachepoint.aws.client import REPORT_KEY, CachingClient
from cachepoint.aws.streams import AsyncSettlingStream, Settling, SettlingStream
from cachepoint.aws.warming import Unsent, cheapest_body
from cachepoint.core.accounting import counts
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.cache import Call
from cachepoint.core.guard import guard
from cachepoint.core.policy import CachePolicy, PolicyLike
from cachepoint.core.prompt.dialects import DIALECTS
from cachepoint.shaping.relocating import Relocating

_DIALECT = "messages"
_BETAS = "anthropic_beta"
# What `messages.create` takes beside the fields of the body (anthropic 0.120 to 2.14).
_OPTIONS = frozenset({"model", "stream", "betas", "extra_headers", "extra_query", "extra_body", "timeout"})
# Headers that say who serves a body, and how (botocore 1.44.8, InvokeModelRequest).
_HEADERS: Mapping[str, str] = {
    "x-amzn-bedrock-service-tier": "serviceTier",
    "x-amzn-bedrock-performanceconfig-latency": "performanceConfigLatency",
}


def beside(payload: Mapping[str, Any], headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """What says who serves the body, and how.

    Args:
        payload: The keyword arguments of `messages.create`.
        headers: Those of every call.
    """
    sent = {**(headers or {}), **(payload.get("extra_headers") or {})}
    return {_HEADERS[name.lower()]: said for name, said in sent.items() if name.lower() in _HEADERS}


def body_of(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The body that the SDK makes of it."""
    body = {name: value for name, value in payload.items() if name not in _OPTIONS}
    betas = {_BETAS: payload["betas"]} if payload.get("betas") else {}
    return {**body, **betas, **(payload.get("extra_body") or {})}


def placed(payload: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments of which the SDK makes this body: that of `payload`, with checkpoints in it."""
    extra = payload.get("extra_body") or {}
    asked = {name: value for name, value in payload.items() if name in _OPTIONS or name in body}
    asked |= {name: value for name, value in body.items() if name in payload and name not in extra}
    return asked | ({"extra_body": {n: body[n] for n in extra if n in body}} if extra else {})


class _Endpoint:
    """What of a boto3 client is looked at: where it calls, and how long it waits."""

    sdk: Any = None

    @property
    def meta(self) -> SimpleNamespace:
        """That of a client of Anthropic's SDK, written as boto3 writes it: both reach the same entries."""
        return SimpleNamespace(
            endpoint_url=str(self.sdk.base_url).rstrip("/"),
            region_name=self.sdk.aws_region,
            config=SimpleNamespace(read_timeout=self.sdk.timeout),
        )


class _Unsent:
    """Stands for the raw response of a call that would write nothing, and was not made."""

    _TEXT = TextBlock(type="text", text="")
    _USAGE = Usage(input_tokens=0, output_tokens=0)

    def __init__(self, model: str) -> None:
        self._model = model

    def parse(self) -> Message:
        """An empty answer."""
        return Message(
            id="",
            model=self._model,
            role="assistant",
            type="message",
            content=[self._TEXT],
            stop_reason="max_tokens",
            usage=self._USAGE,
        )


class _Answer(Settling):
    """The chunks of an answer; its call, and what the events say of the usage, are known as they come."""

    def __init__(self, *args: Any) -> None:
        self._said: list[Mapping[str, Any]] = []
        super().__init__(*args)

    def of(self, call: Call | None) -> None:
        """Whose answer it is."""
        self._call = call

    def hear(self, event: Any) -> None:
        """An event of the SDK, before the chunk that upstream makes of it."""
        if event.type in {"message_start", "message_delta"}:
            self._said.append(event.model_dump())

    def _usage(self, event: Mapping[str, Any]) -> Mapping[str, Any] | None:  # noqa: ARG002
        # The last but one of the events; upstream makes no chunk of the last.
        ended = self._said and self._said[-1]["type"] == "message_delta"
        return counts.merged(self._said) if ended else None


class _Chunks(_Answer, SettlingStream):
    """As they come from a sync call."""


class _AsyncChunks(_Answer, AsyncSettlingStream):
    """As they come from an awaited call."""


class Payloads(Relocating, Carrier):
    """What the clients of sync and of awaited calls share. Each is for one call."""

    _watches: ClassVar[type[_Answer]]

    headers: Mapping[str, Any] | None = None

    def __init__(self, client: Any = None, **options: Any) -> None:  # noqa: ARG002
        super().__init__(None, **options)
        self._client = _Endpoint()
        self._create: Any = None
        self._call: Call | None = None
        self._answer: _Answer | None = None
        self._metadata: dict[str, Any] = {}
        self._spares = False

    def through(self, sdk: Any, create: Any) -> None:
        """Say what the call goes through: the SDK's client, and what takes the payload."""
        self._client.sdk, self._create = sdk, create

    def watched(self, chunks: Any) -> Any:
        """The chunks of a streamed answer, which settle the call."""
        self._answer = self._watches(chunks, self._cache, None, self._metadata)
        return self._answer

    def hear(self, event: Any) -> None:
        """An event of a streamed answer."""
        if self._answer is not None:
            self._answer.hear(event)

    def report(self) -> CallReport | None:
        """The report, once, as soon as it is there."""
        report: CallReport | None = self._metadata.pop(REPORT_KEY, None)
        return report

    def _of_body(self, request: dict[str, Any], chosen: CachePolicy, named: str) -> dict[str, Any]:  # noqa: ARG002
        body = {**body_of(request["body"]), **beside(request["body"], self.headers)}
        return {"request": cheapest_body(body, _DIALECT) if self._warms else body, "dialect": _DIALECT}

    def _sent(self, asked: Asked, call: Call) -> Ready:
        return Ready(call, {**asked.request, "body": placed(asked.request["body"], call.request)})

    def _is_idle(self, payload: Mapping[str, Any]) -> bool:
        """Whether a call that warms would write nothing."""
        return self._warms and not DIALECTS[_DIALECT].points(body_of(payload))

    def _came(self, call: Call | None) -> None:
        self._call = call
        if self._answer is not None:
            self._answer.of(call)

    def _response(self, usage: Any) -> dict[str, Any]:
        """What the call is settled with."""
        said: dict[str, Any] = {"usage": usage, "ResponseMetadata": self._metadata}
        return Unsent(said) if self._spares else said


def _unheard(_: Call | None, response: Any) -> Any:
    """Nothing of botocore is in such a call that could be heard."""
    return response


class PayloadClient(Payloads, CachingClient):
    """Carries one call that `messages.create` would make."""

    _watches: ClassVar = _Chunks

    def awaited_twin(self) -> "AsyncPayloadClient":
        """The same for an awaited call."""
        options = {"policy": self._policy, "cache": self._given, "base_model_id": self._base_model_id}
        twin = AsyncPayloadClient(**options)
        twin.headers = self.headers
        return twin.warming() if self._warms else twin

    def invoke_model(self, *, cache_policy: PolicyLike = None, **request: Any) -> Any:
        """What `create` gives for a payload, cached."""
        asked = Asked(request, cache_policy, "InvokeModel")
        call, raw = self._send(self._made, asked, _unheard)
        guard(REPORTING, lambda: self._came(call), None)
        return raw

    def told(self, usage: Any) -> None:
        """What an answer that came whole says of its usage."""
        self._report(self._call, self._response(usage))

    def _made(self, body: Mapping[str, Any], **_: Any) -> Any:
        self._spares = guard(SENDING, lambda: self._is_idle(body), self._warms)
        return _Unsent(body["model"]) if self._spares else self._create(body)


class AsyncPayloadClient(Payloads, AsyncCachingClient):
    """As `PayloadClient`, awaited."""

    _watches: ClassVar = _AsyncChunks

    async def invoke_model(self, *, cache_policy: PolicyLike = None, **request: Any) -> Any:
        """As of `PayloadClient`."""
        asked = Asked(request, cache_policy, "InvokeModel")
        call, raw = await self._send(self._made, asked, _unheard)
        guard(REPORTING, lambda: self._came(call), None)
        return raw

    async def told(self, usage: Any) -> None:
        """As of `PayloadClient`."""
        await self._report(self._call, self._response(usage))

    async def _made(self, body: Mapping[str, Any], **_: Any) -> Any:
        self._spares = guard(SENDING, lambda: self._is_idle(body), self._warms)
        return _Unsent(body["model"]) if self._spares else await self._create(body)
