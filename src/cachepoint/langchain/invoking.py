"""The client of one call of `ChatBedrock`, which hands on less than a cached model needs."""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from types import MappingProxyType
from typing import Any

from langchain_core.messages import BaseMessage

from cachepoint.aws.carrier import Operation, metadata_of
from cachepoint.aws.client import REPORT_KEY, CachingClient
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.guard import guard
from cachepoint.core.policy import PolicyLike
from cachepoint.core.prompt.documents import Fleeting
from cachepoint.shaping.relocating import Relocating

CACHE_CONTROL = "cache_control"
Ttls = Mapping[str, Sequence[str | None]]
_KEEPING = "keeping a response"


class InvokingClient(Relocating, CachingClient):
    """Keeps the report of its call, and puts back what upstream drops.

    `ChatBedrock` drops the metadata of a response, and the `ttl` of a `cache_control` in texts
    (langchain-aws 1.9.1, `_format_anthropic_messages`).
    """

    ttls: Ttls = MappingProxyType({})
    fleeting: str | None = None
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
        self._put_back = put_back(asked["request"], self.ttls)
        if self.fleeting is not None:
            tell(asked["request"], self.fleeting)
        return asked

    def _anew(self) -> bool:
        return self._put_back or super()._anew()


def ttls_of(messages: Sequence[BaseMessage]) -> Ttls:
    """The ttl of every text with a `cache_control` in the contents of messages, by text and in order."""
    contents = [m.content for m in sorted(messages, key=lambda m: m.type != "system")]
    found: dict[str, list[str | None]] = {}
    for block in _marked(contents):
        found.setdefault(block["text"].strip(), []).append(block[CACHE_CONTROL].get("ttl"))
    return found


def fleeting_of(messages: Sequence[BaseMessage]) -> str | None:
    """The text at the end of messages that stands in this request alone; a body does not say so."""
    content = messages[-1].content if messages else None
    last = content[-1] if isinstance(content, list) and content else None
    text = last.get("text") if isinstance(last, dict) else None
    return text if isinstance(text, Fleeting) else None


def tell(body: Mapping[str, Any], text: str) -> None:
    """Say of the last text of a body that it stands in this request alone, where it is that."""
    content = body["messages"][-1]["content"]
    if isinstance(content, list) and content and content[-1].get("text") == text:
        content[-1] = {**content[-1], "text": Fleeting(text)}


def put_back(body: Mapping[str, Any], ttls: Ttls) -> bool:
    """Give the checkpoints behind texts of a body the ttl of the messages; whether any lacked it.

    Which is which, the text tells: upstream drops and moves blocks, and a call's `cache_control` adds one.
    """
    left = {text: list(those) for text, those in ttls.items()}
    changed = False
    for block in _marked([body.get("system"), [m.get("content") for m in body.get("messages") or ()]]):
        those = left.get(block["text"].strip())
        ttl = those.pop(0) if those else None
        if ttl and "ttl" not in block[CACHE_CONTROL]:
            block[CACHE_CONTROL]["ttl"] = ttl
            changed = True
    return changed


def _marked(content: Any) -> Iterator[Any]:
    """The texts with a checkpoint behind them, those in the results of tools too."""
    if isinstance(content, list):
        for item in content:
            yield from _marked(item)
    elif isinstance(content, dict):
        yield from _marked(content.get("content"))
        if isinstance(content.get(CACHE_CONTROL), dict) and isinstance(content.get("text"), str):
            yield content
