"""The client of one call of `ChatBedrock`, which hands on less than a cached model needs."""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from types import MappingProxyType
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
Points = Mapping[str, Sequence[str | None]]
_KEEPING = "keeping a response"


class InvokingClient(CachingClient):
    """Keeps the report of its call, and puts back what upstream drops.

    `ChatBedrock` drops the metadata of a response, and the `ttl` of a `cache_control` in texts
    (langchain-aws 1.8, `_format_anthropic_messages`).
    """

    points: Points = MappingProxyType({})
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


def points_of(messages: Sequence[BaseMessage]) -> Points:
    """The ttl of each `cache_control` on a text, by the text, in the order of the prompt."""
    system = [m.content for m in messages if m.type == "system"]
    points: dict[str, list[str | None]] = {}
    for text, control in _points([*system, *(m.content for m in messages if m.type != "system")]):
        points.setdefault(text, []).append(control.get("ttl"))
    return points


def put_back(body: Mapping[str, Any], points: Points) -> bool:
    """Give the points of texts the ttl they were written with; whether any lacked it.

    A text tells which is which: upstream drops points, too, and adds that of a call.
    """
    there = _points([body.get("system"), [m.get("content") for m in body.get("messages") or ()]])
    written = {text: iter(ttls) for text, ttls in points.items()}
    told = [(control, next(written.get(text, iter(())), None)) for text, control in there]
    lost = [(control, ttl) for control, ttl in told if ttl and "ttl" not in control]
    for control, ttl in lost:
        control["ttl"] = ttl
    return bool(lost)


def _points(content: Any) -> Iterator[tuple[str, Any]]:
    """Every text with its `cache_control`; upstream trims the last."""
    if isinstance(content, list):
        for item in content:
            yield from _points(item)
    elif isinstance(content, dict):
        yield from _points(content.get("content"))
        text, control = content.get("text"), content.get(CACHE_CONTROL)
        if isinstance(text, str) and isinstance(control, dict):
            yield text.rstrip(), control


class Untold:
    """A run manager that is told of all but tokens."""

    def __init__(self, manager: CallbackManagerForLLMRun) -> None:
        self._manager = manager

    def __getattr__(self, name: str) -> Any:
        return getattr(self._manager, name)

    def on_llm_new_token(self, *_: Any, **__: Any) -> None:
        """Whoever has the chunks says it."""
