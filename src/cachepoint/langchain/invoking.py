"""The client of one call of `ChatBedrock`, which hands on less than a cached model needs."""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.messages import BaseMessage

from cachepoint.aws import bodies
from cachepoint.aws.carrier import Asked, Operation, PolicyLike, Sent, metadata_of
from cachepoint.aws.client import REPORT_KEY, CachingClient
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.cache import Call
from cachepoint.core.guard import guard

CACHE_CONTROL = "cache_control"
_KEEPING = "keeping a response"


class InvokingClient(CachingClient):
    """Keeps the report of its call, and puts back what upstream drops.

    `ChatBedrock` drops the metadata of a response, and the `ttl` of a `cache_control` in texts
    (langchain-aws 1.8, `_format_anthropic_messages`).
    """

    points: Sequence[Mapping[str, Any]] = ()
    _metadata: MutableMapping[str, Any] | None = None
    _put_back = False

    def invoke_model(self, *, cache_policy: PolicyLike = None, **request: Any) -> Any:
        """As of `CachingClient`."""
        response = super().invoke_model(**request, cache_policy=cache_policy)
        guard(_KEEPING, lambda: self._keep(response), None)
        return response

    def invoke_model_with_response_stream(self, *, cache_policy: PolicyLike = None, **request: Any) -> Any:
        """As of `CachingClient`."""
        response = super().invoke_model_with_response_stream(**request, cache_policy=cache_policy)
        guard(_KEEPING, lambda: self._keep(response), None)
        return response

    def report(self) -> CallReport | None:
        """The report, once, as soon as it is there."""
        report = (self._metadata or {}).get(REPORT_KEY)
        if report is not None:
            self._metadata = None
        return report

    def _keep(self, response: Any) -> None:
        self._metadata = metadata_of(response)

    def _question(
        self, request: dict[str, Any], policy: PolicyLike, base: str | None, operation: Operation
    ) -> dict[str, Any]:
        asked = super()._question(request, policy, base, operation)
        self._put_back = put_back(asked["request"], self.points)
        return asked

    def _sent(self, asked: Asked, call: Call) -> Sent:
        sent = super()._sent(asked, call)
        if not self._put_back or asked.operation != "InvokeModel":
            return sent
        return Sent(call, bodies.written(asked.request, call, anew=True))


def points_of(messages: Sequence[BaseMessage]) -> list[Mapping[str, Any]]:
    """Every `cache_control` in the contents of messages, in order, the system prompt first."""
    system = [m.content for m in messages if m.type == "system"]
    return list(_points([*system, *(m.content for m in messages if m.type != "system")]))


def put_back(body: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> bool:
    """Give the points of a body the ttl that was written in the messages; whether any lacked it.

    Where the two do not hold as many, nobody knows which is which, and all stay as they are.
    """
    there = list(_points([body.get("system"), [m.get("content") for m in body.get("messages") or ()]]))
    lost = [
        (now, was) for now, was in zip(there, points, strict=False) if was.get("ttl") and "ttl" not in now
    ]
    if len(there) != len(points) or not lost:
        return False
    for now, was in lost:
        now["ttl"] = was["ttl"]
    return True


def _points(content: Any) -> Iterator[Any]:
    if isinstance(content, list):
        for item in content:
            yield from _points(item)
    elif isinstance(content, dict):
        yield from _points(content.get("content"))
        if isinstance(content.get(CACHE_CONTROL), dict):
            yield content[CACHE_CONTROL]


class Untold:
    """A run manager that is told of all but tokens."""

    def __init__(self, manager: CallbackManagerForLLMRun) -> None:
        self._manager = manager

    def __getattr__(self, name: str) -> Any:
        return getattr(self._manager, name)

    def on_llm_new_token(self, *_: Any, **__: Any) -> None:
        """Whoever has the chunks says it."""
