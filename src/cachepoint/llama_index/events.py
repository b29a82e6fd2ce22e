"""What was read from the cache and written to it, over engines, workflows and agents."""

from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakValueDictionary

from llama_index.core.base.llms.types import ChatResponse
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.callbacks.schema import CBEventType, EventPayload
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMChatStartEvent
from llama_index_instrumentation import get_dispatcher

from cachepoint.aws.client import REPORT_KEY
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.forks import ForkSafeLock
from cachepoint.core.guard import guard
from cachepoint.reporting.totals import TotalsView, UsageTotals

_MAX_OPEN = 4_096


class ResponseTotals(UsageTotals):
    """Totals of chat responses: each counted once, whoever passes it on. Never raises."""

    def __init__(self) -> None:
        super().__init__()
        self._counted: WeakValueDictionary[int, ChatResponse] = WeakValueDictionary()
        self._errors = 0
        self._counting = ForkSafeLock()

    @property
    def errors(self) -> int:
        """How many responses could not be counted; each is a fault of the process's guard as well."""
        return self._errors

    def count(self, response: Any, model: str = "unknown") -> None:
        """Count a response that carries Bedrock's usage.

        Args:
            response: What an event carries; those of other models are passed over.
            model: The model, where the response carries no report that names it.
        """
        self._errors += guard("counting a response", lambda: self._failed(response, model), 1)

    def _failed(self, response: Any, model: str) -> int:
        """Count, and none that failed."""
        usage = _usage(response)
        if usage is None or not self._is_new(response):
            return 0
        report = response.additional_kwargs.get(REPORT_KEY) or {}
        # What can't be added up shows here, before it is counted.
        name = report.get("model_id") or model
        self.add(name, Usage() + usage, report.get("saved_usd"), report.get("first_token_ms"))
        return 0

    def _is_new(self, response: ChatResponse) -> bool:
        with self._counting:
            new = self._counted.get(id(response)) is not response
            self._counted[id(response)] = response
            return new


def _usage(response: Any) -> Usage | None:
    raw = getattr(response, "raw", None)
    if not isinstance(raw, Mapping):
        return None
    wire = (raw.get("metadata") or raw).get("usage")
    if not isinstance(wire, Mapping) or "inputTokens" not in wire:
        return None
    return Usage.from_converse(raw)


class _Counts(TotalsView):
    """The figures, by the names that LangChain's handler has."""

    _totals: ResponseTotals

    @property
    def errors(self) -> int:
        """How many responses could not be counted; the first was logged."""
        return self._totals.errors


class CacheUsageEventHandler(_Counts, BaseEventHandler):
    """Adds up the cache usage of every Bedrock chat call that the dispatcher tells of.

    `complete()` tells of its chat call as well, so that counting these counts everything once. A stream
    counts when it ends; one that is left early told no usage.

    Examples:
        ```python

        usage = CacheUsageEventHandler()
        get_dispatcher().add_event_handler(usage)
        query_engine.query(question)
        usage.total.read_tokens, usage.hit_share, usage.saved
        ```
    """

    _totals: ResponseTotals = PrivateAttr(default_factory=ResponseTotals)
    _models: OrderedDict[str, str] = PrivateAttr(default_factory=OrderedDict)

    @classmethod
    def class_name(cls) -> str:
        """The handler's name."""
        return "CacheUsageEventHandler"

    def handle(self, event: BaseEvent, **_: Any) -> None:
        """Count the response of a chat call that ended."""
        if isinstance(event, LLMChatStartEvent):
            self._models[event.span_id or ""] = str(event.model_dict.get("model_name", "unknown"))
            while len(self._models) > _MAX_OPEN:
                self._models.popitem(last=False)
        elif isinstance(event, LLMChatEndEvent):
            self._totals.count(event.response, self._models.get(event.span_id or "", "unknown"))

    # Pydantic's own stand before the mixin's.
    def __str__(self) -> str:
        return str(self._totals)

    def __repr__(self) -> str:
        return f"{self.class_name()}(calls={self.calls}, total={self.total!r}, saved={self.saved!r})"


class _ScopedHandler(CacheUsageEventHandler):
    """Counts what is called from within one block."""

    _left: bool = PrivateAttr(default=False)

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        """Count, where the event comes from the block."""
        if any(handler is self for handler in _open.get()):
            super().handle(event, **kwargs)


_open: ContextVar[tuple[_ScopedHandler, ...]] = ContextVar("cachepoint_usage_blocks", default=())


_attaching = ForkSafeLock()


def _attach(change: Callable[[list[BaseEventHandler]], list[BaseEventHandler]]) -> None:
    """Put another list in the place of the root's, so that who goes through the old one misses nothing."""
    root = get_dispatcher()
    with _attaching:
        root.event_handlers = change(root.event_handlers)


@contextmanager
def get_cache_usage_callback() -> Generator[CacheUsageEventHandler, None, None]:
    """Count the cache usage of every model call in the block, tasks and workflows begun in it included.

    Yields:
        The handler. After the block it counts no more, and the dispatcher is as it was.

    Examples:
        ```python
        with get_cache_usage_callback() as usage:
            chat_engine.chat("What is new?")
        print(usage)
        ```
    """
    handler = _ScopedHandler()
    # A block that was left in another context could not take itself out of this one.
    _open.set((*(h for h in _open.get() if not h._left), handler))  # noqa: SLF001
    _attach(lambda handlers: [*handlers, handler])
    try:
        yield handler
    finally:
        handler._left = True  # noqa: SLF001
        _attach(lambda handlers: [h for h in handlers if h is not handler])
        _open.set(tuple(h for h in _open.get() if h is not handler))


class CacheUsageLegacyHandler(_Counts, BaseCallbackHandler):
    """As `CacheUsageEventHandler`, for the legacy `CallbackManager`.

    Examples:
        ```python
        usage = CacheUsageLegacyHandler()
        Settings.callback_manager = CallbackManager([usage])
        ```
    """

    def __init__(self) -> None:
        super().__init__(event_starts_to_ignore=[], event_ends_to_ignore=[])
        self._totals = ResponseTotals()

    def on_event_start(
        self,
        event_type: CBEventType,
        payload: dict[str, Any] | None = None,
        event_id: str = "",
        parent_id: str = "",
        **_: Any,
    ) -> str:
        """Nothing is counted at a start."""
        del event_type, payload, parent_id
        return event_id

    def on_event_end(
        self,
        event_type: CBEventType,
        payload: dict[str, Any] | None = None,
        event_id: str = "",
        **_: Any,
    ) -> None:
        """Count the response of a chat call that ended."""
        del event_id
        if event_type == CBEventType.LLM:
            self._totals.count((payload or {}).get(EventPayload.RESPONSE))

    def start_trace(self, trace_id: str | None = None) -> None:
        """Traces are of no concern."""

    def end_trace(self, trace_id: str | None = None, trace_map: dict[str, list[str]] | None = None) -> None:
        """Traces are of no concern."""
